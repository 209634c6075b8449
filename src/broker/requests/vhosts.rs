//! What may operators do with vhosts: make, change and delete them?
//!
//! What is in a vhost may be much, and goes by and by: until nothing is left of it, nobody finds
//! it, and none of its name can be made. So a new one of that name inherits nothing, also when the
//! broker dies in between: that it is to go is in the log before anything of it went, and the next
//! start goes on.

use crate::amqp::{AmqpError, Name};
use crate::broker::Broker;
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
            if let Some(vhost) = self.topology.vhost_mut(key) {
                vhost.settings = settings;
            }
            return key;
        }
        self.topology.add_vhost(name, settings, self.clock_ms)
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
            } else if let Some((component, of_component)) = found.parameters.first_key_value()
                && let Some((name, _)) = of_component.first_key_value()
            {
                let (component, name) = (component.clone(), name.clone());
                let scope = Scope::Vhost(vhost, &component);
                self.topology.erase_parameter(&mut self.store, scope, &name);
                self.topology.remove_parameter(scope, &name);
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
                let mut user = user.clone();
                user.forget_vhost(&name);
                definitions::persist_user(&mut self.store, &user);
                self.users.put(user);
            }
        }
        false
    }
}
