//! Which certificates of clients are good? Those that rustls takes, within bounds of ours.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::names::raw_subject;

/// Looks at a chain before it costs anything: every signature in it takes a part of a millisecond,
/// and whoever sends many certificates of one name makes many chains of them.
#[derive(Debug)]
pub struct Bounded {
    pub inner: Arc<dyn ClientCertVerifier>,
    /// So many certificates may lie between the client's and a CA.
    pub depth: u8,
}

impl Bounded {
    fn check(&self, intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
        // The CA itself may be sent along.
        let is_long = intermediates.len() > usize::from(self.depth) + 1;
        let mut subjects = HashSet::new();
        let mut is_single = |der| raw_subject(der).is_some_and(|subject| subjects.insert(subject));
        if is_long || !intermediates.iter().all(|der| is_single(der)) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }
}

impl ClientCertVerifier for Bounded {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(intermediates)?;
        self.inner.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
