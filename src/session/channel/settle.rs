//! How does a client settle its deliveries: ack, nack, reject, recover?

use crate::amqp::method::basic;
use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::{Broker, Held, Settlement};

use super::frames::Progress;
use super::scope::Scope;
use super::{Channel, Mode};

impl Channel {
    /// `basic.ack`, `basic.nack`, `basic.reject`; 406 for an unknown or settled tag.
    pub(super) fn settle(
        &mut self,
        scope: &mut Scope<'_>,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<Progress, AmqpError> {
        let unknown = || {
            let text = format!("unknown delivery tag {tag}");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        };
        if !multiple {
            let held = self.unacked.take(tag).ok_or_else(unknown)?;
            self.settle_one(scope.broker, tag, held, settlement);
            return Ok(Progress::Took(0));
        }
        for _ in 0..self.unacked.count_up_to(tag).ok_or_else(unknown)? {
            if !scope.broker.may_settle(settlement) {
                return Ok(Progress::ComesAgain);
            }
            let Some((tag, held)) = self.unacked.take_first() else {
                break;
            };
            self.settle_one(scope.broker, tag, held, settlement);
        }
        Ok(Progress::Took(0))
    }

    /// Carries a settlement out, or notes it in the channel's transaction.
    fn settle_one(&mut self, broker: &mut Broker, tag: u64, held: Held, settlement: Settlement) {
        match &mut self.mode {
            Mode::Transaction(transaction) => {
                broker.work.spend(1);
                transaction.settlements.push((tag, held, settlement));
            }
            Mode::Plain | Mode::Confirm(_) => broker.settle(&held, settlement),
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
        // What comes to it again meanwhile is not meant.
        let last = self.recovers_up_to.take().unwrap_or(self.unacked.last_tag());
        while self.unacked.first_tag().is_some_and(|first| first <= last)
            && let Some((_, held)) = self.unacked.take_first()
        {
            scope.broker.requeue(&held);
            if scope.broker.work.is_done() {
                self.recovers_up_to = Some(last);
                return Ok(Progress::ComesAgain);
            }
        }
        if is_answered {
            scope.out.send(&basic::RecoverOk {}.into());
        }
        Ok(Progress::Took(0))
    }
}

/// What a refusal asks for.
pub(super) fn negative(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Reject }
}
