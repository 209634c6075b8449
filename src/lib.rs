//! Leveret: a durable AMQP 0-9-1 broker for small hosts.

pub mod amqp;
pub mod broker;
pub mod daemon;
pub mod net;
pub mod session;
pub mod storage;
pub mod sys;
