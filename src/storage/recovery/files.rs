//! Which segments does a directory hold? Reads headers and chain records only, and decides from
//! them which segments cannot count.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::storage::file::directory::Directory;
use crate::storage::file::segment::{FoundHeader, HEADER_BYTES, Header};
use crate::storage::record::{self, ALIGN, CHAIN_BYTES, Chain, in_file, padded};
use crate::storage::types::StorageError;
use crate::sys;

/// A segment file that begins with a chain record, or must have begun with one.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    /// Size as the header says.
    pub(super) bytes: u32,
    /// Size of the file, where that is less.
    pub(super) readable_bytes: u32,
    pub(super) chain: Chain,
    /// It stands between a segment and the one that this one says was before it: the log ended
    /// before it, once, and went on elsewhere.
    pub(super) is_void: bool,
    /// Nothing tells which segment it was: it is taken for the one behind the last.
    pub(super) is_guessed: bool,
}

/// Where the segment before one ended whose chain record cannot be read.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What was found.
pub(super) struct Files {
    pub(super) directory: Directory,
    /// By sequence number.
    pub(super) candidates: Vec<Candidate>,
    /// Files with a header and nothing of this life behind it.
    pub(super) spares: Vec<u64>,
    without_chain: Vec<Candidate>,
    /// Files whose header cannot be read.
    pub(super) broken: Vec<u64>,
    sizes: Vec<(u64, u64)>,
    pub(super) next_number: u64,
    /// A segment in which damage was found is still kept.
    pub(super) has_evidence: bool,
    /// Nobody looked whether there are records in what is taken for free.
    pub(super) has_unread: bool,
}

impl Files {
    /// `reads_all`: also what may be taken for free where the log ends with an orderly stop.
    pub(super) fn find(directory: &Directory, reads_all: bool) -> Result<Files, StorageError> {
        let listing = directory.open()?;
        let mut files = Files {
            directory: directory.clone(),
            candidates: Vec::new(),
            spares: Vec::new(),
            without_chain: Vec::new(),
            broken: Vec::new(),
            sizes: Vec::new(),
            next_number: listing.highest + 1,
            has_evidence: listing.has_evidence,
            has_unread: false,
        };
        for number in listing.segments {
            files.look_at(number)?;
        }
        files.candidates.sort_by_key(|candidate| candidate.chain.sequence);
        files.look_for_headless(reads_all)?;
        files.expect_each_once()?;
        files.mark_void();
        Ok(files)
    }

    fn look_at(&mut self, number: u64) -> Result<(), StorageError> {
        let path = self.directory.segment(number);
        let file = File::open(&path).map_err(StorageError::io("opening", &path))?;
        let size = file.metadata().map_err(StorageError::io("reading", &path))?.len();
        self.sizes.push((number, size));
        let mut begin = [0; HEADER_BYTES as usize + CHAIN_BYTES];
        let read = read_up_to(&file, &mut begin, 0);
        let read = read.map_err(StorageError::io("reading", &path))?;
        let FoundHeader::Sound(Header { bytes, salt }) = Header::read(&begin[..read], &path)?
        else {
            self.broken.push(number);
            return Ok(());
        };
        let first = begin[..read].get(HEADER_BYTES as usize..).unwrap_or_default();
        let chain = record::read(first, salt, HEADER_BYTES).and_then(record::Frame::chain);
        let readable_bytes = u32::try_from(size).unwrap_or(bytes).min(bytes);
        let mut candidate = Candidate {
            number,
            path,
            salt,
            bytes,
            readable_bytes,
            chain: Chain::default(),
            is_void: false,
            is_guessed: false,
        };
        match chain {
            Some(chain) => {
                candidate.chain = chain;
                self.candidates.push(candidate);
            }
            // A spare has its whole size before it has its name.
            None if read < begin.len() => self.broken.push(number),
            None => self.without_chain.push(candidate),
        }
        Ok(())
    }

    /// No place of the log is taken twice: somebody made a copy of a file.
    fn expect_each_once(&self) -> Result<(), StorageError> {
        let of = |candidate: &Candidate| candidate.chain.sequence;
        match self.candidates.windows(2).find(|pair| of(&pair[0]) == of(&pair[1])) {
            Some(pair) => {
                let [path, other] = [1, 0].map(|at| pair[at].path.clone());
                Err(StorageError::Twice { path, other })
            }
            None => Ok(()),
        }
    }

    /// Files without a chain record are spares, unless another segment names one as the segment
    /// before it, or there are records in it: then its chain record was torn or is damaged. After
    /// an orderly stop nobody has to look for them, since the log went on nowhere, unless a segment
    /// is missing then.
    fn look_for_headless(&mut self, reads_all: bool) -> Result<(), StorageError> {
        let mut unnamed = Vec::new();
        for candidate in std::mem::take(&mut self.without_chain) {
            let next = self.candidates.iter().find(|c| c.chain.before_salt == candidate.salt);
            match next.map(|next| next.chain.before) {
                Some(sequence) => self.add_headless(candidate, sequence),
                None => unnamed.push(candidate),
            }
        }
        let looks = match self.candidates.last() {
            Some(last) if !unnamed.is_empty() && !reads_all => {
                !ends_clean(last, self.directory.reads_ahead)?
            }
            Some(_) | None => true,
        };
        self.has_unread = !looks;
        let (mut buffer, mut guessed) = (Vec::new(), Vec::new());
        for candidate in unnamed {
            let mut own = None;
            if looks {
                let mut reader = Reader::open(&candidate, buffer, self.directory.reads_ahead)?;
                own = own_sequence(&mut reader)?;
                buffer = reader.into_buffer();
            }
            match own {
                None => self.spares.push(candidate.number),
                Some(Some(sequence)) => self.add_headless(candidate, sequence),
                Some(None) => guessed.push(Candidate { is_guessed: true, ..candidate }),
            }
        }
        // Behind all that are known.
        for candidate in guessed {
            self.add_headless(candidate, self.next_sequence());
        }
        Ok(())
    }

    fn add_headless(&mut self, mut candidate: Candidate, sequence: u64) {
        let before = sequence.saturating_sub(1);
        candidate.chain = Chain { sequence, before, before_end: UNKNOWN, ..candidate.chain };
        self.candidates.push(candidate);
        self.candidates.sort_by_key(|candidate| candidate.chain.sequence);
    }

    fn mark_void(&mut self) {
        let mut least_before = u64::MAX;
        for candidate in self.candidates.iter_mut().rev() {
            candidate.is_void = least_before < candidate.chain.sequence;
            least_before = least_before.min(candidate.chain.before);
        }
    }

    /// The files of which nothing tells which segment they were: free ones, as a rule.
    pub(super) fn unknown(&self) -> impl Iterator<Item = u64> {
        let guessed = self.candidates.iter().filter(|candidate| candidate.is_guessed);
        self.spares.iter().copied().chain(guessed.map(|candidate| candidate.number))
    }

    /// The number of the next segment of the log.
    pub(super) fn next_sequence(&self) -> u64 {
        self.candidates.last().map_or(1, |candidate| candidate.chain.sequence + 1)
    }

    /// Size of a file.
    pub(super) fn bytes_of(&self, number: u64) -> u64 {
        let found = self.sizes.binary_search_by_key(&number, |(number, _)| *number);
        found.map_or(0, |n| self.sizes[n].1)
    }
}

/// Reads as much as there is; says how much.
pub(super) fn read_up_to(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// A segment file, read as far as it is asked for: what lies behind the end of the log may be many
/// times what lies before it. Only a part of it is in memory at a time, and that is anonymous
/// memory: a host may have no more of it than a segment is large.
pub(super) struct Reader<'a> {
    candidate: &'a Candidate,
    file: File,
    /// Bytes of the file from `begin` on. Only grows, so that its pages are cleared once.
    buffer: Vec<u8>,
    begin: usize,
    /// How many of the buffer's bytes were read.
    filled: usize,
    size: usize,
    /// Where what was never written begins, once somebody asked.
    written_end: Option<usize>,
}

/// Read at once: enough for the disk, and still in the processor's cache when it is checked.
const READ_BYTES: usize = 256 * 1024;

impl<'a> Reader<'a> {
    /// `buffer` is one that an earlier reader left, or an empty one; `reads_ahead`: the system may
    /// read more than it is asked for.
    pub(super) fn open(
        candidate: &'a Candidate,
        buffer: Vec<u8>,
        reads_ahead: bool,
    ) -> Result<Reader<'a>, StorageError> {
        let path = &candidate.path;
        let file = File::open(path).map_err(StorageError::io("opening", path))?;
        if !reads_ahead && let Err(error) = sys::read_no_further(&file) {
            log::debug!("reading no further in {}: {error}", path.display());
        }
        let size = candidate.readable_bytes as usize;
        Ok(Reader { candidate, file, buffer, begin: 0, filled: 0, size, written_end: None })
    }

    /// The file's bytes from `at` on, at least up to the end of the record that begins there, if
    /// there is one that ends within the file.
    pub(super) fn record_at(&mut self, at: u32) -> Result<&[u8], StorageError> {
        let salt = self.candidate.salt;
        let head = self.bytes_at(at as usize, record::HEAD_BYTES)?;
        let bytes = record::claimed_bytes(head, salt, at);
        self.bytes_at(at as usize, bytes.max(record::HEAD_BYTES))
    }

    /// Where the next whole record of this life begins behind `from` and ends before `limit`.
    pub(super) fn next_record(
        &mut self,
        from: u32,
        limit: u32,
    ) -> Result<Option<u32>, StorageError> {
        let end = self.written_end()?.min(limit);
        let salt = self.candidate.salt;
        let mut at = in_file(padded(from as usize + 1));
        while at < end {
            let rest = up_to(self.record_at(at)?, end - at);
            if record::read(rest, salt, at).is_some() {
                return Ok(Some(at));
            }
            at += in_file(ALIGN);
        }
        Ok(None)
    }

    /// How much there may be to read.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The same without what was never written at the end of the file.
    pub(super) fn written_end(&mut self) -> Result<u32, StorageError> {
        let end = match self.written_end {
            Some(end) => end,
            None => {
                let end = sys::written_end(&self.file, 0);
                let end = end.map_err(StorageError::io("reading", &self.candidate.path))?;
                usize::try_from(end).unwrap_or(usize::MAX)
            }
        };
        self.written_end = Some(end);
        Ok(in_file(end.min(self.size)))
    }

    /// What the next reader may use.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes from `at` on that are in memory: so many at least, if the file has them.
    fn bytes_at(&mut self, at: usize, bytes: usize) -> Result<&[u8], StorageError> {
        let end = at.saturating_add(bytes).min(self.size);
        if at < self.begin || end > self.begin + self.filled {
            self.read(at, end)?;
        }
        let from = (at - self.begin).min(self.filled);
        Ok(&self.buffer[from..self.filled])
    }

    /// Lets go of what lies before `at`, and reads up to `end` and somewhat further.
    fn read(&mut self, at: usize, end: usize) -> Result<(), StorageError> {
        let had = self.begin..self.begin + self.filled;
        let kept = if had.contains(&at) { had.end - at } else { 0 };
        self.buffer.copy_within(self.filled - kept..self.filled, 0);
        (self.begin, self.filled) = (at, kept);
        let end = end.max(at + kept + READ_BYTES).min(self.size).max(at + kept);
        if self.buffer.len() < end - at {
            self.buffer.resize(end - at, 0);
        }
        let rest = &mut self.buffer[kept..end - at];
        let read = read_up_to(&self.file, rest, (at + kept) as u64);
        self.filled += read.map_err(StorageError::io("reading", &self.candidate.path))?;
        if at + self.filled < end {
            self.size = at + self.filled;
        }
        Ok(())
    }
}

/// What records may lie in that have so many bytes at most.
pub(super) fn up_to(bytes: &[u8], most: u32) -> &[u8] {
    &bytes[..bytes.len().min(most as usize)]
}

/// Whether the last thing that a segment says is that the broker was stopped in an orderly way.
fn ends_clean(candidate: &Candidate, reads_ahead: bool) -> Result<bool, StorageError> {
    let mut reader = Reader::open(candidate, Vec::new(), reads_ahead)?;
    let (mut at, mut last) = (HEADER_BYTES, None);
    loop {
        let Some(frame) = record::read(reader.record_at(at)?, candidate.salt, at) else {
            return Ok(last == Some(record::Kind::Clean));
        };
        at += frame.span;
        last = Some(frame.kind);
    }
}

/// The sequence number that records of a segment without a chain record tell of: `Some(None)` when
/// there are records, and none tells.
fn own_sequence(reader: &mut Reader<'_>) -> Result<Option<Option<u64>>, StorageError> {
    let mut found = None;
    let mut at = HEADER_BYTES;
    while let Some(next) = reader.next_record(at, u32::MAX)? {
        let frame = record::frame(reader.record_at(next)?).expect("it was just found");
        found = Some(frame.own_sequence());
        if frame.own_sequence().is_some() {
            break;
        }
        at = next + frame.span - in_file(ALIGN);
    }
    Ok(found)
}
