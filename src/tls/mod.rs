//! Keys and certificates: read, checked and chosen; and who a client's certificate says that it is.
//!
//! A [`Site`] is what one kind of listener shows to its clients, made of the files that [`Options`]
//! name. What the two ends agreed on, and whose certificate the client showed, is a [`Peer`]. Our
//! own clients, the tools, speak TLS with a [`ClientStream`], by whom they [`Trust`]. Owns no
//! socket: what travels to and from the broker is in `net`. Imports nothing of the crate.

mod chain;
mod client_stream;
mod failure;
mod files;
mod names;
mod options;
mod peer;
mod resolver;
mod site;
mod trust;
mod verifier;

pub use client_stream::{ClientStream, send};
pub use failure::{describe, explain};
pub use files::LoadError;
pub use names::Certificate;
pub use options::{LoginFrom, Options, Pair, SanType, Versions};
pub use peer::Peer;
pub use site::{Shown, Site};
pub use trust::Trust;
