//! What is in a table or an array?
//!
//! Tables and arrays are kept as the bytes that came. Their structure is checked once, to the
//! innermost value, when they are made; from then on walking them cannot fail. Specification
//! 4.2.5.5:
//!
//! ```text
//!     table   ( key short string | type octet | value )*
//!     array   ( type octet | value )*
//! ```

use super::error::AmqpError;
use super::value::Value;
use super::wire::{Malformed, Reader};

/// A field table: pairs of a key and a typed value, in the order in which they came.
///
/// A key may be there twice; the first one counts, as it does in RabbitMQ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Table<'a> {
    bytes: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table without entries.
    pub const EMPTY: Table<'static> = Table { bytes: &[] };

    /// The table that `bytes` (without the four bytes of the length) are.
    ///
    /// # Errors
    /// 502, connection level, when a key or value runs past the end, or a type is unknown.
    pub fn new(bytes: &'a [u8]) -> Result<Table<'a>, AmqpError> {
        Table::checked(bytes).map_err(|malformed| malformed.error("table"))
    }

    pub(super) fn checked(bytes: &'a [u8]) -> Result<Table<'a>, Malformed> {
        check(bytes, true)?;
        Ok(Table { bytes })
    }

    /// For bytes that were put together by this module.
    pub(super) fn trusted(bytes: &'a [u8]) -> Table<'a> {
        Table { bytes }
    }

    /// The bytes, without the four bytes of the length.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no entry.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The entries in order.
    #[must_use]
    pub fn iter(&self) -> TableIter<'a> {
        TableIter { reader: Reader::new(self.bytes) }
    }

    /// The entries from the one on that was next when so many bytes were left
    /// ([`TableIter::bytes_left`]).
    #[must_use]
    pub fn iter_from(&self, bytes_left: usize) -> TableIter<'a> {
        let begin = self.bytes.len().saturating_sub(bytes_left);
        TableIter { reader: Reader::new(&self.bytes[begin..]) }
    }

    /// The value of the first entry with this key.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter().find(|&(found, _)| found == key).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Table<'a> {
    type Item = (&'a [u8], Value<'a>);
    type IntoIter = TableIter<'a>;

    fn into_iter(self) -> TableIter<'a> {
        self.iter()
    }
}

/// The entries of a [`Table`].
#[derive(Clone, Debug)]
pub struct TableIter<'a> {
    reader: Reader<'a>,
}

impl<'a> TableIter<'a> {
    /// How many bytes of the table are still to come; the place of the next entry, from the end.
    pub fn bytes_left(&self) -> usize {
        self.reader.rest().len()
    }
}

impl<'a> Iterator for TableIter<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        // The only error to come is the end: the table has been checked.
        let key = self.reader.short_string().ok()?;
        let value = Value::read(&mut self.reader).ok()?;
        Some((key, value))
    }
}

/// An array: typed values in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Array<'a> {
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// The array without values.
    pub const EMPTY: Array<'static> = Array { bytes: &[] };

    /// The array that `bytes` (without the four bytes of the length) are.
    ///
    /// # Errors
    /// 502, connection level, as for [`Table::new`].
    pub fn new(bytes: &'a [u8]) -> Result<Array<'a>, AmqpError> {
        check(bytes, false).map_err(|malformed| malformed.error("array"))?;
        Ok(Array { bytes })
    }

    /// For bytes that were put together by this module.
    pub(super) fn trusted(bytes: &'a [u8]) -> Array<'a> {
        Array { bytes }
    }

    /// The bytes, without the four bytes of the length.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The values in order.
    #[must_use]
    pub fn iter(&self) -> ArrayIter<'a> {
        ArrayIter { reader: Reader::new(self.bytes) }
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

/// The values of an [`Array`].
#[derive(Clone, Debug)]
pub struct ArrayIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        // The only error to come is the end: the array has been checked.
        Value::read(&mut self.reader).ok()
    }
}

/// Checks a table or an array to its innermost value. As deep as the bytes allow: what is open is
/// kept in a list and not on the stack.
fn check(bytes: &[u8], is_table: bool) -> Result<(), Malformed> {
    let mut open = Vec::new();
    let (mut reader, mut has_keys) = (Reader::new(bytes), is_table);
    loop {
        if reader.rest().is_empty() {
            match open.pop() {
                Some(outer) => (reader, has_keys) = outer,
                None => return Ok(()),
            }
            continue;
        }
        if has_keys {
            reader.short_string()?;
        }
        let value = Value::read(&mut reader)?;
        let inner = if let Value::Table(table) = value {
            (Reader::new(table.bytes), true)
        } else if let Value::Array(array) = value {
            (Reader::new(array.bytes), false)
        } else {
            continue;
        };
        open.push((std::mem::replace(&mut reader, inner.0), has_keys));
        has_keys = inner.1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::super::{ArrayBuf, Level, ReplyCode, TableBuf};
    use super::*;

    /// The slow obvious twin: values as a tree, spelt and compared one by one.
    #[derive(Clone, Debug)]
    enum Tree {
        Leaf(Value<'static>),
        List(Vec<Tree>),
        Map(Vec<(Vec<u8>, Tree)>),
    }

    impl Tree {
        fn random(random: &mut Random, depth: usize) -> Tree {
            let kinds = if depth == 0 { LEAVES.len() } else { LEAVES.len() + 6 };
            let kind = random.below(kinds);
            let count = random.below(5);
            if let Some(&leaf) = LEAVES.get(kind) {
                Tree::Leaf(leaf)
            } else if kind.is_multiple_of(2) {
                Tree::List((0..count).map(|_| Tree::random(random, depth - 1)).collect())
            } else {
                Tree::random_map(random, depth - 1)
            }
        }

        fn random_map(random: &mut Random, depth: usize) -> Tree {
            let count = random.below(6);
            Tree::Map((0..count).map(|_| (random.bytes(4), Tree::random(random, depth))).collect())
        }

        /// The bytes by the grammar, without type octet and length.
        fn spell(&self) -> Vec<u8> {
            let mut bytes = Vec::new();
            match self {
                Tree::Leaf(value) => value.put(&mut bytes),
                Tree::List(items) => items.iter().for_each(|item| item.spell_typed(&mut bytes)),
                Tree::Map(entries) => {
                    for (key, item) in entries {
                        bytes.push(u8::try_from(key.len()).unwrap());
                        bytes.extend(key);
                        item.spell_typed(&mut bytes);
                    }
                }
            }
            bytes
        }

        fn spell_typed(&self, bytes: &mut Vec<u8>) {
            let inner = self.spell();
            let kind = match self {
                Tree::Leaf(_) => return bytes.extend(inner),
                Tree::List(_) => b'A',
                Tree::Map(_) => b'F',
            };
            bytes.push(kind);
            bytes.extend(u32::try_from(inner.len()).unwrap().to_be_bytes());
            bytes.extend(inner);
        }

        fn build(&self) -> Built {
            match self {
                Tree::Leaf(value) => Built::Leaf(*value),
                Tree::List(items) => {
                    let mut array = ArrayBuf::new();
                    items.iter().for_each(|item| array.push(item.build().value()));
                    Built::Array(array)
                }
                Tree::Map(entries) => {
                    let mut table = TableBuf::new();
                    entries.iter().for_each(|(key, item)| table.put(key, item.build().value()));
                    Built::Table(table)
                }
            }
        }

        fn assert_is(&self, value: Value<'_>) {
            match (self, value) {
                (Tree::Leaf(leaf), value) => assert_eq!(*leaf, value),
                (Tree::List(items), Value::Array(array)) => {
                    assert_eq!(array.iter().count(), items.len());
                    items.iter().zip(array).for_each(|(item, value)| item.assert_is(value));
                }
                (Tree::Map(entries), Value::Table(table)) => {
                    assert_eq!(table.iter().count(), entries.len());
                    for ((key, item), (found, value)) in entries.iter().zip(table) {
                        assert_eq!(key, found);
                        item.assert_is(value);
                    }
                }
                (tree, value) => panic!("{tree:?} is not {value:?}"),
            }
        }
    }

    enum Built {
        Leaf(Value<'static>),
        Array(ArrayBuf),
        Table(TableBuf),
    }

    impl Built {
        fn value(&self) -> Value<'_> {
            match self {
                Built::Leaf(value) => *value,
                Built::Array(array) => Value::Array(array.array()),
                Built::Table(table) => Value::Table(table.table()),
            }
        }
    }

    const LEAVES: [Value<'static>; 16] = [
        Value::Bool(true),
        Value::I8(-2),
        Value::U8(254),
        Value::I16(-2),
        Value::U16(65_534),
        Value::I32(-2),
        Value::U32(4_294_967_294),
        Value::I64(-2),
        Value::U64(u64::MAX - 1),
        Value::F32(1.5),
        Value::F64(-0.5),
        Value::Decimal { scale: 2, value: 314 },
        Value::LongString(b"text"),
        Value::Bytes(b"\x00\xff"),
        Value::Timestamp(1_700_000_000),
        Value::Void,
    ];

    /// One entry of every type, by hand from the list atop of `value`, with type name and text.
    const TYPES: [(&[u8], Value<'static>, &str, &str); 19] = [
        (b"t\x01", Value::Bool(true), "bool", "true"),
        (b"t\x00", Value::Bool(false), "bool", "false"),
        (b"b\xfe", Value::I8(-2), "byte", "-2"),
        (b"B\xfe", Value::U8(254), "unsignedbyte", "254"),
        (b"s\xff\xfe", Value::I16(-2), "short", "-2"),
        (b"u\xff\xfe", Value::U16(65_534), "unsignedshort", "65534"),
        (b"I\xff\xff\xff\xfe", Value::I32(-2), "signedint", "-2"),
        (b"i\xff\xff\xff\xfe", Value::U32(4_294_967_294), "unsignedint", "4294967294"),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xfe", Value::I64(-2), "long", "-2"),
        (b"L\x00\x00\x00\x00\x00\x00\x00\x02", Value::U64(2), "long", "2"),
        (b"f\x3f\xc0\x00\x00", Value::F32(1.5), "float", "1.5"),
        (b"d\xbf\xe0\x00\x00\x00\x00\x00\x00", Value::F64(-0.5), "double", "-0.5"),
        (b"D\x02\x00\x00\x01\x3a", Value::Decimal { scale: 2, value: 314 }, "decimal", "{2,314}"),
        (b"S\x00\x00\x00\x04text", Value::LongString(b"text"), "longstr", "text"),
        (b"x\x00\x00\x00\x02ab", Value::Bytes(b"ab"), "binary", "ab"),
        (b"T\x00\x00\x00\x00\x00\x00\x01\x00", Value::Timestamp(256), "timestamp", "256"),
        (b"V", Value::Void, "void", "undefined"),
        (
            b"A\x00\x00\x00\x08S\x00\x00\x00\x01at\x01",
            Value::Array(Array { bytes: b"S\x00\x00\x00\x01at\x01" }),
            "array",
            "[{longstr,<<\"a\">>},{bool,true}]",
        ),
        (
            b"F\x00\x00\x00\x0c\x01kB\x05\x01lA\x00\x00\x00\x01V",
            Value::Table(Table { bytes: b"\x01kB\x05\x01lA\x00\x00\x00\x01V" }),
            "table",
            "[{<<\"k\">>,unsignedbyte,5},{<<\"l\">>,array,[{void,undefined}]}]",
        ),
    ];

    #[test]
    fn every_type_has_its_octet_its_bytes_and_rabbitmqs_name() {
        for (bytes, value, type_name, text) in TYPES {
            let array = Array::new(bytes).unwrap();
            assert_eq!(array.iter().collect::<Vec<_>>(), [value]);
            let entry = [b"\x01k", bytes].concat();
            let table = Table::new(&entry).unwrap();
            assert_eq!(table.iter().collect::<Vec<_>>(), [(b"k".as_slice(), value)]);
            let mut built = TableBuf::new();
            built.put(b"k", value);
            assert_eq!(built.table().as_bytes(), entry);
            assert_eq!((value.type_name(), value.to_string().as_str()), (type_name, text));
        }
        assert_eq!(Array::new(b"t\x02").unwrap().iter().next(), Some(Value::Bool(true)));
    }

    #[test]
    fn integers_of_any_width_are_numbers_and_only_long_strings_are_text() {
        for value in LEAVES {
            let number = match value.type_name() {
                "byte" | "short" | "signedint" => Some(-2),
                "long" if value == Value::I64(-2) => Some(-2),
                "unsignedbyte" => Some(254),
                "unsignedshort" => Some(65_534),
                "unsignedint" => Some(4_294_967_294),
                _ => None,
            };
            assert_eq!(value.integer(), number, "{value:?}");
            assert_eq!(value.text().is_some(), value.type_name() == "longstr");
        }
        assert_eq!(Value::U64(i64::MAX as u64).integer(), Some(i64::MAX));
        assert_eq!(Value::U64(i64::MAX as u64 + 1).integer(), None);
    }

    #[test]
    fn the_first_of_equal_keys_is_found() {
        let table = Table::new(b"\x01aB\x01\x01bV\x01aB\x02\x00V").unwrap();
        assert_eq!(table.find(b"a"), Some(Value::U8(1)));
        assert_eq!(table.find(b"b"), Some(Value::Void));
        assert_eq!(table.find(b""), Some(Value::Void));
        assert_eq!(table.find(b"c"), None);
        assert_eq!(table.iter().count(), 4);
        assert!(Table::EMPTY.is_empty() && Table::EMPTY.find(b"").is_none());
        assert!(Array::EMPTY.is_empty() && Array::EMPTY.iter().next().is_none());
        assert_eq!(Table::new(b""), Ok(Table::default()));
    }

    #[test]
    fn malformed_tables_are_syntax_errors() {
        for (bytes, why) in [
            (b"\x01".as_slice(), "a field runs past the end"),
            (b"\x01k", "a field runs past the end"),
            (b"\x01kS\x00\x00\x00\x02a", "a field runs past the end"),
            (b"\x01kS\xff\xff\xff\xffa", "a field runs past the end"),
            (b"\x01kF\x00\x00\x00\x01\x01", "a field runs past the end"),
            (b"\x01kA\x00\x00\x00\x02F\x00", "a field runs past the end"),
            (b"\x01kA\x00\x00\x00\x01?", "unknown field type 63"),
            (b"\x01k\x00", "unknown field type 0"),
        ] {
            let error = Table::new(bytes).unwrap_err();
            assert_eq!((error.code, error.level), (ReplyCode::SyntaxError, Level::Connection));
            assert_eq!(error.text, format!("SYNTAX_ERROR - malformed table: {why}"));
        }
        assert!(Array::new(b"S\x00").is_err());
        let known = |octet: &u8| Array::new(&[*octet, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok();
        let known_octets: Vec<u8> = (0..=255).filter(known).collect();
        // Those of eight bytes; the others leave zeros over, which are no type.
        assert_eq!(known_octets, *b"LTdl");
    }

    #[test]
    fn every_truncation_of_a_table_is_an_error_but_between_entries() {
        let mut random = Random::new(5);
        for _ in 0..200 {
            let bytes = Tree::random_map(&mut random, 3).spell();
            let table = Table::new(&bytes).unwrap();
            let mut entries = table.iter();
            let mut ends = vec![0];
            while entries.next().is_some() {
                ends.push(bytes.len() - entries.bytes_left());
            }
            for length in 0..=bytes.len() {
                assert_eq!(Table::new(&bytes[..length]).is_ok(), ends.contains(&length));
            }
        }
    }

    #[test]
    fn the_twin_spells_builds_and_reads_the_same() {
        let mut random = Random::new(6);
        for _ in 0..5_000 {
            let tree = Tree::random_map(&mut random, 4);
            let bytes = tree.spell();
            let table = Table::new(&bytes).unwrap();
            tree.assert_is(Value::Table(table));
            assert_eq!(tree.build().value(), Value::Table(table));
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        for (kind, key) in [(b'F', b"\x00".as_slice()), (b'A', b"")] {
            let nested = |levels: usize| {
                (1..levels).fold(Vec::new(), |inner, _| {
                    let bytes = u32::try_from(inner.len()).unwrap().to_be_bytes();
                    [key, &[kind], &bytes, &inner].concat()
                })
            };
            let check = |bytes: &[u8]| match kind {
                b'F' => Table::new(bytes).map(|_| ()),
                _ => Array::new(bytes).map(|_| ()),
            };
            // As deep as a frame allows: what follows them has no place on the stack either.
            let deep = nested(5_000);
            assert_eq!(check(&deep), Ok(()));
            let cut = &deep[..deep.len() - 1];
            assert_eq!(check(cut).unwrap_err().code, ReplyCode::SyntaxError);
            let shown = match kind {
                b'F' => Value::Table(Table::new(&deep).unwrap()).to_string(),
                _ => Value::Array(Array::new(&deep).unwrap()).to_string(),
            };
            assert_eq!(shown.matches('[').count(), 5_000);
            assert_eq!(shown.matches(']').count(), 5_000);
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Random::new(7);
        let mut decoded = 0;
        for _ in 0..50_000 {
            let valid = Tree::random_map(&mut random, 3).spell();
            let bytes = random.spoil(&valid);
            if let Ok(table) = Table::new(&bytes) {
                decoded += 1;
                assert!(!Value::Table(table).to_string().is_empty());
                let mut copy = TableBuf::new();
                table.iter().for_each(|(key, value)| copy.put(key, value));
                let booleans_aside = copy.table().as_bytes().len();
                assert_eq!(booleans_aside, bytes.len());
            }
            if let Ok(array) = Array::new(&random.bytes(24)) {
                assert_eq!(array.is_empty(), array.iter().next().is_none());
            }
        }
        assert!(decoded > 1_000, "{decoded}");
    }
}
