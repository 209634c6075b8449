//! How does a message get into its queues?

use crate::amqp::{Name, Properties, PropertyList, Table};
use crate::broker::Broker;
use crate::broker::arguments::effective::Overflow;
use crate::broker::flow::admission::{Admitted, Together};
use crate::broker::flow::death::{self, Death, Reason};
use crate::broker::flow::deduplication::NewDedupKey;
use crate::broker::flow::message::{Content, Delay, Message, Published, publication};
use crate::broker::key::{ExchangeKey, QueueKey};
use crate::broker::topology::routing::Reuse;
use crate::storage::{AppendError, Appended, Body, Publication};

impl Broker {
    /// See [`Topology::route`](crate::broker::Topology::route).
    #[inline]
    pub fn route(
        &mut self,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) -> Reuse {
        self.topology.route(&mut self.work, exchange, routing_key, properties, queues)
    }

    /// See [`Topology::route_all`](crate::broker::Topology::route_all).
    pub fn route_all(
        &mut self,
        exchange: ExchangeKey,
        routing_key: &[u8],
        properties: &PropertyList<'_>,
        queues: &mut Vec<QueueKey>,
    ) {
        self.topology.route_all(&mut self.work, exchange, routing_key, properties, queues);
    }

    /// The same of one that its exchange may delay first.
    pub fn is_logged(&self, queues: &[QueueKey], persistent: bool, delay: Option<Delay>) -> bool {
        delay.is_some() && persistent || self.queues.need_durability(queues, persistent)
    }

    /// Stores a message once and adds it to all of `queues`; those that are gone by now are
    /// passed over.
    pub fn enqueue(
        &mut self,
        queues: &[QueueKey],
        message: &Message<'_>,
    ) -> Result<Published, AppendError> {
        if let Some(delay) = message.delay {
            return self.delay_message(message, delay);
        }
        let body_bytes = self.body_bytes(&message.content.body);
        if self.all_take(queues, 1, body_bytes) {
            return self.store_message(queues, message, body_bytes);
        }
        let mut together = Together::default();
        let admitted = self.admit(queues, message.content.properties, body_bytes, &mut together);
        if !admitted.refusing.is_empty() {
            return self.enqueue_refused(&admitted, message, body_bytes, &mut together);
        }
        let published = self.store_message(&admitted.taking, message, body_bytes)?;
        let is_repeated = message.persistent && admitted.taking.len() < queues.len();
        Ok(if is_repeated && published == Published::Done { self.repeated() } else { published })
    }

    /// Stores what a message leaves behind that a queue refuses: letters to dead-letter exchanges,
    /// and the message itself where others take it. It may be sent again.
    fn enqueue_refused(
        &mut self,
        admitted: &Admitted,
        message: &Message<'_>,
        body_bytes: u64,
        together: &mut Together,
    ) -> Result<Published, AppendError> {
        let letters = self.letters_of_refused(admitted, message, body_bytes, together);
        let keyless = Message { dedup_key: None, ..*message };
        let copies = letters.iter().map(|letter| (letter.message(message), &letter.queues));
        for (n, (copy, queues)) in copies.chain([(keyless, &admitted.taking)]).enumerate() {
            let stored = match copy.delay {
                Some(delay) => self.delay_message(&copy, delay),
                None => self.store_message(queues, &copy, body_bytes),
            };
            // What was begun is not begun again: it is refused anyway.
            if n == 0 {
                stored?;
            }
        }
        Ok(Published::Refused)
    }

    /// What became of a persistent message that is there already: it survives when the one that it
    /// repeats does, which was stored some time before.
    pub fn repeated(&self) -> Published {
        Published::DurableAt(self.store.end())
    }

    /// How many bytes a body has, wherever they are.
    #[inline]
    pub(in crate::broker) fn body_bytes(&self, body: &Body<'_>) -> u64 {
        match *body {
            Body::Inline(body) => body.len() as u64,
            Body::Large(body) => body.body_bytes(),
            Body::Of(at) => self.store.record(at).body_bytes(),
        }
    }

    #[inline]
    fn store_message(
        &mut self,
        queues: &[QueueKey],
        message: &Message<'_>,
        body_bytes: u64,
    ) -> Result<Published, AppendError> {
        let durable = self.queues.need_durability(queues, message.persistent);
        self.store_in(durable, queues, message, body_bytes)
    }

    /// Stores a message in the durable log or in the transient ring, whatever its queues need.
    #[inline]
    pub(in crate::broker) fn store_in(
        &mut self,
        durable: bool,
        queues: &[QueueKey],
        message: &Message<'_>,
        body_bytes: u64,
    ) -> Result<Published, AppendError> {
        let mut ids = std::mem::take(&mut self.queue_ids);
        self.queues.live_ids(queues, &mut ids);
        if ids.is_empty() {
            self.queue_ids = ids;
            if let Some(dedup_key) = message.dedup_key {
                self.remember_dedup_key(dedup_key, false);
            }
            return Ok(Published::Done);
        }
        let publication = publication(message, &ids, durable, self.clock_ms);
        let expires = publication.expiry_ms != 0;
        let appended = self.append_with_dedup_key(&publication, message.dedup_key);
        self.queue_ids = ids;
        let appended = appended?;
        self.push_to_queues(queues, &appended, message.priority, body_bytes, expires);
        Ok(if durable { Published::DurableAt(appended.position) } else { Published::Done })
    }

    /// Stores a message, and with it the deduplication key that its exchange remembers.
    #[inline]
    pub(in crate::broker) fn append_with_dedup_key(
        &mut self,
        publication: &Publication<'_>,
        dedup_key: Option<&NewDedupKey>,
    ) -> Result<Appended, AppendError> {
        let Some(dedup_key) = dedup_key else {
            return self.store.append(publication);
        };
        let definition =
            if publication.durable { self.definition_of_dedup_key(dedup_key) } else { None };
        let defines = definition.as_ref().map(|(key, table)| (&key[..], table.table().as_bytes()));
        let appended = self.store.append(&Publication { defines, ..*publication })?;
        self.remember_dedup_key(dedup_key, publication.durable);
        Ok(appended)
    }

    /// Adds a stored message to its queues, which then may have something to deliver. It `expires`
    /// when it has a time to live of its own.
    pub(in crate::broker) fn push_to_queues(
        &mut self,
        queues: &[QueueKey],
        appended: &Appended,
        priority: u8,
        body_bytes: u64,
        expires: bool,
    ) {
        let entry = appended.entry;
        self.work.spend(2 * queues.len());
        for &key in queues {
            let now_ms = self.clock_ms;
            let Some(has_rules) = self.queues.push(key, entry, priority, body_bytes, now_ms) else {
                continue;
            };
            if expires || has_rules {
                if self.takes_dedup_keys_once(key) {
                    self.add_dedup_key(key, entry);
                }
                self.note_deadline(key, entry, priority);
                self.expire_at_once(key, entry, priority);
                self.limit_length(key);
            }
        }
    }

    /// The copies of a message that those of the queues that refuse it send to their dead-letter
    /// exchanges (`reject-publish-dlx`).
    pub(in crate::broker) fn letters_of_refused(
        &mut self,
        admitted: &Admitted,
        message: &Message<'_>,
        body_bytes: u64,
        together: &mut Together,
    ) -> Vec<Letter> {
        let mut letters = Vec::new();
        for &key in &admitted.refusing {
            let Some(queue) = self.queues.get(key) else {
                continue;
            };
            let wanted = queue.settings.overflow == Overflow::RejectPublishDlx;
            let Some(exchange) = queue.settings.dead_letter_exchange.clone().filter(|_| wanted)
            else {
                continue;
            };
            let (name, vhost) = (queue.name.clone(), queue.vhost);
            let routing_key = queue.settings.dead_letter_routing_key.clone();
            let list = Properties::new(message.content.properties).list().unwrap_or_default();
            let death = Death {
                queue: &name,
                reason: Reason::MaxLength,
                time_s: self.clock_ms / 1000,
                exchange: message.content.exchange,
                routing_key: message.content.routing_key,
                rerouted: routing_key.is_some(),
            };
            let properties = death::properties_after(&list, &death);
            let list = Properties::new(&properties).list().unwrap_or_default();
            let (key, to) = (message.content.routing_key, routing_key.as_ref());
            let delay = self.delay_of_dead(vhost, &exchange, &list);
            let mut queues = Vec::new();
            if delay.is_none() {
                queues = self.route_dead(vhost, &exchange, to, key, &list);
                let headers = list.headers.unwrap_or(Table::EMPTY);
                self.drop_cycles(headers, Reason::MaxLength, &mut queues);
                queues = self.admit(&queues, &properties, body_bytes, together).taking;
            }
            letters.push(Letter { exchange, routing_key, properties, queues, delay });
        }
        letters
    }
}

/// The copy of a refused message that goes to a dead-letter exchange.
#[derive(Debug)]
pub(in crate::broker) struct Letter {
    exchange: Name,
    /// In place of the message's own.
    routing_key: Option<Name>,
    properties: Vec<u8>,
    /// They take it.
    pub(in crate::broker) queues: Vec<QueueKey>,
    /// The exchange delays it first.
    delay: Option<Delay>,
}

impl Letter {
    /// What is stored of the refused message.
    pub(in crate::broker) fn message<'a>(&'a self, refused: &Message<'a>) -> Message<'a> {
        let content = Content {
            exchange: &self.exchange,
            routing_key: self.routing_key.as_deref().unwrap_or(refused.content.routing_key),
            properties: &self.properties,
            body: refused.content.body,
        };
        Message { content, ttl_ms: None, delay: self.delay, dedup_key: None, ..*refused }
    }
}
