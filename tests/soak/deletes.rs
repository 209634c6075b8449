//! Do definitions come and go as they should? Exclusive, auto-deleted and durable queues and
//! exchanges that are declared, bound, filled, purged and deleted without end, with the right
//! counts, also where the broker is ended in between.

use std::collections::BTreeMap;

use super::account::{Account, Letter};
use super::link::{Gone, Link};
use super::publisher::Publisher;
use super::shift::Shift;
use crate::common::{
    BindOk, CancelOk, ChannelClose, DeclareOk, DeleteOk, ExchangeDeclareOk, ExchangeDeleteOk,
    Method, PurgeOk, Random, Table, basic, channel, exchange, named, passive, queue,
};

/// What the broker has answered for: what has to be there, and how many messages are in it.
type Durable = BTreeMap<String, usize>;

struct Work<'a> {
    shift: &'a Shift,
    account: Account,
    random: Random,
    count: usize,
    there: Durable,
    /// The last one that was deleted.
    deleted: Option<String>,
    /// What was being declared, filled, purged or deleted when the broker ended.
    open: Option<String>,
    /// The same for an exchange.
    open_exchange: Option<String>,
}

pub fn work(shift: &Shift, random: Random) {
    let account = Account::new("deletes", 1);
    let there = Durable::new();
    let mut work = Work {
        shift,
        account,
        random,
        count: 0,
        there,
        deleted: None,
        open: None,
        open_exchange: None,
    };
    shift.on_links(|link| {
        link.open(1)?;
        work.look(link)?;
        while !shift.is_over() {
            match work.random.within(0..6) {
                0 => work.exclusive(link)?,
                1 => work.auto_deleted(link)?,
                2 => work.exchanges(link)?,
                _ => work.durable(link)?,
            }
            shift.pause(work.random.within(0..50));
        }
        while let Some((name, count)) = work.there.pop_first() {
            work.open = Some(name.clone());
            assert_eq!(delete(link, &name)? as usize, count, "{name} was deleted");
            work.open = None;
        }
        Ok(())
    });
}

fn delete(link: &mut Link, name: &str) -> Result<u32, Gone> {
    let delete = queue::Delete { queue: name.as_bytes(), ..Default::default() };
    Ok(link.call::<DeleteOk>(1, delete)?.messages)
}

fn purge(link: &mut Link, name: &str) -> Result<usize, Gone> {
    let purge = queue::Purge { queue: name.as_bytes(), nowait: false };
    Ok(link.call::<PurgeOk>(1, purge)?.messages as usize)
}

/// Expects that there is no such queue, or exchange; the channel is open again afterwards.
fn expect_none<'a>(
    link: &mut Link,
    what: &str,
    question: impl Into<Method<'a>>,
) -> Result<(), Gone> {
    let close = link.call::<ChannelClose>(1, question)?.0;
    close.assert(404, what);
    link.send(1, channel::CloseOk {});
    link.open(1)
}

impl Work<'_> {
    fn name(&mut self, part: &str) -> String {
        self.count += 1;
        format!("soak.deletes.{part}.{}", self.count)
    }

    /// What was answered for is there, as it was, and what was deleted is not.
    fn look(&mut self, link: &mut Link) -> Result<(), Gone> {
        if let Some(name) = self.open.take() {
            self.there.remove(&name);
            // It may be there or not.
            self.open = Some(name.clone());
            delete(link, &name)?;
            self.open = None;
        }
        if let Some(name) = &self.open_exchange {
            let delete = exchange::Delete { exchange: name.as_bytes(), ..Default::default() };
            link.call::<ExchangeDeleteOk>(1, delete)?;
            self.open_exchange = None;
        }
        for (name, count) in &self.there {
            let found = link.ready(1, name)?;
            assert_eq!(found as usize, *count, "{name} in life {}", link.life);
        }
        if let Some(name) = self.deleted.take() {
            expect_none(link, &name, passive(&name))?;
        }
        Ok(())
    }

    /// Publishes so many messages and waits for their confirms.
    fn fill(&mut self, link: &mut Link, letter: Letter<'_>, count: usize) -> Result<(), Gone> {
        let mut publisher = Publisher::open(self.shift, &self.account, link, 2)?;
        // What is counted after a restart has to survive it.
        let persistent = self.open.is_some() || self.random.chance(50);
        for _ in 0..count {
            let id = self.account.add(0, self.random.within(0..3000), persistent);
            publisher.add(id, letter);
        }
        publisher.send(link, 0)?;
        link.close_channel(2)
    }

    fn exclusive(&mut self, link: &mut Link) -> Result<(), Gone> {
        let declare = queue::Declare { exclusive: true, ..Default::default() };
        let name = link.call::<DeclareOk>(1, declare)?.queue;
        let (count, key) = (self.random.within(0..20), &name);
        self.fill(link, Letter { key, ..Default::default() }, count)?;
        assert_eq!(purge(link, &name)?, count, "{name} was purged");
        self.fill(link, Letter { key, ..Default::default() }, count)?;
        assert_eq!(delete(link, &name)? as usize, count, "{name} was deleted");
        expect_none(link, &name, passive(&name))
    }

    /// It goes with its last consumer, whatever is in it.
    fn auto_deleted(&mut self, link: &mut Link) -> Result<(), Gone> {
        let name = self.name("auto");
        link.call::<DeclareOk>(1, queue::Declare { auto_delete: true, ..named(&name) })?;
        let count = self.random.within(0..20);
        self.fill(link, Letter { key: &name, ..Default::default() }, count)?;
        link.open(3)?;
        link.consume(3, &name, Table::EMPTY)?;
        if self.random.chance(50) {
            let consumer_tag = name.as_bytes();
            link.call::<CancelOk>(3, basic::Cancel { consumer_tag, nowait: false })?;
        }
        link.close_channel(3)?;
        expect_none(link, &name, passive(&name))
    }

    /// A durable exchange with two queues; one loses its binding with its life.
    fn exchanges(&mut self, link: &mut Link) -> Result<(), Gone> {
        let name = self.name("x");
        let exchange = name.as_bytes();
        self.open_exchange = Some(name.clone());
        let kind = self.random.pick(&["direct", "fanout", "topic"]).as_bytes();
        let declare = exchange::Declare { exchange, kind, durable: true, ..Default::default() };
        link.call::<ExchangeDeclareOk>(1, declare)?;
        let mut queues = Vec::new();
        for _ in 0..2 {
            let declare = queue::Declare { exclusive: true, ..Default::default() };
            let queue = link.call::<DeclareOk>(1, declare)?.queue;
            let routing_key = b"key";
            let bind = queue::Bind {
                queue: queue.as_bytes(),
                exchange,
                routing_key,
                ..Default::default()
            };
            link.call::<BindOk>(1, bind)?;
            queues.push(queue);
        }
        let count = self.random.within(1..20);
        let letter = Letter { exchange: &name, key: "key", ..Default::default() };
        self.fill(link, letter, count)?;
        assert_eq!(delete(link, &queues[0])? as usize, count, "a queue of {name} was deleted");
        self.fill(link, letter, count)?;
        assert_eq!(purge(link, &queues[1])?, 2 * count, "a queue of {name} was purged");
        let delete = exchange::Delete { exchange, ..Default::default() };
        link.call::<ExchangeDeleteOk>(1, delete)?;
        let again = exchange::Declare { exchange, kind, passive: true, ..Default::default() };
        expect_none(link, &name, again)?;
        self.open_exchange = None;
        delete_empty(link, &queues[1])
    }

    /// One that stays for some time, through restarts, or goes.
    fn durable(&mut self, link: &mut Link) -> Result<(), Gone> {
        let old = (self.there.len() > 5).then(|| self.there.pop_first()).flatten();
        let (name, mut count) = match old {
            Some(old) => old,
            None => (self.name("durable"), 0),
        };
        self.open = Some(name.clone());
        link.declare(1, &name, Table::EMPTY)?;
        if self.random.chance(60) {
            let more = self.random.within(0..30);
            self.fill(link, Letter { key: &name, ..Default::default() }, more)?;
            count += more;
        }
        if self.random.chance(30) {
            let taken = self.random.within(0..5).min(count);
            assert_eq!(purge_beside(link, &name, taken)?, count - taken, "{name} was purged");
            count = taken;
        }
        if self.random.chance(40) {
            assert_eq!(delete(link, &name)? as usize, count, "{name} was deleted");
            expect_none(link, &name, passive(&name))?;
            self.deleted = Some(name);
        } else {
            self.there.insert(name, count);
        }
        self.open = None;
        Ok(())
    }
}

fn delete_empty(link: &mut Link, name: &str) -> Result<(), Gone> {
    assert_eq!(delete(link, name)?, 0, "{name} was empty");
    Ok(())
}

/// Purges a queue while so many of its messages are unacked, which come back.
fn purge_beside(link: &mut Link, name: &str, unacked: usize) -> Result<usize, Gone> {
    link.open(3)?;
    for _ in 0..unacked {
        assert!(link.get(3, name)?.is_some(), "{name} holds more");
    }
    let purged = purge(link, name)?;
    link.close_channel(3)?;
    assert_eq!(link.ready(1, name)? as usize, unacked, "{name} after its purge");
    Ok(purged)
}
