//! How is a log opened?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::storage::file::witness::Witness;
use crate::storage::helper::HelperMode;
use crate::storage::recovery::report::{RecoveryProgress, RecoveryReport};

/// How to open a [`Store`](super::Store).
pub struct StoreOptions {
    /// Where the segments lie; created when it is missing. The store does not lock it.
    pub directory: PathBuf,
    /// Size of a new segment file in bytes: a multiple of 4096, at least 64 KiB.
    pub segment_bytes: u32,
    /// Who does what waits for the disk.
    pub helper: HelperMode,
    /// Whether a log with this report and these definitions may be used, if not every log may:
    /// asked before anything in it is changed.
    pub is_usable: Option<IsUsable>,
    /// What a test sees of every write and sync, and may refuse.
    pub witness: Option<Arc<dyn Witness>>,
    /// Is told while the log is read at start.
    pub progress: Option<Box<dyn FnMut(RecoveryProgress)>>,
}

/// Judges a log by what was found, and the keys and payloads that it defines.
pub type IsUsable = fn(&RecoveryReport, &[(&[u8], &[u8])]) -> bool;

impl StoreOptions {
    /// The default size of a segment in bytes.
    pub const SEGMENT_BYTES: u32 = 16 << 20;

    /// Options with which nobody looks on.
    pub fn new(directory: &Path, segment_bytes: u32, helper: HelperMode) -> StoreOptions {
        StoreOptions {
            directory: directory.to_path_buf(),
            segment_bytes,
            helper,
            is_usable: None,
            witness: None,
            progress: None,
        }
    }
}
