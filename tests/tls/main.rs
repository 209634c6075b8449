//! Does TLS do what it promises, whoever is at the other end? The server on port 0, certificates
//! made by the test, and clients that do it right, or wrong in one way.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "all of it is tests")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../management/http.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod http;

mod api;
mod authority;
mod broker;
mod floods;
mod handshakes;
mod hostile;
mod logins;
mod others;
mod reload;
mod said;
mod settings;
mod traffic;
mod tunnel;
