//! Who consumes from which queue?

use serde_json::{Value, json};

use super::connections;
use crate::amqp::{Name, Table};
use crate::broker::{Consumer, ConsumerKey, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::json;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "consumers", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "consumers/*", methods: &[(Method::Get, Right::Management, list_of_vhost)] },
];

/// What it costs to show one.
pub const WORK_PER_CONSUMER: usize = 60;

/// A queue or a channel is shown with so many of its consumers: they are held until all are there.
/// The list of consumers has them all.
pub const SHOWN_MAX: usize = 1_000;

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Consumers { at: 0, vhost: None, caller: call.caller.clone() })
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Consumers { at: 0, vhost, caller: call.caller.clone() })
}

/// Those at queues that the caller sees, of all vhosts or of one.
struct Consumers {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    caller: Caller,
}

impl Consumers {
    /// Whether it belongs into the list. Those of direct replies are consumers to nobody.
    fn takes(&self, context: &Context<'_>, consumer: &Consumer) -> bool {
        let broker = &context.broker;
        let queue = broker.queues().get(consumer.queue).filter(|queue| !queue.is_reply_queue);
        queue.is_some_and(|queue| self.caller.lists(broker, self.vhost, queue.vhost))
    }
}

impl Source for Consumers {
    type Key = ConsumerKey;

    const WORK_PER_ITEM: usize = WORK_PER_CONSUMER;

    fn next(&mut self, context: &Context<'_>) -> Next<ConsumerKey> {
        let queues = context.broker.queues();
        if self.at >= queues.consumer_places() {
            return Next::End;
        }
        let found = queues.consumer_at(self.at);
        self.at += 1;
        match found {
            Some((key, consumer)) if self.takes(context, consumer) => Next::Item(key),
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &ConsumerKey) -> Option<(Name, Name)> {
        let consumer = context.broker.queues().consumer(*key)?;
        let queue = context.broker.queues().get(consumer.queue)?;
        Some((context.broker.topology().vhost_name(queue.vhost), consumer.tag.clone()))
    }

    fn field(&self, context: &Context<'_>, key: &ConsumerKey, path: &str) -> Option<Field> {
        let consumer = context.broker.queues().consumer(*key)?;
        (path == "consumer_tag").then(|| Field::Text(consumer.tag.clone()))
    }

    fn item(&self, context: &Context<'_>, key: &ConsumerKey) -> Option<Value> {
        item(context, *key)
    }
}

/// What is shown of a consumer, if it is still there.
pub fn item(context: &Context<'_>, key: ConsumerKey) -> Option<Value> {
    let queues = context.broker.queues();
    let consumer = queues.consumer(key)?;
    let queue = queues.get(consumer.queue)?;
    let active = queue.line.active();
    let (is_active, status) = match queue.line.is_single_active() {
        true if active == Some(key) => (true, "single_active"),
        true => (false, "waiting"),
        false => (true, "up"),
    };
    let vhost = context.broker.topology().vhost_name(queue.vhost);
    Some(json!({
        "arguments": json::table(Table::new(&consumer.arguments).unwrap_or(Table::EMPTY)),
        "ack_required": !consumer.no_ack,
        "active": is_active,
        "activity_status": status,
        "channel_details": channel_details(context, consumer),
        "consumer_tag": json::text(&consumer.tag),
        "consumer_timeout": queues.consumer_timeout_of(consumer.queue),
        "exclusive": consumer.exclusive,
        "messages_unacknowledged": consumer.unacked,
        "prefetch_count": consumer.prefetch,
        "queue": { "name": json::text(&queue.name), "vhost": json::text(&vhost) },
    }))
}

fn channel_details(context: &Context<'_>, consumer: &Consumer) -> Value {
    let channel = context.broker.queues().channel(consumer.channel);
    let found = channel
        .and_then(|channel| Some((channel.number, context.node.connection(channel.connection)?)));
    let Some((number, connection)) = found else {
        return json!({});
    };
    let name = connections::name(&connection);
    json!({
        "connection_name": name,
        "name": format!("{name} ({number})"),
        "node": context.node.identity().node_name,
        "number": number,
        "peer_host": connections::host(connection.peer),
        "peer_port": connection.peer.port(),
        "user": json::text(connection.user),
    })
}
