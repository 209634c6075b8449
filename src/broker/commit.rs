//! How does a transaction take effect, whole or not at all?

use std::collections::HashMap;

use crate::broker::Broker;
use crate::broker::key::QueueKey;
use crate::broker::publish::{Message, Published, publication};
use crate::broker::settle::Held;
use crate::storage::{AppendError, Appended, LogPos, QueueId};

/// A message of a transaction and the queues that it was routed to.
#[derive(Debug)]
pub struct TransactionMessage<'a> {
    /// Where it goes; those that are gone by now are passed over.
    pub queues: &'a [QueueKey],
    /// What is stored.
    pub message: Message<'a>,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// What `tx.commit-ok` waits for, if anything.
    pub position: Option<LogPos>,
    /// A full queue refused a message.
    pub refused: bool,
}

impl Broker {
    /// Stores and enqueues `messages` in order and settles `settled`, all or nothing, also
    /// after a crash. Acknowledgements and rejections without a dead-letter exchange are
    /// settled; the caller requeues and dead-letters afterwards.
    ///
    /// When one message has to be durable, all of them go into the durable log: one record
    /// holds the transaction, and ids grow in the order of the publishes.
    pub fn commit(
        &mut self,
        messages: &[TransactionMessage<'_>],
        settled: &[Held],
    ) -> Result<Committed, AppendError> {
        let mut refused = false;
        let mut queues: Vec<Vec<QueueKey>> = Vec::with_capacity(messages.len());
        // What the messages before this one will have added to each queue by then.
        let mut added: HashMap<QueueKey, (u64, u64)> = HashMap::new();
        for message in messages {
            let body_bytes = self.body_bytes(&message.message.body);
            let (refusing, accepting): (Vec<_>, Vec<_>) = message.queues.iter().partition(|&key| {
                let (messages, bytes) = added.get(key).copied().unwrap_or_default();
                self.refuses_more(*key, messages + 1, bytes + body_bytes)
            });
            for &key in &accepting {
                let (messages, bytes) = added.entry(key).or_default();
                *messages += 1;
                *bytes += body_bytes;
            }
            refused |= !refusing.is_empty();
            self.dead_letter_refused(&refusing, &message.message, body_bytes)?;
            queues.push(accepting);
        }
        let messages: Vec<_> = messages
            .iter()
            .zip(&queues)
            .map(|(m, queues)| TransactionMessage { queues, message: m.message })
            .collect();
        let mut position = self.commit_accepted(&messages, settled)?;
        for message in &messages {
            if let Some(delay) = message.message.delay
                && let Published::DurableAt(held) = self.hold_message(&message.message, delay)?
            {
                position = Some(held);
            }
        }
        Ok(Committed { position, refused })
    }

    fn commit_accepted(
        &mut self,
        messages: &[TransactionMessage<'_>],
        settled: &[Held],
    ) -> Result<Option<LogPos>, AppendError> {
        let settled = &self.where_they_are(settled);
        for held in settled {
            self.forget_name(held.queue, held.entry);
        }
        let durable =
            messages.iter().any(|m| self.needs_durability(m.queues, m.message.persistent));
        let (logged, volatile): (Vec<&Held>, Vec<&Held>) =
            settled.iter().partition(|held| held.slot.segment.is_durable() && !held.kept);
        let mut ids: Vec<Vec<QueueId>> = Vec::with_capacity(messages.len());
        for message in messages {
            let mut live = Vec::new();
            self.live_queue_ids(message.queues, &mut live);
            ids.push(live);
        }
        let routed: Vec<_> = messages.iter().zip(&ids).filter(|(_, ids)| !ids.is_empty()).collect();
        let publications: Vec<_> = routed
            .iter()
            .map(|(m, ids)| publication(&m.message, ids, durable, self.clock_ms))
            .collect();
        let mut position = None;
        let appended = if durable || !logged.is_empty() {
            let slots: Vec<_> = logged.iter().map(|held| held.slot).collect();
            let in_log = if durable { &publications[..] } else { &[] };
            let (mut appended, end) = self.store.append_transaction(in_log, &slots)?;
            position = Some(end);
            if !durable {
                appended = self.append_all(&publications)?;
            }
            appended
        } else {
            self.append_all(&publications)?
        };
        for ((message, _), appended) in routed.iter().zip(&appended) {
            let body_bytes = self.store.record(appended.entry.at).body_bytes();
            self.push_to_queues(message.queues, appended, message.message.priority, body_bytes);
        }
        for held in volatile {
            self.ack(held);
        }
        for held in logged {
            self.settled_by_transaction(held);
        }
        Ok(position)
    }

    /// Appends transient messages; when one does not fit, those before it are dropped again.
    fn append_all(
        &mut self,
        publications: &[crate::storage::Publication<'_>],
    ) -> Result<Vec<Appended>, AppendError> {
        let mut all: Vec<Appended> = Vec::with_capacity(publications.len());
        for publication in publications {
            match self.store.append(publication) {
                Ok(appended) => all.push(appended),
                Err(error) => {
                    for (appended, publication) in all.iter().zip(publications) {
                        for index in 0..publication.queues.len() {
                            let index = u32::try_from(index).expect("at most 65,535 queues");
                            self.store.settle(appended.entry.at, appended.slot(index));
                        }
                    }
                    return Err(error);
                }
            }
        }
        Ok(all)
    }
}
