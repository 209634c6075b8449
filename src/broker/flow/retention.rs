//! What leaves a stream, and when is it settled?

use crate::broker::Broker;
use crate::broker::key::QueueKey;

impl Broker {
    /// Drops what the stream holds beyond its length and age. The log says that these messages are
    /// settled only behind the definition that passes over them.
    pub(in crate::broker) fn retain_stream(&mut self, key: QueueKey) {
        let now_ms = self.clock_ms;
        let Some((queue, scratch)) = self.queues.get_with_scratch(key) else {
            return;
        };
        let Some(stream) = queue.stream.as_deref_mut() else {
            return;
        };
        let (bytes_max, age_max) =
            (queue.settings.max_length_bytes, queue.settings.max_age_seconds);
        let before = stream.len();
        let retained = stream.retain(bytes_max, age_max, now_ms, &self.store, scratch);
        let gone = before - stream.len();
        if let Some(messages) = retained.dropped {
            let id = queue.id;
            self.persist_queue(key);
            self.discard(id, messages, false);
        }
        self.queues.note_gone(key, gone);
        if let Some(at) = retained.wake_at_ms {
            self.queues.wake(key, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Name, TableBuf, Value};
    use crate::broker::arguments::QueueTraits;
    use crate::broker::flow::message::{Content, Message, Published};
    use crate::broker::key::{ArenaKey, ConnectionKey, ConsumerKey};
    use crate::broker::queue::Queue;
    use crate::broker::queue::stream::{AGE_STEP_MS, DROPPED_FOR_MS_MAX};
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
            self.broker.topology().queue_named(subject.vhost, b"s").unwrap()
        }

        fn subject(&self) -> Subject {
            Subject {
                user: Name::from("guest"),
                vhost: self.broker.topology().vhost_named(b"/").unwrap(),
                vhost_name: Name::from("/"),
                connection: ConnectionKey::new(0, 1),
                is_owner: false,
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
                    dedup_key: None,
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
            let stream = self.broker.queues().get(queue).unwrap().stream.as_ref();
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
            self.broker.queues_mut().open_channel(ConnectionKey::new(0, 1), number)
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
            let queue = node.broker.topology().queue_named(node.subject().vhost, b"s").unwrap();
            assert_eq!(node.extent(queue).1, 20, "at moment {moment}");
            let overfull = |queue: &Queue| queue.message_count() > 5;
            if overfull(node.broker.queues().get(queue).unwrap()) {
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
            let queue = node.broker.topology().queue_named(node.subject().vhost, b"s").unwrap();
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
        let queue = node.broker.topology().queue_named(node.subject().vhost, b"s").unwrap();
        assert_eq!(node.extent(queue), (7, 7));
        node.publish(queue, 2);
        node.turn();
        let mut node = node.crash();
        let queue = node.broker.topology().queue_named(node.subject().vhost, b"s").unwrap();
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
            node.broker.settle(&delivery.unsettled, Settlement::Ack);
        }
        let deliveries = node.deliveries(queue);
        assert_eq!(offsets(&deliveries, slow), [8], "the slow one goes on at the front");
        assert!(offsets(&deliveries, fast).is_empty());
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
        node.broker.queues_mut().set_room(channels[0], false);
        let deliveries = node.deliveries(queue);
        assert!(offsets(&deliveries, full).is_empty());
        assert_eq!(offsets(&deliveries, narrow), [0]);
        assert_eq!(offsets(&deliveries, wide), [0, 1, 2, 3]);
        assert_eq!(deliveries[1].consumer, wide, "one after the other");
        assert!(!node.broker.queues().get(queue).unwrap().can_deliver());
        node.broker.queues_mut().set_room(channels[0], true);
        assert_eq!(offsets(&node.deliveries(queue), full), [0, 1, 2, 3]);
        for settlement in [Settlement::Reject, Settlement::Requeue] {
            let unsettled = deliveries.iter().find(|d| d.consumer == narrow).unwrap().unsettled;
            node.broker.settle(&unsettled, settlement);
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
        node.broker.queues_mut().take_dirty(&mut dirty);
        assert!(node.broker.next_delivery(queue).is_none());
        node.broker.queues_mut().mark_dirty(queue);
        node.turn();
        assert!(!node.broker.has_work());
        node.publish(queue, 1);
        assert!(node.broker.has_work());
        node.broker.queues_mut().take_dirty(&mut dirty);
        assert_eq!(node.deliveries(queue).len(), 1);
        node.broker.queues_mut().mark_dirty(queue);
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
        assert_eq!(node.broker.delete_queue(&subject, b"s", false, false), Ok(Some(5)));
        node.turn();
        node.turn();
        assert!(!node.broker.queues.any_stores_everything());
        assert_eq!(node.alive(), 0);
    }
}
