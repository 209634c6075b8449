//! A disk that loses what was not synced: it watches every sync and can make a copy of a
//! directory as a power cut would leave it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Random;
use crate::storage::segment::watch::{self, Synced};

/// The unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;

#[derive(Default)]
struct Known {
    /// By inode: what was in the file when it was last synced.
    contents: BTreeMap<u64, Vec<u8>>,
    /// What the directory held when it was last synced.
    names: BTreeMap<String, u64>,
}

pub(super) struct Disk {
    directory: PathBuf,
    known: Rc<RefCell<Known>>,
}

impl Disk {
    /// Watches `directory`; what is in it now counts as durable.
    pub(super) fn watch(directory: &Path) -> Disk {
        let known = Rc::new(RefCell::new(Known::default()));
        let names = names_in(directory);
        for name in names.keys() {
            let path = directory.join(name);
            let inode = fs::metadata(&path).unwrap().ino();
            known.borrow_mut().contents.insert(inode, fs::read(&path).unwrap());
        }
        known.borrow_mut().names = names;
        let (inner, watched) = (Rc::clone(&known), directory.to_path_buf());
        watch::set(Some(Box::new(move |synced| {
            let mut known = inner.borrow_mut();
            match synced {
                Synced::File(file) => {
                    let inode = file.metadata().unwrap().ino();
                    known.contents.insert(inode, contents_of(file));
                }
                Synced::Directory(path) if path == watched => known.names = names_in(path),
                Synced::Directory(_) => {}
            }
        })));
        Disk { directory: directory.to_path_buf(), known }
    }

    /// Copies the directory to `target` as a power cut could leave it: of what was not synced,
    /// about `percent` reached the disk.
    pub(super) fn cut_power(&self, target: &Path, percent: usize, random: &mut Random) {
        let known = self.known.borrow();
        let now = names_in(&self.directory);
        let names = if random.chance(percent) { &now } else { &known.names };
        for (name, inode) in names {
            let synced = known.contents.get(inode).cloned().unwrap_or_default();
            let current = now
                .iter()
                .find(|(_, other)| *other == inode)
                .map_or(synced.clone(), |(name, _)| fs::read(self.directory.join(name)).unwrap());
            let mut survives = synced;
            survives.resize(current.len(), 0);
            for at in (0..current.len()).step_by(SECTOR_BYTES) {
                let sector = at..current.len().min(at + SECTOR_BYTES);
                if survives[sector.clone()] != current[sector.clone()] && random.chance(percent) {
                    survives[sector.clone()].copy_from_slice(&current[sector]);
                }
            }
            fs::write(target.join(name), survives).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        watch::set(None);
    }
}

fn names_in(directory: &Path) -> BTreeMap<String, u64> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let inode = entry.metadata().unwrap().ino();
        names.insert(entry.file_name().into_string().unwrap(), inode);
    }
    names
}

/// Also of a file that is open for writing only.
fn contents_of(file: &File) -> Vec<u8> {
    fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}
