//! Where does an exchange send a message? One matcher per exchange, one variant per exchange type.
//!
//! A matcher holds the bindings of its exchange in the shape that its type routes by; it knows
//! nothing of alternate exchanges, of bindings between exchanges further on, or of permissions.
//! Results may name a destination twice; who asks removes the duplicates of all exchanges on the
//! way at once. Imports `amqp`.

use crate::amqp::{AmqpError, Name, PropertyList, ReplyCode, Table};
use crate::broker::by_name::ByName;
use crate::broker::exchange::binding::Destination;
use crate::broker::exchange::consistent_hash::{ConsistentHashMatcher, HashOn};
use crate::broker::exchange::destination_set::DestinationSet;
use crate::broker::exchange::headers::HeadersMatcher;
use crate::broker::exchange::random::RandomMatcher;
use crate::broker::exchange::topic::TopicMatcher;

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// By the routing key, equal to the binding key.
    Direct,
    /// To everything bound.
    Fanout,
    /// By the routing key, matching the binding key's pattern.
    Topic,
    /// By the message's headers.
    Headers,
    /// To one of the destinations, by a hash (`x-consistent-hash`).
    ConsistentHash,
    /// To one of the destinations, by chance (`x-random`).
    Random,
    /// By the kind that `x-delayed-type` names, once the delay is over (`x-delayed-message`).
    Delayed,
    /// To everything bound, each message once (`x-message-deduplication`).
    Deduplication,
}

impl ExchangeKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::Random,
        Self::Delayed,
        Self::Deduplication,
    ];

    /// The kind with this name.
    ///
    /// # Errors
    /// 406 `unknown exchange type 'x'`.
    pub fn parse(name: &[u8]) -> Result<Self, AmqpError> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            let text = format!("unknown exchange type '{name}'");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        })
    }

    /// The name that exchange.declare uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::Random => "x-random",
            Self::Delayed => "x-delayed-message",
            Self::Deduplication => "x-message-deduplication",
        }
    }
}

/// A binding as a matcher sees it.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The binding key.
    pub key: &'a Name,
    /// Where it leads.
    pub destination: Destination,
    /// The name of the queue or exchange there, which stays the same over a restart; empty where
    /// [`Matcher::goes_by_name`] does not ask for it.
    pub destination_name: &'a [u8],
    /// The binding's arguments, in the order of
    /// [`crate::broker::exchange::binding::sorted_arguments`].
    pub arguments: Table<'a>,
}

/// The bindings of one exchange, ready for routing.
#[derive(Debug)]
pub enum Matcher {
    /// Of a direct exchange: destinations by binding key, none without a destination.
    Direct(ByName<Name, DestinationSet>),
    /// Of a fanout exchange.
    Fanout(DestinationSet),
    /// Of a topic exchange.
    Topic(TopicMatcher),
    /// Of a headers exchange.
    Headers(HeadersMatcher),
    /// Of a consistent-hash exchange.
    ConsistentHash(ConsistentHashMatcher),
    /// Of a random exchange.
    Random(RandomMatcher),
}

impl Matcher {
    /// The matcher of an exchange without bindings; `seed` is for kinds that choose by chance.
    ///
    /// # Errors
    /// 406 when the exchange's arguments make no sense to its kind.
    pub fn new(kind: ExchangeKind, arguments: Table<'_>, seed: u64) -> Result<Self, AmqpError> {
        Ok(match kind {
            ExchangeKind::Direct => Self::Direct(ByName::default()),
            ExchangeKind::Fanout | ExchangeKind::Deduplication => {
                Self::Fanout(DestinationSet::default())
            }
            ExchangeKind::Topic => Self::Topic(TopicMatcher::new()),
            ExchangeKind::Headers => Self::Headers(HeadersMatcher::new()),
            ExchangeKind::ConsistentHash => {
                Self::ConsistentHash(ConsistentHashMatcher::new(HashOn::of(arguments)?))
            }
            ExchangeKind::Random => Self::Random(RandomMatcher::new(seed)),
            ExchangeKind::Delayed => Self::new(delayed_kind(arguments)?, arguments, seed)?,
        })
    }

    /// Whether the names of the destinations matter, so that [`Matcher::add`] has to be told.
    pub fn goes_by_name(&self) -> bool {
        match self {
            Self::ConsistentHash(_) => true,
            Self::Direct(_)
            | Self::Fanout(_)
            | Self::Topic(_)
            | Self::Headers(_)
            | Self::Random(_) => false,
        }
    }

    /// Adds a binding that [`Matcher::check`] found good. The caller adds each binding once
    /// ([`crate::broker::exchange::binding::BindingTable::insert`] said that it is new).
    pub fn add(&mut self, bound: Bound<'_>) {
        match self {
            Self::Direct(keys) => {
                if let Some(destinations) = keys.get_mut(bound.key) {
                    return destinations.add(bound.destination);
                }
                let mut destinations = DestinationSet::default();
                destinations.add(bound.destination);
                keys.insert(bound.key.clone(), destinations);
            }
            Self::Fanout(destinations) => destinations.add(bound.destination),
            Self::Topic(topic) => topic.add(bound.key, bound.destination),
            Self::Headers(headers) => headers.add(bound.destination, bound.arguments),
            Self::ConsistentHash(hash) => {
                hash.add(bound.key, bound.destination, bound.destination_name);
            }
            Self::Random(random) => random.add(bound.destination),
        }
    }

    /// Removes a binding; `false` when it was not there.
    pub fn remove(&mut self, bound: Bound<'_>) -> bool {
        match self {
            Self::Direct(keys) => {
                let key: &[u8] = bound.key;
                let Some(destinations) = keys.get_mut(key) else {
                    return false;
                };
                let found = destinations.remove(bound.destination);
                if destinations.is_empty() {
                    keys.remove(key);
                }
                found
            }
            Self::Fanout(destinations) => destinations.remove(bound.destination),
            Self::Topic(topic) => topic.remove(bound.key, bound.destination),
            Self::Headers(headers) => headers.remove(bound.destination, bound.arguments),
            Self::ConsistentHash(hash) => hash.remove(bound.key, bound.destination),
            Self::Random(random) => random.remove(bound.destination),
        }
    }

    /// Appends where a message goes; the same destination may come more than once. How many keys,
    /// headers and bindings were looked at, beside the bindings that match.
    #[inline]
    pub fn route(
        &self,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        out: &mut Vec<Destination>,
    ) -> usize {
        match self {
            Self::Direct(keys) => {
                if let Some(destinations) = keys.get(routing_key) {
                    destinations.append_to(out);
                }
                return 1;
            }
            Self::Topic(topic) => {
                topic.route(routing_key, out);
                return 1;
            }
            Self::Headers(headers) => return headers.route(properties.headers, out),
            Self::Fanout(destinations) => destinations.append_to(out),
            Self::ConsistentHash(hash) => hash.route(routing_key, properties, out),
            Self::Random(random) => random.route(out),
        }
        0
    }

    /// As [`Matcher::route`] for several keys: `keys[0]`, the message's own, and the others in
    /// ascending order. Takes time for the fewer of the keys and the bound ones where
    /// that can be told.
    pub fn route_all(
        &self,
        keys: &[&[u8]],
        properties: &PropertyList<'_>,
        out: &mut Vec<Destination>,
    ) -> usize {
        match self {
            Self::Direct(bound) if bound.len() < keys.len() => {
                let is_sought =
                    |key: &[u8]| key == keys[0] || keys[1..].binary_search(&key).is_ok();
                let found = bound.iter().filter(|(key, _)| is_sought(key.as_bytes()));
                found.for_each(|(_, destinations)| destinations.append_to(out));
                bound.len()
            }
            Self::Direct(_) | Self::Topic(_) => {
                keys.iter().map(|key| self.route(key, properties, out)).sum()
            }
            Self::Fanout(_) | Self::Headers(_) | Self::ConsistentHash(_) | Self::Random(_) => {
                self.route(keys[0], properties, out)
            }
        }
    }

    /// Checks a binding to be.
    ///
    /// # Errors
    /// 406 when its key or arguments make no sense to this kind of exchange.
    pub fn check(&self, key: &[u8], arguments: Table<'_>) -> Result<(), AmqpError> {
        match self {
            Self::Direct(_) | Self::Fanout(_) | Self::Topic(_) | Self::Random(_) => Ok(()),
            Self::Headers(_) => HeadersMatcher::check(arguments),
            Self::ConsistentHash(_) => ConsistentHashMatcher::check(key),
        }
    }

    /// Whether the routing key alone decides, so that a result can be remembered for the next
    /// message with the same key until a binding changes.
    pub fn is_decided_by_key(&self) -> bool {
        match self {
            Self::Direct(_) | Self::Fanout(_) | Self::Topic(_) => true,
            Self::ConsistentHash(hash) => *hash.hash_on() == HashOn::RoutingKey,
            Self::Headers(_) | Self::Random(_) => false,
        }
    }

    /// Whether nothing but the routing key and the headers decides: neither chance nor a property.
    pub fn is_decided_by_key_and_headers(&self) -> bool {
        match self {
            Self::Direct(_) | Self::Fanout(_) | Self::Topic(_) | Self::Headers(_) => true,
            Self::ConsistentHash(hash) => match hash.hash_on() {
                HashOn::RoutingKey | HashOn::Header(_) => true,
                HashOn::CorrelationId | HashOn::MessageId | HashOn::Timestamp => false,
            },
            Self::Random(_) => false,
        }
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Direct(keys) => keys.is_empty(),
            Self::Fanout(destinations) => destinations.is_empty(),
            Self::Topic(topic) => topic.is_empty(),
            Self::Headers(headers) => headers.is_empty(),
            Self::ConsistentHash(hash) => hash.is_empty(),
            Self::Random(random) => random.is_empty(),
        }
    }
}

/// The kind that a delayed exchange routes by; 406 without a sensible `x-delayed-type`.
fn delayed_kind(arguments: Table<'_>) -> Result<ExchangeKind, AmqpError> {
    let refuse = |got: &str| {
        let text =
            format!("invalid argument 'x-delayed-type': expected an exchange type, got {got}");
        AmqpError::channel(ReplyCode::PreconditionFailed, text)
    };
    let value = arguments.find(b"x-delayed-type").ok_or_else(|| refuse("nothing"))?;
    let name = value.text().ok_or_else(|| refuse(value.type_name()))?;
    let kind = ExchangeKind::parse(name)?;
    if kind == ExchangeKind::Delayed { Err(refuse(kind.name())) } else { Ok(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableBuf;
    use crate::broker::testing::{Seeded, queue};

    fn matcher(kind: ExchangeKind) -> Matcher {
        let mut arguments = TableBuf::new();
        if kind == ExchangeKind::Delayed {
            arguments.put_str(b"x-delayed-type", "direct");
        }
        Matcher::new(kind, arguments.table(), 1).unwrap()
    }

    fn bound(key: &Name, index: u32) -> Bound<'_> {
        let destination = queue(index);
        Bound { key, destination, destination_name: b"q", arguments: Table::EMPTY }
    }

    fn route(matcher: &Matcher, key: &str) -> Vec<Destination> {
        let mut out = Vec::new();
        matcher.route(key.as_bytes(), &PropertyList::default(), &mut out);
        out.sort();
        out.dedup();
        out
    }

    #[test]
    fn kinds_have_the_names_that_clients_use() {
        for kind in ExchangeKind::ALL {
            assert_eq!(ExchangeKind::parse(kind.name().as_bytes()).unwrap(), kind);
            assert!(matcher(kind).is_empty());
        }
        let error = ExchangeKind::parse(b"x-what").unwrap_err();
        assert_eq!(error.text, "PRECONDITION_FAILED - unknown exchange type 'x-what'");
    }

    #[test]
    fn a_direct_exchange_routes_by_equality() {
        let mut direct = matcher(ExchangeKind::Direct);
        let mut twin: Vec<(Name, u32)> = Vec::new();
        let mut random = Seeded::new(9);
        for _ in 0..2000 {
            let key = Name::from(["", "a", "b", "a.b"][random.below(4)]);
            let index = u32::try_from(random.below(50)).unwrap();
            let known = twin.iter().position(|entry| *entry == (key.clone(), index));
            match known {
                None => {
                    direct.add(bound(&key, index));
                    twin.push((key.clone(), index));
                }
                Some(at) => {
                    assert!(direct.remove(bound(&key, index)));
                    assert!(!direct.remove(bound(&key, index)));
                    twin.swap_remove(at);
                }
            }
            let mut expected: Vec<_> =
                twin.iter().filter(|(k, _)| *k == key).map(|(_, i)| queue(*i)).collect();
            expected.sort();
            assert_eq!(route(&direct, &key.to_string()), expected);
        }
        assert!(route(&direct, "nobody").is_empty());
    }

    #[test]
    fn many_keys_lead_where_each_of_them_leads() {
        let mut random = Seeded::new(12);
        for kind in [ExchangeKind::Direct, ExchangeKind::Topic] {
            for _ in 0..300 {
                let mut matcher = matcher(kind);
                for index in 0..u32::try_from(random.below(12)).unwrap() {
                    matcher
                        .add(bound(&Name::from(*random.pick(&["a", "b", "c", "d", "e"])), index));
                }
                let own = *random.pick(&["a", "c", "e", "f"]);
                let others = (0..random.below(9)).map(|_| *random.pick(&["a", "b", "d", "e", "g"]));
                let mut others: Vec<&str> = others.collect();
                others.sort_unstable();
                others.dedup();
                let all = std::iter::once(&own).chain(&others);
                let mut expected: Vec<_> =
                    all.clone().flat_map(|key| route(&matcher, key)).collect();
                expected.sort();
                expected.dedup();
                let keys: Vec<&[u8]> = all.map(|key| key.as_bytes()).collect();
                let mut found = Vec::new();
                matcher.route_all(&keys, &PropertyList::default(), &mut found);
                found.sort();
                found.dedup();
                assert_eq!(found, expected, "{keys:?}");
            }
        }
    }

    #[test]
    fn every_kind_forgets_what_is_unbound() {
        let key = Name::from("1");
        for kind in ExchangeKind::ALL {
            let mut matcher = matcher(kind);
            assert!(matcher.check(&key, Table::EMPTY).is_ok());
            matcher.add(bound(&key, 1));
            assert_eq!(route(&matcher, "1"), [queue(1)], "{kind:?}");
            assert!(matcher.remove(bound(&key, 1)));
            assert!(!matcher.remove(bound(&key, 1)));
            assert!(matcher.is_empty());
            assert!(route(&matcher, "1").is_empty());
        }
    }

    #[test]
    fn only_kinds_that_look_at_the_key_alone_say_so() {
        let remembered: Vec<_> = ExchangeKind::ALL
            .into_iter()
            .filter(|kind| matcher(*kind).is_decided_by_key())
            .collect();
        assert_eq!(
            remembered,
            [
                ExchangeKind::Direct,
                ExchangeKind::Fanout,
                ExchangeKind::Topic,
                ExchangeKind::ConsistentHash,
                ExchangeKind::Delayed,
                ExchangeKind::Deduplication,
            ]
        );
    }
}
