//! Why did a handshake fail, in words for the log?

#![allow(clippy::wildcard_enum_match_arm, reason = "rustls's enums may grow")]

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, PeerMisbehaved};

/// Why TLS with a client ended.
pub fn explain(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => {
            "it showed no certificate, and has to (fail_if_no_peer_cert)".to_owned()
        }
        Error::InvalidCertificate(problem) => {
            format!("its certificate {}", of_certificate(problem))
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(problem) => of_offer(problem),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests) => {
            "it wanted new keys again and again".to_owned()
        }
        Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests) => {
            "it wanted to renegotiate again and again, which is not done here".to_owned()
        }
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => {
            format!("what it sent is not TLS ({error})")
        }
        other => other.to_string(),
    }
}

fn of_certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; are both clocks right?".to_owned()
        }
        CertificateError::UnknownIssuer => "is from no CA in cacertfile".to_owned(),
        CertificateError::BadSignature => "is not signed by the CA that it names".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not one for clients (extended key usage)".to_owned()
        }
        CertificateError::ApplicationVerificationFailure => {
            "came with too many others, or with several of one name (depth)".to_owned()
        }
        other => format!("is not good: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => format!(
            "it does not trust our certificate ({alert:?}); it has to know the CA, and to connect \
             by a name in the certificate"
        ),
        AlertDescription::CertificateExpired => {
            "our certificate has expired, it says (CertificateExpired)".to_owned()
        }
        other => format!("it gave up ({other:?})"),
    }
}

fn of_offer(problem: &PeerIncompatible) -> String {
    match problem {
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "it offers no version of TLS that is spoken here (ssl_options.versions)".to_owned()
        }
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => format!(
            "it has nothing in common with us ({problem:?}); only current ciphers are spoken"
        ),
        other => format!("it cannot be talked to ({other:?})"),
    }
}

/// What somebody seems to speak who does not begin with TLS; `None`: nothing that is known.
pub fn describe(first: &[u8]) -> Option<&'static str> {
    if first.starts_with(b"AMQP") {
        return Some("it speaks AMQP without TLS; this port takes AMQP over TLS (amqps)");
    }
    let verbs = [b"GET " as &[u8], b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"CONN"];
    if verbs.iter().any(|verb| first.starts_with(verb)) {
        return Some("it speaks HTTP without TLS; this port takes TLS");
    }
    let is_record = first.first().is_none_or(|&kind| kind == 0x16);
    (!is_record).then_some("it does not speak TLS; this port takes TLS")
}
