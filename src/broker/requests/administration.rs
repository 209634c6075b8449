//! What may operators say of many things at once: policies and parameters?

use crate::amqp::Name;
use crate::broker::Broker;
use crate::broker::arguments::definition::InvalidPolicy;
use crate::broker::arguments::policy::Policy;
use crate::broker::flow::events::Event;
use crate::broker::key::{QueueKey, VhostKey};
use crate::broker::topology::definitions;
use crate::broker::topology::parameters::Scope;

/// A vhost whose policies changed, and how far what follows from that is.
#[derive(Debug)]
pub(in crate::broker) struct Applying {
    vhost: VhostKey,
    /// Queues in places below this follow the policies, and so do exchanges.
    queue_place: u32,
    exchange_place: u32,
}

/// What it costs to pass over something of another vhost, to match a name with policies, and to
/// change what follows from them.
const WORK_PER_PLACE: usize = 1;
const WORK_PER_MATCH: usize = 15;
const WORK_PER_CHANGE: usize = 15;

impl Broker {
    /// Sets a policy or operator policy; it acts at once on everything that it matches.
    ///
    /// # Errors
    /// What is wrong with it, in RabbitMQ's words; a vhost that is not there.
    pub fn set_policy(&mut self, policy: Policy) -> Result<(), InvalidPolicy> {
        policy.check()?;
        let Some(vhost) = self.topology.vhost_named(&policy.vhost) else {
            return Err(InvalidPolicy::no_vhost(&policy.vhost));
        };
        definitions::persist_policy(&mut self.store, &policy);
        self.note_policy_set(&policy);
        // It is put in its place among the others.
        self.spend_matching(vhost);
        self.topology.put_policy(vhost, policy);
        self.apply_policies(vhost);
        Ok(())
    }

    /// Takes a policy (or operator policy) back; `false` when there was none of this name.
    pub fn clear_policy(&mut self, vhost: VhostKey, operator: bool, name: &Name) -> bool {
        if !self.topology.remove_policy(vhost, operator, name) {
            return false;
        }
        self.topology.erase_policy(&mut self.store, vhost, operator, name);
        self.note_policy_cleared(vhost, operator, name);
        self.apply_policies(vhost);
        true
    }

    /// Keeps a parameter, whose value is JSON; `true` when there was none of its name.
    pub fn set_parameter(&mut self, scope: Scope<'_>, name: Name, value: &str) -> bool {
        self.topology.persist_parameter(&mut self.store, scope, &name, value);
        self.note_parameter(Event::ParameterSet, scope, &name);
        self.topology.put_parameter(scope, name, value.into())
    }

    /// Forgets a parameter; `false` when there was none of this name.
    pub fn clear_parameter(&mut self, scope: Scope<'_>, name: &[u8]) -> bool {
        let was_there = self.topology.remove_parameter(scope, name);
        if was_there {
            self.topology.erase_parameter(&mut self.store, scope, name);
            self.note_parameter(Event::ParameterCleared, scope, name);
        }
        was_there
    }

    /// The policies of a vhost changed: what is in it follows, as far as this step allows at once,
    /// and the rest in later turns. What comes meanwhile follows the new ones from the start.
    fn apply_policies(&mut self, vhost: VhostKey) {
        self.applying.retain(|applying| applying.vhost != vhost);
        self.applying.push_back(Applying { vhost, queue_place: 0, exchange_place: 0 });
        self.go_on_applying_policies();
    }

    /// Whether policies changed that do not hold for everything yet.
    pub fn is_applying_policies(&self) -> bool {
        !self.applying.is_empty()
    }

    /// Goes on with what follows changed policies, as far as this step allows.
    pub fn go_on_applying_policies(&mut self) {
        while !self.work.is_done()
            && let Some(Applying { vhost, queue_place, exchange_place }) = self.applying.front_mut()
        {
            let vhost = *vhost;
            self.work.spend(WORK_PER_PLACE);
            if *queue_place < self.queues.places() {
                let found = self.queues.at(*queue_place);
                *queue_place += 1;
                let key = found.filter(|(_, queue)| queue.vhost == vhost).map(|(key, _)| key);
                if let Some(key) = key {
                    self.spend_matching(vhost);
                    self.apply_to_queue(key);
                }
            } else if *exchange_place < self.topology.exchange_places() {
                let found = self.topology.exchange_at(*exchange_place);
                *exchange_place += 1;
                let key = found.filter(|(_, it)| it.vhost == vhost).map(|(key, _)| key);
                if let Some(key) = key {
                    self.spend_matching(vhost);
                    self.topology.apply_to_exchange(key);
                }
            } else {
                self.applying.pop_front();
                self.topology.changed();
            }
        }
    }

    /// The policies of a vhost are compared with a name.
    pub(in crate::broker) fn spend_matching(&mut self, vhost: VhostKey) {
        self.work.spend(WORK_PER_MATCH + self.topology.work_of_policies(vhost));
    }

    fn apply_to_queue(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        let settings = self.topology.settings_of(queue);
        if queue.settings == settings {
            return;
        }
        queue.settings = settings;
        self.work.spend(WORK_PER_CHANGE);
        self.queues.wake(key, self.clock_ms);
        self.queues.touch(key, self.clock_ms);
        self.limit_length(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Table, TableBuf, Value};
    use crate::broker::arguments::ExchangeTraits;
    use crate::broker::arguments::policy::ApplyTo;
    use crate::broker::testing::{NOW_MS, declare, open, publish, subject};
    use crate::broker::users::pattern::Pattern;

    fn policy(name: &str, pattern: &str, priority: i64, key: &str, value: i64) -> Policy {
        let mut definition = TableBuf::new();
        definition.put(key.as_bytes(), Value::I64(value));
        Policy {
            vhost: Name::from("/"),
            name: Name::from(name),
            pattern: Pattern::of_policy(pattern),
            apply_to: ApplyTo::Queues,
            priority,
            definition,
            operator: false,
        }
    }

    fn ready(broker: &Broker, queue: QueueKey) -> usize {
        broker.queues().get(queue).unwrap().ready.len()
    }

    #[test]
    fn a_policy_acts_at_once_on_queues_that_exist_and_on_those_to_come() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let (old, other) = (
            declare(&mut broker, "jobs.old", Table::EMPTY),
            declare(&mut broker, "mail", Table::EMPTY),
        );
        publish(&mut broker, old, 10);
        publish(&mut broker, other, 10);
        broker.set_policy(policy("short", "^jobs\\.", 0, "max-length", 3)).unwrap();
        let new = declare(&mut broker, "jobs.new", Table::EMPTY);
        publish(&mut broker, new, 10);
        assert_eq!([ready(&broker, old), ready(&broker, new), ready(&broker, other)], [3, 3, 10]);
    }

    /// One that was there before the consumer dropped answers.
    #[test]
    fn queues_of_direct_replies_follow_no_policy() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        broker.set_policy(policy("short", ".*", 0, "max-length", 1)).unwrap();
        let client = subject(&broker);
        let channel = broker.queues_mut().open_channel(client.connection, 1);
        let name = Name::from("amq.rabbitmq.reply-to.x");
        let consumer = broker.consume_replies(&client, channel, &name, Name::from("tag"));
        broker.set_policy(policy("shorter", ".*", 1, "max-length", 0)).unwrap();
        let queue = broker.queues.consumer(consumer).unwrap().queue;
        assert_eq!(broker.queues().get(queue).unwrap().settings.max_length, None);
    }

    #[test]
    fn the_highest_priority_holds_and_what_is_cleared_holds_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        broker.set_policy(policy("low", ".*", 1, "max-length", 7)).unwrap();
        broker.set_policy(policy("high", ".*", 2, "max-length", 5)).unwrap();
        let limit = |broker: &Broker| broker.queues().get(queue).unwrap().settings.max_length;
        assert_eq!(limit(&broker), Some(5));
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        assert!(broker.clear_policy(vhost, false, &Name::from("high")));
        assert_eq!(limit(&broker), Some(7));
        assert!(broker.clear_policy(vhost, false, &Name::from("low")));
        assert_eq!(limit(&broker), None);
        assert!(!broker.clear_policy(vhost, false, &Name::from("low")));
    }

    #[test]
    fn an_operator_policy_caps_the_numbers_of_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        broker.set_policy(policy("users", ".*", 0, "max-length", 100)).unwrap();
        let operator = Policy { operator: true, ..policy("cap", ".*", 0, "max-length", 10) };
        broker.set_policy(operator).unwrap();
        assert_eq!(broker.queues().get(queue).unwrap().settings.max_length, Some(10));
    }

    /// A policy without a say on lengths, for a name.
    fn text_policy(pattern: &str, key: &str, value: &str) -> Policy {
        let mut definition = TableBuf::new();
        definition.put_str(key.as_bytes(), value);
        let apply_to = ApplyTo::All;
        Policy { definition, apply_to, ..policy(value, pattern, 0, "unused", 0) }
    }

    #[test]
    fn a_time_to_live_holds_at_once_for_messages_that_wait_and_ends_with_its_policy() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        publish(&mut broker, queue, 2);
        broker.set_policy(policy("mortal", ".*", 0, "message-ttl", 1_000)).unwrap();
        // Nothing of the log has to be moved.
        broker.compact();
        assert_eq!(broker.next_expiry_ms(), Some(NOW_MS), "the queue is looked at");
        broker.expire();
        assert_eq!((ready(&broker, queue), broker.next_expiry_ms()), (2, Some(NOW_MS + 1_000)));
        broker.set_clock(NOW_MS + 1_000);
        broker.expire();
        assert_eq!(ready(&broker, queue), 0);
        publish(&mut broker, queue, 2);
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        broker.clear_policy(vhost, false, &Name::from("mortal"));
        broker.set_clock(NOW_MS + 10_000);
        broker.expire();
        assert_eq!(ready(&broker, queue), 2);
    }

    #[test]
    fn an_expiry_holds_for_a_queue_that_was_unused_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        broker.set_clock(NOW_MS + 5_000);
        broker.set_policy(policy("brief", ".*", 0, "expires", 1_000)).unwrap();
        broker.expire();
        broker.set_clock(NOW_MS + 5_999);
        broker.expire();
        assert!(broker.queues().get(queue).is_some(), "its time began with the policy");
        broker.set_clock(NOW_MS + 6_000);
        broker.expire();
        assert!(broker.queues().get(queue).is_none());
    }

    #[test]
    fn messages_that_wait_are_dead_lettered_where_the_policy_says() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        let dead = declare(&mut broker, "dead", Table::EMPTY);
        publish(&mut broker, queue, 3);
        let mut both = text_policy("^q$", "dead-letter-exchange", "");
        both.definition.put_str(b"dead-letter-routing-key", "dead");
        both.definition.put_i64(b"max-length", 1);
        broker.set_policy(both).unwrap();
        broker.bury();
        assert_eq!([ready(&broker, queue), ready(&broker, dead)], [1, 2]);
    }

    /// After a start the predeclared exchanges had none: they are there before the policies.
    #[test]
    fn an_alternate_holds_at_once_for_every_exchange_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let traits = ExchangeTraits {
            kind: b"direct",
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Table::EMPTY,
        };
        broker.declare_exchange(&subject(&broker), b"own", &traits).unwrap();
        let before = broker.topology().version();
        let pattern = "^(own|amq.direct)$";
        broker.set_policy(text_policy(pattern, "alternate-exchange", "amq.fanout")).unwrap();
        assert!(broker.topology().version() > before, "remembered routes are found anew");
        let alternates = |broker: &Broker| {
            let vhost = broker.topology().vhost_named(b"/").unwrap();
            [&b"own"[..], b"amq.direct", b"amq.topic"].map(|name| {
                let key = broker.topology().exchange_named(vhost, name).unwrap();
                broker.topology.exchange(key).unwrap().alternate.is_some()
            })
        };
        assert_eq!(alternates(&broker), [true, true, false]);
        broker.close().unwrap();
        let mut broker = open(directory.path());
        assert_eq!(alternates(&broker), [true, true, false]);
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        broker.clear_policy(vhost, false, &Name::from("amq.fanout"));
        assert_eq!(alternates(&broker), [false, false, false]);
    }

    #[test]
    fn a_policy_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        declare(&mut broker, "q", Table::EMPTY);
        broker.set_policy(policy("kept", ".*", 0, "message-ttl", 5)).unwrap();
        broker.close().unwrap();
        let broker = open(directory.path());
        let vhost = broker.topology().vhost_named(b"/").unwrap();
        let queue = broker.topology().queue_named(vhost, b"q").unwrap();
        assert_eq!(broker.queues().get(queue).unwrap().settings.message_ttl_ms, Some(5));
    }

    #[test]
    fn an_invalid_policy_is_refused_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let queue = declare(&mut broker, "q", Table::EMPTY);
        assert!(broker.set_policy(policy("bad", ".*", 0, "max-length", -1)).is_err());
        assert!(broker.set_policy(policy("bad", "(", 0, "max-length", 1)).is_err());
        assert_eq!(broker.queues().get(queue).unwrap().settings.max_length, None);
    }
}
