//! Which policies does somebody set and take back while clients work?

use leveret::amqp::{Name, TableBuf};
use leveret::broker::arguments::policy::{ApplyTo, Policy};
use leveret::broker::users::pattern::Pattern;

use super::random::Random;
use super::values::{Fields, Val, table_of};
use super::world::World;

/// A policy as somebody sets it.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    pub name: &'static str,
    pub operator: bool,
    pub pattern: &'static str,
    pub apply_to: &'static str,
    /// No two have the same.
    pub priority: i64,
    pub definition: Fields,
}

const NAMES: [&str; 3] = ["one", "two", "three"];
/// What these match, the twin finds out in its own way.
const PATTERNS: [&str; 6] = [".*", "^[abc]$", "^(d|t|e2)$", "^amq\\.", "^(?!amq\\.)", "z|s|e|x"];

impl PolicySpec {
    fn random(random: &mut Random) -> PolicySpec {
        let index = random.below(NAMES.len());
        let operator = random.chance(30);
        let mut definition = Fields::new();
        for _ in 0..random.between(1, 3) {
            let (key, value) = entry(operator, random);
            definition.retain(|(known, _)| known != key);
            definition.push((key.into(), value));
        }
        let all = &["all", "queues", "exchanges", "classic_queues", "streams"];
        PolicySpec {
            name: NAMES[index],
            operator,
            pattern: random.pick::<&str>(&PATTERNS),
            apply_to: if operator { "queues" } else { random.pick::<&str>(all) },
            priority: (random.below(3) * NAMES.len() + index) as i64,
            definition,
        }
    }

    fn policy(&self) -> Policy {
        let definition: TableBuf = table_of(&self.definition);
        Policy {
            vhost: Name::from("/"),
            name: Name::from(self.name),
            pattern: Pattern::of_policy(self.pattern),
            apply_to: ApplyTo::parse(self.apply_to).unwrap(),
            priority: self.priority,
            definition,
            operator: self.operator,
        }
    }
}

fn entry(operator: bool, random: &mut Random) -> (&'static str, Val) {
    let mut number = |low, high| Val::I64(random.between(low, high) as i64);
    let (ttl, expires, timeout) = (number(0, 60), number(20, 400), number(30, 400));
    let (length, bytes, limit) = (number(0, 6), number(0, 600), number(0, 3));
    let mut text = |choices: &[&str]| Val::Text((*random.pick(choices)).into());
    let overflow = text(&["drop-head", "reject-publish", "reject-publish-dlx"]);
    let (exchange, key) = (text(&["dx", ""]), text(&["d", "b"]));
    let alternate = text(&["amq.fanout", "e2", "nowhere"]);
    let all = [
        ("message-ttl", ttl),
        ("expires", expires),
        ("max-length", length),
        ("max-length-bytes", bytes),
        ("delivery-limit", limit),
        ("overflow", overflow),
        ("dead-letter-exchange", exchange),
        ("dead-letter-routing-key", key),
        ("alternate-exchange", alternate),
        ("consumer-timeout", timeout),
    ];
    let known = if operator { &all[..5] } else { &all[..] };
    random.pick(known).clone()
}

impl World {
    /// Now and then somebody changes a policy.
    pub fn change_policies(&mut self) {
        if self.orderly || !self.profile.policies || !self.random.chance(4) {
            return;
        }
        let spec = PolicySpec::random(&mut self.random);
        if self.random.chance(45) {
            let (vhost, name) = (self.vhost, Name::from(spec.name));
            // The twin knows no half of a change.
            self.broker().work.begin(u32::MAX);
            let was_there = self.broker().clear_policy(vhost, spec.operator, &name);
            self.events.note(format!("policy {} is taken back", spec.name));
            assert_eq!(self.twin.clear_policy(spec.operator, spec.name), was_there);
            return;
        }
        self.set_policy(spec);
    }

    pub fn set_policy(&mut self, spec: PolicySpec) {
        self.broker().work.begin(u32::MAX);
        self.broker().set_policy(spec.policy()).unwrap();
        self.events.note(format!("{spec:?}"));
        self.twin.set_policy(spec);
    }
}
