//! Which types of value may a table or an array hold?
//!
//! The type octets are those that RabbitMQ reads (where they differ from specification 4.2.1, its
//! errata are followed), numbers are big-endian:
//!
//! ```text
//!     t bool      b i8    B u8     s i16   u u16    I i32   i u32    l i64   L u64
//!     f f32       d f64   D decimal (scale u8, value u32)   T timestamp (seconds, u64)
//!     S long string       x bytes          A array          F table         V void
//! ```
//! Reading a value does not look into a table or an array; `table` checks those, to their depth.

use super::table::{Array, ArrayIter, Table, TableIter};
use super::wire::{self, Malformed, Reader};
use std::fmt;

/// A typed value of a table or an array.
///
/// [`Display`](fmt::Display) shows it as RabbitMQ's error texts do: strings and numbers bare,
/// compound values as Erlang terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`: any octet but 0 is true.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`.
    I64(i64),
    /// `L`.
    U64(u64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        value: u32,
    },
    /// `S`: text, or any bytes.
    LongString(&'a [u8]),
    /// `x`: bytes that are no text.
    Bytes(&'a [u8]),
    /// `A`.
    Array(Array<'a>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`.
    Table(Table<'a>),
    /// `V`: there, but nothing.
    Void,
}

impl<'a> Value<'a> {
    /// The number that any of the integer types stands for; `None` for other types and for a `U64`
    /// above `i64::MAX`.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match *self {
            Value::I8(number) => Some(i64::from(number)),
            Value::U8(number) => Some(i64::from(number)),
            Value::I16(number) => Some(i64::from(number)),
            Value::U16(number) => Some(i64::from(number)),
            Value::I32(number) => Some(i64::from(number)),
            Value::U32(number) => Some(i64::from(number)),
            Value::I64(number) => Some(number),
            Value::U64(number) => i64::try_from(number).ok(),
            Value::Bool(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Decimal { .. }
            | Value::LongString(_)
            | Value::Bytes(_)
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Void => None,
        }
    }

    /// Its value, if it is a number with a point: a float or a decimal.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        if let Value::F32(value) = *self {
            Some(f64::from(value))
        } else if let Value::F64(value) = *self {
            Some(value)
        } else if let Value::Decimal { scale, value } = *self {
            Some(f64::from(value) / 10_f64.powi(i32::from(scale)))
        } else {
            None
        }
    }

    /// The bytes of a long string; `None` for other types.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        if let Value::LongString(text) = *self { Some(text) } else { None }
    }

    /// The type's name in RabbitMQ's error texts.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::I8(_) => "byte",
            Value::U8(_) => "unsignedbyte",
            Value::I16(_) => "short",
            Value::U16(_) => "unsignedshort",
            Value::I32(_) => "signedint",
            Value::U32(_) => "unsignedint",
            // RabbitMQ has no unsigned type of 64 bits and reads both as this one.
            Value::I64(_) | Value::U64(_) => "long",
            Value::F32(_) => "float",
            Value::F64(_) => "double",
            Value::Decimal { .. } => "decimal",
            Value::LongString(_) => "longstr",
            Value::Bytes(_) => "binary",
            Value::Array(_) => "array",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Void => "void",
        }
    }

    /// The next value; what is inside of a table or array is for the caller to check.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Value<'a>, Malformed> {
        let value = match reader.octet()? {
            b't' => Value::Bool(reader.octet()? != 0),
            b'b' => Value::I8(i8::from_be_bytes(reader.octets()?)),
            b'B' => Value::U8(reader.octet()?),
            b's' => Value::I16(i16::from_be_bytes(reader.octets()?)),
            b'u' => Value::U16(reader.short()?),
            b'I' => Value::I32(i32::from_be_bytes(reader.octets()?)),
            b'i' => Value::U32(reader.long()?),
            b'l' => Value::I64(i64::from_be_bytes(reader.octets()?)),
            b'L' => Value::U64(reader.long_long()?),
            b'f' => Value::F32(f32::from_be_bytes(reader.octets()?)),
            b'd' => Value::F64(f64::from_be_bytes(reader.octets()?)),
            b'D' => Value::Decimal { scale: reader.octet()?, value: reader.long()? },
            b'S' => Value::LongString(reader.long_string()?),
            b'x' => Value::Bytes(reader.long_string()?),
            b'A' => Value::Array(Array::trusted(reader.long_string()?)),
            b'T' => Value::Timestamp(reader.long_long()?),
            b'F' => Value::Table(Table::trusted(reader.long_string()?)),
            b'V' => Value::Void,
            octet => return Err(Malformed::UnknownType(octet)),
        };
        Ok(value)
    }

    /// Appends type octet and value.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.type_octet());
        match *self {
            Value::Bool(value) => out.push(u8::from(value)),
            Value::I8(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::U8(value) => out.push(value),
            Value::I16(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::U16(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::I64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::U64(value) | Value::Timestamp(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Value::F32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::F64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::Decimal { scale, value } => {
                out.push(scale);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Value::LongString(bytes) | Value::Bytes(bytes) => wire::put_long_string(out, bytes),
            Value::Array(array) => wire::put_long_string(out, array.as_bytes()),
            Value::Table(table) => wire::put_long_string(out, table.as_bytes()),
            Value::Void => {}
        }
    }

    const fn type_octet(&self) -> u8 {
        match self {
            Value::Bool(_) => b't',
            Value::I8(_) => b'b',
            Value::U8(_) => b'B',
            Value::I16(_) => b's',
            Value::U16(_) => b'u',
            Value::I32(_) => b'I',
            Value::U32(_) => b'i',
            Value::I64(_) => b'l',
            Value::U64(_) => b'L',
            Value::F32(_) => b'f',
            Value::F64(_) => b'd',
            Value::Decimal { .. } => b'D',
            Value::LongString(_) => b'S',
            Value::Bytes(_) => b'x',
            Value::Array(_) => b'A',
            Value::Timestamp(_) => b'T',
            Value::Table(_) => b'F',
            Value::Void => b'V',
        }
    }

    /// As an Erlang term, for where it is inside of another one.
    fn write_term(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::LongString(bytes) | Value::Bytes(bytes) => write_binary(bytes, f),
            Value::Bool(_)
            | Value::I8(_)
            | Value::U8(_)
            | Value::I16(_)
            | Value::U16(_)
            | Value::I32(_)
            | Value::U32(_)
            | Value::I64(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Decimal { .. }
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Void => write!(f, "{self}"),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::I8(value) => write!(f, "{value}"),
            Value::U8(value) => write!(f, "{value}"),
            Value::I16(value) => write!(f, "{value}"),
            Value::U16(value) => write!(f, "{value}"),
            Value::I32(value) => write!(f, "{value}"),
            Value::U32(value) => write!(f, "{value}"),
            Value::I64(value) => write!(f, "{value}"),
            Value::U64(value) | Value::Timestamp(value) => write!(f, "{value}"),
            Value::F32(value) => write!(f, "{value:?}"),
            Value::F64(value) => write!(f, "{value:?}"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::LongString(bytes) | Value::Bytes(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            Value::Array(_) | Value::Table(_) => write_nested(*self, f),
            Value::Void => f.write_str("undefined"),
        }
    }
}

/// The entries of a table or an array that are still to be shown.
enum Open<'a> {
    Array(ArrayIter<'a>),
    Table(TableIter<'a>),
}

impl<'a> Open<'a> {
    fn of(value: Value<'a>) -> Option<Open<'a>> {
        if let Value::Array(array) = value {
            Some(Open::Array(array.iter()))
        } else if let Value::Table(table) = value {
            Some(Open::Table(table.iter()))
        } else {
            None
        }
    }

    fn next(&mut self) -> Option<(Option<&'a [u8]>, Value<'a>)> {
        match self {
            Open::Array(array) => array.next().map(|value| (None, value)),
            Open::Table(table) => table.next().map(|(key, value)| (Some(key), value)),
        }
    }
}

/// A table or an array with all that is in it, however deep: what is open is kept in a list and not
/// on the stack.
fn write_nested(value: Value<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut open: Vec<Open<'_>> = Open::of(value).into_iter().collect();
    f.write_str("[")?;
    let mut is_first = true;
    while let Some(innermost) = open.last_mut() {
        let Some((key, value)) = innermost.next() else {
            open.pop();
            f.write_str(if open.is_empty() { "]" } else { "]}" })?;
            is_first = false;
            continue;
        };
        f.write_str(if is_first { "{" } else { ",{" })?;
        if let Some(key) = key {
            write_binary(key, f)?;
            f.write_str(",")?;
        }
        write!(f, "{},", value.type_name())?;
        if let Some(inner) = Open::of(value) {
            f.write_str("[")?;
            open.push(inner);
            is_first = true;
        } else {
            value.write_term(f)?;
            f.write_str("}")?;
            is_first = false;
        }
    }
    Ok(())
}

fn write_binary(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "<<\"{}\">>", String::from_utf8_lossy(bytes))
}
