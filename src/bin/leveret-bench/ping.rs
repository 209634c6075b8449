//! How fast can an answer be? A server that answers every message at once: the limit for the
//! latency of a confirm. Its help text says what each end does; `scripts/bench` runs both.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use crate::subcommand::{Failure, Subcommand, connect, file, nothing, numbers, port};

/// `leveret-bench ping`
pub const SUBCOMMAND: Subcommand = Subcommand { name: "ping", help: HELP, serve, load };

const HELP: &str = "\
leveret-bench ping answers every message at once: how fast a confirm could be if a broker did
nothing but receive, write, sync and answer. scripts/bench puts its figures beside the broker's.

Usage: leveret-bench ping serve IN OUT CONNECTIONS [FILE]
       leveret-bench ping load PORT IN OUT CONNECTIONS SECONDS

  serve  listens on a free port of 127.0.0.1 and prints it. It takes CONNECTIONS connections
         and sends OUT bytes back for every IN bytes on each of them. With FILE it writes what a
         turn brought to that file and syncs it before it answers, on the same thread. It ends
         when all connections have.
  load   connects CONNECTIONS times to PORT and keeps one message of IN bytes in flight on each
         connection for SECONDS. It prints JSON: round trips per second and their median time.

Example, with the bytes of a persistent message of 128 bytes and of its confirm:
  leveret-bench ping serve 195 21 1 /var/tmp/ping     prints a port, say 40123; elsewhere:
  leveret-bench ping load 40123 195 21 1 5
";

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;

/// The file is written from the start again when it has this size.
const FILE_BYTES: u64 = 16 << 20;

/// One connection of either end.
struct Peer {
    socket: mio::net::TcpStream,
    /// Bytes that came and are not a whole message yet.
    bytes: usize,
    /// Messages that came and are not answered.
    due: usize,
    sent: Instant,
}

impl Peer {
    fn new(socket: TcpStream) -> io::Result<Peer> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let socket = mio::net::TcpStream::from_std(socket);
        Ok(Peer { socket, bytes: 0, due: 0, sent: Instant::now() })
    }

    /// Reads once, counts messages of `bytes`; how many bytes came, 0 at the end.
    fn read(&mut self, buffer: &mut [u8], bytes: usize) -> io::Result<usize> {
        match self.socket.read(buffer) {
            Ok(read) => {
                self.bytes += read;
                self.due += self.bytes / bytes;
                self.bytes %= bytes;
                Ok(read)
            }
            // The load ends with answers unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// The file, and how much was written to it.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    fn open(path: &str) -> io::Result<Log> {
        let file = File::create(path)?;
        for offset in (0..FILE_BYTES).step_by(1 << 20) {
            file.write_all_at(&vec![0; 1 << 20], offset)?;
        }
        file.sync_all()?;
        Ok(Log { file, at: 0 })
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file.sync_data()
    }
}

fn serve(arguments: &[String]) -> Result<String, Failure> {
    let names = ["IN", "OUT", "CONNECTIONS"];
    let ([in_bytes, out_bytes, connections], rest) = numbers(arguments, names)?;
    let mut log = match file(rest)? {
        Some(path) => Some(Log::open(path)?),
        None => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = io::stdout();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let mut poll = Poll::new()?;
    let accept = |_| Peer::new(listener.accept()?.0);
    let mut peers = (0..connections).map(accept).collect::<io::Result<Vec<Peer>>>()?;
    register(&poll, &mut peers)?;
    let mut events = Events::with_capacity(1024);
    let (mut buffer, pattern) = (vec![0; READ_BYTES], vec![7; out_bytes]);
    let (mut stored, mut ready) = (Vec::new(), Vec::new());
    let mut open = connections;
    while open > 0 {
        poll.poll(&mut events, None)?;
        for event in events.iter().filter(|event| event.is_readable()) {
            let peer = &mut peers[event.token().0];
            let read = peer.read(&mut buffer, in_bytes)?;
            if read == 0 && event.is_read_closed() {
                open -= 1;
            }
            if log.is_some() {
                stored.extend_from_slice(&buffer[..read]);
            }
            ready.push(event.token().0);
        }
        if let Some(log) = log.as_mut().filter(|_| !stored.is_empty()) {
            log.store(&stored)?;
            stored.clear();
        }
        for number in ready.drain(..) {
            let peer = &mut peers[number];
            for _ in 0..std::mem::take(&mut peer.due) {
                peer.socket.write_all(&pattern)?;
            }
        }
    }
    Ok(String::new())
}

fn load(arguments: &[String]) -> Result<String, Failure> {
    let names = ["PORT", "IN", "OUT", "CONNECTIONS", "SECONDS"];
    let ([number, in_bytes, out_bytes, connections, seconds], rest) = numbers(arguments, names)?;
    nothing(rest)?;
    let port = port(number)?;
    let mut poll = Poll::new()?;
    let connect = |_| Peer::new(connect(port)?);
    let mut peers = (0..connections).map(connect).collect::<io::Result<Vec<Peer>>>()?;
    register(&poll, &mut peers)?;
    let mut times = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    let (mut buffer, message) = (vec![0; READ_BYTES], vec![7; in_bytes]);
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds as u64);
    for peer in &mut peers {
        peer.sent = Instant::now();
        peer.socket.write_all(&message)?;
    }
    let mut events = Events::with_capacity(1024);
    while Instant::now() < until {
        poll.poll(&mut events, Some(until - Instant::now().min(until)))?;
        for event in &events {
            let peer = &mut peers[event.token().0];
            if event.is_readable() {
                peer.read(&mut buffer, out_bytes)?;
            }
            if std::mem::take(&mut peer.due) > 0 {
                let now = Instant::now();
                let nanos = now.duration_since(peer.sent).as_nanos();
                times += u64::try_from(nanos).unwrap_or(u64::MAX);
                peer.sent = now;
                peer.socket.write_all(&message)?;
            }
        }
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let p50_us = times.value_at_quantile(0.5) as f64 / 1000.0;
    Ok(format!("{{\"per_second\": {rate:.0}, \"p50_us\": {p50_us:.1}}}\n"))
}

fn register(poll: &Poll, peers: &mut [Peer]) -> io::Result<()> {
    for (number, peer) in peers.iter_mut().enumerate() {
        poll.registry().register(&mut peer.socket, Token(number), Interest::READABLE)?;
    }
    Ok(())
}
