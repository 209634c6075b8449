//! Where do messages and definitions lie so that they survive? The message log (durable and
//! transient ring), the entries of queues and the definitions log. Imports `sys` only.
//!
//! # The message log on disk
//!
//! A directory holds `NNNNNNNN.segment` files and, after an orderly stop, the file `clean`.
//! Numbers in names only tell files apart; the order is that of the sequence numbers in the
//! headers. `*.new` is a file that was not finished and goes at the next start; `*.damaged` was a
//! segment in which damage was found and in which nothing is alive any more: it is kept for
//! whoever wants to look and never read again. All numbers are little endian.
//!
//! ```text
//! segment: | header, 4096 bytes | record | record | ..  ->   free   <-  .. | slot 1 | slot 0 |
//!
//! header (64 bytes, twice: at 0 and at 2048):
//!    0 magic "LEVERETS"        8 version u32            12 state u32: 1 preparing, 2 ready,
//!                                                                     3 in use
//!   16 sequence u64           24 file bytes u64         32 next message id u64
//!   40 next queue id u32      44 zero from u32          48 zeros, 12 bytes    60 crc32 u32
//!
//! slot byte n lies at file bytes - 1 - n: 0 never delivered, 1..=254 delivered so often,
//! 255 settled. One per (record, queue), numbered in the order of the records.
//!
//! every record starts at a multiple of 8:
//!    0 length u32, of the record without padding        4 crc32 u32
//!    8 kind u8                 9 flags u8               10 count u16
//!
//! kind 1, message (flags: 1 replaces, 2 parked, 4 relocated; count: queues):
//!   12 first slot u32         16 message id u64         24 published, ms u64
//!   32 expires, ms u64        40 properties length u32  44 body length u32
//!   48 exchange length u8     49 routing key length u8  50 zeros, 2 bytes
//!   52 queue ids u32 x count | replaced: sequence u64, slot u32 | parked: sequence u64,
//!      offset u32, crc32 u32 | exchange | routing key | properties | body, unless parked
//! kind 2, transaction:
//!   12 messages u32           16 settled slots u32      20 zeros, 4 bytes
//!   24 settled: (sequence u64, slot u32) each, padded to 8 | message records, crc 0, each padded
//! kind 3, space:   12 content length u32; the content follows at 16 and is not part of the record
//! kind 4, mark:    12 durable offset u32   16 durable sequence u64   24 next message id u64
//!                  32 next queue id u32    36 zeros, 4 bytes
//! kind 5, end:     12 u32: 0 the segment was full, 1 it was torn here and has this from recovery
//! ```
//!
//! The crc of a record covers everything but itself and is seeded with the sequence number of the
//! segment, the offset and the length: a record of the file's previous life, or one that was
//! written to the wrong place, never passes. A transaction is one record, so it is there as a
//! whole or not at all. A mark says up to where the log was durable when it was written; what is
//! bad before the furthest mark is damage, what is bad after it is a torn tail.
//!
//! `clean` holds: magic "LEVERETC", version u32, end offset u32, end sequence u64, next message
//! id u64, next queue id u32, crc32 u32. It is removed before the first write of the next run.
//!
//! A segment goes from preparing to ready to in use; that last header is written with the first
//! record and is durable with it, so that a segment that is ready and seems to hold nothing holds
//! nothing, and one that is in use and holds nothing is damaged or torn.
//!
//! A *parked* body (64 KiB and more) lies in a *space* of the same or an earlier segment, which
//! lives until the last slot of the message's record is settled.
//!
//! After an unclean stop nothing is ever appended to a segment that was found: records that lie
//! behind a torn place would otherwise come back. The torn place gets an *end* record. What was not
//! durable and cannot count is made a space: a message whose parked body is not whole, with its
//! transaction, and what settles something and lies in a segment behind a torn one.

mod blocks;
mod body;
mod compaction;
pub mod definitions;
mod definitions_file;
mod encode;
pub mod entries;
mod helper;
mod log;
mod record;
mod recovery;
mod reuse;
mod scan;
mod scratch;
mod segment;
mod slots;
mod store;
mod transaction;
mod types;

pub use definitions::{DamagedRange, Definitions, DefinitionsLog, DefinitionsReport};
pub use entries::{Entries, EntryQueue, ScratchPool};
pub use helper::Gate;
pub use record::Record;
pub use store::Store;
pub use types::{
    Answers, AppendError, Appended, Body, Compaction, Damage, Entry, HelperMode, LogPos, MessageId,
    ParkedBody, Publication, QueueId, RecordRef, Recovered, RecoveryReport, Relocated, SegmentKey,
    SlotRef, StorageError, StoreCounters, StoreOptions,
};

#[cfg(test)]
mod tests;
