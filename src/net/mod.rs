//! Sockets, readiness, reading, flushing, accepting, lingering: the only module that waits or reads
//! the clock. May import everything but `daemon`.

mod clock;
mod connection;
mod connections;
mod encrypted;
mod event_loop;
mod listener;
mod newcomers;
pub mod proxy;
mod shaking;
mod sites;
mod socket;
mod turn;

pub use crate::management::Protocol;
pub use clock::Clock;
pub use event_loop::{EventLoop, LoopError, Remote, Wakeup};
pub use listener::sockets_max;
pub use sites::check as check_certificates;
