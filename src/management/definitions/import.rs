//! How is a file of definitions taken in?
//!
//! First all of it is looked through; then its objects are taken in, each whole or not at all, in
//! an order in which what they name is there. What is refused is said with its place in the file.

use std::ops::Range;

use serde_json::{Value, json};

use super::fields::{self, Fields};
use super::item::{self, In, Item};
use super::outline::{Broken, Outline, SECTIONS};
use super::plan::{Effect, Plan};
use super::{Wrong, no_vhost, parameters, permissions, policies, topology, users, vhosts};
use crate::amqp::Name;
use crate::broker::{Broker, VhostKey};
use crate::management::call::{Context, Progress, Work};
use crate::management::response::Response;

/// A file that is being taken in.
pub struct Import {
    file: Vec<u8>,
    /// Everything goes into this vhost, and nothing that is not a vhost's is taken.
    vhost: Option<Name>,
    outline: Outline,
    is_looked_through: bool,
    /// The section and the object in it that come next.
    section: usize,
    index: usize,
    /// What was refused, the first of it with the reasons.
    refused: Vec<Refused>,
    refused_count: usize,
    /// Nothing is taken in; it is found out what would be.
    forecast: Option<Box<Forecast>>,
}

/// What taking a file in would come to.
#[derive(Default)]
struct Forecast {
    plan: Plan,
    /// How many of each section would be added, changed and left as they are.
    counts: [[usize; EFFECTS.len()]; SECTIONS.len()],
    /// What would be added or changed, the first of it.
    items: Vec<Value>,
}

const EFFECTS: [Effect; 3] = [Effect::Added, Effect::Changed, Effect::Unchanged];

/// So much of what would be added or changed is shown.
const FORECAST_MAX: usize = 500;

/// An object that was not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where in the file it is, as `queues[3]`.
    pub path: String,
    /// Why.
    pub reason: Wrong,
}

/// What a file came to.
#[derive(Debug)]
pub enum Outcome {
    /// It goes on.
    Unfinished,
    /// Nothing was taken in.
    Broken(Wrong),
    /// All of it was looked at; so many objects were refused, the first of which are these.
    Done(usize, Vec<Refused>),
}

/// So many refusals are shown.
const REFUSED_MAX: usize = 50;

/// What it costs to look at something and to take it in, beside its bytes.
const WORK_PER_LOOK: usize = 10;
const WORK_PER_OBJECT: usize = 60;

/// What a vhost's file may have.
const OF_VHOST: [&str; 5] = ["parameters", "policies", "exchanges", "queues", "bindings"];

impl Import {
    /// A file for the whole node, or for one vhost, that begins at this byte.
    pub fn new(file: Vec<u8>, at: usize, vhost: Option<Name>) -> Self {
        Self {
            file,
            vhost,
            outline: Outline::new(at),
            is_looked_through: false,
            section: 0,
            index: 0,
            refused: Vec::new(),
            refused_count: 0,
            forecast: None,
        }
    }

    /// The same, but nothing is taken in: the answer says what would be.
    pub fn forecast(file: Vec<u8>, at: usize, vhost: Option<Name>) -> Self {
        Self { forecast: Some(Box::default()), ..Self::new(file, at, vhost) }
    }

    /// Goes on as far as this step allows.
    pub fn take_in(&mut self, broker: &mut Broker) -> Outcome {
        while !broker.work.is_done() {
            if !self.is_looked_through {
                match self.look_through(broker) {
                    Ok(()) => continue,
                    Err(Broken::NoJson) => {
                        return Outcome::Broken("failed_to_parse_json".to_owned());
                    }
                    Err(Broken::Other(wrong)) => return Outcome::Broken(wrong),
                }
            }
            let Some(section) = SECTIONS.get(self.section) else {
                // What is planned may be much, and is not let go of all at once.
                let forecast = self.forecast.as_mut();
                if !forecast.is_none_or(|forecast| forecast.plan.forget(broker)) {
                    continue;
                }
                // What is answered for holds.
                if self.forecast.is_none() && broker.is_applying_policies() {
                    broker.go_on_applying_policies();
                    continue;
                }
                return Outcome::Done(self.refused_count, std::mem::take(&mut self.refused));
            };
            let is_taken = self.vhost.is_none() || OF_VHOST.contains(section);
            let range = self.outline.objects[self.section].get(self.index).filter(|_| is_taken);
            let Some(range) = range.cloned() else {
                (self.section, self.index) = (self.section + 1, 0);
                continue;
            };
            if !self.take(broker, section, &range) {
                return Outcome::Unfinished;
            }
        }
        Outcome::Unfinished
    }

    fn look_through(&mut self, broker: &mut Broker) -> Result<(), Broken> {
        // As in RabbitMQ, nothing at all says nothing.
        if self.file.is_empty() {
            self.is_looked_through = true;
            return Ok(());
        }
        let bytes = self.outline.step(&self.file)?;
        broker.work.spend(WORK_PER_LOOK);
        broker.work.spend_bytes(8 * bytes as u64);
        if bytes == 0 {
            self.is_looked_through = true;
            // Behind it nothing may follow but the rest of the form that it came in.
            let rest = self.file[self.outline.end()..].trim_ascii_start();
            if !(rest.is_empty() || rest.starts_with(b"--")) {
                return Err(Broken::NoJson);
            }
        }
        Ok(())
    }

    /// Takes the next object in; `false`: it has to wait until a vhost of its name is gone.
    fn take(&mut self, broker: &mut Broker, section: &str, range: &Range<u32>) -> bool {
        let bytes = &self.file[range.start as usize..range.end as usize];
        broker.work.spend(WORK_PER_OBJECT);
        broker.work.spend_bytes(8 * bytes.len() as u64);
        let mut object = serde_json::from_slice::<Value>(bytes);
        if let Ok(object) = &mut object {
            fields::unpair(object);
        }
        let object = object.as_ref().ok().and_then(Value::as_object);
        let name = object.filter(|_| section == "vhosts").and_then(|object| object.get("name"));
        if let Some(name) = name.and_then(Value::as_str)
            && broker.topology().is_vhost_leaving(name.as_bytes())
        {
            return false;
        }
        let vhost = self.vhost.as_ref();
        let read = object.map(|object| Item::read(section, vhost, object));
        let item = read.unwrap_or_else(|| Err("it has to be an object".to_owned()));
        let taken = match (&mut self.forecast, object) {
            (Some(forecast), Some(object)) => item
                .and_then(|item| forecast.plan.look(broker, item))
                .map(|effect| forecast.note(self.section, effect, vhost, object)),
            (Some(_) | None, _) => item.and_then(|item| take_in(broker, item)),
        };
        if let Err(reason) = taken {
            self.refused_count += 1;
            if self.refused.len() < REFUSED_MAX {
                let path = format!("{section}[{}]", self.index);
                self.refused.push(Refused { path, reason });
            }
        }
        self.index += 1;
        true
    }
}

impl Forecast {
    fn note(&mut self, section: usize, effect: Effect, vhost: Option<&Name>, object: &Fields) {
        for (count, kind) in self.counts[section].iter_mut().zip(EFFECTS) {
            *count += usize::from(kind == effect);
        }
        if effect != Effect::Unchanged && self.items.len() < FORECAST_MAX {
            let mut shown = item::names(vhost, object);
            shown.insert("section".to_owned(), SECTIONS[section].into());
            shown.insert("effect".to_owned(), effect.name().into());
            self.items.push(Value::Object(shown));
        }
    }

    fn show(self, count: usize, refused: &[Refused]) -> Response {
        let totals = |index: usize| self.counts.iter().map(|section| section[index]).sum::<usize>();
        let sections = SECTIONS.iter().zip(&self.counts);
        let sections: Vec<Value> = sections
            .filter(|(_, counts)| counts.iter().any(|count| *count > 0))
            .map(|(section, [added, changed, unchanged])| {
                json!({
                    "section": section, "added": added, "changed": changed,
                    "unchanged": unchanged,
                })
            })
            .collect();
        Response::json(&json!({
            "dry_run": true,
            "added": totals(0),
            "changed": totals(1),
            "unchanged": totals(2),
            "sections": sections,
            "items": self.items,
            "refused_count": count,
            "refused": shown(refused),
        }))
    }
}

fn take_in(broker: &mut Broker, item: Item<'_>) -> Result<(), Wrong> {
    match item {
        Item::Vhost(name, body) => vhosts::put(broker, &name, body).map(drop),
        Item::User(name, body) => users::put(broker, name, body).map(drop),
        Item::Permissions(In { vhost, name, body }) => {
            permissions::set(broker, &vhost, &name, body).map(drop)
        }
        Item::TopicPermissions(In { vhost, name, body }) => {
            permissions::set_topic(broker, &vhost, &name, body).map(drop)
        }
        Item::Parameter(vhost, component, name, value) => {
            parameters::import(broker, &vhost, &component, name, value)
        }
        Item::GlobalParameter(name, value) => parameters::set_global(broker, name, value).map(drop),
        Item::Policy(In { vhost, name, body }) => {
            policies::set(broker, false, &vhost, name, body).map(drop)
        }
        Item::Exchange(vhost, body) => {
            topology::import_exchange(broker, key(broker, &vhost)?, body)
        }
        Item::Queue(vhost, body) => topology::import_queue(broker, key(broker, &vhost)?, body),
        Item::Binding(vhost, body) => topology::import_binding(broker, key(broker, &vhost)?, body),
        Item::Other => Ok(()),
    }
}

/// Takes a whole file in at once, where nobody waits.
///
/// # Errors
/// What is wrong with it; what was not refused is there.
pub fn load_definitions(broker: &mut Broker, file: Vec<u8>) -> Result<(), Wrong> {
    let mut import = Import::new(file, 0, None);
    loop {
        broker.work.begin(u32::MAX);
        match import.take_in(broker) {
            Outcome::Unfinished => {}
            Outcome::Broken(wrong) => return Err(wrong),
            Outcome::Done(0, _) => return Ok(()),
            Outcome::Done(count, refused) => return Err(summary(count, &refused)),
        }
    }
}

fn key(broker: &Broker, vhost: &Name) -> Result<VhostKey, Wrong> {
    let found = broker.topology().vhost_named(vhost);
    found.ok_or_else(|| no_vhost(vhost))
}

impl Work for Import {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        let outcome = self.take_in(context.broker);
        if let Outcome::Done(count, refused) = &outcome
            && let Some(forecast) = self.forecast.take()
        {
            return Progress::Instead(forecast.show(*count, refused));
        }
        match outcome {
            Outcome::Unfinished => Progress::Unfinished,
            Outcome::Broken(wrong) => Progress::Instead(Response::bad_request(&wrong)),
            Outcome::Done(0, _) => Progress::once_durable(context.broker, Response::empty(204)),
            Outcome::Done(count, refused) => {
                Progress::once_durable(context.broker, refusal(count, &refused))
            }
        }
    }
}

/// Says what of a file was not taken in.
fn refusal(count: usize, refused: &[Refused]) -> Response {
    let (reason, shown) = (summary(count, refused), shown(refused));
    Response::with(
        400,
        &json!({
            "error": "bad_request", "reason": reason, "refused_count": count, "refused": shown,
        }),
    )
}

fn shown(refused: &[Refused]) -> Vec<Value> {
    let shown = |it: &Refused| json!({ "path": it.path, "reason": it.reason });
    refused.iter().map(shown).collect()
}

fn summary(count: usize, refused: &[Refused]) -> String {
    let shown = |refused: &Refused| {
        format!("{}: {}", refused.path, refused.reason.replace("\n\n", ": ").trim_end())
    };
    let first: Vec<String> = refused.iter().map(shown).collect();
    format!("{count} objects were refused, all else is there: {}", first.join("; "))
}
