//! What would the same bytes cost without a broker? A relay that only moves them: the limit that
//! the figures of a broker are put beside. Its help text says what each end does; `scripts/bench`
//! runs both.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::process::Usage;
use crate::subcommand::{Failure, Subcommand, connect, file, nothing, numbers, port};

/// `leveret-bench relay`
pub const SUBCOMMAND: Subcommand = Subcommand { name: "relay", help: HELP, serve, load };

const HELP: &str = "\
leveret-bench relay moves bytes as a broker would and does nothing else: what is left of a
broker's cost when its work is taken away. scripts/bench puts its figures beside the broker's.

Usage: leveret-bench relay serve IN OUT COPIES [FILE]
       leveret-bench relay load PORT IN COPIES SECONDS

  serve  listens on a free port of 127.0.0.1 and prints it. For every IN bytes from the first
         connection it sends OUT bytes to each of the COPIES connections made after that one.
         A turn is one wait, one read and one write per socket, as in the broker. With FILE it
         also writes what came to that file, once a turn, while a second thread syncs it without
         a break. It ends with the first connection and prints JSON: messages, seconds, messages
         per second and its CPU time per message.
  load   connects to PORT, sends messages of IN bytes for SECONDS as fast as it can, and reads
         on COPIES connections. It prints nothing.

Example, with the bytes of a persistent message of 128 bytes:
  leveret-bench relay serve 195 207 1     prints a port, say 40123; in another terminal:
  leveret-bench relay load 40123 195 1 5
";

/// One read, and one turn's share of a connection, as in the broker.
const READ_BYTES: usize = 256 * 1024;

/// A sink that has this much waiting holds the source back, as in the broker.
const WAITING_BYTES_MAX: usize = 512 * 1024;

/// The file is written from the start again when it has this size.
const FILE_BYTES: u64 = 64 << 20;

/// Where the bytes go.
struct Sink {
    socket: mio::net::TcpStream,
    waiting: Vec<u8>,
    sent: usize,
    writable: bool,
}

/// The file, and how much was written to it.
struct Log {
    file: Arc<File>,
    at: u64,
}

struct Relay {
    source: mio::net::TcpStream,
    sinks: Vec<Sink>,
    log: Option<Log>,
    in_bytes: usize,
    out_bytes: usize,
    /// Bytes of a message that has not come whole.
    partial: usize,
    messages: u64,
    readable: bool,
    /// The source sends no more: it is read until it says so, since no event will come.
    closing: bool,
    ended: bool,
}

fn serve(arguments: &[String]) -> Result<String, Failure> {
    let ([in_bytes, out_bytes, copies], rest) = numbers(arguments, ["IN", "OUT", "COPIES"])?;
    let log = match file(rest)? {
        Some(path) => Some(open_log(path)?),
        None => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let accept = || -> io::Result<mio::net::TcpStream> {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(mio::net::TcpStream::from_std(socket))
    };
    let source = accept()?;
    let mut sinks = Vec::new();
    for _ in 0..copies {
        let socket = accept()?;
        sinks.push(Sink { socket, waiting: Vec::new(), sent: 0, writable: true });
    }
    let mut relay = Relay {
        source,
        sinks,
        log,
        in_bytes,
        out_bytes,
        partial: 0,
        messages: 0,
        readable: true,
        closing: false,
        ended: false,
    };
    Ok(relay.run()?)
}

fn open_log(path: &str) -> io::Result<Log> {
    let file = Arc::new(File::create(path)?);
    for offset in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&vec![0; 1 << 20], offset)?;
    }
    file.sync_all()?;
    let synced = Arc::clone(&file);
    thread::spawn(move || while synced.sync_data().is_ok() {});
    Ok(Log { file, at: 0 })
}

impl Relay {
    /// Until the source has ended and everything is sent; the figures as JSON.
    fn run(&mut self) -> io::Result<String> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(1024);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut self.source, Token(usize::MAX), both)?;
        for (number, sink) in self.sinks.iter_mut().enumerate() {
            poll.registry().register(&mut sink.socket, Token(number), both)?;
        }
        let mut buffer = vec![0; READ_BYTES];
        let pattern = vec![7; self.out_bytes];
        let before = Usage::read(None).unwrap_or_default();
        let began = Instant::now();
        while !self.ended || self.sinks.iter().any(|sink| !sink.waiting.is_empty()) {
            let idle = !self.may_read() && self.sinks.iter().all(Sink::is_stuck);
            poll.poll(&mut events, (!idle).then_some(Duration::ZERO))?;
            for event in &events {
                match self.sinks.get_mut(event.token().0) {
                    Some(sink) => sink.writable |= event.is_writable(),
                    None => {
                        self.readable |= event.is_readable() || event.is_read_closed();
                        self.closing |= event.is_read_closed();
                    }
                }
            }
            if self.may_read() {
                self.read(&mut buffer, &pattern)?;
            }
            for sink in &mut self.sinks {
                sink.flush()?;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let after = Usage::read(None).unwrap_or_default();
        let used = after.user_us + after.system_us - before.user_us - before.system_us;
        let messages = self.messages.max(1) as f64;
        Ok(format!(
            "{{\"messages\": {}, \"seconds\": {seconds:.3}, \"per_second\": {:.0}, \
             \"cpu_us_per_message\": {:.4}}}\n",
            self.messages,
            messages / seconds,
            used as f64 / messages,
        ))
    }

    fn may_read(&self) -> bool {
        let full = |sink: &Sink| sink.waiting.len() - sink.sent >= WAITING_BYTES_MAX;
        self.readable && !self.ended && !self.sinks.iter().any(full)
    }

    fn read(&mut self, buffer: &mut [u8], pattern: &[u8]) -> io::Result<()> {
        let bytes = match self.source.read(buffer) {
            Ok(0) => {
                self.ended = true;
                return Ok(());
            }
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.readable = self.closing || bytes == buffer.len();
        if let Some(log) = &mut self.log {
            log.file.write_all_at(&buffer[..bytes], log.at)?;
            log.at = (log.at + bytes as u64) % (FILE_BYTES - READ_BYTES as u64);
        }
        self.partial += bytes;
        for _ in 0..self.partial / self.in_bytes {
            self.messages += 1;
            for sink in &mut self.sinks {
                sink.waiting.extend_from_slice(pattern);
            }
        }
        self.partial %= self.in_bytes;
        Ok(())
    }
}

impl Sink {
    /// It has nothing to do, or cannot do it now.
    fn is_stuck(&self) -> bool {
        self.waiting.is_empty() || !self.writable
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.sent < self.waiting.len() {
            match self.socket.write(&self.waiting[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.waiting.len() {
            self.waiting.clear();
            self.sent = 0;
        }
        Ok(())
    }
}

fn load(arguments: &[String]) -> Result<String, Failure> {
    let names = ["PORT", "IN", "COPIES", "SECONDS"];
    let ([number, in_bytes, copies, seconds], rest) = numbers(arguments, names)?;
    nothing(rest)?;
    let port = port(number)?;
    let mut source = connect(port)?;
    let mut readers = Vec::new();
    for _ in 0..copies {
        let mut sink = connect(port)?;
        readers.push(thread::spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            while sink.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        }));
    }
    let chunk = vec![7; in_bytes * (64 * 1024 / in_bytes).max(1)];
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    while Instant::now() < until {
        source.write_all(&chunk)?;
    }
    drop(source);
    for reader in readers {
        reader.join().map_err(|_| io::Error::other("a reader panicked"))?;
    }
    Ok(String::new())
}
