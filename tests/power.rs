//! Does a confirmed message survive a power cut on a real file system? An ext4 file system in a
//! file, the broker on it under load; the file is cloned at random moments, each clone is what a
//! machine would find after the power went at that moment. A clone is mounted, which replays the
//! journal, a broker is started on it, and every confirm that came before the clone was begun is
//! to be there.
//!
//! A clone has to be of one moment, and nothing may be flushed for it, so it is made by the file
//! system below: XFS with reflinks, itself in a file. Takes root, loop devices, mkfs.ext4 and
//! mkfs.xfs; without them it says what is missing and is left out. `LEVERET_POWER_CLONES` says how
//! many clones are made, `LEVERET_POWER_REQUIRED` that it fails where it cannot run.

mod common;
#[path = "crash/mod.rs"]
mod kit;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Client, Mounted, Process, path_text, run};
use kit::drain::{Ended, drain};
use kit::load::{self, Load};
use kit::model::{Model, Shared, between};
use kit::random::Random;
use kit::topology;
use tempfile::TempDir;

const CLONES: usize = 6;
const SEGMENT_BYTES: u32 = 1 << 20;
const DISK_BYTES: u64 = 512 << 20;
const BELOW_BYTES: u64 = 4 << 30;

/// The disk of the broker and what is below; they go in this order.
struct Disk {
    mounted: Mounted,
    below: Mounted,
    directory: TempDir,
}

impl Disk {
    /// The error says what the machine does not have.
    fn new() -> Result<Disk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path();
        let xfs = ["mkfs.xfs", "-q", "-m", "reflink=1"];
        let below = path.join("below");
        let below = Mounted::make(&xfs, &path.join("below.img"), BELOW_BYTES, &below)?;
        let ext4 = ["mkfs.ext4", "-q", "-F"];
        let image = below.0.join("disk.img");
        let mounted = Mounted::make(&ext4, &image, DISK_BYTES, &path.join("disk"))?;
        Ok(Disk { mounted, below, directory })
    }

    fn data(&self) -> PathBuf {
        self.mounted.0.join("data")
    }

    /// What is on the disk at one moment.
    fn clone(&self, number: usize) -> PathBuf {
        let image = self.below.0.join("disk.img");
        let clone = self.below.0.join(format!("clone-{number}.img"));
        run("cp", &["--reflink=always", path_text(&image), path_text(&clone)])
            .expect("XFS has reflinks");
        clone
    }
}

/// Clones the disk at random moments under load, with what is known of it.
fn take_clones(disk: &Disk, random: &mut Random, clones: usize) -> Vec<(PathBuf, Model)> {
    let process = Process::start(&disk.data(), SEGMENT_BYTES);
    topology::declare(&mut Client::connect(process.address()));
    let (shared, finish) = (Shared::new(Model::default()), AtomicBool::new(false));
    let load = Load {
        shared: &shared,
        finish: &finish,
        // A settled message may come again after a power cut.
        acks_are_sure: false,
    };
    thread::scope(|scope| {
        // When this fails, the broker ends first, and with it the clients.
        let process = process;
        load::start(scope, load, process.address(), random);
        let mut taken = Vec::new();
        let mut events = 0;
        for number in 0..clones {
            events += random.within(50..1000);
            shared.wait_for(events);
            let before = shared.model().clone();
            let clone = disk.clone(number);
            let after = shared.model().clone();
            events = after.events;
            taken.push((clone, between(&before, &after)));
        }
        process.kill();
        finish.store(true, Ordering::Relaxed);
        taken
    })
}

#[test]
fn every_confirm_survives_a_power_cut() {
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(missing) if env::var_os("LEVERET_POWER_REQUIRED").is_some() => panic!("{missing}"),
        Err(missing) => return eprintln!("power cuts are not tested on this machine: {missing}"),
    };
    let clones = env::var("LEVERET_POWER_CLONES");
    let clones = clones.map_or(CLONES, |text| text.parse().expect("a number"));
    let seed = env::var("LEVERET_CRASH_SEED").map_or(1, |text| text.parse().expect("a number"));
    let mut random = Random::new(seed);
    for (number, (image, mut model)) in
        take_clones(&disk, &mut random, clones).into_iter().enumerate()
    {
        let at = disk.directory.path().join("clone");
        let mounted = Mounted::new(&image, &at).expect("what can be mounted once can be again");
        let confirmed = model.sent.values().filter(|sent| sent.confirmed).count();
        let process = Process::start(&mounted.0.join("data"), SEGMENT_BYTES);
        let found = drain(process.address(), &mut model, Ended::Cut, &mut random);
        eprintln!("seed {seed}, clone {number}: {confirmed} confirmed so far, {found} found");
        // Once more, after a cut in the middle of the work that the first start left.
        process.kill();
        let process = Process::start(&mounted.0.join("data"), SEGMENT_BYTES);
        drain(process.address(), &mut model, Ended::Killed, &mut random);
        process.terminate();
        drop(mounted);
        fs::remove_file(image).expect("it is not mounted any more");
    }
}
