//! What is a connection to the loop: a socket, and what it is ready for.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use crate::broker::ConnectionKey;
use crate::outbox::{Outbox, SLICES_MAX};

use super::socket::Socket;

/// One accepted socket.
///
/// Readiness is edge-triggered: a bit that is set stays set until the kernel says "would
/// block", however many turns that takes.
#[derive(Debug)]
pub struct Connection {
    /// The socket; registered once, for both directions.
    pub socket: Socket,
    /// The kernel may have input.
    pub readable: bool,
    /// The peer sends no more: it is read until it says so, since no further event will come.
    pub read_closed: bool,
    /// The kernel may take output.
    pub writable: bool,
    /// It is on the run queue.
    queued: bool,
    /// Input that was read and not taken: an unfinished frame, or what follows a wait.
    pub unread: Vec<u8>,
    /// Its session is at its end: it has some time to read what it was sent.
    pub closes: bool,
    /// It waits for the next turn to encrypt more.
    pub unflushed: bool,
    /// Nothing more is written; what comes is thrown away until the peer closes.
    pub lingers: bool,
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
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            readable: false,
            read_closed: false,
            writable: true,
            queued: false,
            unread: Vec::new(),
            unflushed: false,
            closes: false,
            lingers: false,
            gone: false,
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

    /// It left the run queue.
    pub fn dequeued(&mut self) {
        self.queued = false;
    }

    /// It is on another queue.
    pub fn requeued(&mut self) {
        self.queued = true;
    }

    /// Whether it is in the middle of a handshake of TLS.
    #[inline]
    pub fn is_shaking(&mut self) -> bool {
        self.socket.encrypted().is_some_and(|encrypted| encrypted.is_shaking())
    }

    /// Reads once what comes without TLS, or what is thrown away.
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

    /// Sends what is encrypted and was not taken yet; whether nothing of that is left.
    pub fn send_pending(&mut self) -> io::Result<bool> {
        let Some(encrypted) = self.socket.encrypted() else {
            return Ok(true);
        };
        if self.writable
            && let Err(error) = encrypted.send()
        {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            self.writable = false;
        }
        Ok(!encrypted.has_pending())
    }

    /// Writes the beginning of the outbox once; how many bytes went, or `None` when the kernel
    /// takes no more for now.
    pub fn write(&mut self, outbox: &Outbox) -> io::Result<Option<usize>> {
        loop {
            return match self.write_once(outbox) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    fn write_once(&mut self, outbox: &Outbox) -> io::Result<usize> {
        if let Some(bytes) = outbox.plain() {
            return self.socket.write(bytes);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        self.socket.write_vectored(&slices[..count])
    }

    /// Ends our side; what the peer still sends is read and thrown away, so that it gets all
    /// that we sent. Whether that is possible.
    pub fn linger(&mut self) -> bool {
        self.lingers = true;
        self.socket.shutdown().is_ok()
    }

    /// Who is at the other end, for the log.
    pub fn peer(&self) -> String {
        self.socket.peer()
    }
}
