//! Which policy holds for a queue or an exchange?
//!
//! Per vhost there are policies and operator policies; of each sort the one of the highest
//! priority that matches holds, of equal ones the first by name. Imports `amqp`.

use crate::amqp::{Name, Table, TableBuf, Value};
use crate::broker::arguments::QueueKind;
use crate::broker::arguments::definition::{InvalidPolicy, check_definition};
use crate::broker::arguments::effective::merge_definitions;
use crate::broker::payload::{self, Unreadable};
use crate::broker::users::pattern::Pattern;

/// What a policy applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ApplyTo {
    /// Queues and exchanges.
    #[default]
    All,
    /// Queues of every kind.
    Queues,
    /// Exchanges.
    Exchanges,
    /// Classic queues.
    ClassicQueues,
    /// Quorum queues.
    QuorumQueues,
    /// Streams.
    Streams,
}

impl ApplyTo {
    const EVERY: [Self; 6] = [
        Self::All,
        Self::Queues,
        Self::Exchanges,
        Self::ClassicQueues,
        Self::QuorumQueues,
        Self::Streams,
    ];

    /// The value of `apply-to`.
    ///
    /// # Errors
    /// When there is no such value.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        Self::EVERY.into_iter().find(|value| value.name() == text).ok_or_else(|| {
            InvalidPolicy(format!(
                "apply-to '{text}' unrecognised; should be one of: 'queues', 'classic_queues', \
                 'quorum_queues', 'streams', 'exchanges', or 'all'"
            ))
        })
    }

    /// The value as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::Exchanges => "exchanges",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        }
    }

    fn covers(self, target: Target) -> bool {
        match self {
            Self::All => true,
            Self::Queues => matches!(target, Target::Queue(_)),
            Self::Exchanges => target == Target::Exchange,
            Self::ClassicQueues => target == Target::Queue(QueueKind::Classic),
            Self::QuorumQueues => target == Target::Queue(QueueKind::Quorum),
            Self::Streams => target == Target::Queue(QueueKind::Stream),
        }
    }
}

/// What a policy is sought for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A queue of that kind.
    Queue(QueueKind),
    /// An exchange.
    Exchange,
}

/// A policy or an operator policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The vhost that it is in.
    pub vhost: Name,
    /// Its name; a policy and an operator policy may have the same.
    pub name: Name,
    /// Which names it matches.
    pub pattern: Pattern,
    /// What it applies to.
    pub apply_to: ApplyTo,
    /// The highest one that matches holds.
    pub priority: i64,
    /// What it says.
    pub definition: TableBuf,
    /// It is an operator policy.
    pub operator: bool,
}

impl Policy {
    /// Checks pattern and definition.
    ///
    /// # Errors
    /// What is wrong, in RabbitMQ's words.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        self.check_pattern()?;
        check_definition(self.definition.table(), self.operator)
    }

    /// Checks the pattern alone.
    ///
    /// # Errors
    /// As for [`Policy::check`].
    pub fn check_pattern(&self) -> Result<(), InvalidPolicy> {
        self.pattern.defect().map_or(Ok(()), |defect| {
            let text = format!("pattern should be regular expression but is invalid: {defect}");
            Err(InvalidPolicy(text))
        })
    }

    /// Whether it holds where another one of its sort matches, too: the higher priority, or the
    /// first by name.
    pub fn precedes(&self, other: &Self) -> bool {
        let rank = |policy: &Self| -i128::from(policy.priority);
        (rank(self), &self.name) < (rank(other), &other.name)
    }

    /// Whether it applies to the queue or exchange of that name.
    pub fn matches(&self, target: Target, name: &[u8]) -> bool {
        self.apply_to.covers(target) && self.pattern.matches(name)
    }

    /// The policy as a payload of the definitions log.
    pub fn encode(&self) -> TableBuf {
        let mut table = TableBuf::new();
        table.put(b"vhost", Value::LongString(&self.vhost));
        table.put(b"name", Value::LongString(&self.name));
        table.put_str(b"pattern", self.pattern.text());
        table.put_str(b"apply-to", self.apply_to.name());
        table.put_i64(b"priority", self.priority);
        table.put(b"definition", Value::Table(self.definition.table()));
        table.put(b"operator", Value::Bool(self.operator));
        table
    }

    /// A policy from the definitions log. What it says is not checked again, so that a policy
    /// that an older version accepted stays.
    ///
    /// # Errors
    /// When a field is missing or of the wrong type.
    pub fn decode(table: Table<'_>) -> Result<Self, Unreadable> {
        let apply_to = ApplyTo::parse(payload::text(table, "apply-to")?);
        Ok(Self {
            vhost: Name::from(payload::bytes(table, "vhost")?),
            name: Name::from(payload::bytes(table, "name")?),
            pattern: Pattern::of_policy(payload::text(table, "pattern")?),
            apply_to: apply_to.map_err(|_| Unreadable { field: "apply-to" })?,
            priority: payload::integer(table, "priority")?,
            definition: TableBuf::from(payload::table(table, "definition")?),
            operator: payload::flag(table, "operator")?,
        })
    }
}

/// The policies of a vhost.
///
/// Each list is in order of precedence: highest priority first, then by name.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    users: Vec<Policy>,
    operators: Vec<Policy>,
    /// What it may cost to compare a name with all of them.
    work: usize,
}

/// What holds for one queue or exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched<'a> {
    /// The policy.
    pub policy: Option<&'a Policy>,
    /// The operator policy.
    pub operator: Option<&'a Policy>,
}

impl Matched<'_> {
    /// What the two say together; empty when there is none.
    pub fn definition(&self) -> TableBuf {
        let of = |policy: Option<&Policy>| policy.map(|policy| policy.definition.clone());
        match (of(self.policy), of(self.operator)) {
            (Some(policy), None) => policy,
            (None, Some(operator)) => operator,
            (None, None) => TableBuf::new(),
            (Some(policy), Some(operator)) => merge_definitions(policy.table(), operator.table()),
        }
    }
}

impl Policies {
    /// No policies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a (checked) policy or replaces the one of its sort and name; `true` when there was
    /// none.
    pub fn put(&mut self, policy: Policy) -> bool {
        let is_new = self.remove(policy.operator, &policy.name).is_none();
        self.work += policy.pattern.work();
        let list = if policy.operator { &mut self.operators } else { &mut self.users };
        let at = list.partition_point(|other| other.precedes(&policy));
        list.insert(at, policy);
        is_new
    }

    /// Removes a policy (or operator policy).
    pub fn remove(&mut self, operator: bool, name: &[u8]) -> Option<Policy> {
        let list = if operator { &mut self.operators } else { &mut self.users };
        // The last one goes first when a vhost is deleted.
        let at = list.iter().rposition(|policy| *policy.name == *name)?;
        let removed = list.remove(at);
        self.work -= removed.pattern.work();
        Some(removed)
    }

    /// The policy (or operator policy) of that name.
    pub fn find(&self, operator: bool, name: &[u8]) -> Option<&Policy> {
        self.list(operator).iter().find(|policy| *policy.name == *name)
    }

    /// All policies (or operator policies) in order of precedence.
    pub fn list(&self, operator: bool) -> &[Policy] {
        if operator { &self.operators } else { &self.users }
    }

    /// What [`Policies::matching`] may cost, in units of the broker's work.
    pub fn work(&self) -> usize {
        self.work
    }

    /// What holds for the queue or exchange of that name.
    pub fn matching(&self, target: Target, name: &[u8]) -> Matched<'_> {
        let first = |list| <[Policy]>::iter(list).find(|policy| policy.matches(target, name));
        Matched { policy: first(&self.users), operator: first(&self.operators) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing::Seeded;

    fn table(fields: &[(&str, Value<'_>)]) -> TableBuf {
        let mut table = TableBuf::new();
        for (name, value) in fields {
            table.put(name.as_bytes(), *value);
        }
        table
    }

    fn text(text: &str) -> Value<'_> {
        Value::LongString(text.as_bytes())
    }

    fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64) -> Policy {
        Policy {
            vhost: Name::from("/"),
            name: Name::from(name),
            pattern: Pattern::of_policy(pattern),
            apply_to,
            priority,
            definition: table(&[("max-length", Value::I64(10))]),
            operator: false,
        }
    }

    fn matched(policies: &Policies, target: Target, name: &str) -> String {
        let matched = policies.matching(target, name.as_bytes());
        matched.policy.map_or_else(String::new, |policy| policy.name.to_string())
    }

    const QUEUE: Target = Target::Queue(QueueKind::Classic);

    #[test]
    fn the_highest_priority_holds_and_of_equal_ones_the_first_by_name() {
        let mut policies = Policies::new();
        assert!(policies.put(policy("b", "^q", ApplyTo::All, 0)));
        assert!(policies.put(policy("a", "^q", ApplyTo::All, 0)));
        assert!(policies.put(policy("low", "", ApplyTo::All, -1)));
        assert!(policies.put(policy("special", "^q1$", ApplyTo::All, 5)));
        assert_eq!(matched(&policies, QUEUE, "q"), "a");
        assert_eq!(matched(&policies, QUEUE, "q1"), "special");
        assert_eq!(matched(&policies, QUEUE, "other"), "low");
        assert!(!policies.put(policy("b", "^q", ApplyTo::All, i64::MAX)));
        assert_eq!(matched(&policies, QUEUE, "q1"), "b");
        assert!(policies.remove(false, b"b").is_some());
        assert!(policies.remove(false, b"b").is_none());
        assert!(policies.find(false, b"a").is_some() && policies.find(true, b"a").is_none());
        assert_eq!(matched(&policies, QUEUE, "q1"), "special");
    }

    #[test]
    fn precedence_is_that_of_a_sorted_list() {
        let mut random = Seeded::new(4);
        let mut policies = Policies::new();
        let mut twin: Vec<(i64, String)> = Vec::new();
        for _ in 0..500 {
            let name = format!("p{}", random.below(20));
            let priority = [i64::MIN, -1, 0, 1, i64::MAX][random.below(5)];
            let known = twin.iter().position(|(_, known)| *known == name);
            known.map(|at| twin.remove(at));
            assert_eq!(policies.put(policy(&name, "", ApplyTo::All, priority)), known.is_none());
            twin.push((priority, name));
            let best = twin.iter().max_by_key(|(p, n)| (*p, std::cmp::Reverse(n.clone()))).unwrap();
            assert_eq!(matched(&policies, QUEUE, "q"), best.1);
        }
    }

    #[test]
    fn a_policy_applies_to_what_it_says() {
        let kinds = [QueueKind::Classic, QueueKind::Quorum, QueueKind::Stream];
        for (apply_to, expected) in [
            ("all", [true, true, true, true]),
            ("queues", [true, true, true, false]),
            ("exchanges", [false, false, false, true]),
            ("classic_queues", [true, false, false, false]),
            ("quorum_queues", [false, true, false, false]),
            ("streams", [false, false, true, false]),
        ] {
            let one = policy("p", "^n$", ApplyTo::parse(apply_to).unwrap(), 0);
            let queues = kinds.map(|kind| one.matches(Target::Queue(kind), b"n"));
            assert_eq!(queues, expected[..3], "{apply_to}");
            assert_eq!(one.matches(Target::Exchange, b"n"), expected[3], "{apply_to}");
            assert!(!one.matches(QUEUE, b"m"));
        }
        assert!(ApplyTo::parse("foo").unwrap_err().0.starts_with("apply-to 'foo' unrecognised"));
    }

    #[test]
    fn operator_policies_come_on_top() {
        let mut policies = Policies::new();
        let operator = Policy {
            operator: true,
            definition: table(&[("max-length", Value::I64(5)), ("expires", Value::I64(9))]),
            ..policy("p", "^q", ApplyTo::Queues, 0)
        };
        policies.put(policy("p", "^q", ApplyTo::Queues, 0));
        assert!(policies.put(operator), "the same name is another policy's");
        let both = table(&[("expires", Value::I64(9)), ("max-length", Value::I64(5))]);
        assert_eq!(policies.matching(QUEUE, b"q").definition(), both);
        assert!(policies.matching(QUEUE, b"x").definition().is_empty());
        policies.remove(false, b"p");
        assert!(policies.matching(QUEUE, b"q").policy.is_none());
        assert_eq!(policies.list(true).len(), 1);
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_refused() {
        let error = policy("p", "*[", ApplyTo::All, 0).check().unwrap_err();
        assert!(error.0.starts_with("pattern should be regular expression but is invalid: "));
        assert!(error.to_string().starts_with("Validation failed\n\npattern should be"));
    }

    #[test]
    fn a_policy_survives_the_definitions_log() {
        let one = Policy { operator: true, ..policy("p", "^(?!amq)", ApplyTo::Streams, -3) };
        assert_eq!(Policy::decode(one.encode().table()), Ok(one.clone()));
        let mut damaged = one.encode();
        damaged.set(b"apply-to", text("nothing"));
        assert_eq!(Policy::decode(damaged.table()), Err(Unreadable { field: "apply-to" }));
    }
}
