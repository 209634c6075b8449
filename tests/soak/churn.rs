//! Does it matter how clients come and go? Connections that open channels, do something small and
//! close politely or drop, also in the middle of a frame or of a body.

use super::account::{Account, Letter};
use super::link::{Gone, Link};
use super::publisher::{Acks, Publisher, take_all};
use super::shift::Shift;
use crate::common::{Random, Table};

const QUEUE: &str = "soak.churn";

pub fn work(shift: &Shift, mut random: Random) {
    let account = Account::new("churn", 1);
    while !shift.is_over() {
        let mut link = shift.link();
        // It may be cut short by the end of the broker; then another one comes.
        let life = link.life;
        let left = match visit(shift, &account, &mut link, &mut random) {
            Ok(Farewell::Polite) => link.close(),
            Ok(Farewell::None) => Ok(()),
            Err(gone) => Err(gone),
        };
        assert!(left.is_ok() || shift.has_ended(life), "the broker closed a connection");
        shift.pause(random.within(if shift.is_short { 5..60 } else { 0..20 }));
    }
    shift.on_links(|link| {
        declare(link)?;
        take_all(shift, &account, link, 1, &[QUEUE])
    });
}

/// How a visitor leaves.
enum Farewell {
    Polite,
    None,
}

fn declare(link: &mut Link) -> Result<(), Gone> {
    link.open(1)?;
    link.declare(1, QUEUE, Table::EMPTY)
}

fn visit(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    random: &mut Random,
) -> Result<Farewell, Gone> {
    declare(link)?;
    for channel in 10..10 + u16::try_from(random.within(0..10)).expect("it is small") {
        link.open(channel)?;
    }
    let mut publisher = Publisher::open(shift, account, link, 2)?;
    let letter = Letter { key: QUEUE, ..Default::default() };
    for _ in 0..random.within(0..4) {
        publisher.add(account.add(0, random.within(0..2000), random.chance(70)), letter);
    }
    publisher.send(link, if random.chance(70) { 0 } else { 3 })?;
    let mut acks = Acks::new(shift, account, 1);
    for _ in 0..random.within(0..5) {
        let Some(got) = link.get(1, QUEUE)? else { break };
        let id = account.received(shift, link, &got.message, got.redelivered);
        if random.chance(80) {
            acks.ack(link, id, got.tag);
        } else {
            // It goes back with the connection, however that ends.
            account.freed(id);
        }
    }
    if random.chance(70) {
        acks.make_sure(link)?;
    } else {
        acks.give_up();
    }
    if random.chance(30) {
        break_off(account, link, random);
        return Ok(Farewell::None);
    }
    Ok(if random.chance(50) { Farewell::Polite } else { Farewell::None })
}

/// Sends a part of a message that must not arrive.
fn break_off(account: &Account, link: &mut Link, random: &mut Random) {
    let id = account.add(0, random.within(1000..400_000), true);
    account.void(id);
    let mut out = Vec::new();
    account.encode(&mut out, 2, id, Letter { key: QUEUE, ..Default::default() });
    // Within the method, the header, a frame of the body, or a frame's end.
    let sent = match random.within(0..3) {
        0 => random.within(1..100),
        1 => out.len() - 1,
        _ => random.within(1..out.len()),
    };
    out.truncate(sent);
    link.send_bytes(&out);
}
