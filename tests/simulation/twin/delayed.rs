//! What does an exchange of the type `x-delayed-message` hold back, and until when?

use std::rc::Rc;

use super::routing::keys_of;
use super::{QueueId, Twin};
use crate::ops::Publish;
use crate::values::Val;

/// An exchange and for how long it holds a message back.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    exchange: u64,
    ms: u64,
}

/// A message that waits for its time.
#[derive(Debug)]
pub struct HeldBack {
    publish: Publish,
    due_ms: u64,
    n: u64,
    born: u64,
    /// It is in the log of durable messages, maybe for another one's sake.
    logged: bool,
}

impl HeldBack {
    fn is_persistent(&self) -> bool {
        self.publish.props.delivery_mode == Some(2)
    }
}

impl Twin {
    /// For how long the exchange holds this message back, if it does.
    pub fn delay_of(&self, publish: &Publish) -> Option<Delay> {
        let exchange = self.exchanges.get(&publish.exchange)?;
        if exchange.spec.kind != "x-delayed-message" {
            return None;
        }
        let delay = match publish.props.header("x-delay")? {
            Val::I32(delay) => i64::from(*delay),
            Val::I64(delay) => *delay,
            _ => return None,
        };
        let ms = u64::try_from(delay).ok().filter(|&delay| delay > 0)?;
        Some(Delay { exchange: exchange.id, ms })
    }

    /// Whether the exchange is still there since the publish.
    pub fn holds_back(&self, publish: &Publish, delay: Delay) -> bool {
        self.exchanges.get(&publish.exchange).is_some_and(|found| found.id == delay.exchange)
    }

    pub fn hold_back(&mut self, publish: &Publish, delay: Delay) {
        if !self.holds_back(publish, delay) {
            return;
        }
        self.count("held back");
        let n = self.fresh();
        let persistent = publish.props.delivery_mode == Some(2);
        self.held_back.push(HeldBack {
            publish: publish.clone(),
            due_ms: self.now_ms.saturating_add(delay.ms),
            n,
            born: self.stamp,
            logged: persistent || self.logging,
        });
    }

    /// What is due is routed now, in the order of the times, and then of the publishes.
    pub fn release_delayed(&mut self) {
        let now = self.now_ms;
        let due = |held: &&HeldBack| held.due_ms <= now;
        while let Some(first) =
            self.held_back.iter().filter(due).map(|held| (held.due_ms, held.n)).min()
        {
            let index = self.held_back.iter().position(|held| (held.due_ms, held.n) == first);
            let held = self.held_back.remove(index.unwrap());
            self.release_one(held);
        }
    }

    fn release_one(&mut self, held: HeldBack) {
        self.count("released");
        if held.logged {
            self.released_stamp = Some(self.stamp);
        }
        let mut publish = held.publish;
        let keys = keys_of(&publish.key, &publish.props, &["CC", "BCC"]);
        let mut queues = self.route(&publish.exchange, &keys, &publish.props);
        let bytes = publish.body.len() as u64;
        queues.retain(|queue| !self.refuses(*queue, bytes));
        let queues = self.without_repeated(&queues, &publish.props);
        negate_delay(&mut publish);
        let message = self.message_of(&publish);
        let persistent = publish.props.delivery_mode == Some(2);
        let place = self.own_place();
        self.group = self.fresh();
        self.add(&Rc::clone(&message), &queues, place, persistent, None);
    }

    /// The exchange goes, and what it held back.
    pub fn forget_held_back(&mut self, exchange: &str) {
        self.held_back.retain(|held| held.publish.exchange != exchange);
    }

    /// The process is gone: what has to be there again; whether of something it cannot be said.
    pub fn held_back_after_stop(&mut self, written: u64) -> bool {
        let lasting = |held: &HeldBack, twin: &Twin| {
            let exchange = twin.exchanges.get(&held.publish.exchange);
            held.logged && exchange.is_some_and(|exchange| exchange.spec.durable)
        };
        let held: Vec<HeldBack> = std::mem::take(&mut self.held_back);
        let (lasting, _): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| lasting(held, self));
        let just_released = self.released_stamp.is_some_and(|stamp| stamp >= written);
        let unsure = |held: &HeldBack| held.born >= written || !held.is_persistent();
        let unclear = just_released || lasting.iter().any(unsure);
        self.held_back = lasting;
        for held in &mut self.held_back {
            held.born = 0;
        }
        if !unclear && !self.held_back.is_empty() {
            self.count("held back over a stop");
        }
        unclear
    }

    /// The queues for a publish that is not held back, for all of its keys.
    pub fn route_publish(&self, publish: &Publish) -> Vec<QueueId> {
        let keys = keys_of(&publish.key, &publish.props, &["CC", "BCC"]);
        self.route(&publish.exchange, &keys, &publish.props)
    }
}

/// A delay that is over is told as a negative number.
fn negate_delay(publish: &mut Publish) {
    let over = match publish.props.header("x-delay") {
        Some(Val::I32(delay)) => -i64::from(*delay),
        Some(Val::I64(delay)) => -*delay,
        other => panic!("{other:?} was a delay"),
    };
    publish.props.set_header("x-delay", Val::I64(over));
}
