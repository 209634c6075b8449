//! Who takes too long to acknowledge?

use super::{At, ConnId, Held, QueueId, Twin};

impl Twin {
    /// When a delivery from this queue that is made now has to be acknowledged.
    pub fn due_ms(&self, queue: QueueId) -> Option<u64> {
        let timeout = self.queues[&queue].spec.consumer_timeout_ms?;
        Some(self.now_ms + timeout)
    }

    /// Channels with a delivery whose time is over are closed.
    pub fn time_out(&mut self, conn: ConnId) {
        let now = self.now_ms;
        let is_late = |held: &Held| held.due_ms.is_some_and(|due| due <= now);
        let channels = self.connection(conn).channels.iter();
        let late = channels.filter(|(_, channel)| channel.unacked.values().any(is_late));
        let late: Vec<u16> = late.map(|(number, _)| *number).collect();
        for channel in late {
            self.count("timed out");
            self.channel_error(At { conn, channel }, &[406], 0, 0);
        }
    }
}
