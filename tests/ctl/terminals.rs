//! What happens at a terminal? `top` as somebody sees it, and passwords as they are typed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::PROGRAM;

/// A broker that has the same to say whenever it is asked.
struct Broker {
    socket: PathBuf,
    gone: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Broker {
    fn start(directory: &Path) -> Broker {
        let socket = directory.join("leveret.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (gone, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (over, paths) = (Arc::clone(&gone), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, over, paths) = (stream.unwrap(), Arc::clone(&over), paths.clone());
                thread::spawn(move || serve(stream, &over, &paths));
            }
        });
        Broker { socket, gone, asked }
    }

    fn go(&self) {
        self.gone.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        fs::remove_file(&self.socket).unwrap();
    }

    fn was_asked(&self, what: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|path| path.contains(what))
    }
}

fn serve(stream: UnixStream, gone: &AtomicBool, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.lines().next().unwrap_or_default().to_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        asked.lock().unwrap().push(format!("{path} {body}"));
        if gone.load(Ordering::SeqCst) {
            return;
        }
        let (status, body) = answer(&path);
        let length = body.len();
        let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
    }
}

fn answer(path: &str) -> (u16, String) {
    let rates = r#""message_stats":{"publish_details":{"rate":5.0}}"#;
    let hurts = "\\u001b[2J\\u202e";
    let body = match path {
        _ if path.contains("/api/overview") => {
            r#"{"node":"n@h","queue_totals":{"messages_ready":1234567}}"#.to_owned()
        }
        _ if path.contains("/api/nodes") => {
            r#"{"mem_alarm":true,"mem_used":5,"disk_free":7000000000,"uptime":61000}"#.to_owned()
        }
        _ if path.contains("/api/queues") => format!(
            r#"{{"total_count":100000,"items":[{{"name":"a{hurts}","vhost":"/",{rates}}},
            {{"name":"日本語の長い名前のキュー","vhost":"v","messages_ready":7,"consumers":1}}]}}"#
        ),
        _ if path.contains("/api/connections") => r#"{"total_count":2,"items":[
            {"name":"1.2.3.4:5 -> 1.2.3.4:6","state":"blocked","user":"u"},
            {"name":"x","state":"running","user":"u"}]}"#
            .to_owned(),
        _ if path.starts_with("PUT") => return (201, String::new()),
        _ => return (404, String::new()),
    };
    (200, body)
}

/// A terminal with a program on it.
struct Terminal {
    keys: File,
    /// `None`: nobody but the program has it.
    side: Option<File>,
    child: Child,
    seen: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    modes: Termios,
}

impl Terminal {
    fn start(words: &[&str], directory: &Path, columns: u16, rows: u16) -> Terminal {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let side = File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap());
        tcsetwinsize(&main, size(columns, rows)).unwrap();
        let modes = tcgetattr(&side).unwrap();
        let stream = || Stdio::from(side.try_clone().unwrap());
        let child = Command::new(PROGRAM)
            .args(words)
            .args(["--data-dir", directory.to_str().unwrap()])
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        let keys = File::from(main);
        let mut reader = keys.try_clone().unwrap();
        let (tell, seen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { keys, side: Some(side), child, seen, bytes: Vec::new(), modes }
    }

    /// Waits until what has been seen so far is right.
    fn until(&mut self, what: &str, right: impl Fn(&str) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !right(&String::from_utf8_lossy(&self.bytes)) {
            let left = end.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok(bytes) => self.bytes.extend(bytes),
                Err(_) => panic!("{what}: {}", String::from_utf8_lossy(&self.bytes)),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.bytes.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it ended; the terminal must be as it was.
    fn end(&mut self) -> (Option<i32>, Option<i32>) {
        let status = self.child.wait().unwrap();
        let modes = tcgetattr(self.side.as_ref().unwrap()).unwrap();
        assert_eq!(modes.local_modes, self.modes.local_modes);
        assert!(modes.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        (status.code(), status.signal())
    }

    /// All that was seen since the last key, now that the program has ended.
    fn rest(&mut self) -> String {
        self.side = None;
        self.bytes.extend(self.seen.iter().flatten());
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The lines that are drawn: what follows a place up to the next escape that is no look.
fn drawn(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in text.split("\x1b[").skip(1) {
        let Some((escape, rest)) = piece.split_once(|c: char| c.is_ascii_alphabetic()) else {
            continue;
        };
        let letter = piece[escape.len()..].chars().next();
        match letter {
            Some('H') => lines.push(rest.to_owned()),
            Some('m') => lines.last_mut().into_iter().for_each(|line| line.push_str(rest)),
            _ => {}
        }
    }
    lines
}

/// Columns of the letters in these tests.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if ('\u{3000}'..'\u{a000}').contains(&letter) { 2 } else { 1 }).sum()
}

const LEAVE: &str = "\x1b[?1049l";

#[test]
fn top_begins_with_what_is_wrong_and_asks_for_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let mut terminal = Terminal::start(&["top", "--interval", "1"], directory.path(), 100, 24);
    terminal.until("what is wrong", |text| {
        text.contains("MEMORY ALARM; 1 connections blocked; a queue grows without consumers: a")
    });
    terminal.until("the node", |text| text.contains("ready 1.2M") && text.contains("up 1m01s"));
    terminal.until("queues", |text| {
        text.contains("100k queues by ready") && text.contains("v: 日本語")
    });
    // What a name tells the terminal is shown, and nothing of it is done.
    terminal.until("the name", |text| text.contains("a\\u{1b}[2J\\u{202e}"));
    assert!(!String::from_utf8_lossy(&terminal.bytes).contains('\u{202e}'));
    terminal.press("c");
    terminal.until("the key", |text| text.contains("queues by consumers"));
    assert!(broker.was_asked("sort=consumers&sort_reverse=true"));
    terminal.press("v");
    terminal.until("the direction", |text| text.contains("queues by consumers, reversed"));
    assert!(broker.was_asked("sort=consumers&sort_reverse=false"));
    let paths = broker.asked.lock().unwrap().clone();
    let lists = paths.iter().filter(|path| path.contains("/queues") || path.contains("/conn"));
    for path in lists {
        assert!(path.contains("page=1&page_size="), "a whole list was asked for: {path}");
    }
    terminal.press("q");
    terminal.until("the end", |text| text.contains(LEAVE));
    assert_eq!(terminal.end(), (Some(0), None));
}

#[test]
fn top_fits_terminals_of_every_size_and_follows_a_change() {
    for (columns, rows) in [(1, 1), (1, 24), (7, 3), (13, 10), (40, 12), (300, 60)] {
        let directory = tempfile::tempdir().unwrap();
        let _broker = Broker::start(directory.path());
        let mut terminal = Terminal::start(&["top"], directory.path(), columns, rows);
        let first = match columns {
            1 => "…",
            2..10 => "MEMORY",
            _ => "MEMORY ALARM",
        };
        terminal.until("the first line", |text| text.contains(first));
        let fits = |terminal: &Terminal| {
            let lines = drawn(&String::from_utf8_lossy(&terminal.bytes));
            for line in &lines {
                let columns = usize::from(columns);
                assert!(width(line) <= columns, "{} of {columns}: {line}", width(line));
            }
            lines.len()
        };
        assert!(fits(&terminal) > 0);
        terminal.press("n");
        terminal.until("the rest", |text| columns < 100 || text.contains("queues by name"));
        fits(&terminal);
        tcsetwinsize(&terminal.keys, size(40, 10)).unwrap();
        terminal.bytes.clear();
        terminal.signal(Signal::WINCH);
        terminal
            .until("the new size", |text| text.contains("\x1b[2J") && text.contains("\x1b[10;"));
        for line in drawn(&String::from_utf8_lossy(&terminal.bytes)) {
            assert!(width(&line) <= 40, "{line}");
        }
        terminal.press("\u{3}");
        terminal.until("the end", |text| text.contains(LEAVE));
        assert_eq!(terminal.end(), (Some(0), None));
    }
}

#[test]
fn top_gives_the_terminal_back_when_a_signal_ends_it() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::HUP, 1), (Signal::INT, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let _broker = Broker::start(directory.path());
        let mut terminal = Terminal::start(&["top"], directory.path(), 80, 24);
        terminal.until("a frame", |text| text.contains("queues by"));
        terminal.signal(signal);
        terminal.until("the end", |text| text.contains(LEAVE));
        assert_eq!(terminal.end(), (None, Some(number)));
    }
}

#[test]
fn top_says_that_the_broker_is_gone_and_finds_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let mut terminal = Terminal::start(&["top", "--interval", "1"], directory.path(), 120, 24);
    terminal.until("a frame", |text| text.contains("queues by"));
    broker.go();
    terminal.bytes.clear();
    terminal.until("that it is gone", |text| text.contains("NO ANSWER, asking again"));
    let again = Broker::start(directory.path());
    terminal.bytes.clear();
    // The line says again what it said before.
    terminal.until("that it is back", |text| text.contains("MEMORY ALARM; 1 conn"));
    assert!(again.was_asked("/api/overview"));
    terminal.press("q");
    assert_eq!(terminal.end(), (Some(0), None));
}

#[test]
fn top_can_be_left_while_the_broker_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("leveret.sock")).unwrap();
    let mut terminal = Terminal::start(&["top"], directory.path(), 80, 24);
    let (_connection, _) = listener.accept().unwrap();
    terminal.until("that it asks", |text| text.contains("asking "));
    let begun = Instant::now();
    terminal.press("q");
    assert_eq!(terminal.end(), (Some(0), None));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_password_is_typed_unseen_and_control_c_brings_the_echo_back() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    for (keys, signal) in [("secret\u{3}", 2), ("\u{1c}", 3)] {
        let words = ["hash_password"];
        let mut terminal = Terminal::start(&words, directory.path(), 80, 24);
        terminal.until("the question", |text| text.contains("Password: "));
        terminal.press(keys);
        assert_eq!(terminal.end(), (None, Some(signal)));
    }
    let mut terminal = Terminal::start(&["hash_password"], directory.path(), 80, 24);
    terminal.until("the question", |text| text.contains("Password: "));
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.end(), (None, Some(15)));
    // Corrected as at any terminal: a letter of two bytes is one letter.
    let mut terminal = Terminal::start(&["hash_password"], directory.path(), 80, 24);
    terminal.until("the question", |text| text.contains("Password: "));
    terminal.press("wrong\u{15}geheimé\u{7f}!\r");
    terminal.end();
    terminal.until("an end", |text| text.contains('\n'));
    assert!(broker.was_asked("/hash_password/geheim%21"), "{:?}", broker.asked);
    assert!(!String::from_utf8_lossy(&terminal.bytes).contains("geheim"));
}

#[test]
fn a_signal_ends_what_follows_a_password() {
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("leveret.sock")).unwrap();
        let mut terminal = Terminal::start(&["hash_password"], directory.path(), 80, 24);
        terminal.until("the question", |text| text.contains("Password: "));
        terminal.press("secret\r");
        // It asks, and nobody answers.
        let (_connection, _) = listener.accept().unwrap();
        terminal.signal(signal);
        assert_eq!(terminal.end(), (None, Some(number)));
    }
}

#[test]
fn long_work_shows_that_it_goes_on_unless_nobody_wants_to_see_it() {
    let mut started = [&["purge_queue", "q"][..], &["purge_queue", "q", "-q"]].map(|words| {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("leveret.sock")).unwrap();
        let terminal = Terminal::start(words, directory.path(), 80, 24);
        let (connection, _) = listener.accept().unwrap();
        (terminal, connection, directory)
    });
    started[0].0.until("a sign of life", |text| text.contains("1s"));
    for (terminal, connection, _) in &mut started {
        connection.write_all(b"HTTP/1.1 204 x\r\n\r\n").unwrap();
        assert_eq!(terminal.end(), (Some(0), None));
    }
    assert_eq!(started[1].0.rest(), "");
}
