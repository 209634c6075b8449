//! Who may log in from where, and how is everybody else turned away?
//!
//! Where the address of the client or the time counts, a session is asked without a socket.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::common::*;
use crate::memory::Memory;
use leveret::amqp::{Frame, Name, PROTOCOL_HEADER, Parsed, encoder};
use leveret::broker::key::ArenaKey;
use leveret::broker::{ConnectionKey, User};
use leveret::session::{Limits, Session};

/// What a client is told after its `start-ok`.
#[derive(Debug, PartialEq)]
enum Told {
    Tune,
    Close(u16, String),
    Nothing,
}

/// Logs in from this address with PLAIN; the session and what the client is told.
fn log_in(memory: &mut Memory, from: &str, options: &Options, now: Instant) -> (Session, Told) {
    let limits = Limits {
        frame_bytes_max: 131_072,
        channel_max: 2047,
        heartbeat_s: 60,
        message_bytes_max: 1 << 27,
        cluster_name: Name::from("memory"),
        product_name: Name::from("RabbitMQ"),
        product_version: Name::from("3.13.7"),
    };
    let ip: IpAddr = from.parse().expect("an address");
    let key = ConnectionKey::new(0, 1);
    let mut session = Session::new(key, SocketAddr::from((ip, 1)), limits, now);
    session.receive(&mut memory.node.broker, now, &PROTOCOL_HEADER, &mut Vec::new());
    session.outbox.advance(session.outbox.len());
    let response = format!("\0{}\0{}", options.user, options.password);
    let start_ok = connection::StartOk {
        client_properties: options.properties.table(),
        mechanism: b"PLAIN",
        response: response.as_bytes(),
        locale: b"en_US",
    };
    let mut input = Vec::new();
    encoder::method_frame(&mut input, 0, &start_ok);
    session.receive(&mut memory.node.broker, now, &input, &mut Vec::new());
    let answer = session.outbox.plain().unwrap_or_default();
    let told = match Frame::parse(answer, 131_072).expect("good frames") {
        Parsed::Incomplete => Told::Nothing,
        Parsed::Complete(frame, _) => {
            let method = Method::decode(frame.payload).expect("a method");
            if let Method::ConnectionClose(close) = method {
                Told::Close(close.reply_code, Name::from(close.reply_text).to_string())
            } else {
                assert!(matches!(method, Method::ConnectionTune(_)), "{method:?}");
                Told::Tune
            }
        }
    };
    (session, told)
}

fn refused(mechanism: &str) -> String {
    format!(
        "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. For \
         details see the broker logfile."
    )
}

#[test]
fn guest_logs_in_from_loopback_only() {
    let mut memory = Memory::new();
    let guest = Options::default();
    for here in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(log_in(&mut memory, here, &guest, now()).1, Told::Tune, "from {here}");
    }
    for elsewhere in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.1"] {
        let told = log_in(&mut memory, elsewhere, &guest, now()).1;
        assert_eq!(told, Told::Close(403, refused("PLAIN")), "from {elsewhere}");
    }
}

#[test]
fn other_users_log_in_from_anywhere() {
    let mut memory = Memory::new();
    memory.node.broker.put_user(user("ann", "", "", ""));
    let ann = Options::of("ann", "/");
    assert_eq!(log_in(&mut memory, "192.0.2.1", &ann, now()).1, Told::Tune);
}

#[test]
fn loopback_users_are_those_of_the_configuration() {
    let mut memory = Memory::new();
    memory.node.broker.put_user(user("ann", "", "", ""));
    memory.node.broker.users_mut().set_loopback_only([Name::from("ann")].into());
    let (ann, guest) = (Options::of("ann", "/"), Options::default());
    assert_eq!(log_in(&mut memory, "192.0.2.1", &guest, now()).1, Told::Tune);
    let told = log_in(&mut memory, "192.0.2.1", &ann, now()).1;
    assert_eq!(told, Told::Close(403, refused("PLAIN")));
}

#[test]
fn refused_login_without_the_capability_closes_the_socket_after_a_delay() {
    let mut memory = Memory::new();
    let options = Options {
        password: "wrong".into(),
        properties: Options::announcing(&["basic.nack"]),
        ..Default::default()
    };
    let began = now();
    let (mut session, told) = log_in(&mut memory, "127.0.0.1", &options, began);
    assert_eq!(told, Told::Nothing);
    assert!(!session.is_closed());
    let soon = began + Duration::from_secs(1);
    assert!(session.tick(&mut memory.node.broker, soon), "the next guess may come at once");
    let due = session.deadline().expect("it is closed some time");
    assert!(due <= began + Duration::from_secs(10));
    assert!(!session.tick(&mut memory.node.broker, due), "it stays open");
}

#[test]
fn what_a_refused_client_sends_before_the_socket_closes_is_nothing() {
    let mut memory = Memory::new();
    let options = Options {
        password: "wrong".into(),
        properties: Options::announcing(&[]),
        ..Default::default()
    };
    let began = now();
    let (mut session, _) = log_in(&mut memory, "127.0.0.1", &options, began);
    let mut input = Vec::new();
    let tune_ok = connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 };
    encoder::method_frame(&mut input, 0, &tune_ok);
    encoder::method_frame(&mut input, 0, &connection::Open { virtual_host: b"/" });
    assert_eq!(
        session.receive(&mut memory.node.broker, began, &input, &mut Vec::new()),
        input.len()
    );
    assert!(session.outbox.is_empty() && !session.is_open());
}

#[test]
fn handshake_has_ten_seconds_however_much_is_said() {
    let mut memory = Memory::new();
    let began = now();
    let (mut session, told) = log_in(&mut memory, "127.0.0.1", &Options::default(), began);
    assert_eq!(told, Told::Tune);
    let limit = began + Duration::from_secs(10);
    let mut input = Vec::new();
    let tune_ok = connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 };
    encoder::method_frame(&mut input, 0, &tune_ok);
    session.receive(
        &mut memory.node.broker,
        began + Duration::from_secs(9),
        &input,
        &mut Vec::new(),
    );
    assert_eq!(session.deadline(), Some(limit));
    assert!(session.tick(&mut memory.node.broker, limit - Duration::from_millis(1)));
    assert!(!session.tick(&mut memory.node.broker, limit), "it may take longer");
    // Once it is open the limit is the heartbeat's, and this client wants none.
    input.clear();
    encoder::method_frame(&mut input, 0, &connection::Open { virtual_host: b"/" });
    session.receive(
        &mut memory.node.broker,
        limit - Duration::from_millis(1),
        &input,
        &mut Vec::new(),
    );
    assert!(session.is_open());
    assert_eq!(session.deadline(), None);
}

#[test]
fn heartbeat_is_the_clients_also_above_ours() {
    let mut memory = Memory::new();
    for seconds in [1, 60, 600, u16::MAX] {
        let began = now();
        let (mut session, _) = log_in(&mut memory, "127.0.0.1", &Options::default(), began);
        let mut input = Vec::new();
        let tune_ok = connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: seconds };
        encoder::method_frame(&mut input, 0, &tune_ok);
        encoder::method_frame(&mut input, 0, &connection::Open { virtual_host: b"/" });
        session.receive(&mut memory.node.broker, began, &input, &mut Vec::new());
        let bytes = session.outbox.len();
        session.outbox.advance(bytes);
        session.flushed(&mut memory.node.broker, bytes, began);
        let interval = Duration::from_secs(seconds.into());
        assert_eq!(session.deadline(), Some(began + interval / 2), "the next is the broker's");
        assert!(session.tick(&mut memory.node.broker, began + interval / 2));
        assert!(!session.outbox.is_empty(), "a heartbeat is due");
        assert!(
            session
                .tick(&mut memory.node.broker, began + interval * 5 / 2 - Duration::from_millis(1))
        );
        assert!(!session.tick(&mut memory.node.broker, began + interval * 5 / 2));
    }
}

#[test]
fn refusal_names_the_mechanism() {
    let server = Server::start();
    let mut response = TableBuf::new();
    response.put_str(b"LOGIN", "guest");
    response.put_str(b"PASSWORD", "wrong");
    let mut client = Client::raw(server.address());
    client.send_bytes(&PROTOCOL_HEADER);
    client.expect::<Start>(0);
    let options = Options::default();
    let start_ok = connection::StartOk {
        client_properties: options.properties.table(),
        mechanism: b"AMQPLAIN",
        response: response.table().as_bytes(),
        locale: b"en_US",
    };
    client.send(0, start_ok);
    let close = client.expect_connection_error(403, &refused("AMQPLAIN"));
    assert_eq!(close.text, refused("AMQPLAIN"));
}

#[test]
fn nobody_logs_in_as_a_user_without_a_password() {
    let server = Server::start_prepared(|broker| {
        broker.put_user(User::new(Name::from("ann"), None, Vec::new()));
    });
    let Some(server) = server else { return };
    for password in ["", "secret"] {
        let mut client = Client::raw(server.address());
        client.log_in(&Options { password: password.into(), ..Options::of("ann", "/") });
        client.expect_connection_error(403, &refused("PLAIN"));
    }
}
