//! How long does it take to find the queues of a message?

use divan::{Bencher, black_box};
use leveret::amqp::method::queue;
use leveret::amqp::{PropertyList, TableBuf, encoder};
use leveret::broker::QueueKey;

#[path = "../tests/common/memory.rs"]
#[allow(dead_code, reason = "shared with a test and other benches")]
mod memory;

use memory::Memory;

fn main() {
    divan::main();
}

const BINDINGS: usize = 100_000;

/// Binds 1000 queues to `exchange` with so many patterns.
fn bound(exchange: &str, pattern: impl Fn(usize) -> String) -> Memory {
    let mut memory = Memory::new();
    let client = memory.connect();
    for number in 0..1000 {
        memory.declare(client, &format!("q{number}"), false);
    }
    let mut input = Vec::new();
    for number in 0..BINDINGS {
        let (name, key) = (format!("q{}", number % 1000), pattern(number));
        let bind = queue::Bind {
            queue: name.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            nowait: true,
            ..Default::default()
        };
        encoder::method_frame(&mut input, 1, &bind);
    }
    memory.send(client, &input);
    memory
}

fn route(
    bencher: Bencher<'_, '_>,
    memory: &mut Memory,
    exchange: &str,
    keys: &[String],
    properties: &PropertyList<'_>,
) {
    let vhost = memory.node.broker.topology().vhost_named(b"/").expect("it was made");
    let exchange = memory.node.broker.topology().exchange_named(vhost, exchange.as_bytes());
    let exchange = exchange.expect("it is predeclared");
    let mut queues: Vec<QueueKey> = Vec::new();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % keys.len();
        let key = keys[next].as_bytes();
        memory.node.broker.route(exchange, black_box(key), properties, &mut queues);
        queues.len()
    });
}

#[divan::bench]
fn direct_of_100_000(bencher: Bencher<'_, '_>) {
    let mut memory = bound("amq.direct", |number| format!("key.{number}"));
    let keys: Vec<_> = (0..1000).map(|n| format!("key.{}", n * 97)).collect();
    route(bencher, &mut memory, "amq.direct", &keys, &PropertyList::default());
}

#[divan::bench]
fn topic_of_100_000_exact(bencher: Bencher<'_, '_>) {
    let mut memory = bound("amq.topic", |number| format!("a{}.b{}.c", number % 317, number));
    let keys: Vec<_> = (0..1000).map(|n| format!("a{}.b{}.c", n * 97 % 317, n * 97)).collect();
    route(bencher, &mut memory, "amq.topic", &keys, &PropertyList::default());
}

#[divan::bench]
fn topic_of_100_000_with_wildcards(bencher: Bencher<'_, '_>) {
    let mut memory = bound("amq.topic", |number| match number % 3 {
        0 => format!("a{}.*.c{}", number % 317, number),
        1 => format!("a{}.b{number}.#", number % 317),
        _ => format!("*.b{number}.*"),
    });
    let key = |n: usize| format!("a{}.b{}.c{}", n % 317, n, n);
    let keys: Vec<_> = (0..1000).map(|n| key(n * 97)).collect();
    route(bencher, &mut memory, "amq.topic", &keys, &PropertyList::default());
}

/// Each binding wants a kind, which all share, and a number of its own.
#[divan::bench(args = [1, 5, 100, 10_000])]
fn headers_of(bencher: Bencher<'_, '_>, bindings: i64) {
    let mut memory = Memory::new();
    let client = memory.connect();
    let fields = |number: i64| {
        let mut fields = TableBuf::new();
        fields.put_str(b"kind", "order");
        fields.put_i64(b"number", number);
        fields
    };
    let mut input = Vec::new();
    for number in 0..bindings {
        let (name, arguments) = (format!("q{}", number % 1000), fields(number));
        memory.declare(client, &name, false);
        let bind = queue::Bind {
            queue: name.as_bytes(),
            exchange: b"amq.headers",
            arguments: arguments.table(),
            nowait: true,
            ..Default::default()
        };
        encoder::method_frame(&mut input, 1, &bind);
    }
    memory.send(client, &input);
    let mut sent = fields(bindings - 1);
    sent.put_str(b"from", "somebody");
    let properties = PropertyList { headers: Some(sent.table()), ..Default::default() };
    route(bencher, &mut memory, "amq.headers", &["k".to_owned()], &properties);
}
