//! What do declaring, deleting, binding and purging do?

use std::collections::BTreeMap;

use leveret::amqp::Method;
use leveret::amqp::method::{exchange, queue};

use super::{Access, At, Exchange, Queue, QueueId, REPLY_TO, Reply, Twin};
use crate::ops::{Binding, End, ExchangeSpec, Op, QueueSpec};

impl Twin {
    /// A queue that has to be there (404) and open to the connection (405).
    pub fn usable_queue(&mut self, at: At, name: &str, class: u16, method: u16) -> Option<QueueId> {
        let queue = self.queue_named(name).filter(|id| !self.queues[id].replies);
        let Some(id) = queue else {
            self.channel_error(at, &[404], class, method);
            return None;
        };
        if self.queues[&id].owner.is_some_and(|owner| owner != at.conn) {
            self.channel_error(at, &[405], class, method);
            return None;
        }
        Some(id)
    }

    pub fn apply_topology(&mut self, at: At, op: &Op) {
        match op {
            Op::DeclareQueue { queue, passive, spec, nowait } => {
                self.declare_queue(at, queue, *passive, spec, *nowait)
            }
            Op::DeleteQueue { queue, if_unused, if_empty } => {
                self.delete_queue(at, queue, *if_unused, *if_empty)
            }
            Op::Purge { queue } => self.purge(at, queue),
            Op::DeclareExchange { exchange, spec } => self.declare_exchange(at, exchange, spec),
            Op::DeleteExchange { exchange, if_unused } => {
                if !self.allows(at, &[(Access::Configure, exchange)], 40, 20) {
                    return;
                }
                let used = self.bindings.iter().any(|b| b.source == *exchange);
                if *if_unused && used && self.exchanges.contains_key(exchange) {
                    return self.channel_error(at, &[406], 40, 20);
                }
                self.remove_exchange(exchange);
                self.reply(at, &Method::ExchangeDeleteOk(exchange::DeleteOk {}), None);
            }
            Op::Bind(binding) => self.bind(at, binding),
            Op::Unbind(binding) => self.unbind(at, binding),
            other => panic!("{other:?} is no topology"),
        }
    }

    fn declare_queue(&mut self, at: At, name: &str, passive: bool, spec: &QueueSpec, nowait: bool) {
        if name.is_empty() && !passive {
            return self.declare_unnamed(at, spec);
        }
        // Whoever declares a name for direct replies asks whether somebody is there.
        if name.starts_with(REPLY_TO) {
            let replies = self.queue_named(name).is_some_and(|id| self.queues[&id].replies);
            if name == REPLY_TO || replies {
                return self.declare_replies(at, name);
            }
            return self.channel_error(at, &[404], 50, 10);
        }
        // The names of the broker are not for clients to give.
        if name.starts_with("amq.") && !passive {
            return self.channel_error(at, &[403], 50, 10);
        }
        let known = self.queue_named(name);
        let mut needs = None;
        let id = match known {
            _ if !passive && !self.allows(at, &[(Access::Configure, name)], 50, 10) => return,
            _ if passive => match self.usable_queue(at, name, 50, 10) {
                Some(id) => id,
                None => return,
            },
            Some(id) => {
                let found = &self.queues[&id];
                let owner = spec.exclusive.then_some(at.conn);
                if found.owner != owner {
                    return self.channel_error(at, &[405], 50, 10);
                }
                let durable = spec.durable && !spec.exclusive;
                // Two of the arguments are not compared.
                let compared = QueueSpec {
                    durable,
                    consumer_timeout_ms: found.declared.consumer_timeout_ms,
                    delivery_limit: found.declared.delivery_limit,
                    ..spec.clone()
                };
                if found.declared != compared {
                    return self.channel_error(at, &[406], 50, 10);
                }
                id
            }
            None if !self.allows_dead_letters(at, name, spec) => return,
            None => {
                let id = self.create_queue(at, name, spec);
                needs = self.queues[&id].spec.durable.then_some(self.stamp);
                id
            }
        };
        let now = self.now_ms;
        let found = self.queues.get_mut(&id).unwrap();
        found.used_at_ms = now;
        let count = |count: usize| u32::try_from(count).unwrap();
        let ok = queue::DeclareOk {
            queue: name.as_bytes(),
            message_count: count(found.ready.len()),
            consumer_count: count(found.consumers.len()),
        };
        if nowait {
            // Nobody asks.
        } else if let Some(stream) = &found.stream {
            let (queue, consumers) = (name.into(), found.consumers.len());
            let messages = stream.counts();
            self.answer(at, Reply::Counted { queue, messages, consumers }, needs);
        } else {
            self.reply(at, &Method::QueueDeclareOk(ok), needs);
        }
        self.channel(at).last_queue = Some(name.into());
    }

    pub fn create_queue(&mut self, at: At, name: &str, spec: &QueueSpec) -> QueueId {
        let id = self.fresh();
        let mut declared = spec.clone();
        declared.durable &= !spec.exclusive;
        let spec = self.effective(name, &declared);
        if spec.durable {
            self.topology_stamp = Some(self.stamp);
        }
        let owner = spec.exclusive.then_some(at.conn);
        let stream = spec.stream.then(Default::default);
        let (used_at_ms, born) = (self.now_ms, self.stamp);
        let empty = empty_queue(name, spec);
        let queue = Queue { owner, declared, stream, used_at_ms, born, ..empty };
        self.queues.insert(id, queue);
        id
    }

    fn delete_queue(&mut self, at: At, name: &str, if_unused: bool, if_empty: bool) {
        if !self.allows(at, &[(Access::Configure, name)], 50, 40) {
            return;
        }
        let mut messages = 0..=0;
        if self.queue_named(name).is_some_and(|id| !self.queues[&id].replies) {
            let Some(id) = self.usable_queue(at, name, 50, 40) else {
                return;
            };
            let found = &self.queues[&id];
            // Streams do not ask.
            let asks = found.stream.is_none();
            let in_use = asks && if_unused && !found.consumers.is_empty();
            let ready = found.ready.len() as u64;
            messages = found.stream.as_ref().map_or(ready..=ready, |stream| stream.counts());
            // Whether all of a stream is gone, the broker knows.
            let next = self.connections[&at.conn].received.front();
            let refused = next.is_some_and(|r| matches!(r.method(), Method::ChannelClose(_)));
            let not_empty = *messages.start() > 0 || (*messages.end() > 0 && refused);
            if in_use || (asks && if_empty && not_empty) {
                return self.channel_error(at, &[406], 50, 40);
            }
            self.remove_queue(id);
        }
        self.answer(at, Reply::Deleted { messages }, None);
    }

    fn purge(&mut self, at: At, name: &str) {
        if !self.allows(at, &[(Access::Read, name)], 50, 30) {
            return;
        }
        let Some(id) = self.usable_queue(at, name, 50, 30) else {
            return;
        };
        if self.queues[&id].stream.is_some() {
            return self.connection_error(at.conn, 540);
        }
        let found = self.queues.get_mut(&id).unwrap();
        found.names.clear();
        let spec_durable = found.spec.durable;
        let ready = std::mem::take(&mut found.ready);
        let message_count = u32::try_from(ready.len()).unwrap();
        let needs = ready.iter().any(|copied| copied.logged && spec_durable).then_some(self.stamp);
        for copied in ready {
            self.settled.push((id, copied, self.stamp));
        }
        let ok = queue::PurgeOk { message_count };
        self.reply(at, &Method::QueuePurgeOk(ok), needs);
    }

    fn declare_exchange(&mut self, at: At, name: &str, spec: &ExchangeSpec) {
        if !self.allows(at, &[(Access::Configure, name)], 40, 10) {
            return;
        }
        let mut needs = None;
        if let Some(found) = self.exchanges.get(name) {
            if found.spec != *spec {
                return self.channel_error(at, &[406], 40, 10);
            }
        } else {
            // What comes to its alternate is read from the one and written to the other.
            let both =
                spec.alternate.as_deref().map(|to| [(Access::Read, name), (Access::Write, to)]);
            if both.is_some_and(|both| !self.allows(at, &both, 40, 10)) {
                return;
            }
            if spec.durable {
                self.topology_stamp = Some(self.stamp);
                needs = Some(self.stamp);
            }
            let (spec, id) = (spec.clone(), self.fresh());
            self.exchanges.insert(name.into(), Exchange { spec, id, seen: Vec::new() });
        }
        self.reply(at, &Method::ExchangeDeclareOk(exchange::DeclareOk {}), needs);
    }

    /// Both ends have to be there, and a queue open to the connection.
    fn ends_exist(&mut self, at: At, binding: &Binding) -> bool {
        let (class, method) = if binding.end == End::Queue { (50, 20) } else { (40, 30) };
        if !self.allows_binding(at, binding, class, method) {
            return false;
        }
        let mut codes = Vec::new();
        if !self.exchanges.contains_key(&binding.source) {
            codes.push(404);
        }
        match binding.end {
            End::Exchange if self.exchanges.contains_key(&binding.destination) => {}
            End::Exchange => codes.push(404),
            End::Queue => match self.queue_named(&binding.destination) {
                None => codes.push(404),
                Some(id) if self.queues[&id].replies => codes.push(404),
                Some(id) if self.queues[&id].owner.is_some_and(|o| o != at.conn) => {
                    codes.push(405);
                }
                Some(_) => {}
            },
        }
        if codes.is_empty() {
            return true;
        }
        self.channel_error(at, &codes, class, method);
        false
    }

    fn is_durable(&self, binding: &Binding) -> bool {
        let exchange = |name: &str| self.exchanges[name].spec.durable;
        exchange(&binding.source)
            && match binding.end {
                End::Exchange => exchange(&binding.destination),
                End::Queue => {
                    let id = self.queue_named(&binding.destination).unwrap();
                    self.queues[&id].spec.durable
                }
            }
    }

    fn bind(&mut self, at: At, binding: &Binding) {
        if !self.ends_exist(at, binding) {
            return;
        }
        let mut needs = None;
        if !self.bindings.contains(binding) {
            self.bindings.push(binding.clone());
            if self.is_durable(binding) {
                needs = Some(self.stamp);
                self.topology_stamp = Some(self.stamp);
            }
        }
        let ok = match binding.end {
            End::Queue => Method::QueueBindOk(queue::BindOk {}),
            End::Exchange => Method::ExchangeBindOk(exchange::BindOk {}),
        };
        self.reply(at, &ok, needs);
    }

    fn unbind(&mut self, at: At, binding: &Binding) {
        let (class, method) = if binding.end == End::Queue { (50, 50) } else { (40, 40) };
        if !self.allows_binding(at, binding, class, method) {
            return;
        }
        if let Some(index) = self.bindings.iter().position(|other| other == binding) {
            let queue = match binding.end {
                End::Queue => self.queue_named(&binding.destination),
                End::Exchange => None,
            };
            let owner = queue.and_then(|id| self.queues[&id].owner);
            if owner.is_some_and(|owner| owner != at.conn) {
                return self.channel_error(at, &[405], class, method);
            }
            if self.is_durable(binding) {
                self.topology_stamp = Some(self.stamp);
            }
            self.bindings.remove(index);
            self.delete_if_unbound(&binding.source);
        }
        let ok = match binding.end {
            End::Queue => Method::QueueUnbindOk(queue::UnbindOk {}),
            End::Exchange => Method::ExchangeUnbindOk(exchange::UnbindOk {}),
        };
        self.reply(at, &ok, None);
    }
}

/// A queue as it begins.
pub fn empty_queue(name: &str, spec: QueueSpec) -> Queue {
    Queue {
        name: name.into(),
        owner: None,
        declared: spec.clone(),
        spec,
        active: None,
        ready: Vec::new(),
        replies: false,
        names: BTreeMap::new(),
        stream: None,
        unacked: 0,
        consumers: Vec::new(),
        overfull: false,
        used_at_ms: 0,
        born: 0,
    }
}
