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
use crate::management::response::Response;

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
    answer(call, None)
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    answer(call, vhost)
}

fn answer(call: &Call<'_, '_>, vhost: Option<VhostKey>) -> Outcome {
    let awaited_ms_min = match call.request.parameter(AWAITED_MIN).filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|_| {
            Response::bad_request(&format!("{AWAITED_MIN} has to be a number of milliseconds"))
        })?,
        None => 0,
    };
    let caller = call.caller.clone();
    list::answer(call, Consumers { at: 0, vhost, awaited_ms_min, caller })
}

/// Of how long their deliveries have waited.
const AWAITED: &str = "awaiting_ack_ms";

/// Lists only those whose deliveries have waited at least so long.
const AWAITED_MIN: &str = "awaiting_ack_ms_min";

/// Those at queues that the caller sees, of all vhosts or of one.
struct Consumers {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    /// Only those that have had deliveries and settled none for so long; 0 = all.
    awaited_ms_min: u64,
    caller: Caller,
}

impl Consumers {
    /// Whether it belongs into the list. Those of direct replies are consumers to nobody.
    fn takes(&self, context: &Context<'_>, consumer: &Consumer) -> bool {
        let broker = &context.broker;
        if consumer.awaited_ms(broker.clock_ms()) < self.awaited_ms_min {
            return false;
        }
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
        Some(match path {
            "consumer_tag" => Field::Text(consumer.tag.clone()),
            "messages_unacknowledged" => Field::large(consumer.unacked.into()),
            AWAITED => Field::large(consumer.awaited_ms(context.broker.clock_ms())),
            _ => return None,
        })
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
    let now_ms = context.broker.clock_ms();
    let acked_at_ms = Some(consumer.settled_at_ms).filter(|&at_ms| at_ms != 0);
    let mut shown = json!({
        "arguments": json::table(Table::new(&consumer.arguments).unwrap_or(Table::EMPTY)),
        "ack_required": !consumer.no_ack,
        "active": is_active,
        "activity_status": status,
        AWAITED: consumer.awaited_ms(now_ms),
        "channel_details": channel_details(context, consumer),
        "consumer_tag": json::text(&consumer.tag),
        "consumer_timeout": queues.consumer_timeout_of(consumer.queue),
        "exclusive": consumer.exclusive,
        "messages_unacknowledged": consumer.unacked,
        "prefetch_count": consumer.prefetch,
        "queue": { "name": json::text(&queue.name), "vhost": json::text(&vhost) },
    });
    // Tools that know nothing of it stumble over null.
    if let Some(at_ms) = acked_at_ms {
        shown["last_ack_age_ms"] = now_ms.saturating_sub(at_ms).into();
    }
    Some(shown)
}

fn channel_details(context: &Context<'_>, consumer: &Consumer) -> Value {
    let channel = context.broker.queues().channel(consumer.channel);
    let found = channel
        .and_then(|channel| Some((channel.number, context.node.connection(channel.connection)?)));
    let Some((number, connection)) = found else {
        return json!({});
    };
    let name = connections::name(&connection);
    let mut shown = json!({
        "connection_name": name,
        "name": format!("{name} ({number})"),
        "node": context.node.identity().node_name,
        "number": number,
        "peer_host": connections::host(connection.peer),
        "peer_port": connection.peer.port(),
        "user": json::text(connection.user),
    });
    if let Some(name) = connections::provided_name(&connection) {
        shown["user_provided_name"] = name;
    }
    shown
}
