//! How is a table put together, or an array?
//!
//! The buffers hold the encoded bytes, nothing else: what is put is encoded at once, and what is
//! read comes out of the same bytes through [`Table`] and [`Array`].

use super::table::{Array, Table};
use super::value::Value;
use super::wire;
use std::ops::Range;

/// A table that owns its bytes and can be changed.
///
/// Keys are short strings: what is beyond their 255 bytes is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TableBuf {
    bytes: Vec<u8>,
}

impl TableBuf {
    /// An empty table.
    #[must_use]
    pub const fn new() -> TableBuf {
        TableBuf { bytes: Vec::new() }
    }

    /// Adds an entry at the end; it does not look whether the key is there already.
    pub fn put(&mut self, key: &[u8], value: Value<'_>) {
        wire::put_short_string(&mut self.bytes, key);
        value.put(&mut self.bytes);
    }

    /// Adds an `l` (64 bits, signed).
    pub fn put_i64(&mut self, key: &[u8], value: i64) {
        self.put(key, Value::I64(value));
    }

    /// Adds a long string.
    pub fn put_str(&mut self, key: &[u8], value: &str) {
        self.put(key, Value::LongString(value.as_bytes()));
    }

    /// Adds a boolean.
    pub fn put_bool(&mut self, key: &[u8], value: bool) {
        self.put(key, Value::Bool(value));
    }

    /// Gives the key this value: in the place of its first entry, or at the end when there is none.
    /// Further entries with the same key go.
    pub fn set(&mut self, key: &[u8], value: Value<'_>) {
        let Some(place) = self.place_of(key, 0) else {
            self.put(key, value);
            return;
        };
        let mut entry = TableBuf::new();
        entry.put(key, value);
        let after = place.start + entry.bytes.len();
        self.bytes.splice(place, entry.bytes);
        self.remove_from(key, after);
    }

    /// Removes every entry with this key; whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.remove_from(key, 0)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The table, to be read or encoded.
    #[must_use]
    pub fn table(&self) -> Table<'_> {
        Table::trusted(&self.bytes)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn remove_from(&mut self, key: &[u8], start: usize) -> bool {
        let bytes_before = self.bytes.len();
        let mut at = start;
        while let Some(place) = self.place_of(key, at) {
            at = place.start;
            self.bytes.drain(place);
        }
        self.bytes.len() < bytes_before
    }

    /// Where the first entry with this key lies, at or after `start`, which begins an entry.
    fn place_of(&self, key: &[u8], start: usize) -> Option<Range<usize>> {
        let mut entries = Table::trusted(&self.bytes[start..]).iter();
        loop {
            let begin = self.bytes.len() - entries.bytes_left();
            let (found, _) = entries.next()?;
            if found == key {
                return Some(begin..self.bytes.len() - entries.bytes_left());
            }
        }
    }
}

impl From<Table<'_>> for TableBuf {
    fn from(table: Table<'_>) -> TableBuf {
        TableBuf { bytes: table.as_bytes().to_vec() }
    }
}

/// An array that owns its bytes and can grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ArrayBuf {
    bytes: Vec<u8>,
}

impl ArrayBuf {
    /// An empty array.
    #[must_use]
    pub const fn new() -> ArrayBuf {
        ArrayBuf { bytes: Vec::new() }
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: Value<'_>) {
        value.put(&mut self.bytes);
    }

    /// Adds a long string at the end.
    pub fn push_str(&mut self, value: &str) {
        self.push(Value::LongString(value.as_bytes()));
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The array, to be read or encoded.
    #[must_use]
    pub fn array(&self) -> Array<'_> {
        Array::trusted(&self.bytes)
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl From<Array<'_>> for ArrayBuf {
    fn from(array: Array<'_>) -> ArrayBuf {
        ArrayBuf { bytes: array.as_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(table: &TableBuf) -> Vec<(&[u8], i64)> {
        let integer = |value: Value<'_>| value.integer().unwrap();
        table.table().iter().map(|(key, value)| (key, integer(value))).collect()
    }

    #[test]
    fn what_is_put_is_there_in_order() {
        let mut table = TableBuf::new();
        assert!(table.is_empty() && table.table() == Table::EMPTY);
        table.put_i64(b"a", 1);
        table.put_str(b"b", "two");
        table.put_bool(b"c", true);
        table.put(b"d", Value::Void);
        let expected = b"\x01al\0\0\0\0\0\0\0\x01\x01bS\0\0\0\x03two\x01ct\x01\x01dV";
        assert_eq!(table.table().as_bytes(), expected);
        assert_eq!(Table::new(expected), Ok(table.table()));
        assert_eq!(TableBuf::from(table.table()), table);
        table.clear();
        assert_eq!(table, TableBuf::new());
    }

    #[test]
    fn set_replaces_in_place_or_adds() {
        let mut table = TableBuf::new();
        table.set(b"a", Value::I64(1));
        table.set(b"b", Value::I64(2));
        table.set(b"c", Value::I64(3));
        assert_eq!(entries(&table), [(b"a".as_slice(), 1), (b"b", 2), (b"c", 3)]);
        table.set(b"b", Value::I8(20));
        assert_eq!(entries(&table), [(b"a".as_slice(), 1), (b"b", 20), (b"c", 3)]);
        table.set(b"c", Value::U64(30));
        table.set(b"a", Value::I16(10));
        assert_eq!(entries(&table), [(b"a".as_slice(), 10), (b"b", 20), (b"c", 30)]);
    }

    #[test]
    fn set_and_remove_leave_no_second_entry_behind() {
        let mut table = TableBuf::new();
        for (key, value) in [(b"a", 1), (b"b", 2), (b"a", 3), (b"a", 4), (b"c", 5), (b"a", 6)] {
            table.put_i64(key, value);
        }
        assert_eq!(table.table().find(b"a"), Some(Value::I64(1)), "the first one counts");
        let mut other = table.clone();
        table.set(b"a", Value::I8(7));
        assert_eq!(entries(&table), [(b"a".as_slice(), 7), (b"b", 2), (b"c", 5)]);
        assert!(other.remove(b"a"));
        assert_eq!(entries(&other), [(b"b".as_slice(), 2), (b"c", 5)]);
        assert!(!other.remove(b"a"));
        assert!(other.remove(b"c") && other.remove(b"b") && other.is_empty());
    }

    #[test]
    fn tables_and_arrays_go_into_each_other() {
        let mut inner = TableBuf::new();
        inner.put_i64(b"count", 1);
        let mut array = ArrayBuf::new();
        assert!(array.is_empty());
        array.push(Value::Table(inner.table()));
        array.push_str("x");
        let mut outer = TableBuf::new();
        outer.put(b"x-death", Value::Array(array.array()));
        let bytes = b"\x07x-deathA\0\0\0\x1a\
            F\0\0\0\x0f\x05countl\0\0\0\0\0\0\0\x01\
            S\0\0\0\x01x";
        assert_eq!(outer.table().as_bytes(), bytes);
        let Some(Value::Array(found)) = outer.table().find(b"x-death") else {
            panic!("an array was put");
        };
        assert_eq!(ArrayBuf::from(found), array);
        array.clear();
        assert!(array.is_empty());
    }

    #[test]
    fn a_key_is_cut_to_a_short_string() {
        let mut table = TableBuf::new();
        table.put_i64(&[b'k'; 300], 1);
        assert_eq!(table.table().find(&[b'k'; 255]), Some(Value::I64(1)));
        assert!(Table::new(table.table().as_bytes()).is_ok());
    }
}
