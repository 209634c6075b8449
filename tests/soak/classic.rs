//! Do classic queues keep what they confirmed? Three durable queues, publishers whose sizes change
//! over time, and consumers that ack, give back, refuse, or die with messages in their hands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::account::{Account, Id, Letter, Order, Sizes};
use super::link::{Gone, Link};
use super::publisher::{Acks, Publisher, take_all};
use super::shift::Shift;
use crate::common::{Delivery, Random, Table, basic};

const QUEUES: [&str; 3] = ["soak.classic.0", "soak.classic.1", "soak.classic.2"];
const PUBLISHERS: [&str; 3] = ["publisher 0", "publisher 1", "publisher 2"];
const CONSUMERS: [&str; 3] = ["consumer 0", "consumer 1", "consumer 2"];
/// What one burst has at most, in bytes.
const BURST_BYTES_MAX: usize = 600_000;
/// How large the backlog may become, by phase.
const BACKLOG_BYTES: [usize; 3] = [1 << 20, 8 << 20, 96 << 20];
const BACKLOG_BYTES_SHORT: [usize; 3] = [1 << 18, 1 << 20, 8 << 20];

pub fn work(shift: &Shift, _: Random) {
    let account = Account::new("classic", PUBLISHERS.len());
    let publishing = AtomicUsize::new(PUBLISHERS.len());
    thread::scope(|scope| {
        let (account, publishing) = (&account, &publishing);
        for (publisher, name) in PUBLISHERS.into_iter().enumerate() {
            let work = move |random| publish(shift, account, publisher, publishing, random);
            shift.spawn(scope, name, work);
        }
        for name in CONSUMERS {
            shift.spawn(scope, name, move |random| consume(shift, account, publishing, random));
        }
    });
    shift.on_links(|link| {
        declare(link)?;
        take_all(shift, &account, link, 1, &QUEUES)
    });
}

fn declare(link: &mut Link) -> Result<(), Gone> {
    link.open(1)?;
    QUEUES.into_iter().try_for_each(|queue| link.declare(1, queue, Table::EMPTY))
}

/// Says that a publisher is done, also when it fails.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn publish(
    shift: &Shift,
    account: &Account,
    number: usize,
    publishing: &AtomicUsize,
    mut random: Random,
) {
    let _done = Done(publishing);
    let mut sizes = Sizes::default();
    let backlogs = if shift.is_short { BACKLOG_BYTES_SHORT } else { BACKLOG_BYTES };
    let mut backlog_bytes = backlogs[0];
    shift.on_links(|link| {
        declare(link)?;
        let mut publisher = Publisher::open(shift, account, link, 2)?;
        while !shift.is_over() {
            if random.chance(1) {
                backlog_bytes = *random.pick(&backlogs);
            }
            let has_room = account.open_bytes() < backlog_bytes;
            let burst = if has_room { random.within(1..60) } else { 0 };
            for _ in 0..burst {
                let persistent = random.chance(70);
                let id = account.add(number, sizes.next(&mut random), persistent);
                let key = random.pick(&QUEUES);
                publisher.add(id, Letter { key, ..Default::default() });
                if publisher.bytes() > BURST_BYTES_MAX {
                    break;
                }
            }
            publisher.send(link, random.within(0..100))?;
            shift.pause(random.within(if shift.is_short { 5..60 } else { 0..20 }));
        }
        publisher.send(link, 0)
    });
}

/// What a consumer has in its hands.
struct Hands<'a> {
    shift: &'a Shift,
    account: &'a Account,
    acks: Acks<'a>,
    /// Tags and messages in the order in which they came.
    held: Vec<(u64, Id)>,
    order: Order,
}

fn consume(shift: &Shift, account: &Account, publishing: &AtomicUsize, mut random: Random) {
    shift.on_links(|link| {
        declare(link)?;
        link.prefetch(1, random.within(1..100))?;
        for queue in QUEUES {
            link.consume(1, queue, Table::EMPTY)?;
        }
        let acks = Acks::new(shift, account, 1);
        let mut hands = Hands { shift, account, acks, held: Vec::new(), order: Order::default() };
        // Not more, so that the last ones are taken by somebody who stays.
        let mut left = random.within(50..3000);
        loop {
            let Some(event) = link.next_within(Duration::from_millis(100))? else {
                hands.ack_all(link)?;
                if publishing.load(Ordering::Relaxed) == 0 {
                    return Ok(());
                }
                continue;
            };
            hands.take(link, &event.expect());
            left -= 1;
            if left == 0 {
                return Err(hands.die());
            }
            hands.decide(link, &mut random);
            if hands.acks.are_many() {
                hands.acks.make_sure(link)?;
            }
        }
    });
}

impl Hands<'_> {
    fn take(&mut self, link: &Link, delivery: &Delivery) {
        let again = delivery.redelivered;
        let id = self.account.received(self.shift, link, &delivery.message, again);
        self.order.check(&delivery.consumer, id, again);
        self.held.push((delivery.tag, id));
    }

    /// Settles some of what it has, or none.
    fn decide(&mut self, link: &mut Link, random: &mut Random) {
        let index = random.within(0..self.held.len());
        match random.within(0..100) {
            0..5 => {
                let (delivery_tag, id) = self.held.remove(index);
                self.account.freed(id);
                link.send(1, basic::Nack { delivery_tag, multiple: false, requeue: true });
            }
            5..7 => {
                let back: Vec<_> = self.held.drain(..=index).collect();
                back.iter().for_each(|(_, id)| self.account.freed(*id));
                let delivery_tag = back[index].0;
                link.send(1, basic::Nack { delivery_tag, multiple: true, requeue: true });
            }
            // Nothing takes dead letters here.
            7..10 => {
                let (delivery_tag, id) = self.held.remove(index);
                self.acks.note(link, [id]);
                link.send(1, basic::Reject { delivery_tag, requeue: false });
            }
            10..40 => {
                let (tag, id) = self.held.remove(index);
                self.acks.ack(link, id, tag);
            }
            40..70 => {
                let settled: Vec<_> = self.held.drain(..=index).collect();
                self.acks.note(link, settled.iter().map(|(_, id)| *id));
                link.ack(1, settled[index].0, true);
            }
            _ => (),
        }
    }

    fn ack_all(&mut self, link: &mut Link) -> Result<(), Gone> {
        for (tag, id) in self.held.drain(..) {
            self.acks.ack(link, id, tag);
        }
        self.acks.make_sure(link)?;
        Ok(())
    }

    /// Goes without a word.
    fn die(mut self) -> Gone {
        self.acks.give_up();
        self.held.iter().for_each(|(_, id)| self.account.freed(*id));
        Gone::Worker
    }
}
