//! How does a client settle its deliveries: ack, nack, reject, recover?

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, Method, ReplyCode};
use crate::broker::{Broker, Settlement, TakeBack, Unsettled};

use super::frames::Progress;
use super::scope::Scope;
use super::{Channel, Mode};

/// What is settled out of order is looked for, and lies anywhere in memory.
const WORK_OUT_OF_ORDER: usize = 8;

/// What a method settles.
pub(super) struct Settling {
    tag: u64,
    multiple: bool,
    settlement: Settlement,
}

impl Settling {
    /// What it does if it is `basic.ack`, `basic.nack` or `basic.reject`.
    #[inline]
    pub(super) fn of(method: &Method<'_>) -> Option<Self> {
        let (tag, multiple, settlement) = if let Method::BasicAck(ack) = method {
            (ack.delivery_tag, ack.multiple, Settlement::Ack)
        } else if let Method::BasicNack(nack) = method {
            (nack.delivery_tag, nack.multiple, negative(nack.requeue))
        } else if let Method::BasicReject(reject) = method {
            (reject.delivery_tag, false, negative(reject.requeue))
        } else {
            return None;
        };
        Some(Self { tag, multiple, settlement })
    }
}

impl Channel {
    /// Does it; 406 for an unknown or settled tag.
    pub(super) fn settle(
        &mut self,
        scope: &mut Scope<'_>,
        settling: Settling,
    ) -> Result<Progress, AmqpError> {
        let Settling { tag, multiple, settlement } = settling;
        let unknown = || {
            let text = format!("unknown delivery tag {tag}");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        };
        if !multiple {
            // It stays where it lies while it is settled.
            if let Some(unsettled) = self.unacked.first_if(tag) {
                settle_one(&mut self.mode, scope.broker, tag, unsettled, settlement);
                self.unacked.drop_first();
                self.count_settled(scope.broker, settlement, 1);
                return Ok(Progress::Took(0));
            }
            scope.broker.work.spend(WORK_OUT_OF_ORDER);
            let Some(unsettled) = self.unacked.take(tag) else {
                // It is somebody else's by now, or was; the client could not know.
                let was_taken_back = (1..=self.taken_back_to).contains(&tag);
                return if was_taken_back { Ok(Progress::Took(0)) } else { Err(unknown()) };
            };
            settle_one(&mut self.mode, scope.broker, tag, &unsettled, settlement);
            self.count_settled(scope.broker, settlement, 1);
            return Ok(Progress::Took(0));
        }
        let is_known = tag <= self.taken_back_to || self.unacked.knows(tag);
        if self.goes_on_to.is_none() && !is_known {
            return Err(unknown());
        }
        Ok(self.settle_up_to(scope.broker, tag, settlement))
    }

    /// Settles the deliveries up to a tag, 0 meaning all so far, as far as this step allows. What
    /// comes to the channel again meanwhile is not meant.
    fn settle_up_to(&mut self, broker: &mut Broker, tag: u64, settlement: Settlement) -> Progress {
        let newest = if tag == 0 { self.unacked.last_tag() } else { tag };
        let last = self.goes_on_to.take().unwrap_or(newest);
        let mut settled = 0;
        while self.unacked.first_tag().is_some_and(|first| first <= last) {
            if !broker.may_settle(settlement) {
                self.goes_on_to = Some(last);
                break;
            }
            if let Some((tag, unsettled)) = self.unacked.take_first() {
                settle_one(&mut self.mode, broker, tag, &unsettled, settlement);
                settled += 1;
            }
        }
        self.count_settled(broker, settlement, settled);
        if self.goes_on_to.is_some() { Progress::ComesAgain } else { Progress::Took(0) }
    }

    /// So many deliveries were settled; in a transaction, they count when it commits.
    #[inline]
    fn count_settled(&mut self, broker: &mut Broker, settlement: Settlement, times: u64) {
        if settlement != Settlement::Ack || times == 0 {
            return;
        }
        match &mut self.mode {
            Mode::Transaction(transaction) => transaction.acks += times,
            Mode::Plain | Mode::Confirm(_) => self.count_acked(broker, times),
        }
    }

    /// Gives back what an operator wants, as far as this step allows; whether that was all. What
    /// the client says of these deliveries later means nothing, whatever it is.
    pub fn take_back(&mut self, broker: &mut Broker, wanted: &mut TakeBack) -> bool {
        loop {
            let queue = broker.queues().get(wanted.queue);
            if queue.is_none_or(|queue| queue.unacked == 0) {
                return true;
            }
            let Some((tag, unsettled)) = self.unacked.first_after(wanted.looked_at) else {
                return true;
            };
            if broker.work.is_done() {
                return false;
            }
            broker.work.spend(WORK_OUT_OF_ORDER);
            wanted.looked_at = tag;
            let is_meant = wanted.consumer.is_none() || wanted.consumer == unsettled.consumer;
            if unsettled.queue == wanted.queue
                && is_meant
                && let Some(unsettled) = self.unacked.take(tag)
            {
                self.taken_back_to = self.taken_back_to.max(tag);
                broker.return_for(wanted.order, &unsettled);
            }
        }
    }

    /// `basic.recover`: everything goes back to its queue; 540 for a redelivery to this channel.
    pub(super) fn recover(
        &mut self,
        scope: &mut Scope<'_>,
        requeue: bool,
        is_answered: bool,
    ) -> Result<Progress, AmqpError> {
        if !requeue {
            let text = "requeue=false";
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        // A transaction has no say in it.
        let mode = std::mem::take(&mut self.mode);
        let progress = self.settle_up_to(scope.broker, 0, Settlement::Requeue);
        self.mode = mode;
        if is_answered && progress != Progress::ComesAgain {
            scope.out.send(&basic::RecoverOk {}.into());
        }
        Ok(progress)
    }
}

/// Carries a settlement out, or notes it in the channel's transaction.
#[inline]
fn settle_one(
    mode: &mut Mode,
    broker: &mut Broker,
    tag: u64,
    unsettled: &Unsettled,
    settlement: Settlement,
) {
    match mode {
        Mode::Transaction(transaction) => {
            broker.work.spend(1);
            transaction.settlements.push_back((tag, *unsettled, settlement));
        }
        Mode::Plain | Mode::Confirm(_) => broker.settle(unsettled, settlement),
    }
}

/// What a refusal asks for.
fn negative(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Reject }
}
