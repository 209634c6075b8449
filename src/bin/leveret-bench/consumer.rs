//! What did a consumer get, and what does it acknowledge?
//!
//! Bytes in, bytes out, no socket. Deliveries are read by position: of basic.deliver and
//! basic.get-ok only consumer tag, delivery tag and flag are looked at, of the body only the
//! stamp.

use leveret::amqp::method::basic;
use leveret::amqp::{ContentHeader, Frame, FrameKind, Method, Table, encoder};

use crate::client::{CHANNEL, Client};
use crate::fault::Fault;
use crate::options::Intake;
use crate::stamp::Stamp;
use crate::tally::Tally;
use crate::verify::{Arrival, Verifier};

/// One consuming connection.
#[derive(Debug)]
pub struct Consumer {
    /// Number and name of the queues it consumes; the position is the consumer tag.
    queues: Vec<(usize, String)>,
    intake: Intake,
    stamped: bool,
    /// Per queue and stream, one past the last sequence number seen.
    last: Vec<Vec<u64>>,
    expect: Expect,
    current: Delivery,
    unacked: u32,
    last_tag: u64,
    get: Get,
    output: Vec<u8>,
    sent: usize,
}

/// Which frame comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Method,
    Header,
    /// So many bytes of the body are missing.
    Body(u64),
}

/// The delivery being read.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    queue: usize,
    tag: u64,
    redelivered: bool,
    stamp: Option<Stamp>,
}

/// Where a consumer with `--get` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Get {
    /// It uses basic.consume.
    Never,
    /// It may ask again.
    Ready,
    /// It has asked.
    Asked,
    /// The queue was empty; it asks again at this time.
    Empty(u64),
}

impl Consumer {
    /// A consumer of these queues. `stamped` is whether bodies are large enough to verify.
    pub fn new(intake: Intake, queues: Vec<(usize, String)>, stamped: bool) -> Consumer {
        let last = vec![Vec::new(); queues.len()];
        Consumer {
            queues,
            intake,
            stamped,
            last,
            expect: Expect::Method,
            current: Delivery::default(),
            unacked: 0,
            last_tag: 0,
            get: Get::Never,
            output: Vec::new(),
            sent: 0,
        }
    }

    /// Sets the channel up.
    ///
    /// # Errors
    /// What the broker has against it.
    pub fn begin(&mut self, client: &mut Client) -> Result<(), Fault> {
        if self.intake.get || self.intake.ack_every.is_none() {
            return Ok(());
        }
        let qos =
            basic::Qos { prefetch_size: 0, prefetch_count: self.intake.prefetch, global: false };
        client.call(qos, |answer| matches!(answer, Method::BasicQosOk(_)).then_some(()))
    }

    /// Starts afresh on a new connection: subscribes, or gets ready to ask.
    pub fn connected(&mut self, tally: &mut Tally) {
        self.expect = Expect::Method;
        (self.unacked, self.last_tag, self.sent) = (0, 0, 0);
        self.output.clear();
        if self.intake.get {
            self.get = Get::Ready;
            tally.counts.subscribed += 1;
            return;
        }
        for (index, (_, name)) in self.queues.iter().enumerate() {
            let tag = format!("{index:05}");
            let consume = basic::Consume {
                queue: name.as_bytes(),
                consumer_tag: tag.as_bytes(),
                no_local: false,
                no_ack: self.intake.ack_every.is_none(),
                exclusive: false,
                nowait: false,
                arguments: Table::EMPTY,
            };
            encoder::method_frame(&mut self.output, CHANNEL, &consume);
        }
    }

    /// Asks for a message, in the mode with basic.get.
    pub fn produce(&mut self, now_ns: u64) {
        let ask = match self.get {
            Get::Never | Get::Asked => false,
            Get::Ready => true,
            Get::Empty(until_ns) => until_ns <= now_ns,
        };
        if ask {
            let get = basic::Get {
                queue: self.queues[0].1.as_bytes(),
                no_ack: self.intake.ack_every.is_none(),
            };
            encoder::method_frame(&mut self.output, CHANNEL, &get);
            self.get = Get::Asked;
        }
    }

    /// Whether it waits for a moment to ask an empty queue again.
    pub fn is_waiting(&self) -> bool {
        matches!(self.get, Get::Empty(_))
    }

    /// Whether to read on: not while the broker takes no acks.
    pub fn wants_input(&self) -> bool {
        self.output.len() - self.sent < OUTPUT_BYTES_MAX
    }

    /// What is to be written.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many bytes of it have been.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Acknowledges what is left, at the end.
    pub fn acknowledge_rest(&mut self) {
        if self.unacked > 0 {
            self.acknowledge(true);
        }
    }

    /// Takes a frame of the broker's.
    ///
    /// # Errors
    /// It ends the connection, or does not belong here.
    #[inline]
    pub fn take(
        &mut self,
        frame: &Frame<'_>,
        now_ns: u64,
        tally: &mut Tally,
        verifier: &mut Verifier,
    ) -> Result<(), Fault> {
        match (self.expect, frame.kind) {
            (_, FrameKind::Heartbeat) => {}
            (Expect::Method, FrameKind::Method) => {
                self.take_method(frame.payload, now_ns, tally)?
            }
            (Expect::Header, FrameKind::Header) => {
                let body_bytes = ContentHeader::parse(frame.payload)?.body_bytes;
                self.current.stamp = None;
                self.expect = Expect::Body(body_bytes);
                if body_bytes == 0 {
                    self.finish(now_ns, tally, verifier);
                }
            }
            (Expect::Body(missing), FrameKind::Body) => {
                let Some(missing) = missing.checked_sub(frame.payload.len() as u64) else {
                    return Err(Fault::Protocol(String::from(
                        "the broker sent a body that is longer than announced",
                    )));
                };
                if self.current.stamp.is_none() {
                    self.current.stamp = Stamp::read(frame.payload);
                }
                self.expect = Expect::Body(missing);
                if missing == 0 {
                    self.finish(now_ns, tally, verifier);
                }
            }
            // A channel may be closed in the middle of a content.
            (Expect::Header | Expect::Body(_), FrameKind::Method) => {
                return Err(end_of(&Method::decode(frame.payload)?));
            }
            (expected, found) => {
                return Err(Fault::Protocol(format!(
                    "the broker sent a frame of type {found:?} where {expected:?} was due"
                )));
            }
        }
        Ok(())
    }

    #[inline]
    fn take_method(&mut self, payload: &[u8], now_ns: u64, tally: &mut Tally) -> Result<(), Fault> {
        if let Some((queue, tag, redelivered)) = read_deliver(payload) {
            if queue >= self.queues.len() {
                return Err(Fault::Protocol(String::from(
                    "the broker delivered to a consumer that is not there",
                )));
            }
            self.current = Delivery { queue, tag, redelivered, stamp: None };
            self.expect = Expect::Header;
            return Ok(());
        }
        let method = Method::decode(payload)?;
        if let Method::BasicGetOk(got) = method {
            self.current = Delivery {
                queue: 0,
                tag: got.delivery_tag,
                redelivered: got.redelivered,
                stamp: None,
            };
            self.expect = Expect::Header;
            return Ok(());
        }
        if let Method::BasicGetEmpty(_) = method {
            self.get = Get::Empty(now_ns + EMPTY_PAUSE_NS);
            return Ok(());
        }
        if let Method::BasicConsumeOk(_) = method {
            tally.counts.subscribed += 1;
            return Ok(());
        }
        if matches!(method, Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_)) {
            return Ok(());
        }
        Err(end_of(&method))
    }

    /// A delivery is complete: count, verify, measure, acknowledge.
    #[inline]
    fn finish(&mut self, now_ns: u64, tally: &mut Tally, verifier: &mut Verifier) {
        self.expect = Expect::Method;
        let Delivery { queue, tag, redelivered, stamp } = self.current;
        tally.counts.received += 1;
        tally.counts.active_ns = now_ns;
        if self.stamped {
            let last = &mut self.last[queue];
            match verifier.note(self.queues[queue].0, last, stamp, redelivered) {
                Arrival::First => {
                    tally.counts.first += 1;
                    if let Some(age_ns) = stamp.map(|stamp| stamp.age_ns(now_ns))
                        && now_ns - age_ns >= tally.measure_from_ns
                    {
                        tally.delivery_ns.saturating_record(age_ns);
                    }
                }
                Arrival::Again | Arrival::Unknown => {}
            }
        } else {
            tally.counts.first += 1;
        }
        if self.get == Get::Asked {
            self.get = Get::Ready;
        }
        if let Some(every) = self.intake.ack_every {
            self.unacked += 1;
            self.last_tag = tag;
            if self.unacked >= every {
                self.acknowledge(every > 1);
            }
        }
    }

    #[inline]
    fn acknowledge(&mut self, multiple: bool) {
        let ack = basic::Ack { delivery_tag: self.last_tag, multiple };
        encoder::method_frame(&mut self.output, CHANNEL, &ack);
        self.unacked = 0;
    }
}

/// Position of the consumer, delivery tag and redelivered flag of a basic.deliver with a tag of
/// ours; `None` for any other method.
///
/// ```text
/// | class u16 = 60 | method u16 = 60 | tag length = 5 | 5 digits | delivery tag u64 | flag u8 |
/// ```
#[inline]
fn read_deliver(payload: &[u8]) -> Option<(usize, u64, bool)> {
    let (start, rest) = payload.split_first_chunk::<5>()?;
    if *start != [0, 60, 0, 60, 5] {
        return None;
    }
    let (digits, rest) = rest.split_first_chunk::<5>()?;
    let (tag, rest) = rest.split_first_chunk::<8>()?;
    let queue =
        digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
    Some((queue, u64::from_be_bytes(*tag), rest.first()? & 1 != 0))
}

/// What a method that is no delivery means for the connection.
fn end_of(method: &Method<'_>) -> Fault {
    Fault::of_method(method).unwrap_or_else(|| {
        Fault::Protocol(format!("the broker sent {} to a consumer", method.name()))
    })
}

/// How long an empty queue is left alone, nanoseconds.
const EMPTY_PAUSE_NS: u64 = 1_000_000;

/// Unsent bytes above which nothing more is read.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Claim, Source};
    use leveret::amqp::Parsed;
    use leveret::amqp::method::channel;

    const NOW_NS: u64 = 1_000_000;

    struct Rig {
        consumer: Consumer,
        tally: Tally,
        verifier: Verifier,
    }

    impl Rig {
        fn new(intake: Intake, queues: usize) -> Rig {
            let named = (0..queues).map(|queue| (queue, format!("q{queue}"))).collect();
            let mut rig = Rig {
                consumer: Consumer::new(intake, named, true),
                tally: Tally::new(),
                verifier: Verifier::new(Source::ThisRun { run: 1, publishers: 1 }, queues),
            };
            rig.tally.measure_from_ns = 0;
            rig.consumer.connected(&mut rig.tally);
            rig
        }

        fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
            let mut input = bytes;
            while let Parsed::Complete(frame, used) = Frame::parse(input, 131_072).unwrap() {
                input = &input[used..];
                self.consumer.take(&frame, NOW_NS, &mut self.tally, &mut self.verifier)?;
            }
            assert!(input.is_empty());
            Ok(())
        }

        fn answer(&mut self, method: impl Into<Method<'static>>) -> Result<(), Fault> {
            let mut bytes = Vec::new();
            let method: Method<'static> = method.into();
            encoder::method_frame(&mut bytes, CHANNEL, &method);
            self.feed(&bytes)
        }

        fn deliver(&mut self, queue: usize, tag: u64, sequence: u64, size: usize) {
            let consumer_tag = format!("{queue:05}");
            let deliver = basic::Deliver {
                consumer_tag: consumer_tag.as_bytes(),
                delivery_tag: tag,
                redelivered: false,
                exchange: b"",
                routing_key: b"q0",
            };
            let mut bytes = Vec::new();
            encoder::method_frame(&mut bytes, CHANNEL, &deliver);
            content(&mut bytes, sequence, size);
            self.feed(&bytes).unwrap();
        }

        /// What it wants to send, taken out.
        fn output(&mut self) -> Vec<u8> {
            let bytes = self.consumer.output().to_vec();
            self.consumer.sent(bytes.len());
            bytes
        }

        fn acks(&mut self) -> Vec<(u64, bool)> {
            let bytes = self.output();
            let mut input = bytes.as_slice();
            let mut acks = Vec::new();
            while let Parsed::Complete(frame, used) = Frame::parse(input, 131_072).unwrap() {
                input = &input[used..];
                if let Ok(Method::BasicAck(ack)) = Method::decode(frame.payload) {
                    acks.push((ack.delivery_tag, ack.multiple));
                }
            }
            acks
        }
    }

    fn content(bytes: &mut Vec<u8>, sequence: u64, size: usize) {
        let mut body = vec![0; size.max(16)];
        Stamp { publisher: 0, sequence, run: 1, sent_ns: NOW_NS - 500 }.write(&mut body);
        encoder::content(bytes, CHANNEL, &[0, 0], &body[..size], 4096);
    }

    fn intake(get: bool, ack_every: Option<u32>) -> Intake {
        Intake { get, ack_every, prefetch: 100 }
    }

    #[test]
    fn deliveries_are_counted_verified_and_acknowledged() {
        let mut rig = Rig::new(intake(false, Some(3)), 2);
        rig.output();
        for sequence in 0..4 {
            rig.deliver(0, 2 * sequence + 1, sequence, 16);
            rig.deliver(1, 2 * sequence + 2, sequence, 10_000);
        }
        assert_eq!((rig.tally.counts.received, rig.tally.counts.first), (8, 8));
        assert_eq!(rig.acks(), [(3, true), (6, true)]);
        rig.consumer.acknowledge_rest();
        assert_eq!(rig.acks(), [(8, true)]);
        let claim = Claim { total: 8, lanes: vec![vec![0], vec![1]], ..Claim::default() };
        assert!(rig.verifier.judge(&[claim]).passed());
        assert_eq!(rig.tally.delivery_ns.max(), 500);
    }

    #[test]
    fn single_acks_and_none_at_all() {
        let mut rig = Rig::new(intake(false, Some(1)), 1);
        rig.output();
        rig.deliver(0, 1, 0, 16);
        rig.deliver(0, 2, 1, 16);
        assert_eq!(rig.acks(), [(1, false), (2, false)]);
        let mut rig = Rig::new(intake(false, None), 1);
        rig.output();
        rig.deliver(0, 1, 0, 16);
        rig.consumer.acknowledge_rest();
        assert!(rig.output().is_empty());
    }

    #[test]
    fn a_message_too_short_for_a_stamp_is_unknown() {
        let mut rig = Rig::new(intake(false, None), 1);
        for size in [0, 15] {
            rig.deliver(0, 1, 0, size);
        }
        assert_eq!((rig.tally.counts.received, rig.tally.counts.first), (2, 0));
        assert_eq!(rig.verifier.judge(&[]).unknown, 2);
    }

    #[test]
    fn get_asks_one_at_a_time_and_pauses_when_empty() {
        let mut rig = Rig::new(intake(true, Some(1)), 1);
        rig.consumer.produce(NOW_NS);
        assert!(!rig.output().is_empty());
        rig.consumer.produce(NOW_NS);
        assert!(rig.output().is_empty(), "one at a time");
        rig.answer(basic::GetEmpty {}).unwrap();
        rig.consumer.produce(NOW_NS + EMPTY_PAUSE_NS - 1);
        assert!(rig.consumer.is_waiting() && rig.output().is_empty());
        rig.consumer.produce(NOW_NS + EMPTY_PAUSE_NS);
        assert!(!rig.output().is_empty());
        let got = basic::GetOk {
            delivery_tag: 1,
            redelivered: false,
            exchange: b"",
            routing_key: b"q0",
            message_count: 9,
        };
        rig.answer(got).unwrap();
        let mut bytes = Vec::new();
        content(&mut bytes, 0, 16);
        rig.feed(&bytes).unwrap();
        assert_eq!(rig.tally.counts.first, 1);
        assert_eq!(rig.acks(), [(1, false)]);
        rig.consumer.produce(NOW_NS);
        assert!(!rig.output().is_empty());
    }

    #[test]
    fn a_close_in_the_middle_of_a_content_is_understood() {
        let mut rig = Rig::new(intake(false, None), 1);
        let deliver = basic::Deliver {
            consumer_tag: b"00000",
            delivery_tag: 1,
            redelivered: false,
            exchange: b"",
            routing_key: b"",
        };
        rig.answer(deliver).unwrap();
        let close = channel::Close {
            reply_code: 406,
            reply_text: b"PRECONDITION_FAILED - x",
            class_id: 0,
            method_id: 0,
        };
        let fault = rig.answer(close).unwrap_err();
        assert!(matches!(fault, Fault::Closed { code: 406, .. }), "{fault}");
    }

    #[test]
    fn what_does_not_belong_is_a_fault() {
        let cancel = basic::Cancel { consumer_tag: b"00000", nowait: true };
        let mut rig = Rig::new(intake(false, None), 1);
        assert!(matches!(rig.answer(cancel).unwrap_err(), Fault::Cancelled(_)));
        let mut bytes = Vec::new();
        encoder::body_frame(&mut bytes, CHANNEL, b"x");
        assert!(rig.feed(&bytes).is_err(), "a body out of order");
        let mut rig = Rig::new(intake(false, None), 1);
        let deliver = basic::Deliver {
            consumer_tag: b"00001",
            delivery_tag: 1,
            redelivered: false,
            exchange: b"",
            routing_key: b"",
        };
        assert!(rig.answer(deliver).is_err(), "a consumer that does not exist");
    }

    #[test]
    fn nothing_is_read_while_acks_pile_up() {
        let mut rig = Rig::new(intake(false, Some(1)), 1);
        let mut tag = 0;
        while rig.consumer.wants_input() {
            tag += 1;
            rig.deliver(0, tag, tag - 1, 16);
        }
        assert!(rig.consumer.output().len() < OUTPUT_BYTES_MAX + 100);
        rig.output();
        assert!(rig.consumer.wants_input());
    }
}
