//! Which queues are there, and how many messages have they?

use serde_json::{Value, json};

use crate::amqp::Name;
use crate::broker::{Queue, QueueKey, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::json;
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "queues", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "queues/*", methods: &[(Method::Get, Right::Management, list_of_vhost)] },
    Route { path: "queues/*/*", methods: &[(Method::Get, Right::Management, show)] },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Queues { at: 0, vhost: None, caller: call.caller.clone() })
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Queues { at: 0, vhost, caller: call.caller.clone() })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let key = call.context.broker.topology().queue_named(vhost, call.part(1));
    let queue = key.and_then(|key| item(call.context, key)).ok_or_else(Response::not_found)?;
    call.show(queue)
}

/// Those that the caller sees, of all vhosts or of one.
struct Queues {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    caller: Caller,
}

impl Queues {
    /// Whether it belongs into the list. Those of direct replies are queues to nobody.
    fn takes(&self, context: &Context<'_>, key: QueueKey, queue: &Queue) -> bool {
        let is_seen = || match self.vhost {
            Some(vhost) => vhost == queue.vhost,
            None => context
                .broker
                .topology()
                .vhost(queue.vhost)
                .is_some_and(|vhost| self.caller.sees(context.broker.users(), &vhost.name)),
        };
        !queue.is_reply_queue && is_seen() && !context.broker.queues().is_leaving(key)
    }
}

impl Source for Queues {
    type Key = QueueKey;

    const WORK_PER_ITEM: usize = 50;

    fn next(&mut self, context: &Context<'_>) -> Next<QueueKey> {
        let queues = context.broker.queues();
        if self.at >= queues.places() {
            return Next::End;
        }
        let found = queues.at(self.at);
        self.at += 1;
        match found {
            Some((key, queue)) if self.takes(context, key, queue) => Next::Item(key),
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &QueueKey) -> Option<(Name, Name)> {
        let queue = context.broker.queues().get(*key)?;
        Some((context.broker.topology().vhost_name(queue.vhost), queue.name.clone()))
    }

    fn field(&self, context: &Context<'_>, key: &QueueKey, path: &str) -> Option<Field> {
        let queue = context.broker.queues().get(*key)?;
        Some(match path {
            "name" => Field::Text(queue.name.clone()),
            "messages" => Field::count(queue.message_count() + queue.unacked),
            "messages_ready" => Field::count(queue.message_count()),
            "messages_unacknowledged" => Field::count(queue.unacked),
            "consumers" => Field::count(queue.line.len()),
            "durable" => Field::Flag(queue.declaration.durable),
            "auto_delete" => Field::Flag(queue.declaration.auto_delete),
            _ => return None,
        })
    }

    fn item(&self, context: &Context<'_>, key: &QueueKey) -> Option<Value> {
        item(context, *key)
    }
}

fn item(context: &Context<'_>, key: QueueKey) -> Option<Value> {
    let queue = context.broker.queues().get(key)?;
    let policies = context.broker.topology().policies_of(queue);
    let name = |policy: Option<_>| policy.map_or(Value::Null, json::text);
    let ready = queue.message_count();
    Some(json!({
        "arguments": json::table(queue.declaration.table()),
        "auto_delete": queue.declaration.auto_delete,
        "consumers": queue.line.len(),
        "durable": queue.declaration.durable,
        "exclusive": queue.declaration.owner.is_some(),
        "messages": ready + queue.unacked,
        "messages_ready": ready,
        "messages_unacknowledged": queue.unacked,
        "name": json::text(&queue.name),
        "node": context.node.identity().node_name,
        "operator_policy": name(policies.operator.map(|policy| policy.name.as_bytes())),
        "policy": name(policies.policy.map(|policy| policy.name.as_bytes())),
        "state": "running",
        "type": queue.settings.kind.name(),
        "vhost": json::text(&context.broker.topology().vhost_name(queue.vhost)),
    }))
}
