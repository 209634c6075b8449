//! Does the HTTP API answer as RabbitMQ's tools expect it, whatever it is sent? The server on port
//! 0, and a raw client that can send anything.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod durability;
mod hostile;
mod http;
mod lists;
mod metrics;
mod objects;
