//! Which operator's connection makes room for another one when there is place for no more?
//!
//! One that ended, else one of a peer that has more than its share, else the one that has least to
//! show ([`Standing`]). Who logged in and is being answered stays. So nobody keeps the others out
//! by holding connections, whether he says nothing or half a request.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

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

/// Who shares places: those of one address, or of one network that an owner of it may have whole;
/// `None` is the owner.
type Neighbourhood = Option<IpAddr>;

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
        let Some(index) = self.least_standing(neighbourhood(origin)) else {
            return false;
        };
        let key = self.operators.conversations.swap_remove(index);
        if let Some(endpoint) = self.endpoints.get_mut(key) {
            endpoint.gone = true;
            self.gone.push(key);
        }
        true
    }

    /// Whose place somebody from there may have, if anybody's.
    fn least_standing(&self, newcomer: Neighbourhood) -> Option<usize> {
        let conversation = |key| self.endpoints.get(key).and_then(Endpoint::conversation);
        let mut counts: HashMap<Neighbourhood, usize> = HashMap::new();
        for found in self.operators.conversations.iter().filter_map(|&key| conversation(key)) {
            *counts.entry(neighbourhood(found.origin())).or_default() += 1;
        }
        let count = |of: Neighbourhood| counts.get(&of).copied().unwrap_or(0);
        let is_over = |of: Neighbourhood| of.is_some() && count(of) >= SHARE_OF_PEER;
        let keys = self.operators.conversations.iter().enumerate();
        let candidates = keys.filter_map(|(index, &key)| {
            let Some(found) = conversation(key) else {
                return Some((index, (false, false, Standing::Ended, Reverse(0), None)));
            };
            let of = neighbourhood(found.origin());
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

fn neighbourhood(origin: Origin) -> Neighbourhood {
    let address = match origin {
        Origin::Address(address) | Origin::Scraper(address) => address.ip().to_canonical(),
        Origin::Owner => return None,
    };
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    })
}
