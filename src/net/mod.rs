//! Sockets, readiness, timers and the turn: the only module that waits or reads the clock.
//! May import everything but `daemon`.

mod alarms;
mod clock;
mod connection;
mod event_loop;
mod listener;
mod timers;
mod turn;

pub use alarms::ResourceLimits;
pub use clock::Clock;
pub use connection::{Connection, Fill};
pub use event_loop::{Command, EventLoop, LoopError, Remote, Wakeup};
pub use listener::Listener;
