//! What does a test see of the files? Everything that changes them, in its order, and it may
//! refuse. Outside tests nobody looks on.

use std::io;
use std::path::Path;

/// Is told of every change of the log's files: from the loop's thread and from the helper's.
/// Changes of unlinked files are not told of: nothing of them outlives the process.
pub trait Witness: Send + Sync {
    /// Bytes are about to be written to a file. An error stands for the write's.
    ///
    /// # Errors
    /// What the write shall fail with.
    fn writes(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// A file is about to be given its blocks. An error stands for `fallocate`'s.
    ///
    /// # Errors
    /// What the allocation shall fail with.
    fn allocates(&self, path: &Path, bytes: u64) -> io::Result<()>;

    /// What was written to a file is about to be made durable.
    ///
    /// # Errors
    /// What the sync shall fail with.
    fn syncs(&self, path: &Path) -> io::Result<()>;

    /// Names in a directory are about to be made durable.
    ///
    /// # Errors
    /// What the sync shall fail with.
    fn syncs_directory(&self, path: &Path) -> io::Result<()>;

    /// A file has another name now.
    fn renamed(&self, from: &Path, to: &Path);

    /// A file has lost its name.
    fn removed(&self, path: &Path);
}
