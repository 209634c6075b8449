//! Which destinations does a headers exchange send a message to?
//!
//! A binding lists header fields; a message matches when all of them (or any) are among its headers
//! with the same value. Numbers of every kind are compared by value, text and bytes alike; a void
//! one asks for presence only. Imports `amqp`.

use std::collections::BTreeMap;

use crate::amqp::{AmqpError, ArrayIter, ReplyCode, Table, TableBuf, TableIter, Value};
use crate::broker::exchange::binding::Destination;
use crate::broker::term::term;

/// The bindings of a headers exchange.
#[derive(Debug, Default)]
pub struct HeadersMatcher {
    rules: BTreeMap<(Destination, Box<[u8]>), Rule>,
}

impl HeadersMatcher {
    /// A matcher without bindings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the arguments of a binding to be.
    ///
    /// # Errors
    /// 406 when `x-match` is no mode that there is, in RabbitMQ's words.
    pub fn check(arguments: Table<'_>) -> Result<(), AmqpError> {
        Mode::of(arguments).map(|_| ())
    }

    /// Counts a binding of the destination with these arguments, checked before.
    pub fn add(&mut self, destination: Destination, arguments: Table<'_>) {
        self.rules
            .entry((destination, arguments.as_bytes().into()))
            .or_insert_with(|| Rule::of(arguments))
            .bindings += 1;
    }

    /// Counts a binding less; `false` when there was none.
    pub fn remove(&mut self, destination: Destination, arguments: Table<'_>) -> bool {
        let identity = (destination, arguments.as_bytes().into());
        let Some(rule) = self.rules.get_mut(&identity) else {
            return false;
        };
        rule.bindings -= 1;
        if rule.bindings == 0 {
            self.rules.remove(&identity);
        }
        true
    }

    /// Appends the destination of every binding that matches; one with several matching bindings
    /// comes several times. Allocates only for messages with more than `SCAN_MAX` headers.
    pub fn route(&self, headers: Option<Table<'_>>, out: &mut Vec<Destination>) {
        let headers = Headers::of(headers.unwrap_or(Table::EMPTY));
        for ((destination, _), rule) in &self.rules {
            if rule.matches(&headers) {
                out.push(*destination);
            }
        }
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

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
fn matches_value(wanted: Value<'_>, value: Value<'_>) -> bool {
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

#[derive(Debug)]
struct Rule {
    mode: Mode,
    /// The fields that count.
    fields: TableBuf,
    bindings: u32,
}

impl Rule {
    fn of(arguments: Table<'_>) -> Self {
        let mode = Mode::of(arguments).unwrap_or(Mode { all: true, with_x: false });
        let mut fields = TableBuf::new();
        for (name, value) in arguments.iter() {
            if name != X_MATCH && (mode.with_x || !name.starts_with(b"x-")) {
                fields.put(name, value);
            }
        }
        Self { mode, fields, bindings: 0 }
    }

    fn matches(&self, headers: &Headers<'_>) -> bool {
        let mut hits = self.fields.table().iter().map(|(name, wanted)| {
            let value = headers.find(name);
            value.is_some_and(|value| wanted == Value::Void || matches_value(wanted, value))
        });
        if self.mode.all { hits.all(|hit| hit) } else { hits.any(|hit| hit) }
    }
}

/// What `x-match` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    /// All fields must match, else one is enough.
    all: bool,
    /// Fields whose names begin with `x-` count too.
    with_x: bool,
}

impl Mode {
    fn of(arguments: Table<'_>) -> Result<Self, AmqpError> {
        let refuse = |what: &str, expected: &str| {
            let text = format!("Invalid x-match field {what}; expected {expected}");
            Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
        };
        match arguments.find(X_MATCH).map(|value| (value, value.text())) {
            None | Some((_, Some(b"all"))) => Ok(Self { all: true, with_x: false }),
            Some((_, Some(b"any"))) => Ok(Self { all: false, with_x: false }),
            Some((_, Some(b"all-with-x"))) => Ok(Self { all: true, with_x: true }),
            Some((_, Some(b"any-with-x"))) => Ok(Self { all: false, with_x: true }),
            Some((other, Some(_))) => {
                refuse(&format!("value {}", term(other)), "all, any, all-with-x, or any-with-x")
            }
            Some((other, None)) => {
                refuse(&format!("type {} (value {})", other.type_name(), term(other)), "longstr")
            }
        }
    }
}

/// A message's headers, decoded once for the lookups of all bindings.
#[allow(clippy::large_enum_variant, reason = "one, on the stack, for one message")]
enum Headers<'a> {
    /// So many of the array, in the message's order.
    Few([Field<'a>; SCAN_MAX], usize),
    /// Sorted by name: many bindings' fields times many headers would be slow otherwise.
    Many(Vec<Field<'a>>),
}

type Field<'a> = (&'a [u8], Value<'a>);

impl<'a> Headers<'a> {
    fn of(table: Table<'a>) -> Self {
        let mut few: [Field<'a>; SCAN_MAX] = [(b"", Value::Void); SCAN_MAX];
        let mut count = 0;
        for field in table.iter() {
            if count == SCAN_MAX {
                let mut fields: Vec<_> = table.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                fields.dedup_by_key(|(name, _)| *name);
                return Self::Many(fields);
            }
            few[count] = field;
            count += 1;
        }
        Self::Few(few, count)
    }

    fn find(&self, name: &[u8]) -> Option<Value<'a>> {
        match self {
            Self::Few(fields, count) => {
                fields[..*count].iter().find(|field| field.0 == name).map(|field| field.1)
            }
            Self::Many(fields) => {
                let at = fields.binary_search_by_key(&name, |(name, _)| *name).ok()?;
                Some(fields[at].1)
            }
        }
    }
}

const X_MATCH: &[u8] = b"x-match";

/// Up to so many headers are looked through one by one.
const SCAN_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::ArrayBuf;
    use crate::broker::testing::{Seeded, queue};

    type Fields<'a> = [(&'a str, Value<'a>)];

    fn table(fields: &Fields<'_>) -> TableBuf {
        let mut table = TableBuf::new();
        for (name, value) in fields {
            table.put(name.as_bytes(), *value);
        }
        table
    }

    fn text(text: &str) -> Value<'_> {
        Value::LongString(text.as_bytes())
    }

    fn matches(binding: &Fields<'_>, message: &Fields<'_>) -> bool {
        let mut matcher = HeadersMatcher::new();
        matcher.add(queue(1), table(binding).table());
        let mut out = Vec::new();
        matcher.route(Some(table(message).table()), &mut out);
        !out.is_empty()
    }

    #[test]
    fn all_is_the_default_and_any_takes_one() {
        let both = [("a", text("1")), ("b", text("2"))];
        let one = [("b", text("2")), ("c", text("3"))];
        assert!(matches(&both, &both));
        assert!(!matches(&both, &one));
        let any = [("x-match", text("any")), ("a", text("1")), ("b", text("2"))];
        assert!(matches(&any, &one));
        assert!(!matches(&any, &[("a", text("2")), ("b", text("1"))]));
    }

    #[test]
    fn without_fields_all_matches_and_any_does_not() {
        let message = [("a", text("1"))];
        assert!(matches(&[], &message));
        assert!(matches(&[("x-match", text("all"))], &[]));
        assert!(!matches(&[("x-match", text("any"))], &message));
        let mut matcher = HeadersMatcher::new();
        matcher.add(queue(1), Table::EMPTY);
        let mut out = Vec::new();
        matcher.route(None, &mut out);
        assert_eq!(out, [queue(1)], "a message without headers");
    }

    #[test]
    fn fields_that_begin_with_x_count_only_when_asked() {
        let message = [("x-a", text("1"))];
        assert!(matches(&[("x-match", text("all")), ("x-a", text("2"))], &message));
        assert!(!matches(&[("x-match", text("any")), ("x-a", text("1"))], &message));
        assert!(matches(&[("x-match", text("any-with-x")), ("x-a", text("1"))], &message));
        assert!(matches(&[("x-match", text("all-with-x")), ("x-a", text("1"))], &message));
        assert!(!matches(&[("x-match", text("all-with-x")), ("x-a", text("2"))], &message));
    }

    #[test]
    fn numbers_are_compared_by_value_and_the_rest_with_its_type() {
        let one = |wanted, value| matches(&[("a", wanted)], &[("a", value)]);
        assert!(one(Value::I32(5), Value::I64(5)));
        assert!(one(Value::U8(5), Value::I16(5)));
        assert!(!one(Value::I32(5), Value::I32(6)));
        assert!(!one(Value::I32(5), text("5")));
        assert!(!one(Value::I32(1), Value::Bool(true)));
        assert!(one(Value::I32(1), Value::F64(1.0)));
        assert!(!one(Value::I32(1), Value::F32(1.5)));
        assert!(one(Value::I64(5), Value::Timestamp(5)));
        assert!(one(Value::Decimal { scale: 2, value: 150 }, Value::F64(1.5)));
        assert!(one(Value::Decimal { scale: 1, value: 50 }, Value::U8(5)));
        assert!(!one(Value::U64(u64::MAX), Value::I64(i64::MAX)));
        assert!(one(Value::F32(0.5), Value::F64(0.5)));
        assert!(one(text("a"), Value::Bytes(b"a")));
        assert!(one(Value::Void, text("anything")));
        assert!(one(Value::Void, Value::Void));
        assert!(!one(text("a"), Value::Void));
        assert!(!matches(&[("a", Value::Void)], &[("b", text("1"))]));
        assert!(one(Value::U64(u64::MAX), Value::U64(u64::MAX)));
        assert!(!one(Value::U64(u64::MAX), Value::I64(-1)));
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

    #[test]
    fn an_unknown_mode_is_refused_in_rabbitmqs_words() {
        let refusal =
            |value| HeadersMatcher::check(table(&[("x-match", value)]).table()).unwrap_err().text;
        assert_eq!(
            refusal(text("some")),
            "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; \
             expected all, any, all-with-x, or any-with-x"
        );
        assert_eq!(
            refusal(Value::I32(1)),
            "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); \
             expected longstr"
        );
        assert!(HeadersMatcher::check(table(&[("x-match", text("any"))]).table()).is_ok());
        assert!(HeadersMatcher::check(Table::EMPTY).is_ok());
    }

    #[test]
    fn a_binding_counts_until_it_was_removed_as_often_as_added() {
        let mut matcher = HeadersMatcher::new();
        let arguments = table(&[("a", text("1"))]);
        matcher.add(queue(1), arguments.table());
        matcher.add(queue(1), arguments.table());
        assert!(matcher.remove(queue(1), arguments.table()));
        let mut out = Vec::new();
        matcher.route(Some(arguments.table()), &mut out);
        assert_eq!(out, [queue(1)]);
        assert!(matcher.remove(queue(1), arguments.table()));
        assert!(!matcher.remove(queue(1), arguments.table()));
        assert!(matcher.is_empty());
    }

    #[test]
    fn any_bindings_route_as_a_naive_twin_does_also_with_many_headers() {
        let mut random = Seeded::new(5);
        let names: Vec<String> = (0..60).map(|n| format!("h{n}")).collect();
        for _ in 0..300 {
            let mut fields = |most: usize| -> Vec<(&str, Value<'static>)> {
                (0..random.below(most + 1))
                    .map(|_| {
                        let value = [Value::I32(1), Value::I64(1), Value::Bool(true), Value::Void]
                            [random.below(4)];
                        (names[random.below(names.len())].as_str(), value)
                    })
                    .collect()
            };
            let binding = fields(3);
            let message = fields(80);
            let first = |name: &str| message.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let hit = |(name, wanted): &(&str, Value<'_>)| {
                first(name).is_some_and(|v| *wanted == Value::Void || same_value(*wanted, v))
            };
            assert_eq!(matches(&binding, &message), binding.iter().all(hit));
            let mut any = vec![("x-match", text("any"))];
            any.extend(&binding);
            assert_eq!(matches(&any, &message), binding.iter().any(hit));
        }
    }
}
