//! Whoever begins handshakes, and however many, keeps nobody waiting.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::authority::server;
use crate::broker::{Broker, Files};
use crate::common::{PATIENCE, now};
use crate::hostile::{expect_end, hello};

/// With the key that takes longest to sign of those that are usual.
fn with_rsa() -> Broker {
    let files = Files::new();
    let key = rcgen::KeyPair::from_pem(include_str!("rsa2048.pem")).unwrap();
    let pair = files.authority.issue_for(server(&["localhost"]), &key);
    let config = files.config(&files.options(&pair));
    files.start(config)
}

/// How long round trips of a plain client take at most until `until` says so.
fn longest_round_trip(broker: &Broker, mut until: impl FnMut() -> bool) -> Duration {
    let mut client = broker.plain();
    let mut longest = Duration::ZERO;
    loop {
        let began = now();
        client.round_trip(1);
        longest = longest.max(now() - began);
        if until() {
            return longest;
        }
    }
}

/// What a turn may take: the promise is 5 ms, on a machine that others do not use at the same time.
const TURN_MAX: Duration = Duration::from_millis(60);

#[test]
fn many_clients_that_begin_at_once_are_served_one_by_one_and_delay_no_other() {
    let broker = with_rsa();
    let hello = hello(&broker.dialect());
    let sockets: Vec<TcpStream> =
        (0..400).map(|_| TcpStream::connect(broker.server.tls_address()).unwrap()).collect();
    let mut plain = broker.plain();
    plain.round_trip(1);
    broker.server.take_longest_turn();
    for mut socket in &sockets {
        socket.write_all(&hello).unwrap();
    }
    let mut answered = 0;
    let longest = longest_round_trip(&broker, || {
        let Some(mut socket) = sockets.get(answered) else {
            return true;
        };
        socket.set_nonblocking(true).unwrap();
        match socket.read(&mut [0; 64]) {
            Ok(bytes) => {
                assert!(bytes > 0, "it was closed");
                answered += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        false
    });
    let turn = broker.server.take_longest_turn();
    eprintln!("400 handshakes at once: longest turn {turn:?}, longest round trip {longest:?}");
    assert!(turn < TURN_MAX, "a turn took {turn:?}");
    assert!(longest < TURN_MAX * 3, "a round trip took {longest:?}");
}

#[test]
fn connections_that_never_finish_their_handshake_cost_the_others_nothing() {
    let broker = with_rsa();
    let hello = hello(&broker.dialect());
    let mut sockets = Vec::new();
    for number in 0..500 {
        let mut socket = TcpStream::connect(broker.server.tls_address()).unwrap();
        socket.write_all(&hello[..number % hello.len()]).unwrap();
        sockets.push(socket);
    }
    let mut tls = broker.connect();
    tls.round_trip(1);
    broker.server.take_longest_turn();
    let began = Instant::now();
    let longest = longest_round_trip(&broker, || began.elapsed() > Duration::from_secs(1));
    tls.round_trip(1);
    assert!(longest < TURN_MAX, "a round trip took {longest:?}");
    assert!(broker.server.take_longest_turn() < TURN_MAX);
    // All of them end in time.
    for socket in &mut sockets {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        expect_end(socket);
    }
}
