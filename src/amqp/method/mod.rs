//! Which method is it, with which arguments?
//!
//! One module per class with one struct per method, and the flat [`Method`] over all of them.
//! Strings are borrowed from the payload. Reserved fields are skipped when read, zero or empty when
//! written, and not in the structs. Specification 1 (the classes) and 4.2.4 (the layout):
//!
//! ```text
//!     payload    class u16 | method u16 | arguments
//! ```

pub mod access;
pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
pub mod exchange;
mod layout;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod tx;

use super::error::{AmqpError, ReplyCode};
use super::wire::{Reader, Writer};

/// Makes the enum over all methods, and what has one case for each.
macro_rules! methods {
    ($($variant:ident($class:ident::$method:ident $(<$lifetime:lifetime>)?),)*) => {
        /// A method with its arguments, of any class, from either side.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Method<'a> {
            $(
                #[doc = concat!("[`", stringify!($class), "::", stringify!($method), "`]")]
                $variant($class::$method $(<$lifetime>)?),
            )*
        }

        impl<'a> Method<'a> {
            /// Ids of class and method.
            #[must_use]
            pub fn id(&self) -> (u16, u16) {
                match self {
                    $(Method::$variant(_) => $class::$method::ID,)*
                }
            }

            /// Class and method as the specification names them: `queue.declare`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Method::$variant(_) => $class::$method::NAME,)*
                }
            }

            /// Any method; those that come once per message are taken before.
            fn decode_any(key: u32, arguments: &'a [u8]) -> Result<Method<'a>, AmqpError> {
                match key {
                    $(
                        $class::$method::KEY => match $class::$method::decode(arguments) {
                            Ok(method) => Ok(Method::$variant(method)),
                            Err(malformed) => Err(malformed
                                .in_method($class::$method::NAME)
                                .at($class::$method::ID.0, $class::$method::ID.1)),
                        },
                    )*
                    _ => Err(unknown(key)),
                }
            }
        }

        impl Payload for Method<'_> {
            #[inline]
            fn payload_bytes(&self) -> usize {
                match self {
                    $(Method::$variant(method) => method.payload_bytes(),)*
                }
            }

            #[inline]
            fn write(&self, writer: &mut Writer<'_>) {
                match self {
                    $(Method::$variant(method) => method.write(writer),)*
                }
            }
        }

        $(
            impl<'a> From<$class::$method $(<$lifetime>)?> for Method<'a> {
                #[inline]
                fn from(method: $class::$method $(<$lifetime>)?) -> Method<'a> {
                    Method::$variant(method)
                }
            }
        )*

        /// The payload of every method with all arguments zero or empty.
        #[cfg(test)]
        fn defaults() -> Vec<Method<'static>> {
            vec![$(Method::$variant($class::$method::default()),)*]
        }
    };
}

methods! {
    ConnectionStart(connection::Start<'a>),
    ConnectionStartOk(connection::StartOk<'a>),
    ConnectionSecure(connection::Secure<'a>),
    ConnectionSecureOk(connection::SecureOk<'a>),
    ConnectionTune(connection::Tune),
    ConnectionTuneOk(connection::TuneOk),
    ConnectionOpen(connection::Open<'a>),
    ConnectionOpenOk(connection::OpenOk),
    ConnectionClose(connection::Close<'a>),
    ConnectionCloseOk(connection::CloseOk),
    ConnectionBlocked(connection::Blocked<'a>),
    ConnectionUnblocked(connection::Unblocked),
    ConnectionUpdateSecret(connection::UpdateSecret<'a>),
    ConnectionUpdateSecretOk(connection::UpdateSecretOk),
    ChannelOpen(channel::Open),
    ChannelOpenOk(channel::OpenOk),
    ChannelFlow(channel::Flow),
    ChannelFlowOk(channel::FlowOk),
    ChannelClose(channel::Close<'a>),
    ChannelCloseOk(channel::CloseOk),
    AccessRequest(access::Request<'a>),
    AccessRequestOk(access::RequestOk),
    ExchangeDeclare(exchange::Declare<'a>),
    ExchangeDeclareOk(exchange::DeclareOk),
    ExchangeDelete(exchange::Delete<'a>),
    ExchangeDeleteOk(exchange::DeleteOk),
    ExchangeBind(exchange::Bind<'a>),
    ExchangeBindOk(exchange::BindOk),
    ExchangeUnbind(exchange::Unbind<'a>),
    ExchangeUnbindOk(exchange::UnbindOk),
    QueueDeclare(queue::Declare<'a>),
    QueueDeclareOk(queue::DeclareOk<'a>),
    QueueBind(queue::Bind<'a>),
    QueueBindOk(queue::BindOk),
    QueueUnbind(queue::Unbind<'a>),
    QueueUnbindOk(queue::UnbindOk),
    QueuePurge(queue::Purge<'a>),
    QueuePurgeOk(queue::PurgeOk),
    QueueDelete(queue::Delete<'a>),
    QueueDeleteOk(queue::DeleteOk),
    BasicQos(basic::Qos),
    BasicQosOk(basic::QosOk),
    BasicConsume(basic::Consume<'a>),
    BasicConsumeOk(basic::ConsumeOk<'a>),
    BasicCancel(basic::Cancel<'a>),
    BasicCancelOk(basic::CancelOk<'a>),
    BasicPublish(basic::Publish<'a>),
    BasicReturn(basic::Return<'a>),
    BasicDeliver(basic::Deliver<'a>),
    BasicGet(basic::Get<'a>),
    BasicGetOk(basic::GetOk<'a>),
    BasicGetEmpty(basic::GetEmpty),
    BasicAck(basic::Ack),
    BasicReject(basic::Reject),
    BasicRecoverAsync(basic::RecoverAsync),
    BasicRecover(basic::Recover),
    BasicRecoverOk(basic::RecoverOk),
    BasicNack(basic::Nack),
    ConfirmSelect(confirm::Select),
    ConfirmSelectOk(confirm::SelectOk),
    TxSelect(tx::Select),
    TxSelectOk(tx::SelectOk),
    TxCommit(tx::Commit),
    TxCommitOk(tx::CommitOk),
    TxRollback(tx::Rollback),
    TxRollbackOk(tx::RollbackOk),
}

impl<'a> Method<'a> {
    /// Reads the payload of a method frame.
    ///
    /// # Errors
    /// Connection level: 503 with an unknown class or method, 502 when the arguments run past the
    /// end, bytes are left over or a table is malformed. The error names the method's ids, as far
    /// as they are there.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, AmqpError> {
        let mut reader = Reader::new(payload);
        let key = reader.long().map_err(|malformed| malformed.in_method("method"))?;
        let arguments = reader.rest();
        if key == basic::Publish::KEY {
            if let Ok(publish) = basic::Publish::decode(arguments) {
                return Ok(Method::BasicPublish(publish));
            }
        } else if key == basic::Ack::KEY
            && let Ok(ack) = basic::Ack::decode(arguments)
        {
            return Ok(Method::BasicAck(ack));
        }
        Method::decode_any(key, arguments)
    }

    /// Appends the payload of a method frame: ids and arguments.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.append(out);
    }

    /// Whether a content (header and body frames) follows the method.
    #[must_use]
    pub fn has_content(&self) -> bool {
        matches!(
            self,
            Method::BasicPublish(_)
                | Method::BasicReturn(_)
                | Method::BasicDeliver(_)
                | Method::BasicGetOk(_)
        )
    }
}

/// What the payload of a method frame is made from: a [`Method`] or, where speed matters, the
/// struct of one, which spares the search for the variant. Sealed: nothing outside implements it.
pub trait Payload {
    /// How many bytes the payload has.
    #[doc(hidden)]
    fn payload_bytes(&self) -> usize;

    /// Writes the payload.
    #[doc(hidden)]
    fn write(&self, writer: &mut Writer<'_>);

    /// Appends the payload.
    #[doc(hidden)]
    fn append(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::grow(out, self.payload_bytes());
        self.write(&mut writer);
        writer.end();
    }
}

#[cold]
fn unknown(key: u32) -> AmqpError {
    let [c0, c1, m0, m1] = key.to_be_bytes();
    let class_id = u16::from_be_bytes([c0, c1]);
    let method_id = u16::from_be_bytes([m0, m1]);
    let explanation = format_args!("unknown method {{{class_id},{method_id}}}");
    AmqpError::connection(ReplyCode::CommandInvalid, explanation).at(class_id, method_id)
}
