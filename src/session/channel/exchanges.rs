//! What do exchange methods answer? They have nothing to do with the channel that they came on.

use crate::amqp::AmqpError;
use crate::amqp::method::exchange;
use crate::broker::arguments::ExchangeTraits;
use crate::broker::requests::bindings::{BindRequest, DestinationName};

use super::frames::Progress;
use super::queues::one_line;
use super::scope::Scope;

impl Scope<'_> {
    pub(super) fn exchange_declare(
        &mut self,
        declare: &exchange::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let ok = exchange::DeclareOk {}.into();
        if declare.passive {
            self.broker.passive_exchange(self.subject, &one_line(declare.exchange))?;
            self.answer_declare(false, declare.nowait, ok);
            return Ok(());
        }
        let traits = ExchangeTraits {
            kind: declare.kind,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments,
        };
        self.broker.declare_exchange(self.subject, &one_line(declare.exchange), &traits)?;
        self.answer_declare(declare.durable, declare.nowait, ok);
        Ok(())
    }

    pub(super) fn exchange_delete(
        &mut self,
        delete: &exchange::Delete<'_>,
    ) -> Result<Progress, AmqpError> {
        let name = one_line(delete.exchange);
        if !self.broker.delete_exchange(self.subject, &name, delete.if_unused)? {
            return Ok(Progress::ComesAgain);
        }
        self.answer(delete.nowait, exchange::DeleteOk {}.into());
        Ok(Progress::Took(0))
    }

    pub(super) fn exchange_bind(&mut self, bind: &exchange::Bind<'_>) -> Result<(), AmqpError> {
        let request = BindRequest {
            source: &one_line(bind.source),
            destination: DestinationName::Exchange(&one_line(bind.destination)),
            routing_key: bind.routing_key,
            arguments: bind.arguments,
        };
        self.broker.bind(self.subject, &request)?;
        self.answer(bind.nowait, exchange::BindOk {}.into());
        Ok(())
    }

    pub(super) fn exchange_unbind(
        &mut self,
        unbind: &exchange::Unbind<'_>,
    ) -> Result<(), AmqpError> {
        let request = BindRequest {
            source: &one_line(unbind.source),
            destination: DestinationName::Exchange(&one_line(unbind.destination)),
            routing_key: unbind.routing_key,
            arguments: unbind.arguments,
        };
        self.broker.unbind(self.subject, &request)?;
        self.answer(unbind.nowait, exchange::UnbindOk {}.into());
        Ok(())
    }
}
