//! What do events say of vhosts, users, policies, parameters and alarms?

use crate::amqp::{ArrayBuf, Name, TableBuf, Value};
use crate::broker::arguments::policy::Policy;
use crate::broker::flow::events::{Event, put_name};
use crate::broker::topology::parameters::Scope;
use crate::broker::topology::vhost::VhostSettings;
use crate::broker::users::User;
use crate::broker::users::user::Access;
use crate::broker::{BlockReasons, Broker, VhostKey};

/// What the parameter is called that a vhost's limits are to RabbitMQ.
const LIMITS: (&str, &str) = ("vhost-limits", "limits");

impl Broker {
    /// A vhost was made, with its first exchanges.
    pub(super) fn note_vhost_created(&mut self, key: VhostKey, settings: &VhostSettings) {
        if !self.tells_events() {
            return;
        }
        let mut exchanges: Vec<_> = self.topology.exchanges_of(key);
        exchanges.sort_unstable();
        exchanges.into_iter().for_each(|exchange| self.note_exchange_created(exchange));
        let name = self.topology.vhost_name(key);
        self.note_vhost(Event::VhostCreated, &name, settings);
        self.note_vhost_limits(&name, &VhostSettings::default(), settings);
    }

    /// What is said of a vhost changed, or is said again.
    pub(super) fn note_vhost_updated(
        &mut self,
        name: &Name,
        before: &VhostSettings,
        now: &VhostSettings,
    ) {
        if !self.tells_events() {
            return;
        }
        let without_limits = |settings: &VhostSettings| VhostSettings {
            connections_max: None,
            queues_max: None,
            ..settings.clone()
        };
        if without_limits(before) != without_limits(now) {
            self.note_vhost(Event::VhostUpdated, name, now);
        }
        self.note_vhost_limits(name, before, now);
    }

    fn note_vhost(&mut self, event: Event, name: &Name, settings: &VhostSettings) {
        self.note_event(event, |_, headers| {
            put_name(headers, b"name", name);
            headers.put_str(b"description", &settings.description);
            let mut tags = ArrayBuf::new();
            settings.tags.iter().for_each(|tag| tags.push_str(tag));
            headers.put(b"tags", Value::Array(tags.array()));
            let kind = settings.default_queue_type.map_or("undefined", |kind| kind.name());
            headers.put_str(b"default_queue_type", kind);
            headers.put_bool(b"tracing", settings.tracing);
        });
    }

    fn note_vhost_limits(&mut self, vhost: &Name, before: &VhostSettings, now: &VhostSettings) {
        let limits = |of: &VhostSettings| limits([of.connections_max, of.queues_max], "max-queues");
        let (before, now) = (limits(before), limits(now));
        if before == now {
            return;
        }
        let is_set = !now.is_empty();
        let (of_parameter, of_limits) = if is_set {
            (Event::ParameterSet, Event::VhostLimitsSet)
        } else {
            (Event::ParameterCleared, Event::VhostLimitsCleared)
        };
        self.note_event(of_parameter, |_, headers| {
            put_name(headers, b"vhost", vhost);
            headers.put_str(b"component", LIMITS.0);
            headers.put_str(b"name", LIMITS.1);
            if is_set {
                headers.put(b"value", Value::Table(now.table()));
            }
        });
        self.note_event(of_limits, |_, headers| {
            headers.put_str(b"name", LIMITS.1);
            put_name(headers, b"vhost", vhost);
            now.table().iter().for_each(|(name, value)| headers.put(name, value));
        });
    }

    /// A vhost is gone.
    pub(super) fn note_vhost_deleted(&mut self, name: &Name) {
        self.note_event(Event::VhostDeleted, |_, headers| put_name(headers, b"name", name));
    }

    /// A user is another one than it was, or new.
    pub(super) fn note_user_put(&mut self, before: Option<&User>, now: &User) {
        let named = |_: &Self, headers: &mut TableBuf| put_name(headers, b"name", &now.name);
        match before {
            None => self.note_event(Event::UserCreated, named),
            Some(before) if before.password == now.password => {}
            Some(_) if now.password.is_some() => {
                self.note_event(Event::UserPasswordChanged, named);
            }
            Some(_) => self.note_event(Event::UserPasswordCleared, named),
        }
        if before.map_or(&[][..], |before| &before.tags) != now.tags {
            self.note_event(Event::UserTagsSet, |_, headers| {
                put_name(headers, b"name", &now.name);
                let mut tags = ArrayBuf::new();
                now.tags.iter().for_each(|tag| tags.push_str(tag));
                headers.put(b"tags", Value::Array(tags.array()));
            });
        }
        let limits = |of: &User| limits([of.connections_max, of.channels_max], "max-channels");
        let limits_now = limits(now);
        if before.map(limits).unwrap_or_default() != limits_now {
            let is_set = !limits_now.is_empty();
            let event = if is_set { Event::UserLimitsSet } else { Event::UserLimitsCleared };
            self.note_event(event, |_, headers| {
                headers.put_str(b"name", LIMITS.1);
                put_name(headers, b"username", &now.name);
                limits_now.table().iter().for_each(|(name, value)| headers.put(name, value));
            });
        }
        self.note_permissions(before, now);
        self.note_topic_permissions(before, now);
    }

    fn note_permissions(&mut self, before: Option<&User>, now: &User) {
        let had = |vhost: &Name| {
            let mut all = before.into_iter().flat_map(User::permissions);
            all.find(|(name, _)| *name == vhost).map(|(_, permissions)| permissions)
        };
        for (vhost, permissions) in now.permissions() {
            if had(vhost) == Some(permissions) {
                continue;
            }
            self.note_event(Event::PermissionCreated, |_, headers| {
                put_name(headers, b"user", &now.name);
                put_name(headers, b"vhost", vhost);
                for access in [Access::Configure, Access::Write, Access::Read] {
                    let pattern = permissions.pattern(access).text();
                    headers.put_str(access.name().as_bytes(), pattern);
                }
            });
        }
        let has = |vhost: &Name| now.permissions().any(|(name, _)| name == vhost);
        for (vhost, _) in before.into_iter().flat_map(User::permissions) {
            if !has(vhost) {
                self.note_event(Event::PermissionDeleted, |_, headers| {
                    put_name(headers, b"user", &now.name);
                    put_name(headers, b"vhost", vhost);
                });
            }
        }
    }

    fn note_topic_permissions(&mut self, before: Option<&User>, now: &User) {
        let texts = |user: &User| -> Vec<[Name; 4]> {
            let all = user.topic_permissions().map(|(vhost, exchange, it)| {
                let (write, read) = (Name::from(&*it.write_text), Name::from(&*it.read_text));
                [vhost.clone(), exchange.clone(), write, read]
            });
            all.collect()
        };
        let (before, after) = (before.map(texts).unwrap_or_default(), texts(now));
        for permissions in after.iter().filter(|one| !before.contains(one)) {
            let [vhost, exchange, write, read] = permissions;
            self.note_event(Event::TopicPermissionCreated, |_, headers| {
                put_name(headers, b"user", &now.name);
                put_name(headers, b"vhost", vhost);
                put_name(headers, b"exchange", exchange);
                put_name(headers, b"write", write);
                put_name(headers, b"read", read);
            });
        }
        for [vhost, exchange, ..] in &before {
            if !after.iter().any(|[v, e, ..]| (v, e) == (vhost, exchange)) {
                self.note_event(Event::TopicPermissionDeleted, |_, headers| {
                    put_name(headers, b"user", &now.name);
                    put_name(headers, b"vhost", vhost);
                    put_name(headers, b"exchange", exchange);
                });
            }
        }
    }

    /// A user is gone.
    pub(super) fn note_user_deleted(&mut self, name: &Name) {
        self.note_event(Event::UserDeleted, |_, headers| put_name(headers, b"name", name));
    }

    /// A policy or operator policy was set.
    pub(super) fn note_policy_set(&mut self, policy: &Policy) {
        if policy.operator {
            self.note_event(Event::ParameterSet, |_, headers| {
                put_operator_policy(headers, &policy.vhost, &policy.name);
                let mut value = TableBuf::new();
                put_policy(&mut value, policy);
                headers.put(b"value", Value::Table(value.table()));
            });
        }
        self.note_event(Event::PolicySet, |_, headers| {
            put_name(headers, b"name", &policy.name);
            put_name(headers, b"vhost", &policy.vhost);
            put_policy(headers, policy);
        });
    }

    /// A policy or operator policy was taken back.
    pub(super) fn note_policy_cleared(&mut self, vhost: VhostKey, operator: bool, name: &Name) {
        let vhost = self.topology.vhost_name(vhost);
        let mut event = Event::PolicyCleared;
        if operator {
            event = Event::OperatorPolicyCleared;
            self.note_event(Event::ParameterCleared, |_, headers| {
                put_operator_policy(headers, &vhost, name);
            });
        }
        self.note_event(event, |_, headers| {
            put_name(headers, b"name", name);
            put_name(headers, b"vhost", &vhost);
        });
    }

    /// A parameter was set or taken back. What it was set to is not told: it may hold the passwords
    /// of other brokers.
    pub(super) fn note_parameter(&mut self, event: Event, scope: Scope<'_>, name: &[u8]) {
        self.note_event(event, |broker, headers| {
            match scope {
                Scope::Vhost(vhost, component) => {
                    put_name(headers, b"vhost", &broker.topology.vhost_name(vhost));
                    put_name(headers, b"component", component);
                }
                Scope::Global => headers.put_str(b"component", "global"),
            }
            put_name(headers, b"name", name);
        });
    }

    /// Alarms went on or off.
    pub(in crate::broker) fn note_alarms(&mut self, before: BlockReasons, now: BlockReasons) {
        let changes = [("memory", before.memory, now.memory), ("disk", before.disk, now.disk)];
        for (source, before, now) in changes {
            if before != now {
                let event = if now { Event::AlarmSet } else { Event::AlarmCleared };
                self.note_event(event, |broker, headers| {
                    headers.put_str(b"source", source);
                    put_name(headers, b"node", broker.node_name());
                });
            }
        }
    }
}

fn put_operator_policy(headers: &mut TableBuf, vhost: &Name, name: &Name) {
    put_name(headers, b"vhost", vhost);
    headers.put_str(b"component", "operator_policy");
    put_name(headers, b"name", name);
}

fn put_policy(headers: &mut TableBuf, policy: &Policy) {
    headers.put_str(b"pattern", policy.pattern.text());
    headers.put(b"definition", Value::Table(policy.definition.table()));
    headers.put_i64(b"priority", policy.priority);
    headers.put_str(b"apply-to", policy.apply_to.name());
}

/// The most connections, and the most of something else, as far as there are limits.
fn limits(of: [Option<u32>; 2], second: &str) -> TableBuf {
    let mut table = TableBuf::new();
    for (name, limit) in ["max-connections", second].into_iter().zip(of) {
        if let Some(limit) = limit {
            table.put_i64(name.as_bytes(), i64::from(limit));
        }
    }
    table
}
