//! How does a user show who it is (SASL), and which ways are open?

use crate::amqp::method::connection;
use crate::amqp::{AmqpError, Name, ReplyCode, Table};

use super::Session;

/// The ways that are open (`auth_mechanisms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms {
    /// Name and password, as RFC 4616 has it.
    pub plain: bool,
    /// The same, in a table.
    pub amqplain: bool,
    /// The certificate of the client, where TLS asks for one.
    pub external: bool,
}

impl Mechanisms {
    /// Whether PLAIN, AMQPLAIN and EXTERNAL are open.
    pub fn open(self) -> [bool; 3] {
        [self.plain, self.amqplain, self.external]
    }
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self { plain: true, amqplain: true, external: true }
    }
}

/// Who somebody says to be, and what is to prove it.
pub(super) enum Claim<'a> {
    /// The user, and a password.
    Password(&'a [u8], &'a [u8]),
    /// The user that a certificate names which was looked at.
    Certificate(&'a [u8]),
    /// There is no name, because of this.
    Nobody(&'static str),
}

impl Session {
    /// The mechanisms that this client may choose from.
    pub(super) fn offered(&self) -> String {
        let all = ["PLAIN", "AMQPLAIN", "EXTERNAL"];
        let open = all.into_iter().filter(|name| self.is_open_to(name.as_bytes()));
        open.collect::<Vec<_>>().join(" ")
    }

    /// Without a certificate EXTERNAL is offered all the same: as in RabbitMQ a refusal says more
    /// than a client that finds no mechanism.
    fn is_open_to(&self, mechanism: &[u8]) -> bool {
        let open = self.limits.mechanisms;
        match mechanism {
            b"PLAIN" => open.plain,
            b"AMQPLAIN" => open.amqplain,
            b"EXTERNAL" => open.external && self.tls().is_some_and(|tls| tls.may_log_in),
            _ => false,
        }
    }

    /// Who the client says that it is.
    ///
    /// # Errors
    /// It cannot be understood, or the mechanism is none that is offered.
    pub(super) fn claim<'a>(
        &'a self,
        start_ok: &connection::StartOk<'a>,
    ) -> Result<Claim<'a>, AmqpError> {
        let mechanism = start_ok.mechanism;
        let refuse = |code: ReplyCode, text: String| AmqpError::connection(code, text).at(10, 11);
        let malformed = || {
            let text = format!("invalid {} response", Name::from(mechanism));
            refuse(ReplyCode::SyntaxError, text)
        };
        if !self.is_open_to(mechanism) {
            let is_known = [&b"PLAIN"[..], b"AMQPLAIN", b"EXTERNAL"].contains(&mechanism);
            let what = if is_known { "invalid" } else { "unknown" };
            let text = format!("{what} authentication mechanism '{}'", Name::from(mechanism));
            return Err(refuse(ReplyCode::CommandInvalid, text));
        }
        match mechanism {
            b"PLAIN" => {
                // Nobody logs in to act as somebody else: there is no authorization identity.
                let mut parts = start_ok.response.splitn(3, |&byte| byte == 0);
                parts.next().filter(|identity| identity.is_empty()).ok_or_else(malformed)?;
                let (user, password) = parts.next().zip(parts.next()).ok_or_else(malformed)?;
                Ok(Claim::Password(user, password))
            }
            b"AMQPLAIN" => {
                let table = Table::new(start_ok.response).map_err(|_| malformed())?;
                let text = |key: &[u8]| table.find(key).and_then(|value| value.text());
                let (user, password) =
                    text(b"LOGIN").zip(text(b"PASSWORD")).ok_or_else(malformed)?;
                Ok(Claim::Password(user, password))
            }
            _ => Ok(self.certified()),
        }
    }

    /// Who the client's certificate says that it is; what it answered does not count.
    fn certified(&self) -> Claim<'_> {
        let Some(tls) = self.tls() else {
            return Claim::Nobody("not a TLS-enabled connection");
        };
        match (&tls.certificate, &tls.user) {
            (None, _) => Claim::Nobody("connection peer presented no TLS (x.509) certificate"),
            (Some(_), None) => {
                Claim::Nobody("no name found in the certificate (see ssl_cert_login_from)")
            }
            (Some(_), Some(user)) => Claim::Certificate(user.as_bytes()),
        }
    }
}
