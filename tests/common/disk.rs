//! What does a machine find after the power went? A file system in a file, and what was in that
//! file at one moment.
//!
//! A clone has to be of one moment, and nothing may be flushed for it, so it is made by the file
//! system below: XFS with reflinks, itself in a file.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::mounted::{Mounted, path_text, run};

const DISK_BYTES: u64 = 1 << 30;
const BELOW_BYTES: u64 = 16 << 30;

/// The broker's file system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    pub fn parse(name: &str) -> Kind {
        match name {
            "ext4" => Kind::Ext4,
            "xfs" => Kind::Xfs,
            _ => panic!("the file system is ext4 or xfs, and not {name:?}"),
        }
    }

    fn make(self) -> &'static [&'static str] {
        match self {
            Kind::Ext4 => &["mkfs.ext4", "-q", "-F"],
            Kind::Xfs => &["mkfs.xfs", "-q", "-f"],
        }
    }

    /// A clone has the identity of what it was made of, which is mounted too.
    fn options(self) -> &'static str {
        match self {
            Kind::Ext4 => "loop",
            Kind::Xfs => "loop,nouuid",
        }
    }
}

/// The disk of the broker and what is below; they go in this order.
pub struct Disk {
    kind: Kind,
    mounted: Mounted,
    below: Mounted,
    directory: TempDir,
    cuts: usize,
}

impl Disk {
    /// The error says what the machine does not have.
    pub fn new(kind: Kind) -> Result<Disk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path();
        let xfs = ["mkfs.xfs", "-q", "-m", "reflink=1"];
        let below = path.join("below");
        let below = Mounted::make(&xfs, &path.join("below.img"), BELOW_BYTES, &below)?;
        let image = below.path.join("disk.img");
        let mounted = Mounted::make(kind.make(), &image, DISK_BYTES, &path.join("disk"))?;
        Ok(Disk { kind, mounted, below, directory, cuts: 0 })
    }

    /// A directory for a broker.
    pub fn data(&self) -> PathBuf {
        self.mounted.path.join("data")
    }

    /// What a machine would find if the power went now. One at a time is mounted.
    pub fn cut(&mut self) -> Clone {
        self.cuts += 1;
        self.mount(&self.clone(&format!("cut-{}", self.cuts)))
    }

    /// What is on the disk at one moment.
    pub fn clone(&self, name: &str) -> PathBuf {
        self.clone_of(&self.below.path.join("disk.img"), name)
    }

    /// What is on the disk in this file at one moment.
    pub fn clone_of(&self, image: &Path, name: &str) -> PathBuf {
        let clone = self.below.path.join(format!("{name}.img"));
        run("cp", &["--reflink=always", path_text(image), path_text(&clone)])
            .expect("XFS has reflinks");
        clone
    }

    /// Mounts a clone, which replays its journal.
    pub fn mount(&self, image: &Path) -> Clone {
        let at = self.directory.path().join("clone");
        let mounted = Mounted::with_options(image, self.kind.options(), &at);
        let mounted = mounted.expect("what can be mounted once can be again");
        Clone { mounted, image: image.to_owned(), is_kept: false }
    }
}

/// A clone that is mounted; its file goes with this value, unless it is kept.
pub struct Clone {
    mounted: Mounted,
    pub image: PathBuf,
    is_kept: bool,
}

impl Clone {
    /// The broker's directory.
    pub fn data(&self) -> PathBuf {
        self.mounted.path.join("data")
    }

    /// Only unmounts it; the file with what is on it.
    pub fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.image.clone()
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // Its blocks are free once it is not mounted any more.
        if let Err(error) = fs::remove_file(&self.image) {
            eprintln!("{}: {error}", self.image.display());
        }
    }
}
