//! What may operators do with messages: publish, take and look at them?

use crate::amqp::{AmqpError, Properties, PropertyList, ReplyCode};
use crate::broker::Broker;
use crate::broker::counters::Happening;
use crate::broker::flow::blind;
use crate::broker::flow::delivery::{Got, slot_in};
use crate::broker::flow::message::{Content, Delay, Message, PERSISTENT, Published};
use crate::broker::key::{ArenaKey, ChannelKey, ExchangeKey, QueueKey};
use crate::broker::requests::checks::{Checked, Copies, check};
use crate::broker::users::access::Subject;
use crate::storage::{AppendError, Entry, LogPos, MessageId, Record, RecordRef};

use crate::broker::flow::deduplication::Sighting;

/// What became of an operator's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The log has no room for it: nothing was done.
    NoRoom,
    /// No queue got it.
    Unroutable,
    /// Queues got it; if it is persistent, it is durable once the log is up to there.
    Routed(Option<LogPos>),
}

/// A message in a queue, as somebody sees it who does not take it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// What it is known by as long as it is in the queue.
    pub id: MessageId,
    /// Where it lies.
    pub at: RecordRef,
    /// How often it was delivered.
    pub deliveries: u8,
    /// Its place among the ready ones, or its offset in a stream.
    pub position: u64,
}

/// Where a message goes.
struct Ways {
    exchange: ExchangeKey,
    queues: Vec<QueueKey>,
    delay: Option<Delay>,
    ttl_ms: Option<u64>,
    /// The property bytes to store, where they are not those that came.
    properties: Option<Vec<u8>>,
}

impl Broker {
    /// Where the body of a message belongs, after all checks but that of its size: in the durable
    /// log (`true`), or among the transient ones.
    ///
    /// # Errors
    /// What is wrong with it, as any publisher is told.
    pub fn belongs_on_disk(
        &mut self,
        subject: &Subject,
        content: &Content<'_, ()>,
    ) -> Result<bool, AmqpError> {
        let list = Properties::new(content.properties).list()?;
        let ways = self.ways(subject, content, &list)?;
        let persistent = list.delivery_mode == Some(PERSISTENT);
        Ok(self.is_logged(&ways.queues, persistent, ways.delay))
    }

    /// Publishes for an operator, after the checks of every publish but that of the size.
    ///
    /// # Errors
    /// What is wrong with it, as any publisher is told.
    pub fn publish(
        &mut self,
        subject: &Subject,
        content: &Content<'_>,
    ) -> Result<Outcome, AmqpError> {
        let list = Properties::new(content.properties).list()?;
        let mut ways = self.ways(subject, content, &list)?;
        let sighting = self.look_for_dedup_key(subject.vhost, content.exchange, &list);
        let is_repeated = matches!(sighting, Sighting::Repeated);
        if is_repeated {
            ways.queues.clear();
        }
        let is_unroutable = ways.delay.is_none() && self.queues.are_no_destination(&ways.queues);
        let properties = ways.properties.as_deref().unwrap_or(content.properties);
        let message = Message {
            content: Content { properties, ..*content },
            persistent: list.delivery_mode == Some(PERSISTENT),
            priority: list.priority.unwrap_or(0),
            ttl_ms: ways.ttl_ms,
            delay: ways.delay,
            dedup_key: sighting.new_key(),
        };
        let published = if is_repeated && message.persistent {
            self.repeated()
        } else {
            match self.enqueue(&ways.queues, &message) {
                Ok(published) => published,
                Err(AppendError::Full) => return Ok(Outcome::NoRoom),
                Err(AppendError::TooLarge) => {
                    let text = "the message is too large for the message log";
                    return Err(AmqpError::channel(ReplyCode::ResourceError, text));
                }
            }
        };
        self.counters.note(Happening::Publish);
        self.count_size(&content.body);
        self.count_routed(ways.exchange, 1, ways.queues.len() as u64);
        if is_unroutable {
            self.counters.note(Happening::DropUnroutable);
        }
        if self.is_traced(subject.vhost) {
            self.trace_published_by_operator(subject.vhost, &message.content, &ways.queues);
        }
        Ok(match published {
            Published::Refused => Outcome::Unroutable,
            Published::Done | Published::DurableAt(_) if is_unroutable => Outcome::Unroutable,
            Published::Done => Outcome::Routed(None),
            Published::DurableAt(position) => Outcome::Routed(Some(position)),
        })
    }

    /// Where an operator's message would go now, after the checks of every publish; a delay comes
    /// before that. Fills `queues`, and gives the exchanges that it would pass.
    ///
    /// # Errors
    /// What is wrong with it, as any publisher is told.
    pub fn preview(
        &mut self,
        subject: &Subject,
        content: &Content<'_, ()>,
        queues: &mut Vec<QueueKey>,
    ) -> Result<Vec<ExchangeKey>, AmqpError> {
        let list = Properties::new(content.properties).list()?;
        let exchange = check(self, subject, content, &list, None)?.exchange;
        let key = content.routing_key;
        let passed = self.topology.trace(&mut self.work, exchange, key, &list, queues);
        Ok(passed.to_vec())
    }

    fn ways<B>(
        &mut self,
        subject: &Subject,
        content: &Content<'_, B>,
        list: &PropertyList<'_>,
    ) -> Result<Ways, AmqpError> {
        let checked = check(self, subject, content, list, None)?;
        let Checked { exchange, ttl_ms, copies, .. } = checked;
        let delay = self.delay_of(exchange, list);
        let mut queues = Vec::new();
        if delay.is_none() {
            self.route_all(exchange, content.routing_key, list, &mut queues);
        }
        let properties = (copies == Copies::Blind).then(|| blind::stored(list));
        Ok(Ways { exchange, queues, delay, ttl_ms, properties })
    }

    /// Takes the next message of a queue for an operator, who has no channel: what is not settled
    /// at once has to be given back by whoever took it.
    pub fn take(&mut self, key: QueueKey, no_ack: bool) -> Option<Got> {
        // No arena gives this key out.
        let got = self.get(key, ChannelKey::new(u32::MAX, 0), no_ack)?;
        if self.traces() {
            self.trace_taken_by_operator(key, got.unsettled.entry, got.before);
        }
        Some(got)
    }

    /// The messages of a queue from a position on, as far as they are ready; in a stream a
    /// position is an offset.
    pub fn look(&mut self, key: QueueKey, from: u64, count: usize) -> Vec<Seen> {
        let Some(queue) = self.queues.get(key) else {
            return Vec::new();
        };
        let scratch = self.queues.scratch();
        let (first, entries): (u64, Vec<Entry>) = match &queue.stream {
            Some(stream) => {
                let first = from.max(stream.first_offset());
                let offsets = (first..).take(count);
                (first, offsets.map_while(|offset| stream.at(offset, scratch)).collect())
            }
            None => {
                let place = usize::try_from(from).unwrap_or(usize::MAX);
                let (entries, passed) = queue.ready.from_position(place, count, scratch);
                self.work.spend(passed);
                (from, entries)
            }
        };
        let id = queue.id;
        let seen = |(position, entry): (u64, Entry)| {
            let (slot, _) = slot_in(&self.store, entry, id);
            Seen { id: entry.id, at: entry.at, deliveries: self.store.deliveries(slot), position }
        };
        (first..).zip(entries).map(seen).collect()
    }

    /// Where the messages of a queue end that [`Broker::look`] finds.
    pub fn end_of_line(&self, key: QueueKey) -> u64 {
        self.queues.get(key).map_or(0, |queue| match &queue.stream {
            Some(stream) => stream.next_offset(),
            None => queue.ready.len() as u64,
        })
    }

    /// The message that has been in a queue for longest, as far as its line says.
    pub fn front(&self, key: QueueKey) -> Option<Record<'_>> {
        let queue = self.queues.get(key)?;
        let entry = match &queue.stream {
            Some(stream) => stream.at(stream.first_offset(), self.queues.scratch()),
            None => queue.ready.front(),
        };
        entry.map(|entry| self.store.record(entry.at))
    }

    /// For how long the oldest message of all queues has been there, in ms, as far as is known
    /// ([`crate::broker::serving::Queues::oldest`]); 0: there is none.
    pub fn oldest_message_age_ms(&self) -> u64 {
        let front = self.queues.oldest().and_then(|key| self.front(key));
        front.map_or(0, |front| self.clock_ms.saturating_sub(front.published_ms()))
    }

    /// The first bytes of the body of a stored message.
    pub fn beginning_of_body(&self, at: RecordRef, bytes_max: usize) -> Vec<u8> {
        let mut body = Vec::new();
        for part in self.store.record(at).body() {
            let left = bytes_max - body.len();
            body.extend_from_slice(&part[..part.len().min(left)]);
            if body.len() == bytes_max {
                break;
            }
        }
        body
    }
}
