//! How does a channel's transaction begin, commit and roll back? (AMQP 0-9-1 section 1.9)

use crate::amqp::method::tx;
use crate::amqp::{AmqpError, ReplyCode};
use crate::broker::counters::Happening;
use crate::broker::flow::transaction::Settlements;
use crate::broker::{Commit, Committed, Transaction};
use crate::session::wait::{Wait, WaitUntil};

use super::frames::Progress;
use super::publish::no_room;
use super::scope::{Notes, Scope};
use super::{Channel, Mode};

impl Channel {
    pub(super) fn tx_select(&mut self, scope: &mut Scope<'_>) -> Result<(), AmqpError> {
        match self.mode {
            Mode::Plain => self.mode = Mode::Transaction(Box::default()),
            Mode::Transaction(_) => {}
            Mode::Confirm(_) => {
                let text = "cannot switch from confirm to tx mode";
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        scope.out.send(&tx::SelectOk {}.into());
        Ok(())
    }

    /// Returns what no queue gets, stores and enqueues the other publishes, then carries the
    /// settlements out. The answer leaves when the log is durable.
    pub(super) fn tx_commit(&mut self, scope: &mut Scope<'_>) -> Result<Progress, AmqpError> {
        let transaction = self.transaction()?;
        let Scope { broker, out, .. } = scope;
        let mut returned = 0;
        while let Some(content) = transaction.next_to_return(broker) {
            out.send_return(broker, &content);
            returned += 1;
        }
        let all_returned = transaction.all_returned();
        self.count_unroutable(broker, Happening::ReturnUnroutable, returned);
        if !all_returned {
            return Ok(Progress::ComesAgain);
        }
        let transaction = std::mem::take(self.transaction()?);
        self.count_committed(broker, transaction.counts().0 as u64, transaction.acks);
        match broker.commit(transaction) {
            Commit::Over(committed) => self.committed(scope, committed)?,
            Commit::GoesOn(number) => {
                let until = WaitUntil::Committed(number);
                out.notes.wait = Some(Wait { until, channel: out.number, reply: Vec::new() });
            }
        }
        Ok(Progress::Took(0))
    }

    /// The commit is over.
    pub fn committed(
        &mut self,
        scope: &mut Scope<'_>,
        committed: Committed,
    ) -> Result<(), AmqpError> {
        match committed {
            Committed::Done { refused: true, .. } => {
                let text = "partial tx completion";
                Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
            }
            Committed::Done { position, refused: false } => {
                let until = position.map(WaitUntil::Messages);
                scope.out.answer_when(false, until, tx::CommitOk {}.into());
                Ok(())
            }
            Committed::Failed(error, settlements) => {
                self.make_outstanding(scope.out.notes, settlements);
                Err(no_room(error))
            }
        }
    }

    /// Whether the messages of the channel's transaction belong in the durable log, and so many
    /// bytes of room its commit takes, about.
    pub(super) fn transaction_room(&self) -> (bool, u64) {
        match &self.mode {
            Mode::Transaction(transaction) => transaction.room(),
            Mode::Plain | Mode::Confirm(_) => (false, 0),
        }
    }

    /// Drops the publishes; what was acked is outstanding again.
    pub(super) fn tx_rollback(&mut self, scope: &mut Scope<'_>) -> Result<(), AmqpError> {
        let mut transaction = std::mem::take(self.transaction()?);
        transaction.release_bodies(scope.broker);
        self.make_outstanding(scope.out.notes, transaction.settlements);
        scope.out.send(&tx::RollbackOk {}.into());
        Ok(())
    }

    /// Deliveries that the transaction does not settle after all have to be acknowledged in time.
    fn make_outstanding(&mut self, notes: &mut Notes, settled: Settlements) {
        for (_, unsettled, _) in settled.iter() {
            notes.note_ack_due(unsettled.due_ms);
        }
        self.unacked.put_back(settled.map(|(tag, unsettled, _)| (tag, unsettled)));
    }

    fn transaction(&mut self) -> Result<&mut Transaction, AmqpError> {
        match &mut self.mode {
            Mode::Transaction(transaction) => Ok(transaction),
            Mode::Plain | Mode::Confirm(_) => {
                let text = "channel is not transactional";
                Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
            }
        }
    }
}
