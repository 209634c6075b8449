//! Does somebody who reads slowly harm anybody else? Consumers without a limit and without acks
//! that read a few bytes at a time, until everything on the way to them is full, beside a publisher
//! who must not notice. When they are gone, everything goes to another consumer, in order.

use std::fs;

use super::account::{Account, Letter, Order};
use super::link::{Gone, Link};
use super::publisher::{Acks, Publisher, take_all};
use super::shift::Shift;
use crate::common::{Delivery, Random, Table};

const QUEUE: &str = "soak.slow";
/// So little is read at a time.
const SIP_BYTES: usize = 700;
/// More than the broker's outbox and a reader's kernel take for it.
const OUTBOX_BYTES: usize = 3_000_000;
/// What the broker's kernel takes for a connection at most, where it does not say so.
const SOCKET_BYTES_MAX: usize = 4 << 20;
const MESSAGE_BYTES_MAX: usize = 60_000;

pub fn work(shift: &Shift, mut random: Random) {
    let account = Account::new("slow", 1);
    let (mut rounds, mut was_full) = (0, false);
    shift.on_links(|link| {
        link.open(1)?;
        link.declare(1, QUEUE, Table::EMPTY)?;
        let mut publisher = Publisher::open(shift, &account, link, 2)?;
        // At least one, however slow this machine is.
        while !shift.is_over() || rounds == 0 {
            // What an earlier link left.
            take_all(shift, &account, link, 1, &[QUEUE])?;
            let mut readers = Vec::new();
            for _ in 0..random.within(1..if shift.is_short { 3 } else { 4 }) {
                readers.push(slow_reader(shift, link.life)?);
            }
            let bytes = readers.len() * (OUTBOX_BYTES + socket_bytes_max());
            let count = publish(&account, link, &mut publisher, &mut random, bytes)?;
            for _ in 0..random.within(5..200) {
                let reader = random.within(0..readers.len());
                let read = readers[reader].client().read_past(SIP_BYTES);
                read.ok().filter(|bytes| *bytes > 0).ok_or(Gone::Broker)?;
            }
            // Others do not notice: this is answered while the readers have not read on. What is
            // ready is what finds no room on its way to them.
            was_full |= link.ready(1, QUEUE)? > 0;
            drop(readers);
            link.wait_for_ready(1, QUEUE, count)?;
            take_batch(shift, &account, link, count)?;
            rounds += 1;
            shift.pause(random.within(10..500));
        }
        take_all(shift, &account, link, 1, &[QUEUE])
    });
    assert!(was_full, "no reader was ever slow enough to be waited for");
}

/// What the kernel takes for a connection at most of what its reader does not read.
fn socket_bytes_max() -> usize {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").unwrap_or_default();
    let last = text.split_whitespace().last();
    last.and_then(|bytes| bytes.parse().ok()).unwrap_or(SOCKET_BYTES_MAX)
}

/// A consumer whose kernel takes little for it.
fn slow_reader(shift: &Shift, life: u32) -> Result<Link, Gone> {
    let mut reader = shift.link();
    if reader.life != life {
        return Err(Gone::Broker);
    }
    reader.client().take_little(4096).expect("a socket may have a small buffer");
    reader.open(1)?;
    reader.consume(1, QUEUE, Table::EMPTY)?;
    Ok(reader)
}

/// Publishes a batch and waits for its confirms; how many messages.
fn publish(
    account: &Account,
    link: &mut Link,
    publisher: &mut Publisher<'_>,
    random: &mut Random,
    bytes_min: usize,
) -> Result<usize, Gone> {
    let (mut bytes, mut count) = (0, 0);
    while bytes < bytes_min {
        let id = account.add(0, random.within(1..MESSAGE_BYTES_MAX), true);
        bytes += account.bytes(id);
        count += 1;
        publisher.add(id, Letter { key: QUEUE, ..Default::default() });
        if publisher.bytes() > 500_000 {
            publisher.send(link, 10)?;
        }
    }
    publisher.send(link, 0)?;
    Ok(count)
}

/// Takes the whole batch, in the order in which it was published; its first message was on its way
/// to somebody before.
fn take_batch(shift: &Shift, account: &Account, link: &mut Link, count: usize) -> Result<(), Gone> {
    link.open(3)?;
    link.consume(3, QUEUE, Table::EMPTY)?;
    let mut order = Order::default();
    let mut acks = Acks::new(shift, account, 3);
    for taken in 0..count {
        let delivery = link.answer::<Delivery>(3)?;
        let id = account.received(shift, link, &delivery.message, delivery.redelivered);
        // Also those that were on their way to others stand where they stood.
        order.check(QUEUE, id, false);
        assert!(taken > 0 || delivery.redelivered, "{id:?} was on its way to a slow reader");
        acks.ack(link, id, delivery.tag);
    }
    acks.make_sure(link)?;
    link.close_channel(3)
}
