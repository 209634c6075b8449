//! What is in a stream, and what may each of its readers get next?
//!
//! Retention is coarse: what is beyond the length or past the age may go at any time, or stay.

use std::ops::RangeInclusive;

use leveret::amqp::Method;

use super::{At, ConsumerId, Copied, QueueId, Twin};
use crate::ops::Consume;
use crate::values::{Fields, Props, Received, Val};

/// The messages that a stream was ever given, each at its offset.
#[derive(Debug, Default)]
pub struct Stream {
    pub messages: Vec<Kept>,
    /// So many of the first messages may be gone.
    pub may_lack: u64,
    /// So many of them are gone.
    pub lacks: u64,
}

/// A message of a stream.
#[derive(Debug)]
pub struct Kept {
    pub copied: Copied,
    /// Somebody read it at this offset.
    seen: bool,
}

impl Stream {
    pub fn end(&self) -> u64 {
        self.messages.len() as u64
    }

    /// How many messages there may be.
    pub fn counts(&self) -> RangeInclusive<u64> {
        self.end() - self.may_lack..=self.end() - self.lacks
    }

    pub fn push(&mut self, copied: Copied) {
        self.messages.push(Kept { copied, seen: false });
    }

    /// The message read at this offset. Those whose order is the broker's choice change places
    /// until one of them is read.
    pub fn read(&mut self, offset: u64, props: &Props, body: &[u8]) -> Copied {
        let index = usize::try_from(offset).unwrap();
        let found = self.messages.get(index);
        let batch = found.unwrap_or_else(|| panic!("there is no offset {offset}"));
        let batch = batch.copied.place.batch;
        let fits = |kept: &Kept| {
            let message = &kept.copied.message;
            *message.body == *body && same(&message.props, props)
        };
        let free = |kept: &Kept| !kept.seen && kept.copied.place.batch == batch;
        if !fits(&self.messages[index]) && free(&self.messages[index]) {
            let mut others = index + 1..self.messages.len();
            let other = others.find(|&at| free(&self.messages[at]) && fits(&self.messages[at]));
            if let Some(other) = other {
                self.messages.swap(index, other);
            }
        }
        let kept = &mut self.messages[index];
        assert!(fits(kept), "at offset {offset} is {kept:?}, not {props:?}");
        kept.seen = true;
        kept.copied.clone()
    }

    /// Where a reader begins.
    fn start_of(&self, asked: Option<&Val>) -> u64 {
        let since = |seconds: u64| {
            let mut all = self.messages.iter();
            let first = all.position(|kept| kept.copied.message.published_ms >= seconds * 1000);
            first.map_or(self.end(), |index| index as u64)
        };
        match asked {
            None => self.end(),
            Some(Val::Text(text)) if text == "next" => self.end(),
            Some(Val::Text(text)) if text == "first" => self.lacks,
            Some(Val::Text(text)) if text == "last" => self.end().saturating_sub(1),
            Some(Val::I64(offset)) => u64::try_from(*offset).unwrap(),
            Some(Val::Time(seconds)) => since(*seconds),
            Some(other) => panic!("nobody asks for {other:?}"),
        }
    }
}

impl Twin {
    fn stream(&mut self, queue: QueueId) -> &mut Stream {
        self.queues.get_mut(&queue).unwrap().stream.as_mut().unwrap()
    }

    /// Retention: what may be gone from now on.
    pub fn let_streams_forget(&mut self) {
        let now = self.now_ms;
        for queue in self.queues.values_mut() {
            let (most, age_s) = (queue.spec.max_bytes, queue.spec.max_age_s);
            let Some(stream) = &mut queue.stream else {
                continue;
            };
            let mut bytes = 0;
            for (index, kept) in stream.messages.iter().enumerate().rev() {
                let message = &kept.copied.message;
                bytes += message.body.len() as u64;
                let too_long = most.is_some_and(|most| bytes > most);
                let too_old = age_s.is_some_and(|age| message.published_ms + age * 1000 <= now);
                if too_long || too_old {
                    stream.may_lack = stream.may_lack.max(index as u64 + 1);
                    break;
                }
            }
        }
    }

    /// Whether a new reader is refused; 540 ends the connection.
    pub fn refuses_reader(&mut self, at: At, queue: QueueId, consume: &Consume) -> bool {
        let is_stream = self.queues[&queue].stream.is_some();
        // Each kind of queue refuses the arguments of the other.
        let is_foreign = if is_stream { consume.priority != 0 } else { consume.offset.is_some() };
        if !is_stream && !is_foreign {
            return false;
        }
        let channel = self.channel(at);
        if is_foreign || channel.prefetch == 0 {
            self.channel_error(at, &[406], 60, 20);
        } else if consume.no_ack || channel.shared_prefetch > 0 {
            self.connection_error(at.conn, 540);
        } else {
            return false;
        }
        self.count("reader refused");
        true
    }

    /// Where a consumer begins, if its queue is a stream.
    pub fn cursor_of(&self, queue: QueueId, consume: &Consume) -> Option<u64> {
        let stream = self.queues[&queue].stream.as_ref()?;
        Some(stream.start_of(consume.offset.as_ref()))
    }

    /// Whether a reader may have something to read; anybody else may always.
    pub fn may_read(&self, id: ConsumerId) -> bool {
        let consumer = &self.consumers[&id];
        let stream = &self.queues[&consumer.queue].stream;
        match (consumer.cursor, stream) {
            (Some(cursor), Some(stream)) => cursor < stream.end(),
            _ => true,
        }
    }

    /// `queue.declare-ok` of a stream.
    pub fn expect_counts(
        &mut self,
        at: At,
        name: &str,
        messages: &RangeInclusive<u64>,
        consumers: usize,
    ) {
        let received = self.next_received(at, "queue.declare-ok");
        let Method::QueueDeclareOk(ok) = received.method() else {
            panic!("queue.declare-ok expected, got {received:?}");
        };
        assert_eq!((ok.queue, ok.consumer_count as usize), (name.as_bytes(), consumers));
        assert!(messages.contains(&ok.message_count.into()), "{ok:?}, not {messages:?}");
    }

    /// Whether a reader certainly has something to read.
    pub fn has_to_read(&self, id: ConsumerId) -> bool {
        let consumer = &self.consumers[&id];
        let stream = &self.queues[&consumer.queue].stream;
        match (consumer.cursor, stream) {
            (Some(cursor), Some(stream)) => cursor.max(stream.may_lack) < stream.end(),
            _ => false,
        }
    }

    /// A stream delivered: it was what the reader gets next, or what was before it is gone.
    pub fn take_from_stream(&mut self, id: ConsumerId, received: &Received) -> Copied {
        let (mut props, body) = received.content.clone().expect("it has a content");
        let offset = take_offset(&mut props);
        let cursor = self.consumers[&id].cursor.unwrap();
        let stream = self.stream(self.consumers[&id].queue);
        let skips = offset > cursor;
        assert!(offset >= cursor, "offset {offset} once more, after {cursor}");
        assert!(!skips || offset <= stream.may_lack, "{offset} came, not {cursor}");
        assert!(offset >= stream.lacks, "{offset} was gone");
        if skips {
            stream.lacks = offset;
        }
        let copied = stream.read(offset, &props, &body);
        self.consumers.get_mut(&id).unwrap().cursor = Some(offset + 1);
        self.count("read from a stream");
        if skips {
            self.count("forgotten by a stream");
        }
        copied
    }

    /// What a stream has after a stop: from some offset on everything up to this one, or
    /// nothing; then its offsets go on behind what was written.
    pub fn adopt_stream(&mut self, name: &str, end: Option<u64>, written: u64) {
        let Some(id) = self.queue_named(name) else {
            return;
        };
        let stream = self.stream(id);
        let was_written = stream.messages.iter().filter(|kept| kept.copied.born < written);
        let found = end.unwrap_or(was_written.count() as u64);
        // What was passed over in the last moments may be there again.
        stream.lacks = 0;
        stream.messages.truncate(usize::try_from(found).unwrap());
        stream.may_lack = stream.may_lack.min(found);
        for kept in &mut stream.messages {
            kept.copied.born = 0;
        }
    }
}

/// Takes the offset out of what came.
pub fn take_offset(props: &mut Props) -> u64 {
    let Some(Val::I64(offset)) = props.header("x-stream-offset").cloned() else {
        panic!("no offset in {props:?}");
    };
    props.remove_header("x-stream-offset");
    u64::try_from(offset).unwrap()
}

/// The offset makes headers where there were none.
fn same(kept: &Props, read: &Props) -> bool {
    let with_headers = |props: &Props| Props { headers: Some(headers_of(props)), ..props.clone() };
    with_headers(kept).same_as(&with_headers(read))
}

fn headers_of(props: &Props) -> Fields {
    props.headers.clone().unwrap_or_default()
}
