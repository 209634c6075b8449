//! How does a queue get back what a stuck consumer has and does not settle?
//!
//! The consumers are cancelled first, so that nothing comes to them again. The deliveries are with
//! the channels of sessions: each gets an effect, gives back a bounded number a turn, and says how
//! many they were once it is done.

use std::collections::HashMap;

use crate::broker::effect::{Effect, TakeBack, TakeBackOrder};
use crate::broker::key::{ChannelKey, ConsumerKey, QueueKey};
use crate::broker::{Broker, Unsettled};

/// What operators want back.
#[derive(Debug, Default)]
pub(in crate::broker) struct TakeBacks {
    last: u64,
    orders: HashMap<TakeBackOrder, Order>,
}

#[derive(Debug, Default)]
struct Order {
    /// So many channels are not done.
    channels: usize,
    /// So many deliveries went back.
    returned: u64,
}

impl Broker {
    /// Somebody begins to want deliveries back.
    pub fn begin_take_back(&mut self) -> TakeBackOrder {
        self.take_backs.last += 1;
        let order = TakeBackOrder(self.take_backs.last);
        self.take_backs.orders.insert(order, Order::default());
        order
    }

    /// Cancels a consumer that an operator found stuck: its client is told, if it knows
    /// `basic.cancel` from a broker.
    pub fn cancel_stuck(&mut self, consumer: ConsumerKey) {
        self.work.spend(WORK_PER_CANCEL);
        self.cancel(consumer);
    }

    /// Ends a consumer and has its client told.
    pub(in crate::broker) fn cancel(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.queues.consumer(key) else {
            return;
        };
        if let Some(channel) = self.queues.channel(consumer.channel) {
            self.effects.push_back(Effect::ConsumerCancelled {
                connection: channel.connection,
                channel: channel.number,
                tag: consumer.tag.clone(),
                consumer: key,
            });
        }
        self.end_consumer(key);
    }

    /// Has a channel give back what it has of a queue; what it got by `basic.get`, too, unless only
    /// one consumer is meant.
    pub fn take_back_from(
        &mut self,
        order: TakeBackOrder,
        channel: ChannelKey,
        queue: QueueKey,
        consumer: Option<ConsumerKey>,
    ) {
        self.work.spend(1);
        let known = self.take_backs.orders.get_mut(&order);
        let (Some(known), Some(channel)) = (known, self.queues.channel(channel)) else {
            return;
        };
        known.channels += 1;
        let (connection, channel) = (channel.connection, channel.number);
        let looked_at = 0;
        let take_back = TakeBack { order, connection, channel, queue, consumer, looked_at };
        self.effects.push_back(Effect::TakeBack(take_back));
    }

    /// A delivery goes back to its queue, for this wish.
    pub fn return_for(&mut self, order: TakeBackOrder, unsettled: &Unsettled) {
        self.requeue(unsettled);
        if let Some(order) = self.take_backs.orders.get_mut(&order) {
            order.returned += 1;
        }
    }

    /// A channel has more to give back, in a later step.
    pub fn take_back_later(&mut self, take_back: TakeBack) {
        self.effects.push_back(Effect::TakeBack(take_back));
    }

    /// A channel has given everything back, or is gone with what it had.
    pub fn took_back(&mut self, order: TakeBackOrder) {
        if let Some(order) = self.take_backs.orders.get_mut(&order) {
            order.channels -= 1;
        }
    }

    /// How many deliveries went back, once all channels are done.
    pub fn taken_back(&self, order: TakeBackOrder) -> Option<u64> {
        let order = self.take_backs.orders.get(&order)?;
        (order.channels == 0).then_some(order.returned)
    }

    /// Nobody asks any more.
    pub fn end_take_back(&mut self, order: TakeBackOrder) {
        self.take_backs.orders.remove(&order);
    }
}

/// What it costs to end a consumer.
const WORK_PER_CANCEL: usize = 20;
