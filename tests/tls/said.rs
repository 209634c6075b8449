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

/// Waits for a line in which all of this stands.
pub fn wait_for(parts: &[&str]) -> String {
    let lines = LINES.lock().unwrap();
    let is_it = |line: &String| parts.iter().all(|part| line.contains(part));
    let (lines, waited) = MORE
        .wait_timeout_while(lines, Duration::from_secs(20), |lines| !lines.iter().any(is_it))
        .unwrap();
    let found = lines.iter().find(|line| is_it(line)).cloned();
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
