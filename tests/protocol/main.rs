//! Does the broker speak AMQP 0-9-1 as clients expect it? Each file asks about one part of the
//! protocol: the server on port 0, and a raw client that can send anything.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/memory.rs"]
#[allow(dead_code, reason = "these tests need its broker only")]
mod memory;

/// What counts the broker's memory is the whole process's.
#[global_allocator]
static ALLOCATOR: leveret::sys::CountedAllocator = leveret::sys::CountedAllocator;

mod blocked;
mod channels;
mod confirms;
mod connection;
mod consuming;
mod dead_letters;
mod death_headers;
mod deduplication;
mod delivery_limits;
mod direct_reply;
mod durable_exchange_types;
mod errors;
mod exchange_types;
mod exchanges;
mod framing;
mod hand_over;
mod held_letters;
mod lengths;
mod limits;
mod logins;
mod permissions;
mod policies;
mod priorities;
mod publish_checks;
mod publishing;
mod queue_arguments;
mod queues;
mod routing;
mod serving;
mod settling;
mod streams;
mod topic_permissions;
mod transactions;
mod ttl;
mod vhosts;
