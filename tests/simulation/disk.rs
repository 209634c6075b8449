//! A disk in memory that loses what was not synced: it is told of every write, sync and name of the
//! log's files, and says what a directory looks like after a power cut at this instant.
//!
//! A sector (512 bytes) is written whole or not at all. Of each that was not synced since it was
//! written, the disk may have the old version or any later one, whatever it has of others; of each
//! change of a name that no sync of the directory followed, the same. The disk can also lose its
//! power by itself, at a chosen call: that one is done by half, and all that come after it fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use leveret::storage::Witness;
use tempfile::TempDir;

use super::random::Random;

const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// See the top of the file.
#[derive(Default)]
pub struct Disk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    /// By name, as the last sync of the directory left them.
    durable_names: BTreeMap<String, usize>,
    /// As they are now.
    names: BTreeMap<String, usize>,
    /// What led from the one to the other, in order.
    renamings: Vec<Renaming>,
    /// The write at which the power went: file, offset, bytes.
    last_write: Option<(usize, usize, Vec<u8>)>,
    /// The names that came or went after that, which only matter if just the process ends.
    late_renamings: Vec<Renaming>,
    /// So many calls more until the power goes; `None`: it stays.
    calls_left: Option<u64>,
    is_dead: bool,
}

#[derive(Default)]
struct Contents {
    durable: Vec<u8>,
    /// By number of the sector, oldest first.
    unsynced: BTreeMap<usize, Vec<Sector>>,
}

enum Renaming {
    Created(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

impl Disk {
    /// A disk that holds what is in `directory`, durably.
    pub fn with(directory: &Path) -> Arc<Disk> {
        let mut state = State::default();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            state.names.insert(name, state.files.len());
            let durable = fs::read(entry.path()).unwrap();
            state.files.push(Contents { durable, unsynced: BTreeMap::new() });
        }
        state.durable_names = state.names.clone();
        Arc::new(Disk { state: Mutex::new(state) })
    }

    /// The power goes at the call that comes after so many others.
    pub fn die_after(&self, calls: u64) {
        self.state().calls_left = Some(calls);
    }

    /// The power stays; if it was gone, it was only the process that ended.
    pub fn live(&self) {
        let mut state = self.state();
        state.calls_left = None;
        state.is_dead = false;
        state.last_write = None;
        let late = std::mem::take(&mut state.late_renamings);
        state.renamings.extend(late);
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// A directory as a power cut at this instant may leave it.
    pub fn cut(&self, random: &mut Random) -> TempDir {
        let mut state = self.state();
        if let Some((file, offset, bytes)) = state.last_write.take() {
            state.files[file].write(offset, &bytes);
        }
        let mut names = state.durable_names.clone();
        // Mostly of one kind: a disk that was quick, or slow.
        let percent = *random.pick(&[5, 50, 50, 95, 100]);
        for renaming in &state.renamings {
            if !random.chance(percent) {
                continue;
            }
            match renaming {
                Renaming::Created(name, file) => {
                    names.insert(name.clone(), *file);
                }
                Renaming::Renamed(from, to, file) => {
                    names.remove(from);
                    names.insert(to.clone(), *file);
                }
                Renaming::Removed(name) => {
                    names.remove(name);
                }
            }
        }
        let directory = memory_directory();
        for (name, file) in names {
            let bytes = state.files[file].after_cut(percent, random);
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    /// Bytes from a random place of the files: whatever a client might get hold of.
    pub fn steal(&self, bytes: usize, random: &mut Random) -> Vec<u8> {
        let state = self.state();
        let segments: Vec<usize> = state.names.values().copied().collect();
        if segments.is_empty() {
            return vec![0; bytes];
        }
        let file = &state.files[*random.pick(&segments)];
        let used = file.used_bytes();
        let from = if random.chance(20) { 0 } else { random.below(used.max(1)) };
        // Records begin at multiples of 8.
        let from = if random.chance(70) { from / 8 * 8 } else { from };
        (from..from + bytes).map(|at| file.byte(at)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// In memory where that is possible: real syncs are waited for and prove nothing here.
pub fn memory_directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

impl Contents {
    fn last_version(&self, sector: usize) -> Sector {
        if let Some(last) = self.unsynced.get(&sector).and_then(|versions| versions.last()) {
            return *last;
        }
        let mut version = [0; SECTOR_BYTES];
        let from = (sector * SECTOR_BYTES).min(self.durable.len());
        let to = (from + SECTOR_BYTES).min(self.durable.len());
        version[..to - from].copy_from_slice(&self.durable[from..to]);
        version
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let begin = sector * SECTOR_BYTES;
            let (from, to) = (begin.max(offset), (begin + SECTOR_BYTES).min(end));
            let mut version = self.last_version(sector);
            version[from - begin..to - begin].copy_from_slice(&bytes[from - offset..to - offset]);
            self.unsynced.entry(sector).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        for (sector, versions) in std::mem::take(&mut self.unsynced) {
            let last = versions.last().unwrap();
            put(&mut self.durable, sector, last);
        }
    }

    fn after_cut(&self, percent: usize, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (sector, versions) in &self.unsynced {
            if random.chance(percent) {
                let last = versions.len() - 1;
                let nth = if random.chance(60) { last } else { random.below(versions.len()) };
                put(&mut bytes, *sector, &versions[nth]);
            }
        }
        bytes
    }

    fn byte(&self, at: usize) -> u8 {
        let (sector, within) = (at / SECTOR_BYTES, at % SECTOR_BYTES);
        match self.unsynced.get(&sector).and_then(|versions| versions.last()) {
            Some(version) => version[within],
            None => self.durable.get(at).copied().unwrap_or(0),
        }
    }

    /// Up to where there may be records: spares and what follows the end are zeros.
    fn used_bytes(&self) -> usize {
        let used = self.durable.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let unsynced = self.unsynced.keys().last().map_or(0, |sector| (sector + 1) * SECTOR_BYTES);
        used.max(unsynced)
    }
}

fn put(bytes: &mut Vec<u8>, sector: usize, version: &Sector) {
    let begin = sector * SECTOR_BYTES;
    if bytes.len() < begin + SECTOR_BYTES {
        bytes.resize(begin + SECTOR_BYTES, 0);
    }
    bytes[begin..begin + SECTOR_BYTES].copy_from_slice(version);
}

impl State {
    /// One call more: `false` when it is the one that the power goes at.
    fn call(&mut self) -> io::Result<bool> {
        if self.is_dead {
            return Err(io::Error::other("there is no power"));
        }
        let Some(left) = &mut self.calls_left else {
            return Ok(true);
        };
        if let Some(fewer) = left.checked_sub(1) {
            *left = fewer;
            return Ok(true);
        }
        self.is_dead = true;
        Ok(false)
    }

    /// How a call ends.
    fn answer(&self) -> io::Result<()> {
        if self.is_dead { Err(io::Error::other("the power goes")) } else { Ok(()) }
    }

    /// A name came or went: the kernel did it, whatever the disk will know of it.
    fn note(&mut self, renaming: Renaming) {
        match self.call() {
            Ok(_) => self.renamings.push(renaming),
            Err(_) => self.late_renamings.push(renaming),
        }
    }
}

impl Witness for Disk {
    fn writes(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let (file, offset) = (state.names[&name_of(path)], usize::try_from(offset).unwrap());
        match state.call()? {
            true => state.files[file].write(offset, bytes),
            false => state.last_write = Some((file, offset, bytes.to_vec())),
        }
        state.answer()
    }

    fn allocates(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        let name = name_of(path);
        // Files of the transient ring lose their name at once.
        if name.contains("transient") {
            return state.answer();
        }
        state.call()?;
        let file = state.files.len();
        let durable = vec![0; usize::try_from(bytes).unwrap()];
        state.files.push(Contents { durable, unsynced: BTreeMap::new() });
        state.names.insert(name.clone(), file);
        state.renamings.push(Renaming::Created(name, file));
        state.answer()
    }

    fn syncs(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        // One that is cut short has made durable what the cut leaves by chance.
        if state.call()? {
            let file = state.names[&name_of(path)];
            state.files[file].sync();
        }
        state.answer()
    }

    fn syncs_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.call()? {
            state.durable_names = state.names.clone();
            state.renamings.clear();
        }
        state.answer()
    }

    fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.state();
        let (from, to) = (name_of(from), name_of(to));
        let file = state.names.remove(&from).unwrap();
        state.names.insert(to.clone(), file);
        state.note(Renaming::Renamed(from, to, file));
    }

    fn removed(&self, path: &Path) {
        let mut state = self.state();
        let name = name_of(path);
        if state.names.remove(&name).is_some() {
            state.note(Renaming::Removed(name));
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn path(name: &str) -> &Path {
        Path::new(name)
    }

    /// What many cuts leave of a file: `None`, it is not there; else the first byte of each sector.
    fn cuts(disk: &Disk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        let mut random = Random::new(1);
        let mut all = BTreeSet::new();
        for _ in 0..400 {
            let directory = disk.cut(&mut random);
            let bytes = fs::read(directory.path().join(name)).ok();
            let sectors = |bytes: Vec<u8>| bytes.chunks(SECTOR_BYTES).map(|s| s[0]).collect();
            all.insert(bytes.map(sectors));
        }
        all
    }

    #[test]
    fn a_cut_leaves_of_each_sector_any_version_since_the_last_sync() {
        let empty = memory_directory();
        let disk = Disk::with(empty.path());
        disk.allocates(path("a.new"), 1024).unwrap();
        disk.writes(path("a.new"), 0, &[1; 1024]).unwrap();
        disk.syncs(path("a.new")).unwrap();
        disk.renamed(path("a.new"), path("a"));
        let whole = Some(vec![1, 1]);
        assert_eq!(cuts(&disk, "a"), BTreeSet::from([None, whole.clone()]));
        disk.syncs_directory(path("")).unwrap();
        assert_eq!(cuts(&disk, "a"), BTreeSet::from([whole.clone()]));
        disk.writes(path("a"), 0, &[2; 600]).unwrap();
        disk.writes(path("a"), 0, &[3; 300]).unwrap();
        let first = [1, 2, 3];
        let second = [1, 2];
        let any = first.iter().flat_map(|a| second.iter().map(|b| Some(vec![*a, *b])));
        assert_eq!(cuts(&disk, "a"), any.collect());
        disk.syncs(path("a")).unwrap();
        assert_eq!(cuts(&disk, "a"), BTreeSet::from([Some(vec![3, 2])]));
        disk.removed(path("a"));
        assert_eq!(cuts(&disk, "a"), BTreeSet::from([None, Some(vec![3, 2])]));
    }

    #[test]
    fn the_call_at_which_the_power_goes_is_done_by_half_and_none_after_it() {
        let empty = memory_directory();
        let disk = Disk::with(empty.path());
        disk.allocates(path("a"), 1024).unwrap();
        disk.syncs_directory(path("")).unwrap();
        disk.die_after(1);
        disk.writes(path("a"), 0, &[1; 512]).unwrap();
        assert!(!disk.is_dead());
        assert!(disk.writes(path("a"), 0, &[2; 1024]).is_err());
        assert!(disk.is_dead() && disk.syncs(path("a")).is_err());
        assert!(disk.writes(path("a"), 0, &[3; 1024]).is_err());
        disk.removed(path("a"));
        let first = [0, 1, 2];
        let second = [0, 2];
        let any = first.iter().flat_map(|a| second.iter().map(|b| Some(vec![*a, *b])));
        assert_eq!(cuts(&disk, "a"), any.collect());
        disk.live();
        assert!(cuts(&disk, "a").contains(&None), "the process went on to remove it");
    }
}
