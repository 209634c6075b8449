//! When does a message go straight from its publisher's read buffer to a consumer's outbox?
//!
//! When it need not be stored and every queue that it goes to is empty, has no rule that it would
//! have to be counted for, and has a consumer at hand that needs no acknowledgement. Then nothing
//! of it is written, not even to memory, but the delivery itself.

use crate::broker::Broker;
use crate::broker::counters::Happening;
use crate::broker::flow::message::Content;
use crate::broker::key::{ConnectionKey, ConsumerKey, QueueKey};

/// A message on its way from one session to another, in the read buffer that it came in.
#[derive(Debug, Clone, Copy)]
pub struct Handed<'a> {
    /// Who gets it.
    pub to: Taker,
    /// The message.
    pub message: Content<'a, &'a [u8]>,
}

/// A consumer that can take a message now and settles it by taking it.
#[derive(Debug, Clone, Copy)]
pub struct Taker {
    /// The connection that it is on.
    pub connection: ConnectionKey,
    /// The number of its channel there.
    pub channel: u16,
    /// The consumer.
    pub consumer: ConsumerKey,
}

/// An emptied list, for messages in another buffer: what it has allocated is kept.
pub fn emptied<'a>(mut list: Vec<Handed<'_>>) -> Vec<Handed<'a>> {
    list.clear();
    list.into_iter().map(|_| unreachable!("it was cleared")).collect()
}

impl Broker {
    /// Adds the deliveries of a message that connection `from` published to `handed`; `false`
    /// when it has to be stored. Whoever called has to carry them out before it lets anybody else
    /// deliver.
    ///
    /// A consumer on the publisher's own connection gets nothing this way: what the publisher
    /// asks for next, its cancel for one, would be answered first.
    pub fn hand_over<'a>(
        &mut self,
        from: ConnectionKey,
        queues: &[QueueKey],
        message: Content<'a, &'a [u8]>,
        handed: &mut Vec<Handed<'a>>,
    ) -> bool {
        let before = handed.len();
        for &key in queues {
            let Some(to) = self.taker(key).filter(|taker| taker.connection != from) else {
                handed.truncate(before);
                return false;
            };
            handed.push(Handed { to, message });
        }
        for &key in queues {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.line.rotate();
            }
            self.queues.count(key, Happening::Publish);
            self.count_first(key, Happening::DeliverNoAck, 0);
        }
        true
    }

    /// Whose turn it is at a queue where messages may pass.
    fn taker(&mut self, key: QueueKey) -> Option<Taker> {
        let queue = self.queues.get(key)?;
        let keeps = queue.stream.is_some() || queue.has_rules() || !queue.ready.is_empty();
        if keeps {
            return None;
        }
        let consumer_key = loop {
            let first = self.queues.first_able(key)?;
            if !self.ends_at_turn(first) {
                break first;
            }
        };
        let consumer = self.queues.consumer(consumer_key)?;
        let channel = self.queues.channel(consumer.channel)?;
        consumer.no_ack.then_some(Taker {
            connection: channel.connection,
            channel: channel.number,
            consumer: consumer_key,
        })
    }
}
