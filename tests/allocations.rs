//! Does a message in steady state cost an allocation? None does, on no way that is called the hot
//! path: a turn may allocate a little, however many messages it moves.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[path = "common/memory.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod memory;

use memory::{Memory, ack, publish};

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and nobody asks for it.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is handed on to `System` with the arguments that it came with, so that its
// promises are ours; counting neither allocates (the counter needs no initialisation) nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of `GlobalAlloc`, which are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above; `block` came from `System`, since all of ours do.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; `block` came from `System`, since all of ours do.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Messages in a turn.
const BATCH: u64 = 500;

/// What a turn may allocate besides: the list of files to sync and the like.
const PER_TURN_MAX: u64 = 8;

/// Runs `turn` until everything has its size, then counts.
fn allocations_per_turn(mut turn: impl FnMut()) -> u64 {
    const TURNS: u64 = 50;
    for _ in 0..TURNS {
        turn();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..TURNS {
        turn();
    }
    (ALLOCATIONS.get() - before) / TURNS
}

#[test]
fn a_transient_message_to_a_consumer_without_acks_allocates_nothing() {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    memory.declare(consumer, "q", false);
    memory.consume(consumer, "q", None);
    let mut input = Vec::new();
    (0..BATCH).for_each(|_| publish(&mut input, "", "q", false, &[7; 100]));
    let allocations = allocations_per_turn(|| {
        memory.send(publisher, &input);
        assert_eq!(memory.turn() as u64, BATCH);
    });
    assert!(allocations <= PER_TURN_MAX, "{allocations} for {BATCH} messages");
}

#[test]
fn a_transient_message_that_is_acked_allocates_nothing() {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    memory.declare(consumer, "q", false);
    memory.consume(consumer, "q", Some(1000));
    let mut input = Vec::new();
    (0..BATCH).for_each(|_| publish(&mut input, "", "q", false, &[7; 100]));
    let mut delivered = 0;
    let mut acks = Vec::new();
    let allocations = allocations_per_turn(|| {
        memory.send(publisher, &input);
        delivered += memory.turn() as u64;
        acks.clear();
        ack(&mut acks, delivered);
        memory.send(consumer, &acks);
    });
    assert_eq!(delivered, 100 * BATCH);
    assert!(allocations <= PER_TURN_MAX, "{allocations} for {BATCH} messages");
}

#[test]
fn a_persistent_message_allocates_nothing_from_publish_to_confirm_and_ack() {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    memory.declare(consumer, "q", true);
    memory.consume(consumer, "q", Some(1000));
    memory.confirm(publisher);
    let mut input = Vec::new();
    (0..BATCH).for_each(|_| publish(&mut input, "", "q", true, &[7; 100]));
    let mut delivered = 0;
    let mut acks = Vec::new();
    let allocations = allocations_per_turn(|| {
        memory.send(publisher, &input);
        delivered += memory.turn() as u64;
        acks.clear();
        ack(&mut acks, delivered);
        memory.send(consumer, &acks);
    });
    assert_eq!(delivered, 100 * BATCH);
    assert!(allocations <= PER_TURN_MAX, "{allocations} for {BATCH} messages");
}

#[test]
fn a_message_to_many_queues_in_turn_allocates_nothing() {
    let mut memory = Memory::new();
    let (publisher, consumer) = (memory.connect(), memory.connect());
    let names: Vec<_> = (0..50).map(|number| format!("queue-{number}")).collect();
    for name in &names {
        memory.declare(consumer, name, false);
        memory.consume(consumer, name, None);
    }
    let mut input = Vec::new();
    for _ in 0..BATCH / 50 {
        names.iter().for_each(|name| publish(&mut input, "", name, false, &[7; 100]));
    }
    let allocations = allocations_per_turn(|| {
        memory.send(publisher, &input);
        assert_eq!(memory.turn() as u64, BATCH);
    });
    assert!(allocations <= PER_TURN_MAX, "{allocations} for {BATCH} messages");
}
