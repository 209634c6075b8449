//! What would a file of definitions change? Nothing changes while that is found out.
//!
//! Every object is read and checked by what also does it when it is taken in, against what the
//! broker has and what the objects before it in the file would have made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::item::{In, Item};
use super::{Wrong, fields, parameters, permissions, policies, topology, users, vhosts};
use crate::amqp::{Name, Table};
use crate::broker::arguments::definition::InvalidPolicy;
use crate::broker::arguments::policy::Policy;
use crate::broker::exchange::binding::{Binding, Destination, sorted_arguments};
use crate::broker::exchange::matcher::Matcher;
use crate::broker::requests::bindings::{BindRequest, DestinationName};
use crate::broker::requests::queues::check_queue_limit;
use crate::broker::topology::exchanges::{PREDECLARED, no_exchange, no_queue};
use crate::broker::topology::parameters::Scope;
use crate::broker::users::user::Permissions;
use crate::broker::{Broker, ExchangeKind, User, VhostKey, VhostSettings};

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// There is none of its name.
    Added,
    /// There is one that says something else.
    Changed,
    /// What is there stays as it is.
    Unchanged,
}

impl Effect {
    fn of<T: PartialEq>(before: Option<&T>, after: &T) -> Self {
        match before {
            None => Self::Added,
            Some(before) if before == after => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What the file would have made so far, beyond what the broker has.
#[derive(Default)]
pub struct Plan {
    users: BTreeMap<Name, User>,
    vhosts: BTreeMap<Name, VhostSettings>,
    /// By vhost and component, both of which are empty for the node's, and name.
    parameters: BTreeMap<(Name, Name, Name), String>,
    /// By vhost, sort and name.
    policies: BTreeMap<(Name, bool, Name), Policy>,
    /// By vhost and name: how they match, and whether they last.
    exchanges: BTreeMap<(Name, Name), (Matcher, bool)>,
    /// By vhost, then name: whether they last.
    queues: BTreeMap<Name, BTreeMap<Name, bool>>,
    bindings: BTreeSet<(Name, BindingNames)>,
}

/// What it costs to forget an object.
const WORK_PER_FORGOTTEN: usize = 5;

/// Source, destination, whether that is a queue, key and arguments.
type BindingNames = (Name, Name, bool, Name, Box<[u8]>);

impl Plan {
    /// What becomes of the file's next object.
    ///
    /// # Errors
    /// Why it would be refused, in the same words as when it is.
    pub fn look(&mut self, broker: &mut Broker, item: Item<'_>) -> Result<Effect, Wrong> {
        match item {
            Item::Vhost(name, body) => self.vhost(broker, name, body),
            Item::User(name, body) => {
                let found = self.user(broker, &name).cloned();
                let user = users::changed(found.clone(), name, body)?;
                self.put_user(broker, found.as_ref(), user)
            }
            Item::Permissions(of) => self.permissions(broker, of),
            Item::TopicPermissions(of) => self.topic_permissions(broker, of),
            Item::Parameter(vhost, component, name, value) => {
                self.parameter(broker, vhost, component, name, value)
            }
            Item::GlobalParameter(name, value) => {
                let text = parameters::read_global(broker, &name, value)?;
                let before = broker.topology().parameter(Scope::Global, &name);
                let key = (Name::from(""), Name::from(""), name);
                Ok(keep(&mut self.parameters, key, before.map(str::to_owned), text))
            }
            Item::Policy(In { vhost, name, body }) => self.policy(broker, false, vhost, name, body),
            Item::Exchange(vhost, body) => self.exchange(broker, vhost, body),
            Item::Queue(vhost, body) => self.queue(broker, vhost, body),
            Item::Binding(vhost, body) => self.binding(broker, &vhost, body),
            Item::Other => Ok(Effect::Unchanged),
        }
    }

    /// Forgets all of it, as far as this step allows; `false`: there is more.
    pub fn forget(&mut self, broker: &mut Broker) -> bool {
        while !broker.work.is_done() {
            broker.work.spend(WORK_PER_FORGOTTEN);
            if self.bindings.pop_first().is_some()
                || self.exchanges.pop_first().is_some()
                || self.policies.pop_first().is_some()
                || self.parameters.pop_first().is_some()
                || self.users.pop_first().is_some()
                || self.vhosts.pop_first().is_some()
            {
                continue;
            }
            let Some(mut of_vhost) = self.queues.first_entry() else {
                return true;
            };
            if of_vhost.get_mut().pop_first().is_none() {
                of_vhost.remove();
            }
        }
        false
    }

    fn vhost(
        &mut self,
        broker: &Broker,
        name: Name,
        body: &fields::Fields,
    ) -> Result<Effect, Wrong> {
        let found = self.settings(broker, &name);
        let settings = vhosts::changed(broker, &name, found.clone().unwrap_or_default(), body)?;
        if found.is_none() {
            let of_notices = broker.exchanges_of_notices(&name);
            let of_notices = of_notices.map(|exchange| (exchange, ExchangeKind::Topic));
            let of_all = PREDECLARED.map(|(exchange, kind, _)| (exchange, kind));
            for (exchange, kind) in of_all.into_iter().chain(of_notices) {
                let matcher = Matcher::new(kind, Table::EMPTY, 0).map_err(|error| error.text)?;
                let key = (name.clone(), Name::from(exchange));
                self.exchanges.insert(key, (matcher, true));
            }
        }
        let effect = Effect::of(found.as_ref(), &settings);
        self.vhosts.insert(name, settings);
        Ok(effect)
    }

    fn permissions(&mut self, broker: &mut Broker, of: In<'_>) -> Result<Effect, Wrong> {
        let permissions = permissions::read(of.body)?;
        let before = self.user_in(broker, &of)?;
        let was = before.permissions_in(&of.vhost).cloned();
        let mut user = before.clone();
        user.set_permissions(of.vhost, permissions.clone());
        self.put_user(broker, None, user)?;
        Ok(Effect::of::<Permissions>(was.as_ref(), &permissions))
    }

    fn topic_permissions(&mut self, broker: &mut Broker, of: In<'_>) -> Result<Effect, Wrong> {
        let (exchange, write, read) = permissions::read_topic(of.body)?;
        let before = self.user_in(broker, &of)?;
        let mut user = before.clone();
        let is_new = user.set_topic_permissions(of.vhost, exchange, write, read);
        let effect = self.put_user(broker, Some(&before), user)?;
        Ok(if is_new { Effect::Added } else { effect })
    }

    fn parameter(
        &mut self,
        broker: &Broker,
        vhost: Name,
        component: Name,
        name: Name,
        value: &Value,
    ) -> Result<Effect, Wrong> {
        let none = fields::Fields::new();
        let body = value.as_object().unwrap_or(&none);
        let is_operators = &*component == parameters::OPERATOR_POLICY.as_bytes();
        if is_operators || &*component == parameters::POLICY.as_bytes() {
            return self.policy(broker, is_operators, vhost, name, body);
        }
        let before =
            self.settings(broker, &vhost).ok_or_else(|| parameters::NO_VHOST.to_owned())?;
        if &*component == parameters::LIMITS.as_bytes() {
            let mut settings = before.clone();
            parameters::change_limits(&mut settings, &name, value)?;
            let had_none = before.connections_max.or(before.queues_max).is_none();
            let effect = Effect::of(Some(&before), &settings);
            self.vhosts.insert(vhost, settings);
            return Ok(match effect {
                Effect::Changed if had_none => Effect::Added,
                Effect::Added | Effect::Changed | Effect::Unchanged => effect,
            });
        }
        let text = parameters::checked(broker, &component, value)?;
        let before = self.key(broker, &vhost).and_then(|key| {
            broker.topology().parameter(Scope::Vhost(key, &component), &name).map(str::to_owned)
        });
        Ok(keep(&mut self.parameters, (vhost, component, name), before, text))
    }

    fn policy(
        &mut self,
        broker: &Broker,
        operator: bool,
        vhost: Name,
        name: Name,
        body: &fields::Fields,
    ) -> Result<Effect, Wrong> {
        let policy = policies::read(broker, operator, &vhost, name.clone(), body)?;
        if self.settings(broker, &vhost).is_none() {
            return Err(InvalidPolicy::no_vhost(&vhost).to_string());
        }
        let found = self.key(broker, &vhost).and_then(|key| broker.topology().vhost(key));
        let before = found.and_then(|vhost| vhost.policies.find(operator, &name)).cloned();
        Ok(keep(&mut self.policies, (vhost, operator, name), before, policy))
    }

    fn exchange(
        &mut self,
        broker: &Broker,
        vhost: Name,
        body: &fields::Fields,
    ) -> Result<Effect, Wrong> {
        self.existing_vhost(broker, &vhost)?;
        let (name, exchange) = topology::read_exchange(body)?;
        let traits = exchange.traits();
        ExchangeKind::parse(traits.kind).map_err(|error| error.text)?;
        if self.is_durable_exchange(broker, &vhost, &name).is_some() {
            return Ok(Effect::Unchanged);
        }
        let matcher =
            broker.check_new_exchange(&vhost, &name, &traits).map_err(|error| error.text)?;
        self.exchanges.insert((vhost, name), (matcher, traits.durable));
        Ok(Effect::Added)
    }

    fn queue(
        &mut self,
        broker: &Broker,
        vhost: Name,
        body: &fields::Fields,
    ) -> Result<Effect, Wrong> {
        let settings = self.existing_vhost(broker, &vhost)?;
        let (name, queue) = topology::read_queue(body)?;
        if self.is_durable_queue(broker, &vhost, &name).is_some() {
            return Ok(Effect::Unchanged);
        }
        let there = self.key(broker, &vhost).and_then(|key| broker.topology().vhost(key));
        let new = self.queues.get(&vhost).map_or(0, BTreeMap::len);
        let count = there.map_or(0, |vhost| vhost.queues.len()) + new;
        check_queue_limit(&vhost, settings.queues_max, count, &name)
            .and_then(|()| broker.check_new_queue(&vhost, &name, &queue.traits()))
            .map_err(|error| error.text)?;
        let durable = queue.traits().durable;
        self.queues.entry(vhost).or_default().insert(name, durable);
        Ok(Effect::Added)
    }

    fn binding(
        &mut self,
        broker: &Broker,
        vhost: &Name,
        body: &fields::Fields,
    ) -> Result<Effect, Wrong> {
        self.existing_vhost(broker, vhost)?;
        let binding = topology::read_binding(body)?;
        let request = binding.request();
        let (durable, is_to_queue, destination) = self.ends(broker, vhost, &request)?;
        let there = self.key(broker, vhost).and_then(|key| {
            let source = broker.topology().exchange_named(key, request.source)?;
            Some((key, source, broker.topology().exchange(source)?))
        });
        let new = self.exchanges.get(&(vhost.clone(), Name::from(request.source)));
        let matcher = there.map(|(_, _, it)| &it.matcher).or(new.map(|(matcher, _)| matcher));
        let (key, arguments) = (Name::from(request.routing_key), request.arguments);
        if let Some(matcher) = matcher {
            matcher.check(&key, arguments).map_err(|error| error.text)?;
        }
        if let Some((vhost, source, _)) = there
            && let Some(to) = destination_named(broker, vhost, &request)
            && broker.topology().is_bound(vhost, &Binding::new(source, to, key.clone(), arguments))
        {
            return Ok(Effect::Unchanged);
        }
        let arguments_sorted = sorted_arguments(arguments);
        let names = (Name::from(request.source), destination, is_to_queue, key, arguments_sorted);
        if self.bindings.contains(&(vhost.clone(), names.clone())) {
            return Ok(Effect::Unchanged);
        }
        if durable {
            broker.check_durable_binding(arguments).map_err(|error| error.text)?;
        }
        self.bindings.insert((vhost.clone(), names));
        Ok(Effect::Added)
    }

    /// Whether both ends of a binding last, whether it leads to a queue, and the name there.
    fn ends(
        &self,
        broker: &Broker,
        vhost: &Name,
        request: &BindRequest<'_>,
    ) -> Result<(bool, bool, Name), Wrong> {
        let exchange = |name: &[u8]| {
            let found = self.is_durable_exchange(broker, vhost, &Name::from(name));
            found.ok_or_else(|| no_exchange(vhost, name).text)
        };
        let source = exchange(request.source)?;
        Ok(match request.destination {
            DestinationName::Queue(name) => {
                let name = Name::from(name);
                let found = self.is_durable_queue(broker, vhost, &name);
                let durable = found.ok_or_else(|| no_queue(vhost, &name).text)?;
                (source && durable, true, name)
            }
            DestinationName::Exchange(name) => (source && exchange(name)?, false, Name::from(name)),
        })
    }

    /// A user as the file would have left it so far.
    fn user<'a>(&'a self, broker: &'a Broker, name: &Name) -> Option<&'a User> {
        self.users.get(name).or_else(|| broker.users().find(name))
    }

    fn user_in(&self, broker: &Broker, of: &In<'_>) -> Result<User, Wrong> {
        let has_vhost = self.settings(broker, &of.vhost).is_some();
        let user = self.user(broker, &of.name).filter(|_| has_vhost);
        user.cloned().ok_or_else(|| permissions::NOT_FOUND.to_owned())
    }

    fn put_user(
        &mut self,
        broker: &mut Broker,
        before: Option<&User>,
        user: User,
    ) -> Result<Effect, Wrong> {
        users::check_length(broker, &user)?;
        let effect = Effect::of(before, &user);
        self.users.insert(user.name.clone(), user);
        Ok(effect)
    }

    fn key(&self, broker: &Broker, vhost: &Name) -> Option<VhostKey> {
        broker.topology().vhost_named(vhost)
    }

    fn settings(&self, broker: &Broker, vhost: &Name) -> Option<VhostSettings> {
        let there = || broker.topology().vhost(self.key(broker, vhost)?);
        let new = self.vhosts.get(vhost).cloned();
        new.or_else(|| there().map(|vhost| vhost.settings.clone()))
    }

    fn existing_vhost(&self, broker: &Broker, vhost: &Name) -> Result<VhostSettings, Wrong> {
        self.settings(broker, vhost).ok_or_else(|| super::no_vhost(vhost))
    }

    /// Whether the exchange lasts; `None`: there is none.
    fn is_durable_exchange(&self, broker: &Broker, vhost: &Name, name: &Name) -> Option<bool> {
        let topology = broker.topology();
        let there = self.key(broker, vhost).and_then(|key| topology.exchange_named(key, name));
        let there = there.and_then(|key| topology.exchange(key)).map(|exchange| exchange.durable);
        let key = (vhost.clone(), name.clone());
        there.or_else(|| self.exchanges.get(&key).map(|(_, durable)| *durable))
    }

    /// Whether the queue lasts; `None`: there is none. One that is leaving makes room for another.
    fn is_durable_queue(&self, broker: &Broker, vhost: &Name, name: &Name) -> Option<bool> {
        let (topology, queues) = (broker.topology(), broker.queues());
        let there = self.key(broker, vhost).and_then(|key| topology.queue_named(key, name));
        let there = there.filter(|&key| !queues.is_leaving(key)).and_then(|key| queues.get(key));
        let new = || self.queues.get(vhost).and_then(|of_vhost| of_vhost.get(name)).copied();
        there.map(|queue| queue.is_durable()).or_else(new)
    }
}

/// Keeps what the file says under a key; what that does to what the broker has, or to what stands
/// further up in the file.
fn keep<K: Ord, V: PartialEq>(
    kept: &mut BTreeMap<K, V>,
    key: K,
    there: Option<V>,
    value: V,
) -> Effect {
    let effect = Effect::of(kept.get(&key).or(there.as_ref()), &value);
    kept.insert(key, value);
    effect
}

fn destination_named(
    broker: &Broker,
    vhost: VhostKey,
    request: &BindRequest<'_>,
) -> Option<Destination> {
    let topology = broker.topology();
    Some(match request.destination {
        DestinationName::Queue(name) => Destination::Queue(topology.queue_named(vhost, name)?),
        DestinationName::Exchange(name) => {
            Destination::Exchange(topology.exchange_named(vhost, name)?)
        }
    })
}
