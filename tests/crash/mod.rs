//! What do the tests that end brokers by force stand on? A model of what should be there, clients
//! that work until the broker is gone, and the drain that compares the two.

// Every test crate uses its part of this one.
#![allow(dead_code)]

pub mod bodies;
pub mod consumers;
pub mod drain;
pub mod judge;
pub mod load;
pub mod model;
pub mod parts;
pub mod topology;
