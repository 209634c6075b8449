//! AMQP 0-9-1 on the wire: bytes to frames, methods, properties and tables, and back.
//!
//! This module owns no socket and no state. Decoding borrows from the input and allocates nothing;
//! encoding appends to a `Vec<u8>` that the caller owns. Whatever a peer sends is answered with an
//! [`AmqpError`], never with a panic. It imports nothing from the rest of the crate.
//!
//! The dialect is RabbitMQ's: the specification's grammar (section 4.2), RabbitMQ's type octets in
//! tables and its extensions (`exchange.bind`, `basic.nack`, `confirm`, `connection.blocked`,
//! `connection.update-secret`). Short strings are bytes here, not UTF-8, everywhere: RabbitMQ
//! treats routing keys and properties so, but refuses such names in the methods that declare.
//!
//! | file | question |
//! |---|---|
//! | `frame` | where does a frame end, and is it one |
//! | `method` | which method is it, with which arguments |
//! | `properties` | what does a content header say |
//! | `table` | what is in a table or an array |
//! | `value` | which types of value may a table or an array hold |
//! | `table_buf` | how is a table put together |
//! | `encoder` | how do whole frames get into an output buffer |
//! | `error` | how is a peer told what it did wrong |
//! | `name` | how is a short string kept |
//! | `wire` | how are the elementary fields laid out |

pub mod encoder;
mod error;
mod frame;
pub mod method;
mod name;
mod properties;
mod table;
mod table_buf;
#[cfg(test)]
pub(crate) mod testing;
mod value;
mod wire;

pub use encoder::PROTOCOL_HEADER;
pub use error::{AmqpError, Level, ReplyCode, TEXT_BYTES_MAX};
pub use frame::{FRAME_END, FRAME_OVERHEAD_BYTES, Frame, FrameKind, Parsed, tolerated_bytes};
pub use method::Method;
pub use name::Name;
pub use properties::{BASIC_CLASS_ID, ContentHeader, Properties, PropertyList};
pub use table::{Array, ArrayIter, Table, TableIter};
pub use table_buf::{ArrayBuf, TableBuf};
pub use value::Value;
