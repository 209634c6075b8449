//! What did the brokers of this process say in their logs?

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, Once};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("leveret") {
            let line = format!("{} {}", record.level(), record.args());
            LINES.lock().unwrap().push(line);
            MORE.notify_all();
        }
    }

    fn flush(&self) {}
}

/// Listens from now on.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).expect("nobody else logs");
        log::set_max_level(LevelFilter::Info);
    });
}

/// How much was said so far: what an earlier case had said is no answer to a later one.
pub fn mark() -> usize {
    LINES.lock().unwrap().len()
}

/// Waits for a line in which all of this stands.
pub fn wait_for(parts: &[&str]) -> String {
    wait_since(0, parts)
}

/// The same, of what was said after a mark.
pub fn wait_since(mark: usize, parts: &[&str]) -> String {
    let lines = LINES.lock().unwrap();
    let is_it = |line: &String| parts.iter().all(|part| line.contains(part));
    let is_silent = |lines: &mut Vec<String>| !lines[mark..].iter().any(is_it);
    let (lines, waited) =
        MORE.wait_timeout_while(lines, Duration::from_secs(20), is_silent).unwrap();
    let found = lines[mark..].iter().find(|line| is_it(line)).cloned();
    found.unwrap_or_else(|| {
        panic!("nothing with {parts:?} ({}) in:\n{}", waited.timed_out(), lines.join("\n"))
    })
}

/// All lines about this peer.
pub fn about(peer: SocketAddr) -> Vec<String> {
    let text = format!("{peer}:");
    LINES.lock().unwrap().iter().filter(|line| line.contains(&text)).cloned().collect()
}

/// All lines in which this stands.
pub fn with(text: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}
