//! Which method does what on an open channel?

use crate::amqp::method::{access, basic, channel as channel_methods, confirm};
use crate::amqp::{AmqpError, Method, ReplyCode};
use crate::broker::QueueKey;

use Method as M;

use super::confirms::Confirms;
use super::frames::Progress;
use super::scope::Scope;
use super::{Channel, Mode};

impl Channel {
    /// Any method but `basic.publish`, which has content behind it, and those that settle.
    #[inline(never)]
    pub(super) fn method(
        &mut self,
        scope: &mut Scope<'_>,
        method: Method<'_>,
    ) -> Result<Progress, AmqpError> {
        scope.broker.act_for(Some(&scope.subject.user));
        let progress = self.carry_out(scope, method);
        scope.broker.act_for(None);
        progress
    }

    fn carry_out(
        &mut self,
        scope: &mut Scope<'_>,
        method: Method<'_>,
    ) -> Result<Progress, AmqpError> {
        match method {
            M::BasicRecover(recover) => return self.recover(scope, recover.requeue, true),
            M::BasicRecoverAsync(recover) => return self.recover(scope, recover.requeue, false),
            M::BasicGet(get) => self.basic_get(scope, &get),
            M::BasicConsume(consume) => self.basic_consume(scope, &consume),
            M::BasicCancel(cancel) => self.basic_cancel(scope, &cancel),
            M::BasicQos(qos) => self.basic_qos(scope, qos),
            M::QueueDeclare(declare) => self.queue_declare(scope, &declare),
            M::QueueDelete(delete) => return self.queue_delete(scope, &delete),
            M::QueuePurge(purge) => self.queue_purge(scope, &purge),
            M::QueueBind(bind) => self.queue_bind(scope, &bind),
            M::QueueUnbind(unbind) => self.queue_unbind(scope, &unbind),
            M::ExchangeDeclare(declare) => scope.exchange_declare(&declare),
            M::ExchangeDelete(delete) => return scope.exchange_delete(&delete),
            M::ExchangeBind(bind) => scope.exchange_bind(&bind),
            M::ExchangeUnbind(unbind) => scope.exchange_unbind(&unbind),
            M::ConfirmSelect(select) => self.confirm_select(scope, select),
            M::TxSelect(_) => self.tx_select(scope),
            M::TxCommit(_) => return self.tx_commit(scope),
            M::TxRollback(_) => self.tx_rollback(scope),
            M::ChannelClose(_) => return Ok(Progress::Closes),
            M::ChannelFlow(flow) => channel_flow(scope, flow),
            M::AccessRequest(_) => access_request(scope),
            M::ChannelOpen(_) => {
                let text = "second 'channel.open' seen";
                Err(AmqpError::connection(ReplyCode::ChannelError, text))
            }
            #[rustfmt::skip]
            M::ConnectionStart(_) | M::ConnectionStartOk(_) | M::ConnectionSecure(_)
            | M::ConnectionSecureOk(_) | M::ConnectionTune(_) | M::ConnectionTuneOk(_)
            | M::ConnectionOpen(_) | M::ConnectionOpenOk(_) | M::ConnectionClose(_)
            | M::ConnectionCloseOk(_) | M::ConnectionBlocked(_) | M::ConnectionUnblocked(_)
            | M::ConnectionUpdateSecret(_) | M::ConnectionUpdateSecretOk(_)
            | M::ChannelOpenOk(_) | M::ChannelFlowOk(_) | M::ChannelCloseOk(_)
            | M::AccessRequestOk(_) | M::ExchangeDeclareOk(_) | M::ExchangeDeleteOk(_)
            | M::ExchangeBindOk(_) | M::ExchangeUnbindOk(_) | M::QueueDeclareOk(_)
            | M::QueueBindOk(_) | M::QueuePurgeOk(_) | M::QueueDeleteOk(_)
            | M::QueueUnbindOk(_) | M::BasicQosOk(_) | M::BasicConsumeOk(_) | M::BasicCancelOk(_)
            | M::BasicPublish(_) | M::BasicAck(_) | M::BasicNack(_) | M::BasicReject(_)
            | M::BasicReturn(_) | M::BasicDeliver(_) | M::BasicGetOk(_)
            | M::BasicGetEmpty(_) | M::BasicRecoverOk(_) | M::ConfirmSelectOk(_)
            | M::TxSelectOk(_) | M::TxCommitOk(_) | M::TxRollbackOk(_) => {
                let text = "unimplemented method";
                Err(AmqpError::connection(ReplyCode::CommandInvalid, text))
            }
        }
        .map(|()| Progress::Took(0))
    }

    /// The queue that a method looks at or changes: it has to find it as if all deliveries that are
    /// possible had been made.
    pub(super) fn queue_looked_at(
        &self,
        scope: &Scope<'_>,
        method: &Method<'_>,
    ) -> Option<QueueKey> {
        let broker = &*scope.broker;
        if let Method::BasicCancel(cancel) = method {
            let consumer = *self.consumers.get(cancel.consumer_tag)?;
            return broker.queues().consumer(consumer).map(|consumer| consumer.queue);
        }
        let vhost = scope.subject.vhost;
        if let Method::QueueDeclare(declare) = method {
            return broker.topology().queue_named(vhost, declare.queue);
        }
        let name = if let Method::BasicGet(get) = method {
            get.queue
        } else if let Method::QueuePurge(purge) = method {
            purge.queue
        } else if let Method::QueueDelete(delete) = method {
            delete.queue
        } else {
            return None;
        };
        match (name, &self.last_queue) {
            (b"", Some(last)) => broker.topology().queue_named(vhost, last.as_bytes()),
            (name, _) => broker.topology().queue_named(vhost, name),
        }
    }

    fn basic_qos(&mut self, scope: &mut Scope<'_>, qos: basic::Qos) -> Result<(), AmqpError> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let prefetch = u32::from(qos.prefetch_count);
        if qos.global {
            scope.broker.queues_mut().set_shared_prefetch(self.key, prefetch);
        } else {
            self.prefetch = prefetch;
            // As in RabbitMQ: a limit for each consumer lifts the shared one that was set before.
            scope.broker.queues_mut().set_shared_prefetch(self.key, 0);
        }
        scope.out.send(&Method::BasicQosOk(basic::QosOk {}));
        Ok(())
    }

    fn confirm_select(
        &mut self,
        scope: &mut Scope<'_>,
        select: confirm::Select,
    ) -> Result<(), AmqpError> {
        match self.mode {
            Mode::Plain => self.mode = Mode::Confirm(Confirms::default()),
            Mode::Confirm(_) => {}
            Mode::Transaction(_) => {
                let text = "cannot switch from tx to confirm mode";
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        if !select.nowait {
            scope.out.send(&Method::ConfirmSelectOk(confirm::SelectOk {}));
        }
        Ok(())
    }
}

/// Clients of AMQP 0-8 ask for a ticket, which nobody looks at.
fn access_request(scope: &mut Scope<'_>) -> Result<(), AmqpError> {
    let ok = access::RequestOk { ticket: 1 };
    scope.out.send(&Method::AccessRequestOk(ok));
    Ok(())
}

fn channel_flow(scope: &mut Scope<'_>, flow: channel_methods::Flow) -> Result<(), AmqpError> {
    if !flow.active {
        let text = "active=false";
        return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
    }
    let ok = channel_methods::FlowOk { active: true };
    scope.out.send(&Method::ChannelFlowOk(ok));
    Ok(())
}
