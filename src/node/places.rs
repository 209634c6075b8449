//! Which operator's connection makes room for another one when there is place for no more?
//!
//! One that ended, else one of a peer that has more than its share, else the one that has least to
//! show ([`Standing`]). Who logged in and is being answered stays. So nobody keeps the others out
//! by holding connections, whether he says nothing or half a request.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::broker::ConnectionKey;
use crate::management::{Origin, Standing};

use super::Node;
use super::endpoint::Endpoint;

/// The most conversations at a time: all of them together hold a bounded amount of memory.
pub const CONVERSATIONS_MAX: usize = 256;

/// So many more are the owner's alone, whom nobody at the port can keep out.
const CONVERSATIONS_OF_OWNER: usize = 16;

/// A peer that has more has them at the cost of others once there is no place left.
const SHARE_OF_PEER: usize = CONVERSATIONS_MAX / 4;

/// All conversations together hold at most so many bytes of requests' bodies.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// So many more are for the owner alone: as many as one body may have.
const BODY_BYTES_OF_OWNER: u64 = 20 * 1024 * 1024;

impl Node {
    /// Makes sure that there is a place for somebody from there; whether there is.
    pub(super) fn make_place(&mut self, origin: Origin) -> bool {
        let most = match origin {
            Origin::Address(_) | Origin::Scraper(_) => CONVERSATIONS_MAX,
            Origin::Owner => CONVERSATIONS_MAX + CONVERSATIONS_OF_OWNER,
        };
        if self.operators.conversations.len() < most {
            return true;
        }
        let Some(index) = self.least_standing(origin.neighbourhood()) else {
            return false;
        };
        let key = self.operators.conversations.swap_remove(index);
        if let Some(endpoint) = self.endpoints.get_mut(key) {
            endpoint.gone = true;
            self.gone.push(key);
        }
        true
    }

    /// Whose place somebody from there may have, if anybody's; `None` is the owner.
    fn least_standing(&self, newcomer: Option<IpAddr>) -> Option<usize> {
        let conversation = |key| self.endpoints.get(key).and_then(Endpoint::conversation);
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for found in self.operators.conversations.iter().filter_map(|&key| conversation(key)) {
            *counts.entry(found.origin().neighbourhood()).or_default() += 1;
        }
        let count = |of: Option<IpAddr>| counts.get(&of).copied().unwrap_or(0);
        let is_over = |of: Option<IpAddr>| of.is_some() && count(of) >= SHARE_OF_PEER;
        let keys = self.operators.conversations.iter().enumerate();
        let candidates = keys.filter_map(|(index, &key)| {
            let Some(found) = conversation(key) else {
                return Some((index, (false, false, Standing::Ended, Reverse(0), None)));
            };
            let of = found.origin().neighbourhood();
            let (standing, since) = found.standing();
            let has_ended = standing == Standing::Ended;
            // Nobody's place goes to who has too many, and the owner's to nobody else.
            let is_spared = standing == Standing::Known
                || (of.is_none() && newcomer.is_some())
                || (!has_ended && is_over(newcomer) && !is_over(of));
            let rank = (!has_ended, !is_over(of), standing, Reverse(count(of)), Some(since));
            (!is_spared).then_some((index, rank))
        });
        candidates.min_by_key(|(_, rank)| *rank).map(|(index, _)| index)
    }

    /// How many bytes of a body may be held for somebody from there, besides those that are.
    pub(super) fn body_room(&self, origin: Origin) -> u64 {
        let most = match origin {
            Origin::Address(_) | Origin::Scraper(_) => BODY_BYTES_MAX,
            Origin::Owner => BODY_BYTES_MAX + BODY_BYTES_OF_OWNER,
        };
        most.saturating_sub(self.operators.held_bytes)
    }

    /// An operator's connection is no more: its place is free.
    pub(super) fn free_place(&mut self, key: ConnectionKey) {
        self.operators.conversations.retain(|&other| other != key);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use tempfile::TempDir;

    use super::super::Calendar;
    use super::*;
    use crate::amqp::Name;
    use crate::broker::testing::open;
    use crate::node::Unwatched;
    use crate::session::Limits;

    const LOGIN: &str = "Host: h\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

    /// A node whose places are all taken.
    struct Bench {
        node: Node,
        now: Instant,
        _directory: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let limits = Limits {
                frame_bytes_max: 131_072,
                channel_max: 1,
                heartbeat_s: 0,
                message_bytes_max: 1,
                cluster_name: Name::default(),
                product_name: Name::default(),
                product_version: Name::default(),
            };
            let now = Instant::now();
            let calendar = Calendar::new(now, Duration::from_secs(1));
            let mut broker = open(directory.path());
            broker.users_mut().set_loopback_only(BTreeSet::new());
            let node = Node::new(broker, limits, calendar, now);
            Self { node, now, _directory: directory }
        }

        /// Somebody connects, a little later than who did before.
        fn connect(&mut self, peer: [u8; 4]) -> Option<ConnectionKey> {
            self.now += Duration::from_millis(1);
            self.node.begin(self.now);
            self.node.connect_operator(Origin::Address(SocketAddr::from((peer, 1))))
        }

        fn fill(&mut self, peer: impl Fn(u8) -> [u8; 4]) -> Vec<ConnectionKey> {
            (0..=255).map(|index| self.connect(peer(index)).unwrap()).collect()
        }

        fn send(&mut self, key: ConnectionKey, text: &str) {
            self.node.receive(key, text.as_bytes(), &mut Unwatched);
        }

        /// Who had to go since this was last asked.
        fn gone(&mut self) -> Vec<ConnectionKey> {
            let gone = self.node.take_gone();
            gone.iter().for_each(|&key| self.node.remove(key));
            gone
        }
    }

    /// So many that nobody has more than his share.
    fn of_many_peers(index: u8) -> [u8; 4] {
        [10, 0, 1, index]
    }

    #[test]
    fn who_says_nothing_makes_room_first_and_longest_ago_before_others() {
        let mut bench = Bench::new();
        let keys = bench.fill(of_many_peers);
        bench.send(keys[0], "GET /api/whoami HTTP/1.1\r\n");
        bench.send(keys[1], "GET /api/nope HTTP/1.1\r\nHost: h\r\n\r\n");
        let answered = bench.node.output(keys[1]).map_or(0, |outbox| outbox.len());
        bench.node.flushed(keys[1], answered);
        // Half a head is nothing; who was answered comes last.
        for index in [0].into_iter().chain(2..256) {
            assert!(bench.connect([10, 9, 9, u8::try_from(index).unwrap()]).is_some());
            assert_eq!(bench.gone(), [keys[index]], "{index}");
        }
        assert!(bench.connect([10, 9, 8, 1]).is_some());
        assert!(!bench.gone().contains(&keys[1]), "the newest say nothing");
    }

    #[test]
    fn nobody_who_logged_in_and_waits_for_an_answer_has_to_go() {
        let mut bench = Bench::new();
        let keys = bench.fill(of_many_peers);
        let asked = format!("GET /api/whoami HTTP/1.1\r\n{LOGIN}\r\n");
        let body = format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}Content-Length: 5\r\n\r\n");
        for (index, &key) in keys.iter().enumerate() {
            bench.send(key, if index < 254 { &asked } else { &body });
        }
        for key in &keys[254..] {
            // Who does not come to an end with his request's body is the last who has to.
            assert!(bench.connect([10, 9, 9, 9]).is_some());
            assert_eq!(bench.gone(), [*key]);
            let new = *bench.node.operators.conversations.last().unwrap();
            bench.send(new, &asked);
        }
        assert!(bench.connect([10, 9, 9, 9]).is_none());
        assert!(bench.gone().is_empty());
        let owner = bench.node.connect_operator(Origin::Owner);
        assert!(owner.is_some(), "he has places of his own");
    }

    /// What anybody may ask for is no reason to stay.
    #[test]
    fn who_did_not_log_in_makes_room_also_while_he_is_answered() {
        let mut bench = Bench::new();
        let keys = bench.fill(of_many_peers);
        for &key in &keys {
            bench.send(key, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        assert!(bench.connect([10, 9, 9, 9]).is_some());
        assert_eq!(bench.gone(), [keys[0]]);
    }

    #[test]
    fn who_has_more_than_his_share_makes_room_for_others_and_takes_nobodys() {
        let mut bench = Bench::new();
        let (greedy, modest) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let keys = bench.fill(|index| if index < 2 { modest } else { greedy });
        // The greedy one was answered, the modest one says nothing yet.
        for &key in &keys[2..] {
            bench.send(key, "GET /api/nope HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for _ in 0..300 {
            assert!(bench.connect(greedy).is_some());
            assert!(bench.gone().iter().all(|key| !keys[..2].contains(key)));
        }
        assert!(bench.connect([10, 0, 0, 3]).is_some());
        assert!(bench.gone().iter().all(|key| !keys[..2].contains(key)));
    }

    #[test]
    fn the_owner_gets_places_and_loses_none_to_others() {
        let mut bench = Bench::new();
        let owner = bench.node.connect_operator(Origin::Owner).unwrap();
        for _ in 0..1_000 {
            bench.connect([10, 0, 0, 1]);
            assert!(!bench.gone().contains(&owner));
        }
        let more = (0..100).filter_map(|_| bench.node.connect_operator(Origin::Owner)).count();
        assert_eq!(more, 100, "his newer ones take the places of his older ones and of others");
    }

    #[test]
    fn all_bodies_together_have_a_limit_and_the_owner_has_room_beyond_it() {
        let mut bench = Bench::new();
        let megabyte = "x".repeat(1 << 20);
        let head = |bytes: usize| {
            format!("POST /api/definitions HTTP/1.1\r\n{LOGIN}Content-Length: {bytes}\r\n\r\n")
        };
        let keys: Vec<_> = (1..=8).map(|index| bench.connect([10, 0, 0, index]).unwrap()).collect();
        // Each begins in time, and so nobody is told at once.
        keys.iter().for_each(|&key| bench.send(key, &head(16 << 20)));
        for _ in 0..8 {
            keys.iter().for_each(|&key| bench.send(key, &megabyte));
        }
        assert_eq!(bench.node.operators.held_bytes, BODY_BYTES_MAX);
        let answer = |bench: &mut Bench, key| {
            let bytes = bench.node.output(key).map(|outbox| outbox.plain().unwrap().to_vec());
            String::from_utf8(bytes.unwrap_or_default()).unwrap()
        };
        bench.send(keys[0], "x");
        assert!(answer(&mut bench, keys[0]).starts_with("HTTP/1.1 503 "));
        assert!(answer(&mut bench, keys[0]).contains("try again later"));
        assert_eq!(bench.node.operators.held_bytes, BODY_BYTES_MAX - (8 << 20));
        // What it held is free for others, and no more than that.
        let late = bench.connect([10, 0, 0, 9]).unwrap();
        bench.send(late, &head((8 << 20) + 1));
        assert!(answer(&mut bench, late).starts_with("HTTP/1.1 503 "));
        let owner = bench.node.connect_operator(Origin::Owner).unwrap();
        bench.send(
            owner,
            "POST /api/definitions HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n",
        );
        (0..19).for_each(|_| bench.send(owner, &megabyte));
        assert_eq!(answer(&mut bench, owner), "");
        for key in keys.into_iter().chain([late, owner]) {
            bench.node.remove(key);
        }
        assert_eq!(bench.node.operators.held_bytes, 0);
    }
}
