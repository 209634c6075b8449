//! What does a message cost from bytes in to bytes out, without the kernel's part?

use divan::{Bencher, counter::ItemsCount};

#[path = "../tests/common/memory.rs"]
#[allow(dead_code, reason = "shared with a test and other benches")]
mod memory;

use memory::{Memory, ack, publish};

fn main() {
    divan::main();
}

/// Messages in a turn.
const BATCH: u64 = 500;

#[divan::bench(args = [16, 1024])]
fn transient(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    memory.declare(consumer, "q", false);
    memory.consume(consumer, "q", None);
    let body = vec![7; body_bytes];
    let mut input = Vec::new();
    (0..BATCH).for_each(|_| publish(&mut input, "", "q", false, &body));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        memory.send(publisher, &input);
        memory.turn()
    });
}

/// One sync for 500 messages.
#[divan::bench(args = [16, 256])]
fn persistent_confirmed_and_acked(bencher: Bencher<'_, '_>, body_bytes: usize) {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    memory.declare(consumer, "q", true);
    memory.consume(consumer, "q", Some(1000));
    memory.confirm(publisher);
    let body = vec![7; body_bytes];
    let mut input = Vec::new();
    (0..BATCH).for_each(|_| publish(&mut input, "", "q", true, &body));
    let (mut delivered, mut acks) = (0, Vec::new());
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        memory.send(publisher, &input);
        delivered += memory.turn() as u64;
        acks.clear();
        ack(&mut acks, delivered);
        memory.send(consumer, &acks);
    });
}

/// Per delivery.
#[divan::bench]
fn fanout_to_10(bencher: Bencher<'_, '_>) {
    let mut memory = Memory::new();
    let publisher = memory.connect();
    for number in 0..10 {
        let consumer = memory.connect();
        let name = format!("q{number}");
        memory.declare(consumer, &name, false);
        memory.bind(consumer, &name, "amq.fanout");
        memory.consume(consumer, &name, None);
    }
    let mut input = Vec::new();
    (0..BATCH / 10).for_each(|_| publish(&mut input, "amq.fanout", "", false, &[7; 16]));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        memory.send(publisher, &input);
        memory.turn()
    });
}
