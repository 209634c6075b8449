//! What would a policy match, before it is set?
//!
//! All queues and exchanges of the vhost are matched, a bounded piece a turn; a few are named.

use serde_json::{Map, Value, json};

use crate::amqp::{Name, TableBuf};
use crate::broker::arguments::policy::{Policy, Target};
use crate::broker::users::pattern::Pattern;
use crate::broker::{Broker, VhostKey};
use crate::management::body;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Work};
use crate::management::definitions::policies;
use crate::management::json as shown;
use crate::management::response::Response;

/// So many of what matches are named, unless somebody wants fewer.
const NAMED_MAX: usize = 100;
const NAMED: i64 = 20;

/// What it costs to pass over something of another vhost.
const WORK_PER_PLACE: usize = 1;

/// Answers what a policy would match: `pattern`, `apply-to`; where `name`, `priority` and
/// `operator` are given, also where another one of higher precedence stays in force.
pub fn preview(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost_to_set(0)?;
    let body = call.fields()?;
    body::require(&body, &["pattern"])?;
    let pattern = body::text(&body, "pattern")?.unwrap_or_default();
    let apply_to = policies::apply_to(&body).map_err(|wrong| Response::bad_request(&wrong))?;
    let policy = Policy {
        vhost: Name::from(call.part(0)),
        name: Name::from(body::text(&body, "name")?.unwrap_or_default()),
        pattern: Pattern::of_policy(pattern),
        apply_to,
        priority: body::integer(&body, "priority")?.unwrap_or_default(),
        definition: TableBuf::new(),
        operator: body::flag(&body, "operator")?,
    };
    call.context.broker.work.spend(policy.pattern.prepare());
    policy.check_pattern().map_err(|error| Response::bad_request(&error.to_string()))?;
    let named = body::integer(&body, "count")?.unwrap_or(NAMED);
    let named_max = usize::try_from(named).unwrap_or_default().min(NAMED_MAX);
    let preview = Preview {
        vhost,
        policy,
        named_max,
        queue_place: 0,
        exchange_place: 0,
        queues: Matched::default(),
        exchanges: Matched::default(),
    };
    Ok(Answer::Later(Box::new(preview)))
}

/// A policy that is being looked at.
struct Preview {
    vhost: VhostKey,
    policy: Policy,
    named_max: usize,
    queue_place: u32,
    exchange_place: u32,
    queues: Matched,
    exchanges: Matched,
}

/// What it matches of a sort.
#[derive(Default)]
struct Matched {
    count: usize,
    /// Of so many another policy stays in force.
    overruled: usize,
    named: Vec<Value>,
}

impl Matched {
    /// One more, of which perhaps another policy stays in force.
    fn note(&mut self, name: &Name, rival: Option<&Policy>, named_max: usize) {
        self.count += 1;
        self.overruled += usize::from(rival.is_some());
        if self.named.len() < named_max {
            let mut item = Map::new();
            item.insert("name".to_owned(), shown::text(name));
            if let Some(rival) = rival {
                item.insert("overruled_by".to_owned(), shown::text(&rival.name));
            }
            self.named.push(Value::Object(item));
        }
    }

    fn show(&mut self) -> Value {
        let items = std::mem::take(&mut self.named);
        json!({ "count": self.count, "overruled": self.overruled, "items": items })
    }
}

impl Preview {
    /// Looks at the next place; `false`: there is none.
    fn look(&mut self, broker: &mut Broker) -> bool {
        let is_queue = self.queue_place < broker.queues().places();
        broker.work.spend(WORK_PER_PLACE);
        let (target, name) = if is_queue {
            self.queue_place += 1;
            let found = broker.queues().at(self.queue_place - 1);
            let is_here =
                |queue: &crate::broker::Queue| queue.vhost == self.vhost && !queue.is_reply_queue;
            match found.filter(|(key, it)| is_here(it) && !broker.queues().is_leaving(*key)) {
                Some((_, queue)) => (Target::Queue(queue.settings.kind), queue.name.clone()),
                None => return true,
            }
        } else if self.exchange_place < broker.topology().exchange_places() {
            self.exchange_place += 1;
            let found = broker.topology().exchange_at(self.exchange_place - 1);
            // No policy holds for the default exchange.
            match found.filter(|(_, it)| it.vhost == self.vhost && !it.name.is_empty()) {
                Some((_, exchange)) => (Target::Exchange, exchange.name.clone()),
                None => return true,
            }
        } else {
            return false;
        };
        broker.work.spend(self.policy.pattern.work());
        if self.policy.matches(target, &name) {
            let among = broker.topology().work_of_policies(self.vhost);
            broker.work.spend(among);
            let rival = self.rival(broker, target, &name);
            let matched = if is_queue { &mut self.queues } else { &mut self.exchanges };
            matched.note(&name, rival, self.named_max);
        }
        true
    }

    /// The policy that stays in force for something, although this one matches.
    fn rival<'a>(&self, broker: &'a Broker, target: Target, name: &Name) -> Option<&'a Policy> {
        let policies = &broker.topology().vhost(self.vhost)?.policies;
        let all = policies.list(self.policy.operator).iter();
        let mut above = all.take_while(|other| other.precedes(&self.policy));
        above.find(|other| other.name != self.policy.name && other.matches(target, name))
    }
}

impl Work for Preview {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        while !context.broker.work.is_done() {
            if !self.look(context.broker) {
                let answer = json!({
                    "queues": self.queues.show(),
                    "exchanges": self.exchanges.show(),
                });
                return Progress::Instead(Response::json(&answer));
            }
        }
        Progress::Unfinished
    }
}
