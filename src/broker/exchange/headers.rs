//! Which destinations does a headers exchange send a message to?
//!
//! A binding lists header fields; a message matches when all of them (or any) are among its headers
//! with the same value. Numbers of every kind are compared by value, text and bytes alike; a void
//! one asks for presence only. Imports `amqp`.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use slab::Slab;

use crate::amqp::{AmqpError, ReplyCode, Table, TableBuf, Value};
use crate::broker::exchange::binding::Destination;
use crate::broker::exchange::values::{hash_value, matches_value};
use crate::broker::term::term;

/// The bindings of a headers exchange.
///
/// A message is compared with those only that one of its headers leads to:
/// 1. A rule that wants all its fields stands in the index by one of them, a rule that wants any
///    by each, and a rule that wants all of none in `always`.
/// 2. A field stands there by its name and its value, or by its name alone where its value is not
///    hashed (lists, tables) or does not count (a void one).
#[derive(Debug, Default)]
pub struct HeadersMatcher {
    slots: BTreeMap<(Destination, Box<[u8]>), Slot>,
    rules: Slab<Rule>,
    index: BTreeSet<Mark>,
    /// How many marks are by the name alone.
    named: usize,
    always: BTreeSet<Slot>,
    hasher: RandomState,
}

/// A rule's place in the slab.
type Slot = usize;

/// A field's hash, the rule that it is of, and where in the rule's fields it stands.
type Mark = (u64, Slot, u32);

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
        let identity = (destination, arguments.as_bytes().into());
        if let Some(&slot) = self.slots.get(&identity) {
            self.rules[slot].bindings += 1;
            return;
        }
        let slot = self.rules.insert(Rule::of(destination, arguments));
        self.slots.insert(identity, slot);
        self.enter(slot);
    }

    /// Puts a new rule where messages find it.
    fn enter(&mut self, slot: Slot) {
        let rule = &self.rules[slot];
        let mut marks: Vec<_> = rule.marks(slot, &self.hasher).collect();
        if rule.mode.all {
            if marks.is_empty() {
                self.always.insert(slot);
            }
            // The one that it shares with the fewest, as far as that is worth counting.
            let crowd = |mark: &(Mark, bool)| self.marked(mark.0.0).take(CROWD).count();
            marks = marks.into_iter().min_by_key(crowd).into_iter().collect();
        }
        for (mark, named) in marks {
            self.index.insert(mark);
            self.named += usize::from(named);
        }
    }

    /// Counts a binding less; `false` when there was none.
    pub fn remove(&mut self, destination: Destination, arguments: Table<'_>) -> bool {
        let identity = (destination, arguments.as_bytes().into());
        let Some(&slot) = self.slots.get(&identity) else {
            return false;
        };
        self.rules[slot].bindings -= 1;
        if self.rules[slot].bindings == 0 {
            self.slots.remove(&identity);
            self.always.remove(&slot);
            let rule = self.rules.remove(slot);
            for (mark, named) in rule.marks(slot, &self.hasher) {
                self.named -= usize::from(self.index.remove(&mark) && named);
            }
        }
        true
    }

    /// Appends the destination of every binding that matches; one with several matching bindings
    /// or fields comes several times. How many headers and bindings were looked at. Allocates only
    /// for messages with more than `SCAN_MAX` headers.
    pub fn route(&self, headers: Option<Table<'_>>, out: &mut Vec<Destination>) -> usize {
        out.extend(self.always.iter().map(|&slot| self.rules[slot].destination));
        if self.index.is_empty() {
            return 0;
        }
        let headers = Headers::of(headers.unwrap_or(Table::EMPTY));
        let mut looked_at = headers.fields().len();
        for &header in headers.fields() {
            if let Some(hash) = hash_field(header, &self.hasher) {
                looked_at += self.follow(hash, header, &headers, out);
            }
            if self.named > 0 {
                let hash = hash_name(header.0, &self.hasher);
                looked_at += self.follow(hash, header, &headers, out);
            }
        }
        looked_at
    }

    /// Compares the message with those rules that one of its headers leads to; how many they were.
    fn follow(
        &self,
        hash: u64,
        header: Field<'_>,
        headers: &Headers<'_>,
        out: &mut Vec<Destination>,
    ) -> usize {
        let mut compared = 0;
        for &(_, slot, place) in self.marked(hash) {
            compared += 1;
            let rule = &self.rules[slot];
            if rule.wants(place, header) && (!rule.mode.all || rule.matches(headers)) {
                out.push(rule.destination);
            }
        }
        compared
    }

    fn marked(&self, hash: u64) -> impl Iterator<Item = &Mark> {
        self.index.range((hash, 0, 0)..=(hash, Slot::MAX, u32::MAX))
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// The hash of a field by which only the same one is found; `None` where only its name can be.
fn hash_field((name, value): Field<'_>, build: &RandomState) -> Option<u64> {
    let value = hash_value(value, build)?;
    Some(build.hash_one((name, value)))
}

fn hash_name(name: &[u8], build: &RandomState) -> u64 {
    build.hash_one(name)
}

#[derive(Debug)]
struct Rule {
    destination: Destination,
    mode: Mode,
    /// The fields that count.
    fields: TableBuf,
    bindings: u32,
}

impl Rule {
    fn of(destination: Destination, arguments: Table<'_>) -> Self {
        let mode = Mode::of(arguments).unwrap_or(Mode { all: true, with_x: false });
        let mut fields = TableBuf::new();
        for (name, value) in arguments.iter() {
            if name != X_MATCH && (mode.with_x || !name.starts_with(b"x-")) {
                fields.put(name, value);
            }
        }
        Self { destination, mode, fields, bindings: 1 }
    }

    /// The marks of all fields, and whether each is by the name alone.
    fn marks(&self, slot: Slot, build: &RandomState) -> impl Iterator<Item = (Mark, bool)> {
        let mut fields = self.fields.table().iter();
        std::iter::from_fn(move || {
            let place = u32::try_from(fields.bytes_left()).expect("a frame is shorter");
            let field = fields.next()?;
            let exact = hash_field(field, build);
            let hash = exact.unwrap_or_else(|| hash_name(field.0, build));
            Some(((hash, slot, place), exact.is_none()))
        })
    }

    /// Whether a header is what the field at this place wants.
    fn wants(&self, place: u32, (name, value): Field<'_>) -> bool {
        let field = self.fields.table().iter_from(place as usize).next();
        field.is_some_and(|(wanted_name, wanted)| {
            wanted_name == name && (wanted == Value::Void || matches_value(wanted, value))
        })
    }

    /// Whether all fields are among the headers.
    fn matches(&self, headers: &Headers<'_>) -> bool {
        self.fields.table().iter().all(|(name, wanted)| {
            let value = headers.find(name);
            value.is_some_and(|value| wanted == Value::Void || matches_value(wanted, value))
        })
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
    /// Of headers with the same name, the first one counts.
    fn of(table: Table<'a>) -> Self {
        let mut few: [Field<'a>; SCAN_MAX] = [(b"", Value::Void); SCAN_MAX];
        let mut count = 0;
        for field in table.iter() {
            if few[..count].iter().any(|(name, _)| *name == field.0) {
                continue;
            }
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

    fn fields(&self) -> &[Field<'a>] {
        match self {
            Self::Few(fields, count) => &fields[..*count],
            Self::Many(fields) => fields,
        }
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

/// A field that so many rules have says little; more of them are not counted.
const CROWD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
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

    type Owned = Vec<(String, Value<'static>)>;

    /// Values that are equal in other kinds, and all that is not hashed.
    const VALUES: [Value<'static>; 12] = [
        Value::I32(1),
        Value::I64(1),
        Value::F64(1.0),
        Value::F64(-0.0),
        Value::U8(0),
        Value::Bool(true),
        Value::Bool(false),
        Value::LongString(b"1"),
        Value::Bytes(b"1"),
        Value::Array(crate::amqp::Array::EMPTY),
        Value::Table(Table::EMPTY),
        Value::Void,
    ];

    fn random_fields(random: &mut Seeded, names: usize, most: usize) -> Owned {
        (0..random.below(most + 1))
            .map(|_| (format!("h{}", random.below(names)), VALUES[random.below(VALUES.len())]))
            .collect()
    }

    fn borrowed(fields: &Owned) -> TableBuf {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        table(&fields)
    }

    /// The slow obvious twin.
    fn is_hit(binding: &Owned, message: &Owned) -> bool {
        let first = |name: &str| message.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        let mut hits =
            binding.iter().filter(|(name, _)| name != "x-match").map(|(name, wanted)| {
                first(name).is_some_and(|v| *wanted == Value::Void || matches_value(*wanted, v))
            });
        let any = binding.iter().any(|(name, _)| name == "x-match");
        if any { hits.any(|hit| hit) } else { hits.all(|hit| hit) }
    }

    #[test]
    fn any_bindings_route_as_a_naive_twin_does_whatever_came_and_went() {
        for seed in 0..60 {
            let mut random = Seeded::new(seed);
            let names = 1 + random.below(40);
            let mut matcher = HeadersMatcher::new();
            let mut bound: Vec<(u32, Owned)> = Vec::new();
            for number in 0..200 {
                let mut binding = random_fields(&mut random, names, 3);
                if random.below(2) == 0 {
                    binding.push(("x-match".into(), text("any")));
                }
                matcher.add(queue(number), borrowed(&binding).table());
                bound.push((number, binding));
                if random.below(3) == 0 {
                    let (number, gone) = bound.swap_remove(random.below(bound.len()));
                    assert!(matcher.remove(queue(number), borrowed(&gone).table()));
                }
                // Also more headers than are looked through one by one.
                let most = if random.below(4) == 0 { 80 } else { 5 };
                let message = random_fields(&mut random, names, most);
                let mut out = Vec::new();
                matcher.route(Some(borrowed(&message).table()), &mut out);
                out.sort_unstable();
                out.dedup();
                let hits = bound.iter().filter(|(_, binding)| is_hit(binding, &message));
                let mut expected: Vec<_> = hits.map(|(number, _)| queue(*number)).collect();
                expected.sort_unstable();
                assert_eq!(out, expected, "seed {seed}: {message:?}");
            }
            for (number, binding) in bound.drain(..) {
                assert!(matcher.remove(queue(number), borrowed(&binding).table()));
            }
            assert!(matcher.is_empty() && matcher.index.is_empty() && matcher.always.is_empty());
            assert_eq!(matcher.named, 0);
        }
    }

    /// What all bindings have in common finds none of them.
    #[test]
    fn a_message_is_compared_only_with_bindings_that_it_may_match() {
        let mut matcher = HeadersMatcher::new();
        let kind = ("kind", text("order"));
        for number in 0..1000 {
            matcher.add(queue(number), table(&[kind, ("id", Value::U32(number))]).table());
        }
        let hash = hash_field((b"kind", kind.1), &matcher.hasher).expect("text is hashed");
        assert!(matcher.marked(hash).count() <= CROWD);
        let mut out = Vec::new();
        let message = table(&[kind, ("id", Value::I64(7))]);
        let looked_at = matcher.route(Some(message.table()), &mut out);
        assert!(looked_at <= 3 + CROWD, "{looked_at}");
        assert_eq!(out, [queue(7)]);
    }
}
