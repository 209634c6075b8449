//! How does a test start the broker's binary on a directory of its own, and end it, one way or the
//! other?

use std::fs;
use std::io::{BufRead, BufReader};
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::client::PATIENCE;

/// A running broker on a directory that outlives it.
pub struct Process {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
    log: Arc<Log>,
    /// Reads the log to its end.
    reader: Option<JoinHandle<()>>,
}

/// What a broker has said so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn take(&self) -> Vec<String> {
        mem::take(&mut self.lines.lock().expect("nobody fails with it"))
    }
}

/// So much of the log is shown when a test fails while the broker runs.
const LAST_LINES: usize = 20;

/// A broker that ended by itself.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said.
    pub log: Vec<String>,
}

impl Refusal {
    fn fail(self) -> Process {
        panic!("the broker ended with {}:\n{}", self.status, self.log.join("\n"))
    }
}

impl Process {
    /// Starts the broker on `directory` and waits until it listens.
    pub fn start(directory: &Path, segment_bytes: u32) -> Process {
        Process::try_start(directory, segment_bytes).unwrap_or_else(Refusal::fail)
    }

    /// The same with further options.
    pub fn start_with(directory: &Path, segment_bytes: u32, options: &[&str]) -> Process {
        let child = piped(command(directory, segment_bytes).args(options));
        Process::run(child, directory).unwrap_or_else(Refusal::fail)
    }

    /// The same for a broker that may have so many files open.
    pub fn start_with_files(directory: &Path, segment_bytes: u32, open_files: u32) -> Process {
        let broker = command(directory, segment_bytes);
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {open_files} && exec \"$0\" \"$@\"");
        shell.arg("-c").arg(limited).arg(broker.get_program()).args(broker.get_args());
        shell.envs(broker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Process::run(piped(&mut shell), directory).unwrap_or_else(Refusal::fail)
    }

    /// The same where it may refuse to. A panic of the broker and a start that takes too long fail
    /// the test.
    pub fn try_start(directory: &Path, segment_bytes: u32) -> Result<Process, Refusal> {
        Process::run(spawn(directory, segment_bytes), directory)
    }

    fn run(mut child: Child, directory: &Path) -> Result<Process, Refusal> {
        let stderr = child.stderr.take().expect("it was piped");
        let (sender, said) = mpsc::channel();
        let log = Arc::new(Log::default());
        let into = Arc::clone(&log);
        let reader = thread::spawn(move || read_log(stderr, &sender, &into));
        match wait_for_address(&said) {
            Some(address) => {
                let directory = directory.to_owned();
                Ok(Process { child, address, directory, log, reader: Some(reader) })
            }
            None => {
                let status = wait_for_end(&mut child);
                reader.join().expect("the log can be read");
                let log = log.take();
                check_log(&log);
                Err(Refusal { status, log })
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until it says something that contains `text`, from now on; false when it has not in
    /// time.
    pub fn wait_until_said(&self, text: &str, patience: Duration) -> bool {
        let lines = self.log.lines.lock().expect("nobody fails with it");
        let seen = lines.len();
        let is_silent = |lines: &mut Vec<String>| !lines[seen..].iter().any(|l| l.contains(text));
        let waited = self.log.more.wait_timeout_while(lines, patience, is_silent);
        !waited.expect("nobody fails with it").1.timed_out()
    }

    /// Kills it as nothing can be killed more surely; what it said.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("the broker runs");
        self.child.wait().expect("the broker can be waited for");
        self.log()
    }

    /// Sends TERM.
    pub fn tell_to_stop(&self) {
        self.send(Signal::TERM);
    }

    /// Lets nothing happen in it until [`Process::thaw`]; the kernel goes on for it.
    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        let pid = Pid::from_raw(pid).expect("no process has the id 0");
        kill_process(pid, signal).expect("the broker runs");
    }

    /// Sends TERM and waits for the orderly end, for which clients have to say goodbye; what it
    /// said.
    pub fn terminate(mut self) -> Vec<String> {
        self.tell_to_stop();
        let status = wait_for_end(&mut self.child);
        let log = self.log();
        assert!(status.success(), "{status} after TERM:\n{}", log.join("\n"));
        log
    }

    /// Waits for the end that it comes to by itself; how it ended and what it said.
    pub fn end(mut self) -> Refusal {
        let status = wait_for_end(&mut self.child);
        Refusal { status, log: self.log() }
    }

    fn log(&mut self) -> Vec<String> {
        let reader = self.reader.take().expect("it is taken once");
        reader.join().expect("the log can be read");
        let log = self.log.take();
        check_log(&log);
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(Ok(())) = self.reader.take().map(JoinHandle::join)
            && thread::panicking()
        {
            let log = self.log.take();
            let last = &log[log.len().saturating_sub(LAST_LINES)..];
            eprintln!("the broker said at last:\n{}", last.join("\n"));
        }
    }
}

/// Starts the broker and does not wait for anything. Who calls this ends it.
pub fn spawn(directory: &Path, segment_bytes: u32) -> Child {
    piped(&mut command(directory, segment_bytes))
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the broker's binary can be started")
}

fn command(directory: &Path, segment_bytes: u32) -> Command {
    let config = directory.with_extension("conf");
    // How much of the disk is free is not what these tests are about.
    let text = format!("storage.segment_size = {segment_bytes}\ndisk_free_limit.absolute = 0\n");
    fs::write(&config, text).expect("the configuration can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    command
        .args(["--port", "0", "--management-port", "0", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(directory)
        .env("RUST_BACKTRACE", "1")
        // As it is by default, and what the log of messages is compacted for.
        .env("RUST_LOG", "info,leveret::broker::flow::compaction=debug");
    command
}

/// Passes the address on and keeps every line.
fn read_log(stderr: ChildStderr, address: &mpsc::Sender<SocketAddr>, log: &Log) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(found) = listening_on(&line) {
            // Nobody waits for a second one.
            let _ = address.send(found);
        }
        log.lines.lock().expect("nobody fails with it").push(line);
        log.more.notify_all();
    }
}

/// `None`: the broker has closed its log, so it is at its end.
fn wait_for_address(said: &Receiver<SocketAddr>) -> Option<SocketAddr> {
    match said.recv_timeout(PATIENCE) {
        Ok(address) => Some(address),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("the broker hangs while starting"),
    }
}

fn wait_for_end(child: &mut Child) -> ExitStatus {
    // A broker that closed its log or was sent TERM ends at once; a test that waits here for ever
    // is stopped by whoever runs the tests.
    child.wait().expect("the broker can be waited for")
}

fn check_log(log: &[String]) {
    let panicked = log.iter().any(|line| line.contains("panicked"));
    assert!(!panicked, "the broker panicked:\n{}", log.join("\n"));
}

/// The address in the line that says that the broker is ready.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("listening on ")?;
    let end = address
        .find(|letter: char| !(letter.is_ascii_digit() || ".:".contains(letter)))
        .unwrap_or(address.len());
    address[..end].trim_end_matches('.').parse().ok()
}
