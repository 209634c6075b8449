//! Is a transaction all or nothing? One queue that only this worker uses, so that it is certain
//! what has to be in it after every commit and every rollback, and in what order.

use std::collections::BTreeSet;

use super::account::{Account, Id, Letter};
use super::link::{Gone, Link};
use super::shift::Shift;
use crate::common::{Random, Table, TxCommitOk, TxRollbackOk, TxSelectOk, tx};

const QUEUE: &str = "soak.tx";
/// So many messages are in the queue at most.
const LENGTH_MAX: usize = 100;

/// The numbers of messages that are in the queue; that is their order, too.
type Content = BTreeSet<usize>;

struct Work<'a> {
    shift: &'a Shift,
    account: Account,
    random: Random,
    content: Content,
    /// What would be in it if the commit that was not answered took effect.
    instead: Option<Content>,
}

pub fn work(shift: &Shift, random: Random) {
    let account = Account::new("transactions", 1);
    let content = Content::new();
    let mut work = Work { shift, account, random, content, instead: None };
    shift.on_links(|link| {
        link.open(1)?;
        link.declare(1, QUEUE, Table::EMPTY)?;
        work.look(link)?;
        while !shift.is_over() {
            work.transact(link)?;
            if work.random.chance(10) {
                work.look(link)?;
            }
            shift.pause(work.random.within(0..50));
        }
        work.look(link)?;
        work.settle_all(link)?;
        work.look(link)
    });
}

impl Work<'_> {
    /// Takes everything, compares, and gives it back.
    fn look(&mut self, link: &mut Link) -> Result<(), Gone> {
        link.open(3)?;
        let mut found = Vec::new();
        while let Some(got) = link.get(3, QUEUE)? {
            found.push(self.account.identify(&got.message).number);
        }
        link.close_channel(3)?;
        let is_same = |content: &Content| content.iter().copied().eq(found.iter().copied());
        if let Some(instead) = self.instead.take()
            && is_same(&instead)
        {
            self.content = instead;
            return Ok(());
        }
        assert!(
            is_same(&self.content),
            "{QUEUE} holds {found:?} in life {}, and not {:?}",
            link.life,
            self.content
        );
        Ok(())
    }

    /// One transaction on a channel of its own; what it took and did not ack comes back with that.
    fn transact(&mut self, link: &mut Link) -> Result<(), Gone> {
        link.open(2)?;
        link.call::<TxSelectOk>(2, tx::Select {})?;
        for _ in 0..self.random.within(1..4) {
            let mut after = self.content.clone();
            self.publish(link, &mut after);
            self.take_some(link, &mut after)?;
            if self.random.chance(60) {
                self.instead = Some(after.clone());
                link.call::<TxCommitOk>(2, tx::Commit {})?;
                (self.content, self.instead) = (after, None);
            } else {
                link.call::<TxRollbackOk>(2, tx::Rollback {})?;
                // What was acked is outstanding again, and comes back with the channel.
                break;
            }
        }
        if self.random.chance(20) {
            // Begun, and not ended.
            let mut nowhere = self.content.clone();
            self.publish(link, &mut nowhere);
        }
        link.close_channel(2)?;
        link.wait_for_ready(1, QUEUE, self.content.len())
    }

    /// One transaction that acks everything.
    fn settle_all(&mut self, link: &mut Link) -> Result<(), Gone> {
        link.open(2)?;
        link.call::<TxSelectOk>(2, tx::Select {})?;
        while let Some(got) = link.get(2, QUEUE)? {
            link.ack(2, got.tag, false);
        }
        self.instead = Some(Content::new());
        link.call::<TxCommitOk>(2, tx::Commit {})?;
        (self.content, self.instead) = (Content::new(), None);
        link.close_channel(2)
    }

    fn publish(&mut self, link: &mut Link, after: &mut Content) {
        let mut out = Vec::new();
        for _ in 0..self.random.within(0..10) {
            if after.len() >= LENGTH_MAX {
                break;
            }
            let bytes = *self.random.pick(&[0, 10, 1000, 20_000, 150_000]);
            let id: Id = self.account.add(0, bytes, true);
            self.account.encode(&mut out, 2, id, Letter { key: QUEUE, ..Default::default() });
            after.insert(id.number);
            self.shift.count_published(1);
        }
        link.send_bytes(&out);
    }

    fn take_some(&mut self, link: &mut Link, after: &mut Content) -> Result<(), Gone> {
        for _ in 0..self.random.within(0..12) {
            let Some(got) = link.get(2, QUEUE)? else { break };
            let id = self.account.identify(&got.message);
            let is_there = self.content.contains(&id.number);
            assert!(is_there, "{id:?} came, and is not committed, or acked");
            if self.random.chance(80) {
                assert!(after.remove(&id.number), "{id:?} came twice");
                link.ack(2, got.tag, false);
            }
            self.shift.count_consumed(1);
        }
        Ok(())
    }
}
