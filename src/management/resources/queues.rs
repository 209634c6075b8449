//! Which queues are there, and how many messages have they?

use serde_json::{Value, json};

use super::consumers;
use super::queue_states::{States, WORK_PER_FRONT};
use super::{queue_browse, queue_changes, queue_messages, queue_requeue, queue_transfer};
use crate::amqp::{Name, Properties};
use crate::broker::arguments::QueueKind;
use crate::broker::counters::{NO_TIMES, QueueCounters, TimesInQueue};
use crate::broker::watched::Watchable;
use crate::broker::{ConsumerKey, Queue, QueueKey, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::json;
use crate::management::list::{self, Columns, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::samples::Ranges;
use crate::management::stats::{self, Looked};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "queues", methods: &[(Method::Get, Right::Management, list_all)] },
    // A vhost of this name can only be asked for with a name of a queue, as in RabbitMQ.
    Route { path: "queues/detailed", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "queues/*", methods: &[(Method::Get, Right::Management, list_of_vhost)] },
    Route {
        path: "queues/*/*",
        methods: &[
            (Method::Get, Right::Management, show),
            (Method::Put, Right::Management, queue_changes::put),
            (Method::Delete, Right::Management, queue_changes::delete),
        ],
    },
    Route {
        path: "queues/*/*/contents",
        methods: &[(Method::Delete, Right::Management, queue_changes::purge)],
    },
    Route {
        path: "queues/*/*/actions",
        methods: &[(Method::Post, Right::Management, queue_changes::act)],
    },
    Route {
        path: "queues/*/*/get",
        methods: &[(Method::Post, Right::Management, queue_messages::get)],
    },
    Route {
        path: "queues/*/*/browse",
        methods: &[(Method::Get, Right::Management, queue_browse::browse)],
    },
    Route {
        path: "queues/*/*/messages/move",
        methods: &[(Method::Post, Right::Management, queue_transfer::move_messages)],
    },
    Route {
        path: "queues/*/*/messages/copy",
        methods: &[(Method::Post, Right::Management, queue_transfer::copy_messages)],
    },
    Route {
        path: "queues/*/*/messages/delete",
        methods: &[(Method::Post, Right::Management, queue_transfer::delete_messages)],
    },
    Route {
        path: "queues/*/*/messages/requeue",
        methods: &[(Method::Post, Right::Management, queue_requeue::requeue)],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    let (detail, states) = (Detail::of(call), States::of(call.request)?);
    list::answer(call, Queues { at: 0, vhost: None, caller: call.caller.clone(), states, detail })
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let (vhost, detail) = (Some(call.vhost(0)?), Detail::of(call));
    let states = States::of(call.request)?;
    list::answer(call, Queues { at: 0, vhost, caller: call.caller.clone(), states, detail })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let key = call.context.broker.topology().queue_named(vhost, call.part(1));
    let queues = call.context.broker.queues();
    let key = key.filter(|&key| !queues.is_leaving(key)).ok_or_else(Response::not_found)?;
    let queue = queues.get(key).ok_or_else(Response::not_found)?;
    let consumers = queue.line.members().take(consumers::SHOWN_MAX).collect();
    let ranges = Ranges::of(call.request, call.context.broker)?;
    let (columns, detail) = (Columns::of(call.request), Detail::of(call));
    let shown = Vec::new();
    let shown = Shown { key, columns, detail, ranges, consumers, at: 0, shown };
    Ok(Answer::Later(Box::new(shown)))
}

/// How much of a queue is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    All,
    /// What was declared (`disable_stats`), and perhaps how many messages there are
    /// (`enable_queue_totals`).
    Declared {
        totals: bool,
    },
}

impl Detail {
    fn of(call: &Call<'_, '_>) -> Self {
        match call.has_flag("disable_stats") {
            true => Self::Declared { totals: call.has_flag("enable_queue_totals") },
            false => Self::All,
        }
    }
}

/// One queue with its consumers, however many turns they take.
struct Shown {
    key: QueueKey,
    columns: Columns,
    detail: Detail,
    ranges: Ranges,
    /// They were there when it was asked for.
    consumers: Vec<ConsumerKey>,
    /// So many of them were looked at.
    at: usize,
    shown: Vec<Value>,
}

impl Work for Shown {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        let is_whole = self.detail == Detail::All;
        while is_whole && let Some(&consumer) = self.consumers.get(self.at) {
            if context.broker.work.is_done() {
                return Progress::Unfinished;
            }
            context.broker.work.spend(consumers::WORK_PER_CONSUMER);
            self.shown.extend(consumers::item(context, consumer));
            self.at += 1;
        }
        let figures = context.broker.figures_of_queue(self.key).filter(|_| is_whole);
        let looked = figures.map_or_else(Looked::never, |figures| {
            Looked::at(context.broker, Watchable::Queue(self.key), &self.ranges, figures)
        });
        let Some(mut queue) = item(context, self.key, self.detail, &looked) else {
            return Progress::Instead(Response::not_found());
        };
        if is_whole {
            queue["consumer_details"] = std::mem::take(&mut self.shown).into();
            queue["deliveries"] = json!([]);
            queue["incoming"] = json!([]);
            add_owner(context, self.key, &mut queue);
        }
        if is_whole {
            let found = context.broker.queues().get(self.key);
            let counters = found.and_then(|queue| queue.counters.as_deref());
            let known = counters.map_or(NO_TIMES, |counters| counters.times_in_queue);
            queue["time_in_queue"] = times(&known);
        }
        piece.extend_from_slice(self.columns.pick(queue).to_string().as_bytes());
        Progress::Finished
    }
}

/// Whose an exclusive queue is.
fn add_owner(context: &Context<'_>, key: QueueKey, shown: &mut Value) {
    let queue = context.broker.queues().get(key);
    let owner = queue.and_then(|queue| queue.declaration.owner);
    if let Some(owner) = owner.and_then(|owner| context.node.connection(owner)) {
        shown["owner_pid_details"] = super::connections::details(&owner);
    }
}

/// Those that the caller sees, of all vhosts or of one.
struct Queues {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    caller: Caller,
    /// It shows only what is in all of these.
    states: States,
    detail: Detail,
}

impl Queues {
    /// Whether it belongs into the list. Those of direct replies are queues to nobody.
    fn takes(&self, context: &Context<'_>, key: QueueKey, queue: &Queue) -> bool {
        let is_seen = || self.caller.lists(context.broker, self.vhost, queue.vhost);
        !queue.is_reply_queue
            && is_seen()
            && !context.broker.queues().is_leaving(key)
            && self.states.take(context.broker, key, queue)
    }
}

impl Source for Queues {
    type Key = QueueKey;

    /// A message is read for it, too.
    const WORK_PER_ITEM: usize = 200;

    /// Its policies are looked for, too.
    fn work_of_item(&self, context: &Context<'_>, key: &QueueKey) -> usize {
        let vhost = context.broker.queues().get(*key).map(|queue| queue.vhost);
        let policies = vhost.map_or(0, |key| context.broker.topology().work_of_policies(key));
        Self::WORK_PER_ITEM + policies
    }

    fn work_per_place(&self) -> usize {
        self.states.work()
    }

    fn work_per_field(&self, path: &str) -> usize {
        if path == OLDEST { list::WORK_PER_SORTED + WORK_PER_FRONT } else { list::WORK_PER_SORTED }
    }

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
            "vhost" => Field::Text(context.broker.topology().vhost_name(queue.vhost)),
            "messages" => Field::count(queue.message_count() + queue.unacked),
            "messages_ready" => Field::count(queue.message_count()),
            "messages_unacknowledged" => Field::count(queue.unacked),
            "consumers" => Field::count(queue.line.len()),
            "durable" => Field::Flag(queue.declaration.durable),
            "auto_delete" => Field::Flag(queue.declaration.auto_delete),
            "type" => Field::Text(Name::from(queue.settings.kind.name())),
            "memory" => Field::count(memory_bytes(queue)),
            "message_bytes" => Field::large(queue.message_bytes() + queue.unacked_bytes),
            "message_bytes_ready" => Field::large(queue.message_bytes()),
            "message_bytes_unacknowledged" => Field::large(queue.unacked_bytes),
            OLDEST => context.broker.front(*key).map_or(Field::Missing, |front| {
                Field::large(context.broker.clock_ms().saturating_sub(front.published_ms()))
            }),
            _ => return counted(queue, path),
        })
    }

    fn item(&self, context: &Context<'_>, key: &QueueKey) -> Option<Value> {
        item(context, *key, self.detail, &Looked::never())
    }
}

/// The field that is read from the log.
const OLDEST: &str = "oldest_message_age_ms";

/// A figure of what is counted in a queue.
fn counted(queue: &Queue, path: &str) -> Option<Field> {
    let counters = queue.counters.as_deref();
    if let Some(path) = path.strip_prefix("message_stats.") {
        let figure = counters.and_then(|counters| stats::figure(&counters.happened, path));
        return Some(figure.map_or(Field::Missing, Field::Number));
    }
    let [ready, unacked] = counters.map_or([0.0; 2], QueueCounters::length_rates);
    let rate = match path {
        "messages_details.rate" => ready + unacked,
        "messages_ready_details.rate" => ready,
        "messages_unacknowledged_details.rate" => unacked,
        _ => return None,
    };
    Some(Field::Number(f64::from(rate)))
}

fn item(context: &Context<'_>, key: QueueKey, detail: Detail, looked: &Looked) -> Option<Value> {
    let queue = context.broker.queues().get(key)?;
    let policies = context.broker.topology().policies_of(queue);
    let name = |policy: Option<_>| policy.map_or(Value::Null, json::text);
    let mut shown = json!({
        "arguments": json::table(queue.declaration.table()),
        "auto_delete": queue.declaration.auto_delete,
        "durable": queue.declaration.durable,
        "exclusive": queue.declaration.owner.is_some(),
        "name": json::text(&queue.name),
        "node": context.node.identity().node_name,
        "policy": name(policies.policy.map(|policy| policy.name.as_bytes())),
        "state": "running",
        "type": queue.settings.kind.name(),
        "vhost": json::text(&context.broker.topology().vhost_name(queue.vhost)),
    });
    let ready = queue.message_count();
    if detail != (Detail::Declared { totals: false }) {
        shown["messages"] = (ready + queue.unacked).into();
        shown["messages_ready"] = ready.into();
        shown["messages_unacknowledged"] = queue.unacked.into();
    }
    if detail == Detail::All {
        shown["operator_policy"] = name(policies.operator.map(|policy| policy.name.as_bytes()));
        let definition = policies.definition();
        shown["effective_policy_definition"] = json::table(definition.table());
        add_stats(context, queue, looked, &mut shown);
        add_messages(context, key, queue, &mut shown);
        add_kind(context, queue, &mut shown);
    }
    Some(shown)
}

/// What is known of its consumers and its memory.
fn add_stats(context: &Context<'_>, queue: &Queue, looked: &Looked, shown: &mut Value) {
    let queues = context.broker.queues();
    let tag = |key: Option<ConsumerKey>| {
        let consumer = key.and_then(|key| queues.consumer(key));
        consumer.map_or(Value::Null, |consumer| json::text(&consumer.tag))
    };
    let alone = queue.exclusively_consumed.then(|| queue.line.members().last()).flatten();
    // Consumers that have no credit have something to do.
    let capacity = if queue.line.anyone_waits() { 1 } else { 0 };
    shown["consumers"] = queue.line.len().into();
    shown["consumer_capacity"] = capacity.into();
    shown["consumer_utilisation"] = capacity.into();
    shown["exclusive_consumer_tag"] = tag(alone);
    shown["single_active_consumer_tag"] = tag(queue.line.active());
    shown["memory"] = memory_bytes(queue).into();
    shown["garbage_collection"] = garbage_collection();
    if let Some(counters) = &queue.counters {
        shown["message_stats"] = looked.message_stats(&counters.happened);
    }
    looked.add_lengths(shown, queue.counters.as_deref());
    if queue.line.is_empty() {
        shown["idle_since"] = json::time(queue.used_at_ms);
    }
}

/// How long its messages had been there when somebody first got them: how many up to which time,
/// and `null` for any.
fn times(times: &TimesInQueue) -> Value {
    let buckets = times.up_to().map(|(ms, count)| json!({ "up_to_ms": ms, "count": count }));
    json!({
        "buckets": buckets.collect::<Vec<_>>(),
        "count": times.count(),
        "sum_ms": times.sum(),
    })
}

/// What it takes of memory: itself, and a few bytes for each message. The bodies lie in the log.
fn memory_bytes(queue: &Queue) -> usize {
    const BYTES_PER_READY: usize = 17;
    const BYTES_PER_UNACKED: usize = 96;
    const BYTES_PER_CONSUMER: usize = 200;
    size_of::<Queue>()
        + queue.message_count() * BYTES_PER_READY
        + queue.unacked * BYTES_PER_UNACKED
        + queue.line.len() * BYTES_PER_CONSUMER
}

/// There is none: tools read the fields.
pub fn garbage_collection() -> Value {
    json!({
        "fullsweep_after": 0, "max_heap_size": 0, "min_bin_vheap_size": 0, "min_heap_size": 0,
        "minor_gcs": 0,
    })
}

/// What is known of its messages. Their bodies are nowhere but in the log.
fn add_messages(context: &Context<'_>, key: QueueKey, queue: &Queue, shown: &mut Value) {
    let ready_bytes = queue.message_bytes();
    let bytes = ready_bytes + queue.unacked_bytes;
    shown["message_bytes"] = bytes.into();
    shown["message_bytes_ready"] = ready_bytes.into();
    shown["message_bytes_unacknowledged"] = queue.unacked_bytes.into();
    shown["message_bytes_ram"] = 0.into();
    shown["message_bytes_paged_out"] = bytes.into();
    shown["messages_ram"] = 0.into();
    shown["messages_paged_out"] = (queue.message_count() + queue.unacked).into();
    if queue.stores_everything() {
        shown["messages_persistent"] = (queue.message_count() + queue.unacked).into();
        shown["message_bytes_persistent"] = bytes.into();
    }
    let front = context.broker.front(key);
    let timestamp = front.as_ref().and_then(|front| {
        let list = Properties::new(front.properties()).list().ok()?;
        list.timestamp
    });
    shown["head_message_timestamp"] = timestamp.map_or(Value::Null, Value::from);
    shown["oldest_message_age_ms"] = front.map_or(Value::Null, |front| {
        context.broker.clock_ms().saturating_sub(front.published_ms()).into()
    });
}

/// What only queues of its kind have.
fn add_kind(context: &Context<'_>, queue: &Queue, shown: &mut Value) {
    let node = &context.node.identity().node_name;
    match queue.settings.kind {
        QueueKind::Classic => {
            shown["recoverable_slaves"] = Value::Null;
            shown["messages_ready_ram"] = 0.into();
            shown["messages_unacknowledged_ram"] = 0.into();
        }
        QueueKind::Quorum => {
            let (letters, letter_bytes) = queue.waiting_letters();
            shown["messages_dlx"] = letters.into();
            shown["message_bytes_dlx"] = letter_bytes.into();
            shown["single_active_consumer_ctag"] = shown["single_active_consumer_tag"].clone();
            shown["open_files"] = json!({ node.as_str(): 0 });
            shown["leader"] = json!(node);
            shown["members"] = json!([node]);
            shown["online"] = json!([node]);
        }
        QueueKind::Stream => {
            shown["leader"] = json!(node);
            shown["members"] = json!([node]);
            shown["online"] = json!([node]);
            shown["readers"] = json!({ node.as_str(): queue.line.len() });
        }
    }
}
