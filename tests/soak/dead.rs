//! Does every message that dies go to where dead letters go, once, with its reason? Three queues,
//! in which messages expire, are too many, or are refused, and one that all dead letters end in. A
//! message is consumed in the first or in the second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::account::{Account, Id, Letter};
use super::link::{Gone, Link, STALL};
use super::publisher::{Acks, Publisher};
use super::shift::Shift;
use crate::common::{
    BindOk, ExchangeDeclareOk, GetOk, Random, Table, Value, basic, exchange, fields, now, queue,
    word,
};

const EXCHANGE: &str = "soak.dead.x";
const DEAD: &str = "soak.dead";
const TTL_MS: i64 = 300;
const TTL: Duration = Duration::from_millis(300);
const LENGTH_MAX: i64 = 20;

/// A queue in which messages die, and what of.
struct Source {
    queue: &'static str,
    reason: &'static str,
    argument: Option<(&'static str, i64)>,
}

static SOURCES: [Source; 3] = [
    Source { queue: "soak.expire", reason: "expired", argument: Some(("x-message-ttl", TTL_MS)) },
    Source { queue: "soak.short", reason: "maxlen", argument: Some(("x-max-length", LENGTH_MAX)) },
    Source { queue: "soak.refuse", reason: "rejected", argument: None },
];

/// What is known of a message that is not settled.
struct Fate {
    source: usize,
    sent_at: Instant,
    /// A refusal was sent.
    is_refused: bool,
    /// The refusal was answered for, or the dead letter was seen.
    is_dead: bool,
    is_seen_dead: bool,
}

impl Fate {
    fn new(source: usize) -> Fate {
        let sent_at = now();
        Fate { source, sent_at, is_refused: false, is_dead: false, is_seen_dead: false }
    }
}

struct Work<'a> {
    shift: &'a Shift,
    account: &'a Account,
    random: Random,
    fates: HashMap<Id, Fate>,
}

pub fn work(shift: &Shift, random: Random) {
    let account = Account::new("dead", 1);
    let mut work = Work { shift, account: &account, random, fates: HashMap::new() };
    shift.on_links(|link| {
        declare(link)?;
        let mut publisher = Publisher::open(shift, &account, link, 2)?;
        while !shift.is_over() {
            work.publish(link, &mut publisher)?;
            work.take_some(link)?;
            let most = work.random.within(0..60);
            work.take_dead(link, most)?;
            shift.pause(work.random.within(5..150));
        }
        work.take_all(link)
    });
}

fn declare(link: &mut Link) -> Result<(), Gone> {
    link.open(1)?;
    let exchange = exchange::Declare {
        exchange: EXCHANGE.as_bytes(),
        kind: b"fanout",
        durable: true,
        ..Default::default()
    };
    link.call::<ExchangeDeclareOk>(1, exchange)?;
    link.declare(1, DEAD, Table::EMPTY)?;
    let (queue, exchange) = (DEAD.as_bytes(), EXCHANGE.as_bytes());
    link.call::<BindOk>(1, queue::Bind { queue, exchange, ..Default::default() })?;
    for source in &SOURCES {
        let mut arguments = fields(&[("x-dead-letter-exchange", word(EXCHANGE))]);
        if let Some((name, value)) = source.argument {
            arguments.put(name.as_bytes(), Value::I64(value));
        }
        link.declare(1, source.queue, arguments.table())?;
    }
    Ok(())
}

impl Work<'_> {
    fn publish(&mut self, link: &mut Link, publisher: &mut Publisher<'_>) -> Result<(), Gone> {
        for _ in 0..self.random.within(1..40) {
            let source = self.random.within(0..SOURCES.len());
            let id = self.account.add(0, self.random.within(0..5000), true);
            self.fates.insert(id, Fate::new(source));
            publisher.add(id, Letter { key: SOURCES[source].queue, ..Default::default() });
        }
        publisher.send(link, 0)
    }

    /// Consumes a few messages before they die, and refuses others.
    fn take_some(&mut self, link: &mut Link) -> Result<(), Gone> {
        let mut acks = Acks::new(self.shift, self.account, 1);
        let mut refused = Vec::new();
        for source in &SOURCES {
            for _ in 0..self.random.within(0..15) {
                let Some(got) = link.get(1, source.queue)? else { break };
                let id = self.account.received(self.shift, link, &got.message, got.redelivered);
                let fate = self.fates.get_mut(&id).expect("it is not settled");
                assert!(!fate.is_dead, "{id:?} is back in {} after its death", source.queue);
                if source.reason == "rejected" && self.random.chance(80) {
                    fate.is_refused = true;
                    self.account.freed(id);
                    refused.push(id);
                    let (delivery_tag, requeue) = (got.tag, false);
                    link.send(1, basic::Reject { delivery_tag, requeue });
                } else {
                    acks.ack(link, id, got.tag);
                }
            }
        }
        self.make_sure(link, &mut acks)?;
        for id in refused {
            self.fates.get_mut(&id).expect("it is not settled").is_dead = true;
        }
        Ok(())
    }

    fn make_sure(&mut self, link: &mut Link, acks: &mut Acks<'_>) -> Result<(), Gone> {
        for id in acks.make_sure(link)? {
            self.fates.remove(&id);
        }
        Ok(())
    }

    /// Consumes dead letters; how many.
    fn take_dead(&mut self, link: &mut Link, most: usize) -> Result<usize, Gone> {
        let mut acks = Acks::new(self.shift, self.account, 1);
        let mut taken = 0;
        while taken < most {
            let Some(got) = link.get(1, DEAD)? else { break };
            self.judge(&got);
            let id = self.account.received(self.shift, link, &got.message, got.redelivered);
            acks.ack(link, id, got.tag);
            taken += 1;
        }
        self.make_sure(link, &mut acks)?;
        Ok(taken)
    }

    /// Whether a dead letter says what it died of, and did not die too early.
    fn judge(&mut self, got: &GetOk) {
        let id = self.account.identify(&got.message);
        let deaths = got.message.deaths_in_short();
        let fate = self.fates.get_mut(&id);
        let fate = fate.unwrap_or_else(|| panic!("{id:?} died after it was settled: {deaths:?}"));
        let source = &SOURCES[fate.source];
        let [(reason, queue, 1)] = &deaths[..] else {
            panic!("{id:?} died once, in {}, and not: {deaths:?}", source.queue);
        };
        let is_right = queue == source.queue
            && (reason == source.reason || (reason == "rejected" && fate.is_refused));
        assert!(is_right, "{id:?} of {} died of {reason} in {queue}", source.queue);
        let (age, is_early) = (fate.sent_at.elapsed(), reason == "expired");
        // After a restart its time is that of the wall clock.
        let is_early = is_early && age + Duration::from_millis(100) < TTL;
        assert!(!is_early, "{id:?} expired after {age:?}");
        if !fate.is_seen_dead {
            // It is new in this queue.
            self.account.reborn(id);
        }
        (fate.is_dead, fate.is_seen_dead) = (true, true);
    }

    fn take_all(&mut self, link: &mut Link) -> Result<(), Gone> {
        let deadline = now() + STALL;
        loop {
            self.take_some(link)?;
            let mut left = self.take_dead(link, usize::MAX)?;
            for source in &SOURCES {
                left += link.ready(1, source.queue)? as usize;
            }
            let is_missing = !self.account.missing(link.life).is_empty();
            if left == 0 && (!is_missing || now() > deadline) {
                self.account.check(link.life);
                return Ok(());
            }
        }
    }
}
