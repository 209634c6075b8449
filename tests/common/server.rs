//! Which broker do the tests talk to?

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use leveret::amqp::Name;
use leveret::broker::{Broker, Users};
use leveret::daemon;
use leveret::storage::{Gate, HelperMode, StoreOptions};
use tempfile::TempDir;

use super::client::Client;

/// A broker to test: one of this test's own in a thread, or the one that `LEVERET_TEST_URI` names.
pub struct Server {
    address: SocketAddr,
    /// `None`: another broker, which is asked to check the tests.
    own: Option<Own>,
}

/// The fields end in this order: the broker before its directory.
struct Own {
    broker: daemon::Server,
    directory: TempDir,
}

impl Server {
    /// Starts a broker on a free port and an empty temporary directory; it ends with this value.
    pub fn start() -> Server {
        Server::start_with(daemon::Config::default())
    }

    /// The same, and a client with channel 1 open.
    pub fn with_client() -> (Server, Client) {
        let server = Server::start();
        let client = Client::connect(server.address());
        (server, client)
    }

    /// The same; `None` for another broker, which is not asked, for this reason.
    pub fn ours(reason: &str) -> Option<(Server, Client)> {
        let (server, client) = Server::with_client();
        (!server.differs(reason)).then_some((server, client))
    }

    /// Starts a broker, and [`Client::with_confirms`].
    pub fn with_confirms() -> (Server, Client) {
        let server = Server::start();
        let client = Client::with_confirms(server.address());
        (server, client)
    }

    /// Starts a broker with other settings than the default ones; another broker keeps its own.
    pub fn start_with(settings: daemon::Config) -> Server {
        if let Ok(uri) = env::var("LEVERET_TEST_URI") {
            return Server { address: resolve(&uri), own: None };
        }
        Server::start_in(new_directory(), settings)
    }

    /// Starts a broker on a directory that somebody prepared: beside guest and `/` there are the
    /// users, vhosts and policies that `prepare` makes. `None` for another broker, whose users are
    /// not ours.
    pub fn start_prepared(prepare: impl FnOnce(&mut Broker)) -> Option<Server> {
        if env::var("LEVERET_TEST_URI").is_ok() {
            eprintln!("not asked of the reference: its users are not the test's to make");
            return None;
        }
        let directory = new_directory();
        let options = StoreOptions::new(
            directory.path(),
            StoreOptions::SEGMENT_BYTES,
            HelperMode::Thread { wake: Box::new(|| ()) },
        );
        let (mut broker, _) = Broker::open(directory.path(), options).expect("it opens");
        broker.create_vhost(&Name::from("/"));
        broker.put_user(Users::first_user("guest", "guest", "/").expect("it can be hashed"));
        prepare(&mut broker);
        broker.close().expect("it is kept");
        Some(Server::start_in(directory, daemon::Config::default()))
    }

    fn start_in(directory: TempDir, settings: daemon::Config) -> Server {
        let config = daemon::Config {
            data_dir: directory.path().to_path_buf(),
            listeners: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            management: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            prometheus: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            ..settings
        };
        let broker = daemon::Server::start(config).expect("the broker starts");
        Server { address: broker.address(), own: Some(Own { broker, directory }) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its HTTP API is; `None` for another broker, whose API is not ours to ask.
    pub fn management_address(&self) -> Option<SocketAddr> {
        self.own.as_ref().and_then(|own| own.broker.management_address())
    }

    /// Where metrics are served and nothing else; `None` for another broker.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.own.as_ref().and_then(|own| own.broker.metrics_address())
    }

    /// Where its files are; `None` for another broker.
    pub fn directory(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.directory.path())
    }

    /// How long the longest turn of its loop took since this was last asked; `None` for another
    /// broker.
    pub fn take_longest_turn(&self) -> Option<Duration> {
        self.own.as_ref().map(|own| own.broker.take_longest_turn())
    }

    /// Waits until the log has a segment in reserve.
    pub fn wait_for_spare(&self) {
        let Some(own) = &self.own else { return };
        let deadline = super::deadline();
        while super::segments(own.directory.path()).len() < 2 {
            assert!(super::now() < deadline, "no segment in reserve");
        }
    }

    /// Holds the storage helper back, so that nothing becomes durable; `None` for another broker.
    pub fn gate(&self) -> Option<&Gate> {
        if self.differs("its disk is not ours to hold back") {
            return None;
        }
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

fn new_directory() -> TempDir {
    TempDir::new().expect("a temporary directory can be made")
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
