//! How is an answer made shorter for a client that asks for it?
//!
//! In gzip's format (RFC 1952). Every piece of an answer is compressed by itself, as blocks that
//! end at a byte and look back at nothing before them. So a client that takes its answer slowly
//! costs a checksum and a length, and no window: what compresses is there only while a piece is
//! made. Imports `request`, `response` and the broker's measure of work.

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};

use super::request::Request;
use super::response::Response;
use crate::broker::work::Work;

/// Whole answers that are shorter go as they are: they would hardly become smaller than one packet.
const PACKED_BYTES_MIN: usize = 1024;

/// What is longer stays as long: it would take longer than a turn may.
const PACKED_BYTES_MAX: usize = 128 * 1024;

/// What compressing a piece costs, however short it is, in units of work.
const WORK_PER_PIECE: usize = 500;

/// So many bytes are compressed for one unit of work.
const PACKED_BYTES_PER_WORK: usize = 8;

/// An answer in gzip's format that is being written.
#[derive(Debug, Default)]
pub struct Gzip {
    /// Of what was compressed.
    checksum: Hasher,
    /// How much that was, modulo 2^32.
    bytes: u32,
    has_begun: bool,
}

impl Gzip {
    /// The next part of the answer, compressed; for nothing there is nothing.
    pub fn piece(&mut self, input: &[u8], work: &mut Work) -> Vec<u8> {
        let mut out = Vec::new();
        if input.is_empty() {
            return out;
        }
        work.spend(WORK_PER_PIECE + input.len() / PACKED_BYTES_PER_WORK);
        self.begin(&mut out);
        self.checksum.update(input);
        let bytes = u32::try_from(input.len() % (1 << 32)).expect("it is less than 2^32");
        self.bytes = self.bytes.wrapping_add(bytes);
        let is_short = input.len() <= PACKED_BYTES_MAX;
        let level = if is_short { Compression::fast() } else { Compression::none() };
        let mut compress = Compress::new(level, false);
        let mut at = 0;
        loop {
            // About what JSON becomes, and more than the end of a block takes.
            out.reserve((input.len() - at) / 4 + 64);
            let flush = FlushCompress::Sync;
            compress.compress_vec(&input[at..], &mut out, flush).expect("it has no errors of data");
            at = usize::try_from(compress.total_in()).expect("it is as long as a slice at most");
            // With room left, all is out.
            if at == input.len() && out.len() < out.capacity() {
                return out;
            }
        }
    }

    /// The end of the answer.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.begin(&mut out);
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&std::mem::take(&mut self.checksum).finalize().to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(&HEAD);
        }
    }
}

/// A whole answer, compressed where that makes it shorter.
pub fn pack(response: Response, work: &mut Work) -> Response {
    if !(PACKED_BYTES_MIN..=PACKED_BYTES_MAX).contains(&response.body.len()) {
        return response;
    }
    let mut gzip = Gzip::default();
    let mut body = gzip.piece(&response.body, work);
    body.extend_from_slice(&gzip.end());
    if body.len() >= response.body.len() {
        return response;
    }
    Response { body, ..response }.header(CONTENT_ENCODING.0, CONTENT_ENCODING.1)
}

/// The header of what is compressed.
pub const CONTENT_ENCODING: (&str, &str) = ("content-encoding", "gzip");

/// Whether the client wants gzip (RFC 9110 section 12.5.3): it names it, and does not rather have
/// the answer as it is. As in RabbitMQ, who takes anything gets that.
pub fn is_wanted(request: &Request) -> bool {
    let (mut gzip, mut plain) = (0, 0);
    let of_name = request.headers.iter().filter(|(name, _)| name == "accept-encoding");
    for entry in of_name.flat_map(|(_, value)| value.split(|&byte| byte == b',')) {
        let mut words = entry.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = words.next().unwrap_or_default();
        let weight = weight(words);
        let place = match coding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => &mut gzip,
            b"identity" => &mut plain,
            _ => continue,
        };
        *place = weight.max(*place);
    }
    gzip > 0 && gzip >= plain
}

/// How much a coding is wanted, in thousandths; what nobody can read is not wanted.
fn weight<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    let mut found = 1000;
    for parameter in parameters {
        let Some((name, value)) =
            std::str::from_utf8(parameter).ok().and_then(|text| text.split_once('='))
        else {
            return 0;
        };
        if name.trim_end().eq_ignore_ascii_case("q") {
            found = thousandths(value.trim_start()).unwrap_or(0);
        }
    }
    found
}

/// A number from 0 to 1 with at most three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_short = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let whole: u16 = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    let fraction: u16 = format!("{fraction:0<3}").parse().ok().filter(|_| is_short)?;
    Some(whole + fraction).filter(|sum| *sum <= 1000)
}

/// No name, no time, nobody's system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty block that says that it is the last.
const LAST_BLOCK: [u8; 2] = [3, 0];

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::super::request::{Head, parse};
    use super::*;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        let mut decoder = GzDecoder::new(bytes);
        decoder.read_to_end(&mut found).unwrap();
        assert!(decoder.into_inner().is_empty(), "something stands behind the end");
        found
    }

    /// Bytes between the same in all lengths and what nobody can shorten.
    fn bytes(length: usize, kinds: u64) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state % kinds).unwrap()
        };
        (0..length).map(|_| next()).collect()
    }

    fn packed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut gzip, mut work) = (Gzip::default(), Work::default());
        let mut out: Vec<u8> =
            pieces.iter().flat_map(|piece| gzip.piece(piece, &mut work)).collect();
        out.extend_from_slice(&gzip.end());
        out
    }

    #[test]
    fn an_answer_comes_back_however_it_was_cut() {
        for kinds in [1, 2, 30, 256] {
            for length in [0, 1, 5, 100, 1023, 32 * 1024, 70_000, 200_000] {
                let whole = bytes(length, kinds);
                assert_eq!(unpacked(&packed(&[&whole])), whole, "{length} of {kinds}");
                for cut in [1_000, 7_777, 32 * 1024] {
                    let pieces: Vec<&[u8]> =
                        whole.chunks(cut).flat_map(|piece| [piece, b""]).collect();
                    let found = unpacked(&packed(&pieces));
                    assert_eq!(found, whole, "{length} of {kinds} in pieces of {cut}");
                }
            }
        }
    }

    /// A client that shows what it has while more comes sees each piece.
    #[test]
    fn a_piece_can_be_read_before_the_next_one_comes() {
        let (mut gzip, mut work) = (Gzip::default(), Work::default());
        let mut out = gzip.piece(b"one", &mut work);
        let mut read = [0; 3];
        GzDecoder::new(out.as_slice()).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one");
        out.extend_from_slice(&gzip.piece(b"two", &mut work));
        let mut read = [0; 6];
        GzDecoder::new(out.as_slice()).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"onetwo");
    }

    #[test]
    fn a_whole_answer_is_packed_if_that_makes_it_shorter_and_counts_as_work() {
        let whole = |bytes: Vec<u8>| Response { body: bytes, ..Response::empty(200) };
        let text = b"{\"name\":\"queue\",\"vhost\":\"/\",\"messages\":0},".repeat(1_000);
        let mut work = Work::default();
        work.begin(1_000);
        let shorter = pack(whole(text.clone()), &mut work);
        assert!(shorter.body.len() < text.len() / 10 && work.is_done());
        assert_eq!(unpacked(&shorter.body), text);
        assert_eq!(shorter.headers, [("content-encoding", "gzip".to_owned())]);
        work.begin(1_000);
        for same in [bytes(PACKED_BYTES_MIN - 1, 1), bytes(PACKED_BYTES_MAX + 1, 1)] {
            assert_eq!(pack(whole(same.clone()), &mut work), whole(same));
        }
        assert!(!work.is_done());
        let noise = bytes(5_000, 256);
        assert_eq!(pack(whole(noise.clone()), &mut work), whole(noise));
    }

    #[test]
    fn only_who_asks_for_gzip_gets_it() {
        for (wanted, headers) in [
            (false, vec![]),
            (true, vec!["gzip"]),
            (true, vec!["GZip ; Q=0.5"]),
            (true, vec!["x-gzip"]),
            (true, vec!["deflate, gzip, br"]),
            (true, vec!["deflate", "gzip;q=1.000"]),
            (true, vec!["br;q=1, gzip;q=0.001"]),
            (true, vec!["gzip;q=0.5, identity;q=0.5"]),
            (false, vec![""]),
            (false, vec!["identity"]),
            (false, vec!["br, deflate"]),
            (false, vec!["gzip;q=0"]),
            (false, vec!["gzip;q=0.000, *"]),
            (false, vec!["*", "*;q=0"]),
            (false, vec!["gzip;q=0.4, identity;q=0.5"]),
            (false, vec!["gzip;q=2"]),
            (false, vec!["gzip;q=0.0001"]),
            (false, vec!["gzip;q=-1", "gzip;q=", "gzip;q", "gzip;q=nan", "gzip;q=1.1"]),
            (false, vec!["gzip\u{e9}", "gzipx", ",,;;,"]),
        ] {
            let lines: String =
                headers.iter().map(|header| format!("accept-encoding: {header}\r\n")).collect();
            let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{lines}\r\n");
            let Ok(Head::Complete(request, ..)) = parse(text.as_bytes(), 0) else { panic!() };
            assert_eq!(is_wanted(&request), wanted, "{headers:?}");
        }
    }
}
