//! Which file system is a path on, and which disk is that on? Reads what the kernel says in
//! /proc/self/mountinfo and /sys.

use std::fs;
use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) kind: String,
    pub(super) source: String,
    /// Those of the mount and those of the file system.
    pub(super) options: Vec<String>,
    /// Major and minor number of its device, as in `8:1`; major 0 is no disk.
    pub(super) device: String,
}

/// A disk as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Disk {
    pub(super) name: String,
    /// A hypervisor made it up, and says of it what it likes.
    pub(super) is_virtual: bool,
    pub(super) is_rotational: bool,
    /// The drive says that it keeps writes in a cache until it is told to flush it.
    pub(super) has_write_cache: bool,
}

impl Mount {
    /// The mount that `path`, an absolute one without links, lies on.
    pub(super) fn of(path: &Path) -> Option<Mount> {
        let info = fs::read_to_string("/proc/self/mountinfo").ok()?;
        find(&info, path)
    }

    /// The disk below it, where there is one that /sys knows.
    pub(super) fn disk(&self) -> Option<Disk> {
        if self.device.starts_with("0:") {
            return None;
        }
        let device = fs::canonicalize(Path::new("/sys/dev/block").join(&self.device)).ok()?;
        // A partition lies in the folder of its disk.
        let is_part = device.join("partition").exists();
        let disk = if is_part { device.parent()?.to_path_buf() } else { device };
        let queue = |file: &str| fs::read_to_string(disk.join("queue").join(file)).ok();
        let name = disk.file_name()?.to_string_lossy().into_owned();
        let is_virtual = is_virtual(&name);
        Some(Disk {
            name,
            is_virtual,
            is_rotational: queue("rotational")?.trim() == "1" && !is_virtual,
            has_write_cache: queue("write_cache")?.trim() == "write back",
        })
    }

    pub(super) fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }
}

/// Disks of virtio and Xen; nearly all of them pass for rotating ones.
fn is_virtual(name: &str) -> bool {
    ["vd", "xvd"].iter().any(|begin| name.starts_with(begin))
}

/// The mount in `info` with the longest path above `path`, of two at one place the last one.
fn find(info: &str, path: &Path) -> Option<Mount> {
    let mounts = info.lines().filter_map(parse);
    let above = mounts.filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.components().count()).map(|(_, mount)| mount)
}

/// A line such as `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn parse(line: &str) -> Option<(PathBuf, Mount)> {
    let (own, of_file_system) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let mut rest = of_file_system.split(' ');
    let (kind, source) = (rest.next()?, rest.next()?);
    let options = own.get(5)?.split(',').chain(rest.next().unwrap_or_default().split(','));
    let options = options.fold(Vec::<String>::new(), |mut known, option| {
        if !known.iter().any(|other| other == option) {
            known.push(option.to_owned());
        }
        known
    });
    let mount = Mount {
        kind: kind.to_owned(),
        source: unescaped(source),
        options,
        device: (*own.get(2)?).to_owned(),
    };
    Some((PathBuf::from(unescaped(own.get(4)?)), mount))
}

/// Spaces in names are written in octal there.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro\n\
30 22 0:25 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw,size=100k\n\
31 22 8:17 / /var/my\\040data rw - xfs /dev/sdb1 rw,attr2\n\
32 31 8:33 / /var/my\\040data rw,noatime - btrfs /dev/sdc1 rw,nobarrier\n\
nonsense\n";

    #[test]
    fn the_deepest_mount_counts_and_of_two_at_one_place_the_last() {
        let kind = |path: &str| find(INFO, Path::new(path)).map(|mount| mount.kind);
        assert_eq!(kind("/").as_deref(), Some("ext4"));
        assert_eq!(kind("/tmpfiles").as_deref(), Some("ext4"));
        assert_eq!(kind("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/var/my data/leveret").as_deref(), Some("btrfs"));
        assert_eq!(find("", Path::new("/")), None);
    }

    #[test]
    fn options_of_mount_and_file_system_are_known() {
        let mount = find(INFO, Path::new("/var/my data")).unwrap();
        assert!(mount.has_option("noatime") && mount.has_option("nobarrier"));
        assert_eq!(mount.options, ["rw", "noatime", "nobarrier"], "each once");
        assert!(!mount.has_option("barrier"));
        assert_eq!((mount.source.as_str(), mount.device.as_str()), ("/dev/sdc1", "8:33"));
        let memory = find(INFO, Path::new("/tmp")).unwrap();
        assert_eq!(memory.disk(), None, "no disk is behind memory");
    }

    #[test]
    fn disks_of_hypervisors_are_known_by_their_names() {
        for (name, expected) in
            [("vda", true), ("xvdf", true), ("sda", false), ("nvme0n1", false), ("mmcblk0", false)]
        {
            assert_eq!(is_virtual(name), expected, "{name}");
        }
    }

    #[test]
    fn the_file_system_of_this_test_is_found() {
        let here = fs::canonicalize(".").unwrap();
        assert!(Mount::of(&here).is_some());
    }
}
