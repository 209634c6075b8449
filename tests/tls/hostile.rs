//! Who speaks TLS wrongly, or not at all, gets a line in the log, and nobody else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::version::TLS12;
use rustls::{Connection, ConnectionTrafficSecrets, StreamOwned};

use crate::authority::Dialect;
use crate::broker::Broker;
use crate::common::PATIENCE;
use crate::handshakes::stream;
use crate::said;
use leveret::amqp::PROTOCOL_HEADER;

/// What a client sends first.
pub fn hello(dialect: &Dialect) -> Vec<u8> {
    let mut connection = dialect.begin();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Sends something, and reads to the end; what came, and what the log has of it.
fn send(address: SocketAddr, bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let peer = socket.local_addr().unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    said::wait_for(&[&format!("{peer}:")]);
    (answer, said::about(peer))
}

/// The broker closes the socket; what it sent before does not matter.
pub fn expect_end(socket: &mut TcpStream) {
    match socket.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end came"),
    }
}

#[test]
fn plain_text_on_the_port_for_tls_is_named() {
    let broker = Broker::start();
    let mut other = broker.connect();
    for (bytes, expected) in [
        (&PROTOCOL_HEADER[..], "it speaks AMQP without TLS; this port takes AMQP over TLS (amqps)"),
        (b"AMQP\x03\x01\x00\x00", "it speaks AMQP without TLS"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "it speaks HTTP without TLS; this port takes TLS"),
        (b"SSH-2.0-x\r\n", "it does not speak TLS; this port takes TLS"),
        (&[0; 100], "it does not speak TLS; this port takes TLS"),
        (&[0x16; 100], "what it sent is not TLS"),
    ] {
        let (answer, lines) = send(broker.server.tls_address(), bytes);
        // An alert of TLS, and nothing else.
        assert_eq!(answer[0], 0x15, "{}", answer.escape_ascii());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN ") && lines[0].contains(expected), "{lines:?}");
        other.round_trip(1);
    }
}

#[test]
fn plain_http_on_the_port_for_https_is_named() {
    let broker = Broker::start();
    for address in [broker.server.https_address(), broker.server.secret_metrics_address()] {
        let (_, lines) = send(address.unwrap(), b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(lines[0].contains("it speaks HTTP without TLS"), "{lines:?}");
    }
}

#[test]
fn tls_on_the_plain_port_is_named() {
    let broker = Broker::start();
    let (answer, lines) = send(broker.server.address(), &hello(&broker.dialect()));
    assert_eq!(answer, PROTOCOL_HEADER);
    assert!(lines[0].contains("this looks like TLS; this port takes plain AMQP"), "{lines:?}");
}

#[test]
fn a_probe_that_says_nothing_is_worth_no_warning_and_half_a_handshake_is() {
    let broker = Broker::start();
    let hello = hello(&broker.dialect());
    for sent in [0, 1, 5, 100, hello.len()] {
        let socket = TcpStream::connect(broker.server.tls_address()).unwrap();
        let peer = socket.local_addr().unwrap();
        (&socket).write_all(&hello[..sent]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        said::wait_for(&[&format!("{peer}:")]);
        let lines = said::about(peer);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let expected = match sent {
            0 => "INFO".to_owned() + &format!(" {peer}: the connection is closed"),
            _ => format!("WARN {peer}: closed, it went away in the middle of the handshake"),
        };
        assert_eq!(lines[0], expected);
    }
}

/// Whatever is sent instead of a record, where one is due.
#[test]
fn garbage_after_the_handshake_ends_the_connection() {
    let broker = Broker::start();
    let mut other = broker.connect();
    for garbage in [
        // A record that nobody encrypted, one that is too long, and none.
        &[0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
            [..],
        &[0x17, 3, 3, 0xff, 0xff, 0],
        b"AMQP\0\0\x09\x01",
    ] {
        let mut stream = stream(&broker, &broker.dialect());
        stream.write_all(&PROTOCOL_HEADER).unwrap();
        let mut first = [0; 7];
        stream.read_exact(&mut first).unwrap();
        let StreamOwned { mut sock, .. } = stream;
        let peer = sock.local_addr().unwrap();
        sock.write_all(garbage).unwrap();
        let line = said::wait_for(&[&format!("{peer}: closed, TLS failed")]);
        assert!(line.starts_with("WARN"), "{line}");
        // It is told, too.
        sock.read_to_end(&mut Vec::new()).unwrap();
        other.round_trip(1);
    }
}

/// The largest records there are, a byte at a time.
#[test]
fn a_record_may_come_in_pieces_of_any_size() {
    let broker = Broker::start();
    let mut stream = stream(&broker, &broker.dialect());
    stream.write_all(&PROTOCOL_HEADER).unwrap();
    let mut tls = Connection::from(stream.conn);
    let mut records = Vec::new();
    // 16 KiB of start-ok that never ends: the broker wants the rest, and says nothing.
    let mut frame = vec![1, 0, 0, 0, 0, 0x0f, 0xf8];
    frame.extend_from_slice(&[0, 10, 0, 11]);
    frame.resize(4_000, 0);
    tls.writer().write_all(&frame).unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    let mut other = broker.connect();
    for byte in records.chunks(1) {
        stream.sock.write_all(byte).unwrap();
    }
    other.round_trip(1);
    let peer = stream.sock.local_addr().unwrap();
    assert!(said::about(peer).is_empty(), "{:?}", said::about(peer));
}

#[test]
fn messages_of_the_largest_records_come_in_single_bytes() {
    let broker = Broker::start();
    let mut plain = broker.plain();
    let queue = plain.shared_queue(1);
    let (mut tls, mut socket) = shaken(&broker);
    let body = vec![b'y'; 16_000];
    let mut sent = Vec::new();
    crate::common::encode_publish(
        &mut sent,
        1,
        leveret::amqp::method::basic::Publish {
            routing_key: queue.as_bytes(),
            ..Default::default()
        },
        &leveret::amqp::PropertyList::default(),
        &body,
        131_072,
    );
    tls.writer().write_all(&sent).unwrap();
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    for byte in records.chunks(1) {
        socket.write_all(byte).unwrap();
    }
    plain.wait_for_messages(1, &queue, 1);
    assert_eq!(plain.drain(1, &queue), [String::from_utf8(body).unwrap()]);
}

/// A connection with channel 1 open, as TLS and as a socket.
fn shaken(broker: &Broker) -> (Connection, TcpStream) {
    let mut stream = stream(broker, &broker.dialect());
    stream.write_all(&PROTOCOL_HEADER).unwrap();
    let mut input = Vec::new();
    for (method, answer) in crate::traffic::opening() {
        stream.write_all(&method).unwrap();
        if let Some(answer) = answer {
            crate::traffic::read_until(&mut stream, &mut input, answer);
        }
    }
    let StreamOwned { conn, sock } = stream;
    (Connection::from(conn), sock)
}

/// Each of them makes the broker make new keys.
#[test]
fn a_client_that_wants_new_keys_again_and_again_is_stopped() {
    let broker = Broker::start();
    let mut other = broker.connect();
    let (mut tls, mut socket) = shaken(&broker);
    let peer = socket.local_addr().unwrap();
    for _ in 0..200 {
        tls.refresh_traffic_keys().unwrap();
        let mut record = Vec::new();
        tls.write_tls(&mut record).unwrap();
        if socket.write_all(&record).is_err() {
            break;
        }
    }
    said::wait_for(&[&format!("{peer}: closed, TLS failed: it wanted new keys again and again")]);
    other.round_trip(1);
}

/// No client does it, so the records are encrypted by hand: its keys are taken out of it.
#[test]
fn a_client_that_wants_to_renegotiate_again_and_again_is_stopped() {
    let broker = Broker::start();
    let mut other = broker.connect();
    let mut dialect = Dialect::of_versions(&broker.authority, None, &[&TLS12]);
    let config = Arc::make_mut(&mut dialect.config);
    config.enable_secret_extraction = true;
    let mut stream = stream(&broker, &dialect);
    stream.write_all(&PROTOCOL_HEADER).unwrap();
    stream.read_exact(&mut [0; 7]).unwrap();
    let StreamOwned { conn, mut sock } = stream;
    let peer = sock.local_addr().unwrap();
    let (first, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
    let hello = &hello(&dialect)[5..];
    for number in first..first + 20 {
        if sock.write_all(&sealed(&secrets, number, 0x16, hello)).is_err() {
            break;
        }
    }
    let why = "TLS failed: it wanted to renegotiate again and again, which is not done here";
    said::wait_for(&[&format!("{peer}: closed, {why}")]);
    other.round_trip(1);
}

/// A record of TLS 1.2 (RFC 5288, RFC 7905).
fn sealed(secrets: &ConnectionTrafficSecrets, number: u64, kind: u8, content: &[u8]) -> Vec<u8> {
    let (algorithm, key, iv, explicit) = match secrets {
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, 8),
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, 8),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, 0),
        _ => panic!("a cipher that nobody knows"),
    };
    let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
    let digits = number.to_be_bytes();
    for (byte, digit) in nonce[4..].iter_mut().zip(digits) {
        // With GCM the rest of the nonce is sent along, and may be anything.
        *byte = if explicit > 0 { digit } else { *byte ^ digit };
    }
    let mut header = digits.to_vec();
    header.extend_from_slice(&[kind, 3, 3]);
    header.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
    let mut sealed = content.to_vec();
    let nonce_bytes = nonce;
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
    let mut record = vec![kind, 3, 3];
    let length = u16::try_from(explicit + sealed.len()).unwrap();
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&nonce_bytes[12 - explicit..]);
    record.extend_from_slice(&sealed);
    record
}

/// With something between them they are allowed, and cost the others nothing.
#[test]
fn new_keys_between_messages_are_good_and_delay_nobody() {
    let broker = Broker::start();
    let mut other = broker.plain();
    let queue = other.shared_queue(1);
    let (mut tls, mut socket) = shaken(&broker);
    let mut records = Vec::new();
    let heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xce];
    let mut publish = Vec::new();
    crate::common::encode_publish(
        &mut publish,
        1,
        leveret::amqp::method::basic::Publish {
            routing_key: queue.as_bytes(),
            ..Default::default()
        },
        &leveret::amqp::PropertyList::default(),
        b"after all that",
        131_072,
    );
    for _ in 0..20_000 {
        tls.refresh_traffic_keys().unwrap();
        tls.writer().write_all(&heartbeat).unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut records).unwrap();
        }
    }
    tls.writer().write_all(&publish).unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    other.round_trip(1);
    broker.server.take_longest_turn();
    let mut reader = socket.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    socket.write_all(&records).unwrap();
    other.wait_for_messages(1, &queue, 1);
    let longest = broker.server.take_longest_turn();
    eprintln!("longest turn with new keys: {longest:?}");
    // Optimised it is 2 ms; what makes keys takes ten times that without.
    assert!(longest.as_millis() < 250, "{longest:?}");
}

/// The client's end of the stream comes in the middle of a record.
#[test]
fn a_stream_that_breaks_off_takes_nothing_with_it() {
    let broker = Broker::start();
    let mut client = broker.connect();
    let queue = client.shared_queue(1);
    let (mut tls, mut socket) = shaken(&broker);
    tls.writer().write_all(&[1; 1000]).unwrap();
    let mut record = Vec::new();
    tls.write_tls(&mut record).unwrap();
    socket.write_all(&record[..500]).unwrap();
    let peer = socket.local_addr().unwrap();
    drop(socket);
    said::wait_for(&[&format!("{peer}: the connection is closed")]);
    client.publish(1, "", &queue, "x");
    client.wait_for_messages(1, &queue, 1);
}
