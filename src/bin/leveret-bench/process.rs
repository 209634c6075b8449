//! What does a process use? CPU time, bytes written and memory, out of Linux's `/proc`.

use std::fs;

/// One reading of a process's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode, microseconds, in steps of 10 ms.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds, in steps of 10 ms.
    pub system_us: u64,
    /// Bytes it caused to be written to storage; `None` when we may not know.
    pub written_bytes: Option<u64>,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// The most resident memory ever, bytes.
    pub rss_max_bytes: u64,
}

impl Usage {
    /// Reads the use of process `pid`, or our own for `None`; `None` when there is no such
    /// process.
    pub fn read(pid: Option<u32>) -> Option<Usage> {
        let directory = match pid {
            Some(pid) => format!("/proc/{pid}"),
            None => String::from("/proc/self"),
        };
        let file = |name: &str| fs::read_to_string(format!("{directory}/{name}")).ok();
        let (user_us, system_us) = cpu_times(&file("stat")?)?;
        let status = file("status").unwrap_or_default();
        let memory = |key| field(&status, key).map_or(0, |kibibytes| kibibytes * 1024);
        Some(Usage {
            user_us,
            system_us,
            written_bytes: file("io").and_then(|io| field(&io, "write_bytes:")),
            rss_bytes: memory("VmRSS:"),
            rss_max_bytes: memory("VmHWM:"),
        })
    }
}

/// User and system time out of `/proc/PID/stat`, microseconds. The second field is the name of
/// the program in parentheses, in which anything may be.
fn cpu_times(stat: &str) -> Option<(u64, u64)> {
    let after_name = stat.get(stat.rfind(')')? + 1..)?;
    // Counted from the state, which is field 3: utime is field 14, stime field 15.
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut time = || Some(fields.next()?.parse::<u64>().ok()? * TICK_US);
    Some((time()?, time()?))
}

/// The number after `key` at the beginning of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Linux counts these times in hundredths of a second, whatever its own tick is.
const TICK_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_may_hold_anything() {
        let stat = "7 (a ) b) (c)) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20";
        assert_eq!(cpu_times(stat), Some((1_500_000, 250_000)));
        assert_eq!(cpu_times("7 (x"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n";
        assert_eq!(field(io, "write_bytes:"), Some(4096));
        assert_eq!(field("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(field(io, "nothing:"), None);
    }

    #[test]
    fn our_own_use_can_be_read() {
        let usage = Usage::read(None).unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_max_bytes >= usage.rss_bytes);
        assert_eq!(Usage::read(Some(u32::MAX)), None);
    }
}
