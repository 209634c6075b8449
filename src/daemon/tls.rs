//! What is configured of TLS: where it is spoken, and with which certificates?

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::config::{Endpoint, addresses};
use crate::management::{Protocol, TlsOptions};
use crate::net;
use crate::tls::{LoadError, LoginFrom, Options, SanType, Versions};

/// The groups of keys, by which errors and the log name what is configured by them.
pub(super) const AMQP: &str = Protocol::Amqp.keys();
pub(super) const MANAGEMENT: &str = Protocol::Http.keys();
pub(super) const PROMETHEUS: &str = Protocol::Metrics.keys();

/// All that is configured of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where AMQP is spoken over TLS; port 0 takes any free one.
    pub listeners: Vec<SocketAddr>,
    /// With what.
    pub options: Options,
    /// Where the HTTP API is served over TLS, if it is; port 0 takes any free one.
    pub management: Option<SocketAddr>,
    /// With what.
    pub management_options: Options,
    /// Where metrics are served over TLS, if they are; port 0 takes any free one.
    pub prometheus: Option<SocketAddr>,
    /// With what.
    pub prometheus_options: Options,
    /// How long a handshake may take, in milliseconds.
    pub handshake_ms: u64,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            options: Options::default(),
            management: None,
            management_options: Options::default(),
            prometheus: None,
            prometheus_options: Options::default(),
            handshake_ms: 5_000,
        }
    }
}

impl Tls {
    /// The certificates that are shown somewhere.
    pub fn sites(&self) -> Vec<TlsOptions> {
        let mut sites = Vec::new();
        let mut note = |is_used: bool, name, options: &Options| {
            sites.extend(is_used.then(|| (name, options.clone())));
        };
        note(!self.listeners.is_empty(), AMQP, &self.options);
        note(self.management.is_some(), MANAGEMENT, &self.management_options);
        note(self.prometheus.is_some(), PROMETHEUS, &self.prometheus_options);
        sites
    }

    /// Whether all certificates that are shown somewhere can be, at this time in ms since 1970.
    ///
    /// # Errors
    /// The first that cannot, and what to do.
    pub fn check(&self, now_ms: u64) -> Result<(), LoadError> {
        let mut sites = self.sites().into_iter();
        sites.try_for_each(|(name, options)| net::check_certificates(name, &options, now_ms))
    }
}

/// What the file said so far.
#[derive(Default)]
pub(super) struct TlsDraft {
    /// `listeners.ssl.NAME`, by name.
    pub listeners: BTreeMap<String, Endpoint>,
    pub amqp: Group,
    pub management: Group,
    pub prometheus: Group,
    /// `ssl_handshake_timeout`
    pub handshake_ms: Option<u64>,
    /// `ssl_cert_login_from`
    pub login_from: LoginWord,
    /// `ssl_cert_login_san_type`
    pub san_type: SanType,
    /// `ssl_cert_login_san_index`
    pub san_index: usize,
}

/// The keys of one kind of listener.
#[derive(Default)]
pub(super) struct Group {
    pub options: Options,
    /// `versions.NAME`, by name.
    pub versions: BTreeMap<String, Version>,
    /// `ip`
    pub ip: Option<IpAddr>,
    /// `port`; 0 is off.
    pub port: Option<u16>,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// A word of `ssl_cert_login_from`.
#[derive(Default, Clone, Copy)]
pub(super) enum LoginWord {
    /// The whole subject.
    #[default]
    Whole,
    /// The subject's common name.
    Common,
    /// An alternative name.
    Alternative,
}

impl TlsDraft {
    /// Put together; `bind` moves all addresses.
    pub(super) fn finish(self, bind: Option<IpAddr>) -> Tls {
        let address = |group: &Group| {
            let port = group.port.unwrap_or(0);
            Endpoint { ip: group.ip, port }.address_if_on(bind)
        };
        let listeners = addresses(self.listeners.values().copied(), bind);
        let (management, prometheus) = (address(&self.management), address(&self.prometheus));
        let login_from = match self.login_from {
            LoginWord::Whole => LoginFrom::DistinguishedName,
            LoginWord::Common => LoginFrom::CommonName,
            LoginWord::Alternative => {
                LoginFrom::SubjectAlternativeName(self.san_type, self.san_index)
            }
        };
        let options = Options { login_from, ..self.amqp.finish() };
        let default = Tls::default();
        Tls {
            listeners,
            management,
            management_options: self.management.finish().filled_from(&options),
            prometheus,
            prometheus_options: self.prometheus.finish().filled_from(&options),
            handshake_ms: self.handshake_ms.unwrap_or(default.handshake_ms),
            options,
        }
    }
}

impl Group {
    /// The port, unless it is off.
    pub fn on_port(&self) -> Option<u16> {
        self.port.filter(|port| *port != 0)
    }

    fn finish(self) -> Options {
        if self.versions.is_empty() {
            return self.options;
        }
        let has = |version| self.versions.values().any(|known| *known == version);
        let versions = Versions { tls12: has(Version::Tls12), tls13: has(Version::Tls13) };
        Options { versions, ..self.options }
    }
}
