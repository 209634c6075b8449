//! What is a listener with TLS told to do? The settings of `ssl_options`, unread files and all.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What one kind of listener shows to its clients, and what it wants of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The certificate, in PEM, with those that lead from it to a CA behind it.
    pub certfile: Option<PathBuf>,
    /// Its key, in PEM.
    pub keyfile: Option<PathBuf>,
    /// The CAs, in PEM, that clients' certificates have to be from. Those among them that the own
    /// certificate is from are shown with it, as RabbitMQ does.
    pub cacertfile: Option<PathBuf>,
    /// Clients are asked for a certificate, and one that they show has to be good.
    pub verify_peer: bool,
    /// Who shows none is refused.
    pub fail_if_no_peer_cert: bool,
    /// Which versions are spoken.
    pub versions: Versions,
    /// So many certificates may lie between a client's and a CA of ours.
    pub depth: u8,
    /// For clients that ask for this host, another certificate.
    pub sni: BTreeMap<String, Pair>,
    /// What of a certificate is its user's name.
    pub login_from: LoginFrom,
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, with those that lead to a CA behind it.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
}

/// Which versions of TLS are spoken; one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

/// What of a client's certificate is the name of its user (`ssl_cert_login_from`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginFrom {
    /// The whole subject, as in RFC 4514.
    #[default]
    DistinguishedName,
    /// The subject's common name.
    CommonName,
    /// The alternative name of this type at this index, from 0.
    SubjectAlternativeName(SanType, usize),
}

/// A type of subject alternative names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SanType {
    /// A host's name.
    #[default]
    Dns,
    /// A host's address.
    Ip,
    /// An address of e-mail.
    Email,
    /// A URI.
    Uri,
    /// Something else, which is taken as text.
    OtherName,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certfile: None,
            keyfile: None,
            cacertfile: None,
            verify_peer: false,
            fail_if_no_peer_cert: false,
            versions: Versions { tls12: true, tls13: true },
            depth: DEPTH,
            sni: BTreeMap::new(),
            login_from: LoginFrom::default(),
        }
    }
}

impl Options {
    /// Without certificates of its own, those of `other` are shown.
    pub fn filled_from(self, other: &Self) -> Self {
        if self.certfile.is_some() {
            return self;
        }
        Self {
            certfile: other.certfile.clone(),
            keyfile: self.keyfile.or_else(|| other.keyfile.clone()),
            cacertfile: self.cacertfile.or_else(|| other.cacertfile.clone()),
            sni: other.sni.clone(),
            ..self
        }
    }
}

/// As Erlang's.
const DEPTH: u8 = 10;
