//! How does a test speak AMQP? A blocking client over one socket that hides nothing.
//!
//! It sends whatever bytes it is given, assembles what comes back into events (a method, with its
//! content where it has one) and keeps the events of each channel in order. Waiting ends after
//! [`PATIENCE`]; no test waits for time to pass.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use leveret::amqp::{
    ContentHeader, FRAME_OVERHEAD_BYTES, Frame, FrameKind, Method, PROTOCOL_HEADER, Parsed,
    PropertyList, TableBuf, Value, encoder,
};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::owned::Owned;
use super::{basic, channel, connection};

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The largest frame before tune, and what is asked for unless a test says otherwise.
const FRAME_BYTES_MAX: u32 = 131_072;

/// What a client says of itself when it connects.
pub struct Options {
    /// Login name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The virtual host to open.
    pub vhost: String,
    /// The largest frame to ask for in bytes; `None` takes the server's.
    pub frame_max: Option<u32>,
    /// The highest channel to ask for; `None` takes the server's.
    pub channel_max: Option<u16>,
    /// Seconds; 0 is off.
    pub heartbeat: u16,
    /// Product, capabilities.
    pub properties: TableBuf,
}

impl Default for Options {
    /// guest on `/`, no heartbeats, all the capabilities that clients announce.
    fn default() -> Options {
        Options {
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            frame_max: None,
            channel_max: None,
            heartbeat: 0,
            properties: Options::announcing(&[
                "authentication_failure_close",
                "basic.nack",
                "connection.blocked",
                "consumer_cancel_notify",
                "exchange_exchange_bindings",
                "publisher_confirms",
            ]),
        }
    }
}

impl Options {
    /// Client properties with these capabilities.
    pub fn announcing(capabilities: &[&str]) -> TableBuf {
        let mut announced = TableBuf::new();
        for capability in capabilities {
            announced.put_bool(capability.as_bytes(), true);
        }
        let mut properties = TableBuf::new();
        properties.put_str(b"product", "protocol test");
        properties.put(b"capabilities", Value::Table(announced.table()));
        properties
    }
}

/// A method that came, with its content where it has one.
#[derive(Clone, Debug)]
pub struct Event {
    /// The channel it came on.
    pub channel: u16,
    /// The payload of the method frame.
    pub payload: Vec<u8>,
    /// The properties as they came (flags and values); empty without content.
    pub properties: Vec<u8>,
    /// The body; empty without content.
    pub body: Vec<u8>,
}

impl Event {
    /// The method.
    pub fn method(&self) -> Method<'_> {
        Method::decode(&self.payload).expect("the server sends methods that can be decoded")
    }

    /// Makes the owned form of the method that is expected, or fails saying what came.
    pub fn expect<T: Owned>(&self) -> T {
        match T::from_event(self) {
            Some(owned) => owned,
            None => panic!("{} expected, but this came: {:?}", T::NAME, self.method()),
        }
    }
}

/// A content whose body has not arrived in full.
struct Unfinished {
    event: Event,
    missing_bytes: u64,
}

/// One connection to the broker.
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    /// The largest frame in bytes that either side may send; tune sets it.
    pub frame_bytes_max: u32,
    waiting: VecDeque<Event>,
    unfinished: HashMap<u16, Unfinished>,
    heartbeats: u32,
    closed: bool,
}

impl Client {
    /// Connects as guest to `/` and opens channel 1.
    pub fn connect(address: SocketAddr) -> Client {
        let mut client = Client::connect_with(address, &Options::default());
        client.open(1);
        client
    }

    /// Connects and does the handshake; no channel is open.
    pub fn connect_with(address: SocketAddr, options: &Options) -> Client {
        let mut client = Client::tuned(address, options);
        client.send(0, connection::Open { virtual_host: options.vhost.as_bytes() });
        client.expect::<super::ConnectionOpenOk>(0);
        client
    }

    /// Connects and does the handshake up to tune-ok.
    pub fn tuned(address: SocketAddr, options: &Options) -> Client {
        let mut client = Client::raw(address);
        client.log_in(options);
        client.tune(options);
        client
    }

    /// Only the socket: nothing is sent.
    pub fn raw(address: SocketAddr) -> Client {
        Client::try_raw(address).expect("the broker listens")
    }

    /// The same with a broker that may be gone.
    pub fn try_raw(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            input: Vec::new(),
            frame_bytes_max: FRAME_BYTES_MAX,
            waiting: VecDeque::new(),
            unfinished: HashMap::new(),
            heartbeats: 0,
            closed: false,
        })
    }

    /// The handshake up to start-ok with mechanism PLAIN; what comes then is not read.
    pub fn log_in(&mut self, options: &Options) -> super::Start {
        self.send_bytes(&PROTOCOL_HEADER);
        let start = self.expect::<super::Start>(0);
        let response = format!("\0{}\0{}", options.user, options.password);
        self.send(
            0,
            connection::StartOk {
                client_properties: options.properties.table(),
                mechanism: b"PLAIN",
                response: response.as_bytes(),
                locale: b"en_US",
            },
        );
        start
    }

    /// Takes the server's tune and answers it as the options say.
    pub fn tune(&mut self, options: &Options) -> super::Tune {
        let tune = self.expect::<super::Tune>(0);
        let frame_max = options.frame_max.unwrap_or(tune.frame_max);
        self.send(
            0,
            connection::TuneOk {
                channel_max: options.channel_max.unwrap_or(tune.channel_max),
                frame_max,
                heartbeat: options.heartbeat,
            },
        );
        if frame_max != 0 {
            self.frame_bytes_max = frame_max;
        }
        tune
    }

    /// Opens a channel.
    pub fn open(&mut self, number: u16) {
        self.send(number, channel::Open {});
        self.expect::<super::ChannelOpenOk>(number);
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("the broker takes what is sent");
    }

    /// Sends bytes to a broker that may have closed the socket already.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends what the socket takes at once of a piece that is repeated without end, of which `sent`
    /// bytes were sent; how many bytes that were.
    pub fn send_some(&mut self, piece: &[u8], sent: usize) -> std::io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let result = self.stream.write(&piece[sent % piece.len()..]);
        self.stream.set_nonblocking(false)?;
        result
    }

    /// Sends a method to a broker that may have closed the socket already.
    pub fn send_unless_closed<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        let mut out = Vec::new();
        let method: Method<'_> = method.into();
        encoder::method_frame(&mut out, channel, &method);
        // A reset shows again, as the end of the socket, where the test looks for it.
        self.closed |= self.try_send_bytes(&out).is_err();
    }

    /// Sends a method.
    pub fn send<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        let mut out = Vec::new();
        let method: Method<'_> = method.into();
        encoder::method_frame(&mut out, channel, &method);
        self.send_bytes(&out);
    }

    /// Sends a method and takes the answer that is expected.
    pub fn call<'a, T: Owned>(&mut self, channel: u16, method: impl Into<Method<'a>>) -> T {
        self.send(channel, method);
        self.expect(channel)
    }

    /// The next method on a channel; fails when none comes in time.
    ///
    /// A connection error while waiting on another channel fails the test with its text.
    pub fn next(&mut self, channel: u16) -> Event {
        let deadline = deadline();
        loop {
            if let Some(event) = self.take(channel) {
                return event;
            }
            if let Some(event) = self.take(0) {
                panic!("waited on channel {channel}, but this came: {:?}", event.method());
            }
            assert!(!self.closed, "the broker closed the socket while channel {channel} waited");
            self.fill(deadline);
        }
    }

    /// The next method on any of these channels.
    pub fn next_of(&mut self, channels: &[u16]) -> Event {
        let deadline = deadline();
        loop {
            if let Some(event) = channels.iter().find_map(|&channel| self.take(channel)) {
                return event;
            }
            assert!(!self.closed, "the broker closed the socket");
            self.fill(deadline);
        }
    }

    /// The next method on a channel, which has to be of the given kind.
    pub fn expect<T: Owned>(&mut self, channel: u16) -> T {
        self.next(channel).expect()
    }

    /// Expects channel.close with this code and a text that contains `text`, and answers it.
    pub fn expect_channel_error(&mut self, channel: u16, code: u16, text: &str) -> super::Close {
        let close = self.expect::<super::ChannelClose>(channel).0;
        close.assert(code, text);
        self.send(channel, channel::CloseOk {});
        close
    }

    /// Expects connection.close with this code and a text that contains `text`, answers it, and
    /// expects the socket to be closed.
    pub fn expect_connection_error(&mut self, code: u16, text: &str) -> super::Close {
        let close = self.expect_connection_close();
        close.assert(code, text);
        let mut out = Vec::new();
        encoder::method_frame(&mut out, 0, &connection::CloseOk {});
        self.send_bytes(&out);
        self.expect_closed();
        close
    }

    /// Expects the broker to close the socket without another method.
    pub fn expect_closed(&mut self) {
        self.expect_closed_within(PATIENCE);
    }

    /// The same for what is meant to take long.
    pub fn expect_closed_within(&mut self, patience: Duration) {
        let deadline = now() + patience;
        while !self.closed {
            self.fill(deadline);
        }
        if let Some(event) = self.waiting.front() {
            panic!("the socket was to be closed, but before that came: {:?}", event.method());
        }
    }

    /// Expects the end of the connection, with connection.close before it or without.
    pub fn expect_closed_or_error(&mut self) {
        let deadline = deadline();
        while !self.closed {
            if let Some(event) = self.take(0) {
                event.expect::<super::ConnectionClose>();
                self.send_unless_closed(0, connection::CloseOk {});
            }
            self.fill(deadline);
        }
    }

    /// Lets the broker answer two questions on channel `barrier` and checks that nothing came on
    /// `channel` meanwhile: whatever earlier input caused would have been sent before.
    pub fn expect_nothing_before(&mut self, channel: u16, barrier: u16) {
        // Two, because an answer may be written in the middle of a turn whose end delivers.
        self.round_trip(barrier);
        self.round_trip(barrier);
        if let Some(event) = self.take(channel) {
            panic!("nothing was to come on channel {channel}, but: {:?}", event.method());
        }
    }

    /// The same where this connection itself is meant to wait: `other` asks the two questions.
    pub fn expect_nothing_yet(&mut self, channel: u16, other: &mut Client) {
        other.round_trip(1);
        other.round_trip(1);
        self.stream.set_nonblocking(true).expect("a socket need not block");
        let mut buffer = [0; 4096];
        let found = self.stream.read(&mut buffer);
        self.stream.set_nonblocking(false).expect("a socket can block");
        if let Ok(bytes) = found {
            self.digest(&buffer[..bytes]);
        }
        if let Some(event) = self.take(channel) {
            panic!("nothing was to come on channel {channel}, but: {:?}", event.method());
        }
    }

    /// Waits until the broker has dealt with everything sent before.
    pub fn round_trip(&mut self, number: u16) {
        // Answered by the channel itself, which does what came before it first.
        self.send(number, channel::Flow { active: true });
        let deadline = deadline();
        loop {
            let found = self.waiting.iter().position(|event| {
                event.channel == number && matches!(event.method(), Method::ChannelFlowOk(_))
            });
            if let Some(index) = found {
                self.waiting.remove(index);
                return;
            }
            assert!(!self.closed, "the broker closed the socket during a round trip");
            self.fill(deadline);
        }
    }

    /// Waits for a heartbeat frame.
    pub fn expect_heartbeat(&mut self) {
        let (before, deadline) = (self.heartbeats, deadline());
        while self.heartbeats == before {
            assert!(!self.closed, "the broker closed the socket instead of a heartbeat");
            self.fill(deadline);
        }
    }

    /// Takes in what the broker has sent so far and checks that no heartbeat was among it.
    pub fn expect_no_heartbeat(&mut self) {
        self.expect_silence(0);
        assert_eq!(self.heartbeats, 0);
    }

    /// The next bytes that are no frame: the protocol header of a refused handshake.
    pub fn expect_bytes(&mut self, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout can be set");
        self.stream.read_exact(&mut found).expect("the broker answers");
        assert_eq!(found, expected);
    }

    /// Closes the connection and waits for the broker's word.
    pub fn close(mut self) {
        self.send_close();
        let deadline = deadline();
        loop {
            if let Some(event) = self.take(0) {
                event.expect::<super::ConnectionCloseOk>();
                return;
            }
            assert!(!self.closed, "the broker closed the socket without close-ok");
            self.fill(deadline);
        }
    }

    /// Sends connection.close and returns at once.
    pub fn send_close(&mut self) {
        let close = connection::Close { reply_code: 200, ..Default::default() };
        self.send(0, close);
    }

    /// Closes the socket without a word, as a killed client does.
    pub fn vanish(self) {
        self.stream.shutdown(Shutdown::Both).expect("the socket is open");
    }

    /// Expects connection.close; methods of other channels may come before it.
    pub fn expect_connection_close(&mut self) -> super::Close {
        let deadline = deadline();
        loop {
            if let Some(event) = self.take(0) {
                self.waiting.clear();
                return event.expect::<super::ConnectionClose>().0;
            }
            assert!(!self.closed, "the broker closed the socket without connection.close");
            self.fill(deadline);
        }
    }

    fn take(&mut self, channel: u16) -> Option<Event> {
        let index = self.waiting.iter().position(|event| event.channel == channel)?;
        self.waiting.remove(index)
    }

    /// Takes in what the broker has sent so far without waiting for more, and checks that none of
    /// it is on `channel`.
    pub fn expect_silence(&mut self, channel: u16) {
        self.stream.set_nonblocking(true).expect("the socket is open");
        let mut buffer = [0; 65_536];
        while let Ok(bytes) = self.stream.read(&mut buffer) {
            self.closed |= bytes == 0;
            if self.closed {
                break;
            }
            self.digest(&buffer[..bytes]);
        }
        self.stream.set_nonblocking(false).expect("the socket is open");
        assert!(!self.closed, "the broker closed the socket");
        if let Some(event) = self.take(channel) {
            panic!("nothing was to come on channel {channel}, but: {:?}", event.method());
        }
    }

    /// The next method on any channel; `None` once the broker has closed the socket, as it does
    /// when it is killed.
    pub fn next_of_any(&mut self) -> Option<Event> {
        let deadline = deadline();
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.closed {
                return None;
            }
            self.fill(deadline);
        }
    }

    /// The next method on any channel; `None` when none comes in this time, an error once the
    /// broker has closed the socket and everything that came before was taken.
    pub fn next_within(&mut self, patience: Duration) -> io::Result<Option<Event>> {
        let deadline = now() + patience;
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            if self.closed {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let left = deadline.checked_duration_since(now()).unwrap_or_default();
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 65_536];
            let nothing = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];
            match self.stream.read(&mut buffer) {
                Ok(bytes) if bytes > 0 => self.digest(&buffer[..bytes]),
                Err(error) if nothing.contains(&error.kind()) => (),
                Ok(_) | Err(_) => self.closed = true,
            }
        }
    }

    /// Lets the kernel take in only so many bytes that were not read.
    pub fn take_little(&self, bytes: usize) -> io::Result<()> {
        Ok(set_socket_recv_buffer_size(&self.stream, bytes)?)
    }

    /// Reads so many bytes at most and throws them away; how many that were, 0 at the end. What
    /// comes behind them cannot be made out any more.
    pub fn read_past(&mut self, bytes_max: usize) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0; bytes_max];
        self.stream.read(&mut buffer)
    }

    /// Reads once and sorts what came into events.
    fn fill(&mut self, deadline: Instant) {
        let mut buffer = [0; 65_536];
        let left = deadline.checked_duration_since(now()).unwrap_or_default();
        assert!(!left.is_zero(), "nothing came for {PATIENCE:?}");
        self.stream.set_read_timeout(Some(left)).expect("a read timeout can be set");
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(bytes) => self.digest(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.closed = true,
            Err(error) => panic!("nothing came for {PATIENCE:?}: {error}"),
        }
    }

    /// Sorts what came into events, as far as it is whole.
    fn digest(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while let Parsed::Complete(frame, bytes) =
            Frame::parse(rest, self.frame_bytes_max).expect("the broker sends good frames")
        {
            self.sort(&frame);
            rest = &rest[bytes..];
        }
        self.input = rest.to_vec();
    }

    /// Adds a frame to what it belongs to.
    fn sort(&mut self, frame: &Frame<'_>) {
        match frame.kind {
            FrameKind::Heartbeat => {
                assert_eq!(frame.channel, 0, "heartbeats are on channel 0");
                self.heartbeats += 1;
            }
            FrameKind::Method => self.sort_method(frame),
            FrameKind::Header => {
                let header = ContentHeader::parse(frame.payload).expect("a good content header");
                let unfinished =
                    self.unfinished.get_mut(&frame.channel).expect("a header follows its method");
                unfinished.missing_bytes = header.body_bytes;
                unfinished.event.properties = header.properties.as_bytes().to_vec();
                self.finish(frame.channel);
            }
            FrameKind::Body => {
                assert!(!frame.payload.is_empty(), "no empty body frames");
                let unfinished =
                    self.unfinished.get_mut(&frame.channel).expect("a body follows its header");
                unfinished.event.body.extend_from_slice(frame.payload);
                unfinished.missing_bytes = unfinished
                    .missing_bytes
                    .checked_sub(frame.payload.len() as u64)
                    .expect("a body is not longer than announced");
                self.finish(frame.channel);
            }
        }
    }

    fn sort_method(&mut self, frame: &Frame<'_>) {
        let event = Event {
            channel: frame.channel,
            payload: frame.payload.to_vec(),
            properties: Vec::new(),
            body: Vec::new(),
        };
        assert!(
            !self.unfinished.contains_key(&frame.channel),
            "{:?} came in the middle of a content",
            event.method()
        );
        if event.method().has_content() {
            let unfinished = Unfinished { event, missing_bytes: u64::MAX };
            self.unfinished.insert(frame.channel, unfinished);
        } else {
            self.waiting.push_back(event);
        }
    }

    fn finish(&mut self, channel: u16) {
        if self.unfinished.get(&channel).is_some_and(|content| content.missing_bytes == 0) {
            let content = self.unfinished.remove(&channel).expect("it was just there");
            self.waiting.push_back(content.event);
        }
    }
}

/// A content as it goes over the wire, header and body frames.
pub fn content(
    channel: u16,
    properties: &PropertyList<'_>,
    body: &[u8],
    frame_bytes_max: u32,
) -> Vec<u8> {
    assert!(frame_bytes_max > FRAME_OVERHEAD_BYTES);
    let (mut list, mut out) = (Vec::new(), Vec::new());
    properties.encode(&mut list);
    encoder::content(&mut out, channel, &list, body, frame_bytes_max);
    out
}

/// A publish as it goes over the wire, with its content, appended to `out`.
pub fn encode_publish(
    out: &mut Vec<u8>,
    channel: u16,
    publish: basic::Publish<'_>,
    properties: &PropertyList<'_>,
    body: &[u8],
    frame_bytes_max: u32,
) {
    encoder::method_frame(out, channel, &publish);
    let mut list = Vec::new();
    properties.encode(&mut list);
    encoder::content(out, channel, &list, body, frame_bytes_max);
}

/// When what starts to wait now has waited long enough.
pub fn deadline() -> Instant {
    now() + PATIENCE
}

/// The time: the broker's code gets it as an argument, a test that waits on a socket has to look.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}
