//! What is in a stream, and what leaves it?
//!
//! A stream is a queue whose messages stay, whoever reads them, until retention drops them at
//! the front: those beyond the length in bytes, and those past their age. Messages are numbered
//! by offsets from 0, in the order in which they came.
//!
//! No record holds an offset. It is the offset of the front plus the place behind it, so the
//! front has to be found again at start: the queue's definition says from which message id on
//! messages count, and which offset the first of them has. The log says that what was dropped is
//! settled only behind the definition that passes over it. A crash in between finds those messages
//! alive, and drops those before that id at once and the others by retention, as before.

use crate::amqp::{AmqpError, ReplyCode, Table, TableBuf};
use crate::broker::key::{ConsumerKey, QueueKey};
use crate::broker::queue::ready::Ready;
use crate::broker::resource::Resource;
use crate::broker::{Broker, Queue};
use crate::storage::{Entry, EntryQueue, MessageId, ScratchPool};

/// The messages of one stream.
///
/// Invariants:
/// 1. The message at position `n` of `log` has the offset `first_offset + n`.
/// 2. Every message of the stream with an id below `first_id` was dropped.
/// 3. A reader is in `caught_up` or may be in its queue's line, never in both.
#[derive(Debug)]
pub(in crate::broker) struct Stream {
    log: EntryQueue,
    first_offset: u64,
    first_id: MessageId,
    /// The bodies' bytes of the messages in `log`.
    bytes: u64,
    /// Dropped messages that no definition passes over yet.
    dropped: Ready,
    dropped_bytes: u64,
    /// When the first of them was dropped, in ms since 1970.
    dropped_since_ms: u64,
    /// Readers that have read everything; the next message puts them into the line again.
    caught_up: Vec<ConsumerKey>,
}

/// How many messages of one stream are dropped before the others have their turn.
const DROPPED_AT_A_TIME_MAX: usize = 20_000;

/// So many dropped messages are worth a definition.
const DROPPED_MAX: usize = 16_384;

/// So many bytes of dropped messages are worth a definition.
const DROPPED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Dropped messages keep their space for no longer than this.
const DROPPED_FOR_MS_MAX: u64 = 1000;

/// The age of messages is looked at no more often than this.
const AGE_STEP_MS: u64 = 100;

const FIRST_OFFSET: &[u8] = b"first_offset";
const FIRST_ID: &[u8] = b"first_id";

impl Default for Stream {
    fn default() -> Self {
        Self {
            log: EntryQueue::new(),
            first_offset: 0,
            first_id: MessageId(0),
            bytes: 0,
            dropped: Ready::new(0),
            dropped_bytes: 0,
            dropped_since_ms: 0,
            caught_up: Vec::new(),
        }
    }
}

impl Stream {
    /// Adds a message behind all others.
    fn push(&mut self, entry: Entry, body_bytes: u64, scratch: &mut ScratchPool) {
        self.log.push_back(entry, scratch);
        self.bytes += body_bytes;
    }

    /// Adds a message found at start-up; `false` when the stream had dropped it.
    pub(in crate::broker) fn restore(
        &mut self,
        entry: Entry,
        body_bytes: u64,
        scratch: &mut ScratchPool,
    ) -> bool {
        if entry.id < self.first_id {
            return false;
        }
        self.push(entry, body_bytes, scratch);
        true
    }

    /// The record of a message lies elsewhere now; `false` when the message was dropped.
    pub(in crate::broker) fn relocate(&mut self, entry: Entry, scratch: &mut ScratchPool) -> bool {
        self.log.relocate(entry.id, entry.at, scratch)
    }

    /// Drops the first message, whose body has this many bytes.
    fn drop_front(&mut self, body_bytes: u64, now_ms: u64, scratch: &mut ScratchPool) {
        let Some(entry) = self.log.pop_front(scratch) else {
            return;
        };
        if self.dropped.is_empty() {
            self.dropped_since_ms = now_ms;
        }
        self.first_offset += 1;
        self.first_id = MessageId(entry.id.0 + 1);
        self.bytes -= body_bytes;
        self.dropped.push(entry, 0, scratch);
        self.dropped_bytes += body_bytes;
    }

    /// Takes the dropped messages when they are many or old enough.
    fn take_dropped(&mut self, now_ms: u64) -> Option<Ready> {
        let many = self.dropped.len() >= DROPPED_MAX || self.dropped_bytes >= DROPPED_BYTES_MAX;
        let due = many || now_ms >= self.dropped_since_ms + DROPPED_FOR_MS_MAX;
        if self.dropped.is_empty() || !due {
            return None;
        }
        self.dropped_bytes = 0;
        Some(std::mem::replace(&mut self.dropped, Ready::new(0)))
    }

    /// A reader has read everything there is.
    pub(in crate::broker) fn note_caught_up(&mut self, reader: ConsumerKey) {
        self.caught_up.push(reader);
    }

    /// A reader ended.
    pub(in crate::broker) fn forget_reader(&mut self, reader: ConsumerKey) {
        self.caught_up.retain(|&other| other != reader);
    }

    /// Everything that is to be settled when the stream is deleted.
    pub(in crate::broker) fn into_lines(self) -> [Ready; 2] {
        [self.dropped, Ready::from_entries(self.log)]
    }

    /// Adds to the queue's definition where the stream begins.
    pub(in crate::broker) fn encode_front(&self, definition: &mut TableBuf) {
        let signed = |number| i64::try_from(number).expect("counted up from 0");
        definition.put_i64(FIRST_OFFSET, signed(self.first_offset));
        definition.put_i64(FIRST_ID, signed(self.first_id.0));
    }

    /// Takes from the queue's definition where the stream begins.
    pub(in crate::broker) fn restore_front(&mut self, definition: Table<'_>) {
        let number = |key| {
            let value = definition.find(key).and_then(|value| value.integer());
            value.and_then(|number| u64::try_from(number).ok())
        };
        self.first_offset = number(FIRST_OFFSET).unwrap_or(0);
        self.first_id = MessageId(number(FIRST_ID).unwrap_or(0));
    }

    /// How many messages there are.
    pub(in crate::broker) fn len(&self) -> usize {
        self.log.len()
    }

    /// The offset of the first message, or of the next one when there is none.
    pub(in crate::broker) fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// The offset that the next message gets.
    pub(in crate::broker) fn next_offset(&self) -> u64 {
        self.first_offset + self.log.len() as u64
    }

    /// The message at an offset; `None` when it was dropped or has not come yet.
    #[inline]
    pub(in crate::broker) fn at(&self, offset: u64, scratch: &ScratchPool) -> Option<Entry> {
        let place = offset.checked_sub(self.first_offset)?;
        self.log.at_position(usize::try_from(place).ok()?, scratch)
    }
}

impl Broker {
    /// Adds a stored message to a stream, whose readers then have something to read.
    pub(in crate::broker) fn push_to_stream(
        &mut self,
        key: QueueKey,
        entry: Entry,
        body_bytes: u64,
    ) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let Some(stream) = queue.stream.as_deref_mut() else {
            return;
        };
        stream.push(entry, body_bytes, &mut self.scratch);
        for reader in stream.caught_up.drain(..) {
            queue.line.wait(reader, 0);
        }
        if !queue.dirty && queue.line.anyone_waits() {
            queue.dirty = true;
            self.dirty.push(key);
        }
        // Readers that keep up get it first, however short the stream may be.
        let settings = &queue.settings;
        let is_too_long = settings.max_length_bytes.is_some_and(|most| stream.bytes > most);
        if is_too_long && !queue.overfull {
            queue.overfull = true;
            self.overfull.push(key);
        }
        if let Some(age_s) = queue.settings.max_age_seconds {
            let ends_at = self.clock_ms.saturating_add(age_s.saturating_mul(1000));
            self.wake_queue(key, ends_at);
        }
    }

    /// Drops what the stream holds beyond its length and age; of the messages that are only too
    /// many the last one stays.
    pub(in crate::broker) fn retain_stream(&mut self, key: QueueKey) {
        let now_ms = self.clock_ms;
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let Some(stream) = queue.stream.as_deref_mut() else {
            return;
        };
        let bytes_max = queue.settings.max_length_bytes;
        let age_ms = queue.settings.max_age_seconds;
        let age_ms = age_ms.map(|seconds| seconds.saturating_mul(1000));
        let mut budget = DROPPED_AT_A_TIME_MAX;
        let mut wake_at = None;
        while let Some(entry) = stream.log.front() {
            let record = self.store.record(entry.at);
            let ends_at = age_ms.map(|age| record.published_ms().saturating_add(age));
            let is_too_old = ends_at.is_some_and(|at| at <= now_ms);
            let is_too_long =
                bytes_max.is_some_and(|most| stream.bytes > most) && stream.log.len() > 1;
            if !is_too_old && !is_too_long {
                wake_at = ends_at.map(|at| at.max(now_ms + AGE_STEP_MS));
                break;
            }
            if budget == 0 {
                wake_at = Some(now_ms + 1);
                break;
            }
            budget -= 1;
            stream.drop_front(record.body_bytes(), now_ms, &mut self.scratch);
        }
        let dropped = stream.take_dropped(now_ms);
        if !stream.dropped.is_empty() {
            let settled_at = stream.dropped_since_ms + DROPPED_FOR_MS_MAX;
            wake_at = Some(wake_at.map_or(settled_at, |at: u64| at.min(settled_at)));
        }
        if let Some(messages) = dropped {
            // The definition stands in the log before what the log says of these messages.
            let queue = queue.id;
            self.keep_queue(key);
            self.discard(queue, messages, false);
        }
        if let Some(at) = wake_at {
            self.wake_queue(key, at);
        }
    }

    /// At start: retention goes on in the first turn, whose clock is right.
    pub(in crate::broker) fn look_at_streams(&mut self) {
        let is_stream = |queue: &Queue| queue.stream.is_some();
        let streams = self.queues.iter().filter(|(_, queue)| is_stream(queue));
        let streams: Vec<QueueKey> = streams.map(|(key, _)| key).collect();
        for key in streams {
            self.wake_queue(key, self.clock_ms);
        }
    }

    /// 540 for a method that streams do not know, in RabbitMQ's words.
    pub fn refuse_on_stream(&self, key: QueueKey, method: &str) -> Result<(), AmqpError> {
        let Some(queue) = self.queues.get(key).filter(|queue| queue.stream.is_some()) else {
            return Ok(());
        };
        let vhost = self.vhost_name(queue.vhost);
        let resource = Resource::queue(&vhost, &queue.name);
        let text = format!("{method} not supported by stream queues {resource}");
        Err(AmqpError::connection(ReplyCode::NotImplemented, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Name, Value};
    use crate::broker::arguments::QueueTraits;
    use crate::broker::flow::publish::{Content, Message, Published};
    use crate::broker::key::{ArenaKey, ConnectionKey};
    use crate::broker::requests::consume::Consume;
    use crate::broker::users::access::Subject;
    use crate::broker::{ChannelKey, Delivery, Settlement, Users};
    use crate::storage::{Body, HelperMode, Store, StoreOptions};
    use tempfile::TempDir;

    /// A broker whose turns the test makes, on a directory that outlives it.
    struct Node {
        broker: Broker,
        directory: TempDir,
    }

    impl Node {
        fn start() -> Node {
            Node::start_on(tempfile::tempdir().unwrap(), 1_000_000)
        }

        fn start_on(directory: TempDir, clock_ms: u64) -> Node {
            let options = options(&directory);
            let (mut broker, found) = Broker::open(directory.path(), options).unwrap();
            if found.empty {
                broker.create_vhost(&Name::from("/"));
                broker.put_user(Users::first_user("guest", "guest", "/").unwrap());
            }
            broker.set_clock(clock_ms);
            Node { broker, directory }
        }

        /// What a crash leaves: only what was written.
        fn crash(self) -> Node {
            let clock_ms = self.broker.clock_ms();
            let Node { broker, directory } = self;
            drop(broker);
            Node::start_on(directory, clock_ms)
        }

        fn stream(&mut self, more: &[(&str, Value<'_>)]) -> QueueKey {
            let mut arguments = TableBuf::new();
            arguments.put_str(b"x-queue-type", "stream");
            for (name, value) in more {
                arguments.put(name.as_bytes(), *value);
            }
            let subject = self.subject();
            let traits = QueueTraits {
                durable: true,
                exclusive: false,
                auto_delete: false,
                arguments: arguments.table(),
            };
            self.broker.declare_queue(&subject, b"s", false, &traits).unwrap();
            self.broker.queue_named(subject.vhost, b"s").unwrap()
        }

        fn subject(&self) -> Subject {
            Subject {
                user: Name::from("guest"),
                vhost: self.broker.vhost_named(b"/").unwrap(),
                vhost_name: Name::from("/"),
                connection: ConnectionKey::new(0, 1),
            }
        }

        fn publish(&mut self, queue: QueueKey, count: usize) {
            for _ in 0..count {
                let message = Message {
                    content: Content {
                        exchange: b"",
                        routing_key: b"s",
                        properties: &[0, 0],
                        body: Body::Inline(b"ten bytes!"),
                    },
                    persistent: false,
                    priority: 0,
                    ttl_ms: Some(1),
                    delay: None,
                    name: None,
                };
                let published = self.broker.enqueue(&[queue], &message).unwrap();
                assert!(matches!(published, Published::DurableAt(_)));
            }
        }

        /// The part of a turn that writes.
        fn write(&mut self) {
            self.broker.store.retire();
            self.broker.store.write_out(true).unwrap();
        }

        /// The sync that a turn starts, and its end.
        fn sync(&mut self) {
            self.broker.store.start_sync_if(true).unwrap();
            self.broker.store.run_helper(100);
            self.broker.store.take_answers().unwrap();
        }

        /// The part of a turn that drops.
        fn retain(&mut self) {
            self.broker.enforce_limits();
            self.broker.expire();
        }

        fn turn(&mut self) {
            self.broker.settle_discarded();
            self.write();
            self.sync();
            self.retain();
            self.broker.store.maintain().unwrap();
        }

        fn pass(&mut self, ms: u64) {
            self.broker.set_clock(self.broker.clock_ms() + ms);
        }

        /// The offsets of the first message and of the next one.
        fn extent(&self, queue: QueueKey) -> (u64, u64) {
            let stream = self.broker.queues.get(queue).unwrap().stream.as_ref();
            let stream = stream.unwrap();
            (stream.first_offset(), stream.next_offset())
        }

        /// How many messages the log holds that nobody settled; the end of the broker.
        fn alive(mut self) -> usize {
            self.broker.settle_discarded();
            self.write();
            let Node { broker, directory } = self;
            drop(broker);
            let mut store = Store::open(options(&directory)).unwrap();
            store.take_definitions();
            let mut alive = 0;
            store.replay(&mut |_| {
                alive += 1;
                true
            });
            alive
        }

        fn open(&mut self, number: u16) -> ChannelKey {
            self.broker.open_channel(ConnectionKey::new(0, 1), number)
        }

        fn read(&mut self, channel: ChannelKey, prefetch: u32, from: Value<'_>) -> ConsumerKey {
            let mut arguments = TableBuf::new();
            arguments.put(b"x-stream-offset", from);
            let subject = self.subject();
            let request = Consume {
                queue: b"s",
                tag: Name::from("tag"),
                no_ack: false,
                exclusive: false,
                prefetch,
                arguments: arguments.table(),
            };
            self.broker.consume(&subject, channel, request).unwrap()
        }

        fn deliveries(&mut self, queue: QueueKey) -> Vec<Delivery> {
            std::iter::from_fn(|| self.broker.next_delivery(queue)).collect()
        }
    }

    fn options(directory: &TempDir) -> StoreOptions {
        StoreOptions::new(directory.path(), 64 * 1024, HelperMode::Manual)
    }

    fn offsets(deliveries: &[Delivery], reader: ConsumerKey) -> Vec<u64> {
        let of_reader = deliveries.iter().filter(|d| d.consumer == reader);
        of_reader.map(|d| d.stream_offset.unwrap()).collect()
    }

    const FIRST: Value<'static> = Value::LongString(b"first");
    const NEXT: Value<'static> = Value::LongString(b"next");

    #[test]
    fn a_crash_at_any_moment_of_dropping_leaves_the_offsets_right() {
        for moment in 0..6 {
            let mut node = Node::start();
            let queue = node.stream(&[("x-max-length-bytes", Value::I32(50))]);
            node.publish(queue, 20);
            node.write();
            assert_eq!(node.extent(queue), (0, 20));
            node.retain();
            assert_eq!(node.extent(queue), (15, 20));
            assert!(node.broker.discarding.lines.is_empty(), "a few wait for more");
            if moment > 0 {
                node.pass(DROPPED_FOR_MS_MAX);
                node.broker.expire();
                assert_eq!(node.broker.discarding.lines.len(), 1);
            }
            if moment > 1 {
                node.write();
            }
            if moment > 2 {
                node.broker.settle_discarded();
                assert!(node.broker.discarding.lines.is_empty());
            }
            if moment > 3 {
                node.write();
            }
            if moment > 4 {
                node.sync();
            }
            let mut node = node.crash();
            let queue = node.broker.queue_named(node.subject().vhost, b"s").unwrap();
            assert_eq!(node.extent(queue).1, 20, "at moment {moment}");
            let overfull = |queue: &Queue| queue.message_count() > 5;
            if overfull(node.broker.queue(queue).unwrap()) {
                node.pass(1);
                node.retain();
            }
            assert_eq!(node.extent(queue), (15, 20), "at moment {moment}");
            node.publish(queue, 1);
            node.turn();
            assert_eq!(node.extent(queue), (16, 21), "at moment {moment}");
            for _ in 0..3 {
                node.pass(DROPPED_FOR_MS_MAX);
                node.turn();
            }
            node.turn();
            assert_eq!(node.alive(), 5, "the others are settled, moment {moment}");
        }
    }

    /// A power cut leaves any beginning of what was not synced.
    #[test]
    fn the_front_stands_in_the_log_before_the_end_of_what_was_dropped() {
        let mut node = Node::start();
        let queue = node.stream(&[("x-max-length-bytes", Value::I32(50))]);
        node.publish(queue, 20);
        node.write();
        node.sync();
        let synced = node.broker.store.end();
        node.retain();
        node.pass(DROPPED_FOR_MS_MAX);
        node.broker.expire();
        node.broker.settle_discarded();
        node.write();
        let end = node.broker.store.end();
        assert_eq!((synced.sequence, end.sequence), (1, 1));
        let segment = "00000001.segment";
        let bytes = std::fs::read(node.directory.path().join(segment)).unwrap();
        let mut fronts = Vec::new();
        for cut in (synced.offset..=end.offset).step_by(8) {
            let directory = tempfile::tempdir().unwrap();
            let mut bytes = bytes.clone();
            bytes[cut as usize..].fill(0);
            std::fs::write(directory.path().join(segment), bytes).unwrap();
            let mut node = Node::start_on(directory, 1_000_000);
            let queue = node.broker.queue_named(node.subject().vhost, b"s").unwrap();
            assert_eq!(node.extent(queue).1, 20, "cut at {cut}");
            fronts.push(node.extent(queue).0);
            node.pass(1);
            node.retain();
            assert_eq!(node.extent(queue), (15, 20), "cut at {cut}");
        }
        assert!(fronts.is_sorted() && fronts[0] == 0 && fronts.ends_with(&[15]), "{fronts:?}");
    }

    #[test]
    fn an_empty_stream_goes_on_counting_after_a_crash() {
        let mut node = Node::start();
        let queue = node.stream(&[("x-max-age", Value::LongString(b"5s"))]);
        node.publish(queue, 7);
        node.pass(4_999);
        node.turn();
        assert_eq!(node.extent(queue), (0, 7));
        node.pass(1);
        node.retain();
        assert_eq!(node.extent(queue), (7, 7), "all are past their age");
        for _ in 0..4 {
            node.pass(DROPPED_FOR_MS_MAX);
            node.turn();
        }
        let mut node = node.crash();
        let queue = node.broker.queue_named(node.subject().vhost, b"s").unwrap();
        assert_eq!(node.extent(queue), (7, 7));
        node.publish(queue, 2);
        node.turn();
        let mut node = node.crash();
        let queue = node.broker.queue_named(node.subject().vhost, b"s").unwrap();
        assert_eq!(node.extent(queue), (7, 9));
        node.pass(60_000);
        node.retain();
        assert_eq!(node.extent(queue), (9, 9));
        node.pass(DROPPED_FOR_MS_MAX);
        node.turn();
        node.turn();
        assert_eq!(node.alive(), 0);
    }

    #[test]
    fn the_age_of_each_message_counts_and_is_looked_at_without_any_publish() {
        let mut node = Node::start();
        let queue = node.stream(&[("x-max-age", Value::LongString(b"10s"))]);
        for _ in 0..5 {
            node.publish(queue, 1);
            node.turn();
            node.pass(1_000);
        }
        for gone in 0..5 {
            assert_eq!(node.extent(queue), (gone, 5));
            let wake_at = node.broker.next_expiry_ms().unwrap();
            assert!(wake_at <= 1_000_000 + gone * 1_000 + 10_000 + AGE_STEP_MS);
            node.broker.set_clock(1_000_000 + gone * 1_000 + 10_000);
            node.retain();
        }
        assert_eq!(node.extent(queue), (5, 5));
    }

    #[test]
    fn readers_that_keep_up_read_what_is_too_much_before_it_goes() {
        let mut node = Node::start();
        let queue = node.stream(&[("x-max-length-bytes", Value::I32(10))]);
        let (one, other) = (node.open(1), node.open(2));
        let (fast, slow) = (node.read(one, 100, NEXT), node.read(other, 2, NEXT));
        node.publish(queue, 9);
        let deliveries = node.deliveries(queue);
        assert_eq!(offsets(&deliveries, fast), (0..9).collect::<Vec<_>>());
        assert_eq!(offsets(&deliveries, slow), [0, 1]);
        node.turn();
        for delivery in deliveries {
            node.broker.settle(&delivery.held, Settlement::Ack);
        }
        let deliveries = node.deliveries(queue);
        assert_eq!(offsets(&deliveries, slow), [8], "the slow one goes on at the front");
        assert_eq!(offsets(&deliveries, fast), []);
    }

    #[test]
    fn readers_take_turns_and_one_without_room_or_credit_holds_nobody_back() {
        let mut node = Node::start();
        let queue = node.stream(&[]);
        node.publish(queue, 4);
        let channels = [node.open(1), node.open(2), node.open(3)];
        let full = node.read(channels[0], 100, FIRST);
        let narrow = node.read(channels[1], 1, FIRST);
        let wide = node.read(channels[2], 100, FIRST);
        node.broker.set_room(channels[0], false);
        let deliveries = node.deliveries(queue);
        assert_eq!(offsets(&deliveries, full), []);
        assert_eq!(offsets(&deliveries, narrow), [0]);
        assert_eq!(offsets(&deliveries, wide), [0, 1, 2, 3]);
        assert_eq!(deliveries[1].consumer, wide, "one after the other");
        assert!(!node.broker.queue(queue).unwrap().can_deliver());
        node.broker.set_room(channels[0], true);
        assert_eq!(offsets(&node.deliveries(queue), full), [0, 1, 2, 3]);
        for settlement in [Settlement::Reject, Settlement::Requeue] {
            let held = deliveries.iter().find(|d| d.consumer == narrow).unwrap().held;
            node.broker.settle(&held, settlement);
            assert_eq!(node.deliveries(queue).len(), 1);
        }
        assert_eq!(node.alive(), 4);
    }

    #[test]
    fn readers_that_have_read_everything_make_no_work() {
        let mut node = Node::start();
        let queue = node.stream(&[]);
        let channel = node.open(1);
        node.read(channel, 10, NEXT);
        let mut dirty = Vec::new();
        node.broker.take_dirty(&mut dirty);
        assert!(node.broker.next_delivery(queue).is_none());
        node.broker.mark_dirty(queue);
        node.turn();
        assert!(!node.broker.has_work());
        node.publish(queue, 1);
        assert!(node.broker.has_work());
        node.broker.take_dirty(&mut dirty);
        assert_eq!(node.deliveries(queue).len(), 1);
        node.broker.mark_dirty(queue);
        node.turn();
        assert!(!node.broker.has_work());
    }

    #[test]
    fn a_reader_by_time_begins_with_the_first_message_of_that_time() {
        let mut node = Node::start();
        let queue = node.stream(&[]);
        for _ in 0..5 {
            node.publish(queue, 2);
            node.pass(1_000);
        }
        // Published at 1000 to 1004 s; now it is 1005 s.
        for (number, from, expected) in [
            (1, Value::Timestamp(0), 0),
            (2, Value::Timestamp(1000), 0),
            (3, Value::Timestamp(1001), 2),
            (4, Value::Timestamp(1004), 8),
            (5, Value::LongString(b"1s"), 8),
            (6, Value::LongString(b"2s"), 6),
            (7, Value::LongString(b"1h"), 0),
        ] {
            let channel = node.open(number);
            let reader = node.read(channel, 1, from);
            assert_eq!(offsets(&node.deliveries(queue), reader), [expected], "{from:?}");
        }
        let channel = node.open(8);
        node.read(channel, 1, Value::Timestamp(1005));
        assert!(node.deliveries(queue).is_empty());
    }

    #[test]
    fn a_deleted_stream_gives_everything_back() {
        let mut node = Node::start();
        let queue = node.stream(&[("x-max-length-bytes", Value::I32(50))]);
        node.publish(queue, 20);
        node.turn();
        let subject = node.subject();
        assert_eq!(node.broker.delete_queue(&subject, b"s", false, false), Ok(5));
        node.turn();
        node.turn();
        assert_eq!(node.broker.streams, 0);
        assert_eq!(node.alive(), 0);
    }
}
