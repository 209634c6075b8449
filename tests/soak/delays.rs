//! Does a delayed message come once, and not before its time? Through a durable exchange of type
//! `x-delayed-message`, to one consumer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::account::{Account, Id, Letter, Sizes};
use super::link::{Gone, Link};
use super::publisher::{Acks, Publisher, take_all};
use super::shift::Shift;
use crate::common::{
    BindOk, Delivery, ExchangeDeclareOk, Random, Table, Value, exchange, fields, now, queue, word,
};

const EXCHANGE: &str = "soak.delay.x";
const QUEUE: &str = "soak.delay";
const DELAY_MS_MAX: usize = 3000;
/// How much too early a message may be: after a restart its time is that of the wall clock.
const TOLERANCE: Duration = Duration::from_millis(200);

pub fn work(shift: &Shift, mut random: Random) {
    let account = Account::new("delays", 1);
    let mut due = HashMap::new();
    let mut sizes = Sizes::default();
    shift.on_links(|link| {
        declare(link)?;
        link.open(3)?;
        link.prefetch(3, 100)?;
        link.consume(3, QUEUE, Table::EMPTY)?;
        let mut publisher = Publisher::open(shift, &account, link, 2)?;
        let mut acks = Acks::new(shift, &account, 3);
        while !shift.is_over() {
            for _ in 0..random.within(1..12) {
                let bytes = sizes.next(&mut random) / 10;
                let id = account.add(0, bytes, true);
                let delay_ms = random.within(0..DELAY_MS_MAX);
                due.insert(id, now() + Duration::from_millis(delay_ms as u64));
                let headers = fields(&[("x-delay", Value::I64(delay_ms as i64))]);
                let (exchange, headers) = (EXCHANGE, Some(&headers));
                publisher.add(id, Letter { exchange, headers, ..Default::default() });
            }
            publisher.send(link, 0)?;
            let until = now() + Duration::from_millis(random.within(10..150) as u64);
            take(shift, &account, link, &mut acks, &due, until)?;
            for id in acks.make_sure(link)? {
                due.remove(&id);
            }
        }
        // All have come by then, unless they are lost: nothing here says that they come early.
        let until = now() + Duration::from_millis(DELAY_MS_MAX as u64);
        while now() < until {
            take(shift, &account, link, &mut acks, &due, until)?;
        }
        acks.make_sure(link)?;
        // What comes later goes to whoever asks.
        link.close_channel(3)?;
        take_all(shift, &account, link, 1, &[QUEUE])
    });
}

fn declare(link: &mut Link) -> Result<(), Gone> {
    link.open(1)?;
    let arguments = fields(&[("x-delayed-type", word("fanout"))]);
    let exchange = exchange::Declare {
        exchange: EXCHANGE.as_bytes(),
        kind: b"x-delayed-message",
        durable: true,
        arguments: arguments.table(),
        ..Default::default()
    };
    link.call::<ExchangeDeclareOk>(1, exchange)?;
    link.declare(1, QUEUE, Table::EMPTY)?;
    let (queue, exchange) = (QUEUE.as_bytes(), EXCHANGE.as_bytes());
    link.call::<BindOk>(1, queue::Bind { queue, exchange, ..Default::default() })?;
    Ok(())
}

/// Takes and acks what comes until then.
fn take(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    acks: &mut Acks<'_>,
    due: &HashMap<Id, Instant>,
    until: Instant,
) -> Result<(), Gone> {
    loop {
        let left = until.saturating_duration_since(now());
        let Some(event) = link.next_within(left)? else { return Ok(()) };
        let came_at = now();
        let delivery = event.expect::<Delivery>();
        let id = account.received(shift, link, &delivery.message, delivery.redelivered);
        let early = due.get(&id).map_or(Duration::ZERO, |due| due.duration_since(came_at));
        assert!(early <= TOLERANCE, "{id:?} came {early:?} before its time");
        acks.ack(link, id, delivery.tag);
        if acks.are_many() {
            return Ok(());
        }
    }
}
