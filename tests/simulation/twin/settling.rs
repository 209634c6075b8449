//! What becomes of delivered messages?

use super::{At, Held, Mode, Settlement, Twin};

impl Twin {
    /// ack, nack or reject of a client, which method is for errors.
    pub fn settle(&mut self, at: At, tag: u64, multiple: bool, how: Settlement, method: u16) {
        let channel = self.channel(at);
        let all_so_far = multiple && tag == 0;
        if !all_so_far && !channel.unacked.contains_key(&tag) {
            return self.channel_error(at, &[406], 60, method);
        }
        let tags: Vec<u64> = match (multiple, tag) {
            (false, tag) => vec![tag],
            (true, 0) => channel.unacked.keys().copied().collect(),
            (true, tag) => channel.unacked.range(..=tag).map(|(tag, _)| *tag).collect(),
        };
        for tag in tags {
            let channel = self.channel(at);
            let held = channel.unacked.remove(&tag).unwrap();
            if let Mode::Transaction { settled, .. } = &mut channel.mode {
                settled.push((tag, held, how));
            } else {
                self.settle_one(at, held, how);
            }
        }
    }

    /// Carries a settlement out; the consumer gets its credit back.
    pub fn settle_one(&mut self, at: At, held: Held, how: Settlement) {
        let Held { copied, queue, consumer, .. } = held;
        let kept = self.queues.get(&queue).is_some_and(|queue| queue.stream.is_some());
        match how {
            // It stays where it is, whatever became of the delivery.
            _ if kept => {}
            Settlement::Ack => {
                self.free_name(queue, &copied);
                self.settled.push((queue, copied, self.stamp));
            }
            Settlement::Reject => self.die(queue, copied, "rejected"),
            Settlement::Requeue => match self.queues.get_mut(&queue) {
                None => self.settled.push((queue, copied, self.stamp)),
                Some(found) => {
                    let limit = found.spec.delivery_limit;
                    let least = copied.deliveries - copied.unsure;
                    let may_stay = limit.is_some_and(|limit| least <= limit);
                    let may_go = limit.is_some_and(|limit| copied.deliveries > limit);
                    self.ambiguous |= may_stay && may_go;
                    if may_go {
                        self.die(queue, copied, "delivery_limit");
                    } else {
                        found.insert(copied);
                        self.limit(queue);
                    }
                }
            },
        }
        if let Some(found) = self.queues.get_mut(&queue) {
            found.unacked -= 1;
        }
        if let Some(id) = consumer {
            self.channel(at).shared_unacked -= 1;
            if let Some(consumer) = self.consumers.get_mut(&id) {
                consumer.unacked -= 1;
            }
        }
    }
}
