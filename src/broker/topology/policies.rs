//! Which policies are there, and what do they make of a queue or an exchange?

use crate::amqp::{Name, Table};
use crate::broker::arguments::effective::{EffectiveArguments, alternate_exchange};
use crate::broker::arguments::policy::{Matched, Policy, Target};
use crate::broker::exchange::Exchange;
use crate::broker::key::{ExchangeKey, VhostKey};
use crate::broker::queue::Queue;
use crate::broker::topology::Topology;

impl Topology {
    /// Takes a policy in, or another one of its name's place.
    pub(in crate::broker) fn put_policy(&mut self, vhost: VhostKey, policy: Policy) {
        if let Some(vhost) = self.vhosts.get_mut(vhost) {
            vhost.policies.put(policy);
        }
    }

    /// Takes a policy (or operator policy) out; `false` when there was none of this name.
    pub(in crate::broker) fn remove_policy(
        &mut self,
        vhost: VhostKey,
        operator: bool,
        name: &Name,
    ) -> bool {
        let vhost = self.vhosts.get_mut(vhost);
        vhost.is_some_and(|vhost| vhost.policies.remove(operator, name).is_some())
    }

    /// What it may cost to find which policies of a vhost hold for something in it, in units of
    /// the broker's work.
    pub fn work_of_policies(&self, vhost: VhostKey) -> usize {
        self.vhosts.get(vhost).map_or(0, |vhost| vhost.policies.work())
    }

    /// The policies that hold for a queue; for one of direct replies, none.
    pub fn policies_of(&self, queue: &Queue) -> Matched<'_> {
        match self.vhosts.get(queue.vhost).filter(|_| !queue.is_reply_queue) {
            Some(vhost) => vhost.policies.matching(Target::Queue(queue.settings.kind), &queue.name),
            None => Matched::default(),
        }
    }

    /// The policies that hold for an exchange; for the default exchange, none.
    pub fn policies_of_exchange(&self, exchange: &Exchange) -> Matched<'_> {
        match self.vhosts.get(exchange.vhost).filter(|_| !exchange.name.is_empty()) {
            Some(vhost) => vhost.policies.matching(Target::Exchange, &exchange.name),
            None => Matched::default(),
        }
    }

    /// What its arguments and policies make of a queue; one of direct replies follows no policy.
    pub(in crate::broker) fn settings_of(&self, queue: &Queue) -> EffectiveArguments {
        let arguments = queue.declaration.table();
        let definition = self.policies_of(queue).definition();
        EffectiveArguments::of_queue(arguments, definition.table())
    }

    /// The alternate of an exchange of this name and these arguments. The default exchange has
    /// none, whatever policies match its empty name.
    pub(in crate::broker) fn alternate_for(
        &self,
        vhost: VhostKey,
        name: &Name,
        arguments: Table<'_>,
    ) -> Option<Name> {
        if name.is_empty() {
            return None;
        }
        let vhost = self.vhosts.get(vhost)?;
        let definition = vhost.policies.matching(Target::Exchange, name).definition();
        alternate_exchange(arguments, definition.table())
    }

    /// The policies changed: so may the alternates of all exchanges.
    pub(in crate::broker) fn apply_to_exchanges(&mut self) {
        let all: Vec<_> = self.exchanges.iter().map(|(key, _)| key).collect();
        for key in all {
            self.apply_to_exchange(key);
        }
    }

    /// The same for one of them.
    pub(in crate::broker) fn apply_to_exchange(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let arguments = Table::new(&exchange.arguments).unwrap_or(Table::EMPTY);
        let alternate = self.alternate_for(exchange.vhost, &exchange.name, arguments);
        if let Some(exchange) = self.exchanges.get_mut(key)
            && exchange.alternate != alternate
        {
            exchange.alternate = alternate;
            self.changed();
        }
    }
}
