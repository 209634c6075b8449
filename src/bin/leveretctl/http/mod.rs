//! How does a request reach the broker, and how does the answer come back?
//!
//! Blocking sockets, one connection that is kept, one request at a time. Whatever the other side
//! sends, an answer has a bounded size and an operation a bounded time.

mod answer;
mod client;
mod request;
mod target;

pub use answer::Answer;
pub use client::{Client, Trouble};
pub use request::{Method, Request};
pub use target::{Credentials, Target};
