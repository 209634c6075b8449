//! Does a message find its way through a vhost?

use serde_json::json;

use crate::amqp::{AmqpError, Properties, Table};
use crate::broker::arguments::QueueTraits;
use crate::broker::requests::messages::Outcome as Published;
use crate::broker::{Access, Body, Broker, Content, Subject};
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::refusal;
use crate::management::request::Method;
use crate::management::response::Response;

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "aliveness-test/*", methods: &[(Method::Get, Right::Management, test)] }];

/// The queue that the message goes through, which stays.
const QUEUE: &[u8] = b"aliveness-test";

fn test(call: &mut Call<'_, '_>) -> Outcome {
    call.vhost(0)?;
    let subject = call.subject(0)?;
    let broker = &mut call.context.broker;
    declare(broker, &subject).map_err(|error| refusal::of_get(&error))?;
    Ok(Answer::Later(Box::new(Test { subject })))
}

fn declare(broker: &mut Broker, subject: &Subject) -> Result<(), AmqpError> {
    let arguments = Table::EMPTY;
    let traits = QueueTraits { durable: false, exclusive: false, auto_delete: false, arguments };
    broker.declare_queue(subject, QUEUE, false, &traits).map(drop)
}

struct Test {
    subject: Subject,
}

impl Test {
    /// Publishes and gets; whether a message came back.
    fn run(&self, broker: &mut Broker) -> Result<Option<bool>, AmqpError> {
        let subject = &self.subject;
        broker.users().check_queue_access(subject, Access::Read, QUEUE)?;
        let content = Content {
            exchange: b"",
            routing_key: QUEUE,
            properties: Properties::EMPTY.as_bytes(),
            body: Body::Inline(b"test_message"),
        };
        if broker.publish(subject, &content)? == Published::NoRoom {
            return Ok(None);
        }
        let key = broker.usable_queue(subject, QUEUE)?;
        let got = broker.take(key, true);
        got.iter().for_each(|got| broker.settle_sent(&got.unsettled));
        Ok(Some(got.is_some()))
    }
}

impl Work for Test {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        if !context.broker.has_room() {
            return Progress::AwaitsRoom;
        }
        match self.run(context.broker) {
            Ok(None) => Progress::AwaitsRoom,
            Ok(Some(true)) => Progress::Instead(Response::json(&json!({ "status": "ok" }))),
            Ok(Some(false)) => {
                let reason = "the message did not come back";
                let failed = json!({ "status": "failed", "reason": reason });
                Progress::Instead(Response::with(503, &failed))
            }
            Err(error) => Progress::Instead(refusal::of_get(&error)),
        }
    }
}
