//! How do connections come in, also when the process has no file descriptor for them?

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::warn;
use mio::net::{TcpListener, TcpStream};

use crate::sys;

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

/// So many file descriptors are no client's: the process has some from its start, and the log
/// needs one for each file that it makes, writes or syncs. Without them publishers would wait.
const DESCRIPTORS_RESERVED: u64 = 40;

/// How many sockets of clients there may be when the process may have so many files open: of very
/// few, a quarter.
pub fn sockets_max(open_files: u64) -> usize {
    let sockets = open_files.saturating_sub(DESCRIPTORS_RESERVED).max(open_files / 4);
    usize::try_from(sockets).unwrap_or(usize::MAX)
}

impl Listener {
    /// Listens on this address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        Ok(Self { socket, ready: true, retry_at: None, warned_at: None })
    }

    /// The next connection; `None` when there is none for now, or no descriptor for it, because
    /// there are `sockets` already.
    pub fn accept(&mut self, now: Instant, sockets: usize) -> Option<(TcpStream, SocketAddr)> {
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        if sockets >= sockets_max(sys::open_files_limit()) {
            self.wait(now, &format!("{sockets} are open, what is left is kept for the log"));
            return None;
        }
        loop {
            match self.socket.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return None;
                }
                Err(error) if is_one_connections_fault(&error) => {}
                Err(error) => {
                    self.wait(now, &error.to_string());
                    return None;
                }
            }
        }
    }

    /// There is no descriptor for the next connection.
    fn wait(&mut self, now: Instant, why: &str) {
        self.retry_at = Some(now + RETRY_AFTER);
        if self.warned_at.is_none_or(|at| now >= at + WARN_EVERY) {
            self.warned_at = Some(now);
            warn!(
                "cannot accept connections for now ({why}); raise the limit of open files or \
                 close some"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_to_the_log() {
        assert_eq!(sockets_max(u64::MAX), usize::MAX - 40);
        assert_eq!(sockets_max(1024), 984);
        assert_eq!(sockets_max(64), 24);
        assert_eq!(sockets_max(16), 4, "there are clients all the same");
    }
}
