//! Which object of a file is it, and what does it name?

use serde_json::{Map, Value};

use super::Wrong;
use super::fields::{self, Fields};
use crate::amqp::Name;

/// One object of a file, as far as its section tells.
pub enum Item<'a> {
    /// A virtual host.
    Vhost(Name, &'a Fields),
    /// A user.
    User(Name, &'a Fields),
    /// What a user may do in a vhost.
    Permissions(In<'a>),
    /// Which routing keys a user may use in a vhost.
    TopicPermissions(In<'a>),
    /// A parameter, limits or an operator policy: vhost, component, name and value.
    Parameter(Name, Name, Name, &'a Value),
    /// A parameter of the node.
    GlobalParameter(Name, &'a Value),
    /// A policy.
    Policy(In<'a>),
    /// An exchange; it and those below say their names themselves.
    Exchange(Name, &'a Fields),
    /// A queue.
    Queue(Name, &'a Fields),
    /// A binding.
    Binding(Name, &'a Fields),
    /// Nothing that is taken in.
    Other,
}

/// Something in a vhost that has a name or a user.
pub struct In<'a> {
    /// The vhost.
    pub vhost: Name,
    /// The user, or its own name.
    pub name: Name,
    /// All that is said of it.
    pub body: &'a Fields,
}

impl<'a> Item<'a> {
    /// Reads an object of a section, which stands in this vhost if the file is one's.
    ///
    /// # Errors
    /// What it has to say is missing.
    pub fn read(section: &str, vhost: Option<&Name>, body: &'a Fields) -> Result<Self, Wrong> {
        let vhost = || match vhost {
            Some(vhost) => Ok(vhost.clone()),
            None => fields::name(body, "vhost"),
        };
        let named = |field: &str| {
            let name = fields::name(body, field)?;
            Ok::<_, Wrong>(In { vhost: vhost()?, name, body })
        };
        let name = || fields::name(body, "name");
        let value = || {
            fields::require(body, &["value"])?;
            Ok::<_, Wrong>(&body["value"])
        };
        Ok(match section {
            "vhosts" => Self::Vhost(name()?, body),
            "users" => Self::User(name()?, body),
            "permissions" => Self::Permissions(named("user")?),
            "topic_permissions" => Self::TopicPermissions(named("user")?),
            "parameters" => {
                let component = fields::name(body, "component")?;
                Self::Parameter(vhost()?, component, name()?, value()?)
            }
            "global_parameters" => Self::GlobalParameter(name()?, value()?),
            "policies" => {
                let (vhost, name) = (vhost()?, name()?);
                Self::Policy(In { vhost, name, body })
            }
            "exchanges" => Self::Exchange(vhost()?, body),
            "queues" => Self::Queue(vhost()?, body),
            "bindings" => Self::Binding(vhost()?, body),
            _ => Self::Other,
        })
    }
}

/// What somebody knows an object by, without all that is said of it.
pub fn names(vhost: Option<&Name>, body: &Fields) -> Map<String, Value> {
    const FIELDS: [&str; 9] = [
        "vhost",
        "component",
        "name",
        "user",
        "exchange",
        "source",
        "destination",
        "destination_type",
        "routing_key",
    ];
    let said = FIELDS.into_iter().filter_map(|field| {
        let text = body.get(field)?.as_str()?;
        (text.len() <= fields::NAME_BYTES_MAX).then(|| (field.to_owned(), text.into()))
    });
    let mut names: Map<String, Value> = said.collect();
    if let Some(vhost) = vhost {
        names.insert("vhost".to_owned(), vhost.to_string().into());
    }
    names
}
