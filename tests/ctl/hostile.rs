//! Brokers that are none or break off, outputs that are full or closed, names that hurt.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::PROGRAM;

/// What a program does about a broker that answers each connection with `answer`, and what it
/// prints to.
fn run(answer: &'static [u8], words: &[&str], stdout: Stdio) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let child = Command::new(PROGRAM)
        .args(words)
        .args(["--uri", &uri])
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It ends with the test's process.
    thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes);
            let _ = stream.write_all(answer);
            // A broker that hangs keeps what it has accepted.
            if answer.is_empty() {
                open.push(stream);
            }
        }
    });
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const VERBS: [&[&str]; 5] = [
    &["list_queues", "name"],
    &["list_users", "--formatter", "erlang"],
    &["top"],
    &["status"],
    &["list", "queues"],
];

#[test]
fn what_is_no_broker_is_said_to_be_none() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\0\xff\0\xff",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
        b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 301 x\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
    ] {
        for words in VERBS {
            let (code, stderr) = told(&run(answer, words, Stdio::piped()));
            assert!(matches!(code, Some(69 | 70)), "{words:?}: {code:?} {stderr}");
            assert!(stderr.starts_with("Error:"), "{words:?}: {stderr}");
            assert!(!stderr.contains("panicked"), "{words:?}: {stderr}");
        }
    }
}

#[test]
fn answers_of_other_shapes_are_no_reason_to_break() {
    for body in ["null", "7", "\"x\"", "[]", "{}", "[1,null,[]]", "{\"items\":{\"a\":[]}}"] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer: &'static [u8] = Box::leak(answer.into_boxed_str()).as_bytes();
        for words in VERBS {
            let (code, stderr) = told(&run(answer, words, Stdio::piped()));
            assert!(code.is_some() && !stderr.contains("panicked"), "{words:?} {body}: {stderr}");
        }
    }
}

#[test]
fn a_broker_that_hangs_is_left_when_the_time_is_over() {
    for words in VERBS {
        let words = [words, &["-t", "1"]].concat();
        let (code, stderr) = told(&run(b"", &words, Stdio::piped()));
        assert_eq!(code, Some(75), "{words:?}: {stderr}");
        assert!(stderr.contains("timed out"), "{stderr}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none_worth_a_word() {
    let queues = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n[{\"name\":\"q\"}]";
    for words in [&["list_queues", "name"][..], &["help"], &["version"], &["completion", "bash"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (code, stderr) = told(&run(queues, words, full.into()));
        assert_eq!(code, Some(74), "{words:?}: {stderr}");
        assert!(stderr.contains("cannot print the result"), "{words:?}: {stderr}");
        // Both ends of a pipe, of which the one that reads is closed.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, stderr) = told(&run(queues, words, writer.into()));
        assert_eq!((code, stderr.as_str()), (Some(74), ""), "{words:?}");
    }
}

#[test]
fn names_that_hurt_are_one_row_each_in_formats_for_programs() {
    let body = r#"[{"name":"a\nb","messages":1},{"name":"\"q\"\t🐇","messages":2}]"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer: &'static [u8] = Box::leak(answer.into_boxed_str()).as_bytes();
    let output = run(answer, &["list_queues", "--formatter", "json"], Stdio::piped());
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows[1]["name"], "a\nb");
    assert_eq!(rows[0]["name"], "\"q\"\t🐇");
    assert_eq!(text.lines().count(), 4, "{text}");
}
