//! What does a stream's next message bring about?

use crate::broker::key::QueueKey;
use crate::broker::serving::Queues;
use crate::storage::Entry;

impl Queues {
    /// Adds a stored message to a stream, whose readers then have something to read.
    pub fn push_to_stream(&mut self, key: QueueKey, entry: Entry, body_bytes: u64, now_ms: u64) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let Some(stream) = queue.stream.as_deref_mut() else {
            return;
        };
        stream.push(entry, body_bytes, &mut self.scratch);
        for reader in stream.take_caught_up() {
            queue.line.wait(reader, 0);
        }
        if !queue.dirty && queue.line.anyone_waits() {
            queue.dirty = true;
            self.dirty.push(key);
        }
        // Readers that keep up get it first, however short the stream may be.
        let settings = &queue.settings;
        let is_too_long = settings.max_length_bytes.is_some_and(|most| stream.bytes() > most);
        if is_too_long && !queue.overfull {
            queue.overfull = true;
            self.overfull.push_back(key);
        }
        if let Some(age_s) = queue.settings.max_age_seconds {
            self.wake(key, now_ms.saturating_add(age_s.saturating_mul(1000)));
        }
    }

    /// At start: retention goes on in the first turn, whose clock is right.
    pub fn wake_streams(&mut self, now_ms: u64) {
        let streams = self.queues.iter().filter(|(_, queue)| queue.stream.is_some());
        let streams: Vec<QueueKey> = streams.map(|(key, _)| key).collect();
        for key in streams {
            self.wake(key, now_ms);
        }
    }
}
