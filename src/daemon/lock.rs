//! Is the data directory there, and is it ours alone.
//!
//! The directory is made where it is missing, and its creation synced up to the directory that
//! was there, since a message in a directory that a power cut undoes is lost. Then the file
//! `lock` in it is locked for as long as the process lives; the kernel lets go of it even
//! after kill -9. The file holds the process id for whoever is refused, and stays behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process;

use log::warn;

use super::error::LockError;
use crate::sys;

/// A data directory that no other process uses while this value lives.
#[derive(Debug)]
pub struct DirectoryLock {
    /// Held open for its lock alone.
    _file: File,
}

impl DirectoryLock {
    /// Makes `directory` if it is missing, readable by its owner only, and locks it.
    ///
    /// # Errors
    /// Another process holds it, or it cannot be made, opened or locked.
    pub fn acquire(directory: &Path) -> Result<DirectoryLock, LockError> {
        create_durably(directory)?;
        warn_if_others_may_read(directory);
        let path = directory.join(LOCK_FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| LockError::Io { doing, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open the lock file"))?;
        if !sys::lock_exclusive(&file).map_err(failed("lock"))? {
            let pid = read_pid(&mut file);
            return Err(LockError::Held { directory: directory.to_owned(), pid });
        }
        write_pid(&mut file).map_err(failed("write the lock file"))?;
        Ok(DirectoryLock { _file: file })
    }
}

/// Makes `directory` and what is missing above it, outermost first, each one synced.
fn create_durably(directory: &Path) -> Result<(), LockError> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = parent_of(directory);
    create_durably(parent)?;
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| LockError::Io { doing, path, source }
    };
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        // Another process that was started at the same time made it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        outcome => outcome.map_err(failed("create the data directory", directory))?,
    }
    sys::sync_directory(parent).map_err(failed("sync the directory", parent))
}

/// The directory that `path` is an entry of; the current one for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// A directory made by hand may be open to others; messages and password hashes are in it.
fn warn_if_others_may_read(directory: &Path) {
    // The lock file is opened next, which reports whatever is wrong with the directory.
    let Ok(metadata) = fs::metadata(directory) else {
        return;
    };
    if metadata.mode() & 0o077 != 0 {
        let (shown, mode) = (directory.display(), metadata.mode() & 0o7777);
        warn!(
            "other users may open the data directory {shown} (mode {mode:o}), where messages and \
             password hashes are; run chmod 700 {shown}"
        );
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", process::id())
}

const LOCK_FILE: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;
const PID_BYTES_MAX: u64 = 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_directory_is_made_for_its_owner_only() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("a/b");
        let _lock = DirectoryLock::acquire(&directory).unwrap();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        let pid = fs::read_to_string(directory.join("lock")).unwrap();
        assert_eq!(pid, format!("{}\n", process::id()));
    }

    #[test]
    fn a_second_broker_is_refused_and_told_who_holds_the_directory() {
        let top = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(top.path()).unwrap();
        match DirectoryLock::acquire(top.path()) {
            Err(LockError::Held { directory, pid }) => {
                assert_eq!((directory.as_path(), pid), (top.path(), Some(process::id())));
            }
            other => panic!("not refused: {other:?}"),
        }
        drop(first);
        assert!(DirectoryLock::acquire(top.path()).is_ok());
    }

    #[test]
    fn a_lock_file_left_behind_does_not_stop_the_next_start() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("lock"), "4194304 and something longer than a pid\n").unwrap();
        let _lock = DirectoryLock::acquire(top.path()).unwrap();
        let text = fs::read_to_string(top.path().join("lock")).unwrap();
        assert_eq!(text, format!("{}\n", process::id()));
    }

    #[test]
    fn a_holder_that_wrote_no_pid_is_another_process() {
        let top = tempfile::tempdir().unwrap();
        let file = File::create(top.path().join("lock")).unwrap();
        assert!(sys::lock_exclusive(&file).unwrap());
        let refused = DirectoryLock::acquire(top.path()).unwrap_err();
        assert!(matches!(refused, LockError::Held { pid: None, .. }), "{refused}");
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        let text = DirectoryLock::acquire(&file.join("data")).unwrap_err().to_string();
        assert!(text.starts_with("cannot create the data directory "), "{text}");
        assert!(text.contains("/file: "), "{text}");
    }

    #[test]
    fn who_may_not_write_is_told_who_he_is() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let path = Path::new("/data").to_owned();
        let text = LockError::Io { doing: "create", path, source: denied }.to_string();
        let user = fs::metadata("/proc/self").unwrap().uid();
        assert!(
            text.ends_with(&format!("runs as user {user}, who may not do that there")),
            "{text}"
        );
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(parent_of(Path::new("leveret-data")), Path::new("."));
        assert_eq!(parent_of(Path::new("./leveret-data")), Path::new("."));
        assert_eq!(parent_of(Path::new("/data")), Path::new("/"));
    }
}
