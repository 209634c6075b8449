//! Which clients are connected, and what do they do?

use std::net::SocketAddr;

use log::info;
use serde_json::{Value, json};

use super::channels;
use super::queues::garbage_collection;
use crate::amqp::Name;
use crate::broker::ends::{Ends, canonical};
use crate::broker::watched::{self, Watchable};
use crate::broker::{ConnectionKey, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::json;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::{Method, Request};
use crate::management::response::Response;
use crate::management::samples::Ranges;
use crate::management::stats::Looked;
use crate::management::view::{Connection, Traffic};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "connections", methods: &[(Method::Get, Right::Management, list_all)] },
    Route {
        path: "connections/username/*",
        methods: &[
            (Method::Get, Right::Management, list_of_user),
            (Method::Delete, Right::Management, close_all_of_user),
        ],
    },
    Route {
        path: "connections/*",
        methods: &[
            (Method::Get, Right::Management, show),
            (Method::Delete, Right::Management, close),
        ],
    },
    Route {
        path: "connections/*/channels",
        methods: &[(Method::Get, Right::Management, channels::list_of_connection)],
    },
    Route {
        path: "vhosts/*/connections",
        methods: &[(Method::Get, Right::Management, list_of_vhost)],
    },
];

/// So many places are passed for one unit of work, where only one connection is looked for.
const PLACES_PER_WORK: usize = 16;

/// What a client is told whose connection an operator closes without a reason.
const REASON: &str = "Closed via management plugin";

/// The longest reason in bytes: it has to fit into a short string with what comes before it.
const REASON_BYTES_MAX: usize = 200;

/// What it costs to look for a text in what one says of itself.
const WORK_PER_SEARCH: usize = 10;

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Connections::searched(call))
}

fn list_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let user = Some(Name::from(call.part(0)));
    list::answer(call, Connections { user, ..Connections::searched(call) })
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Connections { vhost, ..Connections::searched(call) })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let key = named(call.context, call.caller, call.parts[0])?;
    let ranges = Ranges::of(call.request, call.context.broker)?;
    let connection = call.context.node.connection(key).ok_or_else(Response::not_found)?;
    let Traffic { received_bytes, sent_bytes, .. } = connection.traffic;
    let now = watched::figures([0; 2], &[received_bytes, sent_bytes]);
    let looked = Looked::at(call.context.broker, Watchable::Connection(key), &ranges, now);
    let mut shown = item(call.context, key, Some(&looked)).ok_or_else(Response::not_found)?;
    // RabbitMQ writes what is missing in another way here than in lists.
    if let Value::Object(fields) = &mut shown {
        fields.values_mut().filter(|value| value.is_null()).for_each(|value| *value = json!(""));
    }
    call.show(shown)
}

fn close(call: &mut Call<'_, '_>) -> Outcome {
    let key = named(call.context, call.caller, call.parts[0])?;
    let reason = reason(call.request);
    info!("user '{}' closes connection {}", call.caller.name, call.part(0).escape_ascii());
    call.context.broker.force_close(key, reason);
    Ok(Response::empty(204).into())
}

fn close_all_of_user(call: &mut Call<'_, '_>) -> Outcome {
    let user = Some(Name::from(call.part(0)));
    let (who, whose) = (&call.caller.name, call.part(0).escape_ascii());
    info!("user '{who}' closes all connections of user '{whose}'");
    let connections = Connections { user, ..Connections::of(call) };
    Ok(Answer::Later(Box::new(CloseAll { connections, reason: reason(call.request) })))
}

/// What the operator says to the clients.
fn reason(request: &Request) -> String {
    let given = request.header("x-reason").filter(|reason| !reason.is_empty());
    let given = given.map(|reason| String::from_utf8_lossy(reason).into_owned());
    let mut reason = given.unwrap_or_else(|| REASON.to_owned());
    let end =
        (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|&at| reason.is_char_boundary(at));
    reason.truncate(end.unwrap_or(0));
    reason
}

/// The connection of a name, if the caller may see it.
///
/// # Errors
/// 404 when there is none, 401 when it is another user's.
pub fn named(
    context: &mut Context<'_>,
    caller: &Caller,
    wanted: &[u8],
) -> Result<ConnectionKey, Response> {
    let places = context.node.connection_places();
    context.broker.work.spend(places as usize / PLACES_PER_WORK);
    // Only those that come from the same place are written out.
    let peer = std::str::from_utf8(wanted).ok().and_then(|name| name.split_once(" -> "));
    let peer: SocketAddr =
        peer.and_then(|(peer, _)| peer.parse().ok()).ok_or_else(Response::not_found)?;
    let node = context.node;
    let of_peer = (0..places).filter(|&place| node.peer_at(place).map(canonical) == Some(peer));
    let mut all = of_peer.filter_map(|place| node.connection_at(place));
    let found = all.find(|connection| name(connection).as_bytes() == wanted);
    let connection = found.ok_or_else(Response::not_found)?;
    if caller.is_monitor() || *connection.user == caller.name {
        return Ok(connection.key);
    }
    Err(Response::not_authorised("User not authorised to access connection"))
}

/// Those that the caller sees.
pub struct Connections {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    user: Option<Name>,
    /// Only those that have this in what one knows them by.
    search: Option<Vec<u8>>,
    caller: Caller,
    is_short: bool,
}

impl Connections {
    fn of(call: &Call<'_, '_>) -> Self {
        let (caller, is_short) = (call.caller.clone(), call.has_flag("disable_stats"));
        Self { at: 0, vhost: None, user: None, search: None, caller, is_short }
    }

    /// Those of them that a request looks for.
    fn searched(call: &Call<'_, '_>) -> Self {
        let text = call.request.parameter("search").filter(|text| !text.is_empty());
        Self { search: text.map(|text| text.as_bytes().to_vec()), ..Self::of(call) }
    }

    fn takes(&self, connection: &Connection<'_>) -> bool {
        self.vhost.is_none_or(|vhost| vhost == connection.vhost)
            && self.user.as_ref().is_none_or(|user| user == connection.user)
            && (self.caller.is_monitor() || self.caller.name == *connection.user)
            && self.search.as_ref().is_none_or(|part| is_known_by(connection, part))
    }
}

/// Whether the user, the vhost, the addresses, or the name or the product that the client says have
/// this in them.
fn is_known_by(connection: &Connection<'_>, part: &[u8]) -> bool {
    let has = |text: &[u8]| list::has_part(text, part);
    let of_client = |key: &[u8]| {
        let value = connection.client_properties.find(key);
        value.and_then(|value| value.text()).is_some_and(has)
    };
    has(connection.user)
        || has(connection.vhost_name)
        || has(name(connection).as_bytes())
        || of_client(b"connection_name")
        || of_client(b"product")
}

impl Source for Connections {
    type Key = ConnectionKey;

    const WORK_PER_ITEM: usize = 100;

    fn work_per_place(&self) -> usize {
        1 + if self.search.is_some() { WORK_PER_SEARCH } else { 0 }
    }

    fn next(&mut self, context: &Context<'_>) -> Next<ConnectionKey> {
        if self.at >= context.node.connection_places() {
            return Next::End;
        }
        let found = context.node.connection_at(self.at);
        self.at += 1;
        match found {
            Some(connection) if self.takes(&connection) => Next::Item(connection.key),
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &ConnectionKey) -> Option<(Name, Name)> {
        let connection = context.node.connection(*key)?;
        Some((Name::default(), Name::from(name(&connection))))
    }

    fn field(&self, context: &Context<'_>, key: &ConnectionKey, path: &str) -> Option<Field> {
        let connection = context.node.connection(*key)?;
        #[allow(clippy::cast_precision_loss, reason = "it orders")]
        let number = |number: u64| Field::Number(number as f64);
        Some(match path {
            "name" => Field::Text(Name::from(name(&connection))),
            "user" => Field::Text(connection.user.clone()),
            "vhost" => Field::Text(connection.vhost_name.clone()),
            "channels" => Field::count(connection.channels),
            "connected_at" => number(connection.connected_at_ms),
            "recv_oct" => number(connection.traffic.received_bytes),
            "send_oct" => number(connection.traffic.sent_bytes),
            _ => return None,
        })
    }

    fn item(&self, context: &Context<'_>, key: &ConnectionKey) -> Option<Value> {
        item(context, *key, (!self.is_short).then_some(&Looked::never()))
    }
}

/// Closes the connections of a user, a bounded number a turn.
struct CloseAll {
    connections: Connections,
    reason: String,
}

impl Work for CloseAll {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        while !context.broker.work.is_done() {
            context.broker.work.spend(1);
            match self.connections.next(context) {
                Next::Item(key) => context.broker.force_close(key, self.reason.clone()),
                Next::Nothing => {}
                Next::End => return Progress::Instead(Response::empty(204)),
            }
        }
        Progress::Unfinished
    }
}

/// A connection's name, as RabbitMQ makes them.
pub fn name(connection: &Connection<'_>) -> String {
    Ends { peer: connection.peer, local: Some(connection.local) }.to_string()
}

/// What the client calls itself, where it does.
pub fn provided_name(connection: &Connection<'_>) -> Option<Value> {
    let name = connection.client_properties.find(b"connection_name")?;
    Some(json::text(name.text()?))
}

/// Which connection something belongs to.
pub fn details(connection: &Connection<'_>) -> Value {
    let mut shown = json!({
        "name": name(connection),
        "peer_host": host(connection.peer),
        "peer_port": connection.peer.port(),
    });
    if let Some(name) = provided_name(connection) {
        shown["user_provided_name"] = name;
    }
    shown
}

/// A host's address; an IPv4 one also where it came to a socket for both versions of IP.
pub fn host(address: SocketAddr) -> String {
    canonical(address).ip().to_string()
}

/// What is shown of a connection, if it is still open; without statistics, only whose it is.
fn item(context: &Context<'_>, key: ConnectionKey, looked: Option<&Looked>) -> Option<Value> {
    let connection = context.node.connection(key)?;
    let user = json::text(connection.user);
    let mut shown = json!({
        "name": name(&connection),
        "vhost": json::text(connection.vhost_name),
        "user": user,
        "node": context.node.identity().node_name,
    });
    let Some(looked) = looked else {
        return Some(shown);
    };
    let properties = json::table(connection.client_properties);
    let provided = properties.get("connection_name").cloned();
    let traffic = connection.traffic;
    let more = json!({
        "auth_mechanism": json::text(connection.mechanism),
        "channel_max": connection.channel_max,
        "channels": connection.channels,
        "connected_at": connection.connected_at_ms,
        "frame_max": connection.frame_bytes_max,
        "garbage_collection": garbage_collection(),
        "host": host(connection.local),
        "peer_cert_issuer": null,
        "peer_cert_subject": null,
        "peer_cert_validity": null,
        "peer_host": host(connection.peer),
        "peer_port": connection.peer.port(),
        "port": connection.local.port(),
        "protocol": if connection.is_web { "Web AMQP 0-9-1" } else { "AMQP 0-9-1" },
        "recv_cnt": traffic.received_count,
        "recv_oct": traffic.received_bytes,
        "send_cnt": traffic.sent_count,
        "send_oct": traffic.sent_bytes,
        "send_pend": connection.pending_bytes,
        "ssl": false,
        "ssl_cipher": null,
        "ssl_hash": null,
        "ssl_key_exchange": null,
        "ssl_protocol": null,
        "state": state(context, &connection),
        "timeout": connection.heartbeat_s,
        "type": "network",
        "user_who_performed_action": user,
        "client_properties": properties,
    });
    looked.add_traffic(&mut shown, connection.traffic_rates);
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
        shown.extend(provided.map(|name| ("user_provided_name".to_owned(), name)));
    }
    Some(shown)
}

/// `blocking` means that it will be blocked when it publishes.
fn state(context: &Context<'_>, connection: &Connection<'_>) -> &'static str {
    match (context.broker.block_reasons().is_any(), connection.is_blocked) {
        (true, true) => "blocked",
        (true, false) => "blocking",
        (false, true) => "flow",
        (false, false) => "running",
    }
}
