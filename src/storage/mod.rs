//! Where do messages and definitions lie so that they survive?

mod file;
mod helper;
mod index;
mod log;
mod record;
mod recovery;
mod store;
mod types;

pub use file::witness::Witness;
pub use helper::Gate;
pub use index::blocks::ScratchPool;
pub use index::entries::{Entries, EntryQueue};
pub use log::view::{BodyParts, Record, SharedBody};
pub use recovery::Definitions;
pub use store::Store;
pub use types::{
    Answers, AppendError, Appended, Body, Compaction, Damage, Entry, HelperMode, LargeBody, LogPos,
    MessageId, Publication, QueueId, RecordRef, Recovered, RecoveryProgress, RecoveryReport,
    Relocated, SegmentKey, SlotRef, StorageError, StoreCounters, StoreOptions,
};

#[cfg(test)]
mod tests;
