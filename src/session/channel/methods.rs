//! What do the channel's other methods answer: consume, get, ack, qos, recover, confirm?

use crate::amqp::method::{access, basic, channel as channel_methods, confirm};
use crate::amqp::{AmqpError, Method, Name, ReplyCode};
use crate::broker::consume::Consume;
use crate::broker::reply::REPLY_TO;
use crate::broker::{Access, Broker, Held, Settlement};

use Method as M;

use super::Mode;
use super::confirms::Confirms;
use crate::session::output::Added;
use crate::session::{Session, generated_name};

impl Session {
    /// Any method on an open channel but `basic.publish`.
    pub(in crate::session) fn channel_method(
        &mut self,
        broker: &mut Broker,
        number: u16,
        method: Method<'_>,
    ) -> Result<(), AmqpError> {
        match method {
            M::BasicAck(ack) => {
                self.settle(broker, number, ack.delivery_tag, ack.multiple, Settlement::Ack)
            }
            M::BasicNack(nack) => {
                let settlement = negative(nack.requeue);
                self.settle(broker, number, nack.delivery_tag, nack.multiple, settlement)
            }
            M::BasicReject(reject) => {
                self.settle(broker, number, reject.delivery_tag, false, negative(reject.requeue))
            }
            M::BasicGet(get) => self.basic_get(broker, number, &get),
            M::BasicConsume(consume) => self.basic_consume(broker, number, &consume),
            M::BasicCancel(cancel) => self.basic_cancel(broker, number, &cancel),
            M::BasicCancelOk(_) => Ok(()),
            M::BasicQos(qos) => self.basic_qos(broker, number, qos),
            M::BasicRecover(recover) => {
                self.recover(broker, number, recover.requeue)?;
                self.send(number, &Method::BasicRecoverOk(basic::RecoverOk {}));
                Ok(())
            }
            M::BasicRecoverAsync(recover) => self.recover(broker, number, recover.requeue),
            M::QueueDeclare(declare) => self.queue_declare(broker, number, &declare),
            M::QueueDelete(delete) => self.queue_delete(broker, number, &delete),
            M::QueuePurge(purge) => self.queue_purge(broker, number, &purge),
            M::QueueBind(bind) => self.queue_bind(broker, number, &bind),
            M::QueueUnbind(unbind) => self.queue_unbind(broker, number, &unbind),
            M::ExchangeDeclare(declare) => self.exchange_declare(broker, number, &declare),
            M::ExchangeDelete(delete) => self.exchange_delete(broker, number, &delete),
            M::ExchangeBind(bind) => self.exchange_bind(broker, number, &bind),
            M::ExchangeUnbind(unbind) => self.exchange_unbind(broker, number, &unbind),
            M::ConfirmSelect(select) => self.confirm_select(number, select),
            M::TxSelect(_) => self.tx_select(number),
            M::TxCommit(_) => self.tx_commit(broker, number),
            M::TxRollback(_) => self.tx_rollback(broker, number),
            M::ChannelClose(_) => {
                self.channel_close(broker, number);
                Ok(())
            }
            M::ChannelFlow(flow) => self.channel_flow(number, flow),
            M::AccessRequest(_) => self.access_request(number),
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
            | M::QueueUnbindOk(_) | M::BasicQosOk(_) | M::BasicConsumeOk(_)
            | M::BasicPublish(_) | M::BasicReturn(_) | M::BasicDeliver(_) | M::BasicGetOk(_)
            | M::BasicGetEmpty(_) | M::BasicRecoverOk(_) | M::ConfirmSelectOk(_)
            | M::TxSelectOk(_) | M::TxCommitOk(_) | M::TxRollbackOk(_) => {
                Err(AmqpError::connection(ReplyCode::CommandInvalid, "unimplemented method"))
            },
        }
    }

    fn basic_consume(
        &mut self,
        broker: &mut Broker,
        number: u16,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let queue = self.queue_name(number, consume.queue)?;
        let channel = self.channel_at(number);
        let tag = if consume.consumer_tag.is_empty() {
            generated_name("amq.ctag-")
        } else {
            Name::from(consume.consumer_tag)
        };
        if channel.consumers.contains_key(&tag) {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        if queue.as_bytes() == REPLY_TO {
            return self.consume_replies(broker, number, tag, consume);
        }
        let request = Consume {
            queue: queue.as_bytes(),
            tag: tag.clone(),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: channel.prefetch,
            arguments: consume.arguments,
        };
        let (subject, channel) = self.parts(number);
        let key = broker.consume(subject, channel.key, request)?;
        channel.consumers.insert(tag.clone(), key);
        if !consume.nowait {
            let ok = basic::ConsumeOk { consumer_tag: tag.as_bytes() };
            self.send(number, &Method::BasicConsumeOk(ok));
        }
        Ok(())
    }

    /// Direct reply-to: 406 unless it needs no acknowledgement and is the channel's first.
    fn consume_replies(
        &mut self,
        broker: &mut Broker,
        number: u16,
        tag: Name,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let refuse = |text| Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
        if !consume.no_ack {
            return refuse("reply consumer cannot acknowledge");
        }
        let (subject, channel) = self.parts(number);
        if channel.reply_to.is_some() {
            return refuse("reply consumer already set");
        }
        let name = generated_name("amq.rabbitmq.reply-to.");
        let key = broker.consume_replies(subject, channel.key, &name, tag.clone());
        channel.consumers.insert(tag.clone(), key);
        channel.reply_to = Some(name);
        if !consume.nowait {
            let ok = basic::ConsumeOk { consumer_tag: tag.as_bytes() };
            self.send(number, &Method::BasicConsumeOk(ok));
        }
        Ok(())
    }

    fn basic_cancel(
        &mut self,
        broker: &mut Broker,
        number: u16,
        cancel: &basic::Cancel<'_>,
    ) -> Result<(), AmqpError> {
        let channel = self.channel_at(number);
        if let Some(consumer) = channel.consumers.remove(cancel.consumer_tag) {
            let queue = broker.consumer(consumer).and_then(|c| broker.queue(c.queue));
            if queue.is_some_and(|queue| queue.is_reply_queue) {
                channel.reply_to = None;
            }
            broker.cancel(consumer);
        }
        if !cancel.nowait {
            let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag };
            self.send(number, &Method::BasicCancelOk(ok));
        }
        Ok(())
    }

    fn basic_get(
        &mut self,
        broker: &mut Broker,
        number: u16,
        get: &basic::Get<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.queue_name(number, get.queue)?;
        let (subject, channel) = self.parts(number);
        broker.check_queue_access(subject, Access::Read, name.as_bytes())?;
        let queue = broker.usable_queue(subject, name.as_bytes())?;
        broker.refuse_on_stream(queue, "basic.get")?;
        let Some(got) = broker.get(queue, channel.key, get.no_ack) else {
            self.send(number, &Method::BasicGetEmpty(basic::GetEmpty {}));
            return Ok(());
        };
        let delivery_tag =
            if get.no_ack { channel.unacked.tag_settled() } else { channel.unacked.keep(got.held) };
        self.note_ack_due(got.held.due_ms);
        let at = got.held.entry.at;
        let record = broker.store.record(at);
        let added = got.counted.then_some(Added::Deliveries(got.before));
        let get_ok = basic::GetOk {
            delivery_tag,
            redelivered: got.before > 0,
            exchange: record.exchange(),
            routing_key: record.routing_key(),
            message_count: got.left,
        };
        self.send(number, &Method::BasicGetOk(get_ok));
        self.send_content(broker, number, at, &record, added);
        if get.no_ack {
            broker.settle_sent(&got.held);
        }
        Ok(())
    }

    fn basic_qos(
        &mut self,
        broker: &mut Broker,
        number: u16,
        qos: basic::Qos,
    ) -> Result<(), AmqpError> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let channel = self.channel_at(number);
        let prefetch = u32::from(qos.prefetch_count);
        if qos.global {
            broker.set_shared_prefetch(channel.key, prefetch);
        } else {
            channel.prefetch = prefetch;
            // As in RabbitMQ: a limit for each consumer lifts the shared one that was set before.
            broker.set_shared_prefetch(channel.key, 0);
        }
        self.send(number, &Method::BasicQosOk(basic::QosOk {}));
        Ok(())
    }

    fn recover(
        &mut self,
        broker: &mut Broker,
        number: u16,
        requeue: bool,
    ) -> Result<(), AmqpError> {
        if !requeue {
            let text = "requeue=false";
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let channel = self.channel_at(number);
        while let Some((_, held)) = channel.unacked.take_first() {
            broker.requeue(&held);
        }
        Ok(())
    }

    /// Clients of AMQP 0-8 ask for a ticket, which nobody looks at.
    fn access_request(&mut self, number: u16) -> Result<(), AmqpError> {
        let ok = access::RequestOk { ticket: 1 };
        self.send(number, &Method::AccessRequestOk(ok));
        Ok(())
    }

    fn confirm_select(&mut self, number: u16, select: confirm::Select) -> Result<(), AmqpError> {
        let channel = self.channel_at(number);
        match channel.mode {
            Mode::Plain => channel.mode = Mode::Confirm(Confirms::default()),
            Mode::Confirm(_) => {}
            Mode::Transaction(_) => {
                let text = "cannot switch from tx to confirm mode";
                return Err(AmqpError::channel(ReplyCode::PreconditionFailed, text));
            }
        }
        if !select.nowait {
            self.send(number, &Method::ConfirmSelectOk(confirm::SelectOk {}));
        }
        Ok(())
    }

    fn channel_flow(&mut self, number: u16, flow: channel_methods::Flow) -> Result<(), AmqpError> {
        if !flow.active {
            let text = "active=false";
            return Err(AmqpError::connection(ReplyCode::NotImplemented, text));
        }
        let ok = channel_methods::FlowOk { active: true };
        self.send(number, &Method::ChannelFlowOk(ok));
        Ok(())
    }

    /// `basic.ack`, `basic.nack`, `basic.reject`; 406 for an unknown or settled tag.
    fn settle(
        &mut self,
        broker: &mut Broker,
        number: u16,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), AmqpError> {
        let channel = self.channel_at(number);
        let unknown = || {
            let text = format!("unknown delivery tag {tag}");
            AmqpError::channel(ReplyCode::PreconditionFailed, text)
        };
        if !multiple {
            let held = channel.unacked.take(tag).ok_or_else(unknown)?;
            settle_one(broker, &mut channel.mode, tag, held, settlement);
            return Ok(());
        }
        for _ in 0..channel.unacked.count_up_to(tag).ok_or_else(unknown)? {
            let Some((tag, held)) = channel.unacked.take_first() else {
                break;
            };
            settle_one(broker, &mut channel.mode, tag, held, settlement);
        }
        Ok(())
    }
}

/// Carries a settlement out, or notes it in the channel's transaction.
fn settle_one(broker: &mut Broker, mode: &mut Mode, tag: u64, held: Held, settlement: Settlement) {
    match mode {
        Mode::Transaction(transaction) => transaction.settlements.push((tag, held, settlement)),
        Mode::Plain | Mode::Confirm(_) => broker.settle(&held, settlement),
    }
}

fn negative(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Reject }
}
