//! What does a running broker take of its machine? Memory, processor time, room on the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Memory of a process that is resident, in bytes: what it allocated and the data that it mapped.
/// Not its code and its libraries: unoptimised, those alone take 14 MiB.
pub fn resident_bytes(process: u32) -> u64 {
    let program = fs::read_link(format!("/proc/{process}/exe")).expect("the process runs");
    let maps = fs::read_to_string(format!("/proc/{process}/smaps")).expect("the process runs");
    let (mut kilobytes, mut is_code) = (0, false);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Rss:") if !is_code => {
                let rss = words.next().and_then(|number| number.parse::<u64>().ok());
                kilobytes += rss.expect("a number");
            }
            // 7f1c-7f1d rw-s 00000000 fe:00 1234 /a/path
            Some(range) if !range.ends_with(':') => {
                let path = Path::new(line.split_whitespace().nth(5).unwrap_or_default());
                is_code = path == program || path.starts_with("/usr") || path.starts_with("/lib");
            }
            Some(_) | None => {}
        }
    }
    kilobytes << 10
}

/// Memory that a process allocated and that is resident, in bytes; `None` when it has ended.
pub fn anonymous_bytes(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// How many descriptors a process has open; `None` when it has ended.
pub fn descriptors(process: u32) -> Option<usize> {
    let count = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    (count > 0).then_some(count)
}

/// The same without those of files in this directory, be they removed or not.
pub fn descriptors_beside(process: u32, directory: &Path) -> Option<usize> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let count = targets.filter(|target| !target.starts_with(directory)).count();
    (count > 0).then_some(count)
}

/// Processor time that a process has used so far.
pub fn cpu_time(process: u32) -> Duration {
    let stat = format!("/proc/{process}/stat");
    let text = fs::read_to_string(stat).expect("the process runs");
    // The name, which may hold anything, is in brackets; user and system time are numbers 14 and
    // 15 of the whole line, in ticks of 10 ms.
    let (_, rest) = text.rsplit_once(')').expect("the name is in brackets");
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// The blocks that the files of a directory take, in bytes, as `du` counts them.
pub fn allocated_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the directory can be read").flatten();
    // A file may be gone by now.
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files.map(|metadata| metadata.blocks() * 512).sum()
}
