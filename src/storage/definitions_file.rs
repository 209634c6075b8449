//! What do the bytes of the definitions file mean? Owns its format: the header, the records, the
//! search for whole ones in a damaged file, and the making of a new file. Imports `sys`.
//!
//! ```text
//! file:   header | header again | record | record | ...
//! header: magic 8 | version u32 | 0 u32 | salt u64 | 0 u32 | crc32 u32              (32 bytes)
//! record: length u32 | crc32 u32 | kind u8, 0 u8 x 3 | key length u32 | key | payload | 0 to 8
//! ```
//!
//! Numbers are little-endian. A record's length counts from itself to the end of the payload; the
//! next record begins at the next multiple of 8. Its CRC covers the salt, the length and all that
//! follows the CRC, padding included. The salt is random for each file, so that bytes which look
//! like a record inside of a payload are not taken for one when a damaged file is searched.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::sys;

/// A part of the file that holds no whole record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DamagedRange {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length.
    pub skipped_bytes: u64,
}

/// A header that is whole.
pub(super) struct Header {
    pub(super) salt: u64,
    /// The other copy is not.
    pub(super) damaged: Option<DamagedRange>,
}

impl Header {
    /// The header of a file. The error says why there is none.
    pub(super) fn find(bytes: &[u8]) -> Result<Header, String> {
        let (copies, _) = bytes[..bytes.len().min(HEADERS_BYTES)].as_chunks::<HEADER_BYTES>();
        let salt_of = |copy: &[u8; HEADER_BYTES]| {
            (copy.starts_with(MAGIC)
                && u32_at(copy, 8) == FORMAT_VERSION
                && u32_at(copy, 28) == crc32fast::hash(&copy[..28]))
            .then(|| u64::from(u32_at(copy, 16)) | u64::from(u32_at(copy, 20)) << 32)
        };
        let damage = |copy: usize| DamagedRange {
            offset: (copy * HEADER_BYTES) as u64,
            skipped_bytes: HEADER_BYTES as u64,
        };
        let first = copies.first().and_then(salt_of);
        let second = copies.get(1).and_then(salt_of);
        match (first, second) {
            (Some(salt), Some(_)) => Ok(Header { salt, damaged: None }),
            (Some(salt), None) => Ok(Header { salt, damaged: Some(damage(1)) }),
            (None, Some(salt)) => Ok(Header { salt, damaged: Some(damage(0)) }),
            (None, None) => Err(Header::complaint(copies)),
        }
    }

    fn complaint(copies: &[[u8; HEADER_BYTES]]) -> String {
        let version = copies.iter().find(|copy| copy.starts_with(MAGIC)).map(|c| u32_at(c, 8));
        match version {
            Some(version) if version != FORMAT_VERSION => format!(
                "has format version {version}, and this Leveret only knows {FORMAT_VERSION}; \
                 start the version that wrote it"
            ),
            Some(_) => "its header is damaged".to_owned(),
            None => "is not a definitions log of Leveret".to_owned(),
        }
    }

    pub(super) fn encode(salt: u64) -> [u8; HEADERS_BYTES] {
        let mut copy = Vec::with_capacity(HEADERS_BYTES);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&salt.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&crc32fast::hash(&copy).to_le_bytes());
        copy.extend_from_within(..);
        copy.try_into().expect("a header has 32 bytes")
    }
}

/// What the records of a file say.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    /// By the number of the record that put the key first; `None`: deleted since.
    found: Vec<Option<Place>>,
    numbers: HashMap<&'a [u8], usize, foldhash::quality::RandomState>,
    pub(super) damaged: Vec<DamagedRange>,
    /// Where the last whole record ends.
    pub(super) end: usize,
}

/// Where a definition lies in the file: the key, and behind it the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: usize,
    payload: usize,
    end: usize,
}

impl Place {
    /// Key and payload.
    pub(super) fn of(self, bytes: &[u8]) -> (&[u8], &[u8]) {
        (&bytes[self.key..self.payload], &bytes[self.payload..self.end])
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8], salt: u64) -> Scan<'a> {
        let mut scan = Scan {
            bytes,
            found: Vec::new(),
            numbers: HashMap::default(),
            damaged: Vec::new(),
            end: HEADERS_BYTES,
        };
        let mut at = HEADERS_BYTES;
        while at < bytes.len() {
            let Some((record, length)) = Record::parse(&bytes[at..], salt) else {
                // Records begin at multiples of 8, and so does the search.
                at += 8;
                continue;
            };
            if scan.end < at {
                let (offset, skipped_bytes) = (scan.end as u64, (at - scan.end) as u64);
                scan.damaged.push(DamagedRange { offset, skipped_bytes });
            }
            scan.apply(at, &record);
            at += length;
            scan.end = at;
        }
        scan
    }

    fn apply(&mut self, at: usize, record: &Record<'a>) {
        match record.kind {
            Kind::Put => {
                let key = at + RECORD_HEADER_BYTES;
                let payload = key + record.key.len();
                let place = Some(Place { key, payload, end: payload + record.payload.len() });
                match self.numbers.entry(record.key) {
                    Entry::Occupied(number) => self.found[*number.get()] = place,
                    Entry::Vacant(vacant) => {
                        vacant.insert(self.found.len());
                        self.found.push(place);
                    }
                }
            }
            Kind::Delete => {
                if let Some(number) = self.numbers.remove(record.key) {
                    self.found[number] = None;
                }
            }
        }
    }

    /// What counts, in the order in which the keys were first put.
    pub(super) fn places(&self) -> Vec<Place> {
        self.found.iter().copied().flatten().collect()
    }

    /// The same, read.
    pub(super) fn definitions(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + '_ {
        self.found.iter().copied().flatten().map(|place| place.of(self.bytes))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Put = 1,
    Delete = 2,
}

struct Record<'a> {
    kind: Kind,
    key: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the beginning of `bytes` and its length with padding, if it is whole.
    fn parse(bytes: &'a [u8], salt: u64) -> Option<(Record<'a>, usize)> {
        let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        let length = u32_at(header, 0) as usize;
        let key_end = (u32_at(header, 12) as usize).checked_add(RECORD_HEADER_BYTES)?;
        let kind = match header[8..12] {
            [1, 0, 0, 0] => Kind::Put,
            [2, 0, 0, 0] => Kind::Delete,
            _ => return None,
        };
        let padded = length.checked_next_multiple_of(8)?;
        if key_end > length || padded > bytes.len() {
            return None;
        }
        if u32_at(header, 4) != record_crc(&bytes[..padded], salt) {
            return None;
        }
        let key = &bytes[RECORD_HEADER_BYTES..key_end];
        Some((Record { kind, key, payload: &bytes[key_end..length] }, padded))
    }
}

/// Appends a record and returns its length with padding.
pub(super) fn append_record(
    out: &mut Vec<u8>,
    salt: u64,
    kind: Kind,
    key: &[u8],
    payload: &[u8],
) -> u64 {
    let start = out.len();
    let length = RECORD_HEADER_BYTES + key.len() + payload.len();
    let length_field = u32::try_from(length).ok().filter(|&length| length < 1 << 31);
    let length_field = length_field.expect("documented: a definition has less than 2 GiB");
    let key_field = u32::try_from(key.len()).expect("it is shorter than the record");
    out.reserve(length + 7);
    out.extend_from_slice(&length_field.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(&key_field.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(payload);
    out.resize(start + length.next_multiple_of(8), 0);
    let crc = record_crc(&out[start..], salt);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    (out.len() - start) as u64
}

pub(super) fn record_bytes(key: &[u8], payload: &[u8]) -> u64 {
    (RECORD_HEADER_BYTES + key.len() + payload.len()).next_multiple_of(8) as u64
}

/// CRC of a record, its own field left out.
fn record_crc(record: &[u8], salt: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

/// Puts a new file with these definitions in the place of the one that is there, durably; returns
/// it with its salt and length.
pub(super) fn write_new<'a>(
    directory: &Path,
    definitions: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> io::Result<(File, u64, u64)> {
    // Seeded from the system's random numbers.
    let salt = RandomState::new().hash_one(0);
    let mut bytes = Header::encode(salt).to_vec();
    for (key, payload) in definitions {
        append_record(&mut bytes, salt, Kind::Put, key, payload);
    }
    let path = directory.join(NEW_FILE_NAME);
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(true).open(&path);
    let file = opened.map_err(wrap("creating", &path))?;
    file.write_all_at(&bytes, 0).map_err(wrap("writing", &path))?;
    file.sync_all().map_err(wrap("syncing", &path))?;
    fs::rename(&path, directory.join(FILE_NAME)).map_err(wrap("renaming", &path))?;
    sys::sync_directory(directory).map_err(wrap("syncing", directory))?;
    Ok((file, salt, bytes.len() as u64))
}

/// Gives the file a second name under which it stays when it is replaced.
pub(super) fn keep_evidence(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join(FILE_NAME);
    let mut number = 1;
    loop {
        let evidence = directory.join(format!("{EVIDENCE_PREFIX}{number}"));
        match fs::hard_link(&path, &evidence) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Ok(()) => return Ok(evidence),
            // A file system without links.
            Err(_) => {
                fs::copy(&path, &evidence).map_err(wrap("keeping a copy of", &path))?;
                return Ok(evidence);
            }
        }
    }
}

/// Whether a file that [`keep_evidence`] kept is still there.
pub(super) fn has_evidence(directory: &Path) -> io::Result<bool> {
    let entries = fs::read_dir(directory).map_err(wrap("reading", directory))?;
    for entry in entries {
        let name = entry.map_err(wrap("reading", directory))?.file_name();
        if name.as_encoded_bytes().starts_with(EVIDENCE_PREFIX.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn remove_leftover(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrap("removing", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn wrap(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}

pub(super) fn invalid(path: &Path, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {text}", path.display()))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) const FILE_NAME: &str = "definitions";

/// Files that were found damaged, a number after it.
const EVIDENCE_PREFIX: &str = "definitions.damaged-";

/// The next file, before it is renamed.
pub(super) const NEW_FILE_NAME: &str = "definitions.new";

const MAGIC: &[u8; 8] = b"LevDefs\n";

const FORMAT_VERSION: u32 = 1;

const HEADER_BYTES: usize = 32;

/// Both copies of the header.
pub(super) const HEADERS_BYTES: usize = 2 * HEADER_BYTES;

const RECORD_HEADER_BYTES: usize = 16;
