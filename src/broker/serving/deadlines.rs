//! When does which queue have to be looked at?
//!
//! A queue's own time to live ends in the order of its line, so only the fronts are looked at;
//! messages with one of their own stand in a heap of the queue. Here is one heap of the times at
//! which queues have to be looked at.

use std::cmp::Reverse;

use crate::broker::key::QueueKey;
use crate::broker::serving::Queues;
use crate::storage::Entry;

impl Queues {
    /// When the next queue has to be looked at, in ms since 1970.
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        self.wakeups.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry of the table that is due; `None` inside when its queue is gone or has to be
    /// looked at at another time by now.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Option<QueueKey>> {
        let &Reverse((at, key)) = self.wakeups.peek()?;
        if at > now_ms {
            return None;
        }
        self.wakeups.pop();
        let queue = self.queues.get_mut(key).filter(|queue| queue.wake_at_ms == Some(at));
        Some(queue.map(|queue| {
            queue.wake_at_ms = None;
            key
        }))
    }

    /// The queue has to be looked at by then.
    pub fn wake(&mut self, key: QueueKey, at_ms: u64) {
        if let Some(queue) = self.queues.get_mut(key)
            && queue.wake_at_ms.is_none_or(|at| at_ms < at)
        {
            queue.wake_at_ms = Some(at_ms);
            self.wakeups.push(Reverse((at_ms, key)));
        }
    }

    /// Somebody used the queue: its time begins again.
    pub fn touch(&mut self, key: QueueKey, now_ms: u64) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        queue.used_at_ms = now_ms;
        if let Some(expires) = queue.settings.expires_ms {
            self.wake(key, now_ms.saturating_add(expires));
        }
    }

    /// The node starts at this time, in ms since 1970: the time that queues may stay unused
    /// begins now, since nobody could use them while it was down.
    pub fn touch_all(&mut self, now_ms: u64) {
        let queues: Vec<QueueKey> = self.queues.iter().map(|(key, _)| key).collect();
        for key in queues {
            self.touch(key, now_ms);
        }
    }

    /// Notes when a message that joined a queue, with a time to live of its own or without (0), has
    /// to leave it.
    pub fn note_deadline(
        &mut self,
        key: QueueKey,
        entry: Entry,
        priority: u8,
        (published_ms, expiry_ms): (u64, u64),
    ) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let Some(deadline) = queue.deadline_ms(published_ms, expiry_ms) else {
            return;
        };
        if expiry_ms != 0 {
            let lane = priority.min(queue.ready.priority_max());
            queue.note_deadline(expiry_ms, entry.id, lane, &self.scratch);
        }
        self.wake(key, deadline);
    }
}
