//! How does a queue get back what a stuck consumer has?
//!
//! The consumer is cancelled, or it would get the same messages again at once: its client is told
//! if it takes `basic.cancel` from a broker. What the client says later of what was taken from it
//! means nothing. A queue that goes with its last consumer is left alone: its messages would go,
//! too.

use serde_json::{Map, Value, json};

use super::channels;
use super::queue_messages::emptiable;
use crate::broker::{Broker, ChannelKey, ConsumerKey, QueueKey, TakeBackOrder};
use crate::management::call::{Answer, Call, Context, Durable, Outcome, Progress, Work};
use crate::management::response::Response;
use crate::management::{body, json};

/// Puts back what one consumer has, or everything that is not settled.
pub fn requeue(call: &mut Call<'_, '_>) -> Outcome {
    let request = json::object(&call.request.body)?;
    body::allow(&request, &["consumer_tag", "channel", "all_unacked"])?;
    let whose = Whose::of(&request)?;
    let queue = emptiable(call)?;
    let found = call.context.broker.queues().get(queue);
    if found.is_some_and(|queue| queue.declaration.auto_delete) {
        let text = "the queue is deleted with its last consumer, and its messages with it: no \
                    consumer of it is cancelled";
        return Err(Response::bad_request(text));
    }
    let step = match whose {
        Whose::Consumer { tag, channel } => {
            let channel = channels::named(call, channel.as_bytes())?.key;
            let queues = call.context.broker.queues();
            let of_queue = |consumer: &ConsumerKey| {
                queues.consumer(*consumer).is_some_and(|consumer| {
                    consumer.queue == queue && consumer.tag.as_bytes() == tag.as_bytes()
                })
            };
            let consumers = queues.channel(channel).map(|channel| &channel.consumers);
            let mut all = (0..).map_while(|at| consumers?.at(at));
            let consumer = all.find(of_queue).ok_or_else(|| {
                let text = "the channel has no consumer of this queue with this tag";
                Response::error(404, "not_found", text)
            })?;
            Step::One(channel, consumer)
        }
        Whose::Everybody if call.caller.is_monitor() => Step::Cancelling(0),
        Whose::Everybody => {
            let text = "all_unacked is for users with the tag monitoring or administrator";
            return Err(Response::not_authorised(text));
        }
    };
    Ok(Answer::Later(Box::new(Requeue { queue, step, order: None })))
}

/// Whose deliveries are meant.
enum Whose {
    Consumer { tag: String, channel: String },
    Everybody,
}

impl Whose {
    fn of(request: &Map<String, Value>) -> Result<Self, Response> {
        let [tag, channel] = ["consumer_tag", "channel"].map(|field| body::text(request, field));
        match (tag?, channel?, body::flag(request, "all_unacked")?) {
            (Some(tag), Some(channel), false) => {
                Ok(Self::Consumer { tag: tag.to_owned(), channel: channel.to_owned() })
            }
            (None, None, true) => Ok(Self::Everybody),
            _ => Err(Response::bad_request(
                "either consumer_tag and channel have to be there, or all_unacked (true)",
            )),
        }
    }
}

/// What is done next.
enum Step {
    /// One consumer is cancelled, and its channel asked.
    One(ChannelKey, ConsumerKey),
    /// Every consumer that has something is cancelled, from this place on.
    Cancelling(u32),
    /// Every channel is asked, from this place on.
    Asking(u32),
    /// They give back what they have.
    Waiting,
}

struct Requeue {
    queue: QueueKey,
    step: Step,
    order: Option<TakeBackOrder>,
}

impl Requeue {
    fn order(&mut self, broker: &mut Broker) -> TakeBackOrder {
        *self.order.get_or_insert_with(|| broker.begin_take_back())
    }
}

impl Work for Requeue {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut *context.broker;
        let order = self.order(broker);
        while !broker.work.is_done() {
            broker.work.spend(1);
            match &mut self.step {
                Step::One(channel, consumer) => {
                    broker.cancel_stuck(*consumer);
                    broker.take_back_from(order, *channel, self.queue, Some(*consumer));
                    self.step = Step::Waiting;
                }
                Step::Cancelling(place) if *place < broker.queues().consumer_places() => {
                    let found = broker.queues().consumer_at(*place);
                    let stuck = found.filter(|(_, consumer)| {
                        consumer.queue == self.queue && consumer.unacked > 0
                    });
                    if let Some((consumer, _)) = stuck {
                        broker.cancel_stuck(consumer);
                    }
                    *place += 1;
                }
                Step::Cancelling(_) => self.step = Step::Asking(0),
                Step::Asking(place) if *place < broker.queues().channel_places() => {
                    if let Some((channel, _)) = broker.queues().channel_at(*place) {
                        broker.take_back_from(order, channel, self.queue, None);
                    }
                    *place += 1;
                }
                Step::Asking(_) => self.step = Step::Waiting,
                Step::Waiting => {
                    let Some(returned) = broker.taken_back(order) else {
                        return Progress::Unfinished;
                    };
                    broker.end_take_back(order);
                    let change = Durable::Change(broker.mark_change());
                    let response = Response::json(&json!({ "requeued": returned }));
                    return Progress::Once(Some(change), response);
                }
            }
        }
        Progress::Unfinished
    }

    /// What was asked for is done all the same.
    fn abandon(&mut self, broker: &mut Broker) {
        if let Some(order) = self.order.take() {
            broker.end_take_back(order);
        }
    }
}
