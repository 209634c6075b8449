//! What does the system have, and how is it told? The few system calls and kernel files that the
//! standard library lacks, each as a safe function; rustix does the unsafe part. Owns nothing,
//! imports nothing of this crate.
//!
//! Errors are the bare `io::Error` of the call, except where a path is read here: then the text
//! names it. Whoever calls says what it was doing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, SeekFrom, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

/// Whether the process at the other end of a Unix socket belongs to this one's user, or to root.
///
/// # Errors
/// What the system says.
pub fn is_peer_trusted(socket: &impl AsFd) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(peer.uid == rustix::process::geteuid() || peer.uid.is_root())
}

/// The number of the user whose rights this process has.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether `file` is the stream to the system's journal that `named`, the variable
/// `JOURNAL_STREAM` of systemd.exec(5), speaks of: `device:inode`.
pub fn is_journal(file: &impl AsFd, named: &str) -> bool {
    let Some((device, inode)) = named.split_once(':') else {
        return false;
    };
    let [device, inode] = [device, inode].map(|number| number.parse::<u64>().ok());
    rustix::fs::fstat(file).is_ok_and(|stat| {
        #[allow(clippy::useless_conversion, reason = "the fields are narrower on some machines")]
        let found = (u64::try_from(stat.st_dev).ok(), u64::try_from(stat.st_ino).ok());
        found == (device, inode) && device.is_some() && inode.is_some()
    })
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a file still has a name.
///
/// Asks for nothing else: since Linux 6.13, who has seen a file's times makes the next write change
/// them, and the sync behind that takes a third longer.
///
/// # Errors
/// What the system says.
pub fn has_name(file: &File) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH;
    let found = retry(|| rustix::fs::statx(file, c"", flags, StatxFlags::NLINK))?;
    Ok(found.stx_nlink > 0)
}

/// Gives the bytes `offset..offset + bytes` of `file` real blocks, so that writing them later, also
/// through a mapping, cannot fail for want of space. The file grows if it is shorter; what it
/// holds stays as it is, new bytes are zero.
///
/// On a file system that cannot allocate ahead, what lies beyond the end of the file is filled
/// with zeros instead, which has the same effect for a new file.
///
/// # Errors
/// `StorageFull` when there is no space; then the file may have grown in part.
pub fn allocate_blocks(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    match retry(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, bytes)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill_with_zeros(file, offset, bytes),
        result => Ok(result?),
    }
}

/// Has the kernel read of `file` what is asked for and no more.
///
/// # Errors
/// What the system says; it is advice, and nothing depends on it.
pub fn read_no_further(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random)?)
}

/// Whether the file system gives files blocks ahead of time; then `file` has so many bytes' worth.
///
/// # Errors
/// What the system says otherwise: no space, mostly.
pub fn can_allocate_blocks(file: &File, bytes: u64) -> io::Result<bool> {
    match retry(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Gives the blocks of `offset..offset + bytes` back to the file system; the bytes read as zero
/// from then on and the length of the file stays.
///
/// # Errors
/// `Unsupported` where the file system has no holes.
pub fn free_blocks(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(retry(|| rustix::fs::fallocate(file, flags, offset, bytes))?)
}

/// Where the last bytes of `file` end that may be anything but zero, from `offset` on: what lies
/// behind was never written. Moves the file's position.
///
/// Where the file system does not know, that is the end of the file.
pub fn written_end(file: &File, offset: u64) -> io::Result<u64> {
    let mut end = offset;
    loop {
        let data = match retry(|| rustix::fs::seek(file, SeekFrom::Data(end))) {
            Err(Errno::NXIO) => return Ok(end),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(file.metadata()?.len()),
            data => data?,
        };
        end = retry(|| rustix::fs::seek(file, SeekFrom::Hole(data)))?;
    }
}

/// The space of a file system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DiskSpace {
    /// Bytes that an unprivileged process may still take.
    pub available_bytes: u64,
    /// Size of the file system in bytes.
    pub total_bytes: u64,
}

/// The space of the file system that `path` lies on.
///
/// # Errors
/// Those of `statvfs`: no such path, no permission.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let stat = retry(|| rustix::fs::statvfs(path))?;
    Ok(DiskSpace {
        available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// Raises the limit of open files to the hard limit and returns what it is now; `u64::MAX` means
/// that there is none.
///
/// # Errors
/// Those of `setrlimit`. The limit is then as it was: see [`open_files_limit`].
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(Resource::Nofile, raised)?;
    }
    Ok(open_files_limit())
}

/// Has the kernel make room for so many open files, as far as the limit allows, as long as this
/// process has one thread. Later it would stop a thread for it until all processors have passed by:
/// 6 to 25 ms, each time that the number doubles. Takes 8 bytes of the kernel's for each.
pub fn make_room_for_open_files(count: u64) {
    let last = count.min(open_files_limit()).saturating_sub(1);
    // Where it cannot be had, it is made when it is needed.
    if let Ok(last) = i32::try_from(last) {
        let _ = rustix::io::fcntl_dupfd_cloexec(io::stderr(), last);
    }
}

/// How many files this process may have open; `u64::MAX` means any number.
pub fn open_files_limit() -> u64 {
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many files this process has open; `None`: the system does not say.
///
/// Since Linux 6.2 the size of `/proc/self/fd` is their number. It is 0 before, and nobody counts
/// them one by one.
pub fn open_files() -> Option<u64> {
    let files = fs::metadata("/proc/self/fd").ok()?.len();
    (files > 0).then_some(files)
}

/// Takes the exclusive lock of `file` without waiting. `false`: another open file holds it. The
/// lock lasts until the file and every clone of it is closed.
///
/// # Errors
/// Those of `flock` other than "somebody else has it".
pub fn lock_exclusive(file: &File) -> io::Result<bool> {
    match retry(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the names in `directory` durable: files created, renamed or removed in it.
///
/// # Errors
/// Those of opening and of `fsync`. A failed sync is final: do not try again.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Anonymous resident memory of this process in bytes: what only swapping could take away, so
/// without mapped files.
///
/// # Errors
/// When `/proc/self/status` cannot be read or lacks the line.
pub fn anonymous_memory_bytes() -> io::Result<u64> {
    status_bytes("RssAnon:")
}

/// The system's allocator, which counts what it has given out. The C library could be asked
/// (mallinfo(3)), but looks at each free piece for it: 34 ms after a hundred thousand users went.
#[derive(Debug, Default)]
pub struct CountedAllocator;

/// What is given out, with what the C library adds to each piece.
static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);

/// What a piece of this size takes: glibc keeps 8 bytes with each, in units of 16, and 32 at least.
const fn piece_bytes(bytes: usize) -> u64 {
    let units = (bytes as u64 + 8).div_ceil(16);
    if units < 2 { 32 } else { 16 * units }
}

#[allow(unsafe_code)]
// SAFETY: all is done by `System`; counting neither allocates nor panics.
unsafe impl GlobalAlloc for CountedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(piece_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of `GlobalAlloc`, which are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.fetch_add(piece_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let more = piece_bytes(bytes).wrapping_sub(piece_bytes(layout.size()));
        ALLOCATED_BYTES.fetch_add(more, Ordering::Relaxed);
        // SAFETY: as above; `piece` came from `System`, since all of ours do.
        unsafe { System.realloc(piece, layout, bytes) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        ALLOCATED_BYTES.fetch_sub(piece_bytes(layout.size()), Ordering::Relaxed);
        // SAFETY: as above; `piece` came from `System`, since all of ours do.
        unsafe { System.dealloc(piece, layout) }
    }
}

/// How many bytes of memory the program holds; `None` where it has another allocator than
/// [`CountedAllocator`].
pub fn allocated_bytes() -> Option<u64> {
    Some(ALLOCATED_BYTES.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
}

/// Has the allocator put in order what was given back since this was last called, if that is much.
/// glibc does so when it is asked for a large piece, with up to ten thousand pieces at once: 16 ms
/// in the one turn that is so unlucky. Called in each turn, it is a part of those that free.
pub fn sort_freed_memory() {
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    let now = ALLOCATED_BYTES.load(Ordering::Relaxed);
    let before = BEFORE.swap(now, Ordering::Relaxed);
    if before.saturating_sub(now) >= FREED_BYTES_MIN {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(SORTING_BYTES)));
    }
}

/// So much is worth the trouble.
const FREED_BYTES_MIN: u64 = 64 * 1024;

/// A piece that is too large to lie ready in a list of its size.
const SORTING_BYTES: usize = 32 * 1024;

/// Keeps what the allocator does at once short (mallopt(3)). Does nothing where the C library is
/// not glibc.
///
/// It joins pieces of memory as they are freed (`M_MXFAST`): small ones it would gather instead,
/// and join all when it needs a large one, 5 ms after 100,000 queues went. What is large has pages
/// of its own (`M_MMAP_THRESHOLD`), so that the kernel moves them where it grows; left alone,
/// the allocator would copy it once something large was freed: 17 ms for a body of 16 MB.
pub fn keep_allocations_short() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code)]
        // SAFETY: they take two numbers, and change where memory comes from and goes to that is
        // not in use.
        let taken = unsafe {
            [
                libc::mallopt(libc::M_MXFAST, 0),
                libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_ALLOCATION_BYTES),
            ]
        };
        debug_assert!(taken == [1, 1], "sizes that it takes");
    }
}

/// Has the kernel keep this process's memory in small pages (prctl(2), `PR_SET_THP_DISABLE`).
/// Where the system makes huge ones by itself, as Debian's does, it makes 2 MiB resident for a few
/// KiB in use: 6 of 16 MiB with a thousand connections. Nothing measured is faster with them.
pub fn keep_pages_small() {
    // A kernel that knows no huge pages makes none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// What is larger has pages of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_ALLOCATION_BYTES: libc::c_int = 1 << 20;

/// Has the allocator give back to the system what it holds and nobody uses (malloc_trim(3)). Takes
/// about a millisecond for 10 MB. Does nothing where the C library is not glibc.
pub fn release_unused_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code)]
        // SAFETY: it concerns nothing but memory that is not in use.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Has the kernel unmap the code and the constants of this program and its libraries. What is still
/// needed is mapped again as it is used, from the kernel's cache; what only the start needed is not
/// resident any more: a third of what an idle broker had. With little memory no more of it is read
/// than that. Does nothing where /proc does not tell where they are.
pub fn forget_unused_code() {
    let is_read_singly = has_little_memory();
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (start, end) in read_only_mappings(&smaps) {
        let advise = |advice| {
            #[allow(unsafe_code)]
            // SAFETY: the range is one mapping of a file that nobody may write and nobody has
            // written, as `read_only_mappings` made sure: dropped pages come back from the file as
            // they were.
            let taken = unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) };
            debug_assert!(taken == 0, "it is a mapping of ours");
        };
        advise(libc::MADV_DONTNEED);
        if is_read_singly {
            advise(libc::MADV_RANDOM);
        }
    }
}

/// The mappings in what `/proc/PID/smaps` says that are code and constants of programs and
/// libraries: of a file, private, not to be written, and with no page that ever was, in memory or
/// swapped out (those that the loader filled in and then protected have some).
fn read_only_mappings(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).ok());
            let is_read_only = matches!(words.next(), Some("r-xp" | "r--p"));
            let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
            candidate = start.zip(end).filter(|_| is_read_only && is_of_file);
        } else if first == "Anonymous:" {
            candidate = candidate.filter(|_| words.next() == Some("0"));
        } else if first == "Swap:" {
            found.extend(candidate.take().filter(|_| words.next() == Some("0")));
        }
    }
    found
}

/// How much memory this process may use, in bytes: the lowest limit of its cgroup and the groups
/// above it, and never more than the machine has.
pub fn memory_limit_bytes() -> u64 {
    // Without /proc/self/cgroup (no cgroups, or a sandbox) only the machine is the limit.
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = machine_memory_bytes();
    cgroup_limit_bytes(Path::new("/sys/fs/cgroup"), &groups).unwrap_or(machine).min(machine)
}

/// Whether this process may use so little memory that pages of files have to be read one by one:
/// the system reads ahead at each, up to 8 MiB, and that pushes out what the next one needs.
pub fn has_little_memory() -> bool {
    memory_limit_bytes() < LITTLE_MEMORY_BYTES
}

const LITTLE_MEMORY_BYTES: u64 = 128 << 20;

/// Of little memory, has the kernel hold little for each connection that comes in at this
/// socket: 1/256 for what was sent to us and nobody read, and as much for what the peer has no
/// room for (socket(7) `SO_RCVBUF`, tcp(7) `TCP_NOTSENT_LOWAT`). Left alone, it is up to 6 MiB
/// each, more than the broker takes; and version 2 of cgroups counts it, so that a few clients
/// could have the broker killed. `SO_SNDBUF` would bound what is on its way, too, and with it the
/// speed.
///
/// # Errors
/// What the system says.
pub fn limit_socket_buffers(listener: &impl AsFd, memory_bytes: u64) -> io::Result<()> {
    if memory_bytes >= LITTLE_MEMORY_BYTES {
        return Ok(());
    }
    let bytes = libc::c_int::try_from(memory_bytes / SOCKET_SHARE).expect("it is little");
    // The kernel takes the number twice, for what it needs itself.
    set_socket_option(listener, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes / 2)?;
    set_socket_option(listener, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

/// Which part of the memory one connection may have in the kernel, each way.
const SOCKET_SHARE: u64 = 256;

fn set_socket_option(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    number: libc::c_int,
) -> io::Result<()> {
    let descriptor = socket.as_fd().as_raw_fd();
    let bytes = libc::socklen_t::try_from(size_of_val(&number)).expect("a few");
    let number = &raw const number;
    #[allow(unsafe_code)]
    // SAFETY: the descriptor is open, and the kernel reads that many bytes of a number that lives.
    let outcome = unsafe { libc::setsockopt(descriptor, level, option, number.cast(), bytes) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Memory of the machine in bytes.
pub fn machine_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "the field is narrower on 32-bit machines")]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

/// A line like `RssAnon:     1234 kB` of `/proc/self/status`, in bytes.
fn status_bytes(label: &str) -> io::Result<u64> {
    const PATH: &str = "/proc/self/status";
    let status = fs::read_to_string(PATH).map_err(|error| naming(PATH, &error))?;
    parse_status_bytes(&status, label)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{PATH}: no {label}")))
}

fn parse_status_bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest memory limit that applies to a process with these lines in its `/proc/self/cgroup`,
/// both of version 2 (`0::/path`) and of version 1 (`5:memory:/path`). `mount` is where the
/// groups are mounted.
fn cgroup_limit_bytes(mount: &Path, groups: &str) -> Option<u64> {
    let mut lowest: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (top, file) = if controllers.is_empty() {
            (mount.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (mount.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // A container often sees its own group mounted as the top while the path names the one
        // outside, so directories that are missing are passed over.
        let group = group.trim_matches('/');
        let mut directory: PathBuf = top.join(group);
        loop {
            let limit = fs::read_to_string(directory.join(file));
            // "max" is no number and means that this level sets no limit.
            if let Some(bytes) = limit.ok().and_then(|text| text.trim().parse::<u64>().ok()) {
                lowest = Some(lowest.map_or(bytes, |known| known.min(bytes)));
            }
            if directory == top || !directory.pop() {
                break;
            }
        }
    }
    lowest
}

fn fill_with_zeros(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let end = offset.saturating_add(bytes);
    let mut at = file.metadata()?.len();
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..wanted], at)?;
        at += u64::try_from(wanted).unwrap_or(u64::MAX);
    }
    Ok(())
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

fn naming(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_small_buffers_where_memory_is_little() {
        let received_bytes = |memory_bytes| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            limit_socket_buffers(&listener, memory_bytes).unwrap();
            let address = listener.local_addr().unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            rustix::net::sockopt::socket_recv_buffer_size(&accepted).unwrap()
        };
        let usual = received_bytes(1 << 30);
        assert_eq!(received_bytes(16 << 20), 64 << 10);
        assert_eq!(received_bytes(32 << 20), 128 << 10);
        assert_eq!(received_bytes(LITTLE_MEMORY_BYTES), usual);
    }

    #[test]
    fn what_nobody_wrote_of_a_file_is_forgotten_and_nothing_else() {
        let swapped = |range: &str, flags: &str, path: &str, anonymous: &str, swap: &str| {
            let head = format!("{range} {flags} 00001000 fe:00 12    {path}\n");
            let written = format!("Anonymous: {anonymous} kB\nSwap: {swap} kB\n");
            format!("{head}Size: 4 kB\nRss: 4 kB\n{written}SwapPss: 0 kB\nVmFlags: rd\n")
        };
        let mapping = |range: &str, flags: &str, path: &str, anonymous: &str| {
            swapped(range, flags, path, anonymous, "0")
        };
        let smaps = [
            mapping("1000-2000", "r--p", "/bin/leveret", "0"),
            mapping("2000-5000", "r-xp", "/bin/leveret", "0"),
            mapping("5000-6000", "r--p", "/bin/leveret", "4"),
            mapping("6000-7000", "rw-p", "/bin/leveret", "0"),
            mapping("7000-8000", "rwxp", "/bin/leveret", "0"),
            mapping("8000-9000", "r--s", "/data/messages.seg", "0"),
            mapping("9000-a000", "r-xp", "[vdso]", "0"),
            mapping("a000-b000", "r--p", "", "0"),
            mapping("b000-c000", "r-xp", "/lib/libc.so.6 (deleted)", "0"),
            swapped("c000-d000", "r--p", "/lib/libc.so.6", "0", "4"),
            swapped("d000-e000", "r--p", "/lib/libc.so.6", "4", "4"),
        ];
        let expected = [(0x1000, 0x2000), (0x2000, 0x5000), (0xb000, 0xc000)];
        assert_eq!(read_only_mappings(&smaps.concat()), expected);
        let nonsense = "nonsense\n1-2\nx-y r-xp 0 0 0 /a\nAnonymous: 0 kB\nSwap: 0 kB\n";
        assert_eq!(read_only_mappings(nonsense), []);
        // Everything goes on.
        forget_unused_code();
        assert!(memory_limit_bytes() > 0);
    }

    #[test]
    fn a_stream_to_the_journal_is_known_by_device_and_inode() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        let found = file.metadata().unwrap();
        let named = format!("{}:{}", found.dev(), found.ino());
        assert!(is_journal(&file, &named));
        for other in ["", ":", "1:2", &format!("{named}0"), "x:y", &found.ino().to_string()] {
            assert!(!is_journal(&file, other), "{other}");
        }
    }

    #[test]
    fn allocated_blocks_are_zero_and_leave_what_was_there() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"before", 0).unwrap();
        allocate_blocks(&file, 0, 1 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 20);
        let mut bytes = [1; 16];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"before\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn filling_with_zeros_only_touches_what_lies_beyond_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"before", 0).unwrap();
        fill_with_zeros(&file, 0, 200_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 200_000);
        let mut bytes = [1; 8];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"before\0\0");
        file.read_exact_at(&mut bytes, 199_992).unwrap();
        assert_eq!(bytes, [0; 8]);
    }

    #[test]
    fn what_was_never_written_lies_behind_the_written_end() {
        let file = tempfile::tempfile().unwrap();
        allocate_blocks(&file, 0, 1 << 20).unwrap();
        assert!(written_end(&file, 0).unwrap() <= 1 << 20);
        file.write_all_at(b"here", 500_000).unwrap();
        for offset in [0, 400_000, 500_003] {
            let end = written_end(&file, offset).unwrap();
            assert!((500_004..=1 << 20).contains(&end), "from {offset}: {end}");
        }
        let end = written_end(&file, 1_000_000).unwrap();
        assert!((1_000_000..=1 << 20).contains(&end), "{end}");
    }

    #[test]
    fn disk_space_is_plausible_and_a_missing_path_an_error() {
        let space = disk_space(Path::new("/")).unwrap();
        assert!(space.total_bytes > 0);
        assert!(space.available_bytes <= space.total_bytes);
        assert!(disk_space(Path::new("/no/such/path")).is_err());
    }

    #[test]
    fn the_limit_of_open_files_is_the_hard_one_after_raising() {
        let limit = raise_open_files_limit().unwrap();
        assert_eq!(limit, open_files_limit());
        let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
        assert_eq!(limit, hard.unwrap_or(u64::MAX));
    }

    #[test]
    fn open_files_are_counted() {
        let files: Vec<_> = (0..100).map(|_| tempfile::tempfile().unwrap()).collect();
        // Other tests of this process have some open, too.
        let count = open_files().unwrap();
        assert!(count >= 100 && count <= open_files_limit(), "{count}");
        drop(files);
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        assert!(lock_exclusive(&first).unwrap());
        assert!(!lock_exclusive(&second).unwrap());
        drop(first);
        assert!(lock_exclusive(&second).unwrap());
    }

    #[test]
    fn anonymous_memory_is_known_and_limited() {
        let anonymous = anonymous_memory_bytes().unwrap();
        assert!(anonymous > 0);
        assert!(memory_limit_bytes() <= machine_memory_bytes());
        assert_eq!(
            parse_status_bytes("VmRSS:\t  12 kB\nRssAnon:\t 7 kB\n", "RssAnon:"),
            Some(7168)
        );
        assert_eq!(parse_status_bytes("VmRSS:\t  12 kB\n", "RssAnon:"), None);
    }

    #[test]
    fn the_lowest_limit_of_the_groups_above_counts() {
        let mount = tempfile::tempdir().unwrap();
        let inner = mount.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(mount.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(cgroup_limit_bytes(mount.path(), "0::/a/b\n"), Some(1000));
        fs::write(inner.join("memory.max"), "500\n").unwrap();
        assert_eq!(cgroup_limit_bytes(mount.path(), "0::/a/b\n"), Some(500));
        assert_eq!(cgroup_limit_bytes(mount.path(), "0::/\n"), None);
        // A path that only exists outside the container.
        fs::write(mount.path().join("memory.max"), "700\n").unwrap();
        assert_eq!(cgroup_limit_bytes(mount.path(), "0::/docker/0815\n"), Some(700));
        // Version 1.
        fs::create_dir_all(mount.path().join("memory/x")).unwrap();
        fs::write(mount.path().join("memory/x/memory.limit_in_bytes"), "300\n").unwrap();
        assert_eq!(cgroup_limit_bytes(mount.path(), "4:cpu:/x\n5:memory:/x\n"), Some(300));
        assert_eq!(cgroup_limit_bytes(mount.path(), "nonsense\n\n"), None);
    }
}
