//! Which signals did the operator send, told through something an event loop can wait for.
//!
//! The signal handler only marks the signal and writes a byte to a socket pair; its other end
//! is a [`mio::event::Source`] that becomes readable. So a stop is a message to the loop like
//! any other, and no code of ours runs inside a signal handler.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::event::Source;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: stop cleanly.
    Stop,
    /// SIGHUP: the configuration is to be read again, or the terminal is gone.
    HangUp,
}

/// The signals of this process from [`Signals::install`] on. Register it for
/// [`Interest::READABLE`]; when it is ready, take what came with [`Signals::pending`].
///
/// Dropping it leaves the handlers in place, so that a second TERM while the process is
/// ending does not cut the end short.
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Takes over TERM, INT and HUP, which would end the process at once.
    ///
    /// # Errors
    /// No socket pair was to be had, or the system refused a handler.
    pub fn install() -> io::Result<Signals> {
        // The write end may block the handler in theory; signal-hook sends without waiting.
        let (read, write) = StdUnixStream::pair()?;
        read.set_nonblocking(true)?;
        let read = UnixStream::from_std(read);
        let signals = [SIGTERM, SIGINT, SIGHUP];
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, signals)?;
        Ok(Signals { delivery })
    }

    /// What came since the last call, each wish once; a stop first. Never waits.
    /// Drains the socket, as edge-triggered readiness wants.
    pub fn pending(&mut self) -> impl Iterator<Item = Signal> + use<> {
        let (mut stop, mut hang_up) = (false, false);
        for number in self.delivery.pending() {
            match number {
                SIGHUP => hang_up = true,
                _ => stop = true,
            }
        }
        let stop = stop.then_some(Signal::Stop);
        stop.into_iter().chain(hang_up.then_some(Signal::HangUp))
    }
}

impl Source for Signals {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.delivery.get_read_mut().register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.delivery.get_read_mut().reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        self.delivery.get_read_mut().deregister(from)
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};
    use signal_hook::low_level::raise;

    use super::*;

    /// One test for all signals: they are the whole process's, and tests share a process.
    #[test]
    fn signals_wake_the_loop_and_say_what_is_wanted() {
        let mut signals = Signals::install().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut signals, Token(7), Interest::READABLE).unwrap();
        assert_eq!(signals.pending().count(), 0);
        let mut events = Events::with_capacity(4);
        for (raised, expected) in [
            (vec![SIGTERM], vec![Signal::Stop]),
            (vec![SIGHUP], vec![Signal::HangUp]),
            (vec![SIGINT], vec![Signal::Stop]),
            (vec![SIGHUP, SIGINT, SIGTERM, SIGHUP], vec![Signal::Stop, Signal::HangUp]),
        ] {
            for signal in raised {
                raise(signal).unwrap();
            }
            poll.poll(&mut events, None).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7) && event.is_readable()));
            assert_eq!(signals.pending().collect::<Vec<_>>(), expected);
            assert_eq!(signals.pending().count(), 0);
        }
    }
}
