//! What is a vhost? Names of exchanges and queues, and the bindings between them; what operators
//! say of it.

use std::collections::BTreeMap;

use crate::amqp::{ArrayBuf, Name, Table, TableBuf, Value};
use crate::broker::arguments::QueueKind;
use crate::broker::arguments::policy::Policies;
use crate::broker::by_name::ByName;
use crate::broker::counters::VhostCounters;
use crate::broker::exchange::binding::BindingTable;
use crate::broker::key::{ExchangeKey, QueueKey};
use crate::broker::topology::parameters::Parameters;

/// A namespace of exchanges, queues and bindings; nothing crosses from one to another.
#[derive(Debug)]
pub struct Vhost {
    /// Its name, unique on the node.
    pub name: Name,
    /// What operators say of it.
    pub settings: VhostSettings,
    /// It was deleted, and what is in it goes by and by: nobody finds it any more.
    pub leaving: bool,
    /// Its exchanges by name; the default exchange has the empty name.
    pub exchanges: ByName<Name, ExchangeKey>,
    /// Its queues by name.
    pub queues: ByName<Name, QueueKey>,
    /// Those of direct replies by the names that answers are sent to: no queues to anyone else.
    pub reply_queues: ByName<Name, QueueKey>,
    /// Every binding but the implicit ones of the default exchange.
    pub bindings: BindingTable,
    /// Its policies and operator policies.
    pub policies: Policies,
    /// Its parameters by component and name.
    pub parameters: BTreeMap<Name, Parameters>,
    /// What happened on its channels and connections; nothing while nothing did.
    pub counters: Option<Box<VhostCounters>>,
}

/// What operators say of a vhost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VhostSettings {
    /// For people.
    pub description: String,
    /// The same.
    pub tags: Vec<String>,
    /// What queues become that are declared without a type.
    pub default_queue_type: Option<QueueKind>,
    /// Messages are traced: the firehose shows them.
    pub tracing: bool,
    /// Operators are refused who want to delete it.
    pub protected: bool,
    /// The most connections at a time (limit `max-connections`).
    pub connections_max: Option<u32>,
    /// The most queues (limit `max-queues`).
    pub queues_max: Option<u32>,
}

impl VhostSettings {
    /// The settings as a payload of the definitions log.
    pub(in crate::broker) fn encode(&self, leaving: bool) -> TableBuf {
        let mut table = TableBuf::new();
        table.put_str(b"description", &self.description);
        let mut tags = ArrayBuf::new();
        self.tags.iter().for_each(|tag| tags.push_str(tag));
        table.put(b"tags", Value::Array(tags.array()));
        if let Some(kind) = self.default_queue_type {
            table.put_str(b"default_queue_type", kind.name());
        }
        table.put_bool(b"tracing", self.tracing);
        table.put_bool(b"protected", self.protected);
        for (name, limit) in
            [("max-connections", self.connections_max), ("max-queues", self.queues_max)]
        {
            if let Some(max) = limit {
                table.put_i64(name.as_bytes(), i64::from(max));
            }
        }
        table.put_bool(b"leaving", leaving);
        table
    }

    /// Settings from the definitions log, and whether the vhost was being deleted. What is not
    /// there says nothing: the first vhosts had no settings.
    pub(in crate::broker) fn decode(table: Table<'_>) -> (Self, bool) {
        let text =
            |value: Value<'_>| value.text().map(|text| String::from_utf8_lossy(text).into_owned());
        let flag = |name: &[u8]| table.find(name) == Some(Value::Bool(true));
        let limit = |name: &[u8]| {
            let max = table.find(name).and_then(|max| max.integer());
            max.and_then(|max| u32::try_from(max).ok())
        };
        let tags = match table.find(b"tags") {
            Some(Value::Array(tags)) => tags.iter().filter_map(text).collect(),
            Some(_) | None => Vec::new(),
        };
        let kind = table.find(b"default_queue_type").and_then(|kind| kind.text());
        let settings = Self {
            description: table.find(b"description").and_then(text).unwrap_or_default(),
            tags,
            default_queue_type: kind.and_then(QueueKind::parse),
            tracing: flag(b"tracing"),
            protected: flag(b"protected"),
            connections_max: limit(b"max-connections"),
            queues_max: limit(b"max-queues"),
        };
        (settings, flag(b"leaving"))
    }
}

impl Vhost {
    /// A vhost with nothing in it, not even the predeclared exchanges.
    pub fn new(name: Name, settings: VhostSettings) -> Self {
        Self {
            name,
            settings,
            leaving: false,
            exchanges: ByName::default(),
            queues: ByName::default(),
            reply_queues: ByName::default(),
            bindings: BindingTable::default(),
            policies: Policies::new(),
            parameters: BTreeMap::new(),
            counters: None,
        }
    }

    /// The queue that a message to the default exchange goes to with this routing key.
    #[inline]
    pub fn destination_named(&self, name: &[u8]) -> Option<QueueKey> {
        self.queues.get(name).or_else(|| self.reply_queues.get(name)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_definitions_log() {
        let settings = VhostSettings {
            description: "for tests".into(),
            tags: vec!["a".into(), "b,c".into()],
            default_queue_type: Some(QueueKind::Quorum),
            tracing: true,
            protected: true,
            connections_max: Some(0),
            queues_max: Some(u32::MAX),
        };
        let decoded = VhostSettings::decode(settings.encode(true).table());
        assert_eq!(decoded, (settings, true));
    }

    /// The first versions wrote an empty table.
    #[test]
    fn a_vhost_without_settings_has_none() {
        assert_eq!(VhostSettings::decode(Table::EMPTY), (VhostSettings::default(), false));
    }
}
