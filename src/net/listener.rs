//! How do connections come in, also when the process has no file descriptor left?

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::warn;
use mio::net::{TcpListener, TcpStream};

/// One listening socket. Edge-triggered: `ready` stays set until "would block".
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The kernel may have connections.
    pub ready: bool,
    /// Out of file descriptors: not before this time.
    retry_at: Option<Instant>,
    warned_at: Option<Instant>,
}

/// Without a free file descriptor, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How often the log says so.
const WARN_EVERY: Duration = Duration::from_secs(10);

impl Listener {
    /// Listens on this address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        Ok(Self { socket, ready: true, retry_at: None, warned_at: None })
    }

    /// The next connection; `None` when there is none for now, or no descriptor for it.
    pub fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        loop {
            match self.socket.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return None;
                }
                Err(error) if is_one_connections_fault(&error) => {}
                Err(error) => {
                    self.retry_at = Some(now + RETRY_AFTER);
                    if self.warned_at.is_none_or(|at| now >= at + WARN_EVERY) {
                        self.warned_at = Some(now);
                        warn!(
                            "cannot accept connections for now ({error}); raise the limit of \
                             open files or close some"
                        );
                    }
                    return None;
                }
            }
        }
    }

    /// When a failed accept should be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

/// Errors that belong to the connection that was about to be accepted (accept(2)).
fn is_one_connections_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}
