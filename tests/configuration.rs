//! What does the daemon do with options, configuration files and signals that it cannot honour?

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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

/// As the compose files have it that start RabbitMQ's image.
#[test]
fn the_default_user_comes_from_the_environment_and_other_variables_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = leveret(&directory, "", ANY_PORT)
        .env("RABBITMQ_DEFAULT_USER", "shop")
        .env("RABBITMQ_DEFAULT_PASS", "hunter2")
        .env("RABBITMQ_DEFAULT_VHOST", "orders")
        .env("RABBITMQ_NODE_PORT", "5679")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    let warning = lines.next().unwrap();
    let expected = "the environment variable RABBITMQ_NODE_PORT means nothing here: use --port";
    assert!(warning.contains(expected), "{warning}");
    let line = lines.find(|line| line.contains("listening on")).unwrap();
    let address = address_in(&line);
    for (login, vhost, last) in [
        (&b"\0shop\0hunter2"[..], &b"orders"[..], [0, 10, 0, 41]),
        (b"\0shop\0hunter2", b"/", [0, 10, 0, 50]),
    ] {
        let (mut stream, _) = log_in(address, login);
        assert_eq!(opened(&mut stream, vhost), last, "{}", vhost.escape_ascii());
    }
    send(&child, Signal::TERM);
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert!(rest.iter().all(|line| !line.contains("hunter2")), "{rest:?}");
}

/// Whatever is logged, and whether the login is a right one: a log goes to more people than a
/// password.
#[test]
fn a_failed_login_is_logged_with_its_peer_and_no_password_ever_is() {
    let directory = tempfile::tempdir().unwrap();
    let options = &[ANY_PORT, &["--log-level", "trace"]].concat();
    let mut child = leveret(&directory, "", options)
        .env("RABBITMQ_DEFAULT_USER", "shop")
        .env("RABBITMQ_DEFAULT_PASS", "hunter2")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    let mut said = Vec::new();
    let line = lines.find(|line| line.contains("listening on")).unwrap();
    let address = address_in(&line);
    drop(log_in(address, b"\0shop\0hunter2"));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
    frame(&mut stream);
    let wrong =
        [&b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0f"[..], b"\0shop\0swordfish", b"\x05en_US"];
    send_method(&mut stream, &wrong);
    // The same over HTTP, and where a password is set.
    let mut http = UnixStream::connect(directory.path().join("data/leveret.sock")).unwrap();
    let request = |login: &str, body: &str| {
        let login = STANDARD.encode(login);
        let length = body.len();
        format!(
            "PUT /api/users/shop HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {login}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let body = r#"{"password": "correcthorse", "tags": "administrator"}"#;
    let both = [request("shop:swordfish", "{}"), request("shop:hunter2", body)].concat();
    http.write_all(both.as_bytes()).unwrap();
    let mut answers = String::new();
    while !answers.contains("HTTP/1.1 204") {
        let mut some = [0; 1024];
        let bytes = http.read(&mut some).unwrap();
        assert!(bytes > 0, "{answers}");
        answers.push_str(std::str::from_utf8(&some[..bytes]).unwrap());
    }
    assert!(answers.starts_with("HTTP/1.1 401"), "{answers}");
    drop(http);
    let peer = stream.local_addr().unwrap();
    let refused = format!("{peer}: login of user 'shop' refused: ");
    for line in lines.by_ref() {
        let is_last = line.contains(&refused);
        said.push(line);
        if is_last {
            break;
        }
    }
    drop(stream);
    send(&child, Signal::TERM);
    said.extend(lines);
    assert!(child.wait().unwrap().success());
    let refused = "the Unix socket: login of user 'shop' to the HTTP API refused: ";
    assert!(said.iter().any(|line| line.contains(refused)), "{said:#?}");
    let encoded = [STANDARD.encode("shop:hunter2"), STANDARD.encode("shop:swordfish")];
    let encoded = encoded.iter().map(String::as_str);
    for secret in ["hunter2", "swordfish", "correcthorse"].into_iter().chain(encoded) {
        assert!(said.iter().all(|line| !line.contains(secret)), "{said:#?}");
    }
}

/// Somebody has to find out at night why his clients cannot connect.
#[test]
fn the_log_says_why_somebody_was_refused_who_should_have_come_through_a_proxy() {
    let of = |more: &str| format!("proxy_protocol = true\n{more}");
    for (configuration, sent, why) in [
        (
            of(""),
            &b"AMQP\0\0\x09\x01"[..],
            "it sent no PROXY protocol header, which this port asks \
          for, but 'AMQP\\x00\\x00\\t\\x01'",
        ),
        (
            of(""),
            b"PROXY TCP4 1.2.3.4\r\n",
            "its PROXY protocol header is wrong: it has not two \
          addresses and two ports",
        ),
        (
            of("proxy_protocol.trusted.1 = 192.0.2.1\n"),
            b"",
            "it is not among the proxies that are \
          trusted (proxy_protocol.trusted)",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = leveret(&directory, &configuration, ANY_PORT);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("listening on")).unwrap();
        let mut stream = TcpStream::connect(address_in(&line)).unwrap();
        let peer = stream.local_addr().unwrap();
        stream.write_all(sent).unwrap();
        let line = lines.next().unwrap();
        assert!(line.ends_with(&format!("{peer}: refused, {why}")), "{line}");
        send(&child, Signal::TERM);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_variable_that_somebody_relies_on_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = leveret(&directory, "", ANY_PORT);
    let (code, text) = refusal(command.env("RABBITMQ_DEFAULT_PASS_FILE", "/run/secrets/pass"));
    assert!(text.contains("the environment variable RABBITMQ_DEFAULT_PASS_FILE is not"), "{text}");
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
        let line = lines.find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("the broker ended without saying '{text}'"))
    };
    let line = wait_for("listening on");
    let address = address_in(&line);
    assert_eq!(offered(address), (2047, 131_072, 60));
    send(&child, Signal::HUP);
    wait_for("HUP: the configuration was read again and set nothing");
    let file = directory.path().join("leveret.conf");
    let text = "disk_free_limit.absolute = 77\nheartbeat = 5\nframe_max = 8MiB\nchannel_max = 9\n\
                storage.segment_size = 1MiB\n";
    fs::write(&file, text).unwrap();
    send(&child, Signal::HUP);
    wait_for(
        "HUP: the configuration was read again and set the free disk limit to 77 bytes, the \
         heartbeat to 5 s, the largest frame to 8388608 bytes, the highest channel to 9",
    );
    wait_for("HUP: restart the broker for what changed of storage.segment_size");
    assert_eq!(offered(address), (9, 8 << 20, 5));
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

/// Where the first listener is, of which this line of the log tells.
fn address_in(line: &str) -> SocketAddr {
    let (_, address) = line.split_once("listening on ").expect("it says so");
    address.split([' ', ',']).next().and_then(|text| text.parse().ok()).expect("an address")
}

/// What a client is offered that connects: the highest channel, the largest frame, the heartbeat.
fn offered(address: SocketAddr) -> (u16, u32, u16) {
    let (_, tune) = log_in(address, b"\0guest\0guest");
    let number = |at: usize| u16::from_be_bytes([tune[at], tune[at + 1]]);
    let frame_bytes = u32::from_be_bytes([tune[6], tune[7], tune[8], tune[9]]);
    (number(4), frame_bytes, number(10))
}

/// Connects and logs in by PLAIN; what `connection.tune` says.
fn log_in(address: SocketAddr, login: &[u8]) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"AMQP\0\0\x09\x01").expect("it reads");
    assert_eq!(frame(&mut stream)[..4], [0, 10, 0, 10], "connection.start");
    let length = u8::try_from(login.len()).expect("it is short");
    let response = [&[0, 0, 0, length][..], login].concat();
    send_method(&mut stream, &[b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN", &response[..], b"\x05en_US"]);
    let tune = frame(&mut stream);
    assert_eq!(tune[..4], [0, 10, 0, 30], "connection.tune");
    (stream, tune)
}

/// Class and method of what answers the opening of a vhost.
fn opened(stream: &mut TcpStream, vhost: &[u8]) -> [u8; 4] {
    send_method(stream, &[b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0"]);
    let length = u8::try_from(vhost.len()).expect("it is short");
    send_method(stream, &[b"\0\x0a\0\x28", &[length], vhost, b"\0\0"]);
    frame(stream)[..4].try_into().expect("four bytes")
}

/// Sends a method on channel 0.
fn send_method(stream: &mut TcpStream, parts: &[&[u8]]) {
    let payload = parts.concat();
    let bytes = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let sent = [&[1, 0, 0][..], &bytes, &payload, &[0xce]].concat();
    stream.write_all(&sent).expect("it reads");
}

/// What the next frame says.
fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).expect("a frame comes");
    let bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let mut payload = vec![0; usize::try_from(bytes).expect("it fits") + 1];
    stream.read_exact(&mut payload).expect("it is whole");
    payload
}

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("process ids are small");
    kill_process(Pid::from_raw(id).expect("no process has the id 0"), signal)
        .expect("the broker runs");
}
