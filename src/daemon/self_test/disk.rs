//! Does the disk keep what it says it has written, and how long does that take? Writes and syncs a
//! file as the broker does it: 4 KiB behind one another into a file that has its blocks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mounts::{Disk, Mount};
use super::{Report, bytes_text};
use crate::daemon::config::Config;
use crate::net::Clock;
use crate::sys;

/// How many syncs are measured, and how long that may take.
const SYNCS: u64 = 400;
const SYNCS_WITHIN: Duration = Duration::from_secs(3);
const PAGE: [u8; 4096] = [0x5a; 4096];

/// No disk that has to move or to write flash is faster; memory with a battery is.
const FASTEST: Duration = Duration::from_micros(25);
/// A quarter of a turn at 7,200 a minute: what a sync on a rotating disk needs on average at least.
const FASTEST_ROTATIONAL: Duration = Duration::from_micros(2100);
/// From here on, a lone publisher with confirms is slow.
const SLOW: Duration = Duration::from_millis(10);
/// What an empty broker takes, and needs above the limit.
const ROOM_BYTES: u64 = 64 << 20;

pub(super) fn look(directory: &Path, config: &Config, report: &mut Report) -> io::Result<()> {
    let naming = |doing: &str| {
        let what = format!("{doing} {}", directory.display());
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    let place = fs::canonicalize(directory).map_err(naming("opening"))?;
    let probe = Probe::create(&place).map_err(naming("writing in"))?;
    let mount = Mount::of(&place);
    let disk = mount.as_ref().and_then(Mount::disk);
    look_at_mount(mount.as_ref(), report);
    let can = sys::can_allocate_blocks(&probe.file, SYNCS * PAGE.len() as u64);
    look_at_allocation(can.map_err(naming("allocating in"))?, report);
    let times = probe.time_syncs().map_err(naming("syncing a file in"))?;
    look_at_syncs(&times, mount.as_ref(), disk.as_ref(), report);
    let space = sys::disk_space(&place).map_err(naming("asking for the space of"))?;
    let limit = config.disk_free_limit.bytes(sys::machine_memory_bytes());
    look_at_space(space.available_bytes, limit, report);
    Ok(())
}

/// A file that is gone when this is.
struct Probe {
    file: File,
    path: PathBuf,
}

impl Probe {
    fn create(directory: &Path) -> io::Result<Probe> {
        let path = directory.join(format!("leveret-self-test.{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Probe { file, path })
    }

    /// How long each sync took, sorted.
    fn time_syncs(&self) -> io::Result<Vec<Duration>> {
        for number in 0..SYNCS {
            self.file.write_all_at(&[0; PAGE.len()], number * PAGE.len() as u64)?;
        }
        self.file.sync_all()?;
        let mut clock = Clock::start();
        let began = clock.now();
        let mut times = Vec::new();
        for number in 0..SYNCS {
            clock.read();
            if clock.now().duration_since(began) > SYNCS_WITHIN {
                break;
            }
            self.file.write_all_at(&PAGE, number * PAGE.len() as u64)?;
            self.file.sync_data()?;
            times.push(clock.since_read());
        }
        times.sort_unstable();
        Ok(times)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Who can make a file can remove it; if not, it is small and named after what made it.
        let _ = fs::remove_file(&self.path);
    }
}

fn look_at_mount(mount: Option<&Mount>, report: &mut Report) {
    let Some(mount) = mount else {
        return report.note("file system", "the kernel does not say which".to_owned(), None);
    };
    let Mount { kind, source, options, .. } = mount;
    let advice = match kind.as_str() {
        "tmpfs" | "ramfs" => {
            Some("it is memory: nothing outlives a restart of the machine; use a disk".to_owned())
        }
        "overlay" | "aufs" => Some(
            "it belongs to a container and goes with it; mount a volume for the data directory"
                .to_owned(),
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "fuse" | "vboxsf" => Some(
            "what a sync means is up to another machine or program; use a local disk".to_owned(),
        ),
        _ if ["nobarrier", "barrier=0"].iter().any(|option| mount.has_option(option)) => {
            Some("without barriers a sync does not reach the disk; mount it with them".to_owned())
        }
        _ if mount.has_option("sync") => {
            Some("every write is a sync; mount it without the option 'sync'".to_owned())
        }
        _ => None,
    };
    report.note("file system", format!("{kind} on {source} ({})", options.join(",")), advice);
}

fn look_at_allocation(can: bool, report: &mut Report) {
    let (found, advice) = match can {
        true => ("files get their blocks ahead of time", None),
        false => (
            "files cannot get blocks ahead of time",
            Some("segments are filled with zeros instead, which takes longer; ext4 and XFS can"),
        ),
    };
    report.note("allocation", found.to_owned(), advice.map(str::to_owned));
}

fn look_at_syncs(
    times: &[Duration],
    mount: Option<&Mount>,
    disk: Option<&Disk>,
    report: &mut Report,
) {
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100];
    let (Some(&most), [_, ..]) = (times.last(), times) else {
        let advice = "not one sync ended in seconds: look for what else writes to this disk";
        return report.note("sync", "takes seconds".to_owned(), Some(advice.to_owned()));
    };
    let (median, p99) = (at(50), at(99));
    let found = format!(
        "4 KiB and fdatasync take {median:.0?} (median), {p99:.0?} (p99), {most:.0?} (most) of {}",
        times.len()
    );
    let is_memory = mount.is_some_and(|mount| matches!(mount.kind.as_str(), "tmpfs" | "ramfs"));
    let advice = too_fast(median, disk).filter(|_| !is_memory).or_else(|| {
        (median >= SLOW).then(|| {
            "slow: publishers should leave many messages unconfirmed, or use another disk; an SSD \
             with power-loss protection takes a tenth of a millisecond"
                .to_owned()
        })
    });
    report.note("sync", found, advice);
    if let Some(Disk { name, is_virtual, is_rotational, has_write_cache }) = disk {
        let kind = match (is_virtual, is_rotational) {
            (true, _) => "virtual, so that what a sync means is up to the hypervisor",
            (false, true) => "rotating",
            (false, false) => "no moving parts",
        };
        let cache = match has_write_cache {
            true => "has a write cache, which syncs flush",
            false => "writes through, or says that its cache survives a power cut",
        };
        report.note("disk", format!("{name}: {kind}; {cache}"), None);
    }
    let [lone, hundred] = [LONE, HUNDRED].map(|model| model.per_second(median));
    report.expect(format!(
        "a lone publisher that waits for each confirm: up to {lone} messages a second"
    ));
    report.expect(format!("a hundred of them together: up to {hundred} messages a second"));
    report.expect(format!(
        "a confirm after about {:.1?} on an idle disk, and {:.1?} in one of a hundred cases",
        median + LONE.beside,
        p99 + LONE.beside
    ));
}

/// Why a sync cannot have reached the disk, if it was too fast for that.
fn too_fast(median: Duration, disk: Option<&Disk>) -> Option<String> {
    let is_rotational = disk.is_some_and(|disk| disk.is_rotational);
    let fastest = if is_rotational { FASTEST_ROTATIONAL } else { FASTEST };
    (median < fastest).then(|| {
        format!(
            "faster than {} can be: unless its cache has a battery, something on the way only says \
             that it was written; see the drive's and the hypervisor's cache settings",
            if is_rotational { "a rotating disk" } else { "a disk" }
        )
    })
}

/// How many messages are confirmed in the time of a sync and what comes with it.
struct Pace {
    messages: f64,
    /// What the broker, its client and the network on one machine take beside the sync.
    beside: Duration,
}

const LONE: Pace = Pace { messages: 1.0, beside: Duration::from_micros(160) };
const HUNDRED: Pace = Pace { messages: 100.0, beside: Duration::from_micros(680) };

impl Pace {
    /// Two digits of it: more would be a promise.
    fn per_second(&self, sync: Duration) -> u64 {
        let exact = (self.messages / (sync + self.beside).as_secs_f64()).max(1.0);
        let unit = 10f64.powf(exact.log10().floor() - 1.0).max(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rounded = ((exact / unit).round() * unit) as u64;
        rounded
    }
}

fn look_at_space(available: u64, limit: u64, report: &mut Report) {
    let advice = (available < limit.saturating_add(ROOM_BYTES)).then(|| {
        "publishers are blocked below the limit, and an empty broker takes up to 64 MiB: free some \
         space, or lower disk_free_limit.absolute"
            .to_owned()
    });
    let found = format!("{}, the limit is {}", bytes_text(available), bytes_text(limit));
    report.note("free space", found, advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn advice_of(report: &Report, what: &str) -> Option<String> {
        let finding = report.findings.iter().find(|finding| finding.what == what);
        finding.expect("it was looked at").advice.clone()
    }

    #[test]
    fn a_sync_that_is_too_fast_for_its_disk_is_not_believed() {
        let disk = |is_rotational| Disk { is_rotational, ..Disk::default() };
        assert!(too_fast(us(24), None).is_some());
        assert!(too_fast(us(25), Some(&disk(false))).is_none());
        assert!(too_fast(us(1000), Some(&disk(true))).unwrap().contains("rotating"));
        assert!(too_fast(us(8000), Some(&disk(true))).is_none());
    }

    #[test]
    fn slow_syncs_and_none_at_all_are_warned_of() {
        for (times, is_warned) in
            [(vec![us(100); 10], false), (vec![us(12_000); 3], true), (Vec::new(), true)]
        {
            let mut report = Report::default();
            look_at_syncs(&times, None, None, &mut report);
            assert_eq!(advice_of(&report, "sync").is_some(), is_warned, "{times:?}");
        }
    }

    #[test]
    fn file_systems_that_keep_no_promise_are_warned_of() {
        let mount = |kind: &str, options: &[&str]| Mount {
            kind: kind.to_owned(),
            source: "/dev/x".to_owned(),
            options: options.iter().map(ToString::to_string).collect(),
            device: "8:1".to_owned(),
        };
        for (mount, is_warned) in [
            (mount("ext4", &["rw", "relatime"]), false),
            (mount("ext4", &["rw", "nobarrier"]), true),
            (mount("ext4", &["rw", "sync"]), true),
            (mount("tmpfs", &["rw"]), true),
            (mount("overlay", &["rw"]), true),
            (mount("nfs4", &["rw"]), true),
            (mount("xfs", &["rw"]), false),
        ] {
            let mut report = Report::default();
            look_at_mount(Some(&mount), &mut report);
            assert_eq!(advice_of(&report, "file system").is_some(), is_warned, "{mount:?}");
        }
    }

    #[test]
    fn what_is_expected_has_two_digits_and_falls_with_the_sync() {
        assert_eq!(LONE.per_second(us(101)), 3800);
        assert_eq!(LONE.per_second(us(8000)), 120);
        assert_eq!(LONE.per_second(Duration::from_secs(2)), 1);
        assert_eq!(HUNDRED.per_second(us(101)), 130_000);
        assert_eq!(HUNDRED.per_second(us(8000)), 12_000);
    }

    #[test]
    fn too_little_space_is_warned_of() {
        const MIB: u64 = 1 << 20;
        for (available, is_warned) in [(113, true), (114, false), (0, true)] {
            let mut report = Report::default();
            look_at_space(available * MIB, 50 * MIB, &mut report);
            assert_eq!(advice_of(&report, "free space").is_some(), is_warned, "{available}");
        }
    }
}
