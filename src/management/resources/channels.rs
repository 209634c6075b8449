//! Which channels are open, and what do they wait for?

use serde_json::{Value, json};

use super::queues::garbage_collection;
use super::{connections, consumers};
use crate::amqp::Name;
use crate::broker::counters::Counters;
use crate::broker::watched::{self, Watchable};
use crate::broker::{ChannelKey, ConnectionKey, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::json;
use crate::management::list::{self, Columns, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::samples::Ranges;
use crate::management::stats::Looked;
use crate::management::view::{Channel, Connection};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "channels", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "channels/*", methods: &[(Method::Get, Right::Management, show)] },
    Route {
        path: "vhosts/*/channels",
        methods: &[(Method::Get, Right::Management, list_of_vhost)],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    refuse_without_stats(call)?;
    list::answer(call, Channels::of(call))
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    refuse_without_stats(call)?;
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Channels { vhost, ..Channels::of(call) })
}

/// The channels of one connection.
pub fn list_of_connection(call: &mut Call<'_, '_>) -> Outcome {
    refuse_without_stats(call)?;
    let connection = Some(connections::named(call.context, call.caller, call.parts[0])?);
    list::answer(call, Channels { connection, ..Channels::of(call) })
}

/// All that there is to say of channels are statistics.
fn refuse_without_stats(call: &Call<'_, '_>) -> Result<(), Response> {
    match call.has_flag("disable_stats") {
        true => Err(Response::bad_request("Stats in management UI are disabled on this node")),
        false => Ok(()),
    }
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let channel = named(call, call.parts[0])?;
    let (key, columns) = (channel.key, Columns::of(call.request));
    let ranges = Ranges::of(call.request, call.context.broker)?;
    Ok(Answer::Later(Box::new(Shown { key, columns, ranges, at: 0, shown: Vec::new() })))
}

/// The channel of a name, if the caller may see it: a connection's name, and the number in
/// brackets.
///
/// # Errors
/// 404 when there is none, 401 when it is another user's.
pub fn named(call: &mut Call<'_, '_>, wanted: &[u8]) -> Result<Channel, Response> {
    let (name, rest) = std::str::from_utf8(wanted)
        .ok()
        .and_then(|name| name.rsplit_once(" ("))
        .ok_or_else(Response::not_found)?;
    let number = rest.strip_suffix(')').and_then(|number| number.parse().ok());
    let number: u16 = number.ok_or_else(Response::not_found)?;
    let connection = connections::named(call.context, call.caller, name.as_bytes())?;
    call.context.node.channel(connection, number).ok_or_else(Response::not_found)
}

/// One channel with its consumers, however many turns they take.
struct Shown {
    key: ChannelKey,
    columns: Columns,
    ranges: Ranges,
    /// The next of them.
    at: usize,
    shown: Vec<Value>,
}

impl Work for Shown {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        loop {
            let channel = context.broker.queues().channel(self.key);
            let next = channel.filter(|_| self.shown.len() < consumers::SHOWN_MAX);
            let Some(consumer) = next.and_then(|channel| channel.consumers.at(self.at)) else {
                break;
            };
            if context.broker.work.is_done() {
                return Progress::Unfinished;
            }
            context.broker.work.spend(consumers::WORK_PER_CONSUMER);
            self.shown.extend(consumers::item(context, consumer));
            self.at += 1;
        }
        let counters = counters(context, self.key).unwrap_or_default();
        let (object, now) =
            (Watchable::Channel(self.key), watched::figures([0; 2], counters.counts()));
        let looked = match find(context, self.key) {
            Some(_) => Looked::at(context.broker, object, &self.ranges, now),
            None => Looked::never(),
        };
        let Some(mut channel) = item(context, self.key, &looked) else {
            return Progress::Instead(Response::not_found());
        };
        channel["consumer_details"] = std::mem::take(&mut self.shown).into();
        channel["deliveries"] = json!([]);
        channel["publishes"] = json!([]);
        piece.extend_from_slice(self.columns.pick(channel).to_string().as_bytes());
        Progress::Finished
    }
}

/// Those that the caller sees.
struct Channels {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    connection: Option<ConnectionKey>,
    caller: Caller,
}

impl Channels {
    fn of(call: &Call<'_, '_>) -> Self {
        Self { at: 0, vhost: None, connection: None, caller: call.caller.clone() }
    }

    fn takes(&self, connection: &Connection<'_>) -> bool {
        self.vhost.is_none_or(|vhost| vhost == connection.vhost)
            && self.connection.is_none_or(|key| key == connection.key)
            && (self.caller.is_monitor() || self.caller.name == *connection.user)
    }
}

impl Source for Channels {
    type Key = ChannelKey;

    const WORK_PER_ITEM: usize = 70;

    fn next(&mut self, context: &Context<'_>) -> Next<ChannelKey> {
        let queues = context.broker.queues();
        if self.at >= queues.channel_places() {
            return Next::End;
        }
        let found = queues.channel_at(self.at);
        self.at += 1;
        let Some((key, channel)) = found else {
            return Next::Nothing;
        };
        let takes_all =
            self.vhost.is_none() && self.connection.is_none() && self.caller.is_monitor();
        let connection = || context.node.connection(channel.connection);
        match takes_all || connection().is_some_and(|connection| self.takes(&connection)) {
            true => Next::Item(key),
            false => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &ChannelKey) -> Option<(Name, Name)> {
        let (connection, channel) = find(context, *key)?;
        Some((Name::default(), Name::from(name(&connection, &channel))))
    }

    fn field(&self, context: &Context<'_>, key: &ChannelKey, path: &str) -> Option<Field> {
        let (connection, channel) = find(context, *key)?;
        Some(match path {
            "name" => Field::Text(Name::from(name(&connection, &channel))),
            "user" => Field::Text(connection.user.clone()),
            "vhost" => Field::Text(connection.vhost_name.clone()),
            "number" => Field::count(usize::from(channel.number)),
            "consumer_count" => Field::count(channel.consumers),
            "messages_unacknowledged" => Field::count(channel.unacked),
            "messages_unconfirmed" => Field::count(channel.unconfirmed),
            _ => return None,
        })
    }

    fn item(&self, context: &Context<'_>, key: &ChannelKey) -> Option<Value> {
        item(context, *key, &Looked::never())
    }
}

fn find<'a>(context: &'a Context<'_>, key: ChannelKey) -> Option<(Connection<'a>, Channel)> {
    let channel = context.broker.queues().channel(key)?;
    let connection = context.node.connection(channel.connection)?;
    Some((connection, context.node.channel(channel.connection, channel.number)?))
}

fn name(connection: &Connection<'_>, channel: &Channel) -> String {
    format!("{} ({})", connections::name(connection), channel.number)
}

/// What happened on it, if anything did.
fn counters(context: &Context<'_>, key: ChannelKey) -> Option<Counters> {
    let channel = context.broker.queues().channel(key)?;
    context.node.channel_counters(channel.connection, channel.number)
}

fn item(context: &Context<'_>, key: ChannelKey, looked: &Looked) -> Option<Value> {
    let (connection, channel) = find(context, key)?;
    let shared_prefetch = context.broker.queues().channel(key).map_or(0, |credit| credit.prefetch);
    let user = json::text(connection.user);
    let mut shown = json!({
        "acks_uncommitted": channel.uncommitted_acks,
        "confirm": channel.confirms,
        "connection_details": connections::details(&connection),
        "consumer_count": channel.consumers,
        "garbage_collection": garbage_collection(),
        "global_prefetch_count": shared_prefetch,
        "messages_unacknowledged": channel.unacked,
        "messages_uncommitted": channel.uncommitted,
        "messages_unconfirmed": channel.unconfirmed,
        "name": name(&connection, &channel),
        "node": context.node.identity().node_name,
        "number": channel.number,
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "state": "running",
        "transactional": channel.transactional,
        "user": user,
        "user_who_performed_action": user,
        "vhost": json::text(connection.vhost_name),
    });
    if let Some(counters) = counters(context, key) {
        shown["message_stats"] = looked.message_stats(&counters);
    }
    Some(shown)
}
