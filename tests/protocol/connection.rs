//! Does a connection open, tune and close as clients expect?

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::common::*;
use leveret::amqp::PROTOCOL_HEADER;
use tempfile::TempDir;

const REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                       For details see the broker logfile.";

fn start_ok(client: &mut Client, mechanism: &[u8], response: &[u8]) {
    let options = Options::default();
    client.send_bytes(&PROTOCOL_HEADER);
    client.expect::<Start>(0);
    let start_ok = connection::StartOk {
        client_properties: options.properties.table(),
        mechanism,
        response,
        locale: b"en_US",
    };
    client.send(0, start_ok);
}

/// Before open, RabbitMQ closes the socket after a while and says why only in its log.
fn expect_refusal(server: &Server, client: &mut Client, code: u16, text: &str) {
    if server.differs("it closes the socket without a word") {
        client.expect_closed();
    } else {
        client.expect_connection_error(code, text);
    }
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

#[test]
fn start_offers_plain_and_amqplain_in_english() {
    let server = Server::start();
    let start = Client::raw(server.address()).log_in(&Options::default());
    assert_eq!(start.version, (0, 9));
    let mechanisms: Vec<_> = start.mechanisms.split(' ').collect();
    assert!(mechanisms.contains(&"PLAIN") && mechanisms.contains(&"AMQPLAIN"), "{mechanisms:?}");
    assert_eq!(start.locales, "en_US");
}

#[test]
fn start_announces_what_the_broker_can_do() {
    let server = Server::start();
    let start = Client::raw(server.address()).log_in(&Options::default());
    let Some(Value::Table(capabilities)) = start.properties.table().find(b"capabilities") else {
        panic!("no capabilities in {:?}", start.properties);
    };
    for capability in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        let found = capabilities.find(capability.as_bytes());
        assert_eq!(found, Some(Value::Bool(true)), "{capability}");
    }
    for property in ["platform", "copyright", "information", "cluster_name"] {
        let found = start.properties.table().find(property.as_bytes());
        assert!(matches!(found, Some(Value::LongString(_))), "{property}: {found:?}");
    }
}

#[test]
fn start_names_the_dialect_and_says_plainly_who_speaks_it() {
    let server = Server::start();
    if server.differs("it is RabbitMQ") {
        return;
    }
    let start = Client::raw(server.address()).log_in(&Options::default());
    let properties = start.properties.table();
    assert_eq!(properties.find(b"product"), Some(word("RabbitMQ")));
    assert_eq!(properties.find(b"version"), Some(word("3.13.7")));
    let own = word(env!("CARGO_PKG_VERSION"));
    assert_eq!(properties.find(b"leveret_version"), Some(own));
    let platform = concat!("Leveret ", env!("CARGO_PKG_VERSION"));
    assert_eq!(properties.find(b"platform"), Some(word(platform)));
    let Some(Value::LongString(information)) = properties.find(b"information") else {
        panic!("it says nothing of itself");
    };
    let information = String::from_utf8_lossy(information);
    assert!(information.contains("This is Leveret"), "{information}");
}

#[test]
fn header_of_amqp_0_9_is_taken_as_0_9_1() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.send_bytes(b"AMQP\x01\x01\x00\x09");
    client.expect::<Start>(0);
}

#[test]
fn unknown_headers_are_answered_with_ours_and_the_socket_is_closed() {
    let server = Server::start();
    let headers: [&[u8]; 5] = [
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x00\x00\x09\x02",
        b"GET / HT",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01],
    ];
    for header in headers {
        let mut client = Client::raw(server.address());
        client.send_bytes(header);
        client.expect_bytes(&PROTOCOL_HEADER);
        client.expect_closed();
    }
}

#[test]
fn handshake_that_stops_is_closed_after_ten_seconds() {
    let server = Server::start();
    let mut silent = Client::raw(server.address());
    let mut started = Client::raw(server.address());
    started.send_bytes(&PROTOCOL_HEADER);
    started.expect::<Start>(0);
    silent.expect_closed_within(Duration::from_secs(25));
    started.expect_closed_within(Duration::from_secs(25));
}

#[test]
fn wrong_password_is_403_for_clients_that_announced_authentication_failure_close() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.log_in(&options(|options| options.password = "wrong".into()));
    let close = client.expect_connection_error(403, REFUSED);
    assert_eq!(close.text, REFUSED);
}

#[test]
fn unknown_user_gets_the_same_answer_as_a_wrong_password() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.log_in(&options(|options| options.user = "nobody".into()));
    let close = client.expect_connection_error(403, REFUSED);
    assert_eq!(close.text, REFUSED);
}

#[test]
fn wrong_password_of_a_client_without_that_capability_closes_the_socket() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.log_in(&options(|options| {
        options.password = "wrong".into();
        options.properties = Options::announcing(&["publisher_confirms"]);
    }));
    client.expect_closed();
}

#[test]
fn unknown_mechanism_is_503() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    start_ok(&mut client, b"GSSAPI", b"\0guest\0guest");
    expect_refusal(&server, &mut client, 503, "COMMAND_INVALID - unknown authentication mechanism");
}

#[test]
fn malformed_plain_response_is_502() {
    let server = Server::start();
    for response in [b"".as_slice(), b"guest", b"guest\0guest", b"\0guest"] {
        let mut client = Client::raw(server.address());
        start_ok(&mut client, b"PLAIN", response);
        expect_refusal(&server, &mut client, 502, "SYNTAX_ERROR - ");
    }
}

#[test]
fn amqplain_logs_in() {
    let server = Server::start();
    let mut response = TableBuf::new();
    response.put_str(b"LOGIN", "guest");
    response.put_str(b"PASSWORD", "guest");
    let mut client = Client::raw(server.address());
    start_ok(&mut client, b"AMQPLAIN", response.table().as_bytes());
    client.tune(&Options::default());
    client.send(0, connection::Open { virtual_host: b"/" });
    client.expect::<ConnectionOpenOk>(0);
}

#[test]
fn malformed_amqplain_response_is_502() {
    let server = Server::start();
    let mut response = TableBuf::new();
    response.put_str(b"LOGIN", "guest");
    let mut client = Client::raw(server.address());
    start_ok(&mut client, b"AMQPLAIN", response.table().as_bytes());
    expect_refusal(&server, &mut client, 502, "SYNTAX_ERROR - ");
}

#[test]
fn tune_offers_the_usual_limits() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.log_in(&Options::default());
    let tune = client.tune(&Options::default());
    assert_eq!(tune, Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 });
}

#[test]
fn client_may_lower_what_tune_offers() {
    let server = Server::start();
    let lower = options(|options| {
        options.frame_max = Some(4096);
        options.channel_max = Some(1);
        options.heartbeat = 1;
    });
    let mut client = Client::connect_with(server.address(), &lower);
    client.open(1);
    let queue = client.queue(1);
    // The client's own check of frame sizes uses 4096 here.
    let body = "x".repeat(20_000);
    client.publish(1, "", &queue, &body);
    client.consume_no_ack(1, &queue);
    assert_eq!(client.expect_delivery(1).message.body(), body);
}

#[test]
fn limits_beyond_ours_are_530() {
    let frame_max = |bytes| options(|options| options.frame_max = Some(bytes));
    let channel_max = |number| options(|options| options.channel_max = Some(number));
    for (refused, said) in [
        // 0 is unlimited.
        (frame_max(0), "frame_max = 0 is higher than the maximum allowed value (131072)"),
        (
            frame_max(131_073),
            "frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (frame_max(4095), "frame_max = 4095 is lower than the minimum allowed value (4096)"),
        (
            channel_max(0),
            "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
        (channel_max(2048), "channel_max = 2048 is higher than the maximum allowed value (2047)"),
    ] {
        let server = Server::start();
        let mut client = Client::tuned(server.address(), &refused);
        expect_refusal(&server, &mut client, 530, &format!("NOT_ALLOWED - negotiated {said}"));
    }
}

#[test]
fn missing_vhost_is_530() {
    let server = Server::start();
    let mut client = Client::tuned(server.address(), &Options::default());
    client.send(0, connection::Open { virtual_host: b"nowhere" });
    client.expect_connection_error(530, "NOT_ALLOWED - vhost nowhere not found");
}

#[test]
fn method_before_open_is_a_connection_error() {
    let server = Server::start();
    let mut client = Client::tuned(server.address(), &Options::default());
    client.send(1, channel::Open {});
    client.expect_closed_or_error();
}

#[test]
fn second_open_is_a_connection_error() {
    let (_server, mut client) = Server::with_client();
    client.send(0, connection::Open { virtual_host: b"/" });
    client.expect_closed_or_error();
}

#[test]
fn broker_sends_heartbeats_when_it_has_nothing_else_to_send() {
    let server = Server::start();
    let mut client =
        Client::connect_with(server.address(), &options(|options| options.heartbeat = 2));
    client.expect_heartbeat();
}

#[test]
fn connection_is_closed_when_nothing_came_for_two_heartbeats() {
    let server = Server::start();
    let mut client =
        Client::connect_with(server.address(), &options(|options| options.heartbeat = 1));
    client.expect_closed();
}

#[test]
fn any_traffic_counts_as_a_heartbeat() {
    let server = Server::start();
    let mut client =
        Client::connect_with(server.address(), &options(|options| options.heartbeat = 1));
    client.open(1);
    // Six of the broker's heartbeats are three seconds: longer than two intervals.
    for _ in 0..6 {
        client.expect_heartbeat();
        client.send(1, basic::Ack { delivery_tag: 0, multiple: true });
    }
    client.round_trip(1);
}

#[test]
fn heartbeats_of_the_client_keep_the_connection() {
    let server = Server::start();
    let mut client =
        Client::connect_with(server.address(), &options(|options| options.heartbeat = 1));
    client.open(1);
    for _ in 0..6 {
        client.expect_heartbeat();
        client.send_bytes(&[8, 0, 0, 0, 0, 0, 0, 0xCE]);
    }
    client.round_trip(1);
}

#[test]
fn heartbeats_are_not_demanded_while_blocked() {
    let settings = leveret::daemon::Config { segment_bytes: 64 << 10, ..Default::default() };
    let server = Server::start_with(settings);
    let Some(gate) = server.gate() else { return };
    let mut witness = Client::connect(server.address());
    let queue = witness.durable_queue(1);
    let options = options(|options| options.heartbeat = 1);
    let mut publisher = Client::connect_with(server.address(), &options);
    publisher.open(1);
    publisher.confirm_select(1);
    // The log gets no further segments, so the broker stops reading publishers.
    gate.hold();
    let body = [7; 10_000];
    for _ in 0..100 {
        publisher.publish_with(1, "", &queue, &persistent(), &body);
    }
    // Others that are silent from now on are closed, one after the other, by their heartbeats.
    for _ in 0..2 {
        let mut silent = Client::connect_with(server.address(), &options);
        silent.expect_closed();
    }
    assert!(witness.inspect(1, &queue).messages < 100, "it was not blocked");
    gate.release();
    publisher.expect_confirms(1, 1, 100);
    assert_eq!(witness.inspect(1, &queue).messages, 100);
}

#[test]
fn exclusive_queues_are_gone_before_close_ok() {
    let server = Server::start();
    for _ in 0..10 {
        let mut owner = Client::connect(server.address());
        let queue = owner.queue(1);
        owner.close();
        let mut other = Client::connect(server.address());
        let declare = passive(&queue);
        other.send(1, declare);
        other.expect_channel_error(1, 404, "NOT_FOUND - no queue");
    }
}

#[test]
fn unacked_messages_are_requeued_before_close_ok() {
    let (server, mut watcher) = Server::with_client();
    let queue = watcher.durable_queue(1);
    watcher.store(2, &queue, &["a", "b", "c"]);
    for _ in 0..10 {
        let mut taker = Client::connect(server.address());
        assert_eq!(taker.get(1, &queue).map(|got| got.message.body()), Some("a".into()));
        assert_eq!(taker.get(1, &queue).map(|got| got.message.body()), Some("b".into()));
        taker.close();
        assert_eq!(watcher.inspect(1, &queue).messages, 3);
    }
    assert_eq!(watcher.drain(1, &queue), ["a", "b", "c"]);
    watcher.delete_queue(1, &queue);
}

#[test]
fn connection_that_vanishes_gives_its_messages_back() {
    let (server, mut watcher) = Server::with_client();
    let queue = watcher.shared_queue(1);
    watcher.store(2, &queue, &["only"]);
    let mut taker = Client::connect(server.address());
    taker.consume(1, &queue);
    taker.expect_delivery(1);
    watcher.consume(1, &queue);
    taker.vanish();
    let again = watcher.expect_delivery(1);
    assert!(again.redelivered);
    assert_eq!(again.message.body(), "only");
}

#[test]
fn update_secret_is_answered() {
    let (_server, mut client) = Server::with_client();
    let secret = connection::UpdateSecret { new_secret: b"guest", reason: b"renewal" };
    client.call::<UpdateSecretOk>(0, secret);
    client.round_trip(1);
}

#[test]
fn what_follows_connection_close_is_discarded() {
    let (server, mut client) = Server::with_client();
    let mut watcher = Client::connect(server.address());
    let queue = watcher.durable_queue(1);
    client.send_close();
    // Behind our close the broker must not look at anything.
    for _ in 0..10 {
        let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
        client.send_unless_closed(1, publish);
    }
    client.expect::<ConnectionCloseOk>(0);
    assert_eq!(watcher.drain(1, &queue), Vec::<String>::new());
    watcher.delete_queue(1, &queue);
}

/// Input and the end of it that arrive together are one event for the loop. It took the input,
/// saw that nothing was left for now, and never looked again.
#[test]
fn a_client_that_goes_with_its_last_words_is_noticed() {
    let server = Server::start();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.write_all(&PROTOCOL_HEADER).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut said = Vec::new();
    let end = socket.read_to_end(&mut said).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "it is left open: {end:?}");
}

#[test]
fn handshake_methods_out_of_order_are_504() {
    let server = Server::start();
    let open = connection::Open { virtual_host: b"/" };
    let mut starting = Client::raw(server.address());
    starting.send_bytes(&PROTOCOL_HEADER);
    starting.expect::<Start>(0);
    starting.send(0, open);
    let mut tuning = Client::raw(server.address());
    tuning.log_in(&Options::default());
    tuning.expect::<Tune>(0);
    tuning.send(0, open);
    for (client, state) in [(&mut starting, "starting"), (&mut tuning, "tuning")] {
        let text = format!("CHANNEL_ERROR - unexpected method in connection state {state}");
        expect_refusal(&server, client, 504, &text);
    }
}

#[test]
fn heartbeat_0_is_off() {
    let server = Server::start();
    let with = |seconds| options(|options| options.heartbeat = seconds);
    let mut client = Client::connect_with(server.address(), &with(0));
    // Others that are silent from now on are closed, one after the other, by their heartbeats.
    for _ in 0..2 {
        Client::connect_with(server.address(), &with(1)).expect_closed();
    }
    client.expect_no_heartbeat();
    client.open(1);
}

#[test]
fn update_secret_takes_another_password() {
    let (_server, mut client) = Server::with_client();
    let secret = connection::UpdateSecret { new_secret: b"another", reason: b"renewal" };
    client.call::<UpdateSecretOk>(0, secret);
    client.round_trip(1);
}

#[test]
fn strangers_are_named_in_the_log() {
    if env::var("LEVERET_TEST_URI").is_ok() {
        return;
    }
    let home = TempDir::new().unwrap();
    let process = Process::start(&home.path().join("data"), 16 << 20);
    for hello in [b"GET / HTTP/1.1\r\n".as_slice(), &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0, 1]] {
        let mut client = Client::raw(process.address());
        client.send_bytes(hello);
        client.expect_bytes(&PROTOCOL_HEADER);
        client.expect_closed();
    }
    let log = process.terminate().join("\n");
    for protocol in ["this looks like HTTP", "this looks like TLS"] {
        assert!(log.contains(protocol), "no {protocol:?} in:\n{log}");
    }
}

#[test]
fn shutdown_is_320_on_every_connection() {
    if env::var("LEVERET_TEST_URI").is_ok() {
        return;
    }
    let home = TempDir::new().unwrap();
    let process = Process::start(&home.path().join("data"), 16 << 20);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(process.address())).collect();
    process.tell_to_stop();
    for client in &mut clients {
        let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        let close = client.expect_connection_error(320, text);
        assert_eq!((close.text.as_str(), close.offender), (text, (0, 0)));
    }
    drop(process.terminate());
}

/// Threads of a client close their connection at once: each is answered.
#[test]
fn every_connection_close_is_answered_until_the_client_ends_its_stream() {
    let (_server, mut client) = Server::with_client();
    let close = connection::Close { reply_code: 200, ..Default::default() };
    client.send(0, close);
    client.send(0, close);
    client.expect::<ConnectionCloseOk>(0);
    client.expect::<ConnectionCloseOk>(0);
    // And what else comes means nothing.
    client.send(1, queue::Declare::default());
    client.send(0, close);
    client.expect::<ConnectionCloseOk>(0);
}

#[test]
fn frames_are_small_until_they_are_negotiated() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.send_bytes(&PROTOCOL_HEADER);
    client.expect::<Start>(0);
    let mut properties = TableBuf::new();
    properties.put_str(b"long", &"x".repeat(4096));
    let start_ok = connection::StartOk {
        client_properties: properties.table(),
        mechanism: b"PLAIN",
        response: b"\0guest\0guest",
        locale: b"en_US",
    };
    client.send(0, start_ok);
    client.expect_connection_error(501, "FRAME_ERROR - ");
}

#[test]
fn nobody_logs_in_to_act_as_somebody_else() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    client.send_bytes(&PROTOCOL_HEADER);
    client.expect::<Start>(0);
    let start_ok = connection::StartOk {
        client_properties: Table::EMPTY,
        mechanism: b"PLAIN",
        response: b"guest\0guest\0guest",
        locale: b"en_US",
    };
    client.send(0, start_ok);
    client.expect_connection_error(502, "SYNTAX_ERROR - invalid PLAIN response");
}
