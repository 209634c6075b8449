//! Which queue does an empty name mean, and what does the broker call a queue without one?

use leveret::amqp::Method;

use super::{Access, At, QueueId, Twin};
use crate::ops::{Binding, Consume, End, Op, QueueSpec};

/// What a queue is called here until its name has come.
pub const UNNAMED: &str = "amq.gen-?";

impl Twin {
    /// The operation with the name of its queue written out: an empty one is the last queue
    /// declared on the channel, else 404. A passive declare asks for what it names.
    pub fn named(&mut self, at: At, op: &Op) -> Option<Op> {
        let (class, method) = match op {
            Op::DeleteQueue { queue, .. } if queue.is_empty() => (50, 40),
            Op::Purge { queue } if queue.is_empty() => (50, 30),
            Op::Bind(binding) if lacks_queue(binding) => (50, 20),
            Op::Unbind(binding) if lacks_queue(binding) => (50, 50),
            Op::Consume(consume) if consume.queue.is_empty() => (60, 20),
            Op::Get { queue, .. } if queue.is_empty() => (60, 70),
            op => return Some(op.clone()),
        };
        let Some(last) = self.channel(at).last_queue.clone() else {
            self.count("no previously declared queue");
            self.channel_error(at, &[404], class, method);
            return None;
        };
        self.count("the last declared queue");
        Some(with_queue(op, last))
    }

    /// `queue.declare` without a name: the broker makes one that nobody else has.
    pub fn declare_unnamed(&mut self, at: At, spec: &QueueSpec) {
        if !self.allows(at, &[(Access::Configure, UNNAMED)], 50, 10)
            || !self.allows_dead_letters(at, UNNAMED, spec)
        {
            return;
        }
        let id = self.create_queue(at, UNNAMED, spec);
        let needs = self.queues[&id].spec.durable.then_some(self.stamp);
        self.reply_with_name(at, id, needs);
    }

    /// The name has come.
    pub fn take_name(&mut self, at: At, id: QueueId) {
        let received = self.next_received(at, "queue.declare-ok");
        let Method::QueueDeclareOk(ok) = received.method() else {
            panic!("queue.declare-ok expected, got {received:?}");
        };
        let name = String::from_utf8(ok.queue.to_vec()).unwrap();
        assert!(name.starts_with("amq.gen-"), "the name '{name}'");
        assert!(self.names_given.insert(name.clone()), "'{name}' was somebody else's");
        assert_eq!((ok.message_count, ok.consumer_count), (0, 0), "it is new");
        self.count("server-named");
        self.channel(at).last_queue = Some(name.clone());
        // It may have gone while the answer waited for the disk.
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.name = name;
        }
    }
}

fn lacks_queue(binding: &Binding) -> bool {
    binding.end == End::Queue && binding.destination.is_empty()
}

/// Without a queue and without a key, the key is the queue's name, too.
fn with_queue(op: &Op, name: String) -> Op {
    let bound = |binding: &Binding| {
        let mut binding = Binding { destination: name.clone(), ..binding.clone() };
        if binding.key.is_empty() {
            binding.key.clone_from(&name);
        }
        binding
    };
    let mut op = op.clone();
    match &mut op {
        Op::Bind(binding) | Op::Unbind(binding) => *binding = bound(binding),
        Op::DeleteQueue { queue, .. }
        | Op::Purge { queue }
        | Op::Get { queue, .. }
        | Op::Consume(Consume { queue, .. }) => *queue = name,
        other => panic!("{other:?} names no queue"),
    }
    op
}
