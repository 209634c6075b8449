//! Are the broker and its twin in agreement, and does anybody wait for anything?

use leveret::broker::Queue;

use super::client::Client;
use super::twin::{UNNAMED, short};
use super::world::World;

impl World {
    /// The counts of both are the same.
    pub fn compare(&self) {
        for queue in self.twin.queues.values() {
            let name = &queue.name;
            if name == UNNAMED || queue.replies {
                continue;
            }
            let Some(found) = self.queue(name) else {
                panic!("queue '{name}' is gone");
            };
            let counts = (found.ready.len(), found.ready_bytes, found.unacked, found.line.len());
            let (ready, unacked) = (queue.ready.len(), queue.unacked);
            let expected = (ready, queue.bytes(), unacked, queue.consumers.len());
            if let Some(stream) = &queue.stream {
                let count = found.message_count() as u64;
                assert!(stream.counts().contains(&count), "'{name}' has {count} messages");
            }
            let bodies: Vec<String> =
                queue.ready.iter().map(|copied| short(&copied.message.body)).collect();
            assert_eq!(
                counts, expected,
                "queue '{name}' {:?}: ready, bytes, unacked, consumers; the twin's are on the \
                 right, with {bodies:?}",
                queue.spec
            );
        }
        self.compare_totals();
        let declared = self.profile.queues.iter().map(|(name, _)| *name);
        for name in declared.chain(self.twin.names_given.iter().map(String::as_str)) {
            let gone = self.twin.queue_named(name).is_none();
            assert!(!gone || self.queue(name).is_none(), "queue '{name}' should be gone");
        }
    }

    /// What is kept of all queues together is what is in them.
    fn compare_totals(&self) {
        let queues = self.node.as_ref().unwrap().broker.queues();
        let totals = queues.totals();
        let sum =
            |of: fn(&Queue) -> usize| queues.iter().map(|(_, queue)| of(queue)).sum::<usize>();
        let kept = [totals.ready, totals.unacked, totals.queues];
        let shown = queues.iter().filter(|(_, queue)| !queue.is_reply_queue).count();
        let found = [sum(Queue::message_count), sum(|queue| queue.unacked), shown];
        assert_eq!(kept, found.map(|count| count as u64), "ready, unacked and queues in all");
    }

    /// What keeps the world from being quiet.
    pub fn who_waits(&self) -> String {
        let mut all = Vec::new();
        for (conn, client) in &self.clients {
            let (session, ops) = (self.session(client), client.ops.len());
            let (waits, room) = (session.waits_for(), session.awaits_room());
            let is_confirming = session.is_confirming();
            if waits.is_some() || is_confirming || ops > 0 {
                all.push(format!("{conn}: {ops} ops, {waits:?}, {is_confirming}, room {room}"));
            }
        }
        let broker = &self.node.as_ref().unwrap().broker;
        let store = &broker.store;
        let rooms = (store.room_bytes(true), store.room_bytes(false));
        all.push(format!("work {}, rooms {rooms:?}", broker.has_work()));
        all.push(format!("short {}, full {}", store.is_short_of_room(1), store.is_disk_full()));
        all.push(format!("deferred {}, {:?}", store.has_deferred(), store.counters()));
        all.push(format!("segments of {}, dead {}", self.segment_bytes, self.twin.limbo.len()));
        all.join("; ")
    }

    /// Nobody waits for anything.
    pub fn is_quiet(&self) -> bool {
        let idle = |client: &Client| {
            client.ops.is_empty()
                && self.session(client).waits_for().is_none()
                && !self.session(client).is_confirming()
        };
        let broker = &self.node.as_ref().unwrap().broker;
        self.clients.values().all(idle) && !broker.has_work() && self.twin.limbo.is_empty()
    }
}
