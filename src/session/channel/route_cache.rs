//! Which queues do a channel's messages go to, when that was found out before?
//!
//! A publisher uses one exchange and key, or a few in turn. The last one is found by one
//! comparison; others in a small table that grows with their number, up to [`ROUTES_MAX`].

use crate::broker::{ExchangeKey, QueueKey};

/// Resolutions of (exchange, routing key) on a channel, permissions included.
///
/// Invariants:
/// 1. All of them were found under `version` of the broker's topology.
/// 2. `routes[0]` is no cached one: it holds the queues of a message that was just routed.
/// 3. A cached one lies in one of the [`WAYS`] places of the set that its hash names.
#[derive(Debug, Default)]
pub struct RouteCache {
    version: Option<u64>,
    routes: Vec<Route>,
    /// Whose queues are meant now.
    current: usize,
    /// Which way of a full set is used again next.
    next_way: usize,
}

#[derive(Debug, Default)]
struct Route {
    /// Exchange and routing key, one behind the other; empty where there is no route.
    names: Vec<u8>,
    exchange_bytes: usize,
    is_set: bool,
    queues: Vec<QueueKey>,
    /// The exchange of this name.
    exchange: Option<ExchangeKey>,
}

/// Places per set.
const WAYS: usize = 4;

/// The table grows up to this many: 20 KiB and the names.
const ROUTES_MAX: usize = 256;

impl RouteCache {
    /// Looks for the route of this exchange and key, which is the current one if it is known.
    #[inline]
    pub fn find(&mut self, version: u64, exchange: &[u8], routing_key: &[u8]) -> bool {
        if self.version != Some(version) {
            self.empty(version);
            return false;
        }
        let is_it = |route: &Route| route.is_for(exchange, routing_key);
        if self.routes.get(self.current).is_some_and(is_it) {
            return true;
        }
        let first = self.set_of(exchange, routing_key);
        let found = self.routes[first..first + WAYS].iter().position(is_it);
        if let Some(way) = found {
            self.current = first + way;
        }
        found.is_some()
    }

    /// The list to fill with the queues of a message whose route is not known; they are the
    /// current ones then.
    pub fn fresh(&mut self) -> &mut Vec<QueueKey> {
        if self.routes.is_empty() {
            self.routes.resize_with(1 + WAYS, Route::default);
        }
        self.current = 0;
        &mut self.routes[0].queues
    }

    /// The same for messages to an exchange.
    pub fn fresh_from(&mut self, exchange: ExchangeKey) -> &mut Vec<QueueKey> {
        self.fresh();
        self.routes[0].exchange = Some(exchange);
        &mut self.routes[0].queues
    }

    /// The message goes to none of the current route's queues.
    pub fn drop_queues(&mut self) {
        let (exchange, _) = self.exchange_and_queues();
        self.fresh().clear();
        self.routes[0].exchange = exchange;
    }

    /// Keeps what [`RouteCache::fresh`] was filled with.
    pub fn note(&mut self, exchange: &[u8], routing_key: &[u8]) {
        let mut first = self.set_of(exchange, routing_key);
        let is_free = |route: &Route| !route.is_set;
        let mut free = self.routes[first..first + WAYS].iter().position(is_free);
        if free.is_none() && self.routes.len() <= ROUTES_MAX {
            self.grow();
            first = self.set_of(exchange, routing_key);
            free = self.routes[first..first + WAYS].iter().position(is_free);
        }
        let way = free.unwrap_or_else(|| {
            self.next_way = (self.next_way + 1) % WAYS;
            self.next_way
        });
        let place = first + way;
        let (fresh, routes) = self.routes.split_at_mut(1);
        let route = &mut routes[place - 1];
        std::mem::swap(&mut route.queues, &mut fresh[0].queues);
        route.exchange = fresh[0].exchange;
        route.names.clear();
        route.names.extend_from_slice(exchange);
        route.names.extend_from_slice(routing_key);
        route.exchange_bytes = exchange.len();
        route.is_set = true;
        self.current = place;
    }

    /// The current route's queues.
    #[inline]
    pub fn queues(&self) -> &[QueueKey] {
        self.routes.get(self.current).map_or(&[], |route| &route.queues)
    }

    /// The exchange of the current route, and how many queues that has.
    #[inline]
    pub fn exchange_and_queues(&self) -> (Option<ExchangeKey>, usize) {
        self.routes.get(self.current).map_or((None, 0), |it| (it.exchange, it.queues.len()))
    }

    /// Forgets everything that was found under another version of the topology.
    #[cold]
    fn empty(&mut self, version: u64) {
        self.version = Some(version);
        for route in &mut self.routes {
            route.is_set = false;
        }
        self.fresh();
    }

    /// Twice as many places, and every route in its new one, as far as there is room.
    #[cold]
    fn grow(&mut self) {
        let places = (self.routes.len() - 1) * 2;
        let mut old = std::mem::take(&mut self.routes);
        self.routes.resize_with(1 + places, Route::default);
        self.routes[0] = std::mem::take(&mut old[0]);
        for route in old.drain(1..).filter(|route| route.is_set) {
            let (exchange, routing_key) = route.names.split_at(route.exchange_bytes);
            let first = self.set_of(exchange, routing_key);
            let mut set = self.routes[first..first + WAYS].iter_mut();
            if let Some(place) = set.find(|place| !place.is_set) {
                *place = route;
            }
        }
    }

    /// Where the set of these names begins.
    #[inline]
    fn set_of(&self, exchange: &[u8], routing_key: &[u8]) -> usize {
        let sets = (self.routes.len() - 1) / WAYS;
        let hash = hash(hash(0, exchange), routing_key);
        // Powers of two: the upper half of the product has the better bits.
        1 + ((hash >> 32) as usize & (sets - 1)) * WAYS
    }
}

impl Route {
    #[inline]
    fn is_for(&self, exchange: &[u8], routing_key: &[u8]) -> bool {
        let (own_exchange, own_key) = self.names.split_at(self.exchange_bytes);
        self.is_set && are_same(own_key, routing_key) && are_same(own_exchange, exchange)
    }
}

/// Comparison of short names in steps of 8 bytes. What `memcmp` does with them took a fifth of
/// the time of a small message: its masked loads wait long for bytes that were just read from
/// the socket.
#[inline]
fn are_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (ones, one_rest) = one.as_chunks::<8>();
    let (others, other_rest) = other.as_chunks::<8>();
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let differs = |(a, b): (&[u8; 8], &[u8; 8])| word(a) != word(b);
    !ones.iter().zip(others).any(differs) && one_rest.iter().zip(other_rest).all(|(a, b)| a == b)
}

/// A hash that is quick and good enough for a cache: who finds names that collide slows only
/// the own publishes down.
#[inline]
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    mix(hash, rest ^ (bytes.len() as u64) << 56)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::broker::key::ArenaKey;

    fn queue(number: u32) -> QueueKey {
        QueueKey::new(number, 1)
    }

    fn find_or_note(cache: &mut RouteCache, version: u64, exchange: &[u8], key: &[u8], to: u32) {
        if !cache.find(version, exchange, key) {
            let fresh = cache.fresh();
            fresh.clear();
            fresh.push(queue(to));
            cache.note(exchange, key);
        }
        assert_eq!(cache.queues(), [queue(to)]);
    }

    #[test]
    fn what_was_noted_is_found_and_nothing_else_is() {
        let mut cache = RouteCache::default();
        let mut twin = HashMap::new();
        for number in 0..3000_u32 {
            // Names of all lengths, keys that end and begin alike, each asked for several times.
            let name = number * 7 % 601;
            let exchange = "x".repeat(name as usize % 3);
            let key = format!("{}{name}.tail", "k".repeat(name as usize % 20));
            let to = *twin.entry((exchange.clone(), key.clone())).or_insert(number);
            find_or_note(&mut cache, 1, exchange.as_bytes(), key.as_bytes(), to);
        }
        assert!(cache.routes.len() <= 1 + 2 * ROUTES_MAX);
        assert!(!cache.find(1, b"", b"unknown"));
    }

    #[test]
    fn a_hundred_keys_in_turn_are_all_known_after_one_round() {
        let mut cache = RouteCache::default();
        let keys: Vec<_> = (0..100).map(|number| format!("queue-{number:05}")).collect();
        for key in &keys {
            find_or_note(&mut cache, 1, b"", key.as_bytes(), 1);
        }
        for key in &keys {
            find_or_note(&mut cache, 1, b"", key.as_bytes(), 1);
        }
        let known = keys.iter().filter(|key| cache.find(1, b"", key.as_bytes()));
        assert!(known.count() >= 95);
    }

    #[test]
    fn exchange_and_key_are_told_apart_and_a_new_topology_forgets_all() {
        let mut cache = RouteCache::default();
        find_or_note(&mut cache, 1, b"ab", b"c", 1);
        find_or_note(&mut cache, 1, b"a", b"bc", 2);
        find_or_note(&mut cache, 1, b"", b"", 3);
        find_or_note(&mut cache, 1, b"ab", b"c", 1);
        assert!(!cache.find(2, b"ab", b"c"));
        assert!(!cache.find(2, b"a", b"bc"));
        find_or_note(&mut cache, 2, b"ab", b"c", 4);
    }
}
