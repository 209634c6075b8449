//! What does a message body say about itself? Its first 16 bytes, big-endian:
//!
//! ```text
//! | publisher u16 | sequence u48 | run u16 | send time u48 |
//! ```
//!
//! `sequence` counts the messages of one publisher to one queue (or to the fanout exchange)
//! from 0. `run` tells the messages of this start of the tool from those of another.
//! `send time` is nanoseconds of [`crate::pace::Clock`] modulo 2^48 (78 hours). The rest of
//! the body is filler.

/// Bytes of the stamp; a smaller message carries none and cannot be verified.
pub const STAMP_BYTES: usize = 16;

/// The stamp of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who published it, from 0.
    pub publisher: u16,
    /// The how manyeth it is, from 0, of this publisher to this queue; below 2^48.
    pub sequence: u64,
    /// Which start of the tool it belongs to.
    pub run: u16,
    /// Nanoseconds of the clock; only the low 48 bits are kept.
    pub sent_ns: u64,
}

impl Stamp {
    /// The stamp at the beginning of a body, `None` when the body is too short.
    #[inline]
    pub fn read(body: &[u8]) -> Option<Stamp> {
        let (who, rest) = body.split_first_chunk::<8>()?;
        let (when, _) = rest.split_first_chunk::<8>()?;
        Some(Stamp {
            publisher: u16::from_be_bytes([who[0], who[1]]),
            sequence: u64::from_be_bytes(*who) & LOW_48,
            run: u16::from_be_bytes([when[0], when[1]]),
            sent_ns: u64::from_be_bytes(*when) & LOW_48,
        })
    }

    /// Writes the stamp over the first bytes of `body`, which has at least [`STAMP_BYTES`].
    #[inline]
    pub fn write(&self, body: &mut [u8]) {
        let who = u64::from(self.publisher) << 48 | self.sequence & LOW_48;
        let when = u64::from(self.run) << 48 | self.sent_ns & LOW_48;
        body[..8].copy_from_slice(&who.to_be_bytes());
        body[8..STAMP_BYTES].copy_from_slice(&when.to_be_bytes());
    }

    /// How old the message is at `now_ns` of the same clock; 0 when it is from the future.
    #[inline]
    pub fn age_ns(&self, now_ns: u64) -> u64 {
        let age = now_ns.wrapping_sub(self.sent_ns) & LOW_48;
        if age < 1 << 47 { age } else { 0 }
    }
}

const LOW_48: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { publisher: 65_535, sequence: LOW_48, run: 0xABCD, sent_ns: 12_345 };
        let mut body = [7; 20];
        stamp.write(&mut body);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(body[16..], [7; 4]);
        assert_eq!(Stamp::read(&body[..15]), None);
    }

    #[test]
    fn age_survives_the_wrap_and_is_never_negative() {
        let at = |sent_ns| Stamp { publisher: 0, sequence: 0, run: 0, sent_ns };
        let mut body = [0; 16];
        at((5 << 48) - 10).write(&mut body);
        let stamp = Stamp::read(&body).unwrap();
        assert_eq!(stamp.age_ns((5 << 48) + 90), 100);
        assert_eq!(at(1000).age_ns(999), 0);
    }
}
