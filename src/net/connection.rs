//! What is a connection to the loop: a socket, what it is ready for, and its session.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;

use crate::broker::ConnectionKey;
use crate::session::{SLICES_MAX, Session};

/// One accepted socket.
///
/// Readiness is edge-triggered: a bit that is set stays set until the kernel says "would
/// block", however many turns that takes.
#[derive(Debug)]
pub struct Connection {
    /// The socket; registered once, for both directions.
    pub socket: TcpStream,
    /// What is spoken on it.
    pub session: Session,
    /// The kernel may have input.
    pub readable: bool,
    /// The peer sends no more: it is read until it says so, since no further event will come.
    pub read_closed: bool,
    /// The kernel may take output.
    pub writable: bool,
    /// It is on the run queue.
    pub queued: bool,
    /// It is on the list of those with output.
    pub touched: bool,
    /// It is on the list of those that wait for the disk.
    pub listed_waiting: bool,
    /// It is on the list of those whose confirms wait.
    pub listed_confirming: bool,
    /// It is on the list of those that are held back.
    pub listed_held_back: bool,
    /// It is on the list of those whose buffers may be freed.
    pub listed_warm: bool,
    /// It sent something since the buffers were last looked at.
    pub active: bool,
    /// Input that was read and not taken: an unfinished frame, or what follows a wait.
    pub unread: Vec<u8>,
    /// When the loop's timers will ask it.
    pub timer_at: Option<Instant>,
    /// Nothing more is written; what comes is thrown away until the peer closes or this time.
    pub lingers_until: Option<Instant>,
    /// The socket is of no more use.
    pub gone: bool,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// This many bytes, and there may be more.
    Bytes(usize),
    /// This many bytes, and nothing more for now.
    Drained(usize),
    /// The peer closed its side, or the socket failed.
    Closed,
}

impl Connection {
    /// Wraps a socket that was just accepted.
    pub fn new(socket: TcpStream, session: Session) -> Self {
        Self {
            socket,
            session,
            readable: false,
            read_closed: false,
            writable: true,
            queued: false,
            touched: false,
            listed_waiting: false,
            listed_confirming: false,
            listed_held_back: false,
            listed_warm: false,
            active: false,
            unread: Vec::new(),
            timer_at: None,
            lingers_until: None,
            gone: false,
        }
    }

    /// Puts it on the list of those with output, once.
    #[inline]
    pub fn touch(&mut self, touched: &mut Vec<ConnectionKey>, key: ConnectionKey) {
        if !self.touched {
            self.touched = true;
            touched.push(key);
        }
    }

    /// Puts it on the run queue, once.
    #[inline]
    pub fn enqueue(&mut self, run_queue: &mut VecDeque<ConnectionKey>, key: ConnectionKey) {
        if !self.queued {
            self.queued = true;
            run_queue.push_back(key);
        }
    }

    /// Reads once.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Fill {
        loop {
            return match self.socket.read(buffer) {
                Ok(0) => Fill::Closed,
                Ok(bytes) if bytes < buffer.len() && !self.read_closed => Fill::Drained(bytes),
                Ok(bytes) => Fill::Bytes(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Fill::Drained(0),
                Err(_) => Fill::Closed,
            };
        }
    }

    /// Writes the beginning of the outbox once; how many bytes went, or `None` when the kernel
    /// takes no more for now.
    pub fn write(&mut self) -> io::Result<Option<usize>> {
        loop {
            return match self.write_once() {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    fn write_once(&mut self) -> io::Result<usize> {
        let outbox = &self.session.outbox;
        if let Some(bytes) = outbox.plain() {
            return self.socket.write(bytes);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        self.socket.write_vectored(&slices[..count])
    }

    /// Ends our side; what the peer still sends is read and thrown away, so that it gets all
    /// that we sent.
    pub fn linger(&mut self, until: Instant) {
        self.lingers_until = Some(until);
        if self.socket.shutdown(Shutdown::Write).is_err() {
            self.gone = true;
        }
    }

    /// The peer's address, for the log.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }
}
