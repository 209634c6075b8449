//! The HTTP API: one HTTP connection as a state machine, and what operators ask there.
//!
//! Bytes in, bytes out, no socket and no clock. A [`Conversation`] is fed with what its client
//! sent; once a request is whole and its sender known, the node's turn works on it
//! ([`Conversation::take_job`], [`Job::go_on`]) within the budget of that step, and what is left
//! goes on in the next turn. May import `amqp`, `outbox`, `tls` and `broker`; what there is to see
//! beyond the broker comes from the node through [`NodeView`].
//!
//! | file | what is in it |
//! |---|---|
//! | `request` | HTTP as it comes: heads, bodies, limits |
//! | `response` | HTTP as it goes: whole answers, and streams in chunks |
//! | `coding` | answers made shorter for who asks for it |
//! | `cors` | which other sites' pages may read answers |
//! | `exposition` | figures in Prometheus's text format |
//! | `json` | AMQP values and names in JSON, request bodies out of JSON |
//! | `arguments` | JSON objects as tables of AMQP |
//! | `body` | fields of request bodies |
//! | `refusal` | what the broker refuses, as HTTP says it |
//! | `stats` | counters and rates in JSON |
//! | `samples` | what figures were some time ago, in JSON |
//! | `figures` | which figures of the node are remembered, and how far back |
//! | `view` | what management sees of the node |
//! | `authentication` | who asks, and what that user may do |
//! | `sessions` | who logged in by form, and is that still good |
//! | `sign_in` | credentials, a form or a session: by what a request says who asks |
//! | `call` | what a resource gets, what it may answer, and the rows of the table of resources |
//! | `change` | what requests have in common that change something |
//! | `definitions` | users, vhosts and so on in JSON: shown, read, exported, imported |
//! | `list` | pages, sorting, names and columns of long lists, made in pieces |
//! | `resources` | what can be asked for: one file a resource |
//! | `page` | the page for people, made of files |
//! | `router` | which path and method lead to which resource |
//! | `job` | one request and how far the work on it is |
//! | `upgrade` | who asks for AMQP over WebSocket, and may have it |
//! | `conversation` | one connection: what it waits for, deadlines, backpressure |

mod arguments;
mod authentication;
mod body;
mod call;
mod change;
mod coding;
mod conversation;
mod cors;
mod definitions;
mod exposition;
pub mod figures;
mod job;
mod json;
mod list;
mod page;
mod refusal;
mod request;
mod resources;
mod response;
mod router;
mod samples;
mod sessions;
mod sign_in;
mod sorted;
mod stats;
mod upgrade;
mod view;

pub use authentication::{Logins, Origin};
pub use call::{Context, Durable, Order, TlsOptions};
pub use conversation::{Conversation, Reception, Standing};
pub use cors::Cors;
pub use definitions::import::load_definitions;
pub use definitions::parameters::{cluster_name, cluster_parameter, name_cluster};
pub use job::Job;
pub use sessions::AGE_MAX_MINUTES as LOGIN_SESSION_MINUTES;
pub use view::*;
