//! Does the more urgent message come first? One queue with ten priorities that only this worker
//! uses, so that it is certain what waits there at the same time: everything.

use super::account::{Account, Id, Letter, Sizes};
use super::link::{Gone, Link};
use super::publisher::{Acks, Publisher, take_all};
use super::shift::Shift;
use crate::common::{Random, Value, fields};

const QUEUE: &str = "soak.priority";
const PRIORITY_MAX: u8 = 9;

pub fn work(shift: &Shift, mut random: Random) {
    let account = Account::new("priorities", 1);
    let mut sizes = Sizes::default();
    let mut priorities = Vec::new();
    shift.on_links(|link| {
        link.open(1)?;
        let arguments = fields(&[("x-max-priority", Value::I64(PRIORITY_MAX.into()))]);
        link.declare(1, QUEUE, arguments.table())?;
        let mut publisher = Publisher::open(shift, &account, link, 2)?;
        while !shift.is_over() {
            // First what an earlier link left.
            take_in_order(shift, &account, link, &priorities)?;
            let count = random.within(1..80);
            for _ in 0..count {
                let id = account.add(0, sizes.next(&mut random) / 20, true);
                // Above the queue's maximum counts as the maximum.
                let priority = u8::try_from(random.within(0..12)).expect("it is small");
                priorities.push(priority.min(PRIORITY_MAX));
                let priority = Some(priority);
                publisher.add(id, Letter { key: QUEUE, priority, ..Default::default() });
            }
            publisher.send(link, 0)?;
            if random.chance(20) {
                let mut other = shift.link();
                if other.life != link.life {
                    return Err(Gone::Broker);
                }
                take_some(shift, &account, &mut other, &priorities, random.within(1..30))?;
                // Goes without a word: it comes back to where it was.
                drop(other);
                link.wait_for_ready(1, QUEUE, count)?;
            }
            shift.pause(random.within(5..100));
        }
        take_in_order(shift, &account, link, &priorities)?;
        take_all(shift, &account, link, 1, &[QUEUE])
    });
}

/// Takes everything, the more urgent and then the older first, and acks it.
fn take_in_order(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    priorities: &[u8],
) -> Result<(), Gone> {
    let mut acks = Acks::new(shift, account, 1);
    let mut order = Order { priorities, last: None };
    let mut last = None;
    while let Some(got) = link.get(1, QUEUE)? {
        let id = account.received(shift, link, &got.message, got.redelivered);
        order.check(id);
        acks.note(link, [id]);
        last = Some(got.tag);
    }
    if let Some(tag) = last {
        link.ack(1, tag, true);
    }
    acks.make_sure(link)?;
    Ok(())
}

/// Takes some of what waits, for a link that is about to be dropped.
fn take_some(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    priorities: &[u8],
    most: usize,
) -> Result<(), Gone> {
    link.open(1)?;
    let mut order = Order { priorities, last: None };
    let mut taken = Vec::new();
    while taken.len() < most {
        let Some(got) = link.get(1, QUEUE)? else { break };
        let id = account.received(shift, link, &got.message, got.redelivered);
        order.check(id);
        taken.push(id);
    }
    taken.into_iter().for_each(|id| account.freed(id));
    Ok(())
}

struct Order<'a> {
    priorities: &'a [u8],
    last: Option<(u8, Id)>,
}

impl Order<'_> {
    fn check(&mut self, id: Id) {
        let priority = self.priorities[id.number];
        if let Some((before, earlier)) = self.last {
            let is_right = (before, id.number) > (priority, earlier.number);
            assert!(is_right, "{id:?} of {priority} came after {earlier:?} of {before}");
        }
        self.last = Some((priority, id));
    }
}
