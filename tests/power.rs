//! Does a confirmed message survive a power cut on a real file system? An ext4 or XFS file system
//! in a file, the broker on it under load; the file is cloned at random moments, each clone is what
//! a machine would find after the power went at that moment. A clone is mounted, which replays the
//! journal, a broker is started on it, and every confirm that came before the clone was begun is
//! to be there, nothing twice, and nothing else.
//!
//! The power goes again, or the broker is killed, while it recovers, up to three times, and every
//! start has another segment size.
//!
//! Takes root, loop devices, mkfs.ext4 and mkfs.xfs; without them it says what is missing and is
//! left out. `LEVERET_POWER_CUTS` says how many clones are made, `LEVERET_POWER_FS` on which file
//! system (both in turn by default), `LEVERET_POWER_REQUIRED` that it fails where it cannot run,
//! `LEVERET_CRASH_SEED` what chance begins with, `LEVERET_LOAD_WITHOUT` what is left out.

mod common;
#[path = "crash/mod.rs"]
mod kit;

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{Client, Disk, Kind, Process, Random, now, number, seed, spawn};
use kit::drain::{Drained, Ended, drain, examine};
use kit::load::{self, Load};
use kit::model::{Model, Shared, between};
use kit::parts::{Part, Parts};
use kit::topology;

/// How many cuts there are if nobody says.
const CUTS: usize = 6;
/// How many there are on one disk, which starts empty.
const CUTS_PER_DISK: usize = 8;
const SEGMENT_BYTES: [u32; 4] = [1 << 20, 2 << 20, 4 << 20, 16 << 20];
/// How many starts are cut short at most before one is not.
const EARLY_ENDS_MAX: usize = 3;
/// How long after its start a broker is interrupted at the latest.
const EARLY_MICROS: u64 = 60_000;
/// How long a change in its files is waited for.
const CHANGE_MAX: Duration = Duration::from_millis(500);

/// What chance decides, and the parts of the load.
struct Play {
    parts: Parts,
    random: Random,
}

impl Play {
    /// The segment size of the next start.
    fn segment_bytes(&mut self) -> u32 {
        let any = *self.random.pick(&SEGMENT_BYTES);
        if self.parts.has(Part::Sizes) { any } else { SEGMENT_BYTES[0] }
    }

    /// Fills a new disk, ends the broker one way or the other, and starts it again.
    fn prepare(&mut self, disk: &Disk) -> (Process, Model) {
        let process = Process::start(&disk.data(), self.segment_bytes());
        let mut model = Model::new(self.parts);
        topology::declare_for(&mut Client::connect(process.address()), self.parts);
        let ended = if self.random.chance(50) { Ended::Killed } else { Ended::Orderly };
        let moment = load::Moment { events: self.random.within(100..2500), said: None };
        (model, _) = load::work_on(process, model, &mut self.random, moment, ended);
        let process = Process::start(&disk.data(), self.segment_bytes());
        drain(process.address(), &mut model, ended, &mut self.random);
        (process, model)
    }

    /// Clones the disk at random moments under load, with what is known of it.
    fn take_clones(&mut self, disk: &Disk, cuts: usize) -> Vec<(PathBuf, Model)> {
        let (process, model) = self.prepare(disk);
        let mut events = model.events;
        let (shared, finish) = (Shared::new(model), AtomicBool::new(false));
        let directory = disk.data();
        let load =
            Load { shared: &shared, finish: &finish, parts: self.parts, directory: &directory };
        thread::scope(|scope| {
            // When this fails, the broker ends first, and with it the clients.
            let process = process;
            load::start(scope, load, process.address(), &mut self.random);
            let mut taken = Vec::new();
            for number in 0..cuts {
                events += self.random.within(50..1000);
                shared.wait_for(events);
                let before = shared.model().clone();
                let clone = disk.clone(&format!("clone-{number}"));
                let after = shared.model().clone();
                events = after.events;
                taken.push((clone, between(&before, &after)));
            }
            process.kill();
            finish.store(true, Ordering::Relaxed);
            taken
        })
    }

    /// Starts brokers that do not get far: the power goes again, or they are killed. Returns the
    /// disk that the last one leaves.
    fn end_early(&mut self, disk: &Disk, image: PathBuf) -> (PathBuf, String) {
        let (mut image, mut story) = (image, String::new());
        if !self.parts.has(Part::Recovery) {
            return (image, story);
        }
        for number in 0..self.random.within(0..EARLY_ENDS_MAX + 1) {
            let clone = disk.mount(&image);
            let mut child = spawn(&clone.data(), self.segment_bytes());
            let waited = self.wait_a_little(&clone.data());
            let next = if self.random.chance(70) {
                story += &format!(", cut after {waited}");
                disk.clone_of(&clone.image, &format!("early-{number}"))
            } else {
                story += &format!(", killed after {waited}");
                PathBuf::new()
            };
            child.kill().expect("it was not waited for");
            child.wait().expect("it was started");
            image = if next.as_os_str().is_empty() {
                // Nothing is lost that the kernel has.
                clone.keep()
            } else {
                next
            };
        }
        (image, story)
    }

    /// Lets a broker run for a moment: for some time, or until its files change.
    fn wait_a_little(&mut self, data: &Path) -> String {
        let micros = self.random.next() % EARLY_MICROS;
        if self.random.chance(50) {
            // The moment is what chance says; nothing waits for this.
            thread::sleep(Duration::from_micros(micros));
            return format!("{micros} us");
        }
        let (begun, changes) = (now(), self.random.within(1..8));
        let mut seen = look(data);
        for _ in 0..changes {
            if !wait_for_change(data, &mut seen, begun) {
                break;
            }
        }
        format!("{changes} changes or {} us", begun.elapsed().as_micros())
    }

    /// Everything that becomes of a clone; what is not as it should be.
    fn recover(&mut self, disk: &Disk, image: PathBuf, mut model: Model) -> (String, Vec<String>) {
        let confirmed = model.sent.values().filter(|sent| sent.confirmed).count();
        let (image, story) = self.end_early(disk, image);
        let clone = disk.mount(&image);
        let process = Process::start(&clone.data(), self.segment_bytes());
        let Drained { found, mut faults } =
            examine(process.address(), &mut model, Ended::Cut, &mut self.random);
        let story = format!("{confirmed} confirmed so far{story}, {found} found");
        // Once more, after a cut in the middle of the work that the first start left, and after an
        // orderly end.
        model.acks_are_sure = true;
        process.kill();
        for ended in [Ended::Killed, Ended::Orderly] {
            if faults.is_empty() {
                let process = Process::start(&clone.data(), self.segment_bytes());
                let drained = examine(process.address(), &mut model, ended, &mut self.random);
                faults.extend(drained.faults);
                process.terminate();
            }
        }
        (story, faults)
    }
}

/// The broker's files, with sizes and times of change.
type Look = Vec<(PathBuf, u64, Option<SystemTime>)>;

fn look(data: &Path) -> Look {
    let entries = fs::read_dir(data).expect("the directory can be read");
    let mut seen: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let about = entry.metadata().ok()?;
            Some((entry.path(), about.len(), about.modified().ok()))
        })
        .collect();
    seen.sort();
    seen
}

/// False when nothing changed in time.
fn wait_for_change(data: &Path, seen: &mut Look, begun: Instant) -> bool {
    while begun.elapsed() < CHANGE_MAX {
        let found = look(data);
        if found != *seen {
            *seen = found;
            return true;
        }
    }
    false
}

/// Cuts on one disk, from `first` on; what is wrong, by cut.
fn cut(play: &mut Play, disk: &Disk, name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut wrong = Vec::new();
    let clones = play.take_clones(disk, numbers.len());
    for (number, (image, model)) in numbers.zip(clones) {
        let (story, faults) = play.recover(disk, image, model);
        eprintln!("{name}, cut {number}: {story}, {} faults", faults.len());
        for fault in faults.iter().take(8) {
            eprintln!("    {fault}");
        }
        if let Some(fault) = faults.first() {
            wrong.push(format!("{name}, cut {number}: {} faults: {fault}", faults.len()));
        }
    }
    wrong
}

/// The file systems in turn, each with its next number of cuts.
fn disks(cuts: usize) -> Vec<(Kind, usize)> {
    let kinds = match env::var("LEVERET_POWER_FS") {
        Ok(name) => vec![Kind::parse(&name)],
        Err(_) => vec![Kind::Ext4, Kind::Xfs],
    };
    let mut disks = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        let mut left = (cuts + n) / kinds.len();
        while left > 0 {
            let some = left.min(CUTS_PER_DISK);
            disks.push((*kind, some));
            left -= some;
        }
    }
    disks
}

#[test]
fn every_confirm_survives_power_cuts() {
    let seed = seed(1);
    let cuts = number("LEVERET_POWER_CUTS").unwrap_or(CUTS);
    let (mut wrong, mut first) = (Vec::new(), 0);
    for (number, (kind, some)) in disks(cuts).into_iter().enumerate() {
        let disk = match Disk::new(kind) {
            Ok(disk) => disk,
            Err(missing) if env::var_os("LEVERET_POWER_REQUIRED").is_some() => panic!("{missing}"),
            Err(missing) => return eprintln!("power cuts are not tested here: {missing}"),
        };
        // Each disk can be played again without those before it.
        let random = Random::new(seed + 1_000_000 * number as u64);
        let mut play = Play { parts: Parts::wide(), random };
        let name = format!("seed {seed}, disk {number}, {kind:?}");
        let range = first..first + some;
        let result = panic::catch_unwind(AssertUnwindSafe(|| cut(&mut play, &disk, &name, range)));
        first += some;
        wrong.extend(result.unwrap_or_else(|_| vec![format!("{name}: see above")]));
    }
    assert!(wrong.is_empty(), "{} of {first} cuts:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("{first} power cuts, seed {seed}: nothing lost, doubled or invented");
}
