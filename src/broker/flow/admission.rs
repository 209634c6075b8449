//! Which of its queues take a message?
//!
//! Every message on its way into queues passes here, whether it was just published, commits with
//! others, was delayed by its exchange, or died: a full queue may refuse it, and one that takes
//! each deduplication key once may have it already. Nothing is changed; `Broker::push_to_queues`
//! does that once the message is stored.

use std::collections::{HashMap, HashSet};

use crate::amqp::Properties;
use crate::broker::Broker;
use crate::broker::flow::deduplication::dedup_key_in;
use crate::broker::key::QueueKey;

/// The queues of a message by what they say to it; those that have it already are in neither
/// list.
#[derive(Debug, Default)]
pub(in crate::broker) struct Admitted {
    /// They take it.
    pub taking: Vec<QueueKey>,
    /// They are full.
    pub refusing: Vec<QueueKey>,
}

/// What messages that are stored together with this one, before it, will have added by then.
#[derive(Debug, Default)]
pub(in crate::broker) struct Together {
    /// Messages and the bytes of their bodies.
    added: HashMap<QueueKey, (u64, u64)>,
    dedup_keys: HashSet<(QueueKey, Box<[u8]>)>,
}

impl Broker {
    /// Whether so many messages with bodies of this size together may join all of `queues`,
    /// whatever their deduplication keys: nearly always so, and found out without any memory.
    #[inline]
    pub(in crate::broker) fn all_take(
        &self,
        queues: &[QueueKey],
        messages: u64,
        bytes: u64,
    ) -> bool {
        queues.iter().all(|&key| {
            !self.takes_dedup_keys_once(key) && !self.queues.refuses_more(key, messages, bytes)
        })
    }

    /// Asks each queue. What takes the message is noted in `together` for those after it.
    pub(in crate::broker) fn admit(
        &self,
        queues: &[QueueKey],
        properties: &[u8],
        body_bytes: u64,
        together: &mut Together,
    ) -> Admitted {
        let dedup_key = match queues.iter().any(|&key| self.takes_dedup_keys_once(key)) {
            true => dedup_key_in(&Properties::new(properties).list().unwrap_or_default()),
            false => None,
        };
        let mut admitted = Admitted::default();
        for &key in queues {
            let (messages, bytes) = together.added.get(&key).copied().unwrap_or_default();
            if self.queues.refuses_more(key, messages + 1, bytes + body_bytes) {
                admitted.refusing.push(key);
                continue;
            }
            if let Some(dedup_key) = &dedup_key
                && self.takes_dedup_keys_once(key)
                && (self.holds_dedup_key(key, dedup_key)
                    || !together.dedup_keys.insert((key, dedup_key.clone())))
            {
                continue;
            }
            together.added.insert(key, (messages + 1, bytes + body_bytes));
            admitted.taking.push(key);
        }
        admitted
    }
}
