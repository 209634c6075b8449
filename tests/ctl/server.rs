//! What did the program ask for? A broker that knows its answers beforehand and writes down the
//! questions.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A server on a Unix socket.
pub struct Server {
    state: Arc<Mutex<State>>,
    thread: JoinHandle<()>,
    socket: PathBuf,
}

struct State {
    answers: VecDeque<(u16, &'static str)>,
    requests: Vec<String>,
    over: bool,
}

impl Server {
    /// Listens at `socket` and gives `answers` one after the other.
    pub fn start(socket: &Path, answers: impl Iterator<Item = (u16, &'static str)>) -> Server {
        let answers = answers.collect();
        let state = State { answers, requests: Vec::new(), over: false };
        let state = Arc::new(Mutex::new(state));
        let listener = UnixListener::bind(socket).unwrap();
        let (shared, path) = (Arc::clone(&state), socket.to_owned());
        let thread = thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                if shared.lock().unwrap().over {
                    break;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                let socket = path.clone();
                open.push(thread::spawn(move || serve(stream, &shared, &socket)));
            }
            open.into_iter().for_each(|thread| thread.join().unwrap());
        });
        Server { state, thread, socket: socket.to_owned() }
    }

    /// The requests that came, each as its method, path, what else matters and body.
    pub fn stop(self) -> Vec<String> {
        self.state.lock().unwrap().over = true;
        // Unless it was stopped by a request, it waits for the next connection.
        let _ = UnixStream::connect(&self.socket);
        self.thread.join().unwrap();
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn serve(stream: UnixStream, state: &Mutex<State>, socket: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let mut state = state.lock().unwrap();
        let stops = request == STOP;
        state.requests.push(request);
        let (status, body) = state.answers.pop_front().unwrap_or((599, ""));
        let length = match status {
            204 => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        let answer = format!("HTTP/1.1 {status} x\r\n{length}\r\n{body}");
        // Whoever has gone in the meantime does not want it.
        let _ = stream.write_all(answer.as_bytes());
        if stops && status < 300 {
            state.over = true;
            drop(UnixStream::connect(socket).unwrap());
            fs::remove_file(socket).unwrap();
            return;
        }
    }
}

/// The next request; `None` when there is no other.
fn read(reader: &mut BufReader<UnixStream>) -> Option<String> {
    let mut text = String::new();
    let mut length = 0;
    for index in 0.. {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            _ if index == 0 => text.push_str(line.strip_suffix(" HTTP/1.1").unwrap()),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("authorization" | "x-reason", value)) => text.push_str(&format!(" [{value}]")),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if !body.is_empty() {
        text.push_str(&format!(" {}", String::from_utf8(body).unwrap()));
    }
    Some(text)
}

/// What a broker ends after.
const STOP: &str = "POST /api/leveret/stop";
