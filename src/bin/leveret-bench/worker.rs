//! One thread with its share of the connections: who is ready, who has something to send?

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::client::{self, Client, FRAME_BYTES_MAX};
use crate::consumer::Consumer;
use crate::fault::Fault;
use crate::link::{Link, READ_BYTES};
use crate::options::Options;
use crate::pace::{Clock, SECOND_NS};
use crate::publisher::Publisher;
use crate::tally::{Control, Live, Tally};
use crate::topology::Topology;
use crate::verify::{Claim, Verifier};

/// What all threads share.
#[derive(Debug)]
pub struct Shared {
    /// What is to be done.
    pub options: Options,
    /// With which queues.
    pub topology: Topology,
    /// By which clock.
    pub clock: Clock,
    /// The runner's orders.
    pub control: Control,
}

/// An event loop with the connections it drives.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    live: Arc<Live>,
    poll: Poll,
    seats: Vec<Seat>,
    scratch: Vec<u8>,
    tally: Tally,
    verifier: Verifier,
    hurry: bool,
}

/// What a worker hands over at its end.
#[derive(Debug)]
pub struct Outcome {
    /// Counters and histograms.
    pub tally: Tally,
    /// What arrived.
    pub verifier: Verifier,
    /// What was published.
    pub claims: Vec<Claim>,
}

/// One connection's place in the loop, kept while the connection is down.
#[derive(Debug)]
struct Seat {
    name: String,
    role: Role,
    line: Line,
    finished: bool,
}

/// What a connection is for.
#[derive(Debug)]
pub enum Role {
    /// It publishes.
    Publisher(Box<Publisher>),
    /// It consumes.
    Consumer(Box<Consumer>),
}

#[derive(Debug)]
enum Line {
    Up(Link),
    /// To be connected again at `retry_ns`; it has been down since `since_ns`.
    Down {
        retry_ns: u64,
        since_ns: u64,
    },
}

impl Worker {
    /// A worker without connections, and what wakes it.
    ///
    /// # Errors
    /// The system has no poll or no eventfd to give.
    pub fn new(
        shared: Arc<Shared>,
        live: Arc<Live>,
        verifier: Verifier,
    ) -> io::Result<(Worker, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let worker = Worker {
            shared,
            live,
            poll,
            seats: Vec::new(),
            scratch: vec![0; READ_BYTES + FRAME_BYTES_MAX as usize],
            tally: Tally::new(),
            verifier,
            hurry: false,
        };
        Ok((worker, waker))
    }

    /// Connects and sets up one connection; it is driven once the worker runs.
    ///
    /// # Errors
    /// The connection could not be made or set up.
    pub fn add(&mut self, name: String, role: Role) -> Result<(), Fault> {
        let line = Line::Down { retry_ns: 0, since_ns: 0 };
        let mut seat = Seat { name, role, line, finished: false };
        let token = Token(self.seats.len());
        seat.connect(&self.shared, self.poll.registry(), token, &mut self.tally)?;
        self.seats.push(seat);
        Ok(())
    }

    /// Turns until told to finish.
    pub fn run(mut self) -> Outcome {
        let mut events = Events::with_capacity(1024);
        while !self.shared.control.finishing() {
            self.turn(&mut events);
        }
        self.close()
    }

    fn turn(&mut self, events: &mut Events) {
        let timeout = self.timeout();
        if let Err(error) = self.poll.poll(events, Some(timeout))
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.shared.control.fail(format!("cannot wait for the sockets: {error}"));
            self.shared.control.finish();
        }
        for event in events.iter() {
            if let Some(Seat { line: Line::Up(link), .. }) = self.seats.get_mut(event.token().0) {
                let hung_up = event.is_read_closed() || event.is_error();
                link.note_ready(event.is_readable() || hung_up, event.is_writable(), hung_up);
            }
        }
        let started = self.shared.control.started();
        if let Some((_, measure_from_ns)) = started {
            self.tally.measure_from_ns = measure_from_ns;
        }
        let now_ns = self.shared.clock.now_ns();
        let start_ns = started.map(|(start_ns, _)| start_ns).filter(|&at| at <= now_ns);
        self.hurry = self.shared.options.spin;
        for index in 0..self.seats.len() {
            self.tend(index, now_ns, start_ns);
        }
        self.live.show(&self.tally.counts);
    }

    /// How long to sleep at most: not at all while there is work.
    fn timeout(&self) -> Duration {
        if self.hurry {
            return Duration::ZERO;
        }
        let waiting = self.seats.iter().any(|seat| match &seat.role {
            Role::Consumer(consumer) => consumer.is_waiting(),
            Role::Publisher(_) => false,
        });
        if waiting { SHORT_SLEEP } else { LONG_SLEEP }
    }

    /// Gives one connection its turn.
    fn tend(&mut self, index: usize, now_ns: u64, start_ns: Option<u64>) {
        let Worker { shared, poll, seats, scratch, tally, verifier, .. } = self;
        let seat = &mut seats[index];
        let result = match &mut seat.line {
            Line::Up(link) => {
                let stopping = shared.control.publishing_stopped();
                let clock = &shared.clock;
                match &mut seat.role {
                    Role::Publisher(publisher) => {
                        let start = start_ns.map(|start_ns| (start_ns, stopping));
                        drive_publisher(publisher, link, scratch, clock, tally, start, now_ns)
                    }
                    Role::Consumer(consumer) => {
                        drive_consumer(consumer, link, scratch, clock, tally, verifier, now_ns)
                    }
                }
            }
            Line::Down { retry_ns, .. } if *retry_ns > now_ns => Ok(false),
            Line::Down { .. } => {
                let done = seat.connect(shared, poll.registry(), Token(index), tally);
                if done.is_ok() {
                    tally.counts.reconnects += 1;
                    tally.counts.down -= 1;
                }
                done.map(|()| true)
            }
        };
        match result {
            Ok(busy) => self.hurry |= busy,
            Err(fault) => seat.fail(&fault, shared, tally),
        }
        if start_ns.is_some() {
            seat.note_finished(tally);
        }
    }

    /// Says good-bye on every connection and hands over the results.
    fn close(self) -> Outcome {
        let mut claims = Vec::new();
        for seat in self.seats {
            let mut left_over = Vec::new();
            match seat.role {
                Role::Publisher(publisher) => {
                    left_over.extend_from_slice(publisher.output());
                    claims.push(publisher.claim());
                }
                Role::Consumer(mut consumer) => {
                    consumer.acknowledge_rest();
                    left_over.extend_from_slice(consumer.output());
                }
            }
            match seat.line {
                Line::Up(link) => client::say_goodbye(link.into_stream(), &left_over),
                Line::Down { .. } => {}
            }
        }
        Outcome { tally: self.tally, verifier: self.verifier, claims }
    }
}

impl Seat {
    /// Makes the connection and sets it up.
    fn connect(
        &mut self,
        shared: &Shared,
        registry: &Registry,
        token: Token,
        tally: &mut Tally,
    ) -> Result<(), Fault> {
        let mut client = Client::open(&shared.options.server, &self.name)?;
        let again = match self.line {
            Line::Down { since_ns, .. } => since_ns > 0,
            Line::Up(_) => true,
        };
        if again && shared.options.publishers > 0 {
            // Queues that do not survive a restart are made again.
            shared.topology.declare(&mut client, false)?;
        }
        match &mut self.role {
            Role::Publisher(publisher) => publisher.begin(&mut client)?,
            Role::Consumer(consumer) => consumer.begin(&mut client)?,
        }
        let mut link = Link::new(client).map_err(Fault::Lost)?;
        registry
            .register(link.stream(), token, Interest::READABLE | Interest::WRITABLE)
            .map_err(Fault::Lost)?;
        match &mut self.role {
            Role::Publisher(publisher) => publisher.connected(link.frame_bytes_max()),
            Role::Consumer(consumer) => consumer.connected(tally),
        }
        self.line = Line::Up(link);
        Ok(())
    }

    /// The connection, or an attempt at one, failed: try again later, or end the run.
    fn fail(&mut self, fault: &Fault, shared: &Shared, tally: &mut Tally) {
        let now_ns = shared.clock.now_ns();
        let retry_ns = now_ns + RETRY_NS;
        let (worth_it, since_ns) = match self.line {
            Line::Up(_) => {
                tally.counts.down += 1;
                (fault.is_passing(), now_ns)
            }
            Line::Down { since_ns, .. } => (now_ns - since_ns < PATIENCE_NS, since_ns),
        };
        self.line = Line::Down { retry_ns, since_ns };
        if !shared.options.reconnect || !worth_it {
            self.line = Line::Down { retry_ns: u64::MAX, since_ns };
            shared.control.fail(format!("{}: {fault}", self.name));
        }
    }

    /// Keeps the count of publishers that are done.
    fn note_finished(&mut self, tally: &mut Tally) {
        if let Role::Publisher(publisher) = &self.role
            && !self.finished
            && publisher.is_finished()
        {
            self.finished = true;
            tally.counts.finished += 1;
        }
    }
}

/// Reads answers, fills a batch, writes; whether anything moved.
fn drive_publisher(
    publisher: &mut Publisher,
    link: &mut Link,
    scratch: &mut [u8],
    clock: &Clock,
    tally: &mut Tally,
    start: Option<(u64, bool)>,
    now_ns: u64,
) -> Result<bool, Fault> {
    let mut moved = false;
    let mut now_ns = now_ns;
    if link.is_readable() {
        moved |= link.receive(scratch, clock, |frame, at_ns| {
            now_ns = at_ns;
            publisher.take(frame, at_ns, tally)
        })?;
    }
    if let Some((start_ns, stopping)) = start {
        publisher.produce(now_ns, start_ns, stopping, tally);
    }
    while link.is_writable() && !publisher.output().is_empty() {
        match link.send(publisher.output()) {
            Ok(count) => publisher.sent(count),
            // The broker may have said why it closed; then that is the better answer.
            Err(fault) => {
                link.receive(scratch, clock, |frame, at_ns| publisher.take(frame, at_ns, tally))?;
                return Err(fault);
            }
        }
        moved = true;
    }
    Ok(moved)
}

/// Reads deliveries, writes acks; whether anything moved.
fn drive_consumer(
    consumer: &mut Consumer,
    link: &mut Link,
    scratch: &mut [u8],
    clock: &Clock,
    tally: &mut Tally,
    verifier: &mut Verifier,
    now_ns: u64,
) -> Result<bool, Fault> {
    let mut moved = false;
    if link.is_readable() && consumer.wants_input() {
        moved |= link
            .receive(scratch, clock, |frame, at_ns| consumer.take(frame, at_ns, tally, verifier))?;
    }
    consumer.produce(now_ns);
    if link.is_writable() && !consumer.output().is_empty() {
        consumer.sent(link.send(consumer.output())?);
        moved = true;
    }
    Ok(moved)
}

const WAKER: Token = Token(usize::MAX);

/// How long to sleep without work; orders of the runner are seen after this at the latest.
const LONG_SLEEP: Duration = Duration::from_millis(20);

/// How long to sleep while a consumer waits to ask an empty queue again.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// Between two attempts to connect.
const RETRY_NS: u64 = SECOND_NS / 5;

/// How long a connection may be down.
const PATIENCE_NS: u64 = 120 * SECOND_NS;
