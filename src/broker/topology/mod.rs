//! What is there to route through, and where does it lead?
//!
//! Vhosts with their exchanges, bindings, policies and the names of their queues. What lasts is
//! written to the log where it changes; no message comes here but to be routed.

mod bindings;
mod counting;
pub mod definitions;
pub mod exchanges;
pub mod parameters;
mod policies;
pub mod routing;
pub mod sender_keys;
pub mod vhost;

use crate::amqp::Name;
use crate::broker::by_name::ByName;
use crate::broker::exchange::Exchange;
use crate::broker::exchange::binding::Destination;
use crate::broker::key::{Arena, ExchangeKey, QueueKey, VhostKey};
use crate::broker::topology::parameters::Parameters;
use crate::broker::topology::vhost::Vhost;

/// All vhosts and exchanges.
#[derive(Debug, Default)]
pub struct Topology {
    vhosts: Arena<VhostKey, Vhost>,
    vhost_names: ByName<Name, VhostKey>,
    global_parameters: Parameters,
    exchanges: Arena<ExchangeKey, Exchange>,
    /// How many vhosts are traced.
    traced: usize,
    /// Grows with every change that may change a route or a permission.
    version: u64,
    /// Scratch lists, kept for their memory.
    destinations: Vec<Destination>,
    visited: Vec<ExchangeKey>,
    /// Which exchanges the present message has been to: those with this number.
    visit: u64,
    /// Those in which something happened that is to be sampled.
    counted: counting::Counted,
}

impl Topology {
    /// Changes whenever a remembered route or permission may be wrong.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A remembered route or permission may be wrong from now on.
    pub(in crate::broker) fn changed(&mut self) {
        self.version += 1;
    }

    /// A vhost by its name; one that was deleted is found no more.
    pub fn vhost_named(&self, name: &[u8]) -> Option<VhostKey> {
        let key = self.vhost_names.get(name).copied();
        key.filter(|&key| self.vhosts.get(key).is_some_and(|vhost| !vhost.leaving))
    }

    /// Whether a vhost of this name was deleted, and something of it is still to go.
    pub fn is_vhost_leaving(&self, name: &[u8]) -> bool {
        self.vhost_names.contains_key(name) && self.vhost_named(name).is_none()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.vhost_names.is_empty()
    }

    /// A vhost, if it is still there.
    pub fn vhost(&self, key: VhostKey) -> Option<&Vhost> {
        self.vhosts.get(key)
    }

    /// Whether any vhost is traced.
    #[inline]
    pub fn traces(&self) -> bool {
        self.traced > 0
    }

    /// Whether this one is.
    pub fn is_traced(&self, key: VhostKey) -> bool {
        self.vhosts.get(key).is_some_and(|vhost| vhost.settings.tracing)
    }

    /// What is in the place of this number, for a walk over all vhosts in several turns.
    pub fn vhost_at(&self, place: u32) -> Option<(VhostKey, &Vhost)> {
        self.vhosts.at(place)
    }

    /// All vhosts are in places with lower numbers than this.
    pub fn vhost_places(&self) -> u32 {
        self.vhosts.places()
    }

    /// What is in the place of this number, for a walk over all exchanges in several turns.
    pub fn exchange_at(&self, place: u32) -> Option<(ExchangeKey, &Exchange)> {
        self.exchanges.at(place)
    }

    /// All exchanges are in places with lower numbers than this.
    pub fn exchange_places(&self) -> u32 {
        self.exchanges.places()
    }

    /// How many exchanges there are.
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// A vhost's name; empty when it is gone.
    pub fn vhost_name(&self, key: VhostKey) -> Name {
        self.vhosts.get(key).map_or_else(|| Name::from(""), |vhost| vhost.name.clone())
    }

    /// An exchange, if it is still there.
    #[inline]
    pub fn exchange(&self, key: ExchangeKey) -> Option<&Exchange> {
        self.exchanges.get(key)
    }

    /// The same, to change what it remembers.
    #[inline]
    pub(in crate::broker) fn exchange_mut(&mut self, key: ExchangeKey) -> Option<&mut Exchange> {
        self.exchanges.get_mut(key)
    }

    /// All exchanges, in no order that means anything.
    pub fn exchanges(&self) -> impl Iterator<Item = (ExchangeKey, &Exchange)> {
        self.exchanges.iter()
    }

    /// An exchange of a vhost by its name.
    #[inline]
    pub fn exchange_named(&self, vhost: VhostKey, name: &[u8]) -> Option<ExchangeKey> {
        self.vhosts.get(vhost)?.exchanges.get(name).copied()
    }

    /// A queue of a vhost by its name. Those of direct replies, which only messages reach, are
    /// none.
    pub fn queue_named(&self, vhost: VhostKey, name: &[u8]) -> Option<QueueKey> {
        self.vhosts.get(vhost)?.queues.get(name).copied()
    }

    /// A queue of direct replies by the name that answers are sent to.
    pub fn reply_queue_named(&self, vhost: VhostKey, name: &[u8]) -> Option<QueueKey> {
        self.vhosts.get(vhost)?.reply_queues.get(name).copied()
    }

    /// Takes the name of a new queue in.
    pub(in crate::broker) fn add_queue(
        &mut self,
        vhost: VhostKey,
        name: Name,
        queue: QueueKey,
        is_reply_queue: bool,
    ) {
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            let names = if is_reply_queue { &mut vhost.reply_queues } else { &mut vhost.queues };
            names.insert(name, queue);
        }
        self.changed();
    }

    /// A queue is gone: its name is free.
    pub(in crate::broker) fn remove_queue(
        &mut self,
        vhost: VhostKey,
        name: &[u8],
        is_reply_queue: bool,
    ) {
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            let names = if is_reply_queue { &mut vhost.reply_queues } else { &mut vhost.queues };
            names.remove(name);
        }
        self.changed();
    }
}
