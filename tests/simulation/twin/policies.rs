//! What holds for a queue or an exchange, its arguments and the policies taken together?

use super::{QueueId, Twin};
use crate::ops::{Overflow, QueueSpec};
use crate::policies::PolicySpec;
use crate::values::Val;

impl Twin {
    pub fn set_policy(&mut self, policy: PolicySpec) {
        self.policies.retain(|p| p.operator != policy.operator || p.name != policy.name);
        self.policies.push(policy);
        self.count("policy set");
        self.apply_policies();
    }

    /// Whether there was one.
    pub fn clear_policy(&mut self, operator: bool, name: &str) -> bool {
        let before = self.policies.len();
        self.policies.retain(|p| p.operator != operator || p.name != name);
        let was_there = self.policies.len() < before;
        if was_there {
            self.count("policy cleared");
            self.apply_policies();
        }
        was_there
    }

    /// A changed policy acts at once; the order of the queues is the broker's.
    fn apply_policies(&mut self) {
        self.topology_stamp = Some(self.stamp);
        let dying = self.limbo.len();
        let all: Vec<QueueId> = self.queues.keys().copied().collect();
        for queue in all {
            let found = &self.queues[&queue];
            if found.replies {
                continue;
            }
            let spec = self.effective(&found.name, &found.declared);
            let now = self.now_ms;
            let found = self.queues.get_mut(&queue).unwrap();
            if found.spec != spec {
                found.spec = spec;
                found.used_at_ms = now;
                self.limit(queue);
            }
        }
        self.policies_killed |= self.limbo.len() > dying + 1;
    }

    /// What a queue that was declared so is held to.
    pub fn effective(&self, name: &str, declared: &QueueSpec) -> QueueSpec {
        let kind = if declared.stream { "streams" } else { "classic_queues" };
        let says = |key: &str| self.policy_value(&["all", "queues", kind], name, key);
        let number = |key: &str| match says(key) {
            Some(Val::I64(number)) => Some(u64::try_from(number).unwrap()),
            _ => None,
        };
        let text = |key: &str| match says(key) {
            Some(Val::Text(text)) => Some(text),
            _ => None,
        };
        let least = |own: Option<u64>, key: &str| own.into_iter().chain(number(key)).min();
        let mut spec = declared.clone();
        spec.max_bytes = least(spec.max_bytes, "max-length-bytes");
        spec.consumer_timeout_ms = least(spec.consumer_timeout_ms, "consumer-timeout");
        if spec.stream {
            return spec;
        }
        spec.ttl_ms = least(spec.ttl_ms, "message-ttl");
        spec.expires_ms = least(spec.expires_ms, "expires");
        spec.max_length = least(spec.max_length, "max-length");
        let limit = least(spec.delivery_limit.map(u64::from), "delivery-limit");
        spec.delivery_limit = limit.map(|limit| u32::try_from(limit).unwrap());
        spec.dlx = spec.dlx.or(text("dead-letter-exchange"));
        spec.dlx_key = spec.dlx_key.or(text("dead-letter-routing-key"));
        // No argument says drop-head here.
        if spec.overflow == Overflow::DropHead {
            spec.overflow = match text("overflow").as_deref() {
                Some("reject-publish") => Overflow::Reject,
                Some("reject-publish-dlx") => Overflow::RejectDlx,
                _ => Overflow::DropHead,
            };
        }
        spec
    }

    /// Where an exchange sends what it has no queue for; the default exchange sends nothing.
    pub fn alternate_of(&self, exchange: &str) -> Option<String> {
        if exchange.is_empty() {
            return None;
        }
        let declared = self.exchanges.get(exchange)?.spec.alternate.clone();
        let policys =
            || match self.policy_value(&["all", "exchanges"], exchange, "alternate-exchange") {
                Some(Val::Text(name)) => Some(name),
                _ => None,
            };
        declared.or_else(policys)
    }

    /// The value of the policy that holds, capped by that of the operator policy that holds.
    fn policy_value(&self, kinds: &[&str], name: &str, key: &str) -> Option<Val> {
        let value = |operator: bool| {
            let all = self.policies.iter().filter(|policy| policy.operator == operator);
            let fitting = all.filter(|p| kinds.contains(&p.apply_to) && matches(p.pattern, name));
            let holds = fitting.max_by_key(|policy| policy.priority)?;
            let mut entries = holds.definition.iter();
            entries.find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        match (value(false), value(true)) {
            (Some(Val::I64(own)), Some(Val::I64(most))) => Some(Val::I64(own.min(most))),
            (own, operators) => operators.or(own),
        }
    }
}

/// What each of the patterns means.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern {
        ".*" => true,
        "^[abc]$" => ["a", "b", "c"].contains(&name),
        "^(d|t|e2)$" => ["d", "t", "e2"].contains(&name),
        "^amq\\." => name.starts_with("amq."),
        "^(?!amq\\.)" => !name.starts_with("amq."),
        "z|s|e|x" => name.contains(['z', 's', 'e', 'x']),
        other => panic!("what does {other} match?"),
    }
}
