//! How does a channel's transaction begin, commit and roll back? (AMQP 0-9-1 section 1.9)

use crate::amqp::method::tx;
use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::{Broker, Settlement, Unsettled};
use crate::session::wait::WaitUntil;

use super::publish::no_room;
use super::scope::{Notes, Scope};
use super::transaction::Transaction;
use super::{Channel, Mode};

impl Channel {
    pub(super) fn tx_select(&mut self, scope: &mut Scope<'_>) -> Result<(), AmqpError> {
        match self.mode {
            Mode::Plain => self.mode = Mode::Transaction(Transaction::default()),
            Mode::Transaction(_) => {}
            Mode::Confirm(_) => {
                let text = "cannot switch from confirm to tx mode";
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        scope.out.send(&tx::SelectOk {}.into());
        Ok(())
    }

    /// Stores and enqueues the publishes, then carries the settlements out. The answer leaves
    /// when the log is durable.
    pub(super) fn tx_commit(&mut self, scope: &mut Scope<'_>) -> Result<(), AmqpError> {
        let mut transaction = self.take_transaction()?;
        let Scope { broker, out, .. } = scope;
        let (messages, returned): (Vec<_>, Vec<_>) =
            transaction.messages(broker).into_iter().unzip();
        for (message, returned) in messages.iter().zip(returned) {
            if returned {
                out.send_return(broker, &message.message.content);
            }
        }
        let settled: Vec<_> = transaction
            .settlements
            .iter()
            .filter(|(_, unsettled, settlement)| broker.is_settled_by(unsettled, *settlement))
            .map(|(_, unsettled, _)| *unsettled)
            .collect();
        let outcome = broker.commit(&messages, &settled).map_err(no_room);
        transaction.release_bodies(broker);
        let committed = match outcome {
            Ok(committed) => committed,
            Err(error) => {
                self.make_outstanding(out.notes, transaction.settlements);
                return Err(error);
            }
        };
        for (_, unsettled, settlement) in transaction.settlements {
            if !broker.is_settled_by(&unsettled, settlement) {
                broker.settle(&unsettled, settlement);
            }
        }
        if committed.refused {
            let text = "partial tx completion";
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        let until = committed.position.map(WaitUntil::Messages);
        out.answer_when(false, until, tx::CommitOk {}.into());
        Ok(())
    }

    /// Whether the messages of the channel's transaction belong in the durable log, and so many
    /// bytes of room its commit takes, about.
    pub(super) fn transaction_room(&self, broker: &Broker) -> (bool, u64) {
        match &self.mode {
            Mode::Transaction(transaction) => {
                (transaction.is_durable(broker), transaction.log_bytes())
            }
            Mode::Plain | Mode::Confirm(_) => (false, 0),
        }
    }

    /// Drops the publishes; what was acked is outstanding again.
    pub(super) fn tx_rollback(&mut self, scope: &mut Scope<'_>) -> Result<(), AmqpError> {
        let mut transaction = self.take_transaction()?;
        transaction.release_bodies(scope.broker);
        self.make_outstanding(scope.out.notes, transaction.settlements);
        scope.out.send(&tx::RollbackOk {}.into());
        Ok(())
    }

    /// Deliveries that the transaction does not settle after all have to be acknowledged in time.
    fn make_outstanding(&mut self, notes: &mut Notes, settled: Vec<(u64, Unsettled, Settlement)>) {
        for (_, unsettled, _) in &settled {
            notes.note_ack_due(unsettled.due_ms);
        }
        self.unacked.put_back(settled.into_iter().map(|(tag, unsettled, _)| (tag, unsettled)));
    }

    fn take_transaction(&mut self) -> Result<Transaction, AmqpError> {
        match &mut self.mode {
            Mode::Transaction(transaction) => Ok(std::mem::take(transaction)),
            Mode::Plain | Mode::Confirm(_) => {
                let text = "channel is not transactional";
                Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
            }
        }
    }
}
