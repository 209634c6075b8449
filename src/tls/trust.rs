//! Whom does a client of ours trust?

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::files::{self, LoadError};

/// Whose certificates are good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those of the CAs that this system trusts.
    #[default]
    System,
    /// Those of the CAs in this file, in PEM.
    Authorities(PathBuf),
    /// Anybody's: whoever can answer in the server's place can read and change everything.
    Anybody,
}

impl Trust {
    /// What somebody chose who may name a file of CAs, or say that it does not matter.
    pub fn chosen(authorities: Option<&str>, anybody: bool) -> Self {
        match authorities {
            Some(path) => Self::Authorities(path.into()),
            None if anybody => Self::Anybody,
            None => Self::System,
        }
    }

    /// What connections are made with.
    ///
    /// # Errors
    /// The CAs cannot be read, or there are none.
    pub fn config(&self) -> Result<Arc<ClientConfig>, LoadError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(LoadError::of_settings)?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.roots()? {
            None => Arc::new(Nobody(provider)),
            Some(roots) => WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(LoadError::of_settings)?,
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        Ok(Arc::new(builder.with_no_client_auth()))
    }

    /// The CAs that are trusted; `None`: they do not matter.
    fn roots(&self) -> Result<Option<RootCertStore>, LoadError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::Anybody => return Ok(None),
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let text = "this system has no list of CAs; name a file with --cacert";
                    return Err(LoadError::of_settings(text));
                }
            }
            Self::Authorities(path) => {
                for authority in files::certificates(path, "file of CAs")? {
                    roots
                        .add(authority)
                        .map_err(|error| LoadError::of(path, "file of CAs", error))?;
                }
            }
        }
        Ok(Some(roots))
    }
}

/// Looks at no certificate.
#[derive(Debug)]
struct Nobody(Arc<CryptoProvider>);

impl ServerCertVerifier for Nobody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
