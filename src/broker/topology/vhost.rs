//! What is a vhost? Names of exchanges and queues, and the bindings between them.

use std::collections::HashMap;

use crate::amqp::Name;
use crate::broker::arguments::policy::Policies;
use crate::broker::exchange::binding::BindingTable;
use crate::broker::key::{ExchangeKey, QueueKey};

/// A namespace of exchanges, queues and bindings; nothing crosses from one to another.
#[derive(Debug)]
pub struct Vhost {
    /// Its name, unique on the node.
    pub name: Name,
    /// Its exchanges by name; the default exchange has the empty name.
    pub exchanges: HashMap<Name, ExchangeKey>,
    /// Its queues by name.
    pub queues: HashMap<Name, QueueKey>,
    /// Those of direct replies by the names that answers are sent to: no queues to anyone else.
    pub reply_queues: HashMap<Name, QueueKey>,
    /// Every binding but the implicit ones of the default exchange.
    pub bindings: BindingTable,
    /// Its policies and operator policies.
    pub policies: Policies,
}

impl Vhost {
    /// A vhost with nothing in it, not even the predeclared exchanges.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            exchanges: HashMap::new(),
            queues: HashMap::new(),
            reply_queues: HashMap::new(),
            bindings: BindingTable::default(),
            policies: Policies::new(),
        }
    }

    /// The queue that a message to the default exchange goes to with this routing key.
    #[inline]
    pub fn destination_named(&self, name: &[u8]) -> Option<QueueKey> {
        self.queues.get(name).or_else(|| self.reply_queues.get(name)).copied()
    }
}
