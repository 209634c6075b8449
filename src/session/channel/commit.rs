//! How does a channel's transaction begin, commit and roll back? (AMQP 0-9-1 section 1.9)

use crate::amqp::method::tx;
use crate::amqp::{AmqpError, Method, ReplyCode, encoder};
use crate::broker::{Broker, Held, Settlement};

use super::Mode;
use super::publish::no_room;
use super::transaction::Transaction;
use crate::session::{Session, Wait, WaitUntil};

impl Session {
    pub(in crate::session) fn tx_select(&mut self, number: u16) -> Result<(), AmqpError> {
        let channel = self.channel_at(number);
        match channel.mode {
            Mode::Plain => channel.mode = Mode::Transaction(Transaction::default()),
            Mode::Transaction(_) => {}
            Mode::Confirm(_) => {
                let text = "cannot switch from confirm to tx mode";
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        self.send(number, &Method::TxSelectOk(tx::SelectOk {}));
        Ok(())
    }

    /// Stores and enqueues the publishes, then carries the settlements out. The answer leaves
    /// when the log is durable.
    pub(in crate::session) fn tx_commit(
        &mut self,
        broker: &mut Broker,
        number: u16,
    ) -> Result<(), AmqpError> {
        let mut transaction = self.take_transaction(number)?;
        let (messages, returned): (Vec<_>, Vec<_>) =
            transaction.messages(broker).into_iter().unzip();
        for (message, returned) in messages.iter().zip(returned) {
            if returned {
                self.send_return(broker, number, &message.message);
            }
        }
        let settled: Vec<_> = transaction
            .settlements
            .iter()
            .filter(|(_, held, settlement)| broker.is_settled_by(held, *settlement))
            .map(|(_, held, _)| *held)
            .collect();
        let outcome = broker.commit(&messages, &settled).map_err(no_room);
        transaction.release_bodies(broker);
        let committed = match outcome {
            Ok(committed) => committed,
            Err(error) => {
                self.make_outstanding(number, transaction.settlements);
                return Err(error);
            }
        };
        for (_, held, settlement) in transaction.settlements {
            if !broker.is_settled_by(&held, settlement) {
                broker.settle(&held, settlement);
            }
        }
        if committed.refused {
            let text = "partial tx completion";
            return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        }
        let ok = Method::TxCommitOk(tx::CommitOk {});
        match committed.position {
            None => self.send(number, &ok),
            Some(position) => {
                let mut reply = Vec::new();
                encoder::method_frame(&mut reply, number, &ok);
                let until = WaitUntil::Messages(position);
                self.wait = Some(Wait { until, channel: number, reply });
            }
        }
        Ok(())
    }

    /// Whether the messages of a channel's transaction belong in the durable log, and so many bytes
    /// of room its commit takes, about.
    pub(in crate::session) fn transaction_room(
        &mut self,
        broker: &Broker,
        number: u16,
    ) -> (bool, u64) {
        match &self.channel_at(number).mode {
            Mode::Transaction(transaction) => {
                (transaction.is_durable(broker), transaction.log_bytes())
            }
            Mode::Plain | Mode::Confirm(_) => (false, 0),
        }
    }

    /// Drops the publishes; what was acked is outstanding again.
    pub(in crate::session) fn tx_rollback(
        &mut self,
        broker: &mut Broker,
        number: u16,
    ) -> Result<(), AmqpError> {
        let mut transaction = self.take_transaction(number)?;
        transaction.release_bodies(broker);
        self.make_outstanding(number, transaction.settlements);
        self.send(number, &Method::TxRollbackOk(tx::RollbackOk {}));
        Ok(())
    }

    /// Deliveries that the transaction does not settle after all have to be acknowledged in time.
    fn make_outstanding(&mut self, number: u16, settled: Vec<(u64, Held, Settlement)>) {
        for (_, held, _) in &settled {
            self.note_ack_due(held.due_ms);
        }
        let held = settled.into_iter().map(|(tag, held, _)| (tag, held));
        self.channel_at(number).unacked.put_back(held);
    }

    fn take_transaction(&mut self, number: u16) -> Result<Transaction, AmqpError> {
        match &mut self.channel_at(number).mode {
            Mode::Transaction(transaction) => Ok(std::mem::take(transaction)),
            Mode::Plain | Mode::Confirm(_) => {
                let text = "channel is not transactional";
                Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
            }
        }
    }
}
