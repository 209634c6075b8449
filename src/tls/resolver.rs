//! Which certificate does a client get?

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates by the host that a client asks for, and one for everybody else.
#[derive(Debug)]
pub struct Resolver {
    pub default: Arc<CertifiedKey>,
    /// Names in small letters; one that begins with `*.` is for all hosts one level below.
    pub by_name: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    /// The certificate for this host: a name that is its own comes before one with a star.
    pub fn find(&self, host: &str) -> &Arc<CertifiedKey> {
        let host = host.to_ascii_lowercase();
        let starred = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let found = self.by_name.get(&host);
        let found = found.or_else(|| starred.and_then(|starred| self.by_name.get(&starred)));
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(hello.server_name().map_or(&self.default, |host| self.find(host)).clone())
    }
}

/// Whether a certificate for the hosts in `names` is one for `host`, which may itself be `*.x`.
pub fn covers(names: &[String], host: &str) -> bool {
    names.iter().any(|name| {
        let is_below = || {
            let rest = host.split_once('.').map(|(_, rest)| rest);
            name.strip_prefix("*.").zip(rest).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        name.eq_ignore_ascii_case(host) || is_below()
    })
}
