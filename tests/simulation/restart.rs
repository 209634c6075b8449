//! The process was killed, or the power went: is everything there that was promised, and nothing
//! else?

use std::collections::BTreeSet;
use std::io::IoSlice;

use leveret::amqp::Method;
use leveret::broker::arguments::QueueKind;
use leveret::node::Unwatched;
use leveret::outbox::SLICES_MAX;

use super::client::Client;
use super::disk::Disk;
use super::ops::{Consume, Op};
use super::twin::{Found, Surviving, take_offset};
use super::values::{Received, Val, take_received};
use super::world::{FRAME_BYTES_MAX, SEGMENT_BYTES, World};

/// What becomes of a run after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    GoesOn,
    /// Definitions changed in the last moments: which of them are there is anyone's guess.
    Ends,
}

pub fn restart(world: &mut World) -> Outcome {
    world.kill_at = None;
    let power_cut = start_again(world);
    let mut surviving = world.twin.stopped(power_cut);
    let mut inspector = world.log_in(false, "guest");
    ask(world, &mut inspector, Op::OpenChannel);
    let mut looked_at = BTreeSet::new();
    let declared = world.profile.queues.iter().map(|(name, _)| name.to_string());
    let names: BTreeSet<String> = surviving.queues().into_iter().chain(declared).collect();
    for name in names.iter().map(String::as_str) {
        if world.queue(name).is_none() {
            let missing = surviving.certain.contains(name);
            assert!(!missing, "queue '{name}' is gone");
            continue;
        }
        looked_at.insert(name.to_string());
        let id = world.twin.queue_named(name);
        if world.queue(name).unwrap().settings.kind == QueueKind::Stream {
            look_at_stream(world, &mut inspector, &mut surviving, name);
            continue;
        }
        let limited = id.is_none_or(|id| world.twin.queues[&id].spec.delivery_limit.is_some());
        let drained = limited || world.random.chance(30);
        let found = get_all(world, &mut inspector, name, drained);
        let copies = surviving.check_queue(name, &found);
        world.events.note(format!("queue {name} has {} messages", found.len()));
        if !surviving.uncertain {
            world.twin.adopt(name, copies, drained);
        }
    }
    surviving.check_all(&looked_at);
    if surviving.uncertain {
        return Outcome::Ends;
    }
    world.node.as_mut().unwrap().remove(inspector.key);
    let now_ms = world.now_ms;
    world.broker().start_clock(now_ms);
    Outcome::GoesOn
}

/// Starts the broker on what is left. Now and then recovery comes to the same end as the run before
/// it, or the other one; and then the next. Whether the power was ever gone.
pub fn start_again(world: &mut World) -> bool {
    world.clients.clear();
    world.node = None;
    let mut was_cut = false;
    for attempt in 0.. {
        if world.random.chance(55) {
            was_cut = true;
            world.directory = world.disk.cut(&mut world.random);
            world.disk = Disk::with(world.directory.path());
        }
        world.disk.live();
        if world.random.chance(30) {
            world.segment_bytes = *world.random.pick(&SEGMENT_BYTES);
        }
        if attempt < 4 && world.random.chance(40) {
            let calls = world.random.below(25) as u64;
            world.events.note(format!("recovery may end at call {calls}"));
            world.disk.die_after(calls);
        }
        match world.open() {
            Ok(()) if !world.disk.is_dead() => break,
            // It found no space for another segment, and goes on without it.
            Ok(()) => world.node = None,
            Err(error) => world.events.note(format!("recovery ended: {error}")),
        }
        world.twin.count("recovery cut short");
    }
    world.disk.live();
    was_cut
}

/// Reads a stream from its beginning to its end.
fn look_at_stream(
    world: &mut World,
    inspector: &mut Client,
    surviving: &mut Surviving,
    name: &str,
) {
    ask(world, inspector, Op::Qos { count: 60_000, global: false });
    let consume = Consume {
        queue: name.into(),
        tag: name.into(),
        no_ack: false,
        exclusive: false,
        priority: 0,
        offset: Some(Val::Text("first".into())),
    };
    ask(world, inspector, Op::Consume(consume));
    let mut dirty = Vec::new();
    world.broker().queues_mut().take_dirty(&mut dirty);
    let mut next = None;
    for key in dirty {
        while let Some(delivery) = world.broker().next_delivery(key) {
            world.node.as_mut().unwrap().deliver_one(&delivery);
            let received = take_sent(world, inspector).remove(0);
            let (mut props, body) = received.content.unwrap();
            let offset = take_offset(&mut props);
            assert!(next.is_none_or(|next| next == offset), "{offset}, not {next:?}");
            let first = next.is_none();
            next = Some(offset + 1);
            let Some(id) = world.twin.queue_named(name) else {
                continue;
            };
            let stream = world.twin.queues.get_mut(&id).unwrap().stream.as_mut().unwrap();
            assert!(!first || offset <= stream.may_lack, "it begins at {offset}");
            let copied = stream.read(offset, &props, &body);
            surviving.found_in_stream(&copied);
        }
    }
    world.events.note(format!("stream {name} ends at {next:?}"));
    ask(world, inspector, Op::Cancel { tag: name.into() });
    if !surviving.uncertain {
        world.twin.adopt_stream(name, next, surviving.written);
    }
}

fn get_all(world: &mut World, inspector: &mut Client, name: &str, no_ack: bool) -> Vec<Found> {
    let mut all = Vec::new();
    loop {
        let queue = name.to_string();
        let answer = ask(world, inspector, Op::Get { queue, no_ack });
        if matches!(answer.method(), Method::BasicGetEmpty(_)) {
            return all;
        }
        all.push(Found::of(&answer));
    }
}

fn ask(world: &mut World, client: &mut Client, op: Op) -> Received {
    let mut bytes = Vec::new();
    op.encode(&mut bytes, 1, FRAME_BYTES_MAX);
    let taken = world.node.as_mut().unwrap().receive(client.key, &bytes, &mut Unwatched);
    assert_eq!(taken, bytes.len());
    let mut received = take_sent(world, client);
    assert_eq!(received.len(), 1, "one question, one answer");
    received.remove(0)
}

/// What the broker sent.
fn take_sent(world: &mut World, client: &mut Client) -> Vec<Received> {
    let node = world.node.as_mut().unwrap();
    let mut inbox = Vec::new();
    while let Some(outbox) = node.output(client.key) {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
        inbox.extend_from_slice(&all);
        node.flushed(client.key, all.len());
    }
    let mut received = take_received(&mut inbox, FRAME_BYTES_MAX);
    received.iter_mut().for_each(|one| world.twin.replace_name(one));
    received
}
