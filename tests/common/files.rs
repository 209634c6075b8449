//! What lies in a broker's data directory? Names, pieces and copies of its files, for tests that
//! look into it.

use std::fs;
use std::path::Path;

/// Where the chain record, the first behind the header of 4096 bytes and behind its own head, says
/// which segment of the log this is.
const SEQUENCE_AT: usize = 4096 + 16;

/// The names of the files in a directory, in order; a socket is none.
pub fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be read");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("the directory can be read"))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name())
        .map(|name| name.into_string().expect("the broker's names are ASCII"))
        .collect();
    names.sort();
    names
}

/// The names of the segments in a directory, in order.
pub fn segments(directory: &Path) -> Vec<String> {
    let mut names = files(directory);
    names.retain(|name| name.ends_with(".segment"));
    names
}

/// Which segment of the log these bytes are. A spare has no chain record, and says nothing of this
/// life.
pub fn sequence(segment: &[u8]) -> u64 {
    let sequence = segment[SEQUENCE_AT..SEQUENCE_AT + 8].try_into().map(u64::from_le_bytes);
    sequence.expect("8 bytes")
}

/// Copies all files into a new directory.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the directory can be made");
    for name in files(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("the file can be copied");
    }
}
