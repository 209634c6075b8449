//! How is a short string kept: shared, immutable bytes that are cheap to clone and to compare.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The owned form of a short string: a queue's, exchange's or vhost's name, a routing key, a tag.
///
/// Bytes, not text, since peers may send any (specification 4.2.5.3 asks for UTF-8, nobody checks
/// all); [`Display`](fmt::Display) replaces what is not UTF-8. Orders, compares and hashes as its
/// bytes do, so a map keyed by `Name` is searched with a `&[u8]` from the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Name {
        Name::from(&b""[..])
    }
}

impl Deref for Name {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    #[inline]
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Name {
        Name(Arc::from(bytes))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name::from(text.as_bytes())
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Name {
        Name(Arc::from(bytes))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name::from(text.into_bytes())
    }
}

impl PartialEq<[u8]> for Name {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_bytes() == other
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    #[test]
    fn maps_keyed_by_name_are_searched_by_bytes() {
        let hashed = HashMap::from([(Name::from("a"), 1), (Name::from(""), 2)]);
        assert_eq!(hashed.get(&b"a"[..]), Some(&1));
        assert_eq!(hashed.get(&b""[..]), Some(&2));
        assert_eq!(hashed.get(&b"b"[..]), None);
        let sorted = BTreeMap::from([(Name::from(&b"\xff"[..]), 1)]);
        assert_eq!(sorted.get(&b"\xff"[..]), Some(&1));
    }

    #[test]
    fn shown_as_text_where_it_is_text() {
        assert_eq!(Name::from("gr\u{fc}n").to_string(), "gr\u{fc}n");
        assert_eq!(Name::from(&b"a\xffb"[..]).to_string(), "a\u{fffd}b");
        assert_eq!(format!("{:>3}", Name::from("a")), "  a");
        assert_eq!(format!("{:?}", Name::from(&b"a\xff"[..])), "\"a\\xff\"");
        let name = Name::from("a");
        assert!(name == *"a" && name == *b"a".as_slice() && name != *"b");
        assert_eq!(Name::default(), Name::from(String::new()));
    }
}
