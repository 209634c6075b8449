//! Where do messages and definitions lie so that they survive? One log for everything durable,
//! append only; a second ring of the same code for what is transient; the entries of queues.
//! Imports `sys` only.
//!
//! # The log on disk
//!
//! A directory holds segment files, `NNNNNNNN.segment`, all of one size. Numbers in names only tell
//! files apart. All numbers are little endian; a *varint* is LEB128.
//!
//! ```text
//! segment: | header, 4096 bytes | chain | record | record | .. | end |   bytes of earlier lives
//!
//! header:    0 magic "LEVERETL"   8 version u32   12 zeros   16 file bytes u64   24 salt u64
//!           32 crc32 u32
//!
//! every record starts at a multiple of 8 and begins so:
//!            0 length u32, of the record without padding     4 crc32 u32     8 tag u32
//!           12 kind u8    13 flags u8    14 u8    15 u8
//!
//!  1 message (14, 15: lengths of exchange and routing key; flags: 1 replaces, 2 large,
//!            4 relocated, 8 expires, 16 defines):
//!           16 id u64            24 published, ms u64     32 first slot u32   36 queues u32
//!           40 properties u32    44 body u32
//!           48 queue ids u64 x queues | expires: ms u64 | replaces: sequence u64, slot u32
//!              | large: pieces u32, (sequence u64, offset u32, bytes u32) x pieces
//!              | defines: key u32, payload u32 | exchange | routing key | properties
//!              | key, payload | body, unless large
//!  2 transaction (flags: 1 more of it follows):
//!           16 messages u32      20 statement bytes u32   24 number u64, 0: it is one record
//!           32 statement, padded | message records, crc and tag 0, each padded
//!  3 piece: 16 a part of a large body
//!  4 settle: 16 a statement
//!  5 state: 16 sequence, slots varints, form u8; form 0: (count varint, state u8) ..
//!              form 1: a bit for each slot, 1 is settled | (gap varint, deliveries u8) ..
//!  6 definition (flags: 1 replaces):
//!           16 id u64            24 next queue id u64     32 slot u32         36 key u32
//!           40 payload u32       44 slot replaced u32     48 its sequence u64 56 key | payload
//!  7 mark (flags: 1 it is the sequence of this segment):
//!           16 durable sequence u64                       24 durable offset u32
//!  8 chain: 16 sequence u64      24 epoch u64             32 sequence before u64
//!           40 salt of that u64  48 next message id u64   56 next queue id u64
//!           64 durable sequence  72 durable offset u32    76 end of the segment before u32
//!  9 inventory: 16 (gap, count varints of sequences in use) ..
//! 10 clean: 16 next message id u64                        24 next queue id u64
//! 11 end:  16 sequence u64
//!
//! statement: sequence, ranges varints | (gap from the one before << 1 | is a count, slots varints,
//!            deliveries u8 if it is a count) x ranges | the next segment ..
//! ```
//!
//! A *slot* is what is alive or settled: one for each queue that a message went to, one for each
//! definition, also for one that travels with a message. Slots are numbered within their segment,
//! in the order of its records, and live in memory, a byte each: 0..=254 delivered so often, 255
//! settled. The log says what becomes of them in statements, or in the record that replaces them.
//!
//! The *tag* is the high half of the segment's salt, mixed with the record's offset; the crc begins
//! with the low half and the offset. The salt is random, of this life of the file, and never leaves
//! the machine: neither an earlier life nor a client can have made 64 bits that match.
//!
//! # What holds, and the test that fails when it does not
//!
//! In `storage::tests`, where no other place is given.
//!
//! 1. *No byte below the end is ever changed.* `model`, which compares pinned slices; `disk` keeps
//!    every version of a sector.
//! 2. *A record counts only in its life and place.* `record::tests`:
//!    `a_record_counts_only_where_and_when_it_was_written_and_as_a_whole`; `faults`:
//!    `a_body_that_holds_records_forges_nothing_wherever_the_log_ends`,
//!    `small_messages_in_a_segment_that_held_large_ones_are_all_there`.
//! 3. *The order of the log is the order of what happened*, and what is durable is a prefix of it:
//!    `damage::whatever_lies_past_the_durable_position_does_not_matter`, `model`.
//! 4. *What happens together stands in one record, or counts with its last one:*
//!    `damage::a_transaction_torn_at_any_byte_is_there_as_a_whole_or_not_at_all`,
//!    `freeing::a_transaction_of_several_records_outlives_its_last_one`,
//!    `freeing::a_transaction_without_an_end_never_counts_whatever_is_restated`, `model`.
//! 5. *A settlement lives as long as the segment that it speaks of:*
//!    `freeing::what_a_freed_segment_said_of_others_is_restated`.
//! 6. *A file begins another life only when it is durable that nothing in it counts:*
//!    `faults::power_that_goes_at_any_moment_of_recovery_loses_and_doubles_nothing`, `model`.
//! 7. *A message's pieces are there as long as it is:*
//!    `freeing::a_large_body_keeps_its_segments_as_long_as_any_message_tells_of_it`,
//!    `damage::a_large_body_counts_only_when_every_piece_is_whole`.
//! 8. *What stands behind a torn place never counts*, whatever is appended later:
//!    `damage::what_stands_behind_a_torn_place_never_counts`,
//!    `faults::what_stood_past_the_end_never_counts_whatever_is_freed_later`.
//! 9. *Damage before the durable end is reported with its place; the rest counts, nothing is
//!    deleted:* `damage`.
//! 10. *Nothing follows from what is not surely on the disk:*
//!     `faults::what_a_failed_sync_left_in_the_cache_is_written_again`.
//! 11. *Ids neither wrap nor repeat:*
//!     `basics::ids_neither_wrap_nor_repeat_also_when_everything_was_settled`.
//! 12. *A full disk stops publishers first, then moves and definitions, and never what settles and
//!     frees:* `full`.
//! 13. *Memory and disk are given back:* `freeing::files_that_nobody_needs_are_given_back`.
//!
//! # What a format version promises
//!
//! A broker reads the version that it writes. Another one is refused by name and left as it is, and
//! so is the format before this one, which had slots in place and a file of definitions.
//!
//! # Where this differs from what one might expect, and why
//!
//! - *A transaction that is larger than a record may be, or takes several turns, is a row of
//!   records* of one number that no other has, of which none counts before the last one: segments
//!   all have one size, and no turn takes long. Until it ends, no other message is appended, and
//!   nothing is restated or moved: a restatement of one of its segments would be taken for its end.
//!   The last record speaks of all that the others do. When a start finds one without an end, the
//!   log says next that its messages are settled.
//! - *A definition has a slot like a message.* Its end is a settlement; there are no tombstones
//!   that would have to outlive something.
//! - *A purge has no record of its own.* Its answer waits until every message of it is settled and
//!   that is durable: a thousand neighbours are a dozen bytes.
//! - *New segments have blocks but are not filled with zeros.* A sync that touches a page of a
//!   filled file first is cheaper by a third (ext4: 115 us against 165), but what filled it stays
//!   in the page cache as it was written: in large pieces, a small message dirties 64 KiB; page by
//!   page, large batches cost a fifth more CPU. Files that are used again have no such price.
//! - *A segment ends with an end record*, also one that a crash left open (once it is durable that
//!   the log goes on elsewhere): the segment behind it, which says where it ended, may be free long
//!   before it is.
//! - *A chain record that is missing* is no proof of a spare: a file that holds records of its
//!   salt, or that the next segment names, was in use, and is torn or damaged. An inventory names
//!   segments, not free files: a header lies within a sector, so that a broken one is always
//!   damage.

mod file;
mod helper;
mod index;
mod log;
mod options;
mod record;
mod recovery;
mod store;
mod types;

pub use file::witness::Witness;
pub use helper::{Gate, HelperMode};
pub use index::blocks::ScratchPool;
pub use index::entries::{Entries, EntryQueue};
pub use log::compact::{Compaction, Relocated};
pub use log::publication::{Appended, Body, LargeBody, Publication};
pub use log::view::{BodyParts, Record, SharedBody};
pub use options::{IsUsable, StoreOptions};
pub use recovery::Definitions;
pub use recovery::report::{Recovered, RecoveryProgress, RecoveryReport};
pub use store::Store;
pub use types::{
    Answers, AppendError, Damage, Entry, LogPos, MessageId, QueueId, RecordRef, SegmentKey,
    SlotRef, StorageError, StoreCounters,
};

#[cfg(test)]
mod tests;
