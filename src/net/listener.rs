//! How do connections come in, also when the process has no file descriptor for them?

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{debug, warn};
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};

use crate::management::{Origin, Protocol};
use crate::sys;

use super::socket::Socket;

/// One listening socket. Edge-triggered: `ready` stays set until "would block".
#[derive(Debug)]
pub struct Listener {
    door: Door,
    /// Which site's certificates are shown there; `None`: TLS is not spoken.
    pub site: Option<usize>,
    /// The kernel may have connections.
    pub ready: bool,
    /// Out of file descriptors: not before this time.
    retry_at: Option<Instant>,
    warned_at: Option<Instant>,
}

/// Where connections come in, and what is spoken there.
#[derive(Debug)]
enum Door {
    /// A port.
    Tcp(TcpListener, Protocol, SocketAddr),
    /// A file that only the owner of this process may open; HTTP.
    Unix(UnixListener, PathBuf),
}

/// Somebody who connected.
#[derive(Debug)]
pub struct Accepted {
    /// The way to it.
    pub socket: Socket,
    /// Who it is.
    pub visitor: Visitor,
    /// Which site's certificates it is shown; `None`: TLS is not spoken.
    pub site: Option<usize>,
}

/// What somebody who connected wants to speak, and from where.
#[derive(Debug, Clone, Copy)]
pub enum Visitor {
    /// AMQP; the client's address, and where it came in.
    Client(SocketAddr, SocketAddr),
    /// HTTP; from where, and where it came in, if at an address.
    Operator(Origin, Option<SocketAddr>),
}

/// Connections that are closed at once because there are too many; the log names one now and then.
#[derive(Debug, Default)]
pub struct Refusals {
    warned_at: Option<Instant>,
    /// How many the log did not name.
    unnamed: u64,
}

impl Refusals {
    /// Somebody was refused.
    pub fn note(&mut self, now: Instant, who: &dyn Display, why: &str) {
        if self.warned_at.is_some_and(|at| now < at + WARN_EVERY) {
            self.unnamed += 1;
            return;
        }
        self.warned_at = Some(now);
        match std::mem::take(&mut self.unnamed) {
            0 => warn!("{who}: refused, {why}"),
            others => warn!("{who}: refused, {why}; so were {others} others since this was said"),
        }
    }
}

/// Without a free file descriptor, how long until the next try.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How often the log says so.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Only its owner may connect.
const SOCKET_MODE: u32 = 0o600;

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
    /// Listens on this address; where that really is.
    pub fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<(Self, SocketAddr)> {
        let memory_bytes = sys::memory_limit_bytes();
        let socket = TcpListener::bind(address)?;
        if let Err(error) = sys::limit_socket_buffers(&socket, memory_bytes) {
            warn!("{address}: cannot bound what the kernel holds for connections: {error}");
        }
        let local = socket.local_addr()?;
        Ok((Self::new(Door::Tcp(socket, protocol, local)), local))
    }

    /// Listens at this path, where a socket that nobody listens at any more may be left over. Until
    /// it is the owner's alone it has another name.
    pub fn bind_path(path: &Path) -> io::Result<Self> {
        let unfinished = path.with_extension("new");
        for left_over in [&unfinished, path] {
            match fs::remove_file(left_over) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let socket = UnixListener::bind(&unfinished)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(SOCKET_MODE))?;
        fs::rename(&unfinished, path)?;
        Ok(Self::new(Door::Unix(socket, path.to_owned())))
    }

    fn new(door: Door) -> Self {
        Self { door, site: None, ready: true, retry_at: None, warned_at: None }
    }

    /// What has to be watched to know when somebody comes.
    pub fn source(&mut self) -> &mut dyn Source {
        match &mut self.door {
            Door::Tcp(socket, ..) => socket,
            Door::Unix(socket, _) => socket,
        }
    }

    /// Nobody is let in any more, and what is left at a path goes.
    pub fn close(self) {
        if let Door::Unix(_, path) = self.door
            && let Err(error) = fs::remove_file(&path)
        {
            debug!("cannot remove {}: {error}", path.display());
        }
    }

    /// Whether somebody may have come since it last said that nobody is there.
    pub fn has_arrivals(&self) -> bool {
        self.ready && self.retry_at.is_none()
    }

    /// The next connection; `None` when there is none for now, or no descriptor for it, because
    /// there are `sockets` already.
    pub fn accept(&mut self, now: Instant, sockets: usize) -> Option<Accepted> {
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry_at = None;
        if sockets >= sockets_max(sys::open_files_limit()) {
            self.wait(now, &format!("{sockets} are open, what is left is kept for the log"));
            return None;
        }
        loop {
            match self.door.accept() {
                Ok(Some(accepted)) => return Some(Accepted { site: self.site, ..accepted }),
                Ok(None) => {}
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

impl Door {
    /// The next connection; `None`: it was somebody who has no business there.
    fn accept(&self) -> io::Result<Option<Accepted>> {
        match self {
            Self::Tcp(socket, protocol, local) => {
                let (stream, peer) = socket.accept()?;
                if let Err(error) = stream.set_nodelay(true) {
                    debug!("{peer}: TCP_NODELAY cannot be set: {error}");
                }
                // Only who listens everywhere has to ask where somebody came in.
                let asked = || local.ip().is_unspecified().then(|| stream.local_addr().ok());
                let came_in = || asked().flatten().unwrap_or(*local);
                let visitor = match protocol {
                    Protocol::Amqp => Visitor::Client(peer, came_in()),
                    Protocol::Http => Visitor::Operator(Origin::Address(peer), Some(came_in())),
                    Protocol::Metrics => Visitor::Operator(Origin::Scraper(peer), None),
                };
                Ok(Some(Accepted { socket: Socket::Tcp(stream), visitor, site: None }))
            }
            Self::Unix(socket, path) => {
                let (stream, _) = socket.accept()?;
                // The file's mode says so too; but not every system looks at it.
                if !sys::is_peer_trusted(&stream)? {
                    warn!("{}: refused, another user connected", path.display());
                    return Ok(None);
                }
                let visitor = Visitor::Operator(Origin::Owner, None);
                Ok(Some(Accepted { socket: Socket::Unix(stream), visitor, site: None }))
            }
        }
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
