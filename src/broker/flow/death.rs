//! What do the headers of a dead-lettered message say?
//!
//! `x-death`, `x-first-death-*` and `x-last-death-*` as RabbitMQ writes them
//! (<https://www.rabbitmq.com/docs/dlx>), and what they tell about cycles. Imports `amqp`.

use crate::amqp::{Array, ArrayBuf, PropertyList, Table, TableBuf, Value};
use crate::broker::flow::blind;
use crate::broker::topology::sender_keys::{BCC, CC, open_keys};

/// Why a message left its queue without being acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A consumer rejected it without requeueing.
    Rejected,
    /// Its time to live was over.
    Expired,
    /// The queue was too long.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}

/// One death of a message.
#[derive(Debug, Clone, Copy)]
pub struct Death<'a> {
    /// The queue that it died in.
    pub queue: &'a [u8],
    /// Why.
    pub reason: Reason,
    /// When, in seconds since 1970.
    pub time_s: u64,
    /// The exchange that it had been published to.
    pub exchange: &'a [u8],
    /// The routing key that it had been published with.
    pub routing_key: &'a [u8],
    /// The dead-letter routing key replaces the original ones, CC included.
    pub rerouted: bool,
}

impl Reason {
    /// Its name in the headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The property bytes of a message after this death: headers rewritten, expiration removed.
pub fn properties_after(properties: &PropertyList<'_>, death: &Death<'_>) -> Vec<u8> {
    let before = properties.headers.unwrap_or(Table::EMPTY);
    let first = deaths_in(before).next().is_none();
    let deaths = deaths_after(before, properties.expiration, death);
    let mut headers = TableBuf::from(before);
    headers.set(b"x-death", Value::Array(deaths.array()));
    let (reason, queue) = (death.reason.name().as_bytes(), death.queue);
    let parts = [("reason", reason), ("queue", queue), ("exchange", death.exchange)];
    for (part, value) in parts {
        if first {
            let name = format!("x-first-death-{part}");
            headers.set(name.as_bytes(), Value::LongString(value));
        }
        let name = format!("x-last-death-{part}");
        headers.set(name.as_bytes(), Value::LongString(value));
    }
    if death.rerouted {
        headers.remove(CC);
        headers.remove(BCC);
    }
    blind::stored(&PropertyList { headers: Some(headers.table()), expiration: None, ..*properties })
}

/// Whether a message with these headers, which just died for `reason`, went round in a circle
/// without ever being rejected when it comes to `queue` again.
pub fn is_cycle(headers: Table<'_>, reason: Reason, queue: &[u8]) -> bool {
    if reason == Reason::Rejected {
        return false;
    }
    for death in deaths_in(headers) {
        if text(death, b"reason") == Some(b"rejected") {
            return false;
        }
        if text(death, b"queue") == Some(queue) {
            return true;
        }
    }
    false
}

/// Where a dead letter was before its first death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The queue that it died in.
    pub queue: &'a [u8],
    /// The exchange that it had been published to.
    pub exchange: &'a [u8],
    /// The routing key that it had been published with, if `x-death` still says so.
    pub routing_key: Option<&'a [u8]>,
}

/// Where a message with these headers comes from, if it is a dead letter.
pub fn origin<'a>(headers: Table<'a>) -> Option<Origin<'a>> {
    let queue = text(headers, b"x-first-death-queue")?;
    let exchange = text(headers, b"x-first-death-exchange")?;
    // The oldest death stands last, unless it came again.
    let of_queue = |death: &Table<'a>| {
        text(*death, b"queue") == Some(queue) && text(*death, b"exchange") == Some(exchange)
    };
    let first = deaths_in(headers).filter(of_queue).last();
    let routing_key = first.and_then(|death| match death.find(b"routing-keys") {
        Some(Value::Array(keys)) => keys.iter().next()?.text(),
        _ => None,
    });
    Some(Origin { queue, exchange, routing_key })
}

/// The `x-death` array with this death at its head; an earlier one in the same queue for the
/// same reason is counted up and moved there.
fn deaths_after(before: Table<'_>, expiration: Option<&[u8]>, death: &Death<'_>) -> ArrayBuf {
    let same = |table: Table<'_>| {
        text(table, b"queue") == Some(death.queue)
            && text(table, b"reason") == Some(death.reason.name().as_bytes())
    };
    let mut deaths = ArrayBuf::new();
    match deaths_in(before).find(|table| same(*table)) {
        Some(earlier) => {
            let count = earlier.find(b"count").and_then(|count| count.integer()).unwrap_or(1);
            let mut again = TableBuf::from(earlier);
            again.set(b"count", Value::I64(count.saturating_add(1)));
            deaths.push(Value::Table(again.table()));
        }
        None => deaths.push(Value::Table(first_time(before, expiration, death).table())),
    }
    for table in deaths_in(before).filter(|table| !same(*table)) {
        deaths.push(Value::Table(table));
    }
    deaths
}

/// The deaths that these headers tell of. A client may have written them: what does not say all
/// that a death has is none, as in RabbitMQ.
fn deaths_in(headers: Table<'_>) -> impl Iterator<Item = Table<'_>> {
    let deaths = match headers.find(b"x-death") {
        Some(Value::Array(deaths)) => deaths,
        _ => Array::EMPTY,
    };
    deaths.iter().filter_map(|value| {
        let Value::Table(table) = value else {
            return None;
        };
        is_whole(table).then_some(table)
    })
}

/// Whether a table says all that a death has.
fn is_whole(death: Table<'_>) -> bool {
    let texts: [&[u8]; 3] = [b"exchange", b"queue", b"reason"];
    texts.iter().all(|key| text(death, key).is_some())
        && matches!(death.find(b"routing-keys"), Some(Value::Array(_)))
        && death.find(b"count").is_some_and(|count| count.integer().is_some())
        && matches!(death.find(b"time"), Some(Value::Timestamp(_)))
}

/// The table of a death that is the first of its kind; the order of the keys is RabbitMQ's.
fn first_time(headers: Table<'_>, expiration: Option<&[u8]>, death: &Death<'_>) -> TableBuf {
    let mut table = TableBuf::new();
    if let Some(expiration) = expiration {
        table.put(b"original-expiration", Value::LongString(expiration));
    }
    table.put(b"count", Value::I64(1));
    table.put_str(b"reason", death.reason.name());
    table.put(b"queue", Value::LongString(death.queue));
    table.put(b"time", Value::Timestamp(death.time_s));
    table.put(b"exchange", Value::LongString(death.exchange));
    let mut keys = ArrayBuf::new();
    for key in open_keys(death.routing_key, Some(headers)) {
        keys.push(Value::LongString(key));
    }
    table.put(b"routing-keys", Value::Array(keys.array()));
    table
}

fn text<'a>(table: Table<'a>, key: &[u8]) -> Option<&'a [u8]> {
    table.find(key)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::Properties;

    fn death(queue: &'static [u8], reason: Reason, time_s: u64) -> Death<'static> {
        Death { queue, reason, time_s, exchange: b"x", routing_key: b"k", rerouted: false }
    }

    fn headers_of(bytes: &[u8]) -> TableBuf {
        let list = Properties::new(bytes).list().unwrap();
        TableBuf::from(list.headers.unwrap())
    }

    fn deaths_of(headers: &TableBuf) -> Vec<(String, String, i64, u64)> {
        let Some(Value::Array(deaths)) = headers.table().find(b"x-death") else { panic!() };
        let string = |t: Table<'_>, key: &[u8]| {
            String::from_utf8(t.find(key).unwrap().text().unwrap().to_vec()).unwrap()
        };
        let one = |value| {
            let Value::Table(t) = value else { panic!("{value:?}") };
            let Some(Value::Timestamp(time)) = t.find(b"time") else { panic!() };
            let count = t.find(b"count").unwrap().integer().unwrap();
            (string(t, b"queue"), string(t, b"reason"), count, time)
        };
        deaths.iter().map(one).collect()
    }

    #[test]
    fn the_first_death_is_described_in_rabbitmqs_order_of_keys() {
        let list = PropertyList { expiration: Some(b"50"), ..PropertyList::default() };
        let bytes = properties_after(&list, &death(b"q", Reason::Expired, 7));
        let list = Properties::new(&bytes).list().unwrap();
        assert_eq!(list.expiration, None, "it shall not expire again");
        let headers = list.headers.unwrap();
        let Some(Value::Array(deaths)) = headers.find(b"x-death") else { panic!() };
        let Some(Value::Table(first)) = deaths.iter().next() else { panic!() };
        let keys: Vec<_> = first.iter().map(|(key, _)| key).collect();
        let expected: [&[u8]; 7] = [
            b"original-expiration",
            b"count",
            b"reason",
            b"queue",
            b"time",
            b"exchange",
            b"routing-keys",
        ];
        assert_eq!(keys, expected);
        for (key, value) in [("reason", "expired"), ("queue", "q"), ("exchange", "x")] {
            for when in ["first", "last"] {
                let name = format!("x-{when}-death-{key}");
                let found = headers.find(name.as_bytes()).unwrap().text().unwrap();
                assert_eq!(found, value.as_bytes(), "{name}");
            }
        }
    }

    #[test]
    fn a_repeated_death_counts_up_and_moves_to_the_head_and_keeps_its_first_time() {
        let mut bytes = Vec::new();
        PropertyList::default().encode(&mut bytes);
        for (queue, time_s) in [(b"a" as &'static [u8], 1), (b"b", 2), (b"a", 3)] {
            let list = Properties::new(&bytes).list().unwrap();
            bytes = properties_after(&list, &death(queue, Reason::Rejected, time_s));
        }
        let headers = headers_of(&bytes);
        let rejected = "rejected".to_string();
        assert_eq!(
            deaths_of(&headers),
            [("a".into(), rejected.clone(), 2, 1), ("b".into(), rejected, 1, 2)]
        );
        let first = headers.table().find(b"x-first-death-queue").unwrap();
        let last = headers.table().find(b"x-last-death-queue").unwrap();
        assert_eq!((first.text().unwrap(), last.text().unwrap()), (&b"a"[..], &b"a"[..]));
    }

    #[test]
    fn cc_is_named_in_the_routing_keys_and_removed_only_with_a_dead_letter_key() {
        let mut cc = ArrayBuf::new();
        cc.push(Value::LongString(b"other"));
        let mut headers = TableBuf::new();
        headers.put(b"CC", Value::Array(cc.array()));
        let list = PropertyList { headers: Some(headers.table()), ..PropertyList::default() };
        for rerouted in [false, true] {
            let death = Death { rerouted, ..death(b"q", Reason::MaxLength, 1) };
            let after = headers_of(&properties_after(&list, &death));
            assert_eq!(after.table().find(b"CC").is_none(), rerouted);
            let Some(Value::Array(deaths)) = after.table().find(b"x-death") else { panic!() };
            let Some(Value::Table(first)) = deaths.iter().next() else { panic!() };
            let Some(Value::Array(keys)) = first.find(b"routing-keys") else { panic!() };
            let keys: Vec<_> = keys.iter().map(|key| key.text().unwrap().to_vec()).collect();
            assert_eq!(keys, [b"k".to_vec(), b"other".to_vec()]);
        }
    }

    #[test]
    fn a_dead_letter_says_where_it_was_first_however_often_it_died() {
        let mut bytes = Vec::new();
        PropertyList::default().encode(&mut bytes);
        assert_eq!(origin(Table::EMPTY), None);
        let deaths: [(&'static [u8], &'static [u8], &'static [u8]); 4] =
            [(b"a", b"x", b"k"), (b"b", b"dlx", b"k2"), (b"c", b"dlx", b"k3"), (b"b", b"y", b"k4")];
        for (queue, exchange, routing_key) in deaths {
            let list = Properties::new(&bytes).list().unwrap();
            let death = Death { exchange, routing_key, ..death(queue, Reason::Rejected, 1) };
            bytes = properties_after(&list, &death);
            let headers = headers_of(&bytes);
            let expected = Origin { queue: b"a", exchange: b"x", routing_key: Some(b"k") };
            assert_eq!(origin(headers.table()), Some(expected));
        }
        // A client may write whatever it likes.
        let mut headers = TableBuf::new();
        headers.put_str(b"x-first-death-queue", "q");
        assert_eq!(origin(headers.table()), None);
        headers.put_str(b"x-first-death-exchange", "x");
        headers.put_str(b"x-death", "nonsense");
        let expected = Origin { queue: b"q", exchange: b"x", routing_key: None };
        assert_eq!(origin(headers.table()), Some(expected));
    }

    #[test]
    fn a_cycle_needs_the_queue_again_and_no_reject_since() {
        let mut bytes = Vec::new();
        PropertyList::default().encode(&mut bytes);
        let mut die = |queue, reason| {
            let list = Properties::new(&bytes).list().unwrap();
            bytes = properties_after(&list, &death(queue, reason, 1));
            headers_of(&bytes)
        };
        let headers = die(b"a", Reason::Expired);
        assert!(is_cycle(headers.table(), Reason::Expired, b"a"));
        assert!(!is_cycle(headers.table(), Reason::Expired, b"b"));
        let headers = die(b"b", Reason::Rejected);
        assert!(!is_cycle(headers.table(), Reason::Rejected, b"a"));
        let headers = die(b"c", Reason::Expired);
        assert!(!is_cycle(headers.table(), Reason::Expired, b"a"), "a reject lies between");
        assert!(is_cycle(headers.table(), Reason::Expired, b"c"));
    }
}
