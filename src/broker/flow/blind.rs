//! What of a stored message may its consumers not see?
//!
//! The keys of the header BCC route a message like its own key, again when it dies or when its
//! delay is over, and nobody is told of them. So they are stored with it. A bit of the property
//! flags that class basic leaves free marks such a message, so that a delivery finds out about
//! all others by looking at one byte; the bit and the header never leave the broker.

use crate::amqp::{Properties, PropertyList, TableBuf};
use crate::broker::topology::sender_keys::BCC;

/// The mark, in the second byte of the flags. A client that sets it hides nothing.
const MARK: u8 = 0b10;

/// Property bytes as they are stored.
pub fn stored(list: &PropertyList<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    list.encode(&mut bytes);
    if list.headers.is_some_and(|headers| headers.find(BCC).is_some()) {
        bytes[1] |= MARK;
    }
    bytes
}

/// Whether stored property bytes are others than those that consumers see.
#[inline]
pub fn is_blind(properties: &[u8]) -> bool {
    properties.get(1).is_some_and(|flags| flags & MARK != 0)
}

/// What consumers see of stored properties.
pub fn visible(properties: &[u8]) -> Vec<u8> {
    let list = Properties::new(properties).list().unwrap_or_default();
    let mut headers = list.headers.map(TableBuf::from);
    if let Some(headers) = &mut headers {
        headers.remove(BCC);
    }
    let mut bytes = Vec::with_capacity(properties.len());
    let headers = headers.as_ref().map(TableBuf::table);
    PropertyList { headers, ..list }.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{ArrayBuf, Value};

    #[test]
    fn bcc_is_stored_and_marked_and_not_seen() {
        let mut keys = ArrayBuf::new();
        keys.push(Value::LongString(b"hidden"));
        let mut headers = TableBuf::new();
        headers.put_i64(b"n", 1);
        let open = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        let open_bytes = stored(&open);
        assert!(!is_blind(&open_bytes));
        let mut headers = TableBuf::from(headers.table());
        headers.put(BCC, Value::Array(keys.array()));
        let blind = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        let bytes = stored(&blind);
        assert!(is_blind(&bytes));
        assert_eq!(Properties::new(&bytes).list(), Ok(blind), "the broker reads all of it");
        assert_eq!(visible(&bytes), open_bytes);
    }

    #[test]
    fn a_mark_that_a_client_sets_hides_nothing() {
        let bytes = [0, MARK];
        assert!(is_blind(&bytes));
        assert_eq!(visible(&bytes), Properties::EMPTY.as_bytes());
    }
}
