//! What do queue methods answer?

use std::borrow::Cow;

use crate::amqp::method::queue;
use crate::amqp::{AmqpError, Name, ReplyCode};
use crate::broker::arguments::QueueTraits;
use crate::broker::requests::bindings::{BindRequest, DestinationName};
use crate::broker::requests::reply::REPLY_TO;
use crate::session::wait::WaitUntil;

use super::frames::Progress;
use super::scope::Scope;
use super::{Channel, generated_name};

/// A name without carriage returns and line feeds, which RabbitMQ takes out where something is
/// declared, deleted or bound.
pub(super) fn one_line(name: &[u8]) -> Cow<'_, [u8]> {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    match name.iter().any(is_break) {
        true => name.iter().copied().filter(|byte| !is_break(byte)).collect(),
        false => Cow::Borrowed(name),
    }
}

impl Channel {
    pub(super) fn queue_declare(
        &mut self,
        scope: &mut Scope<'_>,
        declare: &queue::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let asked = one_line(declare.queue);
        let server_named = asked.is_empty() && !declare.passive;
        let name = if server_named {
            generated_name("amq.gen-")
        } else {
            // Here an empty name is a name, which no queue has.
            Name::from(&*asked)
        };
        if name.as_bytes().starts_with(REPLY_TO) {
            scope.broker.check_reply_address(scope.subject, name.as_bytes())?;
            let queue = name.as_bytes();
            let ok = queue::DeclareOk { queue, message_count: 0, consumer_count: 1 };
            scope.answer_declare(false, declare.nowait, ok.into());
            self.last_queue = Some(name);
            return Ok(());
        }
        let Scope { broker, subject, .. } = scope;
        let counts = if declare.passive {
            broker.passive_queue(subject, name.as_bytes())?
        } else {
            let traits = QueueTraits {
                durable: declare.durable,
                exclusive: declare.exclusive,
                auto_delete: declare.auto_delete,
                arguments: declare.arguments,
            };
            broker.declare_queue(subject, name.as_bytes(), server_named, &traits)?
        };
        let declare_ok = queue::DeclareOk {
            queue: name.as_bytes(),
            message_count: counts.messages,
            consumer_count: counts.consumers,
        };
        let lasting = declare.durable && !declare.exclusive && !declare.passive;
        scope.answer_declare(lasting, declare.nowait, declare_ok.into());
        self.last_queue = Some(name);
        Ok(())
    }

    pub(super) fn queue_delete(
        &mut self,
        scope: &mut Scope<'_>,
        delete: &queue::Delete<'_>,
    ) -> Result<Progress, AmqpError> {
        let name = self.queue_name(&one_line(delete.queue))?;
        let Scope { broker, subject, .. } = scope;
        let deleted =
            broker.delete_queue(subject, name.as_bytes(), delete.if_unused, delete.if_empty)?;
        let Some(message_count) = deleted else {
            return Ok(Progress::ComesAgain);
        };
        scope.answer(delete.nowait, queue::DeleteOk { message_count }.into());
        Ok(Progress::Took(0))
    }

    pub(super) fn queue_purge(
        &mut self,
        scope: &mut Scope<'_>,
        purge: &queue::Purge<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(purge.queue)?;
        let (message_count, line) = scope.broker.purge_queue(scope.subject, name.as_bytes())?;
        let until = line.map(WaitUntil::Discarded);
        scope.out.answer_when(purge.nowait, until, queue::PurgeOk { message_count }.into());
        Ok(())
    }

    pub(super) fn queue_bind(
        &mut self,
        scope: &mut Scope<'_>,
        bind: &queue::Bind<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(&one_line(bind.queue))?;
        let unnamed = bind.queue.is_empty() && bind.routing_key.is_empty();
        let request = BindRequest {
            source: &one_line(bind.exchange),
            destination: DestinationName::Queue(name.as_bytes()),
            routing_key: if unnamed { name.as_bytes() } else { bind.routing_key },
            arguments: bind.arguments,
        };
        scope.broker.bind(scope.subject, &request)?;
        scope.answer(bind.nowait, queue::BindOk {}.into());
        Ok(())
    }

    pub(super) fn queue_unbind(
        &mut self,
        scope: &mut Scope<'_>,
        unbind: &queue::Unbind<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(&one_line(unbind.queue))?;
        let unnamed = unbind.queue.is_empty() && unbind.routing_key.is_empty();
        let request = BindRequest {
            source: &one_line(unbind.exchange),
            destination: DestinationName::Queue(name.as_bytes()),
            routing_key: if unnamed { name.as_bytes() } else { unbind.routing_key },
            arguments: unbind.arguments,
        };
        scope.broker.unbind(scope.subject, &request)?;
        scope.answer(false, queue::UnbindOk {}.into());
        Ok(())
    }

    /// The queue that a method means: an empty name is the last queue declared on the channel,
    /// else 404.
    pub(super) fn queue_name(&self, name: &[u8]) -> Result<Name, AmqpError> {
        if !name.is_empty() {
            return Ok(Name::from(name));
        }
        self.last_queue
            .clone()
            .ok_or_else(|| AmqpError::channel(ReplyCode::NotFound, "no previously declared queue"))
    }
}
