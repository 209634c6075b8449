//! What may operators do with vhosts: make, change and delete them?
//!
//! What is in a vhost may be much, and goes by and by: until nothing is left of it, nobody finds
//! it, and none of its name can be made. So a new one of that name inherits nothing, also when the
//! broker dies in between: that it is to go is in the log before anything of it went, and the next
//! start goes on.

use crate::amqp::{AmqpError, Name};
use crate::broker::Broker;
use crate::broker::flow::events::Event;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::topology::definitions;
use crate::broker::topology::parameters::Scope;
use crate::broker::topology::vhost::VhostSettings;

/// A vhost that was deleted, and how far that is.
#[derive(Debug)]
pub(in crate::broker) struct Parting {
    vhost: VhostKey,
    /// Queues in places below this are gone.
    queue_place: u32,
    /// What is left of its exchanges, once that is known.
    exchanges: Option<Vec<ExchangeKey>>,
    /// Users up to this one have nothing there any more.
    user: Option<Name>,
}

/// What it costs to pass over something of another vhost.
const WORK_PER_PLACE: usize = 1;

/// What it costs to take a policy, a parameter or a user's permissions back.
const WORK_PER_DEFINITION: usize = 20;

impl Parting {
    /// Nothing of it went yet.
    pub(in crate::broker) fn new(vhost: VhostKey) -> Self {
        Self { vhost, queue_place: 0, exchanges: None, user: None }
    }
}

impl Broker {
    /// Creates a vhost with its predeclared exchanges, which lasts; one that is there is fine.
    pub fn create_vhost(&mut self, name: &Name) -> VhostKey {
        match self.topology.vhost_named(name) {
            Some(key) => key,
            None => self.put_vhost(name, VhostSettings::default()),
        }
    }

    /// Makes a vhost, or says something else of one.
    ///
    /// # Panics
    /// When one of this name is leaving: [`Broker::is_vhost_leaving`].
    pub fn put_vhost(&mut self, name: &Name, settings: VhostSettings) -> VhostKey {
        assert!(!self.topology.is_vhost_leaving(name), "nothing may be inherited from it");
        definitions::persist_vhost(&mut self.store, name, &settings, false);
        if let Some(key) = self.topology.vhost_named(name) {
            let before = self.topology.vhost(key).map(|vhost| vhost.settings.clone());
            self.note_vhost_updated(name, &before.unwrap_or_default(), &settings);
            self.topology.set_settings(key, settings);
            return key;
        }
        let key = self.topology.add_vhost(name, settings.clone(), self.clock_ms);
        self.note_vhost_created(key, &settings);
        self.make_exchanges_of_notices(key);
        key
    }

    /// Deletes a vhost: its connections are closed, and what is in it goes in later turns, until
    /// [`Topology::is_vhost_leaving`](crate::broker::Topology::is_vhost_leaving) says no more.
    pub fn delete_vhost(&mut self, key: VhostKey) {
        let Some(vhost) = self.topology.vhost_mut(key).filter(|vhost| !vhost.leaving) else {
            return;
        };
        vhost.leaving = true;
        let (name, settings) = (vhost.name.clone(), vhost.settings.clone());
        definitions::persist_vhost(&mut self.store, &name, &settings, true);
        self.topology.changed();
        let connections: Vec<_> = self.users.connections_to(key).collect();
        self.force_to_close(connections, &format!("vhost '{name}' is deleted"));
        self.parting.push_back(Parting::new(key));
    }

    /// 530 when the vhost has as many connections as it may.
    pub fn check_vhost_limit(&self, user: &Name, vhost: VhostKey) -> Result<(), AmqpError> {
        let Some(found) = self.topology.vhost(vhost) else {
            return Ok(());
        };
        self.users.check_vhost_limit(vhost, found.settings.connections_max, |max| {
            format!(
                "access to vhost '{}' refused for user '{user}': connection limit ({max}) is \
                 reached",
                found.name
            )
        })
    }

    /// Goes on with vhosts that were deleted, as far as this step allows.
    pub fn go_on_removing_vhosts(&mut self) {
        while !self.work.is_done()
            && let Some(mut parting) = self.parting.pop_front()
        {
            // Its sessions are told by and by; until then they may make things in it.
            let is_in_use = self.users.connections_to(parting.vhost).next().is_some();
            if is_in_use || !self.remove_from(&mut parting) {
                return self.parting.push_front(parting);
            }
        }
    }

    /// At the start, where nobody waits: all of it.
    pub(in crate::broker) fn finish_removing_vhosts(&mut self) {
        for parting in &self.parting {
            if let Some(vhost) = self.topology.vhost_mut(parting.vhost) {
                vhost.leaving = true;
            }
        }
        while !self.parting.is_empty() {
            self.work.begin(u32::MAX);
            self.go_on_removing_vhosts();
        }
    }

    /// Removes more of what is in a vhost, and at last the vhost; `false`: this step allows no
    /// more.
    fn remove_from(&mut self, parting: &mut Parting) -> bool {
        let vhost = parting.vhost;
        if !(self.remove_queues_of(parting) && self.remove_exchanges_of(parting)) {
            return false;
        }
        if !(self.remove_settings_of(vhost) && self.remove_permissions_for(parting)) {
            return false;
        }
        let name = self.topology.vhost_name(vhost);
        definitions::erase_vhost(&mut self.store, &name);
        self.topology.remove_vhost(vhost);
        self.note_vhost_deleted(&name);
        true
    }

    fn remove_queues_of(&mut self, parting: &mut Parting) -> bool {
        while parting.queue_place < self.queues.places() {
            if self.work.is_done() {
                return false;
            }
            self.work.spend(WORK_PER_PLACE);
            let found = self.queues.at(parting.queue_place);
            if let Some((key, queue)) = found
                && queue.vhost == parting.vhost
                && !self.remove_queue(key)
            {
                return false;
            }
            parting.queue_place += 1;
        }
        true
    }

    fn remove_exchanges_of(&mut self, parting: &mut Parting) -> bool {
        let (topology, vhost) = (&self.topology, parting.vhost);
        let left = parting.exchanges.get_or_insert_with(|| topology.exchanges_of(vhost));
        while let Some(&key) = left.last() {
            if self.work.is_done() || !self.remove_exchange(key) {
                return false;
            }
            left.pop();
        }
        true
    }

    /// Takes policies and parameters back.
    fn remove_settings_of(&mut self, vhost: VhostKey) -> bool {
        while !self.work.is_done() {
            self.work.spend(WORK_PER_DEFINITION);
            let Some(found) = self.topology.vhost(vhost) else {
                return true;
            };
            let (users, operators) = (found.policies.list(false), found.policies.list(true));
            if let Some(policy) = users.last().or(operators.last()) {
                let (name, operator) = (policy.name.clone(), policy.operator);
                self.topology.remove_policy(vhost, operator, &name);
                self.topology.erase_policy(&mut self.store, vhost, operator, &name);
                self.note_policy_cleared(vhost, operator, &name);
            } else if let Some((component, of_component)) = found.parameters.first_key_value()
                && let Some((name, _)) = of_component.first_key_value()
            {
                let (component, name) = (component.clone(), name.clone());
                let scope = Scope::Vhost(vhost, &component);
                self.topology.erase_parameter(&mut self.store, scope, &name);
                self.topology.remove_parameter(scope, &name);
                self.note_parameter(Event::ParameterCleared, scope, &name);
            } else {
                return true;
            }
        }
        false
    }

    /// Takes what users may do there from them.
    fn remove_permissions_for(&mut self, parting: &mut Parting) -> bool {
        let name = self.topology.vhost_name(parting.vhost);
        while !self.work.is_done() {
            let Some(user) = self.users.after(parting.user.as_ref()) else {
                return true;
            };
            self.work.spend(WORK_PER_PLACE);
            parting.user = Some(user.name.clone());
            if user.has_anything_in(&name) {
                self.work.spend(WORK_PER_DEFINITION);
                let before = self.tells_events().then(|| user.clone());
                let mut user = user.clone();
                user.forget_vhost(&name);
                if before.is_some() {
                    self.note_user_put(before.as_ref(), &user);
                }
                definitions::persist_user(&mut self.store, &user);
                self.users.put(user);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{Table, TableBuf, Value};
    use crate::broker::arguments::QueueTraits;
    use crate::broker::arguments::policy::{ApplyTo, Policy};
    use crate::broker::testing::open;
    use crate::broker::users::User;
    use crate::broker::users::pattern::Pattern;
    use crate::broker::users::user::Permissions;

    const QUEUES: usize = 50;

    fn durable() -> QueueTraits<'static> {
        let (durable, exclusive, auto_delete) = (true, false, false);
        QueueTraits { durable, exclusive, auto_delete, arguments: Table::EMPTY }
    }

    /// A vhost with something of every kind in it.
    fn filled(broker: &mut Broker) -> VhostKey {
        let name = Name::from("v");
        let key = broker.create_vhost(&name);
        for number in 0..QUEUES {
            broker.import_queue(key, format!("q{number}").as_bytes(), &durable()).unwrap();
        }
        let mut definition = TableBuf::new();
        definition.put(b"max-length", Value::I64(5));
        for operator in [false, true] {
            broker
                .set_policy(Policy {
                    vhost: name.clone(),
                    name: Name::from("p"),
                    pattern: Pattern::of_policy(".*"),
                    apply_to: ApplyTo::All,
                    priority: 0,
                    definition: definition.clone(),
                    operator,
                })
                .unwrap();
        }
        let component = Name::from("shovel");
        broker.set_parameter(Scope::Vhost(key, &component), Name::from("s"), "{}");
        let mut user = User::new(Name::from("ann"), None, Vec::new());
        user.set_permissions(name.clone(), Permissions::new(".*", ".*", ".*"));
        user.set_topic_permissions(name, Name::from("amq.topic"), "", "");
        broker.put_user(user);
        key
    }

    fn is_all_gone(broker: &Broker) -> bool {
        let ann = broker.users().find(b"ann").unwrap();
        let topology = broker.topology();
        topology.vhost_named(b"v").is_none()
            && !topology.is_vhost_leaving(b"v")
            && broker.queues().is_empty()
            && topology.exchange_count() == 7
            && !ann.has_anything_in(b"v")
    }

    #[test]
    fn what_is_in_a_vhost_goes_a_bounded_piece_a_step() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let key = filled(&mut broker);
        broker.delete_vhost(key);
        assert!(broker.topology().is_vhost_leaving(b"v") && broker.has_work());
        let mut steps = 0;
        while broker.topology().is_vhost_leaving(b"v") {
            let before = broker.queues().len();
            broker.work.begin(100);
            broker.go_on_removing_vhosts();
            assert!(before - broker.queues().len() <= 11, "a queue costs ten units");
            steps += 1;
        }
        assert!(steps > 5 && is_all_gone(&broker), "{steps}");
        // One of the same name inherits nothing.
        let key = broker.create_vhost(&Name::from("v"));
        let vhost = broker.topology().vhost(key).unwrap();
        assert!(vhost.queues.is_empty() && vhost.parameters.is_empty());
        assert!(vhost.policies.list(true).is_empty() && vhost.policies.list(false).is_empty());
    }

    /// However far it was: what the log says is that all of it goes.
    #[test]
    fn a_start_finishes_what_a_crash_cut_short() {
        for steps in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let mut broker = open(directory.path());
            let key = filled(&mut broker);
            broker.delete_vhost(key);
            for _ in 0..steps {
                broker.work.begin(50);
                broker.go_on_removing_vhosts();
            }
            broker.store.sync_now().unwrap();
            drop(broker);
            let broker = open(directory.path());
            assert!(is_all_gone(&broker), "after {steps} steps");
        }
    }

    #[test]
    fn a_vhost_stays_until_its_connections_are_gone() {
        use crate::broker::effect::Effect;
        use crate::broker::testing::subject;
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let key = filled(&mut broker);
        let connection = subject(&broker).connection;
        broker.users_mut().note_connection(connection, &Name::from("ann"), key);
        broker.delete_vhost(key);
        broker.work.begin(u32::MAX);
        broker.go_on_removing_vhosts();
        assert_eq!(broker.queues().len(), QUEUES);
        let Some(Effect::ConnectionForced { connection: told, reason }) = broker.next_effect()
        else {
            panic!("its session has to be told");
        };
        assert_eq!((told, reason.as_str()), (connection, "vhost 'v' is deleted"));
        broker.users_mut().forget_connection(connection);
        broker.go_on_removing_vhosts();
        assert!(is_all_gone(&broker));
    }

    #[test]
    fn settings_and_limits_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = open(directory.path());
        let settings = VhostSettings {
            description: "d".into(),
            queues_max: Some(1),
            ..VhostSettings::default()
        };
        broker.put_vhost(&Name::from("v"), settings.clone());
        broker.close().unwrap();
        let mut broker = open(directory.path());
        let key = broker.topology().vhost_named(b"v").unwrap();
        assert_eq!(broker.topology().vhost(key).unwrap().settings, settings);
        assert_eq!(broker.import_queue(key, b"a", &durable()), Ok(true));
        assert_eq!(broker.import_queue(key, b"a", &durable()), Ok(false));
        let refused = broker.import_queue(key, b"b", &durable()).unwrap_err();
        assert!(refused.text.contains("queue limit in vhost 'v' (1) is reached"));
    }
}
