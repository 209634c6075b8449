//! What does a publisher send next, and which of its messages are safe?
//!
//! Bytes in, bytes out, no socket. The frames of a whole batch are encoded once; for each
//! message only the stamp in its body and its routing key are written over, so a message costs
//! a few nanoseconds.

use std::collections::VecDeque;

use leveret::amqp::method::{basic, confirm, tx};
use leveret::amqp::{Frame, FrameKind, Method, PropertyList, encoder};

use crate::client::{CHANNEL, Client};
use crate::fault::Fault;
use crate::options::{Options, Safety};
use crate::pace::Schedule;
use crate::ranges::Ranges;
use crate::stamp::{STAMP_BYTES, Stamp};
use crate::tally::Tally;
use crate::topology::Lane;
use crate::verify::Claim;

/// One publishing connection.
#[derive(Debug)]
pub struct Publisher {
    id: u16,
    run: u16,
    lanes: Vec<Lane>,
    form: Form,
    batch: Batch,
    safety: Safety,
    schedule: Option<Schedule>,
    /// How many messages it may publish.
    limit: u64,
    /// How many it has published: the number of the next one.
    next: u64,
    /// Sent, in the order of their delivery tags, and not yet popped.
    outstanding: VecDeque<Outstanding>,
    /// The delivery tag of the front of `outstanding`.
    first_tag: u64,
    unsettled: u64,
    again: VecDeque<(u64, u64)>,
    transaction: Transaction,
    resent: Ranges,
    refused: Ranges,
}

/// A message that waits for its confirm.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    message: u64,
    sent_ns: u64,
    settled: bool,
}

/// Where a publisher with `--tx` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    /// So many messages since the last commit.
    Open(u32),
    /// Commit sent, waiting for commit-ok.
    Committing,
}

/// What all messages of a publisher have in common.
#[derive(Debug)]
struct Form {
    exchange: String,
    properties: Vec<u8>,
    size_bytes: usize,
}

/// Encoded messages side by side, those in front of `end` filled in and going out.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    message_bytes: usize,
    key_at: usize,
    /// Where the stamp lies in a message, if there is room for one.
    stamp_at: Option<usize>,
    /// A commit, sent after the batch.
    tail: Vec<u8>,
    end: usize,
    sent: usize,
    tail_sent: usize,
}

impl Publisher {
    /// Publisher `id` of this run.
    pub fn new(options: &Options, id: u16, run: u16, exchange: &str, lanes: Vec<Lane>) -> Self {
        let publishers = u64::from(options.publishers);
        let limit = match options.limit {
            crate::options::Limit::Messages(all) => {
                all / publishers + u64::from(u64::from(id) < all % publishers)
            }
            crate::options::Limit::Seconds(_) | crate::options::Limit::Drained => u64::MAX,
        };
        let mut properties = Vec::new();
        let list = PropertyList {
            delivery_mode: options.persistent.then_some(2),
            ..PropertyList::default()
        };
        list.encode(&mut properties);
        Publisher {
            id,
            run,
            lanes,
            form: Form {
                exchange: String::from(exchange),
                properties,
                size_bytes: options.size_bytes,
            },
            batch: Batch::default(),
            safety: options.safety,
            schedule: options.rate.map(|rate| Schedule::new(rate, publishers, u64::from(id))),
            limit,
            next: 0,
            outstanding: VecDeque::new(),
            first_tag: 1,
            unsettled: 0,
            again: VecDeque::new(),
            transaction: Transaction::Open(0),
            resent: Ranges::default(),
            refused: Ranges::default(),
        }
    }

    /// Sets the channel up and forgets what was half sent on the one before; unconfirmed
    /// messages will be sent again.
    ///
    /// # Errors
    /// What the broker has against it.
    pub fn begin(&mut self, client: &mut Client) -> Result<(), Fault> {
        match self.safety {
            Safety::None => {}
            Safety::Confirm(_) => client.call(confirm::Select { nowait: false }, |answer| {
                matches!(answer, Method::ConfirmSelectOk(_)).then_some(())
            })?,
            Safety::Tx(_) => client.call(tx::Select {}, |answer| {
                matches!(answer, Method::TxSelectOk(_)).then_some(())
            })?,
        }
        Ok(())
    }

    /// Starts afresh on a new connection.
    pub fn connected(&mut self, frame_bytes_max: u32) {
        let key = self.lanes[0].routing_key.as_bytes();
        self.batch = Batch::new(&self.form, key, frame_bytes_max);
        // What was to be sent again but was not is younger than what is outstanding.
        let lost = self.outstanding.drain(..).filter(|message| !message.settled);
        let mut again: VecDeque<(u64, u64)> = lost.map(|m| (m.message, m.sent_ns)).collect();
        again.extend(self.again.drain(..));
        for &(message, _) in &again {
            self.resent.insert(message);
        }
        self.again = again;
        self.first_tag = 1;
        self.unsettled = 0;
        self.transaction = Transaction::Open(0);
    }

    /// Fills the next batch, if the one before has gone out: what is due, what the window has
    /// room for, at most one batch.
    pub fn produce(&mut self, now_ns: u64, start_ns: u64, stopping: bool, tally: &mut Tally) {
        if !self.batch.is_sent() {
            return;
        }
        if stopping {
            self.limit = self.next;
        }
        self.batch.clear();
        let count = self.may_send(now_ns.saturating_sub(start_ns));
        let lanes = self.lanes.len() as u64;
        for _ in 0..count {
            let (message, sent_ns) = match self.again.pop_front() {
                Some(again) => {
                    tally.counts.resent += 1;
                    again
                }
                None => {
                    let message = self.next;
                    self.next += 1;
                    tally.counts.published += 1;
                    (message, self.schedule.map_or(now_ns, |s| start_ns + s.due_ns(message)))
                }
            };
            let (lane, sequence) = match lanes {
                1 => (0, message),
                _ => (message % lanes, message / lanes),
            };
            let stamp = Stamp { publisher: self.id, sequence, run: self.run, sent_ns };
            let key = usize::try_from(lane).map(|lane| &self.lanes[lane].routing_key);
            self.batch.push(key.ok().filter(|_| lanes > 1).map(String::as_bytes), &stamp);
            if self.safety != Safety::None {
                self.outstanding.push_back(Outstanding { message, sent_ns, settled: false });
            }
        }
        if count > 0 {
            tally.counts.active_ns = now_ns;
        }
        self.unsettled += count;
        self.note_transaction(count);
    }

    /// What is to be written.
    pub fn output(&self) -> &[u8] {
        self.batch.output()
    }

    /// So many bytes of it have been.
    pub fn sent(&mut self, bytes: usize) {
        self.batch.note_sent(bytes);
    }

    /// Whether everything has been sent and answered.
    pub fn is_finished(&self) -> bool {
        let answered = self.safety == Safety::None || self.unsettled == 0;
        self.next >= self.limit && self.again.is_empty() && self.batch.is_sent() && answered
    }

    /// Takes a frame of the broker's.
    ///
    /// # Errors
    /// It ends the connection, or does not belong here.
    pub fn take(&mut self, frame: &Frame<'_>, now_ns: u64, tally: &mut Tally) -> Result<(), Fault> {
        match frame.kind {
            FrameKind::Method => {}
            FrameKind::Heartbeat => return Ok(()),
            FrameKind::Header | FrameKind::Body => {
                return Err(Fault::Protocol(String::from(
                    "the broker sent a message to a publisher",
                )));
            }
        }
        tally.counts.active_ns = now_ns;
        let method = Method::decode(frame.payload)?;
        if let Method::BasicAck(ack) = method {
            return self.settle(ack.delivery_tag, ack.multiple, false, now_ns, tally);
        }
        if let Method::BasicNack(nack) = method {
            return self.settle(nack.delivery_tag, nack.multiple, true, now_ns, tally);
        }
        if let (Method::TxCommitOk(_), Transaction::Committing) = (method, self.transaction) {
            self.transaction = Transaction::Open(0);
            return self.settle(0, true, false, now_ns, tally);
        }
        if let Method::ConnectionBlocked(_) = method {
            tally.counts.blocked += 1;
            return Ok(());
        }
        if let Method::ConnectionUnblocked(_) = method {
            return Ok(());
        }
        Err(Fault::of_method(&method).unwrap_or_else(|| {
            Fault::Protocol(format!("the broker sent {} to a publisher", method.name()))
        }))
    }

    /// What was sent, for the verifier.
    pub fn claim(self) -> Claim {
        let mut unsettled = Ranges::default();
        let waiting = self.outstanding.iter().filter(|m| !m.settled).map(|m| m.message);
        for message in waiting.chain(self.again.iter().map(|again| again.0)) {
            unsettled.insert(message);
        }
        Claim {
            publisher: self.id,
            total: self.next,
            lanes: self.lanes.into_iter().map(|lane| lane.queues).collect(),
            resent: self.resent,
            refused: self.refused,
            unsettled,
        }
    }

    /// How many messages may go into a batch now, `elapsed_ns` after the start.
    fn may_send(&self, elapsed_ns: u64) -> u64 {
        let room = match (self.safety, self.transaction) {
            (Safety::None, _) => u64::MAX,
            (Safety::Confirm(window), _) => u64::from(window).saturating_sub(self.unsettled),
            (Safety::Tx(every), Transaction::Open(count)) => u64::from(every - count),
            (Safety::Tx(_), Transaction::Committing) => 0,
        };
        let due = self.schedule.map_or(u64::MAX, |schedule| schedule.due_count(elapsed_ns));
        let fresh = self.limit.min(due).saturating_sub(self.next);
        let wanted = fresh.saturating_add(self.again.len() as u64);
        room.min(wanted).min(self.batch.room())
    }

    /// Commits when the transaction is full, or nothing more will come to fill it.
    fn note_transaction(&mut self, count: u64) {
        let (Safety::Tx(every), Transaction::Open(before)) = (self.safety, self.transaction) else {
            return;
        };
        let now = before + u32::try_from(count).expect("a batch is smaller than its transaction");
        let exhausted = self.again.is_empty() && self.next >= self.limit;
        if now == every || (now > 0 && exhausted) {
            encoder::method_frame(&mut self.batch.tail, CHANNEL, &tx::Commit {});
            self.transaction = Transaction::Committing;
        } else {
            self.transaction = Transaction::Open(now);
        }
    }

    /// The broker answered for `tag`, or with `multiple` for all up to it (0: all).
    fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        refused: bool,
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<(), Fault> {
        let sent = self.outstanding.len() as u64;
        let end = if multiple && tag == 0 {
            sent
        } else {
            tag.wrapping_add(1).wrapping_sub(self.first_tag)
        };
        if end > sent || (end == 0 && !multiple) {
            return Err(Fault::Protocol(format!(
                "the broker confirmed delivery tag {tag}, which is not outstanding"
            )));
        }
        let start = if multiple { 0 } else { end - 1 };
        for index in start..end {
            let index = usize::try_from(index).expect("below the length of a deque");
            let entry = &mut self.outstanding[index];
            if entry.settled {
                continue;
            }
            entry.settled = true;
            self.unsettled -= 1;
            if refused {
                tally.counts.refused += 1;
                self.refused.insert(entry.message);
                continue;
            }
            tally.counts.confirmed += 1;
            if entry.sent_ns >= tally.measure_from_ns {
                tally.confirm_ns.saturating_record(now_ns.saturating_sub(entry.sent_ns));
            }
        }
        while self.outstanding.front().is_some_and(|entry| entry.settled) {
            self.outstanding.pop_front();
            self.first_tag += 1;
        }
        Ok(())
    }
}

impl Batch {
    /// As many copies of the message as go out with one write.
    fn new(form: &Form, routing_key: &[u8], frame_bytes_max: u32) -> Batch {
        let publish = basic::Publish {
            exchange: form.exchange.as_bytes(),
            routing_key,
            mandatory: false,
            immediate: false,
        };
        let mut message = Vec::new();
        encoder::method_frame(&mut message, CHANNEL, &publish);
        // The key is followed by one octet of bits and the frame's end.
        let key_at = message.len() - 2 - routing_key.len();
        let body: Vec<u8> = (b'a'..=b'z').cycle().take(form.size_bytes).collect();
        let mut header = Vec::new();
        encoder::header_frame(&mut header, CHANNEL, body.len() as u64, &form.properties);
        let stamp_at = message.len() + header.len() + FRAME_HEADER_BYTES;
        encoder::content(&mut message, CHANNEL, &form.properties, &body, frame_bytes_max);
        let slots = (BATCH_BYTES / message.len()).max(1);
        Batch {
            bytes: message.repeat(slots),
            message_bytes: message.len(),
            key_at,
            stamp_at: (form.size_bytes >= STAMP_BYTES).then_some(stamp_at),
            ..Batch::default()
        }
    }

    fn clear(&mut self) {
        (self.end, self.sent, self.tail_sent) = (0, 0, 0);
        self.tail.clear();
    }

    /// How many messages there is room for.
    fn room(&self) -> u64 {
        if self.message_bytes == 0 {
            return 0;
        }
        ((self.bytes.len() - self.end) / self.message_bytes) as u64
    }

    #[inline]
    fn push(&mut self, routing_key: Option<&[u8]>, stamp: &Stamp) {
        let message = &mut self.bytes[self.end..][..self.message_bytes];
        if let Some(key) = routing_key {
            message[self.key_at..][..key.len()].copy_from_slice(key);
        }
        if let Some(at) = self.stamp_at {
            stamp.write(&mut message[at..]);
        }
        self.end += self.message_bytes;
    }

    fn output(&self) -> &[u8] {
        if self.sent < self.end {
            &self.bytes[self.sent..self.end]
        } else {
            &self.tail[self.tail_sent..]
        }
    }

    fn note_sent(&mut self, bytes: usize) {
        if self.sent < self.end {
            self.sent += bytes;
        } else {
            self.tail_sent += bytes;
        }
    }

    fn is_sent(&self) -> bool {
        self.output().is_empty()
    }
}

/// Bytes of messages written at once, unless one alone is larger.
const BATCH_BYTES: usize = 128 * 1024;

/// Type, channel and size before a frame's payload.
const FRAME_HEADER_BYTES: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Command, parse};
    use leveret::amqp::Parsed;

    const START_NS: u64 = 1_000_000_000;
    const FRAME_BYTES_MAX: u32 = 4096;

    fn publisher(line: &str, lanes: usize) -> Publisher {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        let Ok(Command::Run(options)) = parse(&arguments) else { panic!("bad options: {line}") };
        let lanes = (0..lanes)
            .map(|lane| Lane { routing_key: format!("key-{lane}"), queues: vec![lane] })
            .collect();
        let mut publisher = Publisher::new(&options, 0, 7, "", lanes);
        publisher.connected(FRAME_BYTES_MAX);
        publisher
    }

    /// One published message as a broker would read it, or a commit.
    #[derive(Debug, PartialEq)]
    enum Seen {
        Message { key: String, stamp: Option<Stamp>, bytes: usize },
        Commit,
    }

    /// Takes everything out of the publisher, as a broker would read it.
    fn take_output(publisher: &mut Publisher) -> Vec<Seen> {
        let mut bytes = Vec::new();
        while !publisher.output().is_empty() {
            // In pieces, as a socket takes them.
            let piece = publisher.output().len().min(1000);
            bytes.extend_from_slice(&publisher.output()[..piece]);
            publisher.sent(piece);
        }
        let mut seen = Vec::new();
        let mut input = bytes.as_slice();
        while let Parsed::Complete(frame, used) = Frame::parse(input, FRAME_BYTES_MAX).unwrap() {
            input = &input[used..];
            if frame.kind == FrameKind::Body {
                let Some(Seen::Message { stamp, bytes, .. }) = seen.last_mut() else {
                    panic!("a body without a message")
                };
                if *bytes == 0 {
                    *stamp = Stamp::read(frame.payload);
                }
                *bytes += frame.payload.len();
            } else if frame.kind == FrameKind::Method {
                let method = Method::decode(frame.payload).unwrap();
                if let Method::BasicPublish(publish) = method {
                    let key = String::from_utf8(publish.routing_key.to_vec()).unwrap();
                    seen.push(Seen::Message { key, stamp: None, bytes: 0 });
                } else if let Method::TxCommit(_) = method {
                    seen.push(Seen::Commit);
                }
            }
        }
        assert!(input.is_empty(), "only whole frames are sent");
        seen
    }

    fn produce(publisher: &mut Publisher, now_ns: u64, tally: &mut Tally) -> Vec<Seen> {
        publisher.produce(now_ns, START_NS, false, tally);
        take_output(publisher)
    }

    fn sequences(seen: &[Seen]) -> Vec<u64> {
        let stamp = |seen: &Seen| match seen {
            Seen::Message { stamp, .. } => stamp.map(|stamp| stamp.sequence),
            Seen::Commit => None,
        };
        seen.iter().filter_map(stamp).collect()
    }

    fn answer(
        publisher: &mut Publisher,
        method: impl Into<Method<'static>>,
        tally: &mut Tally,
    ) -> Result<(), Fault> {
        let mut payload = Vec::new();
        method.into().encode(&mut payload);
        let frame = Frame { kind: FrameKind::Method, channel: 1, payload: &payload };
        publisher.take(&frame, START_NS + 5000, tally)
    }

    fn ack(delivery_tag: u64, multiple: bool) -> basic::Ack {
        basic::Ack { delivery_tag, multiple }
    }

    #[test]
    fn messages_go_round_the_lanes_with_a_stamp_each() {
        let mut publisher = publisher("--messages 5 --size 20", 2);
        let mut tally = Tally::new();
        let seen = produce(&mut publisher, START_NS, &mut tally);
        let at = |message: u64| Seen::Message {
            key: format!("key-{}", message % 2),
            stamp: Some(Stamp { publisher: 0, sequence: message / 2, run: 7, sent_ns: START_NS }),
            bytes: 20,
        };
        assert_eq!(seen, (0..5).map(at).collect::<Vec<_>>());
        assert!(publisher.is_finished());
        let claim = publisher.claim();
        assert_eq!((claim.total, claim.lanes.len()), (5, 2));
    }

    #[test]
    fn bodies_of_every_size_go_out_whole() {
        for size in [0, 1, 15, 16, 4088, 4089, 20_000, 300_000] {
            let mut publisher = publisher(&format!("--messages 2 --size {size}"), 1);
            let mut tally = Tally::new();
            let mut seen = produce(&mut publisher, START_NS, &mut tally);
            seen.extend(produce(&mut publisher, START_NS, &mut tally));
            assert_eq!(seen.len(), 2);
            for (sequence, seen) in (0..).zip(&seen) {
                let Seen::Message { stamp, bytes, .. } = seen else { panic!("a commit") };
                assert_eq!(*bytes, size);
                let expected = (size >= STAMP_BYTES).then_some(sequence);
                assert_eq!(stamp.map(|stamp| stamp.sequence), expected);
            }
        }
    }

    #[test]
    fn no_more_are_unconfirmed_than_the_window_allows() {
        let mut publisher = publisher("--confirm 4 --size 16", 1);
        let mut tally = Tally::new();
        assert_eq!(sequences(&produce(&mut publisher, START_NS, &mut tally)), [0, 1, 2, 3]);
        assert!(produce(&mut publisher, START_NS, &mut tally).is_empty());
        answer(&mut publisher, ack(3, false), &mut tally).unwrap();
        assert_eq!(sequences(&produce(&mut publisher, START_NS, &mut tally)), [4]);
        answer(&mut publisher, ack(4, true), &mut tally).unwrap();
        assert_eq!(sequences(&produce(&mut publisher, START_NS, &mut tally)), [5, 6, 7]);
        answer(&mut publisher, ack(0, true), &mut tally).unwrap();
        assert_eq!((tally.counts.published, tally.counts.confirmed), (8, 8));
    }

    #[test]
    fn confirms_of_what_was_never_sent_are_a_fault() {
        let mut publisher = publisher("--confirm 4 --size 16", 1);
        let mut tally = Tally::new();
        produce(&mut publisher, START_NS, &mut tally);
        assert!(answer(&mut publisher, ack(5, false), &mut tally).is_err());
        assert!(answer(&mut publisher, ack(5, true), &mut tally).is_err());
        assert!(answer(&mut publisher, ack(0, false), &mut tally).is_err());
        answer(&mut publisher, ack(4, true), &mut tally).unwrap();
        assert!(answer(&mut publisher, ack(1, false), &mut tally).is_err());
        assert!(answer(&mut publisher, ack(u64::MAX, false), &mut tally).is_err());
    }

    #[test]
    fn refused_messages_are_told_apart() {
        let mut publisher = publisher("--confirm 3 --messages 3", 1);
        let mut tally = Tally::new();
        produce(&mut publisher, START_NS, &mut tally);
        let nack = basic::Nack { delivery_tag: 2, multiple: false, requeue: false };
        answer(&mut publisher, nack, &mut tally).unwrap();
        assert!(!publisher.is_finished());
        answer(&mut publisher, ack(3, true), &mut tally).unwrap();
        assert!(publisher.is_finished());
        assert_eq!((tally.counts.confirmed, tally.counts.refused), (2, 1));
        assert!(publisher.claim().refused.contains(1));
    }

    #[test]
    fn after_a_lost_connection_the_unconfirmed_are_sent_again() {
        let mut publisher = publisher("--confirm 4 --size 16 --messages 6", 1);
        let mut tally = Tally::new();
        produce(&mut publisher, START_NS, &mut tally);
        answer(&mut publisher, ack(2, false), &mut tally).unwrap();
        publisher.connected(FRAME_BYTES_MAX);
        let seen = produce(&mut publisher, START_NS + 9, &mut tally);
        assert_eq!(sequences(&seen), [0, 2, 3, 4]);
        let Seen::Message { stamp: Some(stamp), .. } = &seen[1] else { panic!("no stamp") };
        assert_eq!(stamp.sent_ns, START_NS, "it counts from when it was first meant to go");
        assert_eq!((tally.counts.published, tally.counts.resent), (5, 3));
        // Lost once more: tags begin at 1 again, order stays.
        answer(&mut publisher, ack(1, false), &mut tally).unwrap();
        publisher.connected(FRAME_BYTES_MAX);
        assert_eq!(sequences(&produce(&mut publisher, START_NS, &mut tally)), [2, 3, 4, 5]);
        answer(&mut publisher, ack(4, true), &mut tally).unwrap();
        assert!(publisher.is_finished());
        let claim = publisher.claim();
        assert!(claim.resent.iter().eq([0, 2, 3, 4]));
        assert_eq!(claim.unsettled.iter().count(), 0);
    }

    #[test]
    fn what_is_left_unanswered_is_claimed_as_such() {
        let mut publisher = publisher("--confirm 4 --size 16", 1);
        let mut tally = Tally::new();
        produce(&mut publisher, START_NS, &mut tally);
        answer(&mut publisher, ack(2, false), &mut tally).unwrap();
        assert!(publisher.claim().unsettled.iter().eq([0, 2, 3]));
    }

    #[test]
    fn a_transaction_is_committed_when_full_and_at_the_end() {
        let mut publisher = publisher("--tx 2 --messages 3 --size 16", 1);
        let mut tally = Tally::new();
        let seen = produce(&mut publisher, START_NS, &mut tally);
        assert_eq!((sequences(&seen), &seen[2]), (vec![0, 1], &Seen::Commit));
        assert!(produce(&mut publisher, START_NS, &mut tally).is_empty(), "it waits");
        answer(&mut publisher, tx::CommitOk {}, &mut tally).unwrap();
        assert_eq!(tally.counts.confirmed, 2);
        let seen = produce(&mut publisher, START_NS, &mut tally);
        assert_eq!((sequences(&seen), &seen[1]), (vec![2], &Seen::Commit));
        assert!(!publisher.is_finished());
        answer(&mut publisher, tx::CommitOk {}, &mut tally).unwrap();
        assert!(publisher.is_finished());
        assert!(answer(&mut publisher, tx::CommitOk {}, &mut tally).is_err());
    }

    #[test]
    fn stopping_commits_an_open_transaction() {
        let mut publisher = publisher("--tx 100 --rate 1000 --size 16", 1);
        let mut tally = Tally::new();
        let seen = produce(&mut publisher, START_NS + 2_000_000, &mut tally);
        assert_eq!(sequences(&seen), [0, 1, 2]);
        assert!(!seen.contains(&Seen::Commit));
        publisher.produce(START_NS + 2_000_000, START_NS, true, &mut tally);
        assert_eq!(take_output(&mut publisher), [Seen::Commit]);
    }

    #[test]
    fn a_rate_holds_back_and_latency_counts_from_the_schedule() {
        let mut publisher = publisher("--rate 1000 --confirm 100 --size 16", 1);
        let mut tally = Tally::new();
        tally.measure_from_ns = 0;
        assert_eq!(sequences(&produce(&mut publisher, START_NS, &mut tally)), [0]);
        assert!(produce(&mut publisher, START_NS + 999_999, &mut tally).is_empty());
        // The tool was late: two are due, each with its own place in the schedule.
        let seen = produce(&mut publisher, START_NS + 2_500_000, &mut tally);
        let sent = |seen: &Seen| match seen {
            Seen::Message { stamp, .. } => stamp.unwrap().sent_ns,
            Seen::Commit => 0,
        };
        let sent: Vec<u64> = seen.iter().map(sent).collect();
        assert_eq!(sent, [START_NS + 1_000_000, START_NS + 2_000_000]);
        answer(&mut publisher, ack(1, false), &mut tally).unwrap();
        assert_eq!(tally.confirm_ns.len(), 1);
        assert!(tally.confirm_ns.max().abs_diff(5000) < 10);
    }

    #[test]
    fn messages_are_shared_out_to_the_last_one() {
        let arguments: Vec<String> =
            "--publishers 3 --messages 8".split(' ').map(String::from).collect();
        let Ok(Command::Run(options)) = parse(&arguments) else { panic!("bad options") };
        let lane = || vec![Lane { routing_key: String::new(), queues: vec![0] }];
        let limits = (0..3).map(|id| Publisher::new(&options, id, 7, "", lane()).limit);
        assert_eq!(limits.collect::<Vec<_>>(), [3, 3, 2]);
    }
}
