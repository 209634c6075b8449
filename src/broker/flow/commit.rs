//! How does a transaction take effect, whole or not at all?

use std::collections::HashSet;

use crate::broker::Broker;
use crate::broker::flow::admission::{Admitted, Together};
use crate::broker::flow::message::{Message, publication};
use crate::broker::key::QueueKey;
use crate::broker::serving::Unsettled;
use crate::storage::{AppendError, Appended, LogPos, Publication, QueueId};

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

/// A message of a transaction that is about to be stored.
struct Planned<'a> {
    message: Message<'a>,
    /// They take it.
    queues: &'a [QueueKey],
    /// Those that still exist, as the log knows them; of a message that its exchange holds
    /// back, the number of the exchange.
    ids: Vec<QueueId>,
}

impl Broker {
    /// Stores and enqueues `messages` in order and settles `settled`, all or nothing, also
    /// after a crash. Acknowledgements and rejections without a dead-letter exchange are
    /// settled; the caller requeues and dead-letters afterwards.
    ///
    /// When one message has to be durable, all of them go into the durable log: one record
    /// holds the transaction, and ids grow in the order of the publishes.
    ///
    /// # Errors
    /// See [`AppendError`]; then nothing was changed.
    pub fn commit(
        &mut self,
        messages: &[TransactionMessage<'_>],
        settled: &[Unsettled],
    ) -> Result<Committed, AppendError> {
        let mut together = Together::default();
        let mut admitted = Vec::with_capacity(messages.len());
        // Somebody else, or an earlier message, may have brought its deduplication key by now.
        let mut dedup_keys = HashSet::new();
        let (mut new, mut any_known) = (Vec::with_capacity(messages.len()), false);
        for one in messages {
            let dedup_key = one.message.dedup_key;
            if dedup_key.is_none_or(|dedup_key| {
                !self.is_known(dedup_key) && dedup_keys.insert(dedup_key.identity())
            }) {
                new.push(one);
            } else {
                any_known |= one.message.persistent;
            }
        }
        let messages = new;
        for TransactionMessage { queues, message } in &messages {
            let body_bytes = self.body_bytes(&message.content.body);
            let one = self.admit(queues, message.content.properties, body_bytes, &mut together);
            let letters = self.letters_of_refused(&one, message, body_bytes, &mut together);
            admitted.push((one, letters));
        }
        let mut planned = Vec::with_capacity(messages.len());
        let mut unstored = Vec::new();
        for (TransactionMessage { message, .. }, (one, letters)) in messages.iter().zip(&admitted) {
            let copies = letters.iter().map(|copy| (copy.message(message), &copy.queues));
            // One that is refused may be sent again.
            let dedup_key = message.dedup_key.filter(|_| one.refusing.is_empty());
            let own = Message { dedup_key, ..*message };
            for (message, queues) in copies.chain([(own, &one.taking)]) {
                let ids = self.ids_of(message.delay, queues);
                if !ids.is_empty() {
                    planned.push(Planned { message, queues, ids });
                } else if let Some(dedup_key) = message.dedup_key {
                    unstored.push(dedup_key);
                }
            }
        }
        // A message that is there already survives when the one that it repeats does.
        let is_repeat = |(m, (one, _)): (&&TransactionMessage<'_>, &(Admitted, Vec<_>))| {
            let asked = one.taking.len() + one.refusing.len();
            m.message.persistent && m.message.delay.is_none() && asked < m.queues.len()
        };
        let repeats = any_known || messages.iter().zip(&admitted).any(is_repeat);
        let position = self.commit_planned(&planned, settled)?;
        unstored.into_iter().for_each(|dedup_key| self.remember_dedup_key(dedup_key, false));
        let position = position.or_else(|| repeats.then(|| self.store.end()));
        let refused = admitted.iter().any(|(one, _)| !one.refusing.is_empty());
        Ok(Committed { position, refused })
    }

    fn commit_planned(
        &mut self,
        planned: &[Planned<'_>],
        settled: &[Unsettled],
    ) -> Result<Option<LogPos>, AppendError> {
        let settled = &self.where_they_are(settled);
        let durable = planned.iter().any(|Planned { message, queues, .. }| {
            self.is_logged(queues, message.persistent, message.delay)
        });
        let (logged, volatile): (Vec<&Unsettled>, Vec<&Unsettled>) = settled
            .iter()
            .partition(|unsettled| unsettled.slot.segment.is_durable() && !unsettled.kept);
        let dedup_keys: Vec<_> = logged
            .iter()
            .map(|unsettled| self.dedup_key_of(unsettled.queue, unsettled.entry))
            .collect();
        let (appended, position) = self.append_planned(planned, durable, &logged)?;
        for dedup_key in planned.iter().filter_map(|planned| planned.message.dedup_key) {
            self.remember_dedup_key(dedup_key, durable);
        }
        for (Planned { message, queues, .. }, appended) in planned.iter().zip(&appended) {
            match message.delay {
                Some(delay) => self.delay_stored(delay, appended),
                None => {
                    let body_bytes = self.store.record(appended.entry.at).body_bytes();
                    self.push_to_queues(queues, appended, message.priority, body_bytes);
                }
            }
        }
        for unsettled in volatile {
            self.ack(unsettled);
        }
        for (unsettled, dedup_key) in logged.into_iter().zip(dedup_keys) {
            self.settled_by_transaction(unsettled, dedup_key);
        }
        Ok(position)
    }

    /// Appends the messages and settles what is in the durable log, all or nothing.
    fn append_planned(
        &mut self,
        planned: &[Planned<'_>],
        durable: bool,
        logged: &[&Unsettled],
    ) -> Result<(Vec<Appended>, Option<LogPos>), AppendError> {
        let definitions: Vec<_> = planned
            .iter()
            .map(|planned| {
                self.definition_of_dedup_key(planned.message.dedup_key.filter(|_| durable)?)
            })
            .collect();
        let publications: Vec<_> = planned
            .iter()
            .zip(&definitions)
            .map(|(Planned { message, ids, .. }, definition)| {
                let mut publication = publication(message, ids, durable, self.clock_ms);
                let defines = definition.as_ref();
                publication.defines = defines.map(|(key, t)| (&key[..], t.table().as_bytes()));
                if let Some(delay) = message.delay {
                    publication.expiry_ms = self.due_ms(delay);
                }
                publication
            })
            .collect();
        let slots: Vec<_> = logged.iter().map(|unsettled| unsettled.slot).collect();
        if durable {
            let (appended, end) = self.store.append_transaction(&publications, &slots)?;
            return Ok((appended, Some(end)));
        }
        let appended = self.append_all(&publications)?;
        if slots.is_empty() {
            return Ok((appended, None));
        }
        match self.store.append_transaction(&[], &slots) {
            Ok((_, end)) => Ok((appended, Some(end))),
            Err(error) => {
                self.take_back(&appended, &publications);
                Err(error)
            }
        }
    }

    /// Appends transient messages; when one does not fit, those before it are dropped again.
    fn append_all(
        &mut self,
        publications: &[Publication<'_>],
    ) -> Result<Vec<Appended>, AppendError> {
        let mut all: Vec<Appended> = Vec::with_capacity(publications.len());
        for publication in publications {
            match self.store.append(publication) {
                Ok(appended) => all.push(appended),
                Err(error) => {
                    self.take_back(&all, publications);
                    return Err(error);
                }
            }
        }
        Ok(all)
    }

    fn take_back(&mut self, appended: &[Appended], publications: &[Publication<'_>]) {
        for (appended, publication) in appended.iter().zip(publications) {
            for index in 0..publication.queues.len() {
                let index = u32::try_from(index).expect("at most 65,535 queues");
                self.store.settle(appended.entry.at, appended.slot(index));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::TableBuf;
    use crate::broker::flow::message::Content;
    use crate::broker::testing::{declare, open, open_channel, publish_with};
    use crate::storage::Body;

    fn transient(exchange: &[u8]) -> Message<'_> {
        Message {
            content: Content {
                exchange,
                routing_key: b"q",
                properties: &[0, 0],
                body: Body::Inline(b"body"),
            },
            persistent: false,
            priority: 0,
            ttl_ms: None,
            delay: None,
            dedup_key: None,
        }
    }

    /// With small segments a commit of less than a megabyte did not wait for room that was not
    /// there yet, nor did one of transient messages: the client was told that the disk was full.
    #[test]
    fn there_is_room_for_a_commit_before_it_is_tried() {
        for persistent in [true, false] {
            commit_much(persistent);
        }
    }

    fn commit_much(persistent: bool) {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", TableBuf::new().table());
        let (queues, body) = ([queue], vec![b'x'; 7000]);
        let transient = transient(b"x");
        let content = Content { body: Body::Inline(&body), ..transient.content };
        let message = Message { content, persistent, ..transient };
        let messages: Vec<_> =
            (0..30).map(|_| TransactionMessage { queues: &queues, message }).collect();
        let mut turns = 0;
        while !broker.has_room_for(persistent, 30 * 7000) {
            broker.store.maintain().unwrap();
            broker.store.run_helper(1);
            broker.store.take_answers().unwrap();
            turns += 1;
            assert!(turns < 100, "nobody makes room");
        }
        assert!(turns > 0, "a segment is smaller than that");
        assert!(broker.commit(&messages, &[]).is_ok());
    }

    /// The acknowledgements of a transaction were carried out, and only then the room for its
    /// transient messages was looked for. The session put the deliveries back that were
    /// settled already, and the end of the channel settled them again: an assertion.
    #[test]
    fn a_commit_that_the_log_refuses_leaves_nothing_done() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_bool(b"x-message-deduplication", true);
        let queue = declare(&mut broker, "q", arguments.table());
        let other = declare(&mut broker, "other", TableBuf::new().table());
        let mut headers = TableBuf::new();
        headers.put_str(b"x-deduplication-header", "key");
        publish_with(&mut broker, queue, headers.table());
        let channel = open_channel(&mut broker);
        let unsettled = broker.get(queue, channel, false).unwrap().unsettled;

        let good = TransactionMessage { queues: &[other], message: transient(b"x") };
        // What the log refuses for its length fails where what it has no room for fails.
        let bad = TransactionMessage { queues: &[other], message: transient(&[b'x'; 256]) };
        assert_eq!(broker.commit(&[good, bad], &[unsettled]), Err(AppendError::TooLarge));

        assert_eq!(broker.queues().get(other).unwrap().ready.len(), 0);
        assert_eq!(broker.queues().get(queue).unwrap().unacked, 1);
        publish_with(&mut broker, queue, headers.table());
        assert_eq!(
            broker.queues().get(queue).unwrap().ready.len(),
            0,
            "the key is still in the queue"
        );
        broker.requeue(&unsettled);
        let again = broker.get(queue, channel, false).unwrap();
        assert_eq!(again.before, 1, "the message is there and can be settled");
        broker.ack(&again.unsettled);
        publish_with(&mut broker, queue, headers.table());
        assert_eq!(broker.queues().get(queue).unwrap().ready.len(), 1, "and its key came free");
    }
}
