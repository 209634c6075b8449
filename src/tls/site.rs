//! What does one kind of listener show to its clients, and what changed of its files?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::chain;
use super::files::{self, LoadError, Stamp};
use super::names::Certificate;
use super::options::{LoginFrom, Options};
use super::resolver::{Resolver, covers};
use super::verifier::Bounded;

/// Certificates that were read and are good, ready to be shown.
#[derive(Debug)]
pub struct Site {
    /// The group of keys in the configuration, as `ssl_options`.
    name: &'static str,
    options: Options,
    config: Arc<ServerConfig>,
    shown: Vec<Shown>,
    authorities: Vec<Certificate>,
    stamps: Vec<Stamp>,
}

/// A certificate that is shown to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Where it was read.
    pub file: PathBuf,
    /// What is written in it.
    pub certificate: Certificate,
}

impl Site {
    /// Reads what `options`, those of the keys under `name`, are about.
    ///
    /// # Errors
    /// The first file that is of no use, and why.
    pub fn load(name: &'static str, options: &Options) -> Result<Self, LoadError> {
        let mut loading = Loading { shown: Vec::new(), stamps: Vec::new() };
        let provider = Arc::new(ring::default_provider());
        let authorities = match &options.cacertfile {
            Some(path) => loading.certificates(path, "file of CAs")?,
            None => Vec::new(),
        };
        let default =
            loading.pair(&options.certfile, &options.keyfile, name, &authorities, &provider)?;
        let mut by_name = BTreeMap::new();
        for (host, pair) in &options.sni {
            let keys = format!("{name}.sni.{host}");
            let key =
                loading.pair(&pair.certfile, &pair.keyfile, &keys, &authorities, &provider)?;
            loading.check_host(host)?;
            by_name.insert(host.to_ascii_lowercase(), key);
        }
        let mut versions = Vec::new();
        versions.extend(options.versions.tls13.then_some(&TLS13));
        versions.extend(options.versions.tls12.then_some(&TLS12));
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(LoadError::of_settings)?;
        let builder = match verifier(name, options, &authorities, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver { default, by_name }));
        if options.verify_peer {
            // A session that goes on would not have its certificate looked at again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let (shown, stamps) = (loading.shown, loading.stamps);
        let authorities = authorities.iter().filter_map(|der| Certificate::read(der)).collect();
        let (options, config) = (options.clone(), Arc::new(config));
        Ok(Self { name, options, config, shown, authorities, stamps })
    }

    /// The group of keys that it is made of.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What a new connection is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// What it was told to do.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What of a client's certificate is its user's name.
    pub fn login_from(&self) -> LoginFrom {
        self.options.login_from
    }

    /// Whether clients are asked for certificates, and these are looked at.
    pub fn verifies_peers(&self) -> bool {
        self.options.verify_peer
    }

    /// The certificates that clients get.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// The CAs that clients' certificates have to be from, or our own is from.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// Whether a file is another one than it was when this was last asked, or when it was read.
    pub fn has_changed(&mut self) -> bool {
        let stamps: Vec<Stamp> = self.stamps.iter().map(|old| Stamp::of(&old.path)).collect();
        let differs = stamps != self.stamps;
        self.stamps = stamps;
        differs
    }

    /// What is wrong with the certificates at this time, in ms since 1970: they are not valid.
    pub fn out_of_date(&self, now_ms: i64) -> Option<LoadError> {
        self.shown.iter().find_map(|Shown { file, certificate }| {
            let Certificate { not_before_ms, not_after_ms, validity, .. } = certificate;
            let problem = if *not_after_ms <= now_ms {
                "has expired"
            } else if *not_before_ms > now_ms {
                "is not valid yet"
            } else {
                return None;
            };
            let text = format!("{problem} (valid {validity}); clients refuse it, renew it");
            Some(LoadError::of(file, CERTIFICATE, text))
        })
    }
}

/// What was read so far.
struct Loading {
    shown: Vec<Shown>,
    stamps: Vec<Stamp>,
}

/// What errors call the file of a certificate.
const CERTIFICATE: &str = "certificate file";

impl Loading {
    /// A certificate and its key, which belong together.
    fn pair(
        &mut self,
        certfile: &Option<PathBuf>,
        keyfile: &Option<PathBuf>,
        keys: &str,
        authorities: &[CertificateDer<'static>],
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, LoadError> {
        let wanted = |path: &Option<PathBuf>, which: &str| {
            let missing = || format!("{keys}.{which} is missing, which a listener with TLS needs");
            path.clone().ok_or_else(|| LoadError::of_settings(missing()))
        };
        let (certfile, keyfile) = (wanted(certfile, "certfile")?, wanted(keyfile, "keyfile")?);
        let mut chain = self.certificates(&certfile, CERTIFICATE)?;
        self.stamps.push(Stamp::of(&keyfile));
        let key = files::key(&keyfile)?;
        let certificate = chain.first().and_then(|der| Certificate::read(der));
        let garbage = || LoadError::of(&certfile, CERTIFICATE, "is not a certificate of X.509");
        let certificate = certificate.ok_or_else(garbage)?;
        chain::complete(&mut chain, authorities);
        let pair = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            let text = if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                let certfile = certfile.display();
                format!(
                    "is not the key of the certificate {certfile}; give the key that it was made \
                     for"
                )
            } else {
                format!("cannot be used: {error}")
            };
            LoadError::of(&keyfile, "key file", text)
        })?;
        self.shown.push(Shown { file: certfile, certificate });
        Ok(Arc::new(pair))
    }

    fn certificates(
        &mut self,
        path: &Path,
        what: &str,
    ) -> Result<Vec<CertificateDer<'static>>, LoadError> {
        // Before it is read: what changes meanwhile is read again.
        self.stamps.push(Stamp::of(path));
        files::certificates(path, what)
    }

    /// The last certificate is for that host.
    fn check_host(&self, host: &str) -> Result<(), LoadError> {
        let Some(Shown { file, certificate }) = self.shown.last() else {
            return Ok(());
        };
        if covers(&certificate.hosts, host) {
            return Ok(());
        }
        let problem = format!(
            "is not for the host {host}, but for {}; clients that ask for it would refuse that",
            if certificate.hosts.is_empty() { "none".into() } else { certificate.hosts.join(", ") }
        );
        Err(LoadError::of(file, CERTIFICATE, problem))
    }
}

/// Who looks at the certificates of clients, if anybody does.
fn verifier(
    name: &str,
    options: &Options,
    authorities: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, LoadError> {
    if !options.verify_peer {
        return Ok(None);
    }
    let Some(path) = &options.cacertfile else {
        return Err(LoadError::of_settings(format!(
            "{name}.verify = verify_peer needs {name}.cacertfile, the CAs of the clients"
        )));
    };
    let mut roots = RootCertStore::empty();
    for (index, authority) in authorities.iter().enumerate() {
        roots.add(authority.clone()).map_err(|error| {
            let problem = format!("its certificate {} is of no use: {error}", index + 1);
            LoadError::of(path, "file of CAs", problem)
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match options.fail_if_no_peer_cert {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    let inner = builder.build().map_err(|error| LoadError::of(path, "file of CAs", error))?;
    Ok(Some(Arc::new(Bounded { inner, depth: options.depth })))
}
