//! What may clients do with queues: declare, delete, purge.

use crate::amqp::{AmqpError, Name, ReplyCode, Table};
use crate::broker::Broker;
use crate::broker::arguments::{self, QueueTraits};
use crate::broker::key::QueueKey;
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
        if !server_named {
            refuse_reserved("queue", name)?;
        }
        self.users.check_queue_access(subject, Access::Configure, name)?;
        self.queues.note_declared();
        let found = self.topology.queue_named(subject.vhost, name);
        if let Some(key) = found.filter(|&key| self.queues.is_leaving(key)) {
            // Nobody else waits for so long: nearly always it is one step.
            while !self.remove_queue(key) {
                self.work.begin(WORK_PER_STEP);
            }
            self.go_on_removing();
        } else if let Some(key) = found {
            self.check_queue_equivalence(subject, key, &traits)?;
            self.queues.touch(key, self.clock_ms);
            return Ok(self.queue_counts(key));
        }
        self.check_dead_letter_access(subject, name, traits.arguments)?;
        let vhost_name = self.topology.vhost_name(subject.vhost);
        arguments::check_queue(Resource::queue(&vhost_name, name), &traits)?;
        if traits.durable {
            self.refuse_without_room(Resource::queue(&vhost_name, name))?;
        }
        let id = self.store.new_queue_id();
        let declaration = Declaration {
            durable: traits.durable,
            owner: traits.exclusive.then_some(subject.connection),
            auto_delete: traits.auto_delete,
            arguments: traits.arguments.as_bytes().into(),
        };
        let queue = Queue::new(Name::from(name), subject.vhost, id, declaration);
        let key = self.create_queue(queue);
        self.queues.note_created();
        if traits.durable {
            self.persist_queue(key);
        }
        Ok(self.queue_counts(key))
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
            queue.dedup_keys.clear();
            let (id, durable) = (queue.id, queue.is_durable());
            self.queues.note_gone(ready.len());
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
