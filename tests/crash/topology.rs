//! Which queues get which message? A fixed topology with every type of exchange and of queue, and
//! for every way of publishing the queues that it reaches, written down by hand.

use super::parts::{Part, Parts};
use crate::common::{Client, DeclareOk, TableBuf, Value, fields, named, queue, word};

/// What the mover takes from.
pub const WORK: &str = "work";
/// Where it puts what it took.
pub const DONE: &str = "done";
/// Whoever is here for [`SHORT_MS`] goes to [`FEW`].
pub const SHORT: &str = "short";
/// Has room for [`FEW_MAX`]; the oldest goes to [`DEAD`].
pub const FEW: &str = "few";
/// Whoever is rejected goes to [`DEAD`].
pub const REJECTS: &str = "rejects";
pub const DEAD: &str = "dead";
/// Behind the delayed exchange.
pub const LATER: &str = "later";
/// Behind a deduplicating exchange.
pub const ONCE: &str = "once";
/// Behind another one, and refuses what it has no room for.
pub const NARROW: &str = "narrow";
/// Deduplicates by itself.
pub const SINGLE: &str = "single";
/// Is purged now and then.
pub const PURGED: &str = "purged";
/// Is deleted and declared again now and then.
pub const PHOENIX: &str = "phoenix";
/// Is flooded, and purged now and then.
pub const FLOODED: &str = "flooded";
/// Takes the message with the highest priority first.
pub const URGENT: &str = "urgent";
pub const QUORUM: &str = "quorum";
pub const STREAM: &str = "stream";

/// What [`PHOENIX`] is bound to beside the default exchange.
pub const REBORN: &str = "x.reborn";

pub const SHORT_MS: i64 = 300;
pub const FEW_MAX: i64 = 30;
/// The longest delay of any route.
pub const DELAY_MS_MAX: i32 = 400;

/// A queue; it is durable.
#[derive(Debug)]
pub struct Queue {
    pub name: &'static str,
    /// What has to be on for this queue to be used.
    pub parts: &'static [Part],
    arguments: &'static [(&'static str, Value<'static>)],
}

const fn plain(name: &'static str) -> Queue {
    Queue { name, parts: &[], arguments: &[] }
}

/// All queues. Where messages move from one to another, the first comes first.
pub static QUEUES: [Queue; 22] = [
    plain("a"),
    plain("b"),
    plain("c"),
    plain("d"),
    plain("e"),
    plain("f"),
    plain(WORK),
    plain(DONE),
    Queue {
        name: SHORT,
        parts: &[Part::Dead],
        arguments: &[
            ("x-message-ttl", Value::I64(SHORT_MS)),
            ("x-dead-letter-exchange", Value::LongString(b"")),
            ("x-dead-letter-routing-key", Value::LongString(FEW.as_bytes())),
        ],
    },
    Queue {
        name: FEW,
        parts: &[Part::Dead],
        arguments: &[
            ("x-max-length", Value::I64(FEW_MAX)),
            ("x-dead-letter-exchange", Value::LongString(b"x.dead")),
        ],
    },
    Queue {
        name: REJECTS,
        parts: &[Part::Dead],
        arguments: &[("x-dead-letter-exchange", Value::LongString(b"x.dead"))],
    },
    Queue { name: DEAD, parts: &[Part::Dead], arguments: &[] },
    Queue { name: LATER, parts: &[Part::Delayed], arguments: &[] },
    Queue { name: ONCE, parts: &[Part::Once], arguments: &[] },
    Queue {
        name: NARROW,
        parts: &[Part::Once],
        arguments: &[
            ("x-max-length", Value::I64(20)),
            ("x-overflow", Value::LongString(b"reject-publish")),
        ],
    },
    Queue {
        name: SINGLE,
        parts: &[Part::Once],
        arguments: &[("x-message-deduplication", Value::Bool(true))],
    },
    Queue { name: PURGED, parts: &[Part::Purge], arguments: &[] },
    Queue { name: FLOODED, parts: &[Part::Flood], arguments: &[] },
    Queue { name: PHOENIX, parts: &[Part::Delete], arguments: &[] },
    Queue {
        name: URGENT,
        parts: &[Part::Priority],
        arguments: &[("x-max-priority", Value::I64(9))],
    },
    Queue {
        name: QUORUM,
        parts: &[Part::Quorum],
        arguments: &[
            ("x-queue-type", Value::LongString(b"quorum")),
            ("x-delivery-limit", Value::I64(1_000_000)),
        ],
    },
    Queue {
        name: STREAM,
        parts: &[Part::Stream],
        arguments: &[("x-queue-type", Value::LongString(b"stream"))],
    },
];

/// The queues of a load with these parts, in the order of [`QUEUES`].
pub fn queues(parts: Parts) -> impl Iterator<Item = &'static Queue> {
    QUEUES.iter().filter(move |queue| parts.have_all(queue.parts))
}

/// Where a message of this queue goes that does not stay.
fn next(queue: &str) -> Option<&'static str> {
    match queue {
        SHORT => Some(FEW),
        FEW | REJECTS => Some(DEAD),
        _ => None,
    }
}

/// How many moves after it was put into `first` a message is in `queue`; `None` when it cannot get
/// there.
pub fn station(first: &'static str, queue: &str) -> Option<usize> {
    std::iter::successors(Some(first), |at| next(at)).position(|at| at == queue)
}

/// How a route treats the name that a message bears for deduplication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Naming {
    /// There is none.
    Nameless,
    /// The exchange takes each name once, for good.
    ByExchange,
    /// The same, and the queue may refuse the message, which then may be sent again.
    ByExchangeIfRoom,
    /// The queue takes each name once while a message of it is there.
    ByQueue,
}

/// A way to publish.
#[derive(Debug)]
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    /// The queues that it reaches.
    pub queues: &'static [&'static str],
    pub parts: &'static [Part],
    pub priority: Option<u8>,
    pub delay_ms: Option<i32>,
    pub naming: Naming,
}

const fn route(
    exchange: &'static str,
    key: &'static str,
    queues: &'static [&'static str],
) -> Route {
    Route {
        exchange,
        key,
        headers: &[],
        queues,
        parts: &[],
        priority: None,
        delay_ms: None,
        naming: Naming::Nameless,
    }
}

/// To one queue, whose name is the key.
const fn to(parts: &'static [Part], queue: &'static [&'static str; 1]) -> Route {
    Route { parts, ..route("", queue[0], queue) }
}

const fn urgent(priority: u8) -> Route {
    Route { priority: Some(priority), ..to(&[Part::Priority], &[URGENT]) }
}

const fn delayed(ms: i32) -> Route {
    Route { parts: &[Part::Delayed], delay_ms: Some(ms), ..route("x.later", "whatever", &[LATER]) }
}

/// Where the mover publishes.
pub const DONE_ROUTE: usize = 0;

pub static ROUTES: [Route; 33] = [
    route("", DONE, &[DONE]),
    route("", WORK, &[WORK]),
    route("", "a", &["a"]),
    route("", "f", &["f"]),
    route("x.direct", "one", &["a", "b"]),
    route("x.direct", "two", &["c"]),
    route("x.fanout", "whatever", &["b", "c", "d"]),
    route("x.topic", "red.fast.fox", &["d", "e"]),
    route("x.topic", "red", &["d"]),
    route("x.topic", "slow", &[]),
    Route {
        headers: &[("kind", "order"), ("size", "large")],
        ..route("x.headers", "", &["e", "f"])
    },
    Route { headers: &[("kind", "order")], ..route("x.headers", "", &["e"]) },
    route("x.entry", "blue.fast.car", &["a", "e"]),
    route("", "nobody's", &[]),
    to(&[Part::Dead], &[SHORT]),
    to(&[Part::Dead], &[FEW]),
    to(&[Part::Dead], &[REJECTS]),
    delayed(20),
    delayed(DELAY_MS_MAX),
    Route {
        parts: &[Part::Once],
        naming: Naming::ByExchange,
        ..route("x.once", "whatever", &[ONCE])
    },
    Route {
        parts: &[Part::Once],
        naming: Naming::ByExchangeIfRoom,
        ..route("x.narrow", "whatever", &[NARROW])
    },
    Route { naming: Naming::ByQueue, ..to(&[Part::Once], &[SINGLE]) },
    to(&[Part::Purge], &[PURGED]),
    to(&[Part::Delete], &[PHOENIX]),
    Route { parts: &[Part::Delete], ..route(REBORN, "", &[PHOENIX, "c"]) },
    urgent(0),
    urgent(4),
    urgent(9),
    to(&[Part::Quorum], &[QUORUM]),
    to(&[Part::Stream], &[STREAM]),
    Route {
        parts: &[Part::Dead, Part::Quorum, Part::Priority, Part::Stream],
        ..route("x.mixed", "", &["a", SHORT, QUORUM, URGENT, STREAM])
    },
    Route { parts: &[Part::Dead], ..route("x.mixed.dead", "", &["f", FEW]) },
    to(&[Part::Flood], &[FLOODED]),
];

/// The number of the route that is used for floods only: the last.
pub fn flood_route() -> usize {
    ROUTES.len() - 1
}

/// The number of the route with the longest delay.
pub fn slowest_route() -> usize {
    let found = ROUTES.iter().position(|route| route.delay_ms == Some(DELAY_MS_MAX));
    found.expect("there is one")
}

/// The number of the route that leads to a stream and nowhere else.
pub fn stream_route() -> usize {
    let found = ROUTES.iter().position(|route| route.queues == [STREAM]);
    found.expect("there is one")
}

/// Exchanges with their arguments.
type Exchange = (&'static str, &'static str, &'static [(&'static str, Value<'static>)]);

const CACHE: &[(&str, Value<'static>)] = &[("x-cache-size", Value::I64(1_000_000))];

const EXCHANGES: [Exchange; 12] = [
    ("x.direct", "direct", &[]),
    ("x.fanout", "fanout", &[]),
    ("x.topic", "topic", &[]),
    ("x.headers", "headers", &[]),
    ("x.entry", "topic", &[]),
    ("x.dead", "fanout", &[]),
    ("x.later", "x-delayed-message", &[("x-delayed-type", Value::LongString(b"fanout"))]),
    ("x.once", "x-message-deduplication", CACHE),
    ("x.narrow", "x-message-deduplication", CACHE),
    (REBORN, "fanout", &[]),
    ("x.mixed", "fanout", &[]),
    ("x.mixed.dead", "fanout", &[]),
];

const BINDINGS: [(&str, &str, &str); 22] = [
    ("a", "x.direct", "one"),
    ("b", "x.direct", "one"),
    ("c", "x.direct", "two"),
    ("b", "x.fanout", ""),
    ("c", "x.fanout", ""),
    ("d", "x.fanout", ""),
    ("d", "x.topic", "red.#"),
    ("e", "x.topic", "*.fast.*"),
    ("a", "x.entry", "blue.#"),
    (DEAD, "x.dead", ""),
    (LATER, "x.later", ""),
    (ONCE, "x.once", "whatever"),
    (NARROW, "x.narrow", "whatever"),
    (PHOENIX, REBORN, ""),
    ("c", REBORN, ""),
    ("a", "x.mixed", ""),
    (SHORT, "x.mixed", ""),
    (QUORUM, "x.mixed", ""),
    (URGENT, "x.mixed", ""),
    (STREAM, "x.mixed", ""),
    ("f", "x.mixed.dead", ""),
    (FEW, "x.mixed.dead", ""),
];

/// Declares on channel 1 what a load without further parts needs; once more is no harm.
pub fn declare(client: &mut Client) {
    declare_for(client, Parts::default());
}

/// Declares on channel 1 everything that a load with these parts needs; once more is no harm.
pub fn declare_for(client: &mut Client, parts: Parts) {
    let mut has = Vec::new();
    for queue in queues(parts) {
        declare_queue(client, queue.name);
        has.push(queue.name);
    }
    for (name, kind, arguments) in EXCHANGES {
        client.durable_exchange_with(1, name, kind, fields(arguments).table());
    }
    for (queue, exchange, key) in BINDINGS {
        if has.contains(&queue) {
            client.bind(1, queue, exchange, key);
        }
    }
    let any = fields(&[("kind", word("order"))]);
    client.bind_with(1, "e", "x.headers", "", any.table());
    let all = fields(&[("x-match", word("all")), ("kind", word("order")), ("size", word("large"))]);
    client.bind_with(1, "f", "x.headers", "", all.table());
    client.bind_exchange(1, "x.topic", "x.entry", "*.fast.#");
}

fn declare_queue(client: &mut Client, name: &str) {
    let arguments = arguments(name);
    client.call::<DeclareOk>(1, declaration(name, &arguments));
}

/// The arguments of a queue.
pub fn arguments(name: &str) -> TableBuf {
    let found = QUEUES.iter().find(|queue| queue.name == name);
    fields(found.expect("it is one of ours").arguments)
}

/// How a queue is declared.
pub fn declaration<'a>(name: &'a str, arguments: &'a TableBuf) -> queue::Declare<'a> {
    queue::Declare { durable: true, arguments: arguments.table(), ..named(name) }
}

/// Declares [`PHOENIX`] again, with its binding.
pub fn declare_phoenix(client: &mut Client) {
    declare_queue(client, PHOENIX);
    client.bind(1, PHOENIX, REBORN, "");
}
