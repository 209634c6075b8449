//! Sockets, readiness, reading, flushing, accepting, lingering: the only module that waits or reads
//! the clock. May import everything but `daemon`.

mod clock;
mod connection;
mod connections;
mod event_loop;
mod listener;
mod newcomers;
pub mod proxy;
mod socket;
mod turn;

pub use crate::management::Protocol;
pub use clock::Clock;
pub use event_loop::{EventLoop, LoopError, Remote, Wakeup};
