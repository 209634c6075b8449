//! Which virtual hosts are there?

use std::collections::HashMap;

use log::info;
use serde_json::Value;

use crate::amqp::Name;
use crate::broker::{VhostKey, VhostSettings};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::change;
use crate::management::definitions::fields::Fields;
use crate::management::definitions::vhosts;
use crate::management::list::{self, Columns, Field, Next, Source};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::stats;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "vhosts", methods: &[(Method::Get, Right::Management, list_all)] },
    Route {
        path: "vhosts/*",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
            (Method::Delete, Right::Administrator, delete),
        ],
    },
    Route {
        path: "vhosts/*/deletion/protection",
        methods: &[
            (Method::Post, Right::Administrator, protect),
            (Method::Delete, Right::Administrator, expose),
        ],
    },
];

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Vhosts { at: 0, caller: call.caller.clone(), lengths: Lengths::of(call) })
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    let key = call.context.broker.topology().vhost_named(call.part(0));
    let key = key.ok_or_else(Response::not_found)?;
    let (columns, lengths) = (Columns::of(call.request), Lengths::of(call));
    Ok(Answer::Later(Box::new(Shown { key, columns, lengths })))
}

/// One vhost with what is in its queues, however many turns they take.
struct Shown {
    key: VhostKey,
    columns: Columns,
    lengths: Option<Lengths>,
}

impl Work for Shown {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        while let Some(lengths) = &mut self.lengths
            && lengths.read(context)
        {
            if context.broker.work.is_done() {
                return Progress::Unfinished;
            }
            context.broker.work.spend(1);
        }
        let Some(vhost) = item(context, self.key, self.lengths.as_ref()) else {
            return Progress::Instead(Response::not_found());
        };
        piece.extend_from_slice(self.columns.pick(vhost).to_string().as_bytes());
        Progress::Finished
    }
}

/// How many messages the queues of each vhost have, read queue by queue.
struct Lengths {
    /// The next place.
    at: u32,
    of: HashMap<VhostKey, ([usize; 2], [f32; 2])>,
}

impl Lengths {
    /// None were read; `None`: statistics are not wanted.
    fn of(call: &Call<'_, '_>) -> Option<Self> {
        (!call.has_flag("disable_stats")).then(|| Self { at: 0, of: HashMap::new() })
    }

    /// Reads the next place; whether there was one.
    fn read(&mut self, context: &Context<'_>) -> bool {
        let queues = context.broker.queues();
        if self.at >= queues.places() {
            return false;
        }
        if let Some((_, queue)) = queues.at(self.at) {
            let (lengths, rates) = self.of.entry(queue.vhost).or_default();
            lengths[0] += queue.message_count();
            lengths[1] += queue.unacked;
            if let Some(counters) = &queue.counters {
                let grows = counters.length_rates();
                rates.iter_mut().zip(grows).for_each(|(rate, grows)| *rate += grows);
            }
        }
        self.at += 1;
        true
    }
}

/// Makes a vhost, or says something else of one. While one of its name is being deleted, it waits
/// until that is gone.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let name = call.new_name(0)?;
    let body = call.fields()?;
    if call.context.broker.topology().is_vhost_leaving(&name) {
        return Ok(Answer::Later(Box::new(Arriving { name, body })));
    }
    change::made(vhosts::put(call.context.broker, &name, &body))
}

/// Deletes a vhost with all that is in it, messages excepted, which go by and by.
fn delete(call: &mut Call<'_, '_>) -> Outcome {
    let topology = call.context.broker.topology();
    let key = topology.vhost_named(call.part(0)).ok_or_else(Response::not_found)?;
    let name = topology.vhost_name(key);
    if topology.vhost(key).is_some_and(|vhost| vhost.settings.protected) {
        let reason = format!(
            "Refusing to delete virtual host '{name}' because it is protected from deletion"
        );
        return Err(Response::error(412, "precondition_failed", &reason));
    }
    call.context.broker.delete_vhost(key);
    info!("vhost '{name}' was deleted by '{}'", call.caller.name);
    Ok(Answer::Later(Box::new(Leaving { name })))
}

fn protect(call: &mut Call<'_, '_>) -> Outcome {
    set_protected(call, true)
}

fn expose(call: &mut Call<'_, '_>) -> Outcome {
    set_protected(call, false)
}

fn set_protected(call: &mut Call<'_, '_>, protected: bool) -> Outcome {
    let topology = call.context.broker.topology();
    let key = topology.vhost_named(call.part(0)).ok_or_else(Response::not_found)?;
    let vhost = topology.vhost(key).ok_or_else(Response::not_found)?;
    let (name, settings) = (vhost.name.clone(), vhost.settings.clone());
    call.context.broker.put_vhost(&name, VhostSettings { protected, ..settings });
    change::changed(Ok(()))
}

/// A vhost that is to be made once one of its name is gone.
struct Arriving {
    name: Name,
    body: Fields,
}

impl Work for Arriving {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        if context.broker.topology().is_vhost_leaving(&self.name) {
            return Progress::Unfinished;
        }
        match vhosts::put(context.broker, &self.name, &self.body) {
            Ok(is_new) => Progress::once_durable(
                context.broker,
                Response::empty(if is_new { 201 } else { 204 }),
            ),
            Err(wrong) => Progress::Instead(Response::bad_request(&wrong)),
        }
    }
}

/// A vhost that was deleted.
struct Leaving {
    name: Name,
}

impl Work for Leaving {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        if context.broker.topology().is_vhost_leaving(&self.name) {
            return Progress::Unfinished;
        }
        Progress::once_durable(context.broker, Response::empty(204))
    }
}

/// Those that the caller sees.
struct Vhosts {
    /// The next place.
    at: u32,
    caller: Caller,
    /// They are read first.
    lengths: Option<Lengths>,
}

impl Source for Vhosts {
    type Key = VhostKey;

    const WORK_PER_ITEM: usize = 30;

    fn next(&mut self, context: &Context<'_>) -> Next<VhostKey> {
        if self.lengths.as_mut().is_some_and(|lengths| lengths.read(context)) {
            return Next::Nothing;
        }
        let topology = context.broker.topology();
        if self.at >= topology.vhost_places() {
            return Next::End;
        }
        let found = topology.vhost_at(self.at);
        self.at += 1;
        match found {
            Some((key, vhost))
                if !vhost.leaving && self.caller.sees(context.broker.users(), &vhost.name) =>
            {
                Next::Item(key)
            }
            Some(_) | None => Next::Nothing,
        }
    }

    fn place(&self, context: &Context<'_>, key: &VhostKey) -> Option<(Name, Name)> {
        let vhost = context.broker.topology().vhost(*key)?;
        Some((Name::default(), vhost.name.clone()))
    }

    fn field(&self, context: &Context<'_>, key: &VhostKey, path: &str) -> Option<Field> {
        let vhost = context.broker.topology().vhost(*key)?;
        (path == "name").then(|| Field::Text(vhost.name.clone()))
    }

    fn item(&self, context: &Context<'_>, key: &VhostKey) -> Option<Value> {
        item(context, *key, self.lengths.as_ref())
    }
}

/// What is shown of a vhost, with statistics where lengths were read.
fn item(context: &Context<'_>, key: VhostKey, lengths: Option<&Lengths>) -> Option<Value> {
    let vhost = context.broker.topology().vhost(key)?;
    let mut shown = vhosts::show(vhost, &context.node.identity().node_name);
    if let Some(lengths) = lengths {
        let ([ready, unacked], rates) = lengths.of.get(&key).copied().unwrap_or_default();
        shown["queues"] = vhost.queues.len().into();
        shown["messages"] = (ready + unacked).into();
        shown["messages_ready"] = ready.into();
        shown["messages_unacknowledged"] = unacked.into();
        stats::add_vhost(&mut shown, rates, vhost.counters.as_deref());
    }
    Some(shown)
}
