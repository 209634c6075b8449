//! What is kept for others under a name: parameters of vhosts, and of the node?
//!
//! A value is JSON that the broker does not look into; whoever takes it checks it.

use std::collections::BTreeMap;

use crate::amqp::Name;
use crate::broker::key::VhostKey;
use crate::broker::topology::Topology;
use crate::broker::topology::definitions::{erase_parameter, persist_parameter};
use crate::storage::Store;

/// Values by name, each as JSON.
pub type Parameters = BTreeMap<Name, Box<str>>;

/// Whose a parameter is: a vhost's, under a component, or the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Of this vhost, under a component such as `shovel`.
    Vhost(VhostKey, &'a Name),
    /// Of the node (`global-parameters`).
    Global,
}

impl Topology {
    /// Takes a parameter in; `true` when there was none of its name.
    pub(in crate::broker) fn put_parameter(
        &mut self,
        scope: Scope<'_>,
        name: Name,
        value: Box<str>,
    ) -> bool {
        let of_scope = match scope {
            Scope::Global => Some(&mut self.global_parameters),
            Scope::Vhost(vhost, component) => {
                let vhost = self.vhosts.get_mut(vhost);
                vhost.map(|vhost| vhost.parameters.entry(component.clone()).or_default())
            }
        };
        of_scope.is_some_and(|of_scope| of_scope.insert(name, value).is_none())
    }

    /// Takes a parameter out; `false`: there is none.
    pub(in crate::broker) fn remove_parameter(&mut self, scope: Scope<'_>, name: &[u8]) -> bool {
        match scope {
            Scope::Global => self.global_parameters.remove(name).is_some(),
            Scope::Vhost(vhost, component) => {
                let Some(vhost) = self.vhosts.get_mut(vhost) else {
                    return false;
                };
                let Some(of_component) = vhost.parameters.get_mut(component.as_bytes()) else {
                    return false;
                };
                let was_there = of_component.remove(name).is_some();
                if of_component.is_empty() {
                    vhost.parameters.remove(component.as_bytes());
                }
                was_there
            }
        }
    }

    /// A parameter's value.
    pub fn parameter(&self, scope: Scope<'_>, name: &[u8]) -> Option<&str> {
        let of_scope = match scope {
            Scope::Global => Some(&self.global_parameters),
            Scope::Vhost(vhost, component) => {
                self.vhosts.get(vhost)?.parameters.get(component.as_bytes())
            }
        };
        of_scope?.get(name).map(AsRef::as_ref)
    }

    /// The node's parameters.
    pub fn global_parameters(&self) -> &Parameters {
        &self.global_parameters
    }

    /// A parameter goes to the log.
    pub(in crate::broker) fn persist_parameter(
        &self,
        store: &mut Store,
        scope: Scope<'_>,
        name: &Name,
        value: &str,
    ) {
        persist_parameter(store, &self.names_of(scope), name, value);
    }

    /// A parameter leaves the log.
    pub(in crate::broker) fn erase_parameter(
        &self,
        store: &mut Store,
        scope: Scope<'_>,
        name: &[u8],
    ) {
        erase_parameter(store, &self.names_of(scope), name);
    }

    /// What a parameter's key in the log begins with: vhost and component, or neither.
    fn names_of(&self, scope: Scope<'_>) -> [Name; 2] {
        match scope {
            Scope::Global => [Name::default(), Name::default()],
            Scope::Vhost(vhost, component) => [self.vhost_name(vhost), component.clone()],
        }
    }
}
