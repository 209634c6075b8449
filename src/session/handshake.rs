//! How does a connection come to be open?
//!
//! Protocol header, `start`, `tune`, `open` (AMQP 0-9-1 section 2.2.4), with the refusals in
//! RabbitMQ's words.

use std::time::{Duration, Instant};

use log::{info, warn};

use crate::amqp::method::connection;
use crate::amqp::{AmqpError, Method, Name, PROTOCOL_HEADER, ReplyCode, Table, TableBuf, Value};
use crate::broker::users::LoginBy;
use crate::broker::{Broker, Subject};

use super::{Phase, Session, Step, unexpected_method};

/// How far a handshake has come.
#[derive(Debug)]
pub enum Handshake {
    /// The protocol header has not come.
    Header,
    /// `start` was sent.
    Starting,
    /// `tune` was sent to this user.
    Tuning(Name),
    /// `tune-ok` came from this user.
    Opening(Name),
}

/// What a node allows its connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest frame, its 8 bytes of overhead included.
    pub frame_bytes_max: u32,
    /// The highest channel number.
    pub channel_max: u16,
    /// The heartbeat interval that `tune` proposes, in seconds; 0 = off.
    pub heartbeat_s: u16,
    /// The largest body.
    pub message_bytes_max: u64,
    /// What `server-properties` call the cluster.
    pub cluster_name: Name,
    /// What they call the product, which names the dialect: kombu, Celery and others choose their
    /// behaviour by it.
    pub product_name: Name,
    /// The version of that, which clients compare.
    pub product_version: Name,
}

/// What a client said that it can handle (`client-properties`, capabilities).
#[derive(Debug, Default, Clone, Copy)]
pub struct Capabilities {
    /// It wants a reason when a login is refused.
    pub authentication_failure_close: bool,
    /// It wants to know when a consumer ends.
    pub consumer_cancel_notify: bool,
    /// It wants to know when it is blocked.
    pub connection_blocked: bool,
}

/// The smallest frame size that may be negotiated (section 4.2.3, frame-min-size).
pub(super) const FRAME_BYTES_MIN: u32 = 4096;

/// A refused login without a reason takes this long.
const REFUSAL_DELAY: Duration = Duration::from_secs(3);

impl Handshake {
    /// Nothing came yet.
    pub fn start() -> Self {
        Self::Header
    }

    /// As error texts name the connection's state.
    fn name(&self) -> &'static str {
        match self {
            Self::Header | Self::Starting => "starting",
            Self::Tuning(_) => "tuning",
            Self::Opening(_) => "opening",
        }
    }
}

impl Session {
    pub(super) fn take_protocol_header(&mut self, now: Instant, input: &[u8]) -> Step {
        let header = &input[..input.len().min(PROTOCOL_HEADER.len())];
        let accepted: [&[u8; 8]; 2] = [&PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09"];
        if !accepted.iter().any(|accepted| accepted.starts_with(header)) {
            warn!("{}: closed, it does not speak AMQP 0-9-1: {}", self.ends.peer, describe(header));
            self.outbox.buffer().extend_from_slice(&PROTOCOL_HEADER);
            self.phase = Phase::Closed(None);
            return Step::Took(input.len());
        }
        if header.len() < PROTOCOL_HEADER.len() {
            return Step::NeedsMore;
        }
        let properties = server_properties(&self.limits);
        self.send(
            0,
            &Method::ConnectionStart(connection::Start {
                version_major: 0,
                version_minor: 9,
                server_properties: properties.table(),
                mechanisms: b"PLAIN AMQPLAIN",
                locales: b"en_US",
            }),
        );
        self.heartbeat.sent(now);
        self.phase = Phase::Handshake(Handshake::Starting);
        Step::Took(PROTOCOL_HEADER.len())
    }

    pub(super) fn handshake_method(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        method: Method<'_>,
    ) -> Result<(), AmqpError> {
        let Phase::Handshake(handshake) = &self.phase else {
            return Ok(());
        };
        match (handshake, method) {
            (Handshake::Starting, Method::ConnectionStartOk(start_ok)) => {
                self.start_ok(broker, now, &start_ok)
            }
            (Handshake::Tuning(user), Method::ConnectionTuneOk(tune_ok)) => {
                let user = user.clone();
                self.tune_ok(user, tune_ok)
            }
            (Handshake::Opening(user), Method::ConnectionOpen(open)) => {
                let user = user.clone();
                self.open(broker, now, user, &open)
            }
            (handshake, method) => Err(unexpected_method(&method, handshake.name())),
        }
    }

    fn start_ok(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        start_ok: &connection::StartOk<'_>,
    ) -> Result<(), AmqpError> {
        self.capabilities = Capabilities::read(start_ok.client_properties);
        self.seen.note_client(start_ok.client_properties, start_ok.mechanism);
        let (user, password) = credentials(start_ok)?;
        let loopback = self.is_local();
        match broker.users_mut().log_in(LoginBy::Amqp, user, password, loopback) {
            Ok(user) => {
                let user = user.name.clone();
                let (channel_max, heartbeat) = (self.limits.channel_max, self.limits.heartbeat_s);
                let frame_max = self.limits.frame_bytes_max;
                self.note_login(broker, &user, None);
                let tune = connection::Tune { channel_max, frame_max, heartbeat };
                self.send(0, &Method::ConnectionTune(tune));
                self.phase = Phase::Handshake(Handshake::Tuning(user));
                Ok(())
            }
            Err(reason) => {
                self.note_login(broker, user, Some(&reason));
                warn!("{}: login of user '{}' refused: {reason}", self.ends.peer, Name::from(user));
                if self.capabilities.authentication_failure_close {
                    let text = format!(
                        "Login was refused using authentication mechanism {}. For details see \
                         the broker logfile.",
                        Name::from(start_ok.mechanism)
                    );
                    return Err(AmqpError::connection(ReplyCode::AccessRefused, text));
                }
                self.heartbeat.over_by(now + REFUSAL_DELAY);
                self.phase = Phase::Closed(Some(now + REFUSAL_DELAY));
                Ok(())
            }
        }
    }

    fn tune_ok(&mut self, user: Name, tune_ok: connection::TuneOk) -> Result<(), AmqpError> {
        let refuse = |what: &str, is: u32, than: &str, limit: u32| {
            let text = format!("negotiated {what} = {is} is {than} allowed value ({limit})");
            Err(AmqpError::connection(ReplyCode::NotAllowed, text).at(10, 31))
        };
        let frame_max = tune_ok.frame_max;
        if frame_max == 0 || frame_max > self.limits.frame_bytes_max {
            let limit = self.limits.frame_bytes_max;
            return refuse("frame_max", frame_max, "higher than the maximum", limit);
        }
        if frame_max < FRAME_BYTES_MIN {
            return refuse("frame_max", frame_max, "lower than the minimum", FRAME_BYTES_MIN);
        }
        let channel_max = tune_ok.channel_max;
        if channel_max == 0 {
            let limit = self.limits.channel_max;
            let text = format!(
                "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value \
                 ({limit})"
            );
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text).at(10, 31));
        }
        if channel_max > self.limits.channel_max {
            let (is, limit) = (u32::from(channel_max), u32::from(self.limits.channel_max));
            return refuse("channel_max", is, "higher than the maximum", limit);
        }
        self.frame_bytes_max = frame_max;
        self.limits.channel_max = channel_max;
        self.limits.heartbeat_s = tune_ok.heartbeat;
        self.phase = Phase::Handshake(Handshake::Opening(user));
        Ok(())
    }

    fn open(
        &mut self,
        broker: &mut Broker,
        now: Instant,
        user: Name,
        open: &connection::Open<'_>,
    ) -> Result<(), AmqpError> {
        let name = Name::from(open.virtual_host);
        let refuse =
            |text: String| Err(AmqpError::connection(ReplyCode::NotAllowed, text).at(10, 40));
        let Some(vhost) = broker.topology().vhost_named(open.virtual_host) else {
            return refuse(format!("vhost {name} not found"));
        };
        broker.users().check_connection_limits(&user).map_err(|error| error.at(10, 40))?;
        let cost = broker.users().find(&user).map_or(0, |user| user.prepare(&name));
        broker.work.spend(cost);
        if !broker.users().may_enter(&user, &name) {
            return refuse(format!("access to vhost '{name}' refused for user '{user}'"));
        }
        broker.check_vhost_limit(&user, vhost).map_err(|error| error.at(10, 40))?;
        broker.users_mut().note_connection(self.key, &user, vhost);
        self.heartbeat.negotiated(self.limits.heartbeat_s, now);
        self.send(0, &Method::ConnectionOpenOk(connection::OpenOk {}));
        info!("{}: user '{user}' is connected to vhost '{name}'", self.ends.peer);
        let (connection, is_owner) = (self.key, false);
        let subject = Subject { user, vhost, vhost_name: name, connection, is_owner };
        self.phase = Phase::Open(subject);
        self.note_connection_created(broker);
        Ok(())
    }

    /// Whether the client is on this host; a socket for both versions of IP has an IPv4 client's
    /// address in the form of IPv6.
    fn is_local(&self) -> bool {
        self.ends.peer.ip().to_canonical().is_loopback()
    }

    /// `connection.update-secret`: whatever it is, the login stands. Only users whose secrets
    /// expire need a new one, and there are none here (RabbitMQ's own users do not either).
    pub(super) fn update_secret(&mut self, update: &connection::UpdateSecret<'_>) {
        if let Phase::Open(Subject { user, .. }) = &self.phase {
            let reason = Name::from(update.reason);
            info!("{}: user '{user}' has a new secret, reason: {reason}", self.ends.peer);
        }
        self.send(0, &Method::ConnectionUpdateSecretOk(connection::UpdateSecretOk {}));
    }
}

impl Capabilities {
    fn read(client_properties: Table<'_>) -> Self {
        let capabilities = match client_properties.find(b"capabilities") {
            Some(Value::Table(table)) => table,
            _ => Table::EMPTY,
        };
        let has = |name: &[u8]| capabilities.find(name) == Some(Value::Bool(true));
        Self {
            authentication_failure_close: has(b"authentication_failure_close"),
            consumer_cancel_notify: has(b"consumer_cancel_notify"),
            connection_blocked: has(b"connection.blocked"),
        }
    }
}

/// User and password of a PLAIN (RFC 4616) or AMQPLAIN response.
fn credentials<'a>(start_ok: &connection::StartOk<'a>) -> Result<(&'a [u8], &'a [u8]), AmqpError> {
    let malformed = || {
        let text = format!("invalid {} response", Name::from(start_ok.mechanism));
        AmqpError::connection(ReplyCode::SyntaxError, text).at(10, 11)
    };
    match start_ok.mechanism {
        b"PLAIN" => {
            // Nobody logs in to act as somebody else: there is no authorization identity.
            let mut parts = start_ok.response.splitn(3, |&byte| byte == 0);
            parts.next().filter(|identity| identity.is_empty()).ok_or_else(malformed)?;
            parts.next().zip(parts.next()).ok_or_else(malformed)
        }
        b"AMQPLAIN" => {
            let table = Table::new(start_ok.response).map_err(|_| malformed())?;
            let text = |key: &[u8]| table.find(key).and_then(|value| value.text());
            text(b"LOGIN").zip(text(b"PASSWORD")).ok_or_else(malformed)
        }
        mechanism => {
            let text = format!("unknown authentication mechanism '{}'", Name::from(mechanism));
            Err(AmqpError::connection(ReplyCode::CommandInvalid, text).at(10, 11))
        }
    }
}

fn server_properties(limits: &Limits) -> TableBuf {
    let mut capabilities = TableBuf::new();
    for name in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        capabilities.put_bool(name.as_bytes(), true);
    }
    let mut properties = TableBuf::new();
    properties.put(b"capabilities", Value::Table(capabilities.table()));
    properties.put(b"cluster_name", Value::LongString(limits.cluster_name.as_bytes()));
    properties.put_str(b"copyright", "Copyright (c) the Leveret developers");
    let information = "This is Leveret, which speaks RabbitMQ's dialect. Apache-2.0 or MIT";
    properties.put_str(b"information", information);
    properties.put_str(b"leveret_version", env!("CARGO_PKG_VERSION"));
    properties.put_str(b"platform", concat!("Leveret ", env!("CARGO_PKG_VERSION")));
    properties.put(b"product", Value::LongString(limits.product_name.as_bytes()));
    properties.put(b"version", Value::LongString(limits.product_version.as_bytes()));
    properties
}

/// What a stranger on the port seems to speak, for the log.
fn describe(header: &[u8]) -> String {
    if header.starts_with(&[0x16, 0x03]) {
        return "this looks like TLS; this port takes plain AMQP".into();
    }
    if [b"GET " as &[u8], b"POST", b"HEAD", b"PUT "].iter().any(|verb| header.starts_with(verb)) {
        return "this looks like HTTP; this port takes AMQP".into();
    }
    if header.starts_with(b"AMQP\x01\x01\x08") || header.starts_with(b"AMQP\x01\x01\x09") {
        return "the client speaks AMQP 0-8; it has to speak 0-9-1".into();
    }
    if header.starts_with(b"AMQP") {
        return "it asked for another version of AMQP".into();
    }
    format!("it began with '{}'", header.escape_ascii())
}
