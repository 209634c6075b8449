//! Who has connected through a proxy, and has yet to be named by it?
//!
//! Where proxies are expected ([`Proxies`]), a socket stays here until its header has come: the
//! node learns of a connection only once it is known whose it is. A header is looked at without
//! being read, and then exactly its bytes are taken, so that whatever is spoken behind it, TLS or
//! not, begins at the socket's first byte.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::debug;
use mio::{Interest, Token};
use slab::Slab;

use crate::broker::ends::canonical;
use crate::management::Origin;

use super::event_loop::{EventLoop, NEWCOMERS};
use super::listener::{Accepted, Visitor};
use super::proxy::{self, Behind, Fault, HEADER_BYTES_MAX, Header, Proxies};

/// Sockets whose headers have not come.
#[derive(Debug, Default)]
pub struct Newcomers {
    proxies: Proxies,
    waiting: Slab<Newcomer>,
    /// Those of whom something was heard.
    heard: Vec<usize>,
}

#[derive(Debug)]
struct Newcomer {
    accepted: Accepted,
    proxy: SocketAddr,
    until: Instant,
    /// It sends no more.
    is_closed: bool,
}

/// So many may wait for their headers at a time.
const NEWCOMERS_MAX: usize = 1024;

/// How long a header may take.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

/// So much of what is no header is shown in the log.
const SHOWN_BYTES_MAX: usize = 16;

impl Newcomers {
    /// Who comes from now on comes through these.
    pub fn expect(&mut self, proxies: Proxies) {
        self.proxies = proxies;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Something happened at the socket in this place.
    pub fn note(&mut self, place: usize, is_closed: bool) {
        if let Some(newcomer) = self.waiting.get_mut(place) {
            newcomer.is_closed |= is_closed;
            self.heard.push(place);
        }
    }

    /// When somebody's time is over.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|(_, newcomer)| newcomer.until).min()
    }

    /// The node ends: nobody is waited for.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The proxy that somebody comes through; `None`: he comes by himself.
    fn proxy_of(&self, visitor: &Visitor) -> Option<SocketAddr> {
        match visitor {
            Visitor::Client(peer, _) => self.proxies.before_amqp.then_some(*peer),
            Visitor::Operator(Origin::Address(peer), _) => {
                self.proxies.before_http.then_some(*peer)
            }
            Visitor::Operator(Origin::Scraper(_) | Origin::Owner, _) => None,
        }
    }
}

/// What is to become of somebody who waits.
enum Verdict {
    /// He waits on.
    Stays,
    /// He is let in, as whom the header names.
    Enters(Behind),
    /// He goes, and nothing is said: proxies look in this way whether we are there.
    Leaves,
    /// He goes, for this reason.
    Refused(String),
}

impl EventLoop {
    /// Whoever comes to these from now on comes through proxies.
    pub fn expect_proxies(&mut self, proxies: Proxies) {
        self.newcomers.expect(proxies);
    }

    /// Somebody connected: he is taken in, or waits until it is known who he is.
    pub(super) fn receive(&mut self, mut accepted: Accepted) {
        let Some(proxy) = self.newcomers.proxy_of(&accepted.visitor) else {
            return self.take_in(accepted);
        };
        let why = if !self.newcomers.proxies.trust(proxy) {
            "it is not among the proxies that are trusted (proxy_protocol.trusted)"
        } else if self.newcomers.len() >= NEWCOMERS_MAX {
            "too many connections wait for their PROXY protocol headers"
        } else {
            let entry = self.newcomers.waiting.vacant_entry();
            let token = Token(NEWCOMERS + entry.key());
            let registry = self.poll.registry();
            if let Err(error) = registry.register(&mut accepted.socket, token, Interest::READABLE) {
                return debug!("{proxy}: cannot watch the socket: {error}");
            }
            let until = self.clock.now() + HEADER_WITHIN;
            entry.insert(Newcomer { accepted, proxy, until, is_closed: false });
            return;
        };
        self.refusals.note(self.clock.now(), &canonical(proxy), why);
    }

    /// Looks at what those sent of whom something was heard, and whose time is over.
    pub(super) fn hear_newcomers(&mut self) {
        let now = self.clock.now();
        for place in std::mem::take(&mut self.newcomers.heard) {
            if let Some(newcomer) = self.newcomers.waiting.get_mut(place) {
                let verdict = newcomer.look();
                self.carry_out_verdict(place, verdict);
            }
        }
        if self.newcomers.deadline().is_none_or(|at| now < at) {
            return;
        }
        let late = self.newcomers.waiting.iter().filter(|(_, newcomer)| newcomer.until <= now);
        for place in late.map(|(place, _)| place).collect::<Vec<_>>() {
            let why = "its PROXY protocol header did not come within 10 s".to_owned();
            self.carry_out_verdict(place, Verdict::Refused(why));
        }
    }

    fn carry_out_verdict(&mut self, place: usize, verdict: Verdict) {
        if matches!(verdict, Verdict::Stays) {
            return;
        }
        let Newcomer { mut accepted, proxy, .. } = self.newcomers.waiting.remove(place);
        if let Err(error) = self.poll.registry().deregister(&mut accepted.socket) {
            debug!("{proxy}: {error}");
        }
        match verdict {
            Verdict::Stays | Verdict::Leaves => {}
            Verdict::Enters(behind) => {
                let visitor = named(accepted.visitor, proxy, behind);
                self.take_in(Accepted { visitor, ..accepted });
            }
            Verdict::Refused(why) => {
                self.refusals.note(self.clock.now(), &canonical(proxy), &why);
            }
        }
    }
}

impl Newcomer {
    /// Looks at what came so far; a whole header is taken from the socket.
    fn look(&mut self) -> Verdict {
        let mut buffer = [0; HEADER_BYTES_MAX];
        let bytes = match self.accepted.socket.peek(&mut buffer) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => return Verdict::Leaves,
        };
        let came = &buffer[..bytes];
        match proxy::parse(came) {
            Ok(Header::Complete(behind, bytes)) => {
                let mut header = &mut buffer[..bytes];
                while !header.is_empty() {
                    match self.accepted.socket.read(header) {
                        Ok(read) if read > 0 => header = &mut header[read..],
                        // What was there a moment ago is there no more.
                        Ok(_) | Err(_) => return Verdict::Leaves,
                    }
                }
                Verdict::Enters(behind)
            }
            Ok(Header::Incomplete) if !self.is_closed => Verdict::Stays,
            Ok(Header::Incomplete) if came.is_empty() => Verdict::Leaves,
            Ok(Header::Incomplete) => {
                Verdict::Refused("it closed before its PROXY protocol header was whole".to_owned())
            }
            Err(Fault::Absent) => {
                let shown = came[..bytes.min(SHOWN_BYTES_MAX)].escape_ascii();
                Verdict::Refused(format!(
                    "{}, which this port asks for, but '{shown}'",
                    Fault::Absent
                ))
            }
            Err(fault @ Fault::Malformed(_)) => Verdict::Refused(fault.to_string()),
        }
    }
}

/// Who comes through the proxy. One on the proxy's own machine is where the proxy is: its loopback
/// is ours only if it is on ours.
fn named(visitor: Visitor, proxy: SocketAddr, behind: Behind) -> Visitor {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let Behind::Client(peer, local) = behind else {
        return visitor;
    };
    if is_loopback(peer) && !is_loopback(proxy) {
        return visitor;
    }
    match visitor {
        Visitor::Client(..) => Visitor::Client(peer, local),
        Visitor::Operator(Origin::Address(_), _) => {
            Visitor::Operator(Origin::Address(peer), Some(local))
        }
        Visitor::Operator(Origin::Scraper(_) | Origin::Owner, _) => visitor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_elsewhere_cannot_make_anybody_a_client_of_this_machine() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let peer_of = |proxy: &str, told: &str| {
            let own = Visitor::Client(address(proxy), address("10.0.0.9:5672"));
            let behind = Behind::Client(address(told), address("192.0.2.9:5672"));
            match named(own, address(proxy), behind) {
                Visitor::Client(peer, _) => peer.to_string(),
                Visitor::Operator(..) => panic!("it is a client"),
            }
        };
        assert_eq!(peer_of("10.0.0.1:7", "192.0.2.1:5"), "192.0.2.1:5");
        for local in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(peer_of("10.0.0.1:7", local), "10.0.0.1:7");
            assert_eq!(peer_of("127.0.0.1:7", local), local);
            assert_eq!(peer_of("[::1]:7", local), local);
        }
        assert_eq!(peer_of("[::ffff:10.0.0.1]:7", "[::1]:5"), "[::ffff:10.0.0.1]:7");
    }
}
