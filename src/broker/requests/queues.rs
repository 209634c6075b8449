//! What may clients do with queues: declare, delete, purge.

use crate::amqp::{AmqpError, Name, ReplyCode, Table, TableBuf};
use crate::broker::Broker;
use crate::broker::arguments::{self, QueueKind, QueueTraits};
use crate::broker::by_name::ByName;
use crate::broker::key::{ConnectionKey, QueueKey, VhostKey};
use crate::broker::queue::ready::Ready;
use crate::broker::queue::{Declaration, Queue};
use crate::broker::requests::exchanges::refuse_reserved;
use crate::broker::resource::Resource;
use crate::broker::users::access::Subject;
use crate::broker::users::user::Access;
use crate::broker::work::WORK_PER_STEP;

/// The numbers of a `queue.declare-ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueCounts {
    /// Ready messages.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

impl Broker {
    /// Looks at a queue for a passive `queue.declare`.
    pub fn passive_queue(
        &mut self,
        subject: &Subject,
        name: &[u8],
    ) -> Result<QueueCounts, AmqpError> {
        let key = self.usable_queue(subject, name)?;
        self.queues.touch(key, self.clock_ms);
        Ok(self.queue_counts(key))
    }

    /// Declares a queue, or checks that it exists as asked for (AMQP 0-9-1 section 1.7.2.1). Only a
    /// name that the broker made may begin with `amq.`.
    pub fn declare_queue(
        &mut self,
        subject: &Subject,
        name: &[u8],
        server_named: bool,
        traits: &QueueTraits<'_>,
    ) -> Result<QueueCounts, AmqpError> {
        // An exclusive queue ends with its connection: durable says nothing.
        let traits = QueueTraits { durable: traits.durable && !traits.exclusive, ..*traits };
        let of_vhost = self.with_default_type(subject.vhost, name, &traits);
        let traits = match &of_vhost {
            Some(arguments) => QueueTraits { arguments: arguments.table(), ..traits },
            None => traits,
        };
        if !server_named {
            refuse_reserved("queue", name)?;
        }
        self.users.check_queue_access(subject, Access::Configure, name)?;
        self.finish_leaving(subject.vhost, name);
        if let Some(key) = self.topology.queue_named(subject.vhost, name) {
            self.check_queue_equivalence(subject, key, &traits)?;
            self.queues.touch(key, self.clock_ms);
            self.queues.note_declared(false);
            return Ok(self.queue_counts(key));
        }
        self.check_dead_letter_access(subject, name, traits.arguments)?;
        let owner = traits.exclusive.then_some(subject.connection);
        let key = self.make_queue(subject.vhost, name, &traits, owner)?;
        Ok(self.queue_counts(key))
    }

    /// Takes a queue in that an operator has from elsewhere, whoever may do what there; `false`:
    /// there is one of this name, whatever it is like. One without a type was a classic queue,
    /// whatever queues of the vhost become that clients declare.
    ///
    /// # Errors
    /// 406 and 506, as for clients.
    pub fn import_queue(
        &mut self,
        vhost: VhostKey,
        name: &[u8],
        traits: &QueueTraits<'_>,
    ) -> Result<bool, AmqpError> {
        let found = self.topology.queue_named(vhost, name);
        if found.is_some_and(|key| !self.queues.is_leaving(key)) {
            return Ok(false);
        }
        self.finish_leaving(vhost, name);
        self.make_queue(vhost, name, traits, None)?;
        Ok(true)
    }

    /// Makes a queue of a name that is free.
    fn make_queue(
        &mut self,
        vhost: VhostKey,
        name: &[u8],
        traits: &QueueTraits<'_>,
        owner: Option<ConnectionKey>,
    ) -> Result<QueueKey, AmqpError> {
        if let Some(vhost) = self.topology.vhost(vhost) {
            let (max, count) = (vhost.settings.queues_max, vhost.queues.len());
            check_queue_limit(&vhost.name, max, count, name)?;
            self.check_new_queue(&vhost.name, name, traits)?;
        }
        let id = self.store.new_queue_id();
        let declaration = Declaration {
            durable: traits.durable,
            owner,
            auto_delete: traits.auto_delete,
            arguments: traits.arguments.as_bytes().into(),
        };
        let queue = Queue::new(Name::from(name), vhost, id, declaration);
        let key = self.create_queue(queue);
        self.queues.note_declared(true);
        self.note_queue_created(key);
        if traits.durable {
            self.persist_queue(key);
        }
        Ok(key)
    }

    /// Whether a queue of a name that is free may be like this; not whether the vhost may have one
    /// more ([`check_queue_limit`]).
    ///
    /// # Errors
    /// 406 and 506, as for clients.
    pub fn check_new_queue(
        &self,
        vhost: &Name,
        name: &[u8],
        traits: &QueueTraits<'_>,
    ) -> Result<(), AmqpError> {
        let resource = Resource::queue(vhost, name);
        arguments::check_queue(resource, traits)?;
        if traits.durable {
            self.refuse_too_long(resource, traits.arguments.as_bytes().len())?;
            self.refuse_without_room(resource)?;
        }
        Ok(())
    }

    /// A queue of this name that is leaving is gone afterwards.
    fn finish_leaving(&mut self, vhost: VhostKey, name: &[u8]) {
        let found = self.topology.queue_named(vhost, name);
        if let Some(key) = found.filter(|&key| self.queues.is_leaving(key)) {
            // Nobody else waits for so long: nearly always it is one step.
            while !self.remove_queue(key) {
                self.work.begin(WORK_PER_STEP);
            }
            self.go_on_removing();
        }
    }

    /// The arguments of a declaration without a type, where the vhost says which one its queues
    /// have and the declaration can mean such a queue. A queue that was there before keeps its own.
    fn with_default_type(
        &self,
        vhost: VhostKey,
        name: &[u8],
        traits: &QueueTraits<'_>,
    ) -> Option<TableBuf> {
        const TYPE: &[u8] = b"x-queue-type";
        let kind = self.topology.vhost(vhost)?.settings.default_queue_type?;
        let lasts = traits.durable && !traits.exclusive && !traits.auto_delete;
        let fits = lasts || kind == QueueKind::Classic;
        if !fits || traits.arguments.find(TYPE).is_some() {
            return None;
        }
        let found = self.topology.queue_named(vhost, name);
        let before = found.filter(|&key| !self.queues.is_leaving(key));
        let before = before.and_then(|key| self.queues.get(key));
        if before.is_some_and(|queue| queue.declaration.table().find(TYPE).is_none()) {
            return None;
        }
        let mut arguments = TableBuf::from(traits.arguments);
        arguments.put_str(TYPE, kind.name());
        Some(arguments)
    }

    /// Deletes a queue; the number of ready messages that went with it. `None`: it has more
    /// bindings than this step allows to remove; the next time it goes on.
    pub fn delete_queue(
        &mut self,
        subject: &Subject,
        name: &[u8],
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Option<u32>, AmqpError> {
        self.users.check_queue_access(subject, Access::Configure, name)?;
        let found = self.topology.queue_named(subject.vhost, name);
        let Some(key) = found.filter(|&key| !self.queues.is_leaving(key)) else {
            return Ok(Some(0));
        };
        self.check_exclusive_access(subject, key)?;
        let counts = self.queue_counts(key);
        let refuse = |why: &str| {
            let vhost = self.topology.vhost_name(subject.vhost);
            let text = format!("{} {why}", Resource::queue(&vhost, name));
            Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
        };
        // Streams do not ask, as in RabbitMQ.
        let asks = self.queues.get(key).is_some_and(|queue| queue.stream.is_none());
        if asks && if_unused && counts.consumers > 0 {
            return refuse("in use");
        }
        if asks && if_empty && counts.messages > 0 {
            return refuse("not empty");
        }
        let is_done = self.remove_queue(key);
        self.go_on_removing();
        Ok(is_done.then_some(counts.messages))
    }

    /// Drops the ready messages of a queue; how many they were, and which line of discarded ones
    /// they are: see [`Broker::is_discarded`].
    pub fn purge_queue(
        &mut self,
        subject: &Subject,
        name: &[u8],
    ) -> Result<(u32, Option<u64>), AmqpError> {
        self.users.check_queue_access(subject, Access::Read, name)?;
        let key = self.usable_queue(subject, name)?;
        self.refuse_on_stream(key, "queue.purge")?;
        let messages = self.queue_counts(key).messages;
        if let Some(queue) = self.queues.get_mut(key) {
            let empty = Ready::new(queue.ready.priority_max());
            let ready = std::mem::replace(&mut queue.ready, empty);
            queue.ready_bytes = 0;
            queue.timed.clear();
            queue.dedup_keys = ByName::default();
            let (id, durable) = (queue.id, queue.is_durable());
            self.queues.note_gone(key, ready.len());
            let line = self.discard(id, ready, durable);
            return Ok((messages, durable.then_some(line)));
        }
        Ok((messages, None))
    }

    /// A queue that must be there (404) and open to this connection (405).
    pub fn usable_queue(&self, subject: &Subject, name: &[u8]) -> Result<QueueKey, AmqpError> {
        let found = self.topology.queue_named(subject.vhost, name);
        let key = found.filter(|&key| !self.queues.is_leaving(key)).ok_or_else(|| {
            let vhost = self.topology.vhost_name(subject.vhost);
            let text = format!("no {}", Resource::queue(&vhost, name));
            AmqpError::channel(ReplyCode::NotFound, text)
        })?;
        self.check_exclusive_access(subject, key)?;
        Ok(key)
    }

    /// 540 for a method that streams do not know, in RabbitMQ's words.
    pub fn refuse_on_stream(&self, key: QueueKey, method: &str) -> Result<(), AmqpError> {
        let Some(queue) = self.queues.get(key).filter(|queue| queue.stream.is_some()) else {
            return Ok(());
        };
        let vhost = self.topology.vhost_name(queue.vhost);
        let resource = Resource::queue(&vhost, &queue.name);
        let text = format!("{method} not supported by stream queues {resource}");
        Err(AmqpError::connection(ReplyCode::NotImplemented, text))
    }

    /// A queue goes to the log, or where its stream begins now.
    pub(in crate::broker) fn persist_queue(&mut self, key: QueueKey) {
        if let Some(queue) = self.queues.get(key) {
            self.topology.persist_queue(&mut self.store, queue);
        }
    }

    fn queue_counts(&self, key: QueueKey) -> QueueCounts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.queues.get(key).map_or(QueueCounts { messages: 0, consumers: 0 }, |queue| {
            QueueCounts {
                messages: count(queue.message_count()),
                consumers: count(queue.line.len()),
            }
        })
    }

    /// What dies in a queue is read from it and written to its dead-letter exchange: its maker
    /// has to be allowed both.
    fn check_dead_letter_access(
        &self,
        subject: &Subject,
        name: &[u8],
        arguments: Table<'_>,
    ) -> Result<(), AmqpError> {
        let exchange = arguments.find(b"x-dead-letter-exchange");
        let Some(exchange) = exchange.and_then(|value| value.text()) else {
            return Ok(());
        };
        self.users.check_queue_access(subject, Access::Read, name)?;
        self.users.check_exchange_access(subject, Access::Write, exchange)
    }

    /// 405 for an exclusive queue of another connection.
    pub(in crate::broker) fn check_exclusive_access(
        &self,
        subject: &Subject,
        key: QueueKey,
    ) -> Result<(), AmqpError> {
        match self.queues.get(key) {
            Some(queue) if queue.declaration.owner.is_some_and(|o| o != subject.connection) => {
                let vhost = self.topology.vhost_name(queue.vhost);
                Err(arguments::resource_locked(Resource::queue(&vhost, &queue.name)))
            }
            _ => Ok(()),
        }
    }

    fn check_queue_equivalence(
        &self,
        subject: &Subject,
        key: QueueKey,
        received: &QueueTraits<'_>,
    ) -> Result<(), AmqpError> {
        let Some(queue) = self.queues.get(key) else {
            return Ok(());
        };
        let vhost = self.topology.vhost_name(queue.vhost);
        let resource = Resource::queue(&vhost, &queue.name);
        if queue.declaration.owner != received.exclusive.then_some(subject.connection) {
            return Err(arguments::resource_locked(resource));
        }
        arguments::check_queue_equivalence(resource, &queue.declaration.traits(), received)
    }
}

/// Whether a vhost that has so many queues may have one more.
///
/// # Errors
/// 406.
pub fn check_queue_limit(
    vhost: &Name,
    max: Option<u32>,
    count: usize,
    name: &[u8],
) -> Result<(), AmqpError> {
    let is_reached = |max: u32| usize::try_from(max).is_ok_and(|max| count >= max);
    let Some(max) = max.filter(|&max| is_reached(max)) else {
        return Ok(());
    };
    let text = format!(
        "cannot declare queue '{}': queue limit in vhost '{vhost}' ({max}) is reached",
        Name::from(name)
    );
    Err(AmqpError::channel(ReplyCode::PreconditionFailed, text))
}

impl Declaration {
    /// What a declaration is compared with.
    fn traits(&self) -> QueueTraits<'_> {
        QueueTraits {
            durable: self.durable,
            exclusive: self.owner.is_some(),
            auto_delete: self.auto_delete,
            arguments: self.table(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing::{open, subject};

    /// It would not fit into a record of the log; nobody but this client hears of it.
    #[test]
    fn arguments_that_are_too_long_to_last_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let mut arguments = TableBuf::new();
        arguments.put_str(b"x-note", &"x".repeat(broker.definition_bytes_max()));
        let (exclusive, auto_delete, arguments) = (false, false, arguments.table());
        let durable = QueueTraits { durable: true, exclusive, auto_delete, arguments };
        let guest = subject(&broker);
        let refused = broker.declare_queue(&guest, b"q", false, &durable).unwrap_err();
        assert_eq!(refused.code, ReplyCode::PreconditionFailed);
        assert!(refused.text.contains("arguments of queue 'q' in vhost '/' have more than"));
        let transient = QueueTraits { durable: false, ..durable };
        broker.declare_queue(&guest, b"q", false, &transient).unwrap();
    }
}
