//! Is somebody who comes through a proxy taken for who the proxy says that he is, and is nobody
//! else believed?

use std::net::SocketAddr;
use std::time::Duration;

use leveret::daemon::Config;
use leveret::net::proxy::Proxies;
use serde_json::json;

use super::common::*;
use super::http::{Http, basic_login, request};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 5672\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A broker whose clients come through a proxy on this machine, whose users may log in from
/// everywhere, and an operator who comes directly.
fn start() -> Option<(Server, Http)> {
    start_before(true, false, Vec::new())
}

fn start_before(
    before_amqp: bool,
    before_http: bool,
    loopback_users: Vec<String>,
) -> Option<(Server, Http)> {
    let proxies = Proxies { before_amqp, before_http, ..Proxies::default() };
    let loopback_users = loopback_users.into_iter().collect();
    let server = Server::start_with(Config { proxies, loopback_users, ..Config::default() });
    let http = Http::connect(server.management_address()?);
    Some((server, http))
}

/// A header of version 2.
fn binary(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, rest].concat()
}

/// Connects with these bytes before the handshake, in pieces of that size.
fn connect(server: &Server, header: &[u8], piece: usize) -> Client {
    let mut client = Client::raw(server.address());
    header.chunks(piece).for_each(|piece| client.send_bytes(piece));
    finish(&mut client);
    client
}

fn finish(client: &mut Client) {
    let options = Options::default();
    client.log_in(&options);
    client.tune(&options);
    client.send(0, connection::Open { virtual_host: b"/" });
    client.expect::<ConnectionOpenOk>(0);
}

/// Where the only connection comes from and came in, as operators see it.
fn ends(http: &mut Http) -> (String, String) {
    let all = http.show("/api/connections");
    let all = all.as_array().expect("a list");
    assert_eq!(all.len(), 1, "{all:?}");
    let shown = &all[0];
    let end = |host: &str, port: &str| {
        let host = shown[host].as_str().expect("a text");
        let ip = host.parse().expect("an address");
        let port = shown[port].as_u64().and_then(|port| u16::try_from(port).ok());
        SocketAddr::new(ip, port.expect("a port")).to_string()
    };
    let (peer, local) = (end("peer_host", "peer_port"), end("host", "port"));
    assert_eq!(shown["name"], json!(format!("{peer} -> {local}")));
    (peer, local)
}

#[test]
fn a_connection_is_shown_with_the_addresses_that_its_proxy_tells() {
    let Some((server, mut http)) = start() else { return };
    let mut v6 = [[0; 32].as_slice(), &[0x1f, 0x90, 0x16, 0x28]].concat();
    v6[..16].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    v6[31] = 9;
    v6.extend_from_slice(&[0xea, 0, 3, 1, 2, 3]);
    let v4 = [192, 0, 2, 1, 203, 0, 113, 9, 0xdc, 0x04, 0x16, 0x28];
    for (header, peer, local) in [
        (LINE.to_vec(), "192.0.2.1:56324", "203.0.113.9:5672"),
        (b"PROXY TCP6 2001:db8::1 ::9 8080 5672\r\n".to_vec(), "[2001:db8::1]:8080", "[::9]:5672"),
        (binary(0x21, 0x11, &v4), "192.0.2.1:56324", "203.0.113.9:5672"),
        (binary(0x21, 0x21, &v6), "[2001:db8::1]:8080", "[::9]:5672"),
    ] {
        for piece in [header.len(), 1, 7] {
            let client = connect(&server, &header, piece);
            assert_eq!(ends(&mut http), (peer.to_owned(), local.to_owned()), "{piece}");
            client.close();
        }
    }
}

/// Header and handshake may share a packet, and a connection's first frames with them.
#[test]
fn what_follows_the_header_in_the_same_packet_is_the_clients() {
    let Some((server, mut http)) = start() else { return };
    for header in [LINE.to_vec(), binary(0x20, 0, &[0; 4000])] {
        let mut client = Client::raw(server.address());
        let start_ok = connection::StartOk {
            client_properties: Table::EMPTY,
            mechanism: b"PLAIN",
            response: b"\0guest\0guest",
            locale: b"en_US",
        };
        let mut bytes = [&header[..], &leveret::amqp::PROTOCOL_HEADER].concat();
        leveret::amqp::encoder::method_frame(&mut bytes, 0, &start_ok);
        client.send_bytes(&bytes);
        client.expect::<Start>(0);
        client.tune(&Options::default());
        client.send(0, connection::Open { virtual_host: b"/" });
        client.expect::<ConnectionOpenOk>(0);
        ends(&mut http);
        client.close();
    }
}

#[test]
fn who_is_not_named_is_where_the_proxy_is() {
    let Some((server, mut http)) = start() else { return };
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 and so on\r\n".to_vec(),
        binary(0x20, 0, &[]),
        binary(0x20, 0x11, &[192, 0, 2, 1, 192, 0, 2, 9, 0, 1, 0, 2]),
        binary(0x21, 0, &[1, 2, 3]),
        binary(0x21, 0x31, &[b'/'; 216]),
    ] {
        let client = connect(&server, &header, 5);
        let (peer, local) = ends(&mut http);
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
        assert_eq!(local, server.address().to_string());
        client.close();
    }
}

#[test]
fn who_sends_no_header_or_a_wrong_one_is_not_let_in() {
    let Some((server, mut http)) = start() else { return };
    let long_line = format!("PROXY UNKNOWN {}", "x".repeat(200));
    for wrong in [
        b"AMQP\0\0\x09\x01".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 203.0.113.9 56324\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 5672\n".to_vec(),
        b"PROXY TCP5 192.0.2.1 203.0.113.9 56324 5672\r\n".to_vec(),
        long_line.into_bytes(),
        binary(0x11, 0x11, &[0; 12]),
        binary(0x31, 0x11, &[0; 12]),
        binary(0x22, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 11]),
        binary(0x21, 0x44, &[0; 12]),
        binary(0x21, 0x11, &[0; 4096]),
        [LINE, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nAMQP"].concat(),
    ] {
        let mut client = Client::raw(server.address());
        // It may be gone before all of it was sent.
        if client.try_send_bytes(&wrong).is_ok() {
            match wrong.starts_with(LINE) {
                // A second header is a client's first bytes, and no AMQP.
                true => client.expect_bytes(&leveret::amqp::PROTOCOL_HEADER),
                false => client.expect_closed(),
            }
        }
        assert_eq!(http.show("/api/connections"), json!([]), "{}", wrong.escape_ascii());
    }
    connect(&server, LINE, 1).close();
}

/// No bytes of somebody who is not trusted are looked at.
#[test]
fn who_is_no_trusted_proxy_is_not_let_in_whatever_it_sends() {
    let trusted = vec!["192.0.2.0/24".parse().unwrap(), "::1".parse().unwrap()];
    let proxies = Proxies { before_amqp: true, before_http: false, trusted };
    let server = Server::start_with(Config { proxies, ..Config::default() });
    if server.management_address().is_none() {
        return;
    }
    for header in [LINE, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"AMQP\0\0\x09\x01"] {
        let mut client = Client::raw(server.address());
        // The broker may have closed the socket before.
        drop(client.try_send_bytes(header));
        client.expect_closed();
    }
}

#[test]
fn a_header_that_does_not_come_is_waited_for_ten_seconds() {
    let Some((server, _)) = start() else { return };
    let mut silent = Client::raw(server.address());
    let mut half = Client::raw(server.address());
    half.send_bytes(&LINE[..20]);
    let began = now();
    connect(&server, LINE, LINE.len()).close();
    silent.expect_closed_within(Duration::from_secs(20));
    half.expect_closed_within(Duration::from_secs(20));
    assert!(now() - began > Duration::from_secs(8), "it gave up early");
}

#[test]
fn who_ends_before_the_header_does_holds_nothing() {
    let Some((server, mut http)) = start() else { return };
    for bytes in [&b""[..], &LINE[..5], &LINE[..40], SIGNATURE] {
        let mut client = Client::raw(server.address());
        client.send_bytes(bytes);
        client.vanish();
    }
    let client = connect(&server, LINE, 3);
    assert_eq!(ends(&mut http).0, "192.0.2.1:56324");
    client.close();
}

/// `guest` may log in from this machine alone.
#[test]
fn loopback_users_are_told_by_the_address_that_the_proxy_tells() {
    let Some((server, _)) = start_before(true, false, vec!["guest".to_owned()]) else { return };
    for (header, is_let_in) in [
        (LINE, false),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", false),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", true),
        (b"PROXY UNKNOWN\r\n", true),
    ] {
        let mut client = Client::raw(server.address());
        client.send_bytes(header);
        client.log_in(&Options::default());
        if is_let_in {
            client.expect::<Tune>(0);
        } else {
            client.expect_connection_error(403, "ACCESS_REFUSED");
        }
    }
}

#[test]
fn the_http_api_comes_through_a_proxy_only_where_that_is_said() {
    let Some((server, _)) = start_before(false, true, Vec::new()) else { return };
    // AMQP does not.
    Client::connect(server.address()).close();
    let address = server.management_address().expect("it has one");
    let asked = request(&basic_login("guest:guest"), "GET", "/api/whoami", "");
    let mut http = Http::connect(address);
    http.send(&[LINE, asked.as_bytes()].concat());
    assert_eq!(http.answer().json()["name"], json!("guest"));
    assert_eq!(http.show("/api/whoami")["name"], json!("guest"), "one header a connection");
    let mut bare = Http::connect(address);
    drop(bare.try_send(asked.as_bytes()));
    bare.expect_closed();
    // Neither do metrics, nor the owner.
    let mut scraper = Http::connect(server.metrics_address().expect("it has one"));
    assert_eq!(scraper.get("/metrics").status, 200);
    let mut owner = Http::connect_owner(server.directory().expect("it has one"));
    assert_eq!(owner.ask_as("", "GET", "/api/whoami", "").status, 200);
}

/// One who guesses passwords behind the proxy slows down himself, and nobody else behind it.
#[test]
fn failed_logins_are_counted_for_the_address_that_the_proxy_tells() {
    let Some((server, _)) = start_before(false, true, Vec::new()) else { return };
    let address = server.management_address().expect("it has one");
    let wrong = request(&basic_login("guest:wrong"), "GET", "/api/whoami", "");
    let connect = |from: &str| {
        let mut http = Http::connect(address);
        http.send(format!("PROXY TCP4 {from} 203.0.113.9 1 2\r\n").as_bytes());
        http
    };
    let mut guesser = connect("192.0.2.1");
    // Ten are free, and some more so that the wait is a long one.
    for _ in 0..14 {
        guesser.send(wrong.as_bytes());
        assert_eq!(guesser.answer().status, 401);
    }
    guesser.send(wrong.as_bytes());
    let mut other = connect("192.0.2.2");
    other.send(wrong.as_bytes());
    assert_eq!(other.answer().status, 401);
    guesser.expect_nothing_yet();
    assert_eq!(guesser.answer().status, 401);
}

/// More than may wait at a time: those who come with a header are let in all the same.
#[test]
fn many_who_say_nothing_keep_nobody_out_for_long() {
    let Some((server, mut http)) = start() else { return };
    let silent: Vec<Client> = (0..300).map(|_| Client::raw(server.address())).collect();
    let client = connect(&server, LINE, LINE.len());
    assert_eq!(ends(&mut http).0, "192.0.2.1:56324");
    client.close();
    drop(silent);
}

#[test]
fn who_speaks_amqp_over_websocket_behind_a_proxy_has_his_own_address() {
    let Some((server, _)) = start_before(false, true, vec!["guest".to_owned()]) else { return };
    let address = server.management_address().expect("it has one");
    let start_ok = connection::StartOk {
        client_properties: Table::EMPTY,
        mechanism: b"PLAIN",
        response: b"\0guest\0guest",
        locale: b"en_US",
    };
    let mut log_in = leveret::amqp::PROTOCOL_HEADER.to_vec();
    leveret::amqp::encoder::method_frame(&mut log_in, 0, &start_ok);
    let log_in = web_frame(BINARY, &log_in);
    let local = b"PROXY TCP4 127.0.0.1 203.0.113.9 1 2\r\n";
    // Loopback users are let in, or not: then they wait for three seconds and are closed.
    for (header, is_let_in) in [(&local[..], true), (LINE, false)] {
        let (mut web, head) = Web::ask_behind(address, header, "/ws/amqp", "", &log_in);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // connection.tune is the method 10, 30.
        let mut all = Vec::new();
        let mut has_tune = || {
            while let Some((BINARY, payload)) = web.next() {
                all.extend(payload);
                if all.windows(4).any(|four| four == [0, 10, 0, 30]) {
                    return true;
                }
            }
            false
        };
        assert_eq!(has_tune(), is_let_in, "{}", head.escape_debug());
    }
}
