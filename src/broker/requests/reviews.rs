//! Which consumers end because their user may not read from their queues any more?
//!
//! A user may have very many: they are looked at over several turns. Until that is done, whoever is
//! about to get a message is looked at first ([`Broker::ends_at_turn`]), so that nobody gets one
//! whose user lost his rights.

use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::key::ConsumerKey;
use crate::broker::queue::consumer::Consumer;
use crate::broker::users::Access;

/// A user whose rights changed, and how far the look at the consumers is.
#[derive(Debug)]
pub(in crate::broker) struct Review {
    user: Name,
    /// Consumers in places below this were looked at.
    place: u32,
}

/// What it costs to look at a consumer.
const WORK_PER_CONSUMER: usize = 1;

/// What it costs to end one.
const WORK_PER_END: usize = 15;

impl Broker {
    /// Ends the consumers of a user where it may not read any more, as if their queues were gone.
    pub(super) fn review_consumers(&mut self, user: &Name) {
        // Most have none.
        if self.users.connections_of(user).next().is_none() {
            return;
        }
        self.reviews.retain(|review| review.user != *user);
        self.reviews.push_back(Review { user: user.clone(), place: 0 });
        self.go_on_reviewing();
    }

    /// Goes on with that, as far as this step allows.
    pub fn go_on_reviewing(&mut self) {
        while !self.work.is_done()
            && let Some(Review { user, place }) = self.reviews.pop_front()
        {
            let reached = self.review(&user, place);
            if reached < self.queues.consumer_places() {
                return self.reviews.push_front(Review { user, place: reached });
            }
        }
    }

    /// Looks at consumers from this place on; up to where this step allowed that.
    fn review(&mut self, user: &Name, mut place: u32) -> u32 {
        while place < self.queues.consumer_places() && !self.work.is_done() {
            self.work.spend(WORK_PER_CONSUMER);
            if let Some((key, consumer)) = self.queues.consumer_at(place)
                && self.is_refused(user, consumer)
            {
                self.work.spend(WORK_PER_END);
                self.cancel(key);
            }
            place += 1;
        }
        place
    }

    /// Ends a consumer whose turn it is, if its user lost the right to read; whether it did.
    #[inline]
    pub(in crate::broker) fn ends_at_turn(&mut self, key: ConsumerKey) -> bool {
        !self.reviews.is_empty() && self.end_if_refused(key)
    }

    #[cold]
    fn end_if_refused(&mut self, key: ConsumerKey) -> bool {
        self.work.spend(WORK_PER_CONSUMER);
        let consumer = self.queues.consumer(key);
        let is_refused = consumer.is_some_and(|consumer| {
            self.reviews.iter().any(|review| self.is_refused(&review.user, consumer))
        });
        if is_refused {
            self.work.spend(WORK_PER_END);
            self.cancel(key);
        }
        is_refused
    }

    /// Whether a consumer is this user's, who may not read from its queue. Answers to its own
    /// questions everybody may read.
    fn is_refused(&self, user: &Name, consumer: &Consumer) -> bool {
        let channel = self.queues.channel(consumer.channel);
        let is_users = channel
            .and_then(|channel| self.users.user_of(channel.connection))
            .is_some_and(|owner| owner == user);
        if !is_users {
            return false;
        }
        let Some(queue) = self.queues.get(consumer.queue).filter(|queue| !queue.is_reply_queue)
        else {
            return false;
        };
        let vhost = self.topology.vhost_name(queue.vhost);
        let user = self.users.find(user);
        !user.is_some_and(|user| user.may(&vhost, Access::Read, &queue.name))
    }
}
