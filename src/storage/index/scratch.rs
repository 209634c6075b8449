//! Where do entries lie that should cost no anonymous memory? In slots of an unlinked file that is
//! mapped: the kernel writes them out when it needs the memory and drops them with the process.
//! Owns the file and the map of free slots; does not know what a slot holds.
//!
//! Every slot has real blocks before it is handed out, so that a full disk is an error of
//! `allocate` and never a SIGBUS.

#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use memmap2::{Advice, MmapMut, MmapOptions};

use crate::sys;

/// Size of a slot in bytes.
pub(super) const SLOT_BYTES: usize = 8 * 1024;

/// Slots of a region: the bits of its free mask.
const REGION_SLOTS: u32 = u64::BITS;

const REGION_BYTES: usize = SLOT_BYTES * REGION_SLOTS as usize;

/// A slot that was allocated and not yet released. Not `Clone`: there is one owner.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Slot {
    region: u32,
    index: u32,
}

/// The file, its mappings and which slots are free.
pub(super) struct ScratchFile {
    file: File,
    /// Region `n` lies at `n * REGION_BYTES`; `None` was given back to the file system.
    regions: Vec<Option<Region>>,
}

struct Region {
    map: MmapMut,
    /// Bit `n` set: slot `n` is free.
    free: u64,
}

impl ScratchFile {
    /// Creates the file in `directory` and unlinks it at once. It takes no space yet.
    ///
    /// # Errors
    /// Those of creating and unlinking; the text names the path.
    pub(super) fn create(directory: &Path) -> io::Result<ScratchFile> {
        let path = directory.join("scratch");
        let wrap = |error: io::Error| {
            io::Error::new(error.kind(), format!("creating {}: {error}", path.display()))
        };
        // Left behind if the process was killed between the two calls below.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrap(error)),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path).map_err(wrap)?;
        fs::remove_file(&path).map_err(wrap)?;
        Ok(ScratchFile { file, regions: Vec::new() })
    }

    /// One that cannot grow.
    #[cfg(test)]
    pub(super) fn refusing() -> ScratchFile {
        let file = File::open("/dev/null").expect("every system has it");
        ScratchFile { file, regions: Vec::new() }
    }

    /// A slot, of undefined content. The lowest regions are filled first, so that the others
    /// become free as a whole.
    ///
    /// # Errors
    /// When the file cannot grow: no space, mostly.
    pub(super) fn allocate(&mut self) -> io::Result<Slot> {
        let with_room = |region: &Option<Region>| region.as_ref().is_some_and(|r| r.free != 0);
        let number = match self.regions.iter().position(with_room) {
            Some(number) => number,
            None => self.add_region()?,
        };
        let region = self.regions[number].as_mut().expect("it was just found or made");
        let index = region.free.trailing_zeros();
        region.free &= !(1 << index);
        Ok(Slot { region: u32::try_from(number).expect("a file has fewer regions"), index })
    }

    /// Takes a slot back. Of regions that are wholly free one is kept for the next need, the
    /// others go back to the file system.
    pub(super) fn release(&mut self, slot: Slot) {
        let number = slot.region as usize;
        let region = self.regions[number].as_mut().expect("the slot was allocated in it");
        assert_eq!(region.free & (1 << slot.index), 0, "slot {slot:?} released twice");
        region.free |= 1 << slot.index;
        if region.free == u64::MAX {
            let is_free = |region: &&Option<Region>| {
                region.as_ref().is_some_and(|region| region.free == u64::MAX)
            };
            if self.regions.iter().filter(is_free).count() > 1 {
                self.drop_region(number);
            }
        }
    }

    /// The bytes of a slot.
    pub(super) fn bytes(&self, slot: &Slot) -> &[u8] {
        let region = self.regions[slot.region as usize].as_ref();
        let map = &region.expect("the slot was allocated in it").map;
        &map[slot.index as usize * SLOT_BYTES..][..SLOT_BYTES]
    }

    /// The bytes of a slot, to change.
    pub(super) fn bytes_mut(&mut self, slot: &Slot) -> &mut [u8] {
        let region = self.regions[slot.region as usize].as_mut();
        let map = &mut region.expect("the slot was allocated in it").map;
        &mut map[slot.index as usize * SLOT_BYTES..][..SLOT_BYTES]
    }

    /// Disk space that the file holds, in bytes.
    pub(super) fn mapped_bytes(&self) -> u64 {
        self.regions.iter().flatten().map(|region| region.map.len() as u64).sum()
    }

    fn add_region(&mut self) -> io::Result<usize> {
        let hole = self.regions.iter().position(Option::is_none);
        let number = hole.unwrap_or(self.regions.len());
        let offset = number as u64 * REGION_BYTES as u64;
        sys::allocate_blocks(&self.file, offset, REGION_BYTES as u64)?;
        // SAFETY: a shared mapping is sound as long as nobody else changes or truncates the file.
        // `create` made it new and unlinked it at once, so no other process can open it by name,
        // this process has the one handle, which never leaves this type, and no method shortens
        // the file. Regions do not overlap and each is mapped once: `number` is unmapped here.
        let map =
            unsafe { MmapOptions::new().offset(offset).len(REGION_BYTES).map_mut(&self.file) };
        let map = map?;
        // A slot is two pages, and its neighbours belong to other queues.
        if let Err(error) = map.advise(Advice::Random) {
            log::debug!("reading the index ahead: {error}");
        }
        let region = Some(Region { map, free: u64::MAX });
        if number == self.regions.len() {
            self.regions.push(region);
        } else {
            self.regions[number] = region;
        }
        Ok(number)
    }

    fn drop_region(&mut self, number: usize) {
        self.regions[number] = None;
        let offset = number as u64 * REGION_BYTES as u64;
        if let Err(error) = sys::free_blocks(&self.file, offset, REGION_BYTES as u64) {
            // The space stays with the file and is used when the region is wanted again.
            log::debug!("scratch file: giving space back: {error}");
        }
        while self.regions.last().is_some_and(Option::is_none) {
            self.regions.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_no_name_and_a_leftover_one_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("scratch"), b"left behind").unwrap();
        let scratch = ScratchFile::create(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(scratch.mapped_bytes(), 0);
        let missing = ScratchFile::create(&directory.path().join("missing")).err().unwrap();
        assert!(missing.to_string().contains("missing/scratch"), "{missing}");
    }

    #[test]
    fn slots_do_not_overlap_and_free_regions_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = ScratchFile::create(directory.path()).unwrap();
        let mut slots: Vec<Slot> = (0..300).map(|_| scratch.allocate().unwrap()).collect();
        for (number, slot) in slots.iter().enumerate() {
            scratch.bytes_mut(slot).fill(u8::try_from(number % 251).unwrap());
        }
        for (number, slot) in slots.iter().enumerate() {
            let expected = u8::try_from(number % 251).unwrap();
            assert!(scratch.bytes(slot).iter().all(|&byte| byte == expected));
        }
        assert_eq!(scratch.mapped_bytes(), 5 * REGION_BYTES as u64);
        slots.drain(64..192).for_each(|slot| scratch.release(slot));
        assert_eq!(scratch.mapped_bytes(), 4 * REGION_BYTES as u64, "one free one is kept");
        assert!(scratch.bytes(&slots[64]).iter().all(|&byte| byte == 192));
        slots.extend((0..128).map(|_| scratch.allocate().unwrap()));
        assert_eq!(scratch.mapped_bytes(), 5 * REGION_BYTES as u64, "the hole is used again");
        slots.drain(..).for_each(|slot| scratch.release(slot));
        assert_eq!(scratch.mapped_bytes(), REGION_BYTES as u64);
    }
}
