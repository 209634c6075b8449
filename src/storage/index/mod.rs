//! Which messages wait in a queue? The entries of queues, in memory and, of long queues, in a
//! scratch file that goes with the process.

pub(super) mod blocks;
pub(super) mod entries;
mod scratch;
