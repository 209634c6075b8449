//! What do the protocol tests stand on? A raw AMQP client that can send anything, and the broker
//! under test: one of its own for each test, or the one that `LEVERET_TEST_URI` names.
//!
//! With `LEVERET_TEST_URI=amqp://127.0.0.1:5673` the same tests ask another broker (RabbitMQ), to
//! check that they demand what clients are used to. Where the two differ on purpose, the test says
//! so through [`Server::differs`].

// Every test crate uses its part of this one.
#![allow(dead_code, unused_imports)]

mod bulk;
mod burst;
mod client;
mod deaths;
mod disk;
mod files;
mod mounted;
mod node;
mod owned;
mod process;
mod published;
mod random;
mod server;
mod taken;
mod users;
mod verbs;
mod web;

pub use burst::Burst;
pub use client::{Client, Event, Options, PATIENCE, deadline, encode_publish, now};
pub use deaths::Death;
pub use disk::{Disk, Kind};
pub use files::{copy_files, files, segments, sequence};
pub use mounted::{Mounted, or_left_out};
pub use node::{End, Node};
pub use owned::*;
pub use process::{Process, Refusal, spawn};
pub use published::Published;
pub use random::{Random, number, seed};
pub use server::Server;
pub use taken::{
    allocated_bytes, anonymous_bytes, cpu_time, descriptors, descriptors_beside, resident_bytes,
};
pub use users::user;
pub use verbs::{
    expiring, fields, name_header, named, passive, persistent, prioritized, unique, with_headers,
    word, words,
};
pub use web::{BINARY, CLOSE, PING, PONG, Web, WebFrame, bridge, frame as web_frame};

pub use leveret::amqp::method::{access, basic, channel, confirm, connection, exchange, queue, tx};
pub use leveret::amqp::{ArrayBuf, Method, PropertyList, Table, TableBuf, Value};
