//! Which queues does somebody look for who looks for trouble? `state=` of a list of queues.
//!
//! Rates are those of the last sample, so that a state is a few seconds late.

use std::collections::BTreeSet;

use crate::amqp::Properties;
use crate::broker::counters::Happening;
use crate::broker::{Broker, Queue, QueueKey};
use crate::management::request::Request;
use crate::management::response::Response;

/// Those that a request names, separated by commas; a queue is listed that is in all of them.
pub struct States(BTreeSet<State>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It has messages.
    Ready,
    /// More comes than goes.
    Growing,
    /// Nothing comes and nothing goes.
    Idle,
    /// Messages wait, and nobody consumes.
    NoConsumers,
    /// Its consumers have messages, and acknowledge none.
    Stalled,
    /// One more message like those that it has would be refused.
    Full,
    /// The message at its front died elsewhere.
    DeadLetters,
}

const NAMES: [(&str, State); 7] = [
    ("ready", State::Ready),
    ("growing", State::Growing),
    ("idle", State::Idle),
    ("no_consumers", State::NoConsumers),
    ("stalled", State::Stalled),
    ("full", State::Full),
    ("dead_letters", State::DeadLetters),
];

impl States {
    /// # Errors
    /// 400 when it names one that there is not.
    pub fn of(request: &Request) -> Result<Self, Response> {
        let named = request.parameter("state").unwrap_or_default();
        let words = named.split(',').filter(|word| !word.is_empty());
        let state = |word: &str| {
            let found = NAMES.iter().find(|(name, _)| *name == word);
            found.map(|(_, state)| *state).ok_or_else(|| {
                let all = NAMES.map(|(name, _)| name).join(", ");
                Response::bad_request(&format!("state has to be some of {all}"))
            })
        };
        words.map(state).collect::<Result<_, _>>().map(Self)
    }

    /// What it costs to find out for one queue.
    pub fn work(&self) -> usize {
        // Rates lie beside the queue.
        const WORK_PER_STATE: usize = 2;
        let reads = self.0.contains(&State::DeadLetters);
        1 + WORK_PER_STATE * self.0.len() + if reads { WORK_PER_FRONT } else { 0 }
    }

    /// Whether a queue is in all of them.
    pub fn take(&self, broker: &Broker, key: QueueKey, queue: &Queue) -> bool {
        self.0.iter().all(|state| state.has(broker, key, queue))
    }
}

impl State {
    fn has(self, broker: &Broker, key: QueueKey, queue: &Queue) -> bool {
        let rate = |kinds: &[Happening]| -> f32 {
            let counters = queue.counters.as_ref();
            counters.map_or(0.0, |counters| {
                kinds.iter().map(|kind| counters.happened.rate(*kind)).sum()
            })
        };
        let comes = || rate(&[Happening::Publish]);
        let goes = || rate(&[Happening::Ack, Happening::DeliverNoAck, Happening::GetNoAck]);
        let is_taken = || rate(&[Happening::Deliver, Happening::Get]) > 0.0;
        match self {
            Self::Ready => queue.message_count() > 0,
            Self::Growing => queue.message_count() > 0 && comes() > goes(),
            Self::Idle => comes() == 0.0 && goes() == 0.0 && !is_taken(),
            Self::NoConsumers => queue.message_count() > 0 && queue.line.is_empty(),
            Self::Stalled => {
                queue.unacked > 0 && !queue.line.is_empty() && goes() == 0.0 && !is_taken()
            }
            Self::Full => !queue.drops_heads() && queue.would_be_too_long(1, usual_bytes(queue)),
            Self::DeadLetters => has_dead_letter(broker, key),
        }
    }
}

/// How long a body in it is on average, at least a byte.
fn usual_bytes(queue: &Queue) -> u64 {
    queue.ready_bytes.checked_div(queue.ready.len() as u64).unwrap_or(0).max(1)
}

/// What it costs to read the message at the front of a queue from the log.
pub const WORK_PER_FRONT: usize = 30;

/// Whether the message at the front says where it died.
fn has_dead_letter(broker: &Broker, key: QueueKey) -> bool {
    let Some(front) = broker.front(key) else {
        return false;
    };
    let properties = Properties::new(front.properties()).list();
    properties
        .is_ok_and(|list| list.headers.is_some_and(|headers| headers.find(b"x-death").is_some()))
}
