//! How does a client settle its deliveries: ack, nack, reject, recover?

use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::{Broker, Held, Settlement};

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
    ) -> Result<(), AmqpError> {
        let unknown = || {
            let text = format!("unknown delivery tag {tag}");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        };
        if !multiple {
            let held = self.unacked.take(tag).ok_or_else(unknown)?;
            self.settle_one(scope.broker, tag, held, settlement);
            return Ok(());
        }
        for _ in 0..self.unacked.count_up_to(tag).ok_or_else(unknown)? {
            let Some((tag, held)) = self.unacked.take_first() else {
                break;
            };
            self.settle_one(scope.broker, tag, held, settlement);
        }
        Ok(())
    }

    /// Carries a settlement out, or notes it in the channel's transaction.
    fn settle_one(&mut self, broker: &mut Broker, tag: u64, held: Held, settlement: Settlement) {
        match &mut self.mode {
            Mode::Transaction(transaction) => transaction.settlements.push((tag, held, settlement)),
            Mode::Plain | Mode::Confirm(_) => broker.settle(&held, settlement),
        }
    }

    /// `basic.recover`: everything goes back to its queue; 540 for a redelivery to this channel.
    pub(super) fn recover(
        &mut self,
        scope: &mut Scope<'_>,
        requeue: bool,
    ) -> Result<(), AmqpError> {
        if !requeue {
            let text = "requeue=false";
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        while let Some((_, held)) = self.unacked.take_first() {
            scope.broker.requeue(&held);
        }
        Ok(())
    }
}

/// What a refusal asks for.
pub(super) fn negative(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Reject }
}
