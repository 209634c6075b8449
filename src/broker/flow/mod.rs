//! Which way does a message go: in, on, out, and away?

pub mod admission;
pub mod blind;
pub mod bodies;
pub mod commit;
pub mod compaction;
pub mod counting;
pub mod dead_letter;
pub mod death;
pub mod deduplication;
pub mod delayed;
pub mod delivery;
pub mod events;
pub mod expiry;
pub mod firehose;
pub mod hand_over;
pub(in crate::broker) mod held_letters;
pub mod lengths;
pub mod message;
pub mod notices;
pub(in crate::broker) mod pending;
pub mod publish;
pub mod removal;
pub mod republish;
pub mod retention;
pub mod settle;
pub mod stream_reader;
pub mod transaction;
