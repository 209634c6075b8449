//! Which broker do the tests talk to? One with TLS on free ports, and an authority of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use leveret::daemon::{Config, Server, Tls};
use leveret::tls::Options;
use tempfile::TempDir;

use crate::authority::{Authority, Dialect, Pair};
use crate::common::Client;
use crate::said;
use crate::tunnel;

/// The fields end in this order.
pub struct Broker {
    pub server: Server,
    pub authority: Authority,
    pub directory: TempDir,
}

/// Files of a broker that is not started yet.
pub struct Files {
    pub directory: TempDir,
    pub authority: Authority,
}

pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Files {
    pub fn new() -> Files {
        said::listen();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let authority = Authority::new(&name);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        Files { directory, authority }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Shows `pair`, asks for no certificates.
    pub fn options(&self, pair: &Pair) -> Options {
        let (certfile, keyfile) = pair.write(self.directory.path(), "server");
        Options { certfile: Some(certfile), keyfile: Some(keyfile), ..Options::default() }
    }

    /// The same for localhost, with certificates of clients that have to be of the authority.
    pub fn mutual(&self) -> Options {
        let options = self.options(&self.authority.server(&["localhost"]));
        let cacertfile = Some(self.path("ca.pem"));
        Options { cacertfile, verify_peer: true, ..options }
    }

    /// A configuration with everything on TLS, too.
    pub fn config(&self, options: &Options) -> Config {
        let tls = Tls {
            listeners: vec![ANY],
            options: options.clone(),
            management: Some(ANY),
            management_options: options.clone(),
            prometheus: Some(ANY),
            prometheus_options: options.clone(),
            ..Tls::default()
        };
        Config {
            data_dir: self.path("data"),
            listeners: vec![ANY],
            management: Some(ANY),
            prometheus: Some(ANY),
            tls,
            ..Config::default()
        }
    }

    pub fn start(self, config: Config) -> Broker {
        let server = Server::start(config).expect("the broker starts");
        Broker { server, authority: self.authority, directory: self.directory }
    }
}

impl Broker {
    /// For localhost, without certificates of clients.
    pub fn start() -> Broker {
        let files = Files::new();
        let options = files.options(&files.authority.server(&["localhost"]));
        let config = files.config(&options);
        files.start(config)
    }

    /// For localhost, with them.
    pub fn mutual() -> Broker {
        let files = Files::new();
        let config = files.config(&files.mutual());
        files.start(config)
    }

    pub fn plain(&self) -> Client {
        Client::connect(self.server.address())
    }

    /// How a client of this broker speaks, without a certificate.
    pub fn dialect(&self) -> Dialect {
        Dialect::new(&self.authority, None)
    }

    /// A client over TLS with channel 1 open.
    pub fn connect(&self) -> Client {
        Client::connect(self.tunnel(&self.dialect()))
    }

    /// Where plain bytes come out here as bytes in TLS.
    pub fn tunnel(&self, dialect: &Dialect) -> SocketAddr {
        tunnel::to(self.server.tls_address(), dialect)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
