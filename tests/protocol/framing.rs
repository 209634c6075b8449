//! Does the broker take frames as the specification draws them, and nothing else?

use crate::common::*;
use leveret::amqp::encoder;

/// A publish to a queue as bytes: method, header, bodies.
fn publish_bytes(queue: &str, body: &[u8], frame_bytes_max: u32) -> Vec<u8> {
    let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
    let mut out = Vec::new();
    encoder::method_frame(&mut out, 1, &publish);
    encoder::content(&mut out, 1, &[0, 0], body, frame_bytes_max);
    out
}

/// The first frames of a publish to a new queue, so that a content is expected.
fn begin_publish(client: &mut Client) {
    let queue = client.queue(1);
    client.send(1, basic::Publish { routing_key: queue.as_bytes(), ..Default::default() });
}

fn header(client: &mut Client, body_bytes: u64) {
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 1, body_bytes, &[0, 0]);
    client.send_bytes(&out);
}

fn body(client: &mut Client, chunk: &[u8]) {
    let mut out = Vec::new();
    encoder::body_frame(&mut out, 1, chunk);
    client.send_bytes(&out);
}

#[test]
fn hundred_publishes_in_one_segment_all_arrive_in_order() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let expected: Vec<_> = (0..100).map(|number| format!("message {number}")).collect();
    let bytes: Vec<u8> =
        expected.iter().flat_map(|text| publish_bytes(&queue, text.as_bytes(), 131_072)).collect();
    client.send_bytes(&bytes);
    assert_eq!(client.drain(1, &queue), expected);
}

#[test]
fn frames_that_come_byte_by_byte_are_put_together() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    for byte in publish_bytes(&queue, b"piece by piece", 131_072) {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.drain(1, &queue), ["piece by piece"]);
}

#[test]
fn handshake_that_comes_byte_by_byte_works() {
    let server = Server::start();
    let mut client = Client::raw(server.address());
    for byte in leveret::amqp::PROTOCOL_HEADER {
        client.send_bytes(&[byte]);
    }
    client.expect::<Start>(0);
}

#[test]
fn bodies_of_one_byte_frames_are_put_together() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.send_bytes(&publish_bytes(&queue, b"crumbs", 9));
    assert_eq!(client.drain(1, &queue), ["crumbs"]);
}

#[test]
fn frame_of_exactly_frame_max_is_taken() {
    let server = Server::start();
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    let queue = client.queue(1);
    let whole = "y".repeat(4096 - 8);
    client.publish(1, "", &queue, &whole);
    assert_eq!(client.drain(1, &queue), [whole]);
}

#[test]
fn body_frames_of_the_broker_keep_to_frame_max() {
    let (server, mut publisher) = Server::with_client();
    let queue = publisher.shared_queue(1);
    let body = "z".repeat(100_000);
    publisher.publish(1, "", &queue, &body);
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    // The test client refuses longer frames by itself.
    client.consume_no_ack(1, &queue);
    assert_eq!(client.expect_delivery(1).message.body(), body);
}

#[test]
fn frame_above_frame_max_is_501_before_its_payload_arrived() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    header(&mut client, 200_000);
    // Only the seven bytes that announce 150000 bytes of payload.
    client.send_bytes(&[3, 0, 1, 0x00, 0x02, 0x49, 0xF0]);
    client.expect_connection_error(501, "FRAME_ERROR - ");
}

/// rabbitpy, for one, fills payloads to frame_max and forgets the eight bytes around them.
#[test]
fn payload_of_exactly_frame_max_is_tolerated_and_one_byte_more_is_501() {
    let server = Server::start();
    for (payload_bytes, tolerated) in [(4096, true), (4097, false)] {
        let options = Options { frame_max: Some(4096), ..Default::default() };
        let mut client = Client::connect_with(server.address(), &options);
        client.open(1);
        let queue = client.queue(1);
        let whole = "y".repeat(payload_bytes);
        client.send_bytes(&publish_bytes(&queue, whole.as_bytes(), 5000));
        if tolerated {
            assert_eq!(client.drain(1, &queue), [whole]);
        } else {
            client.expect_connection_error(501, "FRAME_ERROR - ");
        }
    }
}

#[test]
fn connection_error_can_be_read_however_much_was_sent_after_the_fault() {
    let server = Server::start();
    for _ in 0..10 {
        let mut client = Client::connect(server.address());
        client.send_bytes(&[8, 0, 0, 0, 0, 0, 0, 0xCD]);
        // Were the socket closed with this unread, the reset would overtake connection.close.
        for _ in 0..50 {
            if client.try_send_bytes(&[0; 20_000]).is_err() {
                break;
            }
        }
        client.expect_connection_close().assert(501, "FRAME_ERROR - ");
    }
}

#[test]
fn wrong_frame_end_is_501() {
    let (_server, mut client) = Server::with_client();
    client.send_bytes(&[8, 0, 0, 0, 0, 0, 0, 0xCD]);
    client.expect_connection_error(501, "FRAME_ERROR - ");
}

#[test]
fn unknown_frame_type_is_501() {
    let (_server, mut client) = Server::with_client();
    client.send_bytes(&[9, 0, 1, 0, 0, 0, 0, 0xCE]);
    client.expect_connection_error(501, "FRAME_ERROR - ");
}

#[test]
fn unknown_class_is_503() {
    let (server, mut client) = Server::with_client();
    client.send_bytes(&[1, 0, 1, 0, 0, 0, 4, 0x03, 0xE7, 0, 10, 0xCE]);
    if server.differs("its connection process crashes and the socket is closed without a word") {
        return client.expect_closed();
    }
    client.expect_connection_error(503, "COMMAND_INVALID - ");
}

#[test]
fn unknown_method_is_503() {
    let (server, mut client) = Server::with_client();
    client.send_bytes(&[1, 0, 1, 0, 0, 0, 4, 0, 60, 0x03, 0xE7, 0xCE]);
    if server.differs("its connection process crashes and the socket is closed without a word") {
        return client.expect_closed();
    }
    client.expect_connection_error(503, "COMMAND_INVALID - ");
}

#[test]
fn method_with_truncated_arguments_is_501() {
    let (_server, mut client) = Server::with_client();
    // basic.qos, which has seven bytes of arguments, with two.
    client.send_bytes(&[1, 0, 1, 0, 0, 0, 6, 0, 60, 0, 10, 0, 0, 0xCE]);
    client.expect_connection_error(501, "FRAME_ERROR - cannot decode");
}

#[test]
fn malformed_table_is_501() {
    let (server, mut client) = Server::with_client();
    let mut payload = vec![0, 50, 0, 10, 0, 0, 1, b'q', 0];
    // A table of one field with the type octet `?`, which there is not.
    payload.extend([0, 0, 0, 3, 1, b'k', b'?']);
    let mut frame = vec![1, 0, 1, 0, 0, 0, u8::try_from(payload.len()).expect("short")];
    frame.extend(payload);
    frame.push(0xCE);
    client.send_bytes(&frame);
    if server.differs("its connection process crashes and the socket is closed without a word") {
        return client.expect_closed();
    }
    client.expect_connection_error(501, "FRAME_ERROR - ");
}

#[test]
fn heartbeat_on_a_channel_is_505() {
    let (_server, mut client) = Server::with_client();
    client.send_bytes(&[8, 0, 1, 0, 0, 0, 0, 0xCE]);
    client.expect_connection_error(505, "UNEXPECTED_FRAME - ");
}

#[test]
fn header_without_a_publish_is_505() {
    let (_server, mut client) = Server::with_client();
    header(&mut client, 1);
    client.expect_connection_error(505, "UNEXPECTED_FRAME - ");
}

#[test]
fn body_without_a_publish_is_505() {
    let (_server, mut client) = Server::with_client();
    body(&mut client, b"stray");
    client.expect_connection_error(505, "UNEXPECTED_FRAME - ");
}

#[test]
fn body_without_its_header_is_505() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    body(&mut client, b"headless");
    client.expect_connection_error(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame \
         instead",
    );
}

#[test]
fn method_instead_of_the_header_is_505() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    client.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    client.expect_connection_error(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame \
         instead",
    );
}

#[test]
fn method_instead_of_the_body_is_505() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    header(&mut client, 10);
    body(&mut client, b"half");
    client.send(1, basic::Ack { delivery_tag: 1, multiple: false });
    client.expect_connection_error(
        505,
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
    );
}

#[test]
fn second_header_is_505() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    header(&mut client, 10);
    header(&mut client, 10);
    client.expect_connection_error(
        505,
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
    );
}

#[test]
fn header_of_another_class_is_505() {
    let (_server, mut client) = Server::with_client();
    begin_publish(&mut client);
    let mut frame = Vec::new();
    encoder::header_frame(&mut frame, 1, 4, &[0, 0]);
    frame[8] = 50;
    client.send_bytes(&frame);
    client.expect_connection_error(
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
    );
}

#[test]
fn body_longer_than_announced_is_505() {
    let (server, mut client) = Server::with_client();
    begin_publish(&mut client);
    header(&mut client, 4);
    body(&mut client, b"too long");
    if server.differs("it waits for more, for ever") {
        return;
    }
    client.expect_connection_error(505, "UNEXPECTED_FRAME - ");
}

#[test]
fn malformed_properties_are_502() {
    let (server, mut client) = Server::with_client();
    begin_publish(&mut client);
    let mut frame = Vec::new();
    // The content type is announced, but is not there.
    encoder::header_frame(&mut frame, 1, 0, &[0x80, 0x00]);
    client.send_bytes(&frame);
    client.send(1, channel::Flow { active: true });
    let close = client.expect_connection_close();
    assert!([502, 541].contains(&close.code), "{close:?}");
    if !server.differs("it decodes properties late and then fails with 541") {
        close.assert(502, "SYNTAX_ERROR - ");
    }
}

#[test]
fn empty_body_has_no_body_frame() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.publish(1, "", &queue, "");
    client.publish(1, "", &queue, "next");
    // An empty body frame from the broker would fail in the test client.
    client.consume_no_ack(1, &queue);
    assert_eq!(client.expect_bodies(1, 2), ["", "next"]);
}

#[test]
fn contents_of_two_channels_may_be_interleaved() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    let mut out = Vec::new();
    let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
    for channel in [1, 2] {
        encoder::method_frame(&mut out, channel, &publish);
    }
    for channel in [1, 2] {
        encoder::header_frame(&mut out, channel, 6, &[0, 0]);
    }
    for chunk in [b"abc", b"def"] {
        for channel in [2, 1] {
            encoder::body_frame(&mut out, channel, chunk);
        }
    }
    client.send_bytes(&out);
    client.round_trip(2);
    assert_eq!(client.drain(1, &queue), ["abcdef", "abcdef"]);
}

#[test]
fn large_body_comes_back_whole() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let mut body = vec![0; 5_000_000];
    Random::new(seed(1)).fill(&mut body);
    client.publish_with(1, "", &queue, &PropertyList::default(), &body);
    client.consume_no_ack(1, &queue);
    assert!(client.expect_delivery(1).message.body == body);
}
