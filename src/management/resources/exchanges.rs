//! Which exchanges are there?

use serde_json::{Value, json};

use super::{preview, publishing};
use crate::amqp::{Name, Table};
use crate::broker::arguments::ExchangeTraits;
use crate::broker::watched::Watchable;
use crate::broker::{ExchangeKey, Subject, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{
    Answer, Call, Context, Durable, Outcome, Progress, Right, Route, Work,
};
use crate::management::list::{self, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::samples::Ranges;
use crate::management::stats::Looked;
use crate::management::{body, json, refusal};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "exchanges", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "exchanges/*", methods: &[(Method::Get, Right::Management, list_of_vhost)] },
    Route {
        path: "exchanges/*/*",
        methods: &[
            (Method::Get, Right::Management, show),
            (Method::Put, Right::Management, put),
            (Method::Delete, Right::Management, delete),
        ],
    },
    Route {
        path: "exchanges/*/*/publish",
        methods: &[(Method::Post, Right::Management, publishing::publish)],
    },
    Route {
        path: "exchanges/*/*/route",
        methods: &[
            (Method::Get, Right::Management, preview::of_key),
            (Method::Post, Right::Management, preview::of_message),
        ],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Exchanges { at: 0, vhost: None, caller: call.caller.clone() })
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Exchanges { at: 0, vhost, caller: call.caller.clone() })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let key = call.context.broker.topology().exchange_named(vhost, call.exchange_name(1));
    let key = key.ok_or_else(Response::not_found)?;
    let broker = &mut call.context.broker;
    let ranges = Ranges::of(call.request, broker)?;
    let figures = broker.figures_of_exchange(key).ok_or_else(Response::not_found)?;
    let looked = Looked::at(broker, Watchable::Exchange(key), &ranges, figures);
    let mut shown = item(call.context, key, &looked).ok_or_else(Response::not_found)?;
    shown["incoming"] = json!([]);
    shown["outgoing"] = json!([]);
    call.show(shown)
}

/// Makes an exchange, or finds that it is there as it is wanted.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let subject = call.subject(0)?;
    call.new_name(1)?;
    let name = Name::from(call.exchange_name(1));
    let body = json::object(&call.request.body)?;
    let kind = body::text(&body, "type")?.unwrap_or("direct");
    let arguments = body::arguments(&body)?;
    let traits = ExchangeTraits {
        kind: kind.as_bytes(),
        durable: body::flag(&body, "durable")?,
        auto_delete: body::flag(&body, "auto_delete")?,
        internal: body::flag(&body, "internal")?,
        arguments: arguments.table(),
    };
    let broker = &mut call.context.broker;
    let is_new = broker.topology().exchange_named(subject.vhost, &name).is_none();
    let declared = broker.declare_exchange(&subject, &name, &traits);
    declared.map_err(|error| refusal::of_change(&error))?;
    Ok(Answer::OnceDurable(Response::empty(if is_new { 201 } else { 204 })))
}

/// Deletes an exchange, perhaps only if nothing is bound to it.
fn delete(call: &mut Call<'_, '_>) -> Outcome {
    call.vhost(0)?;
    let (subject, name) = (call.subject(0)?, Name::from(call.exchange_name(1)));
    if call.context.broker.topology().exchange_named(subject.vhost, &name).is_none() {
        return Err(Response::not_found());
    }
    let if_unused = call.has_flag("if-unused");
    Ok(Answer::Later(Box::new(Delete { subject, name, if_unused })))
}

struct Delete {
    subject: Subject,
    name: Name,
    if_unused: bool,
}

impl Work for Delete {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let broker = &mut context.broker;
        match broker.delete_exchange(&self.subject, &self.name, self.if_unused) {
            Ok(true) => Progress::Once(Durable::changes(broker), Response::empty(204)),
            Ok(false) => Progress::Unfinished,
            Err(error) => Progress::Instead(refusal::of_change(&error)),
        }
    }
}

/// Those that the caller sees, of all vhosts or of one.
struct Exchanges {
    /// The next place.
    at: u32,
    vhost: Option<VhostKey>,
    caller: Caller,
}

impl Source for Exchanges {
    type Key = ExchangeKey;

    const WORK_PER_ITEM: usize = 50;

    /// Its policies are looked for, too.
    fn work_of_item(&self, context: &Context<'_>, key: &ExchangeKey) -> usize {
        let topology = context.broker.topology();
        let vhost = topology.exchange(*key).map(|exchange| exchange.vhost);
        Self::WORK_PER_ITEM + vhost.map_or(0, |key| topology.work_of_policies(key))
    }

    fn next(&mut self, context: &Context<'_>) -> Next<ExchangeKey> {
        let topology = context.broker.topology();
        if self.at >= topology.exchange_places() {
            return Next::End;
        }
        let found = topology.exchange_at(self.at);
        self.at += 1;
        let is_seen = |vhost| self.caller.lists(context.broker, self.vhost, vhost);
        match found {
            Some((key, exchange)) if is_seen(exchange.vhost) => Next::Item(key),
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &ExchangeKey) -> Option<(Name, Name)> {
        let topology = context.broker.topology();
        let exchange = topology.exchange(*key)?;
        Some((topology.vhost_name(exchange.vhost), exchange.name.clone()))
    }

    fn field(&self, context: &Context<'_>, key: &ExchangeKey, path: &str) -> Option<Field> {
        let topology = context.broker.topology();
        let exchange = topology.exchange(*key)?;
        Some(match path {
            "name" => Field::Text(exchange.name.clone()),
            "vhost" => Field::Text(topology.vhost_name(exchange.vhost)),
            "type" => Field::Text(Name::from(exchange.kind.name())),
            "durable" => Field::Flag(exchange.durable),
            "auto_delete" => Field::Flag(exchange.auto_delete),
            "internal" => Field::Flag(exchange.internal),
            _ => return None,
        })
    }

    fn item(&self, context: &Context<'_>, key: &ExchangeKey) -> Option<Value> {
        item(context, *key, &Looked::never())
    }
}

fn item(context: &Context<'_>, key: ExchangeKey, looked: &Looked) -> Option<Value> {
    let topology = context.broker.topology();
    let exchange = topology.exchange(key)?;
    let mut shown = json!({
        "arguments": json::table(Table::new(&exchange.arguments).unwrap_or(Table::EMPTY)),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": json::text(&exchange.name),
        "type": exchange.kind.name(),
        "vhost": json::text(&topology.vhost_name(exchange.vhost)),
    });
    if let Some(policy) = topology.policies_of_exchange(exchange).policy {
        shown["policy"] = json::text(policy.name.as_bytes());
    }
    if let Some(counters) = &exchange.counters {
        shown["message_stats"] = looked.published(counters);
    }
    Some(shown)
}
