//! Who has to know when the log moves a message?
//!
//! Compaction copies what is alive in the emptiest segments to the end of the log. Where a message
//! lies is known to its queue's line, or its stream, which are told at once; and, once it left
//! the line, to whoever has it then: an unacked delivery of a session, an open transaction, a
//! message that is dying, of a delayed exchange or that a purge left behind. Those
//! are not looked for. They ask here, before they use what they know, and as a rule nothing was
//! moved.

use std::collections::HashMap;

use crate::broker::Broker;
use crate::broker::serving::Unsettled;
use crate::storage::{Compaction, Entry, MessageId, QueueId, RecordRef, Relocated, SlotRef};

/// What one turn copies, in bytes.
const COMPACTED_PER_TURN_MAX: usize = 256 * 1024;

/// How often the log is looked at while nothing has to be done about it.
const LOOK_EVERY_MS: u64 = 1000;

/// The same while the disk is full: publishers wait for what is moved.
const LOOK_EVERY_FULL_MS: u64 = 100;

/// What the broker knows of the log's compaction.
#[derive(Debug, Default)]
pub(in crate::broker) struct Compactor {
    state: Compaction,
    /// When the log is looked at again, in ms since 1970.
    look_at_ms: u64,
    /// There may be messages of queues that nothing defines: nobody could be told of their moving.
    pub(in crate::broker) has_homeless: bool,
}

/// Where messages lie that were moved after they had left their queue's line.
#[derive(Debug, Default)]
pub(in crate::broker) struct Relocations {
    places: HashMap<(MessageId, QueueId), (RecordRef, SlotRef)>,
}

impl Relocations {
    /// Where a message lies that was at this place when it left its queue's line.
    #[inline]
    fn find(&self, queue: QueueId, entry: Entry, slot: SlotRef) -> (Entry, SlotRef) {
        if self.places.is_empty() {
            return (entry, slot);
        }
        let place = self.places.get(&(entry.id, queue));
        place.map_or((entry, slot), |&(at, slot)| (Entry { at, ..entry }, slot))
    }

    /// The same for somebody who knows the place himself from now on, or settles the message.
    #[inline]
    pub(in crate::broker) fn take(
        &mut self,
        queue: QueueId,
        entry: Entry,
        slot: SlotRef,
    ) -> (Entry, SlotRef) {
        let place = self.forget(queue, entry.id);
        place.map_or((entry, slot), |(at, slot)| (Entry { at, ..entry }, slot))
    }

    /// Nobody has to ask for the message any more; where it lies, if it was moved.
    #[inline]
    pub(in crate::broker) fn forget(
        &mut self,
        queue: QueueId,
        id: MessageId,
    ) -> Option<(RecordRef, SlotRef)> {
        if self.places.is_empty() {
            return None;
        }
        let place = self.places.remove(&(id, queue));
        if self.places.is_empty() {
            self.places = HashMap::new();
        }
        place
    }

    fn note(&mut self, relocated: &Relocated) {
        let Relocated { entry, queue, slot, .. } = *relocated;
        self.places.insert((entry.id, queue), (entry.at, slot));
    }
}

impl Broker {
    /// Once a turn, before its records are written: moves what keeps mostly dead segments, a
    /// bounded amount.
    pub fn compact(&mut self) {
        let is_due = match self.compactor.state {
            Compaction::Idle => self.next_compaction_ms().is_some_and(|at| at <= self.clock_ms),
            Compaction::Busy | Compaction::Waiting => true,
        };
        // What is settled soon need not be moved.
        if !is_due || !self.discarding.lines.is_empty() {
            return;
        }
        let every_ms = if self.store.is_disk_full() { LOOK_EVERY_FULL_MS } else { LOOK_EVERY_MS };
        self.compactor.look_at_ms = self.clock_ms + every_ms;
        let was_idle = self.compactor.state == Compaction::Idle;
        let Self { store, queues, compactor, relocations, .. } = self;
        compactor.state = store.compact(COMPACTED_PER_TURN_MAX, &mut |relocated| {
            // Also one that is not durable: a message is one record, whoever else gets it.
            let key = queues.with_id(relocated.queue);
            let queue = key.and_then(|key| queues.get_with_scratch(key));
            if !queue.is_some_and(|(queue, scratch)| queue.relocate(relocated.entry, scratch)) {
                relocations.note(&relocated);
            }
        });
        let is_idle = compactor.state == Compaction::Idle;
        if was_idle && !is_idle {
            log::debug!("most of the message log is dead: what is alive is relocated");
        }
        if !was_idle && is_idle {
            let count = store.counters().relocated;
            log::debug!("the message log is compact again; {count} relocations since the start");
        }
    }

    /// Whether [`Broker::compact`] has more to do at once.
    pub(in crate::broker) fn is_compacting(&self) -> bool {
        self.compactor.state == Compaction::Busy
    }

    /// When [`Broker::compact`] may find something to do, in ms since 1970. Nothing is moved while
    /// definitions are missing: nobody could be told of it.
    pub(in crate::broker) fn next_compaction_ms(&self) -> Option<u64> {
        let may_be = self.compactor.state == Compaction::Idle
            && self.store.may_need_compaction()
            && !self.compactor.has_homeless;
        may_be.then_some(self.compactor.look_at_ms)
    }

    /// These deliveries, with the places where their messages lie now.
    pub(in crate::broker) fn where_it_is(&self, unsettled: &Unsettled) -> Unsettled {
        let (entry, slot) =
            self.relocations.find(unsettled.queue_id, unsettled.entry, unsettled.slot);
        Unsettled { entry, slot, ..*unsettled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{PropertyList, Table, TableBuf, Value};
    use crate::broker::arguments::ExchangeTraits;
    use crate::broker::arguments::QueueTraits;
    use crate::broker::flow::commit::Commit;
    use crate::broker::flow::message::{Content, Message, PERSISTENT};
    use crate::broker::flow::settle::Settlement;
    use crate::broker::flow::transaction::Transaction;
    use crate::broker::key::{ChannelKey, QueueKey};
    use crate::broker::requests::bindings::{BindRequest, DestinationName};
    use crate::broker::testing::{NOW_MS, declare, open, open_channel, subject};
    use crate::storage::Body;
    use tempfile::TempDir;

    /// A broker whose log gets sparse, and what holds on to messages in it.
    struct Node {
        broker: Broker,
        directory: TempDir,
        filler: QueueKey,
        anchors: QueueKey,
        channel: ChannelKey,
    }

    impl Node {
        fn start() -> Node {
            let directory = tempfile::tempdir().unwrap();
            let mut broker = open(directory.path());
            let filler = declare(&mut broker, "filler", Table::EMPTY);
            let anchors = declare(&mut broker, "anchors", Table::EMPTY);
            let channel = open_channel(&mut broker);
            Node { broker, directory, filler, anchors, channel }
        }

        fn declare(&mut self, name: &str, arguments: &[(&str, Value<'_>)]) -> QueueKey {
            let mut table = TableBuf::new();
            arguments.iter().for_each(|(name, value)| table.put(name.as_bytes(), *value));
            declare(&mut self.broker, name, table.table())
        }

        /// A queue that is not durable.
        fn declare_passing(&mut self, name: &str) -> QueueKey {
            let guest = subject(&self.broker);
            let traits = QueueTraits {
                durable: false,
                exclusive: false,
                auto_delete: false,
                arguments: Table::EMPTY,
            };
            self.broker.declare_queue(&guest, name.as_bytes(), false, &traits).unwrap();
            self.broker.topology().queue_named(guest.vhost, name.as_bytes()).unwrap()
        }

        fn publish(&mut self, queues: &[QueueKey], body: &str, priority: u8, ttl_ms: Option<u64>) {
            let mut properties = Vec::new();
            let list = PropertyList {
                delivery_mode: Some(PERSISTENT),
                priority: Some(priority),
                ..PropertyList::default()
            };
            list.encode(&mut properties);
            let message = Message {
                content: Content {
                    exchange: b"",
                    routing_key: b"q",
                    properties: &properties,
                    body: Body::Inline(body.as_bytes()),
                },
                persistent: true,
                priority,
                ttl_ms,
                delay: None,
                dedup_key: None,
            };
            self.broker.enqueue(queues, &message).unwrap();
        }

        /// Messages that make segments, and go; but for some in the middle, whose segments are not
        /// among the emptiest.
        fn fill(&mut self) {
            let body = "x".repeat(3000);
            for n in 0..60 {
                while !self.broker.has_room() {
                    self.turn();
                }
                if (26..34).contains(&n) {
                    self.publish(&[self.anchors], &body, 0, None);
                }
                self.publish(&[self.filler], &body, 0, None);
                let got = self.broker.get(self.filler, self.channel, true).unwrap();
                self.broker.settle_sent(&got.unsettled);
            }
            self.turn();
        }

        fn get(&mut self, queue: QueueKey) -> Unsettled {
            self.broker.get(queue, self.channel, false).expect("a ready message").unsettled
        }

        fn turn(&mut self) {
            self.broker.settle_discarded();
            self.broker.bury();
            self.broker.release_delayed();
            self.rest_of_turn();
        }

        fn rest_of_turn(&mut self) {
            let broker = &mut self.broker;
            broker.compact();
            broker.store.retire();
            broker.store.write_out(true).unwrap();
            broker.store.start_sync_if(true).unwrap();
            broker.enforce_limits();
            broker.expire();
            let now_ms = broker.clock_ms();
            broker.store.look_back(now_ms).unwrap();
            broker.store.maintain().unwrap();
            broker.store.run_helper(usize::MAX);
            broker.store.take_answers().unwrap();
        }

        /// Turns until there is nothing more to move; how many pairs were.
        fn compact(&mut self) -> u64 {
            let before = self.broker.store.counters().relocated;
            let now_ms = self.broker.clock_ms() + LOOK_EVERY_MS;
            self.broker.set_clock(now_ms);
            for _ in 0..1000 {
                self.turn();
                if !self.broker.is_compacting()
                    && self.broker.next_compaction_ms().is_none_or(|at| at > now_ms)
                    && self.broker.compactor.state == Compaction::Idle
                {
                    return self.broker.store.counters().relocated - before;
                }
            }
            panic!("compaction has no end");
        }

        fn body(&self, at: RecordRef) -> String {
            String::from_utf8(self.broker.store.record(at).body_to_vec()).unwrap()
        }

        /// The bodies of what a queue still has, with their deliveries; it is settled.
        fn drain(&mut self, queue: QueueKey) -> Vec<(String, u8)> {
            let mut bodies = Vec::new();
            while let Some(got) = self.broker.get(queue, self.channel, true) {
                bodies.push((self.body(got.unsettled.entry.at), got.before));
                self.broker.settle_sent(&got.unsettled);
            }
            bodies
        }

        fn restart(self) -> (Node, Vec<QueueKey>) {
            let Node { broker, directory, .. } = self;
            broker.close().unwrap();
            let mut broker = open(directory.path());
            let vhost = broker.topology().vhost_named(b"/").unwrap();
            let queues = [&b"q"[..], b"other", b"dead"];
            let queues = queues
                .iter()
                .filter_map(|name| broker.topology().queue_named(vhost, name))
                .collect();
            let filler = broker.topology().queue_named(vhost, b"filler").unwrap();
            let anchors = broker.topology().queue_named(vhost, b"anchors").unwrap();
            let channel = open_channel(&mut broker);
            (Node { broker, directory, filler, anchors, channel }, queues)
        }
    }

    fn known(bodies: &[(&str, u8)]) -> Vec<(String, u8)> {
        bodies.iter().map(|(body, before)| ((*body).to_owned(), *before)).collect()
    }

    #[test]
    fn what_waits_is_found_in_its_order_with_its_marks_also_after_a_restart() {
        let mut node = Node::start();
        let queue = node.declare("q", &[("x-max-priority", Value::U8(5))]);
        let other = node.declare("other", &[]);
        for (body, priority) in [("a", 0), ("b", 3), ("c", 9), ("d", 3)] {
            node.publish(&[queue, other], body, priority, None);
            node.fill();
        }
        // One comes back, and one is settled in one of its queues.
        let unsettled = node.get(queue);
        node.broker.requeue(&unsettled);
        let unsettled = node.get(other);
        node.broker.ack(&unsettled);
        let before = node.broker.store.counters().segments_used;
        assert!(node.compact() >= 4 + 3);
        assert!(node.broker.relocations.places.is_empty(), "the queues know it");
        (0..3).for_each(|_| node.turn());
        let after = node.broker.store.counters().segments_used;
        assert!(after < before, "{before} segments became {after}");
        let (mut node, queues) = node.restart();
        let in_order = known(&[("c", 1), ("b", 0), ("d", 0), ("a", 0)]);
        assert_eq!(node.drain(queues[0]), in_order);
        assert_eq!(node.drain(queues[1]), known(&[("b", 0), ("c", 0), ("d", 0)]));
    }

    /// Whoever waits for the disk wakes the loop; until then there is nothing to do.
    #[test]
    fn the_loop_sleeps_while_copies_wait_for_their_sync() {
        let mut node = Node::start();
        let queue = node.declare("q", &[]);
        let body = "y".repeat(500);
        for _ in 0..40 {
            for _ in 0..10 {
                node.publish(&[queue], &body, 0, None);
            }
            node.fill();
        }
        let now_ms = NOW_MS + LOOK_EVERY_MS;
        node.broker.set_clock(now_ms);
        node.broker.compact();
        assert!(node.broker.has_work(), "it has begun");
        for _ in 0..1000 {
            node.broker.compact();
            node.broker.store.write_out(false).unwrap();
        }
        assert_eq!(node.broker.compactor.state, Compaction::Waiting);
        assert!(!node.broker.has_work());
        assert_eq!(node.broker.next_expiry_ms(), None);
        assert!(node.broker.store.has_unsynced(), "which is why the loop will wake");
        let before = node.broker.store.counters().relocated;
        node.turn();
        node.turn();
        assert!(node.broker.store.counters().relocated > before);
        node.compact();
        assert_eq!(node.drain(queue).len(), 400);
    }

    /// The map of the queues held the durable ones only, and the line of the other one was left
    /// with the place where the record had been.
    #[test]
    fn a_queue_that_is_not_durable_shares_the_record_and_knows_its_new_place() {
        let mut node = Node::start();
        let (queue, passing) = (node.declare("q", &[]), node.declare_passing("passing"));
        for body in ["a", "b", "c"] {
            node.publish(&[queue, passing], body, 0, None);
            node.fill();
        }
        assert!(node.compact() >= 6);
        assert!(node.broker.relocations.places.is_empty());
        let all = known(&[("a", 0), ("b", 0), ("c", 0)]);
        assert_eq!((node.drain(passing), node.drain(queue)), (all.clone(), all));
    }

    #[test]
    fn unacked_deliveries_are_settled_where_they_are_now() {
        let mut node = Node::start();
        let dead = node.declare("dead", &[]);
        let to_dead = [
            ("x-dead-letter-exchange", Value::LongString(b"")),
            ("x-dead-letter-routing-key", Value::LongString(b"dead")),
        ];
        let queue = node.declare("q", &to_dead);
        let gone = node.declare("gone", &[]);
        let mut unsettled = Vec::new();
        for body in ["acked", "back", "rejected", "in tx", "again", "kept"] {
            node.publish(&[queue, gone], body, 0, None);
            unsettled.push(node.get(queue));
            node.fill();
        }
        let of_gone = node.get(gone);
        let guest = subject(&node.broker);
        node.broker.delete_queue(&guest, b"gone", false, false).unwrap();
        assert!(node.compact() > 6);
        assert_eq!(node.broker.relocations.places.len(), 6 + 1);
        node.broker.ack(&unsettled[0]);
        node.broker.requeue(&unsettled[1]);
        node.broker.reject(&unsettled[2]);
        let mut transaction = Transaction::default();
        transaction.settlements.push_back((4, unsettled[3], Settlement::Ack));
        assert!(matches!(node.broker.commit(transaction), Commit::Over(_)));
        node.broker.requeue(&of_gone);
        node.fill();
        // What was moved once can be moved again.
        for _ in 0..3 {
            node.publish(&[node.filler], "y", 0, None);
            node.fill();
        }
        assert!(node.compact() > 0);
        node.broker.requeue(&unsettled[4]);
        assert_eq!(node.broker.relocations.places.len(), 1, "the one that is still held");
        assert_eq!(node.drain(dead), known(&[("rejected", 0)]));
        let (mut node, queues) = node.restart();
        assert_eq!(node.drain(queues[0]), known(&[("back", 1), ("again", 1), ("kept", 1)]));
        assert_eq!(node.drain(queues[1]), []);
    }

    #[test]
    fn a_message_that_has_to_wait_for_its_burial_is_buried_from_where_it_is_then() {
        let mut node = Node::start();
        let dead = node.declare("dead", &[]);
        let to_dead = [
            ("x-dead-letter-exchange", Value::LongString(b"")),
            ("x-dead-letter-routing-key", Value::LongString(b"dead")),
        ];
        let queue = node.declare("q", &to_dead);
        for body in ["a", "b", "c"] {
            node.publish(&[queue], body, 0, None);
            let unsettled = node.get(queue);
            node.broker.reject(&unsettled);
            // As when there is no room for it.
            let dying = std::mem::take(&mut node.broker.dying);
            node.fill();
            node.broker.dying.extend(dying);
        }
        node.broker.set_clock(NOW_MS + LOOK_EVERY_MS);
        while node.broker.relocations.places.len() < 3 {
            node.rest_of_turn();
            assert_ne!(node.broker.compactor.state, Compaction::Idle);
        }
        node.turn();
        assert_eq!(node.drain(dead), known(&[("a", 0), ("b", 0), ("c", 0)]));
        assert!(node.broker.relocations.places.is_empty());
    }

    #[test]
    fn times_to_live_end_when_they_would_have() {
        let mut node = Node::start();
        let queue = node.declare("q", &[]);
        for (body, ttl_ms) in [("short", 50_000), ("long", 90_000)] {
            node.publish(&[queue], body, 0, Some(ttl_ms));
            node.fill();
            node.fill();
            node.fill();
        }
        assert!(node.compact() >= 2);
        node.broker.set_clock(NOW_MS + 49_999);
        node.turn();
        assert_eq!(node.broker.queues().get(queue).unwrap().ready.len(), 2);
        node.broker.set_clock(NOW_MS + 50_000);
        node.turn();
        assert_eq!(node.drain(queue), known(&[("long", 0)]));
    }

    #[test]
    fn a_delayed_message_is_released_from_where_it_is_now() {
        let mut node = Node::start();
        let queue = node.declare("q", &[]);
        let mut arguments = TableBuf::new();
        arguments.put_str(b"x-delayed-type", "fanout");
        let traits = ExchangeTraits {
            kind: b"x-delayed-message",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: arguments.table(),
        };
        let guest = subject(&node.broker);
        node.broker.declare_exchange(&guest, b"later", &traits).unwrap();
        let bind = BindRequest {
            source: b"later",
            destination: DestinationName::Queue(b"q"),
            routing_key: b"",
            arguments: Table::EMPTY,
        };
        node.broker.bind(&guest, &bind).unwrap();
        let exchange = node.broker.topology().exchange_named(guest.vhost, b"later").unwrap();
        let mut headers = TableBuf::new();
        headers.put(b"x-delay", Value::I32(60_000));
        let list = PropertyList {
            headers: Some(headers.table()),
            delivery_mode: Some(PERSISTENT),
            ..PropertyList::default()
        };
        let mut properties = Vec::new();
        list.encode(&mut properties);
        let message = Message {
            content: Content {
                exchange: b"later",
                routing_key: b"",
                properties: &properties,
                body: Body::Inline(b"delayed"),
            },
            persistent: true,
            priority: 0,
            ttl_ms: None,
            delay: node.broker.delay_of(exchange, &list),
            dedup_key: None,
        };
        node.broker.enqueue(&[], &message).unwrap();
        (0..4).for_each(|_| node.fill());
        assert!(node.compact() >= 1);
        assert_eq!(node.broker.relocations.places.len(), 1);
        node.broker.set_clock(NOW_MS + 60_000);
        node.turn();
        assert_eq!(node.drain(queue), known(&[("delayed", 0)]));
        assert!(node.broker.relocations.places.is_empty());
    }

    #[test]
    fn a_stream_is_read_on_and_what_it_dropped_is_settled() {
        let mut node = Node::start();
        let arguments = [
            ("x-queue-type", Value::LongString(b"stream")),
            ("x-max-age", Value::LongString(b"60s")),
        ];
        let stream = node.declare("q", &arguments);
        for body in ["zero", "one", "two"] {
            node.publish(&[stream], body, 0, None);
            node.fill();
            let now_ms = node.broker.clock_ms() + 25_000;
            node.broker.set_clock(now_ms);
        }
        assert!(node.compact() >= 3);
        let bodies = |node: &Node| {
            let queue = node.broker.queues().get(stream).unwrap();
            let log = queue.stream.as_deref().unwrap();
            let range = log.first_offset()..log.next_offset();
            range
                .map(|offset| {
                    let entry = log.at(offset, node.broker.queues.scratch()).unwrap();
                    node.body(entry.at)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(bodies(&node), ["one", "two"], "the first one was too old by then");
        let now_ms = node.broker.clock_ms() + 2000;
        node.broker.set_clock(now_ms);
        (0..5).for_each(|_| node.turn());
        assert!(node.broker.relocations.places.is_empty());
        let (node, _) = node.restart();
        assert_eq!(bodies(&node), ["one", "two"]);
        let anchors = node.broker.queues().get(node.anchors).unwrap().ready.len() as u64;
        assert_eq!(node.broker.store.report().messages, 2 + anchors, "the first one is settled");
    }

    #[test]
    fn nothing_is_moved_while_definitions_are_missing() {
        let mut node = Node::start();
        let queue = node.declare("q", &[]);
        for body in ["a", "b", "c"] {
            node.publish(&[queue], body, 0, None);
            node.fill();
        }
        let Node { broker, directory, .. } = node;
        broker.close().unwrap();
        let oldest = std::fs::read_dir(directory.path()).unwrap();
        let oldest = oldest.map(|entry| entry.unwrap().path());
        let oldest = oldest.filter(|path| path.extension().is_some_and(|e| e == "segment"));
        let oldest = oldest.min().unwrap();
        let mut bytes = std::fs::read(&oldest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&oldest, bytes).unwrap();
        let mut broker = open(directory.path());
        assert_eq!(broker.store.report().damaged.len(), 1, "a definition may have lain there");
        broker.compact();
        assert_eq!(broker.store.counters().relocated, 0);
        assert_eq!(broker.next_compaction_ms(), None, "nor does it wake anybody");
    }
}
