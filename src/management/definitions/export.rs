//! How does the node write down everything that it was told to have?
//!
//! In pieces: what comes and goes meanwhile is in the file or not.

use serde_json::{Map, Value, json};

use super::{parameters, permissions, policies, topology, users, vhosts};
use crate::amqp::Name;
use crate::broker::{Broker, Vhost, VhostKey};
use crate::management::call::{Context, PIECE_BYTES_MAX, Progress, Work};
use crate::management::json;

/// A file of definitions that is being written.
pub struct Export {
    /// As whose content a browser keeps it, if as a file's.
    file_name: Option<String>,
    /// All of the node, or one vhost.
    vhost: Option<VhostKey>,
    sections: &'static [Section],
    /// How far the present section is.
    cursor: Cursor,
    /// The file has begun, and so has the present section.
    has_begun: bool,
    has_items: bool,
}

/// What a file has in one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Users,
    Vhosts,
    Permissions,
    TopicPermissions,
    Parameters,
    GlobalParameters,
    Policies,
    Queues,
    Exchanges,
    Bindings,
}

const WHOLE: &[Section] = &[
    Section::Users,
    Section::Vhosts,
    Section::Permissions,
    Section::TopicPermissions,
    Section::Parameters,
    Section::GlobalParameters,
    Section::Policies,
    Section::Queues,
    Section::Exchanges,
    Section::Bindings,
];

const OF_VHOST: &[Section] = &[
    Section::Parameters,
    Section::Policies,
    Section::Queues,
    Section::Exchanges,
    Section::Bindings,
];

/// Where a walk over many things is.
#[derive(Debug, Default)]
struct Cursor {
    /// The last user.
    user: Option<Name>,
    /// The next place.
    place: u32,
    /// The next place among the bindings of the vhost in that place.
    inner: u32,
}

/// What it costs to look at a place, and to show what is in it.
const WORK_PER_PLACE: usize = 1;
const WORK_PER_ITEM: usize = 40;

impl Export {
    /// Of the whole node, or of one vhost; a browser is to keep it as a file of this name, if there
    /// is one.
    pub fn new(vhost: Option<VhostKey>, file_name: Option<&str>) -> Self {
        let sections = if vhost.is_some() { OF_VHOST } else { WHOLE };
        let (has_begun, has_items) = (false, false);
        let (cursor, file_name) = (Cursor::default(), file_name.map(str::to_owned));
        Self { file_name, vhost, sections, cursor, has_begun, has_items }
    }

    fn begin(&mut self, context: &Context<'_>, piece: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let identity = context.node.identity();
        let version = Value::from(identity.product_version.as_str());
        let product = Value::from(identity.product_name.as_str());
        let mut head = format!("{{\"rabbit_version\":{version}");
        if self.vhost.is_none() {
            head.push_str(&format!(
                ",\"rabbitmq_version\":{version},\"product_name\":{product},\
                 \"product_version\":{version}"
            ));
        }
        piece.extend_from_slice(head.as_bytes());
        self.begin_section(piece);
    }

    fn begin_section(&mut self, piece: &mut Vec<u8>) {
        if let Some(section) = self.sections.first() {
            piece.extend_from_slice(format!(",\"{}\":[", section.name()).as_bytes());
        }
        self.cursor = Cursor::default();
        self.has_items = false;
    }

    /// The vhosts that are written down.
    fn takes(&self, key: VhostKey, vhost: &Vhost) -> bool {
        !vhost.leaving && self.vhost.is_none_or(|wanted| wanted == key)
    }

    /// Appends what is in the next place of the section to `items`; `false`: there are no more.
    fn next(&mut self, broker: &Broker, items: &mut Vec<Value>) -> bool {
        let Some(section) = self.sections.first() else {
            return false;
        };
        match section {
            Section::Users => self.next_user(broker, |user| vec![users::show(user)], items),
            Section::Permissions => {
                let of_user = |user: &crate::broker::User| {
                    let all = user.permissions();
                    all.map(|(vhost, it)| permissions::show(&user.name, vhost, it)).collect()
                };
                self.next_user(broker, of_user, items)
            }
            Section::TopicPermissions => {
                let of_user = |user: &crate::broker::User| {
                    let all = user.topic_permissions();
                    all.map(|(vhost, exchange, it)| {
                        permissions::show_topic(&user.name, vhost, exchange, it)
                    })
                    .collect()
                };
                self.next_user(broker, of_user, items)
            }
            Section::Vhosts => self.next_vhost(broker, |vhost| vec![vhosts::export(vhost)], items),
            Section::Parameters => self.next_vhost(broker, parameters::all_of, items),
            Section::Policies => {
                let of_vhost =
                    |vhost: &Vhost| vhost.policies.list(false).iter().map(policies::show).collect();
                self.next_vhost(broker, of_vhost, items)
            }
            Section::GlobalParameters => {
                let all = broker.topology().global_parameters().iter();
                items.extend(all.map(|(name, value)| parameters::show_global(name, value)));
                false
            }
            Section::Queues => self.next_queue(broker, items),
            Section::Exchanges => self.next_exchange(broker, items),
            Section::Bindings => self.next_binding(broker, items),
        }
    }

    fn next_user(
        &mut self,
        broker: &Broker,
        show: impl Fn(&crate::broker::User) -> Vec<Value>,
        items: &mut Vec<Value>,
    ) -> bool {
        let Some(user) = broker.users().after(self.cursor.user.as_ref()) else {
            return false;
        };
        self.cursor.user = Some(user.name.clone());
        items.extend(show(user));
        true
    }

    fn next_vhost(
        &mut self,
        broker: &Broker,
        show: impl Fn(&Vhost) -> Vec<Value>,
        items: &mut Vec<Value>,
    ) -> bool {
        let topology = broker.topology();
        if self.cursor.place >= topology.vhost_places() {
            return false;
        }
        let found = topology.vhost_at(self.cursor.place);
        self.cursor.place += 1;
        if let Some((_, vhost)) = found.filter(|(key, vhost)| self.takes(*key, vhost)) {
            items.extend(show(vhost));
        }
        true
    }

    fn next_queue(&mut self, broker: &Broker, items: &mut Vec<Value>) -> bool {
        if self.cursor.place >= broker.queues().places() {
            return false;
        }
        let found = broker.queues().at(self.cursor.place);
        self.cursor.place += 1;
        if let Some((key, queue)) = found
            && !broker.queues().is_leaving(key)
            && let Some(fields) = topology::export_queue(queue)
        {
            items.extend(self.placed(broker, queue.vhost, fields));
        }
        true
    }

    fn next_exchange(&mut self, broker: &Broker, items: &mut Vec<Value>) -> bool {
        if self.cursor.place >= broker.topology().exchange_places() {
            return false;
        }
        let found = broker.topology().exchange_at(self.cursor.place);
        self.cursor.place += 1;
        if let Some((_, exchange)) = found
            && let Some(fields) = topology::export_exchange(exchange)
        {
            items.extend(self.placed(broker, exchange.vhost, fields));
        }
        true
    }

    fn next_binding(&mut self, broker: &Broker, items: &mut Vec<Value>) -> bool {
        let topology = broker.topology();
        if self.cursor.place >= topology.vhost_places() {
            return false;
        }
        let found = topology.vhost_at(self.cursor.place);
        let found = found.filter(|(key, vhost)| self.takes(*key, vhost));
        match found {
            Some((key, vhost)) if self.cursor.inner < vhost.bindings.places() => {
                let binding = vhost.bindings.at(self.cursor.inner);
                self.cursor.inner += 1;
                let fields = binding.and_then(|it| topology::export_binding(broker, it));
                items.extend(fields.and_then(|fields| self.placed(broker, key, fields)));
            }
            Some(_) | None => {
                self.cursor.place += 1;
                self.cursor.inner = 0;
            }
        }
        true
    }

    /// With its vhost, where the file is of all of them.
    fn placed(
        &self,
        broker: &Broker,
        key: VhostKey,
        mut fields: Map<String, Value>,
    ) -> Option<Value> {
        let vhost = broker.topology().vhost(key).filter(|vhost| self.takes(key, vhost))?;
        if self.vhost.is_none() {
            fields.insert("vhost".to_owned(), json::text(&vhost.name));
        }
        Some(Value::Object(fields))
    }
}

/// Has a browser keep what it gets under this name (RFC 6266).
fn attachment(name: &str) -> (&'static str, String) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    let name = match !name.is_empty() && name.bytes().all(is_token) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    ("content-disposition", format!("attachment; filename={name}"))
}

impl Work for Export {
    fn header(&self) -> Option<(&'static str, String)> {
        self.file_name.as_deref().map(attachment)
    }

    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        self.begin(context, piece);
        let mut items = Vec::new();
        while !context.broker.work.is_done() && piece.len() < PIECE_BYTES_MAX {
            if self.sections.is_empty() {
                piece.push(b'}');
                return Progress::Finished;
            }
            let has_more = self.next(context.broker, &mut items);
            context.broker.work.spend(WORK_PER_PLACE + items.len() * WORK_PER_ITEM);
            for item in items.drain(..) {
                if std::mem::replace(&mut self.has_items, true) {
                    piece.push(b',');
                }
                let text = json!(item).to_string();
                context.broker.work.spend_bytes(text.len() as u64);
                piece.extend_from_slice(text.as_bytes());
            }
            if !has_more {
                piece.push(b']');
                self.sections = &self.sections[1..];
                self.begin_section(piece);
            }
        }
        Progress::Unfinished
    }
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Vhosts => "vhosts",
            Self::Permissions => "permissions",
            Self::TopicPermissions => "topic_permissions",
            Self::Parameters => "parameters",
            Self::GlobalParameters => "global_parameters",
            Self::Policies => "policies",
            Self::Queues => "queues",
            Self::Exchanges => "exchanges",
            Self::Bindings => "bindings",
        }
    }
}
