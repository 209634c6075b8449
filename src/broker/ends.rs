//! Between which addresses is a connection?

use std::fmt;
use std::net::SocketAddr;

/// Both ends of a connection; written down they are its name.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came in; `None`: nobody said so.
    pub local: Option<SocketAddr>,
}

impl Ends {
    /// Where it came in; where nobody said so, an address that means nothing.
    pub fn local(&self) -> SocketAddr {
        self.local.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} -> {}", canonical(self.peer), canonical(self.local()))
    }
}

/// A socket for both versions of IP has IPv4 addresses in the form of IPv6.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
