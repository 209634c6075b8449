//! What does the loop own, and how is it told things from outside?

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::broker::key::ArenaKey;
use crate::broker::{Broker, ConnectionKey};
use crate::management::{Listening, Order, Protocol};
use crate::node::{LogTail, Node, ResourceLimits};
use crate::session::Limits;
use crate::storage::StorageError;

use super::clock::Clock;
use super::connections::Connections;
use super::listener::{Listener, Refusals};
use super::newcomers::Newcomers;
use super::shaking::Shaking;
use super::sites::Sites;

/// Everything that the one thread of the broker owns.
pub struct EventLoop {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) clock: Clock,
    /// The broker and its sessions.
    pub(super) node: Node,
    pub(super) connections: Connections,
    pub(super) listeners: Vec<Listener>,
    pub(super) refusals: Refusals,
    /// Who has yet to be named by the proxy that he comes through.
    pub(super) newcomers: Newcomers,
    /// The certificates that listeners show.
    pub(super) sites: Sites,
    /// Connections in a handshake of TLS.
    pub(super) shaking: Shaking,
    pub(super) orders: Receiver<Order>,
    /// Lent to the connection that is being read.
    pub(super) buffer: Box<[u8]>,
    /// Connections with input to read or to go on with.
    pub(super) run_queue: VecDeque<ConnectionKey>,
    /// Connections that can be written again.
    pub(super) writable: Vec<ConnectionKey>,
    /// Connections with TLS that the last flush left out.
    pub(super) unflushed: VecDeque<ConnectionKey>,
    /// How much this turn encrypted.
    pub(super) encrypted_bytes: usize,
    /// Connections that read on until their peers close, each with when that ends at the latest;
    /// the first comes first.
    pub(super) lingering: VecDeque<(Instant, ConnectionKey)>,
    /// Connections to remove at the end of the turn.
    pub(super) gone: Vec<ConnectionKey>,
    /// A scratch list, kept for its memory.
    pub(super) keys: Vec<ConnectionKey>,
    pub(super) stopping: Option<Instant>,
    pub(super) remote: Remote,
}

/// Tells the loop things from another thread.
#[derive(Debug, Clone)]
pub struct Remote {
    sender: Sender<Order>,
    waker: Arc<Waker>,
    /// Nanoseconds.
    longest_turn: Arc<AtomicU64>,
}

/// Why the loop had to end.
#[derive(Debug)]
pub enum LoopError {
    /// The poll failed.
    Poll(io::Error),
    /// The store failed; nothing that was not confirmed may be.
    Storage(StorageError),
}

impl fmt::Display for LoopError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poll(error) => write!(out, "waiting for sockets: {error}"),
            Self::Storage(error) => write!(out, "{error}"),
        }
    }
}

impl std::error::Error for LoopError {}

impl From<StorageError> for LoopError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// The token of the waker.
const WAKER: Token = Token(usize::MAX);

/// The token of the signals.
const SIGNALS: Token = Token(usize::MAX - 1);

/// Listeners have the tokens from here upwards.
const LISTENERS: usize = usize::MAX - 1024;

/// Those who have yet to be named have the tokens from here upwards.
pub(super) const NEWCOMERS: usize = LISTENERS - (1 << 16);

/// How many events one poll brings.
const EVENTS_PER_TURN_MAX: usize = 1024;

/// The read buffer: an unfinished frame and one large read fit.
const BUFFER_BYTES: usize = 512 * 1024;

impl Remote {
    /// Sends an order; a loop that has ended does not care.
    pub fn send(&self, order: Order) {
        if self.sender.send(order).is_ok()
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake the loop: {error}");
        }
    }

    /// How long the longest turn took since this was last asked, from the end of the wait to the
    /// end of the turn: what a message may have to wait because of others.
    pub fn take_longest_turn(&self) -> Duration {
        Duration::from_nanos(self.longest_turn.swap(0, Ordering::Relaxed))
    }

    pub(super) fn note_turn(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest_turn.fetch_max(nanos, Ordering::Relaxed);
    }
}

/// The poll and the way to wake it, made before the broker whose storage helper needs it.
pub struct Wakeup {
    poll: Poll,
    orders: Receiver<Order>,
    remote: Remote,
}

impl Wakeup {
    /// A poll that can be woken.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, orders) = channel();
        let longest_turn = Arc::default();
        Ok(Self { poll, orders, remote: Remote { sender, waker, longest_turn } })
    }

    /// Wakes the loop from the storage helper.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let waker = self.remote.waker.clone();
        move || {
            if let Err(error) = waker.wake() {
                log::error!("cannot wake the loop: {error}");
            }
        }
    }

    /// Tells the loop things from another thread.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }
}

impl EventLoop {
    /// A loop around a broker, listening nowhere yet.
    pub fn new(wakeup: Wakeup, broker: Broker, limits: Limits) -> Self {
        let clock = Clock::start();
        let buffer_bytes = buffer_bytes(limits.frame_bytes_max);
        Self {
            poll: wakeup.poll,
            events: Events::with_capacity(EVENTS_PER_TURN_MAX),
            node: Node::new(broker, limits, clock.calendar(), clock.now()),
            clock,
            connections: Connections::default(),
            listeners: Vec::new(),
            refusals: Refusals::default(),
            newcomers: Newcomers::default(),
            sites: Sites::default(),
            shaking: Shaking::default(),
            orders: wakeup.orders,
            buffer: vec![0; buffer_bytes].into_boxed_slice(),
            run_queue: VecDeque::new(),
            writable: Vec::new(),
            unflushed: VecDeque::new(),
            encrypted_bytes: 0,
            lingering: VecDeque::new(),
            gone: Vec::new(),
            keys: Vec::new(),
            stopping: None,
            remote: wakeup.remote,
        }
    }

    /// Changes what somebody may order.
    pub fn carry_out(&mut self, order: Order) {
        if let Order::ReadCertificates(options) = &order {
            self.read_certificates(options);
        } else if let Order::TlsHandshake(ms) = order {
            self.shaking.within = Duration::from_millis(ms);
        }
        self.node.carry_out(order);
        let buffer_bytes = buffer_bytes(self.node.frame_bytes_max());
        if self.buffer.len() < buffer_bytes {
            self.buffer = vec![0; buffer_bytes].into_boxed_slice();
        }
    }

    /// Blocks publishers while there is less memory or disk left than this.
    pub fn limit_resources(&mut self, limits: ResourceLimits) {
        self.node.limit_resources(limits);
    }

    /// Listens for this protocol on this address, with TLS where there is a site of certificates to
    /// show ([`EventLoop::add_site`]); where it really listens.
    pub fn listen(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
        site: Option<usize>,
    ) -> io::Result<SocketAddr> {
        let (mut listener, local) = Listener::bind(address, protocol)?;
        listener.site = site;
        self.add_listener(listener)?;
        self.node.note_listener(Listening { protocol, address: local, is_tls: site.is_some() });
        Ok(local)
    }

    /// Lets the owner of this process ask over HTTP, through a Unix socket at this path.
    pub fn listen_at_path(&mut self, path: &Path) -> io::Result<()> {
        let listener = Listener::bind_path(path)?;
        self.add_listener(listener)
    }

    fn add_listener(&mut self, mut listener: Listener) -> io::Result<()> {
        let token = Token(LISTENERS + self.listeners.len());
        self.poll.registry().register(listener.source(), token, Interest::READABLE)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Tells operators who this node is.
    pub fn introduce(&mut self, node_name: String, directory: String) {
        self.node.introduce(node_name, directory);
    }

    /// Lines of the log come from there, if they are to be published.
    pub fn follow_log(&mut self, tail: &'static LogTail) {
        self.node.follow_log(tail);
    }

    /// Registers the source of the signals, which the callback of [`EventLoop::run`] looks at.
    pub fn watch_signals(&mut self, source: &mut impl Source) -> io::Result<()> {
        self.poll.registry().register(source, SIGNALS, Interest::READABLE)
    }

    /// Tells the loop things from another thread.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Takes the broker out of a loop that has ended.
    pub fn into_broker(self) -> Broker {
        self.listeners.into_iter().for_each(Listener::close);
        self.node.into_broker()
    }

    /// What an event's token stands for.
    pub(super) fn source_of(token: Token) -> EventSource {
        match token {
            WAKER => EventSource::Waker,
            SIGNALS => EventSource::Signals,
            Token(number) if number >= LISTENERS => EventSource::Listener(number - LISTENERS),
            Token(number) if number >= NEWCOMERS => EventSource::Newcomer(number - NEWCOMERS),
            Token(number) => {
                let bits = number as u64;
                let generation = u32::try_from(bits >> 32).expect("32 bits are left");
                let index = u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits are left");
                EventSource::Connection(ConnectionKey::new(index, generation))
            }
        }
    }

    /// The token of a connection: its index and generation, so that an event of a closed one
    /// never reaches its successor.
    pub(super) fn token_of(key: ConnectionKey) -> Token {
        let bits = (u64::from(key.generation()) << 32) | u64::from(key.index());
        Token(usize::try_from(bits).expect("a 64-bit machine"))
    }
}

/// How much is read at most into the buffer that all connections share: some of the largest frames
/// fit.
fn buffer_bytes(frame_bytes_max: u32) -> usize {
    let frame_bytes = usize::try_from(frame_bytes_max).unwrap_or(BUFFER_BYTES);
    BUFFER_BYTES.max(frame_bytes * 4)
}

/// Where an event came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum EventSource {
    Waker,
    Signals,
    Listener(usize),
    Newcomer(usize),
    Connection(ConnectionKey),
}

/// How long a stop waits for clients to close.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(2);
