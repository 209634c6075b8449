//! How does a worker publish, know what is confirmed, and take what is left?

use std::collections::VecDeque;

use super::account::{Account, Id, Letter};
use super::link::{Gone, Link, STALL};
use super::shift::Shift;
use crate::common::{Event, Method, now};

/// So many acks are sent before the broker is asked whether it has them.
const ACKS_MAX: usize = 50;

/// A channel with confirms on one link.
pub struct Publisher<'a> {
    shift: &'a Shift,
    account: &'a Account,
    channel: u16,
    out: Vec<u8>,
    /// What was not sent yet.
    added: usize,
    sequence: u64,
    /// What waits for its confirm.
    waiting: VecDeque<(u64, Id)>,
}

impl<'a> Publisher<'a> {
    /// Opens the channel.
    pub fn open(
        shift: &'a Shift,
        account: &'a Account,
        link: &mut Link,
        channel: u16,
    ) -> Result<Publisher<'a>, Gone> {
        link.open_with_confirms(channel)?;
        let (out, waiting) = (Vec::new(), VecDeque::new());
        Ok(Publisher { shift, account, channel, out, added: 0, sequence: 0, waiting })
    }

    /// Adds a message to what is sent next.
    pub fn add(&mut self, id: Id, letter: Letter<'_>) {
        self.account.encode(&mut self.out, self.channel, id, letter);
        self.sequence += 1;
        self.added += 1;
        self.waiting.push_back((self.sequence, id));
    }

    /// How many bytes are to be sent.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Sends what was added, and waits until no more than `most` messages wait for confirms.
    pub fn send(&mut self, link: &mut Link, most: usize) -> Result<(), Gone> {
        self.shift.count_published(std::mem::take(&mut self.added));
        link.send_bytes(&self.out);
        self.out.clear();
        while self.waiting.len() > most {
            let event = link.next(self.channel)?;
            self.take(&event, link.life);
        }
        Ok(())
    }

    /// A confirm; nothing else comes on this channel.
    fn take(&mut self, event: &Event, life: u32) {
        let Method::BasicAck(ack) = event.method() else {
            panic!("a confirm was to come, but: {:?}", event.method());
        };
        let before = self.waiting.len();
        self.waiting.retain(|&(sequence, id)| {
            let stays =
                sequence > ack.delivery_tag || (!ack.multiple && sequence < ack.delivery_tag);
            if !stays {
                self.account.confirmed(id, life);
            }
            stays
        });
        assert!(self.waiting.len() < before, "{ack:?} confirms nothing");
        self.shift.count_confirmed(before - self.waiting.len());
    }
}

/// Deliveries of one channel that were settled, and that the broker is asked about now and then.
pub struct Acks<'a> {
    shift: &'a Shift,
    account: &'a Account,
    channel: u16,
    settling: Vec<Id>,
}

impl<'a> Acks<'a> {
    pub fn new(shift: &'a Shift, account: &'a Account, channel: u16) -> Acks<'a> {
        Acks { shift, account, channel, settling: Vec::new() }
    }

    /// Says that these are about to be settled.
    pub fn note(&mut self, link: &Link, ids: impl IntoIterator<Item = Id>) {
        for id in ids {
            self.account.settling(id, link.life);
            self.settling.push(id);
        }
    }

    /// Acks one message.
    pub fn ack(&mut self, link: &mut Link, id: Id, tag: u64) {
        self.note(link, [id]);
        link.ack(self.channel, tag, false);
    }

    pub fn are_many(&self) -> bool {
        self.settling.len() >= ACKS_MAX
    }

    /// Asks; when the answer comes, nothing brings back what was settled before.
    pub fn make_sure(&mut self, link: &mut Link) -> Result<Vec<Id>, Gone> {
        link.round_trip(self.channel)?;
        for &id in &self.settling {
            self.account.settled(id);
        }
        self.shift.count_consumed(self.settling.len());
        Ok(std::mem::take(&mut self.settling))
    }

    /// The connection is about to be dropped: nobody knows which of them arrived.
    pub fn give_up(&mut self) {
        for id in self.settling.drain(..) {
            self.account.freed(id);
        }
    }
}

/// Takes and acks what is ready in a queue; how many messages.
pub fn take_rest(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    channel: u16,
    queue: &str,
) -> Result<usize, Gone> {
    let mut acks = Acks::new(shift, account, channel);
    let mut taken = 0;
    while let Some(got) = link.get(channel, queue)? {
        let id = account.received(shift, link, &got.message, got.redelivered);
        acks.ack(link, id, got.tag);
        taken += 1;
        if acks.are_many() {
            acks.make_sure(link)?;
        }
    }
    acks.make_sure(link)?;
    Ok(taken)
}

/// Takes what is left of an account in these queues, until nothing is missing and they are empty.
/// Unacked messages of connections that were dropped come back in their own time.
pub fn take_all(
    shift: &Shift,
    account: &Account,
    link: &mut Link,
    channel: u16,
    queues: &[&str],
) -> Result<(), Gone> {
    let deadline = now() + STALL;
    loop {
        let mut ready = 0;
        for queue in queues {
            take_rest(shift, account, link, channel, queue)?;
            ready += link.ready(channel, queue)?;
        }
        if ready == 0 && (now() > deadline || account.missing(link.life).is_empty()) {
            account.check(link.life);
            return Ok(());
        }
    }
}
