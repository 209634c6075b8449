//! What do the kernel's limits and clocks allow?

use std::fs;
use std::time::Duration;

use super::{Report, bytes_text};
use crate::daemon::config::Config;
use crate::net::{Clock, sockets_max};
use crate::sys;

/// Below this, clients may have to wait for others to leave.
const OPEN_FILES_MIN: u64 = 4096;
/// What a broker without messages and connections needs, its code included.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Clients that arrive at once, after a restart for instance, and wait to be accepted.
const BACKLOG_MIN: u64 = 1024;
/// Each turn of the loop reads the clock; slower sources are system calls or worse.
const READ_MAX: Duration = Duration::from_nanos(500);
/// 2024-01-01: a clock before it was never set.
const YEAR_2024_MS: u64 = 1_704_067_200_000;

pub(super) fn look(config: &Config, report: &mut Report) {
    look_at_clock(report);
    // What the broker does at its start.
    let files = sys::raise_open_files_limit().unwrap_or_else(|_| sys::open_files_limit());
    look_at_files(files, report);
    let memory = sys::memory_limit_bytes();
    look_at_memory(memory, config.vm_memory_high_watermark.bytes(memory), report);
    let backlog = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    if let Some(backlog) = backlog.and_then(|text| text.trim().parse().ok()) {
        look_at_backlog(backlog, report);
    }
}

fn look_at_clock(report: &mut Report) {
    const READS: u32 = 20_000;
    let mut clock = Clock::start();
    let began = clock.now();
    let mut finest = Duration::MAX;
    for _ in 0..READS {
        let before = clock.now();
        clock.read();
        let step = clock.now().saturating_duration_since(before);
        if step > Duration::ZERO {
            finest = finest.min(step);
        }
    }
    let each = clock.now().saturating_duration_since(began) / READS;
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(source).unwrap_or_else(|_| "unknown".to_owned());
    let found = format!("{}: {finest:?} fine, read in {each:?}", source.trim());
    let advice = if clock.unix_ms() < YEAR_2024_MS {
        Some(
            "the wall clock is not set: times of messages and logs are wrong; start a time service",
        )
    } else if each > READ_MAX || finest > Duration::from_millis(1) {
        Some("slow or coarse: choose another clock source (kernel option clocksource=)")
    } else {
        None
    };
    report.note("clock", found, advice.map(str::to_owned));
}

fn look_at_files(files: u64, report: &mut Report) {
    let advice = (files < OPEN_FILES_MIN).then(|| {
        format!(
            "each connection needs one: at most about {} clients; raise the hard limit \
             (ulimit -Hn, LimitNOFILE= in the unit)",
            sockets_max(files)
        )
    });
    let found = if files == u64::MAX { "any number".to_owned() } else { files.to_string() };
    report.note("open files", found, advice);
}

fn look_at_memory(limit: u64, watermark: u64, report: &mut Report) {
    let advice = (limit < MEMORY_BYTES_MIN).then(|| {
        "less than the 16 MiB that are tested: expect publishers to be blocked, or raise the limit \
         of the cgroup (MemoryMax= in the unit)"
            .to_owned()
    });
    let found = format!(
        "{}, publishers are blocked above {} of anonymous memory",
        bytes_text(limit),
        bytes_text(watermark)
    );
    report.note("memory", found, advice);
}

fn look_at_backlog(backlog: u64, report: &mut Report) {
    let advice = (backlog < BACKLOG_MIN).then(|| {
        "clients that come at once have to try again; set the sysctl net.core.somaxconn to 4096"
            .to_owned()
    });
    report.note("backlog", format!("{backlog} clients may wait to be accepted"), advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_too_low_are_warned_of_and_others_are_not() {
        let warned = |look: &dyn Fn(&mut Report)| {
            let mut report = Report::default();
            look(&mut report);
            !report.is_good()
        };
        for (files, is_warned) in [(1024, true), (4095, true), (4096, false), (u64::MAX, false)] {
            assert_eq!(warned(&|report| look_at_files(files, report)), is_warned, "{files}");
        }
        for (mib, is_warned) in [(8, true), (15, true), (16, false), (4096, false)] {
            let look = |report: &mut Report| look_at_memory(mib << 20, mib << 19, report);
            assert_eq!(warned(&look), is_warned, "{mib} MiB");
        }
        for (backlog, is_warned) in [(128, true), (1024, false), (4096, false)] {
            assert_eq!(warned(&|report| look_at_backlog(backlog, report)), is_warned, "{backlog}");
        }
    }
}
