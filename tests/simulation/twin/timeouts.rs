//! Who takes too long to acknowledge?

use super::{At, Channel, ConnId, Held, QueueId, Twin};

impl Twin {
    /// When a delivery from this queue that is made now has to be acknowledged.
    pub fn due_ms(&self, queue: QueueId) -> Option<u64> {
        let timeout = self.queues[&queue].spec.consumer_timeout_ms?;
        Some(self.now_ms + timeout)
    }

    /// Which of several connections is late first is the broker's choice. It cannot be followed
    /// where both return messages to queues that drop or bury what is too much.
    pub fn time_out_together(&mut self) {
        let now = self.now_ms;
        let bounded = |held: &Held| {
            let spec = self.queues.get(&held.queue).map(|queue| &queue.spec);
            spec.is_some_and(|spec| {
                spec.max_length.is_some()
                    || spec.max_bytes.is_some()
                    || spec.delivery_limit.is_some()
            })
        };
        let returns = |channel: &Channel| {
            channel.unacked.values().any(|held| is_late(held, now))
                && channel.unacked.values().any(bounded)
        };
        let open = self.connections.values().filter(|one| !one.closed);
        let late = open.filter(|one| one.channels.values().any(returns)).count();
        self.ambiguous |= late > 1;
    }

    /// Channels with a delivery whose time is over are closed.
    pub fn time_out(&mut self, conn: ConnId) {
        let now = self.now_ms;
        let channels = self.connection(conn).channels.iter();
        let late =
            channels.filter(|(_, channel)| channel.unacked.values().any(|held| is_late(held, now)));
        let late: Vec<u16> = late.map(|(number, _)| *number).collect();
        for channel in late {
            self.count("timed out");
            self.channel_error(At { conn, channel }, &[406], 0, 0);
        }
    }
}

fn is_late(held: &Held, now_ms: u64) -> bool {
    held.due_ms.is_some_and(|due| due <= now_ms)
}
