//! Which queues get which message? A fixed topology with every type of exchange, and for every way
//! of publishing the queues that it reaches, written down by hand.

use crate::common::{
    BindOk, Client, DeclareOk, ExchangeBindOk, ExchangeDeclareOk, Table, TableBuf, exchange, queue,
};

/// All queues; they are durable.
pub const QUEUES: [&str; 8] = ["a", "b", "c", "d", "e", "f", WORK, DONE];
/// What the mover takes from.
pub const WORK: &str = "work";
/// Where it puts what it took.
pub const DONE: &str = "done";

/// A way to publish.
#[derive(Debug)]
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    /// The queues that it reaches.
    pub queues: &'static [&'static str],
}

const fn route(
    exchange: &'static str,
    key: &'static str,
    queues: &'static [&'static str],
) -> Route {
    Route { exchange, key, headers: &[], queues }
}

/// Where the mover publishes.
pub const DONE_ROUTE: usize = 0;

pub const ROUTES: [Route; 14] = [
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
];

const EXCHANGES: [(&str, &str); 5] = [
    ("x.direct", "direct"),
    ("x.fanout", "fanout"),
    ("x.topic", "topic"),
    ("x.headers", "headers"),
    ("x.entry", "topic"),
];

const BINDINGS: [(&str, &str, &str); 9] = [
    ("a", "x.direct", "one"),
    ("b", "x.direct", "one"),
    ("c", "x.direct", "two"),
    ("b", "x.fanout", ""),
    ("c", "x.fanout", ""),
    ("d", "x.fanout", ""),
    ("d", "x.topic", "red.#"),
    ("e", "x.topic", "*.fast.*"),
    ("a", "x.entry", "blue.#"),
];

/// Declares everything on channel 1; once more is no harm.
pub fn declare(client: &mut Client) {
    for queue in QUEUES {
        let declare =
            queue::Declare { queue: queue.as_bytes(), durable: true, ..Default::default() };
        client.call::<DeclareOk>(1, declare);
    }
    for (name, kind) in EXCHANGES {
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: kind.as_bytes(),
            durable: true,
            ..Default::default()
        };
        client.call::<ExchangeDeclareOk>(1, declare);
    }
    for (queue, exchange, key) in BINDINGS {
        bind(client, queue, exchange, key, Table::EMPTY);
    }
    let mut any = TableBuf::new();
    any.put_str(b"kind", "order");
    bind(client, "e", "x.headers", "", any.table());
    let mut all = TableBuf::new();
    all.put_str(b"x-match", "all");
    all.put_str(b"kind", "order");
    all.put_str(b"size", "large");
    bind(client, "f", "x.headers", "", all.table());
    let bind = exchange::Bind {
        destination: b"x.topic",
        source: b"x.entry",
        routing_key: b"*.fast.#",
        ..Default::default()
    };
    client.call::<ExchangeBindOk>(1, bind);
}

fn bind(client: &mut Client, queue: &str, exchange: &str, key: &str, arguments: Table<'_>) {
    let bind = queue::Bind {
        queue: queue.as_bytes(),
        exchange: exchange.as_bytes(),
        routing_key: key.as_bytes(),
        nowait: false,
        arguments,
    };
    client.call::<BindOk>(1, bind);
}
