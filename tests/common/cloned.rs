//! What would a disk hold if the power went now? An ext4 file system lies in a file, and that on
//! an XFS with reflinks: a clone of the file is of one moment, and nothing is flushed for it.

use std::path::PathBuf;

use tempfile::TempDir;

use super::mounted::{Mounted, path_text, run};

const DISK_BYTES: u64 = 256 << 20;
const BELOW_BYTES: u64 = 2 << 30;

/// A disk that can be cloned while it is written to.
pub struct ClonedDisk {
    // They go in this order.
    mounted: Mounted,
    below: Mounted,
    directory: TempDir,
    clones: usize,
}

impl ClonedDisk {
    /// The error says what the machine does not have.
    pub fn new() -> Result<ClonedDisk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        let directory = TempDir::new().expect("a temporary directory can be made");
        let path = directory.path();
        let xfs = ["mkfs.xfs", "-q", "-m", "reflink=1"];
        let below = Mounted::make(&xfs, &path.join("below.img"), BELOW_BYTES, &path.join("below"))?;
        let ext4 = ["mkfs.ext4", "-q", "-F"];
        let image = below.0.join("disk.img");
        let mounted = Mounted::make(&ext4, &image, DISK_BYTES, &path.join("disk"))?;
        Ok(ClonedDisk { mounted, below, directory, clones: 0 })
    }

    /// A directory for a broker.
    pub fn data(&self) -> PathBuf {
        self.mounted.0.join("data")
    }

    /// Clones what has reached the disk and mounts that, which replays the journal.
    pub fn cut(&mut self) -> Mounted {
        self.clones += 1;
        let image = self.below.0.join("disk.img");
        let clone = self.below.0.join(format!("clone-{}.img", self.clones));
        run("cp", &["--reflink=always", path_text(&image), path_text(&clone)])
            .expect("XFS has reflinks");
        let at = self.directory.path().join(format!("clone-{}", self.clones));
        Mounted::new(&clone, &at).expect("what can be mounted once can be again")
    }
}
