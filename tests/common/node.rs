//! How does a test end the broker and start it again on the same directory?

use std::env;
use std::path::PathBuf;

use tempfile::TempDir;

use super::client::Client;
use super::process::Process;

/// The broker's binary on a directory of its own; both go with this value.
pub struct Node {
    /// `None` only in the middle of a restart.
    process: Option<Process>,
    segment_bytes: u32,
    home: TempDir,
}

/// How a broker ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// In an orderly way, by TERM.
    Term,
    /// By KILL, in the middle of whatever it does.
    Kill,
}

/// The default of `storage.segment_size`.
const SEGMENT_BYTES: u32 = 16 * 1024 * 1024;

impl Node {
    /// Starts the broker on an empty directory. `None` where the tests ask another broker, which
    /// others use too and nobody restarts.
    pub fn start() -> Option<Node> {
        Node::start_with(SEGMENT_BYTES)
    }

    /// The same, and [`Client::with_confirms`].
    pub fn start_with_confirms() -> Option<(Node, Client)> {
        let node = Node::start()?;
        let client = Client::with_confirms(node.process().address());
        Some((node, client))
    }

    /// The same with segments of this size.
    pub fn start_with(segment_bytes: u32) -> Option<Node> {
        if env::var("LEVERET_TEST_URI").is_ok() {
            return None;
        }
        let home = TempDir::new().expect("a temporary directory can be made");
        let process = Some(Process::start(&data(&home), segment_bytes));
        Some(Node { process, segment_bytes, home })
    }

    /// Has the next start configure segments of this size.
    pub fn resize_segments(&mut self, segment_bytes: u32) {
        self.segment_bytes = segment_bytes;
    }

    /// Connects as guest and opens channel 1.
    pub fn connect(&self) -> Client {
        Client::connect(self.process().address())
    }

    /// The process that runs now.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// Its data directory.
    pub fn path(&self) -> PathBuf {
        data(&self.home)
    }

    /// Ends the broker under this connection and starts it again on the same directory.
    pub fn restart(&mut self, end: End, mut client: Client) {
        let process = self.process.take().expect("it runs");
        match end {
            End::Kill => drop(process.kill()),
            End::Term => {
                process.tell_to_stop();
                client.expect_connection_error(320, "CONNECTION_FORCED - ");
                drop(process.terminate());
            }
        }
        self.process = Some(Process::start(&data(&self.home), self.segment_bytes));
    }

    /// The same, and [`Client::with_confirms`].
    pub fn restart_with_confirms(&mut self, end: End, client: Client) -> Client {
        self.restart(end, client);
        Client::with_confirms(self.process().address())
    }
}

/// The broker's directory; its configuration is written beside it.
fn data(home: &TempDir) -> PathBuf {
    home.path().join("data")
}
