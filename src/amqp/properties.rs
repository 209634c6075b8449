//! What does a content header say: which class, how large a body, which properties?
//!
//! ```text
//!     header     class u16 | weight u16 (0) | body size u64 | properties
//!     properties flags u16 | the values whose flag is set, in the order of the flags
//! ```
//! The broker keeps and forwards the property bytes as they came ([`Properties`]) and decodes them
//! ([`PropertyList`]) only to look at them. Specification 4.2.6.1 and 1.8 (class basic).

use super::error::AmqpError;
use super::table::Table;
use super::wire::{self, Malformed, Reader};

/// The payload of a header frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class that the content belongs to; the receiver checks that it is
    /// [`BASIC_CLASS_ID`].
    pub class_id: u16,
    /// How large the body is, in bytes.
    pub body_bytes: u64,
    /// The properties as they came, not yet looked at.
    pub properties: Properties<'a>,
}

impl<'a> ContentHeader<'a> {
    /// Reads the payload of a header frame. The weight is ignored, as RabbitMQ does.
    ///
    /// # Errors
    /// 502, connection level, when the payload is too short.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<ContentHeader<'a>, AmqpError> {
        let Some((fixed, properties)) = payload.split_first_chunk() else {
            return Err(Malformed::Truncated.error("content header"));
        };
        let [c0, c1, _, _, b0, b1, b2, b3, b4, b5, b6, b7] = *fixed;
        Ok(ContentHeader {
            class_id: u16::from_be_bytes([c0, c1]),
            body_bytes: u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            properties: Properties::new(properties),
        })
    }
}

/// The class whose methods have content.
pub const BASIC_CLASS_ID: u16 = 60;

/// The property bytes of a content header, flags and values, as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No property set.
    pub const EMPTY: Properties<'static> = Properties { bytes: &[0, 0] };

    /// Takes bytes for properties, without looking at them.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Properties<'a> {
        Properties { bytes }
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The properties, decoded.
    ///
    /// # Errors
    /// 502, connection level, when a value runs past the end, bytes are left over, the headers are
    /// no table, or the flags announce a second word of flags, which class basic has not.
    #[inline]
    pub fn list(&self) -> Result<PropertyList<'a>, AmqpError> {
        PropertyList::decode(self.bytes).map_err(|malformed| malformed.error("content properties"))
    }
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Properties::EMPTY
    }
}

/// The properties of a message of class basic, decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PropertyList<'a> {
    /// MIME type of the body.
    pub content_type: Option<&'a [u8]>,
    /// MIME encoding of the body.
    pub content_encoding: Option<&'a [u8]>,
    /// The application's headers, to which the broker adds its own (`x-death`).
    pub headers: Option<Table<'a>>,
    /// 1 transient, 2 persistent.
    pub delivery_mode: Option<u8>,
    /// 0 and up; above the queue's maximum counts as the maximum.
    pub priority: Option<u8>,
    /// What a reply belongs to.
    pub correlation_id: Option<&'a [u8]>,
    /// Where a reply goes.
    pub reply_to: Option<&'a [u8]>,
    /// How long the message lives, in milliseconds, as decimal digits.
    pub expiration: Option<&'a [u8]>,
    /// The application's id.
    pub message_id: Option<&'a [u8]>,
    /// The application's time, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The application's name for the type of the message (`type`).
    pub kind: Option<&'a [u8]>,
    /// Who published; the broker checks it against the login.
    pub user_id: Option<&'a [u8]>,
    /// What published.
    pub app_id: Option<&'a [u8]>,
    /// Deprecated (`reserved`), passed on.
    pub cluster_id: Option<&'a [u8]>,
}

impl<'a> PropertyList<'a> {
    /// Appends flags and values.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags_at = out.len();
        out.extend_from_slice(&[0, 0]);
        let mut writer = PropertyWriter { out, flags: 0 };
        writer.short_string(CONTENT_TYPE, self.content_type);
        writer.short_string(CONTENT_ENCODING, self.content_encoding);
        writer.property(HEADERS, self.headers, |out, table| {
            wire::put_long_string(out, table.as_bytes())
        });
        writer.property(DELIVERY_MODE, self.delivery_mode, Vec::push);
        writer.property(PRIORITY, self.priority, Vec::push);
        writer.short_string(CORRELATION_ID, self.correlation_id);
        writer.short_string(REPLY_TO, self.reply_to);
        writer.short_string(EXPIRATION, self.expiration);
        writer.short_string(MESSAGE_ID, self.message_id);
        writer.property(TIMESTAMP, self.timestamp, |out, seconds| {
            out.extend_from_slice(&seconds.to_be_bytes())
        });
        writer.short_string(KIND, self.kind);
        writer.short_string(USER_ID, self.user_id);
        writer.short_string(APP_ID, self.app_id);
        writer.short_string(CLUSTER_ID, self.cluster_id);
        let flags = writer.flags.to_be_bytes();
        out[flags_at..flags_at + flags.len()].copy_from_slice(&flags);
    }

    #[inline]
    fn decode(bytes: &'a [u8]) -> Result<PropertyList<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.short()?;
        if flags & CONTINUED != 0 {
            return Err(Malformed::ContinuedFlags);
        }
        let mut list = PropertyList::default();
        // Most messages have nothing but what begins the list.
        if flags & CONTENT_TYPE != 0 {
            list.content_type = Some(reader.short_string()?);
        }
        if flags & CONTENT_ENCODING != 0 {
            list.content_encoding = Some(reader.short_string()?);
        }
        if flags & HEADERS != 0 {
            list.headers = Some(reader.table()?);
        }
        if flags & DELIVERY_MODE != 0 {
            list.delivery_mode = Some(reader.octet()?);
        }
        if flags & PRIORITY != 0 {
            list.priority = Some(reader.octet()?);
        }
        if flags & AFTER_PRIORITY != 0 {
            list.decode_after_priority(flags, &mut reader)?;
        }
        reader.end()?;
        Ok(list)
    }

    fn decode_after_priority(
        &mut self,
        flags: u16,
        reader: &mut Reader<'a>,
    ) -> Result<(), Malformed> {
        let mut short_string = |flag| {
            if flags & flag != 0 { reader.short_string().map(Some) } else { Ok(None) }
        };
        self.correlation_id = short_string(CORRELATION_ID)?;
        self.reply_to = short_string(REPLY_TO)?;
        self.expiration = short_string(EXPIRATION)?;
        self.message_id = short_string(MESSAGE_ID)?;
        if flags & TIMESTAMP != 0 {
            self.timestamp = Some(reader.long_long()?);
        }
        let mut short_string = |flag| {
            if flags & flag != 0 { reader.short_string().map(Some) } else { Ok(None) }
        };
        self.kind = short_string(KIND)?;
        self.user_id = short_string(USER_ID)?;
        self.app_id = short_string(APP_ID)?;
        self.cluster_id = short_string(CLUSTER_ID)?;
        Ok(())
    }
}

/// Appends the values that are there and remembers which.
struct PropertyWriter<'o> {
    out: &'o mut Vec<u8>,
    flags: u16,
}

impl PropertyWriter<'_> {
    #[inline]
    fn short_string(&mut self, flag: u16, value: Option<&[u8]>) {
        self.property(flag, value, wire::put_short_string);
    }

    #[inline]
    fn property<T>(&mut self, flag: u16, value: Option<T>, put: fn(&mut Vec<u8>, T)) {
        if let Some(value) = value {
            self.flags |= flag;
            put(self.out, value);
        }
    }
}

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const KIND: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;

/// Another word of flags follows. (Bit 1 is free and ignored, as RabbitMQ does.)
const CONTINUED: u16 = 1;

/// Every flag whose value comes after the priority.
const AFTER_PRIORITY: u16 = PRIORITY - CLUSTER_ID;

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::super::{Level, ReplyCode};
    use super::*;

    /// Everything set, and its bytes by hand from the specification.
    fn full() -> (PropertyList<'static>, &'static [u8]) {
        let list = PropertyList {
            content_type: Some(b"text/plain"),
            content_encoding: Some(b"gzip"),
            headers: Some(Table::new(b"\x01aS\x00\x00\x00\x01b").unwrap()),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: Some(b"corr"),
            reply_to: Some(b"reply"),
            expiration: Some(b"60000"),
            message_id: Some(b"msg"),
            timestamp: Some(0x0102_0304_0506_0708),
            kind: Some(b"type"),
            user_id: Some(b"guest"),
            app_id: Some(b"app"),
            cluster_id: Some(b""),
        };
        let bytes =
            b"\xff\xfc\x0atext/plain\x04gzip\x00\x00\x00\x08\x01aS\x00\x00\x00\x01b\x02\x09\
            \x04corr\x05reply\x0560000\x03msg\x01\x02\x03\x04\x05\x06\x07\x08\x04type\x05guest\
            \x03app\x00";
        (list, bytes)
    }

    /// The full list with only those properties whose bit, from the first on, is set in `chosen`.
    fn some_of_full(chosen: u16) -> PropertyList<'static> {
        let (full, _) = full();
        let has = |index: u32| chosen >> index & 1 == 1;
        PropertyList {
            content_type: full.content_type.filter(|_| has(0)),
            content_encoding: full.content_encoding.filter(|_| has(1)),
            headers: full.headers.filter(|_| has(2)),
            delivery_mode: full.delivery_mode.filter(|_| has(3)),
            priority: full.priority.filter(|_| has(4)),
            correlation_id: full.correlation_id.filter(|_| has(5)),
            reply_to: full.reply_to.filter(|_| has(6)),
            expiration: full.expiration.filter(|_| has(7)),
            message_id: full.message_id.filter(|_| has(8)),
            timestamp: full.timestamp.filter(|_| has(9)),
            kind: full.kind.filter(|_| has(10)),
            user_id: full.user_id.filter(|_| has(11)),
            app_id: full.app_id.filter(|_| has(12)),
            cluster_id: full.cluster_id.filter(|_| has(13)),
        }
    }

    fn encoded(list: &PropertyList<'_>) -> Vec<u8> {
        let mut out = b"before".to_vec();
        list.encode(&mut out);
        out.split_off(6)
    }

    #[test]
    fn properties_have_the_bytes_of_the_specification() {
        let (list, bytes) = full();
        assert_eq!(encoded(&list).escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(Properties::new(bytes).list(), Ok(list));
        let common = PropertyList {
            content_type: Some(b"a/b"),
            delivery_mode: Some(2),
            ..PropertyList::default()
        };
        assert_eq!(encoded(&common), b"\x90\x00\x03a/b\x02");
        assert_eq!(Properties::new(b"\x90\x00\x03a/b\x02").list(), Ok(common));
        assert_eq!(encoded(&PropertyList::default()), Properties::EMPTY.as_bytes());
        assert_eq!(Properties::default().list(), Ok(PropertyList::default()));
    }

    #[test]
    fn every_choice_of_properties_round_trips() {
        for chosen in 0..1 << 14 {
            let list = some_of_full(chosen);
            let bytes = encoded(&list);
            let flags = u16::from_be_bytes([bytes[0], bytes[1]]);
            assert_eq!(flags, chosen.reverse_bits());
            assert_eq!(Properties::new(&bytes).list(), Ok(list));
        }
    }

    #[test]
    fn truncated_and_longer_properties_are_syntax_errors() {
        let (_, bytes) = full();
        for length in 0..bytes.len() {
            let error = Properties::new(&bytes[..length]).list().unwrap_err();
            assert_eq!((error.code, error.level), (ReplyCode::SyntaxError, Level::Connection));
        }
        let longer = [bytes, b"\0"].concat();
        let error = Properties::new(&longer).list().unwrap_err();
        let text = "SYNTAX_ERROR - malformed content properties: bytes after the last field";
        assert_eq!(error.text, text);
    }

    #[test]
    fn a_second_word_of_flags_is_refused_and_the_free_bit_ignored() {
        let error = Properties::new(b"\x00\x01").list().unwrap_err();
        assert_eq!(error.code, ReplyCode::SyntaxError);
        assert!(Properties::new(b"\x00\x01\x00\x00").list().is_err());
        assert_eq!(Properties::new(b"\x00\x02").list(), Ok(PropertyList::default()));
    }

    #[test]
    fn headers_that_are_no_table_are_a_syntax_error() {
        let error = Properties::new(b"\x20\x00\x00\x00\x00\x03\x01a?").list().unwrap_err();
        assert_eq!(error.code, ReplyCode::SyntaxError);
        assert!(error.text.ends_with("unknown field type 63"), "{}", error.text);
    }

    #[test]
    fn a_content_header_has_the_bytes_of_the_specification() {
        let payload = b"\x00\x3c\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x02";
        let header = ContentHeader::parse(payload).unwrap();
        assert_eq!(header.class_id, 60);
        assert_eq!(header.body_bytes, 0x0102_0304_0506_0708);
        assert_eq!(header.properties, Properties::new(b"\x10\x00\x02"));
        assert_eq!(header.properties.list().unwrap().delivery_mode, Some(2));
        for length in 0..12 {
            let error = ContentHeader::parse(&payload[..length]).unwrap_err();
            assert_eq!((error.code, error.level), (ReplyCode::SyntaxError, Level::Connection));
        }
        assert!(ContentHeader::parse(&payload[..12]).unwrap().properties.list().is_err());
    }

    #[test]
    fn random_bytes_never_panic_and_what_decodes_encodes() {
        let mut random = Random::new(4);
        let (_, full) = full();
        let mut decoded = 0;
        for _ in 0..100_000 {
            let bytes = match random.below(2) {
                0 => random.bytes(48),
                _ => random.spoil(full),
            };
            let _ = ContentHeader::parse(&bytes);
            if let Ok(list) = Properties::new(&bytes).list() {
                decoded += 1;
                let again = encoded(&list);
                assert_eq!(again[2..], bytes[2..]);
                assert_eq!((again[0], again[1]), (bytes[0], bytes[1] & !2));
            }
        }
        assert!(decoded > 1000, "{decoded}");
    }
}
