//! How are the elementary fields laid out: octets, integers, strings, bits and tables.
//!
//! Reading goes through [`Reader`]; frames are written through [`Writer`], tables and properties,
//! whose size is not known before, through the `put_` functions. Specification 4.2.5. All are small
//! and inlined: every byte of every method and header goes through here once.

use super::error::{AmqpError, ReplyCode};
use super::table::Table;
use std::fmt;

/// Takes fields off the front of the bytes of a method, a header or a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    #[inline]
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        self.octets().map(|[octet]| octet)
    }

    #[inline]
    pub fn short(&mut self) -> Result<u16, Malformed> {
        self.octets().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn long(&mut self) -> Result<u32, Malformed> {
        self.octets().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn long_long(&mut self) -> Result<u64, Malformed> {
        self.octets().map(u64::from_be_bytes)
    }

    /// `N` bits that share an octet, the first in its lowest bit; the rest of it is ignored.
    #[inline]
    pub fn bits<const N: usize>(&mut self) -> Result<[bool; N], Malformed> {
        const { assert!(N >= 1 && N <= 8) };
        let octet = self.octet()?;
        Ok(std::array::from_fn(|bit| octet >> bit & 1 == 1))
    }

    #[inline]
    pub fn short_string(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.octet()?;
        self.bytes(usize::from(bytes))
    }

    #[inline]
    pub fn long_string(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.long()?;
        self.bytes(bytes as usize)
    }

    /// A short string that has to be text: any but those of a publish.
    #[inline]
    pub fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = self.short_string()?;
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(Malformed::NotUtf8)
        }
    }

    /// A table, checked to its innermost value.
    pub fn table(&mut self) -> Result<Table<'a>, Malformed> {
        Table::checked(self.long_string()?)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn octets<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*octets)
    }

    #[inline]
    fn bytes(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// That nothing is left.
    #[inline]
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::TrailingBytes) }
    }
}

/// Why bytes are not what they should be. Kept to two bytes, since it is the error type of every
/// step of the decoder; it becomes an [`AmqpError`] at the module's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    Truncated,
    TrailingBytes,
    UnknownType(u8),
    ContinuedFlags,
    NotUtf8,
}

impl Malformed {
    /// 501, connection level: a method that cannot be decoded, or a name in it that is no text.
    #[cold]
    pub fn in_method(self, what: &str) -> AmqpError {
        match self {
            Malformed::NotUtf8 => AmqpError::connection(ReplyCode::FrameError, self),
            Malformed::Truncated
            | Malformed::TrailingBytes
            | Malformed::UnknownType(_)
            | Malformed::ContinuedFlags => {
                let text = format_args!("cannot decode {what}: {self}");
                AmqpError::connection(ReplyCode::FrameError, text)
            }
        }
    }

    /// 502, connection level: "malformed `what`: why".
    #[cold]
    pub fn error(self, what: &str) -> AmqpError {
        AmqpError::connection(ReplyCode::SyntaxError, format_args!("malformed {what}: {self}"))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("a field runs past the end"),
            Malformed::TrailingBytes => f.write_str("bytes after the last field"),
            Malformed::UnknownType(octet) => write!(f, "unknown field type {octet}"),
            Malformed::ContinuedFlags => f.write_str("property flags go on"),
            Malformed::NotUtf8 => f.write_str("Malformed UTF-8 in shortstr"),
        }
    }
}

/// Fills a place of known size at the end of a buffer with fields.
///
/// Frames are written this way: their size is known before, so the buffer grows once a frame and
/// not once a field, which takes half the time.
pub struct Writer<'o> {
    rest: &'o mut [u8],
}

impl<'o> Writer<'o> {
    /// Makes `out` larger by `bytes`, all of which must then be written.
    #[inline]
    pub fn grow(out: &'o mut Vec<u8>, bytes: usize) -> Writer<'o> {
        let begin = out.len();
        out.resize(begin + bytes, 0);
        Writer { rest: &mut out[begin..] }
    }

    #[inline]
    pub fn octet(&mut self, value: u8) {
        self.octets([value]);
    }

    #[inline]
    pub fn short(&mut self, value: u16) {
        self.octets(value.to_be_bytes());
    }

    #[inline]
    pub fn long(&mut self, value: u32) {
        self.octets(value.to_be_bytes());
    }

    #[inline]
    pub fn long_long(&mut self, value: u64) {
        self.octets(value.to_be_bytes());
    }

    /// `N` bits into one octet, the first into its lowest bit.
    #[inline]
    pub fn bits<const N: usize>(&mut self, bits: [bool; N]) {
        const { assert!(N >= 1 && N <= 8) };
        self.octet(bits.iter().rev().fold(0, |octet, &bit| octet << 1 | u8::from(bit)));
    }

    /// A short string; what is beyond its 255 bytes is cut off.
    #[inline]
    pub fn short_string(&mut self, text: &[u8]) {
        let bytes = short_string_bytes(text);
        self.octet(bytes);
        self.bytes(&text[..usize::from(bytes)]);
    }

    /// A long string; what is beyond its 4 GiB is cut off.
    #[inline]
    pub fn long_string(&mut self, text: &[u8]) {
        let bytes = long_string_bytes(text);
        self.long(bytes);
        self.bytes(&text[..bytes as usize]);
    }

    #[inline]
    pub fn table(&mut self, table: Table<'_>) {
        self.long_string(table.as_bytes());
    }

    #[inline]
    pub fn octets<const N: usize>(&mut self, octets: [u8; N]) {
        self.bytes(&octets);
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (place, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.rest = rest;
    }

    /// That the place is full.
    #[inline]
    pub fn end(self) {
        debug_assert!(self.rest.is_empty(), "a frame is as large as was announced");
    }
}

/// How many bytes of `text` a short string takes.
#[inline]
pub(super) fn short_string_bytes(text: &[u8]) -> u8 {
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}

/// How many bytes of `text` a long string takes.
#[inline]
pub(super) fn long_string_bytes(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Appends a short string; what is beyond its 255 bytes is cut off.
#[inline]
pub(super) fn put_short_string(out: &mut Vec<u8>, text: &[u8]) {
    let bytes = short_string_bytes(text);
    out.push(bytes);
    out.extend_from_slice(&text[..usize::from(bytes)]);
}

/// Appends a long string; what is beyond its 4 GiB is cut off.
#[inline]
pub(super) fn put_long_string(out: &mut Vec<u8>, text: &[u8]) {
    let bytes = long_string_bytes(text);
    out.extend_from_slice(&bytes.to_be_bytes());
    out.extend_from_slice(&text[..bytes as usize]);
}
