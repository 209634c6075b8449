//! What do exchange and queue methods answer?

use crate::amqp::method::{exchange, queue};
use crate::amqp::{AmqpError, Method, Name, ReplyCode, encoder};
use crate::broker::binds::{BindRequest, DestinationName};
use crate::broker::exchanges::ExchangeDeclare;
use crate::broker::queues::QueueDeclare;
use crate::broker::reply::REPLY_TO;
use crate::broker::{Broker, QueueKey};

use crate::session::{Session, Wait, WaitUntil, generated_name};

impl Session {
    pub(in crate::session) fn exchange_declare(
        &mut self,
        broker: &mut Broker,
        number: u16,
        declare: &exchange::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let request = ExchangeDeclare {
            name: declare.exchange,
            kind: declare.kind,
            passive: declare.passive,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments,
        };
        broker.declare_exchange(self.subject(), &request)?;
        let lasting = declare.durable && !declare.passive;
        let ok = exchange::DeclareOk {}.into();
        self.answer_declare(broker, number, lasting, declare.nowait, ok);
        Ok(())
    }

    pub(in crate::session) fn exchange_delete(
        &mut self,
        broker: &mut Broker,
        number: u16,
        delete: &exchange::Delete<'_>,
    ) -> Result<(), AmqpError> {
        broker.delete_exchange(self.subject(), delete.exchange, delete.if_unused)?;
        self.answer(broker, number, delete.nowait, exchange::DeleteOk {}.into());
        Ok(())
    }

    pub(in crate::session) fn exchange_bind(
        &mut self,
        broker: &mut Broker,
        number: u16,
        bind: &exchange::Bind<'_>,
    ) -> Result<(), AmqpError> {
        let request = BindRequest {
            source: bind.source,
            destination: DestinationName::Exchange(bind.destination),
            routing_key: bind.routing_key,
            arguments: bind.arguments,
        };
        broker.bind(self.subject(), &request)?;
        self.answer(broker, number, bind.nowait, exchange::BindOk {}.into());
        Ok(())
    }

    pub(in crate::session) fn exchange_unbind(
        &mut self,
        broker: &mut Broker,
        number: u16,
        unbind: &exchange::Unbind<'_>,
    ) -> Result<(), AmqpError> {
        let request = BindRequest {
            source: unbind.source,
            destination: DestinationName::Exchange(unbind.destination),
            routing_key: unbind.routing_key,
            arguments: unbind.arguments,
        };
        broker.unbind(self.subject(), &request)?;
        self.answer(broker, number, unbind.nowait, exchange::UnbindOk {}.into());
        Ok(())
    }

    pub(in crate::session) fn queue_declare(
        &mut self,
        broker: &mut Broker,
        number: u16,
        declare: &queue::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let server_named = declare.queue.is_empty() && !declare.passive;
        let name = if server_named {
            generated_name("amq.gen-")
        } else {
            self.queue_name(number, declare.queue)?
        };
        if name.as_bytes().starts_with(REPLY_TO) {
            broker.check_reply_address(self.subject(), name.as_bytes())?;
            let queue = name.as_bytes();
            let ok = queue::DeclareOk { queue, message_count: 0, consumer_count: 1 };
            self.answer_declare(broker, number, false, declare.nowait, ok.into());
            self.channel_at(number).last_queue = Some(name);
            return Ok(());
        }
        let request = QueueDeclare {
            name: name.as_bytes(),
            server_named,
            passive: declare.passive,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: declare.arguments,
        };
        let counts = broker.declare_queue(self.subject(), &request)?;
        let declare_ok = queue::DeclareOk {
            queue: name.as_bytes(),
            message_count: counts.messages,
            consumer_count: counts.consumers,
        };
        let lasting = declare.durable && !declare.exclusive && !declare.passive;
        self.answer_declare(broker, number, lasting, declare.nowait, declare_ok.into());
        self.channel_at(number).last_queue = Some(name);
        Ok(())
    }

    pub(in crate::session) fn queue_delete(
        &mut self,
        broker: &mut Broker,
        number: u16,
        delete: &queue::Delete<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(number, delete.queue)?;
        let subject = self.subject();
        let message_count =
            broker.delete_queue(subject, name.as_bytes(), delete.if_unused, delete.if_empty)?;
        self.answer(broker, number, delete.nowait, queue::DeleteOk { message_count }.into());
        Ok(())
    }

    pub(in crate::session) fn queue_purge(
        &mut self,
        broker: &mut Broker,
        number: u16,
        purge: &queue::Purge<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(number, purge.queue)?;
        let (message_count, line) = broker.purge_queue(self.subject(), name.as_bytes())?;
        let until = line.map(WaitUntil::Discarded);
        self.answer_when(number, purge.nowait, until, queue::PurgeOk { message_count }.into());
        Ok(())
    }

    pub(in crate::session) fn queue_bind(
        &mut self,
        broker: &mut Broker,
        number: u16,
        bind: &queue::Bind<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(number, bind.queue)?;
        let unnamed = bind.queue.is_empty() && bind.routing_key.is_empty();
        let request = BindRequest {
            source: bind.exchange,
            destination: DestinationName::Queue(name.as_bytes()),
            routing_key: if unnamed { name.as_bytes() } else { bind.routing_key },
            arguments: bind.arguments,
        };
        broker.bind(self.subject(), &request)?;
        self.answer(broker, number, bind.nowait, queue::BindOk {}.into());
        Ok(())
    }

    pub(in crate::session) fn queue_unbind(
        &mut self,
        broker: &mut Broker,
        number: u16,
        unbind: &queue::Unbind<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(number, unbind.queue)?;
        let unnamed = unbind.queue.is_empty() && unbind.routing_key.is_empty();
        let request = BindRequest {
            source: unbind.exchange,
            destination: DestinationName::Queue(name.as_bytes()),
            routing_key: if unnamed { name.as_bytes() } else { unbind.routing_key },
            arguments: unbind.arguments,
        };
        broker.unbind(self.subject(), &request)?;
        self.answer(broker, number, false, queue::UnbindOk {}.into());
        Ok(())
    }

    /// The queue that a method means: an empty name is the last queue declared on the channel,
    /// else 404.
    pub(in crate::session) fn queue_name(
        &mut self,
        number: u16,
        name: &[u8],
    ) -> Result<Name, AmqpError> {
        if !name.is_empty() {
            return Ok(Name::from(name));
        }
        self.channel_at(number)
            .last_queue
            .clone()
            .ok_or_else(|| AmqpError::channel(ReplyCode::NotFound, "no previously declared queue"))
    }

    /// The queue that a method looks at or changes: it has to find it as if all deliveries that are
    /// possible had been made.
    pub(in crate::session) fn queue_looked_at(
        &mut self,
        broker: &Broker,
        number: u16,
        method: &Method<'_>,
    ) -> Option<QueueKey> {
        if let Method::BasicCancel(cancel) = method {
            let consumer = *self.channel_at(number).consumers.get(cancel.consumer_tag)?;
            return broker.consumer(consumer).map(|consumer| consumer.queue);
        }
        let name = if let Method::BasicGet(get) = method {
            get.queue
        } else if let Method::QueueDeclare(declare) = method {
            declare.queue
        } else if let Method::QueuePurge(purge) = method {
            purge.queue
        } else if let Method::QueueDelete(delete) = method {
            delete.queue
        } else {
            return None;
        };
        let (subject, channel) = self.parts(number);
        let vhost = subject.vhost;
        match (name, &channel.last_queue) {
            (b"", Some(last)) => broker.queue_named(vhost, last.as_bytes()),
            (name, _) => broker.queue_named(vhost, name),
        }
    }

    /// As [`Session::answer`]; what does not last, or was only asked for, waits for nothing.
    fn answer_declare(
        &mut self,
        broker: &Broker,
        number: u16,
        lasting: bool,
        nowait: bool,
        ok: Method<'_>,
    ) {
        if lasting {
            self.answer(broker, number, nowait, ok);
        } else if !nowait {
            self.send(number, &ok);
        }
    }

    /// Sends the -ok, unless the client does not want it; at once, or when the definition that
    /// the method made is on disk.
    fn answer(&mut self, broker: &Broker, number: u16, nowait: bool, ok: Method<'_>) {
        let change = broker.store.changes();
        let is_kept = broker.store.is_kept(change);
        let until = (!is_kept).then_some(WaitUntil::Changed(change));
        self.answer_when(number, nowait, until, ok);
    }

    /// The same once something is on disk.
    fn answer_when(&mut self, number: u16, nowait: bool, until: Option<WaitUntil>, ok: Method<'_>) {
        match until {
            _ if nowait => {}
            None => self.send(number, &ok),
            Some(until) => {
                let mut reply = Vec::new();
                encoder::method_frame(&mut reply, number, &ok);
                self.wait = Some(Wait { until, channel: number, reply });
            }
        }
    }
}
