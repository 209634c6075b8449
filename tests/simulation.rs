//! Does the broker do what it should, whatever comes when? Broker and sessions in memory, a
//! virtual clock, a storage helper that is late or fails, clients whose bytes come in random
//! pieces, crashes, power cuts: and beside it a slow, obvious twin that says what is legal. A seed
//! takes about 0.15 s in a debug build.
//!
//! `LEVERET_SIMULATION_SEED` runs one seed, `LEVERET_SIMULATION_SEEDS` that many,
//! `LEVERET_SIMULATION_STEPS` sets the turns of each; `LEVERET_SIMULATION_TRACE` shows all events.

// All of this is a test: what is not there, or is something else, is a failure; numbers are
// small; the one clock that is read is where virtual time begins.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm
)]

#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/disk.rs"]
mod disk;
#[path = "simulation/look.rs"]
mod look;
#[path = "simulation/ops.rs"]
mod ops;
#[path = "simulation/permissions.rs"]
mod permissions;
#[path = "simulation/policies.rs"]
mod policies;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/regressions.rs"]
mod regressions;
#[path = "simulation/restart.rs"]
mod restart;
#[path = "simulation/twin/mod.rs"]
mod twin;
#[path = "simulation/values.rs"]
mod values;
#[path = "simulation/world.rs"]
mod world;

use client::{BODY_BYTES_MAX, CHANNELS, Sizes, View, reuses_tag};
use ops::Op;
use restart::Outcome;
use twin::{At, ConnId, Tally};
use world::{Stage, Stop, World};

const SEEDS: u64 = 80;
const STEPS: u64 = 600;
const CLIENTS: usize = 4;

#[test]
fn the_broker_does_what_its_twin_does() {
    let steps = number("LEVERET_SIMULATION_STEPS").unwrap_or(STEPS);
    let seeds = match number("LEVERET_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LEVERET_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let whole = seeds.end - seeds.start >= SEEDS && steps >= STEPS;
    let mut tally = Tally::default();
    for seed in seeds {
        let mut world = World::new(seed);
        run(&mut world, steps);
        for (what, count) in world.twin.tally {
            *tally.entry(what).or_default() += count;
        }
    }
    eprintln!("{tally:#?}");
    for what in IMPORTANT {
        let happened = tally.contains_key(what);
        assert!(happened || !whole, "it never came to '{what}'");
    }
}

/// What a test of this kind is worth nothing without.
const IMPORTANT: &[&str] = &[
    "delivered",
    "passed",
    "got",
    "redelivered",
    "rejected",
    "expired",
    "maxlen",
    "delivery_limit",
    "dead-lettered",
    "refused",
    "returned",
    "confirmed",
    "committed",
    "partial tx completion",
    "rolled back",
    "consumer cancelled",
    "killed",
    "power cut",
    "recovery cut short",
    "drained at the end",
    "held back",
    "released",
    "read from a stream",
    "forgotten by a stream",
    "reader refused",
    "policy set",
    "policy cleared",
    "reply asked for",
    "reply",
    "timed out",
    "not allowed",
    "key not allowed",
    "repeated",
    "repeated in a transaction",
    "held already",
    "server-named",
    "the last declared queue",
    "no previously declared queue",
    "reader refused",
];

/// Runs one seed, until its end or until nothing more can be said.
fn run(world: &mut World, steps: u64) {
    set_up(world);
    let stages = [Stage::Input, Stage::Burial, Stage::WriteOut, Stage::Deliveries, Stage::End];
    for _ in 0..steps {
        if world.random.below(250) == 0 {
            world.kill_at = Some(*world.random.pick(&stages));
        }
        if world.random.below(300) == 0 {
            let calls = world.random.below(40) as u64;
            world.events.note(format!("the disk fails after {calls} calls"));
            world.disk.die_after(calls);
        }
        if world.random.below(500) == 0 {
            world.events.note("the next sync fails".into());
            world.broker().store.fail_next_sync();
        }
        if world.random.below(40) == 0 {
            change_bodies(world);
        }
        clients_act(world);
        match world.turn() {
            Ok(()) => {}
            Err(Stop::Killed) => {
                if restart::restart(world) == Outcome::Ends {
                    return world.twin.count("ended by a crash with new definitions");
                }
            }
            Err(Stop::Ambiguous) => return world.twin.count("ended early"),
            Err(Stop::FailedInput) => {
                restart::start_again(world);
                return world.twin.count("ended while input was taken");
            }
        }
    }
    if finish(world).is_ok() {
        world.twin.count("drained at the end");
    }
}

/// From now on bodies are of another size, and of what lies in the log at this time.
fn change_bodies(world: &mut World) {
    let sizes = [Sizes::Mixed, Sizes::Mixed, Sizes::Small, Sizes::Large];
    world.profile.sizes = *world.random.pick(&sizes);
    world.profile.stolen = world.disk.steal(BODY_BYTES_MAX, &mut world.random);
    world.events.note(format!("bodies: {:?}", world.profile.sizes));
}

fn set_up(world: &mut World) {
    let first = world.connect();
    let ops = world.profile.setup(&mut world.random);
    for op in ops {
        world.send(first, 1, op);
    }
    world.clients.get_mut(&first).unwrap().channels[0] = View::Open;
    settle_down(world).expect("nothing dies yet");
}

/// Turns without anything new until nobody waits for anything.
fn settle_down(world: &mut World) -> Result<(), Stop> {
    world.orderly = true;
    world.kill_at = None;
    world.disk.live();
    for turn in 0.. {
        world.turn()?;
        if world.is_quiet() {
            break;
        }
        assert!(turn < 500, "somebody waits for ever: {}", world.who_waits());
    }
    world.orderly = false;
    Ok(())
}

fn clients_act(world: &mut World) {
    while world.clients.len() < CLIENTS {
        world.connect();
    }
    let all: Vec<ConnId> = world.clients.keys().copied().collect();
    for conn in all {
        if world.random.chance(5) {
            world.stall(conn, !world.clients[&conn].stalled);
        }
        let pending = world.clients[&conn].ops.len();
        if pending < 12 && world.random.chance(60) {
            for _ in 0..world.random.between(1, 3) {
                client_acts(world, conn);
            }
        }
    }
}

fn client_acts(world: &mut World, conn: ConnId) {
    let index = world.random.below(CHANNELS);
    let channel = u16::try_from(index + 1).unwrap();
    let at = At { conn, channel };
    let client = world.clients.get_mut(&conn).unwrap();
    let idle = client.ops.is_empty();
    match client.channels[index] {
        View::Closing => {}
        View::Unused => {
            client.channels[index] = View::Open;
            world.send(conn, channel, Op::OpenChannel);
            if world.profile.prefetch && world.random.chance(50) {
                let count = 1 + u16::from(world.random.small(2));
                let global = world.random.chance(60);
                world.send(conn, channel, Op::Qos { count, global });
            }
            if world.profile.transactions && world.random.chance(35) {
                world.send(conn, channel, Op::TxSelect);
            } else if world.random.chance(60) {
                world.send(conn, channel, Op::ConfirmSelect);
            }
        }
        View::Open => {
            let op = world.profile.next_op(&world.twin, at, idle, &mut world.random);
            if reuses_tag(&world.twin, at, &op) && !world.random.chance(2) {
                return;
            }
            if matches!(op, Op::CloseChannel) {
                world.clients.get_mut(&conn).unwrap().channels[index] = View::Closing;
            }
            world.send(conn, channel, op);
        }
    }
}

/// Everything that waits is answered, and what is in the queues is what should be.
fn finish(world: &mut World) -> Result<(), Stop> {
    for client in world.clients.values_mut() {
        client.stalled = false;
    }
    settle_down(world)?;
    let all: Vec<ConnId> = world.clients.keys().copied().collect();
    for conn in all {
        world.send(conn, 0, Op::CloseConnection);
    }
    settle_down(world)?;
    let last = world.connect();
    world.send(last, 1, Op::OpenChannel);
    let queues: Vec<(String, usize)> =
        world.twin.queues.values().map(|queue| (queue.name.clone(), queue.ready.len())).collect();
    for (queue, ready) in queues {
        for _ in 0..=ready {
            let (queue, no_ack) = (queue.clone(), true);
            world.send(last, 1, Op::Get { queue, no_ack });
        }
    }
    settle_down(world)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}
