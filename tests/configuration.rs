//! What does the daemon do with options, configuration files and signals that it cannot honour?

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

mod common;

use common::{Client, passive};

const ANY_PORT: &[&str] = &["--port", "0", "--management-port", "0"];

fn leveret(directory: &TempDir, configuration: &str, options: &[&str]) -> Command {
    let path = directory.path().join("leveret.conf");
    fs::write(&path, configuration).expect("the file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    command.args(options).arg("--config").arg(path);
    command.arg("--data-dir").arg(directory.path().join("data"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What `command` ended with and what it said, which is one line.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().expect("the broker can be started");
    let text = String::from_utf8(stderr).expect("it speaks UTF-8");
    assert!(stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    (status.code(), text)
}

#[test]
fn keys_of_a_later_version_end_the_start_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    for (line, why) in [
        ("definitions.https.url = https://a", "definitions come from files (load_definitions)"),
        ("management.ssl.port = 15671", "of the HTTP API, address and port can be set"),
        ("ssl_options.certfile = /c.pem", "there is no TLS"),
    ] {
        let file = format!("# RabbitMQ's\nheartbeat = 10\n{line}\n");
        let (code, text) = refusal(&mut leveret(&directory, &file, ANY_PORT));
        let key = line.split(' ').next().unwrap();
        let expected = format!("/leveret.conf:3: {key} is not supported by this version: {why}");
        assert!(text.contains(&expected), "{text}");
        assert!(text.ends_with("; remove this line\n"), "{text}");
        assert_eq!(code, Some(78));
        assert!(!directory.path().join("data").exists(), "it began before it had read the file");
    }
}

/// What only tunes RabbitMQ is named, and the broker starts.
#[test]
fn the_configuration_can_be_checked_without_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = "heartbeat = 10\nvm_memory_high_watermark_paging_ratio = 0.75\n";
    let output = leveret(&directory, file, &["--check-config"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (warning, verdict) = said.trim_end().split_once('\n').expect("two lines");
    let expected = "/leveret.conf:2: vm_memory_high_watermark_paging_ratio means nothing here: ";
    assert!(warning.contains(expected), "{warning}");
    assert_eq!((verdict, output.status.code()), ("the configuration is good", Some(0)));
    assert!(!directory.path().join("data").exists(), "it began to run");
    let (code, text) = refusal(&mut leveret(&directory, "heartbeet = 1\n", &["--check-config"]));
    assert!(text.contains("unknown key heartbeet; did you mean heartbeat?"), "{text}");
    assert_eq!(code, Some(78));
}

#[test]
fn definitions_that_are_refused_end_the_start_with_file_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("d.json");
    let file = format!("load_definitions = {}\n", path.display());
    for (text, why) in [
        ("{bad", "failed_to_parse_json"),
        (
            r#"{"queues": [{"name": "q", "vhost": "nope"}]}"#,
            "1 objects were refused, all else is there: queues[0]: vhost 'nope' does not exist",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let mut command = leveret(&directory, &file, ANY_PORT);
        let Output { status, stderr, .. } = command.output().expect("the broker can be started");
        let said = String::from_utf8(stderr).expect("it speaks UTF-8");
        let expected = format!("cannot take in the definitions in {}: {why}", path.display());
        assert!(said.contains(&expected), "{said}");
        assert_eq!(status.code(), Some(78));
    }
}

/// It is on by default: whoever starts a second broker has to learn which option it is about.
#[test]
fn a_start_whose_port_for_the_http_api_is_taken_names_the_option() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    let options = &["--port", "0", "--management-port", &port];
    let (code, text) = refusal(&mut leveret(&directory, "", options));
    assert!(text.contains(&format!("cannot listen on {address} for the HTTP API: ")), "{text}");
    assert!(text.contains("choose another port with --management-port"), "{text}");
    assert_eq!(code, Some(71));
}

/// The broker had opened its log and left it open, so that the next start marked everything as
/// redelivered.
#[test]
fn a_start_that_cannot_listen_leaves_an_orderly_directory() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run_and_stop(&directory).iter().all(|line| !line.contains("unclean")));
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let mut refused = leveret(
        &directory,
        &format!("listeners.tcp.taken = {address}\n"),
        &["--management-port", "0"],
    );
    let (code, text) = refusal(&mut refused);
    assert!(text.contains(&format!("cannot listen on {address}: ")), "{text}");
    assert!(text.contains("; stop what listens there or choose another port"), "{text}");
    assert_eq!(code, Some(71));
    let log = run_and_stop(&directory);
    assert!(log.iter().all(|line| !line.contains("unclean shutdown")), "{log:?}");
}

/// Runs the broker until it listens, stops it, and returns what it said.
fn run_and_stop(directory: &TempDir) -> Vec<String> {
    let mut command = leveret(directory, "", ANY_PORT);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the broker can be started");
    let log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut said = Vec::new();
    for line in log.lines().map_while(Result::ok) {
        if line.contains("listening on") {
            send(&child, Signal::TERM);
        }
        said.push(line);
    }
    let status = child.wait().expect("the broker can be waited for");
    assert!(status.success(), "{said:?}");
    said
}

/// A terminal that is closed sends HUP to what was started in it, and so does whoever is used to
/// daemons that read their files again.
#[test]
fn a_hang_up_has_the_configuration_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = leveret(&directory, "", ANY_PORT).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    let mut wait_for = |text: &str| {
        assert!(lines.any(|line| line.contains(text)), "the broker ended without saying '{text}'");
    };
    wait_for("listening on");
    send(&child, Signal::HUP);
    wait_for("HUP: the configuration was read again and set nothing");
    let file = directory.path().join("leveret.conf");
    fs::write(&file, "disk_free_limit.absolute = 77\nheartbeat = 5\n").unwrap();
    send(&child, Signal::HUP);
    wait_for("HUP: the configuration was read again and set the free disk limit to 77 bytes");
    wait_for("HUP: restart the broker for what changed of heartbeat");
    fs::write(&file, "heartbeet = 5\n").unwrap();
    send(&child, Signal::HUP);
    wait_for("did you mean heartbeat?; the configuration stays as it is");
    send(&child, Signal::TERM);
    wait_for("stopped");
    assert!(child.wait().unwrap().success());
}

/// The log goes to a queue while the configuration says so, and none of its lines makes another.
#[test]
fn lines_of_the_log_are_published_and_a_hang_up_ends_that() {
    let directory = tempfile::tempdir().unwrap();
    let file = "log.exchange = true\nlog.exchange.level = warning\nlog.level = trace\n";
    let mut child = leveret(&directory, file, ANY_PORT).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    let mut wait_for = |text: &str| {
        let found = lines.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("the broker ended without saying '{text}'"))
    };
    let line = wait_for("listening on");
    let (_, rest) = line.split_once("listening on ").unwrap();
    let address = rest.split([' ', ',']).next().unwrap().parse().unwrap();
    let mut client = Client::connect(address);
    let (all, warnings) = (client.shared_queue(1), client.shared_queue(1));
    client.bind(1, &all, "amq.rabbitmq.log", "#");
    client.bind(1, &warnings, "amq.rabbitmq.log", "warning");
    client.open(2);
    client.refused(2, passive("nobody\nhome"), 404, "NOT_FOUND - no queue 'nobody");
    client.wait_for_messages(1, &warnings, 1);
    let got = client.get(1, &warnings).unwrap();
    client.ack(1, got.tag);
    let list = got.message.list();
    assert_eq!((got.message.key.as_str(), list.delivery_mode), ("warning", None));
    assert_eq!(list.content_type, Some(&b"text/plain"[..]));
    let body = got.message.body();
    let headers = list.headers.unwrap();
    let node = headers.find(b"node").and_then(|node| node.text()).unwrap();
    assert!(node.starts_with(b"leveret@"));
    let (time, text) = body.split_once(" [warning] ").unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00.000000+00:00");
    assert!(text.contains("closing channel 2: NOT_FOUND - no queue 'nobody"), "{text}");
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text:?}");
    // Publishing it was no reason for another line, nor was anything less severe.
    client.round_trip(1);
    assert_eq!(client.inspect(1, &warnings).messages, 0);
    assert_eq!(client.inspect(1, &all).messages, 1);
    fs::write(directory.path().join("leveret.conf"), "log.level = trace\n").unwrap();
    send(&child, Signal::HUP);
    wait_for("set log.exchange to false");
    client.refused(2, passive("nobody"), 404, "NOT_FOUND - no queue 'nobody'");
    client.round_trip(1);
    assert_eq!(client.inspect(1, &all).messages, 1);
    fs::write(directory.path().join("leveret.conf"), "log.level = trace\nlog.exchange = on\n")
        .unwrap();
    send(&child, Signal::HUP);
    wait_for("set log.exchange to true in vhost '/' from level INFO");
    client.refused(2, passive("nobody"), 404, "NOT_FOUND - no queue 'nobody'");
    client.wait_for_messages(1, &warnings, 1);
    send(&child, Signal::TERM);
    wait_for("stopped");
    assert!(child.wait().unwrap().success());
}

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("process ids are small");
    kill_process(Pid::from_raw(id).expect("no process has the id 0"), signal)
        .expect("the broker runs");
}
