//! What can happen to the files of a log? Anything, also what only somebody can have done who knows
//! how a record is sealed.

use super::cursor::Cursor;

/// The files of a directory, by name.
pub type Files = Vec<(String, Vec<u8>)>;

/// Where the records of a segment begin.
const HEADER_BYTES: usize = 4096;
const HEAD_BYTES: usize = 16;
const MAGIC: &[u8] = b"LEVERETL";
/// What of the header its checksum covers.
const CHECKED_BYTES: usize = 32;

/// Does to the files what the input says.
pub fn inflict(input: &mut Cursor<'_>, files: &mut Files) {
    while !input.is_empty() && !files.is_empty() {
        let kind = input.byte();
        let file = usize::from(input.byte()) % files.len();
        let bytes = &mut files[file].1;
        match kind % 10 {
            0..4 => {
                let (record, field) = (input.byte(), usize::from(input.byte()));
                let new = input.short_string();
                let at = record_at(bytes, record) + field;
                overwrite(bytes, at, new);
                reseal(bytes);
            }
            4 => {
                let at = input.long() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (input.byte() % 8);
                }
            }
            5 => {
                let at = record_at(bytes, input.byte());
                let from = record_at(bytes, input.byte());
                let piece = bytes[from..].iter().take(input.short().into()).copied();
                let piece: Vec<u8> = piece.collect();
                overwrite(bytes, at, &piece);
                if kind >= 128 {
                    reseal(bytes);
                }
            }
            6 => bytes.truncate(input.long() as usize % (bytes.len() + 1)),
            7 => {
                let at = input.byte().into();
                overwrite(bytes, at, input.short_string());
                reseal(bytes);
            }
            8 => drop(files.remove(file)),
            _ => {
                let copy = files[file].1.clone();
                files.push((format!("{:08}.segment", input.byte()), copy));
            }
        }
    }
}

/// What the input says a file is.
pub fn whole_files(input: &mut Cursor<'_>) -> Files {
    let mut files = Files::new();
    while !input.is_empty() {
        let number = input.byte();
        let mut bytes = input.short_string().to_vec();
        if number.is_multiple_of(2) {
            // As long as a segment, and with a header.
            bytes.splice(..0, header());
        }
        reseal(&mut bytes);
        files.push((format!("{number:08}.segment"), bytes));
    }
    files
}

fn header() -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8] = 1;
    header[16..24].copy_from_slice(&65_536_u64.to_le_bytes());
    header
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (old, new) in bytes.iter_mut().skip(at).zip(new) {
        *old = *new;
    }
}

/// Where a record lies: the last one when there are not so many.
fn record_at(bytes: &[u8], number: u8) -> usize {
    records(bytes).take(usize::from(number) + 1).last().map_or(0, |(at, _)| at)
}

/// Where records lie and how long they are.
fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let length_at = |at: usize| {
        let length = bytes.get(at..at + HEAD_BYTES)?.first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        (length >= HEAD_BYTES && length <= bytes.len() - at).then_some((at, length))
    };
    let next = move |&(at, length): &(usize, usize)| length_at((at + length).next_multiple_of(8));
    std::iter::successors(length_at(HEADER_BYTES), next)
}

/// Makes header and records what they claim to be.
fn reseal(bytes: &mut [u8]) {
    let Some(header) = bytes.get_mut(..CHECKED_BYTES + 4).filter(|b| b.starts_with(MAGIC)) else {
        return;
    };
    let crc = crc32fast::hash(&header[..CHECKED_BYTES]);
    header[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
    let (low, high) = (u32_at(bytes, 24), u32_at(bytes, 28));
    for (at, length) in records(bytes).collect::<Vec<_>>() {
        let place = u32::try_from(at).expect("files are small");
        let record = &mut bytes[at..at + length];
        record[8..12].copy_from_slice(&(high ^ place).to_le_bytes());
        let begin = low.wrapping_add(place.wrapping_mul(0x9e37_79b1));
        let begin = begin ^ u32_at(record, 0).rotate_left(16);
        let mut hasher = crc32fast::Hasher::new_with_initial(begin);
        hasher.update(&record[8..]);
        record[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..at + 4].try_into().expect("there are four");
    u32::from_le_bytes(bytes)
}
