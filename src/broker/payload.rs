//! Reading what this broker wrote into its definitions log: tables whose fields must be there.
//!
//! A definition that cannot be read is damage, reported by whoever opens the log and never guessed
//! at. Imports `amqp`.

use std::fmt;

use crate::amqp::{Array, Table, Value};

/// A definition that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The field that is missing or of the wrong type.
    pub field: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field '{}' is missing or of the wrong type", self.field)
    }
}

impl std::error::Error for Unreadable {}

/// The bytes of a long string field.
///
/// # Errors
/// When it is missing or something else.
pub fn bytes<'a>(table: Table<'a>, field: &'static str) -> Result<&'a [u8], Unreadable> {
    table.find(field.as_bytes()).and_then(|value| value.text()).ok_or(Unreadable { field })
}

/// A long string field that is UTF-8.
///
/// # Errors
/// When it is missing or something else.
pub fn text<'a>(table: Table<'a>, field: &'static str) -> Result<&'a str, Unreadable> {
    std::str::from_utf8(bytes(table, field)?).map_err(|_| Unreadable { field })
}

/// An integer field.
///
/// # Errors
/// When it is missing or something else.
pub fn integer(table: Table<'_>, field: &'static str) -> Result<i64, Unreadable> {
    table.find(field.as_bytes()).and_then(|value| value.integer()).ok_or(Unreadable { field })
}

/// A bool field.
///
/// # Errors
/// When it is missing or something else.
pub fn flag(table: Table<'_>, field: &'static str) -> Result<bool, Unreadable> {
    match table.find(field.as_bytes()) {
        Some(Value::Bool(value)) => Ok(value),
        Some(_) | None => Err(Unreadable { field }),
    }
}

/// An array field.
///
/// # Errors
/// When it is missing or something else.
pub fn array<'a>(table: Table<'a>, field: &'static str) -> Result<Array<'a>, Unreadable> {
    match table.find(field.as_bytes()) {
        Some(Value::Array(value)) => Ok(value),
        Some(_) | None => Err(Unreadable { field }),
    }
}

/// A table field.
///
/// # Errors
/// When it is missing or something else.
pub fn table<'a>(table: Table<'a>, field: &'static str) -> Result<Table<'a>, Unreadable> {
    match table.find(field.as_bytes()) {
        Some(Value::Table(value)) => Ok(value),
        Some(_) | None => Err(Unreadable { field }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{ArrayBuf, TableBuf};

    #[test]
    fn fields_are_read_when_they_are_there_and_of_their_type() {
        let mut buf = TableBuf::new();
        buf.put_str(b"s", "text");
        buf.put_i64(b"i", 5);
        buf.put(b"f", Value::Bool(true));
        buf.put(b"x", Value::LongString(b"\xff"));
        buf.put(b"a", Value::Array(ArrayBuf::new().array()));
        buf.put(b"t", Value::Table(Table::EMPTY));
        let t = buf.table();
        assert_eq!(text(t, "s"), Ok("text"));
        assert_eq!(text(t, "x"), Err(Unreadable { field: "x" }));
        assert_eq!(bytes(t, "x"), Ok(&b"\xff"[..]));
        assert_eq!(integer(t, "i"), Ok(5));
        assert_eq!(integer(t, "s"), Err(Unreadable { field: "s" }));
        assert_eq!(flag(t, "f"), Ok(true));
        assert!(array(t, "a").is_ok() && array(t, "t").is_err());
        assert!(table(t, "t").is_ok() && table(t, "a").is_err());
        let missing = flag(t, "gone").unwrap_err();
        assert_eq!(missing.to_string(), "field 'gone' is missing or of the wrong type");
    }
}
