//! Does a stream keep its messages in a row? One publisher to a stream of bounded length, readers
//! that begin anywhere, and one that follows for as long as the shift lasts.
//!
//! Offsets ascend one by one, and the messages with them. What is skipped fell out of the stream's
//! length, or was never confirmed.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::account::{Account, Id, Letter};
use super::link::{Gone, Link};
use super::publisher::Publisher;
use super::shift::Shift;
use crate::common::{DeleteOk, Delivery, Random, Value, fields, queue, word};

const STREAM: &str = "soak.stream";
const LENGTH_BYTES_MAX: usize = 2_000_000;

/// What was published.
struct Stream<'a> {
    shift: &'a Shift,
    account: &'a Account,
    /// How many bytes were published before each message, and before the next one.
    before: Mutex<Vec<usize>>,
}

/// Where a reader is.
#[derive(Clone, Copy)]
struct Spot {
    offset: i64,
    number: usize,
}

pub fn work(shift: &Shift, random: Random) {
    let account = Account::new("streams", 1);
    let before = Mutex::new(vec![0]);
    let stream = Stream { shift, account: &account, before };
    thread::scope(|scope| {
        let stream = &stream;
        shift.spawn(scope, "follower", |random| stream.follow(random));
        stream.publish_and_read(random);
    });
    shift.on_links(|link| {
        link.open(1)?;
        let delete = queue::Delete { queue: STREAM.as_bytes(), ..Default::default() };
        link.call::<DeleteOk>(1, delete)?;
        Ok(())
    });
}

fn declare(link: &mut Link) -> Result<(), Gone> {
    link.open(1)?;
    let arguments = fields(&[
        ("x-queue-type", word("stream")),
        ("x-max-length-bytes", Value::I64(LENGTH_BYTES_MAX as i64)),
    ]);
    link.declare(1, STREAM, arguments.table())
}

/// Starts a reader on channel 3.
fn read_from(link: &mut Link, from: Value<'_>, prefetch: usize) -> Result<(), Gone> {
    link.open(3)?;
    link.prefetch(3, prefetch)?;
    link.consume(3, STREAM, fields(&[("x-stream-offset", from)]).table())
}

fn offset(delivery: &Delivery) -> i64 {
    let headers = delivery.message.headers();
    match headers.table().find(b"x-stream-offset") {
        Some(Value::I64(offset)) => offset,
        other => panic!("x-stream-offset is a long: {other:?}"),
    }
}

impl Stream<'_> {
    fn publish_and_read(&self, mut random: Random) {
        let mut newest = None;
        self.shift.on_links(|link| {
            declare(link)?;
            let mut publisher = Publisher::open(self.shift, self.account, link, 2)?;
            // At least one that is confirmed, so that readers know where the end is.
            loop {
                let is_over = self.shift.is_over();
                let last = self.publish(link, &mut publisher, &mut random)?;
                let end = match random.within(0..4) {
                    _ if is_over || newest.is_none() => self.read(link, 0, last)?,
                    0 => self.read(link, 0, last)?,
                    1 => self.read_last(link, last)?,
                    2 => {
                        let newest: Spot = newest.expect("it was read before");
                        let back = i64::try_from(random.within(0..200)).expect("it is small");
                        let from = newest.offset.saturating_sub(back).max(0);
                        self.read(link, from, last)?
                    }
                    _ => self.read_next(link, &mut publisher, &mut random)?,
                };
                newest = Some(end);
                if is_over {
                    return Ok(());
                }
                self.shift.pause(random.within(5..100));
            }
        });
    }

    /// Publishes some messages; the number of the last one.
    fn publish(
        &self,
        link: &mut Link,
        publisher: &mut Publisher<'_>,
        random: &mut Random,
    ) -> Result<usize, Gone> {
        let most = *random.pick(&[100, 1000, 60_000]);
        let mut last = 0;
        for _ in 0..random.within(1..30) {
            let id = self.account.add(0, random.within(0..most), true);
            let mut before = self.before.lock().expect("nobody fails with it");
            let all = before[id.number] + self.account.bytes(id);
            before.push(all);
            drop(before);
            publisher.add(id, Letter { key: STREAM, ..Default::default() });
            last = id.number;
        }
        publisher.send(link, 0)?;
        Ok(last)
    }

    /// Reads from this offset to the message `last`, which is the newest.
    fn read(&self, link: &mut Link, from: i64, last: usize) -> Result<Spot, Gone> {
        let first = if from == 0 { word("first") } else { Value::I64(from) };
        read_from(link, first, 50)?;
        let mut spot = None;
        loop {
            let next = self.take(link, spot)?;
            if spot.is_none() && next.offset > from {
                self.check_skipped(None, next.number, true);
            }
            if spot.is_none() && from == 0 {
                self.check_length(next.number, last);
            }
            if next.number == last {
                link.close_channel(3)?;
                return Ok(next);
            }
            assert!(next.number < last, "number {} is newer than {last}", next.number);
            spot = Some(next);
        }
    }

    fn read_last(&self, link: &mut Link, last: usize) -> Result<Spot, Gone> {
        read_from(link, word("last"), 50)?;
        let spot = self.take(link, None)?;
        assert_eq!(spot.number, last, "the last message is another");
        link.close_channel(3)?;
        Ok(spot)
    }

    /// Begins behind what there is, and reads what comes.
    fn read_next(
        &self,
        link: &mut Link,
        publisher: &mut Publisher<'_>,
        random: &mut Random,
    ) -> Result<Spot, Gone> {
        read_from(link, word("next"), 50)?;
        let first = self.before.lock().expect("nobody fails with it").len() - 1;
        let last = self.publish(link, publisher, random)?;
        let mut spot = self.take(link, None)?;
        assert!(spot.number >= first, "number {} came, and next was {first}", spot.number);
        self.check_skipped(first.checked_sub(1), spot.number, false);
        while spot.number < last {
            spot = self.take(link, Some(spot))?;
        }
        link.close_channel(3)?;
        Ok(spot)
    }

    /// Takes the next message of the reader and checks that it follows.
    fn take(&self, link: &mut Link, before: Option<Spot>) -> Result<Spot, Gone> {
        let delivery = link.answer::<Delivery>(3)?;
        link.ack(3, delivery.tag, false);
        self.shift.count_consumed(1);
        Ok(self.check(&delivery, before))
    }

    fn check(&self, delivery: &Delivery, before: Option<Spot>) -> Spot {
        assert!(!delivery.redelivered, "streams know no redelivery");
        let Id { number, .. } = self.account.identify(&delivery.message);
        let spot = Spot { offset: offset(delivery), number };
        if let Some(before) = before {
            let (offset, earlier) = (before.offset, before.number);
            assert!(
                spot.offset > offset && number > earlier,
                "number {number} at {} came after number {earlier} at {offset}",
                spot.offset
            );
            self.check_skipped(Some(earlier), number, spot.offset > offset + 1);
        } else if spot.offset == 0 {
            self.check_skipped(None, number, false);
        }
        spot
    }

    /// Whether what lies between two messages may be missing: it was not confirmed, or, where
    /// offsets are missing too, there is no more room for it.
    fn check_skipped(&self, earlier: Option<usize>, number: usize, is_gap: bool) {
        let first = earlier.map_or(0, |earlier| earlier + 1);
        let Some(last) = (first..number).rev().find(|&number| self.is_confirmed(number)) else {
            return;
        };
        let before = self.before.lock().expect("nobody fails with it");
        let kept = before[before.len() - 1] - before[last];
        let may_be = is_gap && kept > LENGTH_BYTES_MAX;
        assert!(
            may_be,
            "{last} is lost between {earlier:?} and {number}; there are {kept} bytes with it"
        );
    }

    /// Whether what the stream holds is no more than it may hold, or is the newest alone.
    fn check_length(&self, first: usize, last: usize) {
        let confirmed = (first..=last).filter(|&number| self.is_confirmed(number));
        let bytes: usize =
            confirmed.map(|number| self.account.bytes(Id { publisher: 0, number })).sum();
        let is_right = bytes <= LENGTH_BYTES_MAX || first == last;
        assert!(is_right, "the stream holds {bytes} bytes from number {first} to {last}");
    }

    fn is_confirmed(&self, number: usize) -> bool {
        self.account.is_confirmed(Id { publisher: 0, number })
    }

    /// Reads on where it was, on one link after the other, and slowly, so that it falls behind.
    fn follow(&self, mut random: Random) {
        let mut spot: Option<Spot> = None;
        self.shift.on_links(|link| {
            declare(link)?;
            let from = spot.map_or(0, |spot| spot.offset + 1);
            read_from(link, Value::I64(from), random.within(1..20))?;
            let mut left = random.within(20..500);
            while !self.shift.is_over() {
                let Some(event) = link.next_within(Duration::from_millis(100))? else { continue };
                let delivery = event.expect::<Delivery>();
                spot = Some(self.check(&delivery, spot));
                link.ack(3, delivery.tag, false);
                self.shift.count_consumed(1);
                left -= 1;
                if left == 0 {
                    return Err(Gone::Worker);
                }
                if random.chance(5) {
                    self.shift.pause(random.within(1..300));
                }
            }
            Ok(())
        });
    }
}
