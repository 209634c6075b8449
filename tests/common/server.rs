//! Which broker do the tests talk to?

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};

use leveret::daemon;
use leveret::storage::Gate;
use tempfile::TempDir;

/// A broker to test: one of this test's own in a thread, or the one that `LEVERET_TEST_URI` names.
pub struct Server {
    address: SocketAddr,
    /// `None`: another broker, which is asked to check the tests.
    own: Option<Own>,
}

/// The fields end in this order: the broker before its directory.
struct Own {
    broker: daemon::Server,
    _directory: TempDir,
}

impl Server {
    /// Starts a broker on a free port and an empty temporary directory; it ends with this value.
    pub fn start() -> Server {
        Server::start_with(daemon::Config::default())
    }

    /// The same with other settings than the default ones, which another broker does not get.
    pub fn start_with(settings: daemon::Config) -> Server {
        if let Ok(uri) = env::var("LEVERET_TEST_URI") {
            return Server { address: resolve(&uri), own: None };
        }
        let directory = TempDir::new().expect("a temporary directory can be made");
        let config = daemon::Config {
            data_dir: directory.path().to_path_buf(),
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            management: None,
            ..settings
        };
        let broker = daemon::Server::start(config).expect("the broker starts");
        Server { address: broker.address(), own: Some(Own { broker, _directory: directory }) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds the storage helper back, so that nothing becomes durable; `None` for another broker.
    pub fn gate(&self) -> Option<&Gate> {
        self.own.as_ref().map(|own| own.broker.gate())
    }

    /// Whether to leave out what follows, because it is another broker, which does not do it, for
    /// the given reason.
    pub fn differs(&self, reason: &str) -> bool {
        let reference = self.own.is_none();
        if reference {
            eprintln!("not asked of the reference: {reason}");
        }
        reference
    }
}

/// `amqp://user:password@host:port/vhost`, of which only host and port count.
fn resolve(uri: &str) -> SocketAddr {
    let rest = uri.strip_prefix("amqp://").unwrap_or(uri);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host_port = authority.rsplit('@').next().unwrap_or(authority);
    host_port
        .to_socket_addrs()
        .expect("LEVERET_TEST_URI names host and port")
        .next()
        .expect("the host has an address")
}
