//! How does a worker talk to a broker that may end at any moment? Over a link: a client whose every
//! wait may end with the news that the broker is gone.
//!
//! An error of a channel or a connection that the worker did not ask for fails the test, and so
//! does an answer that does not come within [`STALL`].

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use leveret::amqp::PROTOCOL_HEADER;

use crate::common::{
    ChannelClose, ChannelOpenOk, Client, ConfirmSelectOk, ConnectionClose, ConnectionCloseOk,
    ConnectionOpenOk, ConsumeOk, DeclareOk, Event, GetOk, Method, Options, Owned, QosOk, Start,
    Table, Tune, basic, channel, confirm, connection, named, now, passive, queue,
};

/// Nothing takes a broker so long, on any machine and beside any other work.
pub const STALL: Duration = Duration::from_secs(60);

/// Why a worker needs a new link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gone {
    /// The broker has ended, or ends.
    Broker,
    /// The worker has left without a word.
    Worker,
}

/// One connection to a broker, in one of its lives.
pub struct Link {
    client: Client,
    /// What came while something else was waited for.
    held: VecDeque<Event>,
    /// The life of the broker.
    pub life: u32,
}

impl Link {
    /// Connects as guest to `/`; no channel is open.
    pub fn connect(address: SocketAddr, life: u32) -> Result<Link, Gone> {
        let options = Options::default();
        let client = Client::try_raw(address).map_err(|_| Gone::Broker)?;
        let mut link = Link { client, held: VecDeque::new(), life };
        link.send_bytes(&PROTOCOL_HEADER);
        link.answer::<Start>(0)?;
        let start_ok = connection::StartOk {
            client_properties: options.properties.table(),
            mechanism: b"PLAIN",
            response: b"\0guest\0guest",
            locale: b"en_US",
        };
        let tune: Tune = link.call(0, start_ok)?;
        let (channel_max, frame_max) = (tune.channel_max, tune.frame_max);
        link.send(0, connection::TuneOk { channel_max, frame_max, heartbeat: 0 });
        link.call::<ConnectionOpenOk>(0, connection::Open { virtual_host: b"/" })?;
        Ok(link)
    }

    /// The client below, for what is no method.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Sends a method; that the broker is gone shows where an answer is waited for.
    pub fn send<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        self.client.send_unless_closed(channel, method);
    }

    /// Sends bytes in the same way.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if let Err(error) = self.client.try_send_bytes(bytes) {
            let is_stalled = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
            assert!(!is_stalled, "the broker takes nothing any more");
        }
    }

    /// Sends a method and takes the answer that is expected.
    pub fn call<'a, T: Owned>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'a>>,
    ) -> Result<T, Gone> {
        self.send(channel, method);
        self.answer(channel)
    }

    /// Takes the answer that is expected on a channel; what comes before it waits.
    pub fn answer<T: Owned>(&mut self, channel: u16) -> Result<T, Gone> {
        let event = self.find(channel, |event| T::from_event(event).is_some())?;
        Ok(event.expect())
    }

    /// The next method on a channel.
    pub fn next(&mut self, channel: u16) -> Result<Event, Gone> {
        self.find(channel, |_| true)
    }

    /// The next method on a channel that is wanted.
    pub fn find(
        &mut self,
        channel: u16,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Gone> {
        let is_wanted = |event: &Event| event.channel == channel && is_wanted(event);
        if let Some(index) = self.held.iter().position(is_wanted) {
            return Ok(self.held.remove(index).expect("it was just found"));
        }
        let deadline = now() + STALL;
        loop {
            let left = deadline.saturating_duration_since(now());
            let Some(event) = self.receive(left)? else {
                panic!("no answer came on channel {channel} within {STALL:?}");
            };
            if is_wanted(&event) {
                return Ok(event);
            }
            if let Some(close) = ChannelClose::from_event(&event) {
                panic!("channel {} was closed: {:?}", event.channel, close.0);
            }
            self.held.push_back(event);
        }
    }

    /// The next method on any channel; `None` when none comes in this time.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Event>, Gone> {
        match self.held.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.receive(patience),
        }
    }

    /// The next method that the broker sends; it answers what concerns the whole connection.
    fn receive(&mut self, patience: Duration) -> Result<Option<Event>, Gone> {
        loop {
            let Some(event) = self.client.next_within(patience).map_err(|_| Gone::Broker)? else {
                return Ok(None);
            };
            if let Some(close) = ConnectionClose::from_event(&event) {
                close.0.assert(320, "shutdown");
                self.send(0, connection::CloseOk {});
                return Err(Gone::Broker);
            }
            // That publishers wait shows in how long they wait.
            let is_news = matches!(
                event.method(),
                Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_)
            );
            if !is_news {
                return Ok(Some(event));
            }
        }
    }

    /// Waits until the broker has dealt with everything sent before on a channel.
    pub fn round_trip(&mut self, number: u16) -> Result<(), Gone> {
        self.send(number, channel::Flow { active: true });
        self.find(number, |event| matches!(event.method(), Method::ChannelFlowOk(_)))?;
        Ok(())
    }

    /// Opens a channel.
    pub fn open(&mut self, number: u16) -> Result<(), Gone> {
        self.call::<ChannelOpenOk>(number, channel::Open {})?;
        Ok(())
    }

    /// Opens a channel with confirms.
    pub fn open_with_confirms(&mut self, number: u16) -> Result<(), Gone> {
        self.open(number)?;
        self.call::<ConfirmSelectOk>(number, confirm::Select { nowait: false })?;
        Ok(())
    }

    /// Closes a channel; what was delivered on it and not looked at is thrown away.
    pub fn close_channel(&mut self, number: u16) -> Result<(), Gone> {
        self.send(number, channel::Close { reply_code: 200, ..Default::default() });
        self.find(number, |event| matches!(event.method(), Method::ChannelCloseOk(_)))?;
        self.held.retain(|event| event.channel != number);
        Ok(())
    }

    /// Says goodbye and waits for the answer.
    pub fn close(mut self) -> Result<(), Gone> {
        self.send(0, connection::Close { reply_code: 200, ..Default::default() });
        self.answer::<ConnectionCloseOk>(0)?;
        Ok(())
    }

    /// Declares a durable queue.
    pub fn declare(&mut self, number: u16, name: &str, arguments: Table<'_>) -> Result<(), Gone> {
        let declare = queue::Declare { durable: true, arguments, ..named(name) };
        self.call::<DeclareOk>(number, declare)?;
        Ok(())
    }

    /// Limits what may be outstanding at each later consumer of the channel.
    pub fn prefetch(&mut self, number: u16, count: usize) -> Result<(), Gone> {
        let prefetch_count = u16::try_from(count).expect("a small number");
        self.call::<QosOk>(number, basic::Qos { prefetch_count, ..Default::default() })?;
        Ok(())
    }

    /// Starts a consumer with acks; its tag is the name of the queue.
    pub fn consume(&mut self, number: u16, name: &str, arguments: Table<'_>) -> Result<(), Gone> {
        let (queue, consumer_tag) = (name.as_bytes(), name.as_bytes());
        let consume = basic::Consume { queue, consumer_tag, arguments, ..Default::default() };
        self.call::<ConsumeOk>(number, consume)?;
        Ok(())
    }

    /// Takes one message with an ack; `None` when the queue is empty.
    pub fn get(&mut self, number: u16, name: &str) -> Result<Option<GetOk>, Gone> {
        self.send(number, basic::Get { queue: name.as_bytes(), no_ack: false });
        let event = self.find(number, |event| {
            matches!(event.method(), Method::BasicGetOk(_) | Method::BasicGetEmpty(_))
        })?;
        let is_empty = matches!(event.method(), Method::BasicGetEmpty(_));
        Ok((!is_empty).then(|| event.expect()))
    }

    /// Acks one delivery, or all up to it.
    pub fn ack(&mut self, number: u16, delivery_tag: u64, multiple: bool) {
        self.send(number, basic::Ack { delivery_tag, multiple });
    }

    /// How many messages of a queue are ready.
    pub fn ready(&mut self, number: u16, name: &str) -> Result<u32, Gone> {
        Ok(self.call::<DeclareOk>(number, passive(name))?.messages)
    }

    /// Waits until so many are, asking again and again: unacked messages of a connection that was
    /// dropped come back in their own time.
    pub fn wait_for_ready(&mut self, number: u16, name: &str, count: usize) -> Result<(), Gone> {
        let deadline = now() + STALL;
        loop {
            let found = self.ready(number, name)? as usize;
            if found == count {
                return Ok(());
            }
            assert!(now() < deadline, "{name} holds {found} messages instead of {count}");
        }
    }
}
