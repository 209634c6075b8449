//! Is AMQP over WebSocket the same AMQP, and does whatever a client sends instead cost nobody else
//! anything?

use std::time::Duration;

use leveret::amqp::{Frame, Method, PROTOCOL_HEADER, Parsed, PropertyList, encoder};
use leveret::daemon::Config;
use serde_json::json;

use super::common::*;
use super::http::{Http, basic_login, start};

const PAGES: &str = "Origin: https://shop.example\r\n";

/// A frame of AMQP with this method.
fn method<'a>(channel: u16, method: impl Into<Method<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    let method: Method<'_> = method.into();
    encoder::method_frame(&mut out, channel, &method);
    out
}

/// A publish as it goes over the wire.
fn publish(queue: &str, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
    let mut out = Vec::new();
    encode_publish(&mut out, 1, publish, &PropertyList::default(), body, 131_072);
    out
}

/// All that a client sends until its channel 1 is open, which goes with the last of it.
fn handshake(heartbeat: u16) -> Vec<Vec<u8>> {
    let start_ok = connection::StartOk {
        client_properties: Table::EMPTY,
        mechanism: b"PLAIN",
        response: b"\0guest\0guest",
        locale: b"en_US",
    };
    let tune_ok = connection::TuneOk { channel_max: 7, frame_max: 131_072, heartbeat };
    let open = connection::Open { virtual_host: b"/" };
    vec![
        PROTOCOL_HEADER.to_vec(),
        method(0, start_ok),
        [method(0, tune_ok), method(0, open), method(1, channel::Open {})].concat(),
    ]
}

/// The next frame's channel and method, as `f` sees it.
fn next<T>(web: &mut Web, f: impl FnOnce(u16, Method<'_>) -> T) -> T {
    let mut bytes = web.take(7);
    let length = u32::from_be_bytes(*bytes[3..].first_chunk().expect("a length"));
    bytes.extend(web.take(length as usize + 1));
    let Ok(Parsed::Complete(frame, _)) = Frame::parse(&bytes, 131_072) else {
        panic!("a frame was to come: {}", bytes.escape_ascii());
    };
    f(frame.channel, Method::decode(frame.payload).expect("a method"))
}

/// The code of the connection.close that comes next.
fn close_code(web: &mut Web) -> u16 {
    next(web, |_, method| {
        let Method::ConnectionClose(close) = method else {
            panic!("a close was to come: {method:?}");
        };
        close.reply_code
    })
}

/// The name of the next method.
fn name(web: &mut Web) -> (u16, u16) {
    next(web, |_, method| method.id())
}

/// Logs in, and has channel 1 open.
fn open(server: &Server, heartbeat: u16) -> Web {
    let mut web = Web::connect(server.management_address().expect("it has one"));
    for piece in handshake(heartbeat) {
        web.send(BINARY, &piece);
    }
    for id in [(10, 10), (10, 30), (10, 41), (20, 11)] {
        assert_eq!(name(&mut web), id);
    }
    web
}

/// A client that speaks AMQP through WebSocket frames of at most so many bytes.
fn bridged(server: &Server, frame_bytes_max: usize) -> Client {
    let to = server.management_address().expect("it has one");
    Client::with_confirms(bridge(to, frame_bytes_max))
}

/// A client at the port for AMQP, and a queue of everybody's.
fn with_queue(server: &Server) -> (Client, String) {
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    (client, queue)
}

/// Whether the broker is well: it serves another client.
fn expect_well(server: &Server) {
    let mut client = Client::connect(server.address());
    client.round_trip(1);
    client.close();
}

#[test]
fn messages_of_every_size_go_both_ways_however_they_are_cut() {
    let Some((server, _)) = start() else { return };
    for frame_bytes_max in [1, 7, 1000, 100_000] {
        let mut client = bridged(&server, frame_bytes_max);
        let queue = client.queue(1);
        client.consume(1, &queue);
        for bytes in [0, 1, 100, 4095, 4096, 131_064, 200_000, 1 << 20] {
            if bytes > 300_000 && frame_bytes_max < 1000 {
                continue;
            }
            let body: Vec<u8> = (0..=250).cycle().take(bytes).collect();
            client.publish_with(2, "", &queue, &persistent(), &body);
            let delivery = client.expect_delivery(1);
            assert!(delivery.message.body == body, "{bytes} in frames of {frame_bytes_max}");
            client.ack(1, delivery.tag);
        }
        let sent = if frame_bytes_max < 1000 { 7 } else { 8 };
        client.expect_confirms(2, 1, sent);
        assert_eq!(client.inspect(1, &queue).messages, 0);
        client.close();
    }
}

#[test]
fn ten_thousand_messages_are_confirmed_and_come_in_order() {
    let Some((server, _)) = start() else { return };
    let mut client = bridged(&server, 50_000);
    let queue = client.durable_queue(1);
    for number in 0..10_000 {
        client.publish_with(2, "", &queue, &persistent(), number.to_string().as_bytes());
    }
    client.expect_confirms(2, 1, 10_000);
    client.consume_no_ack(1, &queue);
    for number in 0..10_000 {
        let body = client.expect_delivery(1).message.body;
        assert_eq!(body, number.to_string().as_bytes());
    }
    client.close();
    // Another connection finds the queue, and nothing in it.
    let mut client = bridged(&server, 10);
    assert_eq!(client.inspect(1, &queue).messages, 0);
    client.delete_queue(1, &queue);
}

#[test]
fn a_connection_over_websocket_is_shown_as_one() {
    let Some((server, mut http)) = start() else { return };
    let web = open(&server, 33);
    let local = server.management_address().expect("it has one");
    let all = http.show("/api/connections");
    let shown = &all[0];
    for (field, value) in [
        ("protocol", json!("Web AMQP 0-9-1")),
        ("user", json!("guest")),
        ("state", json!("running")),
        ("channels", json!(1)),
        ("timeout", json!(33)),
        ("host", json!("127.0.0.1")),
        ("port", json!(local.port())),
        ("peer_host", json!("127.0.0.1")),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    assert_eq!(shown["name"], json!(format!("127.0.0.1:{} -> {local}", shown["peer_port"])));
    let path = shown["name"].as_str().expect("a text").replace(' ', "%20").replace('>', "%3E");
    assert_eq!(http.ask("DELETE", &format!("/api/connections/{path}"), "").status, 204);
    let mut web = web;
    assert_eq!(name(&mut web), (10, 50), "connection.close");
    web.send(BINARY, &method(0, connection::CloseOk {}));
    assert_eq!(web.expect_close(), Some(1000));
    assert_eq!(http.show("/api/connections"), json!([]));
}

#[test]
fn one_websocket_frame_may_carry_many_methods_and_one_method_fifty_frames() {
    let Some((server, _)) = start() else { return };
    let mut web = open(&server, 0);
    let declare = |name: &str| method(1, queue::Declare { exclusive: true, ..named(name) });
    web.send(BINARY, &[declare("a"), declare("b"), declare("c")].concat());
    for _ in 0..3 {
        assert_eq!(name(&mut web), (50, 11));
    }
    let long = "d".repeat(40);
    for byte in declare(&long) {
        web.send(BINARY, &[byte]);
    }
    assert_eq!(name(&mut web), (50, 11));
    // In one message of many frames, with pings and empty frames in between.
    let bytes = declare("e");
    for (index, byte) in bytes.iter().enumerate() {
        let first = if index == 0 { 0x02 } else { 0x00 };
        web.send(first, &[*byte]);
        web.send(0x00, b"");
        web.send(PING, b"still there?");
    }
    web.send(0x80, b"");
    assert_eq!(name(&mut web), (50, 11));
    // All of it in one packet.
    let mut packet = Vec::new();
    for byte in [declare("f"), declare("g")].concat() {
        packet.extend(web_frame(BINARY, &[byte]));
    }
    web.send_raw(&packet);
    assert_eq!((name(&mut web), name(&mut web)), ((50, 11), (50, 11)));
}

/// A client has to wait for the answer, but what it sent before is not lost on it.
#[test]
fn what_follows_the_request_in_its_packet_is_taken() {
    let Some((server, _)) = start() else { return };
    let address = server.management_address().expect("it has one");
    let more: Vec<u8> = handshake(0).iter().flat_map(|piece| web_frame(BINARY, piece)).collect();
    let (mut web, head) = Web::ask(address, "/ws", "Sec-WebSocket-Protocol: amqp\r\n", &more);
    assert!(head.contains("\r\nsec-websocket-protocol: amqp\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    for id in [(10, 10), (10, 30), (10, 41), (20, 11)] {
        assert_eq!(name(&mut web), id);
    }
}

#[test]
fn who_does_not_keep_to_the_protocol_is_told_and_costs_nobody_anything() {
    let Some((server, mut http)) = start() else { return };
    let mut unmasked = web_frame(BINARY, b"");
    unmasked[1] &= 0x7f;
    for (bytes, code) in [
        (web_frame(0x81, b"AMQP"), 1003),
        (unmasked, 1002),
        (web_frame(0xc2, b"x"), 1002),
        (web_frame(0x92, b"x"), 1002),
        (web_frame(0x83, b"x"), 1002),
        (web_frame(0x8f, b"x"), 1002),
        (web_frame(0x80, b"x"), 1002),
        (web_frame(0x09, b"x"), 1002),
        (web_frame(PING, &[0; 126]), 1002),
        (web_frame(CLOSE, &[3]), 1002),
        (web_frame(CLOSE, &[0, 1]), 1002),
        (web_frame(CLOSE, b"\x03\xe8\xff\xff"), 1007),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1002),
        (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 0], 1002),
        ([web_frame(0x02, b"A"), web_frame(0x02, b"M")].concat(), 1002),
    ] {
        let address = server.management_address().expect("it has one");
        let mut young = Web::connect(address);
        young.send_raw(&bytes);
        assert_eq!(young.expect_close(), Some(code), "{}", bytes.escape_ascii());
        let mut web = open(&server, 0);
        let declare = queue::Declare { exclusive: true, ..named("mine") };
        web.send(BINARY, &method(1, declare));
        assert_eq!(name(&mut web), (50, 11));
        // What came before it in the same packet has its effect.
        let kept = unique("kept");
        let before =
            web_frame(BINARY, &method(1, queue::Declare { durable: true, ..named(&kept) }));
        web.send_raw(&[&before[..], &bytes].concat());
        assert_eq!(web.expect_close(), Some(code), "{}", bytes.escape_ascii());
        assert_eq!(http.get("/api/queues/%2F/mine").status, 404, "its connection's end takes it");
        assert_eq!(http.get(&format!("/api/queues/%2F/{kept}")).status, 200);
        assert_eq!(http.show("/api/connections"), json!([]));
    }
    expect_well(&server);
}

#[test]
fn what_is_no_amqp_gets_the_protocol_header_and_a_close() {
    let Some((server, _)) = start() else { return };
    let mut web = Web::connect(server.management_address().expect("it has one"));
    web.send(BINARY, b"STOMP\n\n\0");
    assert_eq!(web.take(8), PROTOCOL_HEADER);
    assert_eq!(web.expect_close(), Some(1000));
}

#[test]
fn a_close_is_answered_and_ends_the_connection_with_all_that_it_held() {
    let Some((server, mut http)) = start() else { return };
    let (mut client, queue) = with_queue(&server);
    client.publish(1, "", &queue, "first");
    for said in [&b""[..], b"\x03\xe8", b"\x03\xe9going away", b"\x0f\xa0"] {
        let mut web = open(&server, 0);
        web.send(BINARY, &method(1, basic::Get { queue: queue.as_bytes(), ..Default::default() }));
        assert_eq!(name(&mut web), (60, 71));
        // A publish without a confirm, in the packet of the close, is not lost.
        let last = web_frame(BINARY, &publish(&queue, b"last"));
        web.send_raw(&[last, web_frame(CLOSE, said), web_frame(BINARY, b"nobody reads")].concat());
        let code = said.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert_eq!(web.expect_close(), code);
        assert_eq!(http.show("/api/connections").as_array().map(Vec::len), Some(1));
        let found = client.take_all(1, &queue);
        let bodies: Vec<_> = found.iter().map(|(body, _)| body.as_str()).collect();
        assert_eq!(bodies, ["first", "last"]);
        assert!(found[0].1, "it was delivered before");
        client.publish(1, "", &queue, "first");
    }
    client.delete_queue(1, &queue);
}

#[test]
fn who_vanishes_in_the_middle_of_a_frame_leaves_nothing() {
    let Some((server, mut http)) = start() else { return };
    for bytes in [1, 2, 5, 9, 20] {
        let mut web = open(&server, 0);
        web.send_raw(&web_frame(BINARY, &publish("nowhere", b"body"))[..bytes]);
        web.vanish();
    }
    http.wait_until_shown("/api/connections", &json!([]));
    expect_well(&server);
}

/// Its own close after `connection.close-ok`, as clients do.
#[test]
fn amqps_own_close_comes_before_that_of_the_websocket() {
    let Some((server, mut http)) = start() else { return };
    let mut web = open(&server, 0);
    let close = connection::Close { reply_code: 200, ..Default::default() };
    web.send(BINARY, &method(0, close));
    assert_eq!(name(&mut web), (10, 51));
    web.send(CLOSE, b"\x03\xe8");
    assert_eq!(web.expect_close(), Some(1000));
    assert_eq!(http.show("/api/connections"), json!([]));
}

#[test]
fn a_flood_of_pings_costs_one_answer_and_no_memory() {
    let Some((server, mut http)) = start() else { return };
    let mut web = open(&server, 0);
    let mut flood = Vec::new();
    for number in 0..400_000u32 {
        flood.extend(web_frame(PING, &number.to_be_bytes()));
    }
    let mut other = Client::connect(server.address());
    std::thread::scope(|scope| {
        scope.spawn(|| web.send_raw(&flood));
        for _ in 0..20 {
            other.round_trip(1);
        }
    });
    let (mut count, mut last) = (0, Vec::new());
    while last != 399_999u32.to_be_bytes() {
        match web.next() {
            Some((PONG, payload)) => (count, last) = (count + 1, payload),
            other => panic!("a pong was to come: {other:?}"),
        }
    }
    assert!(count < 40_000, "{count} answers");
    // It is still good for something.
    web.send(BINARY, &method(1, named("")));
    assert_eq!(name(&mut web), (50, 11));
    assert_eq!(http.show("/api/connections").as_array().map(Vec::len), Some(2));
}

/// It gets what it takes, and everybody else what they want.
#[test]
fn who_does_not_read_is_sent_a_bounded_amount() {
    let Some((server, mut http)) = start() else { return };
    let (mut client, queue) = with_queue(&server);
    client.confirm_select(1);
    let mut web = open(&server, 0);
    let consume = basic::Consume { queue: queue.as_bytes(), no_ack: true, ..Default::default() };
    web.send(BINARY, &method(1, consume));
    assert_eq!(name(&mut web), (60, 21));
    let body = vec![b'x'; 100_000];
    for _ in 0..400 {
        client.publish_with(1, "", &queue, &persistent(), &body);
    }
    client.expect_confirms(1, 1, 400);
    let ready = client.inspect(1, &queue).messages;
    assert!(ready > 200, "only {ready} of 400 wait: the rest is in memory");
    expect_well(&server);
    let pending = http.show("/api/connections");
    let pending = pending.as_array().expect("a list").iter().map(|it| it["send_pend"].as_u64());
    assert!(pending.max().flatten() < Some(2 << 20));
    // All of it comes, once it is taken.
    for _ in 0..400 {
        assert_eq!(name(&mut web), (60, 60));
        let mut left = 100_000 + 8;
        web.take(7 + 14 + 1 + 1);
        while left > 0 {
            left -= web.take(left.min(50_000)).len();
        }
    }
    assert_eq!(client.inspect(1, &queue).messages, 0);
    client.delete_queue(1, &queue);
}

#[test]
fn heartbeats_go_both_ways_and_a_silent_client_is_closed() {
    let Some((server, mut http)) = start() else { return };
    let mut web = open(&server, 1);
    for _ in 0..2 {
        assert_eq!(web.take(8), [8, 0, 0, 0, 0, 0, 0, 0xce]);
        web.send(BINARY, &[8, 0, 0, 0, 0, 0, 0, 0xce]);
    }
    let mut silent = open(&server, 1);
    while silent.next().is_some() {}
    drop(web);
    http.wait_until_shown("/api/connections", &json!([]));
}

#[test]
fn who_is_let_in_and_says_nothing_goes_after_ten_seconds() {
    let Some((server, _)) = start() else { return };
    let mut silent = Web::connect(server.management_address().expect("it has one"));
    let mut half = Web::connect(server.management_address().expect("it has one"));
    half.send(BINARY, &PROTOCOL_HEADER[..4]);
    let began = now();
    for web in [&mut silent, &mut half] {
        web.be_patient_for(Duration::from_secs(20));
        while web.next().is_some() {}
    }
    assert!(now() - began > Duration::from_secs(8), "it gave up early");
}

/// There are 256 places for operators, and clients take none of them.
#[test]
fn clients_over_websocket_take_no_operators_place_and_count_as_clients() {
    let settings = Config { connection_max: Some(300), ..Config::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let mut first = Http::connect(address);
    first.show("/api/overview");
    let webs: Vec<Web> = (0..300).map(|_| open(&server, 0)).collect();
    assert_eq!(first.show("/api/overview")["object_totals"]["connections"], json!(300));
    // One more is told in AMQP, by whichever way it comes.
    let mut more = Web::connect(address);
    handshake(0).iter().for_each(|piece| more.send(BINARY, piece));
    assert_eq!((name(&mut more), name(&mut more)), ((10, 10), (10, 30)));
    let code = close_code(&mut more);
    assert_eq!(code, 530);
    let others: Vec<Web> = (0..63).map(|_| Web::connect(address)).collect();
    let (_, head) = Web::ask(address, "/ws/amqp", "", b"");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop((webs, others));
    first.wait_until_shown("/api/connections", &json!([]));
    drop(open(&server, 0));
}

#[test]
fn pages_of_other_sites_connect_only_where_they_may() {
    let mut settings = Config::default();
    settings.cors.origins.insert("https://shop.example".to_owned());
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let ask = |headers: &str| {
        let (_, head) = Web::ask(address, "/ws/amqp", headers, b"");
        head.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!(ask(PAGES), "101");
    assert_eq!(ask("Origin: http://test\r\n"), "101", "our own");
    assert_eq!(ask("Origin: https://evil.example\r\n"), "403");
    assert_eq!(ask("Origin: null\r\n"), "403");
    let Some((plain, mut http)) = start() else { return };
    let address = plain.management_address().expect("it has one");
    let (_, head) = Web::ask(address, "/ws/amqp", PAGES, b"");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    // The connection is still good for HTTP, and who does not upgrade is told how.
    let asked = http.ask_as(PAGES, "GET", "/ws/amqp", "");
    assert_eq!((asked.status, asked.header("upgrade")), (426, Some("websocket")));
    assert_eq!(http.ask("POST", "/ws/amqp", "").status, 405);
    assert_eq!(http.get("/ws/mqtt").status, 404);
    assert_eq!(http.get("/api/whoami").status, 200);
}

#[test]
fn neither_the_owners_socket_nor_the_port_for_metrics_serves_it() {
    let Some((server, _)) = start() else { return };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut owner = Http::connect_owner(server.directory().expect("it has one"));
    assert_eq!(owner.ask_as(upgrade, "GET", "/ws/amqp", "").status, 404);
    let mut scraper = Http::connect(server.metrics_address().expect("it has one"));
    assert_eq!(scraper.ask_as(upgrade, "GET", "/ws/amqp", "").status, 404);
}

/// HTTP asks for no password there, AMQP does.
#[test]
fn who_does_not_know_a_password_is_refused_in_amqp() {
    let Some((server, mut http)) = start() else { return };
    let mut web = Web::connect(server.management_address().expect("it has one"));
    let properties = Options::announcing(&["authentication_failure_close"]);
    let start_ok = connection::StartOk {
        client_properties: properties.table(),
        mechanism: b"PLAIN",
        response: b"\0guest\0wrong",
        locale: b"en_US",
    };
    web.send(BINARY, &[&PROTOCOL_HEADER[..], &method(0, start_ok)].concat());
    assert_eq!(name(&mut web), (10, 10));
    let code = close_code(&mut web);
    assert_eq!(code, 403);
    // A login in the request is nobody's here.
    let address = server.management_address().expect("it has one");
    let (_, head) = Web::ask(address, "/ws/amqp", &basic_login("guest:wrong"), b"");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    http.show("/api/whoami");
}

#[test]
fn a_stop_closes_clients_in_amqp_first_and_then_the_websocket() {
    let Some((server, mut http)) = start() else { return };
    let mut web = open(&server, 0);
    assert_eq!(http.ask("POST", "/api/leveret/stop", "").status, 204);
    let code = close_code(&mut web);
    assert_eq!(code, 320);
    web.send(BINARY, &method(0, connection::CloseOk {}));
    assert_eq!(web.expect_close(), Some(1000));
}
