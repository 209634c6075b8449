//! What do events say of connections, channels and logins?

use std::net::{IpAddr, SocketAddr};

use crate::amqp::{Name, Table, TableBuf, Value};
use crate::broker::flow::events::{Event, put_terms};
use crate::broker::users::user::LoginRefusal;
use crate::broker::{Broker, ChannelKey};

use super::{Phase, Session};

/// How RabbitMQ writes the protocol.
const PROTOCOL: &str = "{0,9,1}";

impl Session {
    /// What is done from now on, until somebody else does something, is its user's doing.
    pub(super) fn act(&self, broker: &mut Broker) {
        if let Phase::Open(subject) = &self.phase {
            broker.act_for(Some(&subject.user));
        }
    }

    /// Somebody was let in, or was not.
    pub(super) fn note_login(
        &self,
        broker: &mut Broker,
        user: &[u8],
        refusal: Option<&LoginRefusal>,
    ) {
        let event = match refusal {
            None => Event::UserAuthenticationSuccess,
            Some(_) => Event::UserAuthenticationFailure,
        };
        broker.note_event(event, |_, headers| {
            headers.put_str(b"connection_type", "network");
            headers.put(b"name", Value::LongString(user));
            headers.put_str(b"connection_name", &self.ends.to_string());
            self.put_ends(headers);
            self.put_tls(headers);
            if let Some(refusal) = refusal {
                headers.put_str(b"error", &format!("user '{}' - {refusal}", Name::from(user)));
            }
        });
    }

    /// The client may work now.
    pub(super) fn note_connection_created(&self, broker: &mut Broker) {
        let Phase::Open(subject) = &self.phase else {
            return;
        };
        self.act(broker);
        broker.note_event(Event::ConnectionCreated, |broker, headers| {
            self.put_names(broker, headers);
            headers.put_str(b"type", "network");
            headers.put_i64(b"port", i64::from(self.local().port()));
            self.put_ends(headers);
            self.put_tls(headers);
            headers.put(b"user", Value::LongString(&subject.user));
            headers.put(b"vhost", Value::LongString(&subject.vhost_name));
            headers.put_i64(b"timeout", i64::from(self.limits.heartbeat_s));
            headers.put_i64(b"frame_max", i64::from(self.frame_bytes_max));
            headers.put_i64(b"channel_max", i64::from(self.limits.channel_max));
            let connected_at_ms = i64::try_from(self.connected_at_ms()).unwrap_or(i64::MAX);
            headers.put_i64(b"connected_at", connected_at_ms);
        });
        broker.act_for(None);
    }

    /// It ended; one that ended is not told of again.
    pub(super) fn note_connection_closed(&mut self, broker: &mut Broker) {
        if std::mem::replace(&mut self.seen.told_of_end, true) {
            return;
        }
        broker.note_event(Event::ConnectionClosed, |broker, headers| {
            self.put_names(broker, headers);
        });
    }

    /// A channel was opened.
    pub(super) fn note_channel_created(&self, broker: &mut Broker, key: ChannelKey, number: u16) {
        let Phase::Open(subject) = &self.phase else {
            return;
        };
        self.act(broker);
        broker.note_event(Event::ChannelCreated, |broker, headers| {
            headers.put_str(b"pid", &broker.channel_id(key));
            let name = format!("{} ({number})", self.ends);
            headers.put_str(b"name", &name);
            headers.put_str(b"connection", &broker.connection_id(self.key));
            headers.put_i64(b"number", i64::from(number));
            headers.put(b"user", Value::LongString(&subject.user));
            headers.put(b"vhost", Value::LongString(&subject.vhost_name));
        });
        broker.act_for(None);
    }

    /// A channel ended.
    pub(super) fn note_channel_closed(&self, broker: &mut Broker, key: ChannelKey) {
        broker.note_event(Event::ChannelClosed, |broker, headers| {
            headers.put_str(b"pid", &broker.channel_id(key));
        });
    }

    /// What it is called, and what the client said of itself.
    fn put_names(&self, broker: &Broker, headers: &mut TableBuf) {
        headers.put_str(b"pid", &broker.connection_id(self.key));
        headers.put_str(b"name", &self.ends.to_string());
        headers.put(b"node", Value::LongString(broker.node_name()));
        let properties: Table<'_> = self.client_properties();
        put_terms(headers, b"client_properties", properties);
        if let Some(name) = properties.find(b"connection_name").and_then(|name| name.text()) {
            headers.put(b"user_provided_name", Value::LongString(name));
        }
    }

    /// What TLS agreed on, and whose certificate the client showed.
    fn put_tls(&self, headers: &mut TableBuf) {
        headers.put_bool(b"ssl", self.tls.is_some());
        let Some(tls) = &self.tls else {
            return;
        };
        headers.put_str(b"ssl_protocol", tls.protocol);
        headers.put_str(b"ssl_key_exchange", tls.key_exchange);
        headers.put_str(b"ssl_cipher", tls.cipher);
        headers.put_str(b"ssl_hash", tls.hash);
        if let Some(certificate) = &tls.certificate {
            headers.put_str(b"peer_cert_subject", &certificate.subject);
            headers.put_str(b"peer_cert_issuer", &certificate.issuer);
            headers.put_str(b"peer_cert_validity", &certificate.validity);
        }
    }

    /// Where it comes from, where it came in, and how.
    fn put_ends(&self, headers: &mut TableBuf) {
        let peer: SocketAddr = self.peer();
        headers.put_str(b"host", &tuple(self.local().ip()));
        headers.put_str(b"peer_host", &tuple(peer.ip()));
        headers.put_i64(b"peer_port", i64::from(peer.port()));
        headers.put_str(b"protocol", PROTOCOL);
        headers.put(b"auth_mechanism", Value::LongString(self.mechanism()));
    }
}

/// An address as Erlang writes it: `{127,0,0,1}`.
fn tuple(address: IpAddr) -> String {
    let parts: Vec<String> = match address.to_canonical() {
        IpAddr::V4(address) => address.octets().iter().map(u8::to_string).collect(),
        IpAddr::V6(address) => address.segments().iter().map(u16::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}
