//! Who may do what to which queue and exchange?

use super::{At, ConsumerId, Tag, Twin};
use crate::ops::{Binding, End, Publish, QueueSpec};
use crate::permissions::Rights;

use Access::{Configure, Read, Write};

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Configure,
    Write,
    Read,
}

impl Twin {
    pub fn give(&mut self, user: &'static str, rights: Rights) {
        self.topology_stamp = Some(self.stamp);
        self.rights.insert(user, rights);
        let mut ids: Vec<ConsumerId> = self.consumers.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(consumer) = self.consumers.get(&id) else { continue };
            let (at, tag, queue) =
                (consumer.at, consumer.tag.clone(), &self.queues[&consumer.queue]);
            let name = queue.name.clone();
            if queue.replies || self.connections[&at.conn].user != user || self.may(at, Read, &name)
            {
                continue;
            }
            self.count("reader refused");
            self.channel(at).tags.insert(tag.clone(), Tag::Ended);
            self.cancels.push((at, tag, true));
            self.remove_consumer(id);
        }
    }

    fn rights_of(&self, at: At) -> Rights {
        let user = self.connections[&at.conn].user;
        self.rights.get(user).copied().unwrap_or(Rights::ALL)
    }

    /// Whether the client may do this to the queue or exchange of this name.
    pub fn may(&self, at: At, access: Access, name: &str) -> bool {
        let rights = self.rights_of(at);
        let pattern = match access {
            Configure => rights.configure,
            Write => rights.write,
            Read => rights.read,
        };
        matches(pattern, if name.is_empty() { "amq.default" } else { name })
    }

    /// As [`Twin::may`] for all of these, else 403.
    pub fn allows(&mut self, at: At, all: &[(Access, &str)], class: u16, method: u16) -> bool {
        if all.iter().all(|(access, name)| self.may(at, *access, name)) {
            return true;
        }
        self.count("not allowed");
        self.channel_error(at, &[403], class, method);
        false
    }

    /// What dies in a new queue is read from it and written to the dead-letter exchange.
    pub fn allows_dead_letters(&mut self, at: At, name: &str, spec: &QueueSpec) -> bool {
        match &spec.dlx {
            Some(dlx) => self.allows(at, &[(Read, name), (Write, dlx)], 50, 10),
            None => true,
        }
    }

    /// Topic exchanges ask whether a routing key may be used, too.
    fn may_route(&self, at: At, access: Access, exchange: &str, key: &str) -> bool {
        let found = self.exchanges.get(exchange);
        if found.is_none_or(|found| found.spec.kind != "topic") {
            return true;
        }
        match self.rights_of(at).topics {
            Some((name, write, _)) if name == exchange && access == Write => key_fits(write, key),
            Some((name, _, read)) if name == exchange => key_fits(read, key),
            _ => true,
        }
    }

    /// Whether all keys of a message may be used, else 403.
    pub fn allows_keys(&mut self, at: At, publish: &Publish) -> bool {
        let keys = super::routing::keys_of(&publish.key, &publish.props, &["CC", "BCC"]);
        if keys.iter().all(|key| self.may_route(at, Write, &publish.exchange, key)) {
            return true;
        }
        self.count("key not allowed");
        self.channel_error(at, &[403], 60, 40);
        false
    }

    /// Binding reads from the source, by this key, and writes to the destination.
    pub fn allows_binding(&mut self, at: At, binding: &Binding, class: u16, method: u16) -> bool {
        let both = [(Write, binding.destination.as_str()), (Read, binding.source.as_str())];
        if binding.end == End::Queue && binding.destination == super::REPLY_TO {
            self.channel_error(at, &[403], class, method);
            return false;
        }
        if !self.allows(at, &both, class, method) {
            return false;
        }
        if self.may_route(at, Read, &binding.source, &binding.key) {
            return true;
        }
        self.count("key not allowed");
        self.channel_error(at, &[403], class, method);
        false
    }
}

/// What each of the patterns for names means.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern {
        ".*" => true,
        "" => name.is_empty(),
        "^(?!b)" => !name.starts_with('b'),
        "^[a-d]$|^(dx|amq\\.|e1)" => {
            let begins = ["dx", "amq.", "e1"].iter().any(|begin| name.starts_with(begin));
            begins || ["a", "b", "c", "d"].contains(&name)
        }
        other => panic!("what does {other} match?"),
    }
}

/// What each of the patterns for routing keys means.
fn key_fits(pattern: &str, key: &str) -> bool {
    match pattern {
        ".*" => true,
        "^a" => key.starts_with('a'),
        "^k$" => key == "k",
        other => panic!("what does {other} match?"),
    }
}
