//! How is a list of small things answered that users or vhosts have several of each?
//!
//! What one user or vhost has is shown at once and kept until it was listed.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;

use crate::amqp::Name;
use crate::broker::{User, Vhost, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::Context;
use crate::management::list::{Field, Next, Source};

/// A list of what users or vhosts have.
pub struct Walk {
    over: Over,
    found: VecDeque<Rc<Value>>,
}

/// Shows all that one of them has.
type Show<T> = Box<dyn Fn(&T) -> Vec<Value>>;

enum Over {
    /// All users, behind the last one that was looked at.
    Users(Option<Name>, Show<User>),
    /// The vhosts from this place on that the caller sees.
    Vhosts(u32, Caller, Show<Vhost>),
    /// One user, by name, until it was looked at.
    User(Option<Name>, Show<User>),
    /// One vhost.
    Vhost(Option<VhostKey>, Show<Vhost>),
    /// What is listed was there from the start.
    Nothing,
}

impl Walk {
    /// What all users have.
    pub fn users(show: impl Fn(&User) -> Vec<Value> + 'static) -> Self {
        Self::over(Over::Users(None, Box::new(show)))
    }

    /// What one user has.
    pub fn user(name: Name, show: impl Fn(&User) -> Vec<Value> + 'static) -> Self {
        Self::over(Over::User(Some(name), Box::new(show)))
    }

    /// What all vhosts have that the caller sees.
    pub fn vhosts(caller: &Caller, show: impl Fn(&Vhost) -> Vec<Value> + 'static) -> Self {
        Self::over(Over::Vhosts(0, caller.clone(), Box::new(show)))
    }

    /// What one vhost has.
    pub fn vhost(key: VhostKey, show: impl Fn(&Vhost) -> Vec<Value> + 'static) -> Self {
        Self::over(Over::Vhost(Some(key), Box::new(show)))
    }

    /// These.
    pub fn of(values: Vec<Value>) -> Self {
        let found = values.into_iter().map(Rc::new).collect();
        Self { over: Over::Nothing, found }
    }

    fn over(over: Over) -> Self {
        Self { over, found: VecDeque::new() }
    }

    /// Looks at the next one; `None`: there are no more.
    fn look(&mut self, context: &Context<'_>) -> Option<Vec<Value>> {
        let (users, topology) = (context.broker.users(), context.broker.topology());
        match &mut self.over {
            Over::Users(last, show) => {
                let user = users.after(last.as_ref())?;
                *last = Some(user.name.clone());
                Some(show(user))
            }
            Over::User(name, show) => Some(show(users.find(&name.take()?)?)),
            Over::Vhosts(place, caller, show) => {
                if *place >= topology.vhost_places() {
                    return None;
                }
                let found = topology.vhost_at(*place);
                *place += 1;
                let is_seen = |vhost: &&Vhost| !vhost.leaving && caller.sees(users, &vhost.name);
                let vhost = found.map(|(_, vhost)| vhost).filter(is_seen);
                Some(vhost.map(show).unwrap_or_default())
            }
            Over::Nothing => None,
            Over::Vhost(key, show) => Some(show(topology.vhost(key.take()?)?)),
        }
    }
}

impl Source for Walk {
    type Key = Rc<Value>;

    const WORK_PER_ITEM: usize = 30;

    fn next(&mut self, context: &Context<'_>) -> Next<Rc<Value>> {
        if self.found.is_empty() {
            match self.look(context) {
                Some(values) => self.found.extend(values.into_iter().map(Rc::new)),
                None => return Next::End,
            }
        }
        self.found.pop_front().map_or(Next::Nothing, Next::Item)
    }

    fn place(&self, _: &Context<'_>, value: &Rc<Value>) -> Option<(Name, Name)> {
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        let name = text("name").or(text("user")).unwrap_or_default();
        Some((Name::from(text("vhost").unwrap_or_default()), Name::from(name)))
    }

    fn field(&self, _: &Context<'_>, _: &Rc<Value>, _: &str) -> Option<Field> {
        None
    }

    fn item(&self, _: &Context<'_>, value: &Rc<Value>) -> Option<Value> {
        Some(Value::clone(value))
    }
}
