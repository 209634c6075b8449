//! A disk that loses what was not synced. It is told of every write, sync and name, and can make a
//! directory as a power cut at this instant would leave it: of each sector that was not synced
//! any version that was written since, or the old one, independently of all others; of each name
//! that was not synced the new state or the old one. It can also lose its power at a chosen
//! moment, in the middle of whatever is going on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::storage::Witness;

/// The unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// See the top of the file.
#[derive(Default)]
pub(super) struct Disk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// No more than so many changes; `None`: any number.
    changes_left: Option<u64>,
    is_full: bool,
    refuses_writes: bool,
    syncs: usize,
}

#[derive(Default)]
struct FileState {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// By sector: what was written since it was synced, in order.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Sectors that are taken for clean and are not.
    forgotten: BTreeSet<usize>,
}

impl Disk {
    /// A disk with what is in `directory`, all of it durable.
    pub(super) fn with(directory: &Path) -> Arc<Disk> {
        let disk = Disk::default();
        let mut state = disk.state();
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            let number = state.files.len();
            let durable = bytes.clone();
            let current = bytes;
            state.files.push(FileState { current, durable, ..FileState::default() });
            state.names.insert(name.clone(), number);
            state.durable_names.insert(name, number);
        }
        drop(state);
        Arc::new(disk)
    }

    /// The power goes after so many changes more.
    pub(super) fn fail_after(&self, changes: u64) {
        self.state().changes_left = Some(changes);
    }

    /// Whether the power is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.state().changes_left == Some(0)
    }

    /// What was not synced stays in the cache as if it were: only what is written again reaches
    /// the disk.
    pub(super) fn forget_unsynced(&self) {
        self.state().files.iter_mut().for_each(|file| {
            file.forgotten.extend(std::mem::take(&mut file.unsynced).into_keys());
        });
    }

    /// How many syncs there were.
    pub(super) fn syncs_seen(&self) -> usize {
        self.state().syncs
    }

    /// Writes find no space, as on a file system that copies what it changes; or they do again.
    pub(super) fn refuse_writes(&self, refuse: bool) {
        self.state().refuses_writes = refuse;
    }

    /// There is no space for another file, or there is again.
    pub(super) fn fill(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Makes `target` as a power cut could leave it: of what was not synced, about `percent`
    /// reached the disk.
    pub(super) fn cut_power(&self, target: &Path, percent: usize, random: &mut Random) {
        let state = self.state();
        let mut names = state.durable_names.clone();
        for (name, number) in &state.names {
            if state.durable_names.get(name) != Some(number) && random.chance(percent) {
                names.insert(name.clone(), *number);
            }
        }
        for name in state.durable_names.keys() {
            if !state.names.contains_key(name) && random.chance(percent) {
                names.remove(name);
            }
        }
        for (name, number) in names {
            let file = &state.files[number];
            let mut survives = file.durable.clone();
            survives.resize(file.current.len(), 0);
            for (&sector, versions) in &file.unsynced {
                if random.chance(percent) {
                    // Mostly the last one; the disk may have been told to write another before.
                    let last = versions.len() - 1;
                    let n = if random.chance(70) { last } else { random.below(versions.len()) };
                    let at = sector * SECTOR_BYTES;
                    survives[at..at + versions[n].len()].copy_from_slice(&versions[n]);
                }
            }
            fs::write(target.join(name), survives).unwrap();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.changes_left {
            if *left == 0 {
                return Err(io::Error::other("the power is gone"));
            }
            *left -= 1;
            if *left == 0 {
                return Err(io::Error::other("the power goes"));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> &mut FileState {
        let number = self.names[&name_of(path)];
        &mut self.files[number]
    }
}

impl Witness for Disk {
    fn writes(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.refuses_writes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.change()?;
        let file = state.file(path);
        let from = usize::try_from(offset).unwrap();
        let to = from + bytes.len();
        file.current.resize(file.current.len().max(to), 0);
        file.current[from..to].copy_from_slice(bytes);
        for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
            let end = file.current.len().min((sector + 1) * SECTOR_BYTES);
            let version = file.current[sector * SECTOR_BYTES..end].to_vec();
            file.forgotten.remove(&sector);
            file.unsynced.entry(sector).or_default().push(version);
        }
        Ok(())
    }

    fn allocates(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if path.extension().is_some_and(|e| e == "new") && name_of(path).contains("transient") {
            return Ok(());
        }
        state.change()?;
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        let number = state.files.len();
        let durable = zeros.clone();
        state.files.push(FileState { current: zeros, durable, ..FileState::default() });
        state.names.insert(name_of(path), number);
        Ok(())
    }

    fn syncs(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.syncs += 1;
        let file = state.file(path);
        for (sector, versions) in std::mem::take(&mut file.unsynced) {
            let last = versions.last().expect("it was written");
            let (from, to) = (sector * SECTOR_BYTES, sector * SECTOR_BYTES + last.len());
            file.durable.resize(file.durable.len().max(to), 0);
            file.durable[from..to].copy_from_slice(last);
        }
        Ok(())
    }

    fn syncs_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.state();
        if let Some(number) = state.names.remove(&name_of(from)) {
            state.names.insert(name_of(to), number);
        }
    }

    fn removed(&self, path: &Path) {
        self.state().names.remove(&name_of(path));
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
