//! The HTTP API: one HTTP connection as a state machine, and what operators ask there.
//!
//! Bytes in, bytes out, no socket and no clock. A [`Conversation`] is fed with what its client
//! sent; once a request is whole and its sender known, the node's turn works on it
//! ([`Conversation::take_job`], [`Job::go_on`]) within the budget of that step, and what is left
//! goes on in the next turn. May import `amqp`, `outbox` and `broker`; what there is to see beyond
//! the broker comes from the node through [`NodeView`].
//!
//! | file | what is in it |
//! |---|---|
//! | `request` | HTTP as it comes: heads, bodies, limits |
//! | `response` | HTTP as it goes: whole answers, and streams in chunks |
//! | `exposition` | figures in Prometheus's text format |
//! | `json` | AMQP values and names in JSON, request bodies out of JSON |
//! | `view` | what management sees of the node |
//! | `authentication` | who asks, and what that user may do |
//! | `call` | what a resource gets, what it may answer, and the rows of the table of resources |
//! | `list` | pages, sorting, names and columns of long lists, made in pieces |
//! | `resources` | what can be asked for: one file a resource |
//! | `router` | which path and method lead to which resource |
//! | `conversation` | one connection: what it waits for, deadlines, backpressure |

mod authentication;
mod call;
mod conversation;
mod exposition;
mod json;
mod list;
mod request;
mod resources;
mod response;
mod router;
mod view;

pub use authentication::{Logins, Origin};
pub use call::Context;
pub use conversation::{Conversation, Job};
pub use view::{Connected, Identity, Listening, NodeView, Protocol, Resources, Turns, Vitals};
