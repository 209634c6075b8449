//! Which messages has a deduplicating exchange seen?

use std::collections::VecDeque;

use crate::amqp::{AmqpError, ReplyCode, Table, Value};
use crate::broker::by_name::ByName;

/// The keys that an exchange remembers.
///
/// Invariant: `order` holds every key of `until` once, the oldest first.
#[derive(Debug)]
pub struct Cache {
    size: usize,
    ttl_ms: Option<u64>,
    /// Until when a key is remembered, in ms since 1970; `u64::MAX` = for good.
    until: ByName<Box<[u8]>, Seen>,
    /// Keys in the order in which they were seen, with the numbers of these sightings; one that
    /// was seen again stands here twice, and the last one counts.
    order: VecDeque<(u64, Box<[u8]>)>,
    last_number: u64,
}

/// When a key was seen last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// In ms since 1970.
    until_ms: u64,
    number: u64,
}

/// How many sightings that do not count any more are kept, beside as many as there are keys.
const STALE_MAX: usize = 64;

impl Cache {
    /// The cache that an exchange's arguments ask for; 406 without a sensible `x-cache-size`, or
    /// with an `x-cache-persistence` other than `memory` and `disk`. Neither of these changes
    /// anything: what a durable exchange remembers is durable.
    pub fn of(arguments: Table<'_>) -> Result<Self, AmqpError> {
        let refuse = |name: &str| {
            let text = format!("invalid argument '{name}': expected a positive integer");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        };
        let positive = |name: &str| match arguments.find(name.as_bytes()) {
            None => Ok(None),
            Some(value) => match natural(value) {
                Some(number) if number > 0 => Ok(Some(number)),
                Some(_) | None => Err(refuse(name)),
            },
        };
        if let Some(kept) = arguments.find(b"x-cache-persistence")
            && !matches!(kept.text(), Some(b"memory" | b"disk"))
        {
            let text = "invalid argument 'x-cache-persistence': expected 'memory' or 'disk'";
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        let size = positive("x-cache-size")?.ok_or_else(|| refuse("x-cache-size"))?;
        Ok(Self {
            size: usize::try_from(size).unwrap_or(usize::MAX),
            ttl_ms: positive("x-cache-ttl")?,
            until: ByName::default(),
            order: VecDeque::new(),
            last_number: 0,
        })
    }

    /// Forgets the oldest key; `None`: there is none.
    pub(in crate::broker) fn pop(&mut self) -> Option<Box<[u8]>> {
        while let Some((number, oldest)) = self.order.pop_front() {
            if self.is_newest(number, &oldest) {
                self.until.remove(&oldest);
                return Some(oldest);
            }
        }
        None
    }

    /// Whether a key is remembered.
    pub(in crate::broker) fn has(&self, dedup_key: &[u8], now_ms: u64) -> bool {
        self.until.get(dedup_key).is_some_and(|seen| now_ms < seen.until_ms)
    }

    /// When a key that is remembered now is forgotten.
    pub(in crate::broker) fn until_ms(&self, ttl_ms: Option<u64>, now_ms: u64) -> u64 {
        ttl_ms.or(self.ttl_ms).map_or(u64::MAX, |ttl| now_ms.saturating_add(ttl))
    }

    /// Remembers a key as the newest; says which had to go for it.
    pub(in crate::broker) fn remember(
        &mut self,
        dedup_key: &[u8],
        until_ms: u64,
    ) -> Vec<Box<[u8]>> {
        let mut gone = Vec::new();
        self.until.remove(dedup_key);
        while self.until.len() >= self.size
            && let Some(oldest) = self.pop()
        {
            gone.push(oldest);
        }
        self.restore(dedup_key, until_ms);
        gone
    }

    /// Remembers a key, as the newest, whether or not there are too many.
    pub(in crate::broker) fn restore(&mut self, dedup_key: &[u8], until_ms: u64) {
        self.last_number += 1;
        let seen = Seen { until_ms, number: self.last_number };
        self.until.insert(dedup_key.into(), seen);
        self.order.push_back((self.last_number, dedup_key.into()));
        if self.order.len() > 2 * self.until.len() + STALE_MAX {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(number, dedup_key)| self.is_newest(*number, dedup_key));
            self.order = order;
        }
    }

    /// Whether the key was not seen again since.
    fn is_newest(&self, number: u64, dedup_key: &[u8]) -> bool {
        self.until.get(dedup_key).is_some_and(|seen| seen.number == number)
    }
}

/// A number that is not negative, or the digits of one.
pub(in crate::broker) fn natural(value: Value<'_>) -> Option<u64> {
    if let Some(text) = value.text() {
        let digits = std::str::from_utf8(text).ok()?;
        return if digits.starts_with('+') { None } else { digits.parse().ok() };
    }
    u64::try_from(value.integer()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableBuf;

    fn cache(size: i64, ttl_ms: Option<i64>) -> Cache {
        let mut arguments = TableBuf::new();
        arguments.put_i64(b"x-cache-size", size);
        if let Some(ttl_ms) = ttl_ms {
            arguments.put_i64(b"x-cache-ttl", ttl_ms);
        }
        Cache::of(arguments.table()).unwrap()
    }

    /// What had to go for a key that is new; `None`: it is not.
    fn see(
        cache: &mut Cache,
        dedup_key: &[u8],
        ttl_ms: Option<u64>,
        now_ms: u64,
    ) -> Option<Vec<Box<[u8]>>> {
        let until_ms = cache.until_ms(ttl_ms, now_ms);
        (!cache.has(dedup_key, now_ms)).then(|| cache.remember(dedup_key, until_ms))
    }

    #[test]
    fn a_name_is_new_once_and_the_oldest_goes_when_there_is_no_room() {
        let mut cache = cache(2, None);
        assert_eq!(see(&mut cache, b"a", None, 0), Some(vec![]));
        assert_eq!(see(&mut cache, b"a", None, 1), None);
        assert_eq!(see(&mut cache, b"b", None, 2), Some(vec![]));
        assert_eq!(see(&mut cache, b"c", None, 3), Some(vec![b"a"[..].into()]));
        assert_eq!(see(&mut cache, b"b", None, 4), None);
        assert_eq!(see(&mut cache, b"a", None, 5), Some(vec![b"b"[..].into()]));
    }

    #[test]
    fn a_name_is_forgotten_when_its_time_is_over_and_a_message_may_say_when() {
        let mut cache = cache(9, Some(100));
        assert_eq!(see(&mut cache, b"a", None, 0), Some(vec![]));
        assert_eq!(see(&mut cache, b"a", None, 99), None);
        assert_eq!(see(&mut cache, b"a", None, 100), Some(vec![]));
        assert_eq!(see(&mut cache, b"b", Some(5), 100), Some(vec![]));
        assert_eq!(see(&mut cache, b"b", None, 105), Some(vec![]));
    }

    #[test]
    fn a_cache_needs_a_size() {
        assert!(Cache::of(Table::EMPTY).is_err());
        for (size, is_one) in [
            (Value::I64(0), false),
            (Value::I8(1), true),
            (Value::LongString(b"10"), true),
            (Value::LongString(b"0"), false),
            (Value::LongString(b""), false),
            (Value::LongString(b"+1"), false),
            (Value::LongString(b"1 "), false),
            (Value::Bool(true), false),
        ] {
            let mut arguments = TableBuf::new();
            arguments.put(b"x-cache-size", size);
            assert_eq!(Cache::of(arguments.table()).is_ok(), is_one, "{size:?}");
        }
    }

    #[test]
    fn a_cache_is_kept_in_memory_or_on_disk() {
        for (kept, is_one) in [
            (Value::LongString(b"memory"), true),
            (Value::LongString(b"disk"), true),
            (Value::LongString(b"tape"), false),
            (Value::I32(1), false),
        ] {
            let mut arguments = TableBuf::new();
            arguments.put_i64(b"x-cache-size", 1);
            arguments.put(b"x-cache-persistence", kept);
            assert_eq!(Cache::of(arguments.table()).is_ok(), is_one, "{kept:?}");
        }
    }
}
