//! What was agreed on with a client, and who does its certificate say that it is?

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};

use super::names::{Certificate, user};
use super::site::Site;

/// The other end of a connection with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `tlsv1.3` or `tlsv1.2`.
    pub protocol: &'static str,
    /// How keys were agreed on, as Erlang calls it.
    pub key_exchange: &'static str,
    /// How bytes are encrypted.
    pub cipher: &'static str,
    /// How bytes are kept from being changed.
    pub hash: &'static str,
    /// Its certificate, if it showed one and it is good.
    pub certificate: Option<Certificate>,
    /// It may log in with its certificate: clients are asked for one.
    pub may_log_in: bool,
    /// The user's name in its certificate.
    pub user: Option<String>,
}

impl Peer {
    /// What is known of the client once the handshake is over.
    pub fn of(connection: &ServerConnection, site: &Site) -> Self {
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(CertificateDer::as_ref).and_then(Certificate::read);
        let is_13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let (key_exchange, cipher) = suite.map_or(("", ""), names_of);
        Self {
            protocol: if is_13 { "tlsv1.3" } else { "tlsv1.2" },
            key_exchange,
            cipher,
            hash: "aead",
            user: shown.and_then(|der| user(der, site.login_from())),
            certificate,
            may_log_in: site.verifies_peers(),
        }
    }
}

/// Key exchange and cipher of a suite, in Erlang's words: in TLS 1.3 any exchange goes with any
/// cipher.
#[allow(clippy::wildcard_enum_match_arm, reason = "there are hundreds that are not spoken")]
fn names_of(suite: CipherSuite) -> (&'static str, &'static str) {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => ("any", "aes_256_gcm"),
        CipherSuite::TLS13_AES_128_GCM_SHA256 => ("any", "aes_128_gcm"),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => ("any", "chacha20_poly1305"),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => ("ecdhe_ecdsa", "aes_256_gcm"),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => ("ecdhe_ecdsa", "aes_128_gcm"),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ("ecdhe_ecdsa", "chacha20_poly1305")
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => ("ecdhe_rsa", "aes_256_gcm"),
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => ("ecdhe_rsa", "aes_128_gcm"),
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ("ecdhe_rsa", "chacha20_poly1305")
        }
        _ => ("unknown", "unknown"),
    }
}
