//! Does the HTTP API answer as RabbitMQ's tools expect it, whatever it is sent? The server on port
//! 0, and a raw client that can send anything.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod answers;
mod changes;
mod connections;
mod definitions;
mod durability;
mod events;
mod exchanges;
mod firehose;
mod forecasts;
mod hostile;
mod http;
mod lists;
mod messages;
mod metrics;
mod moves;
mod newer_definitions;
mod node;
mod objects;
mod page;
mod permissions;
mod policies;
mod proxies;
mod queues;
mod rates;
mod transfers;
mod turns;
mod users;
mod vhosts;
mod websocket;
