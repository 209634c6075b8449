//! When are two values of AMQP the same?
//!
//! Arguments that are declared again, and headers that a binding asks for. Imports `amqp`.

use std::hash::{BuildHasher, Hash, Hasher};

use crate::amqp::{ArrayIter, TableIter, Value};

/// Whether the two are of the same kind and value. Integers of every width are one kind, so are
/// the two floats, and so are long strings and bytes: clients differ in which they send.
pub fn same_value(a: Value<'_>, b: Value<'_>) -> bool {
    // Tables and arrays may be as deep as a frame allows, so they are not compared on the stack.
    let mut open = Vec::new();
    if !begins_alike(a, b, &mut open) {
        return false;
    }
    while let Some(innermost) = open.last_mut() {
        let both = match innermost {
            Pair::Arrays(a, b) => (a.next().map(|v| (None, v)), b.next().map(|v| (None, v))),
            Pair::Tables(a, b) => {
                (a.next().map(|(k, v)| (Some(k), v)), b.next().map(|(k, v)| (Some(k), v)))
            }
        };
        match both {
            (None, None) => drop(open.pop()),
            (Some((a_key, a)), Some((b_key, b)))
                if a_key == b_key && begins_alike(a, b, &mut open) => {}
            (Some(_) | None, _) => return false,
        }
    }
    true
}

/// Two arrays or tables of which the beginnings are the same.
enum Pair<'a, 'b> {
    Arrays(ArrayIter<'a>, ArrayIter<'b>),
    Tables(TableIter<'a>, TableIter<'b>),
}

/// Whether the two are the same, or may be: then what is in them is still to be compared.
fn begins_alike<'a, 'b>(a: Value<'a>, b: Value<'b>, open: &mut Vec<Pair<'a, 'b>>) -> bool {
    if let (Some(a), Some(b)) = (a.integer(), b.integer()) {
        return a == b;
    }
    match (float(a), float(b)) {
        (Some(a), Some(b)) => return a == b,
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => return false,
    }
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            open.push(Pair::Arrays(a.iter(), b.iter()));
            true
        }
        (Value::Table(a), Value::Table(b)) => {
            open.push(Pair::Tables(a.iter(), b.iter()));
            true
        }
        (Value::LongString(a) | Value::Bytes(a), Value::LongString(b) | Value::Bytes(b)) => a == b,
        (a, b) => a == b,
    }
}

/// Whether a header has the value that a binding asks for: numbers of every kind by what they are
/// worth, as in RabbitMQ, and everything else as [`same_value`] says.
pub fn matches_value(wanted: Value<'_>, value: Value<'_>) -> bool {
    match (number(wanted), number(value)) {
        (Some(wanted), Some(value)) => wanted == value,
        (None, None) => same_value(wanted, value),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A number in a form in which all kinds can be compared.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i128),
    Fraction(f64),
}

impl PartialEq for Number {
    #[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "as Erlang compares them")]
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Number::Whole(a), Number::Whole(b)) => a == b,
            (Number::Fraction(a), Number::Fraction(b)) => a == b,
            (Number::Whole(whole), Number::Fraction(fraction))
            | (Number::Fraction(fraction), Number::Whole(whole)) => whole as f64 == fraction,
        }
    }
}

impl Number {
    /// The same for numbers that are equal.
    #[allow(clippy::cast_precision_loss, reason = "what differs by less is compared as well")]
    fn as_float(self) -> f64 {
        let float = match self {
            Number::Whole(whole) => whole as f64,
            Number::Fraction(fraction) => fraction,
        };
        // There are two zeros, which are equal.
        float + 0.0
    }
}

fn number(value: Value<'_>) -> Option<Number> {
    if let Value::U64(value) | Value::Timestamp(value) = value {
        return Some(Number::Whole(i128::from(value)));
    }
    let whole = value.integer().map(|value| Number::Whole(i128::from(value)));
    whole.or_else(|| value.fraction().map(Number::Fraction))
}

fn float(value: Value<'_>) -> Option<f64> {
    if let Value::F32(value) = value {
        Some(f64::from(value))
    } else if let Value::F64(value) = value {
        Some(value)
    } else {
        None
    }
}

/// A hash that values share which [`matches_value`] holds for the same; `None` for values that are
/// not hashed.
pub fn hash_value(value: Value<'_>, build: &impl BuildHasher) -> Option<u64> {
    let mut hasher = build.build_hasher();
    if let Some(number) = number(value) {
        number.as_float().to_bits().hash(&mut hasher);
        return Some(hasher.finish());
    }
    if let Value::LongString(text) | Value::Bytes(text) = value {
        text.hash(&mut hasher);
    } else if let Value::Bool(flag) = value {
        flag.hash(&mut hasher);
    } else {
        return None;
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{ArrayBuf, TableBuf};

    fn text(text: &str) -> Value<'_> {
        Value::LongString(text.as_bytes())
    }

    fn table(fields: &[(&str, Value<'_>)]) -> TableBuf {
        let mut table = TableBuf::new();
        for (name, value) in fields {
            table.put(name.as_bytes(), *value);
        }
        table
    }

    #[test]
    fn what_matches_has_the_same_hash() {
        let build = foldhash::quality::FixedState::default();
        let leaves = [
            Value::Bool(true),
            Value::Bool(false),
            Value::I8(0),
            Value::F64(-0.0),
            Value::F32(0.0),
            Value::U8(1),
            Value::I64(1),
            Value::Timestamp(1),
            Value::Decimal { scale: 1, value: 10 },
            Value::F64(1.5),
            Value::Decimal { scale: 1, value: 15 },
            Value::I64((1 << 53) + 1),
            Value::I64(1 << 53),
            Value::F64(9_007_199_254_740_992.0),
            Value::U64(u64::MAX),
            Value::F64(18_446_744_073_709_551_615.0),
            Value::F64(f64::NAN),
            text("1"),
            Value::Bytes(b"1"),
            text(""),
        ];
        let mut pairs = 0;
        for a in leaves {
            for b in leaves {
                if matches_value(a, b) {
                    let hash = hash_value(a, &build);
                    assert!(hash.is_some() && hash == hash_value(b, &build), "{a:?} {b:?}");
                    pairs += 1;
                }
            }
        }
        assert!(pairs > leaves.len(), "some match that are not the same");
        assert_eq!(hash_value(Value::Void, &build), None);
    }

    #[test]
    fn very_deep_values_are_compared_too() {
        let nested = |innermost: Value<'_>| {
            let mut array = ArrayBuf::new();
            array.push(innermost);
            for _ in 0..5_000 {
                let mut outer = ArrayBuf::new();
                outer.push(Value::Array(array.array()));
                array = outer;
            }
            array
        };
        let (one, same, other) =
            (nested(Value::I8(1)), nested(Value::I64(1)), nested(Value::I8(2)));
        fn value(array: &ArrayBuf) -> Value<'_> {
            Value::Array(array.array())
        }
        assert!(same_value(value(&one), value(&same)));
        assert!(!same_value(value(&one), value(&other)));
    }

    #[test]
    fn arrays_and_tables_are_compared_element_by_element() {
        let array = |values: &[Value<'_>]| {
            let mut array = ArrayBuf::new();
            values.iter().for_each(|value| array.push(*value));
            array
        };
        let (a, b) = (array(&[Value::I32(1), text("x")]), array(&[Value::I64(1), text("x")]));
        assert!(same_value(Value::Array(a.array()), Value::Array(b.array())));
        let shorter = array(&[Value::I32(1)]);
        assert!(!same_value(Value::Array(a.array()), Value::Array(shorter.array())));
        assert!(!same_value(Value::Array(shorter.array()), Value::Array(a.array())));
        let (c, d) = (table(&[("k", Value::I32(1))]), table(&[("k", Value::I64(1))]));
        let other = table(&[("l", Value::I32(1))]);
        assert!(same_value(Value::Table(c.table()), Value::Table(d.table())));
        assert!(!same_value(Value::Table(c.table()), Value::Table(other.table())));
        assert!(!same_value(Value::Table(c.table()), Value::Array(a.array())));
    }
}
