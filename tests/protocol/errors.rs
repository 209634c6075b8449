//! Do connection errors have the code, the text and the offender that clients match on, and do
//! they end everything on the connection?

use crate::common::*;
use leveret::amqp::encoder;

const NONE: [&str; 0] = [];

/// Sends something that ends the connection, and checks what it is told.
fn expect_end(server: &Server, code: u16, text: &str, at: (u16, u16), send: fn(&mut Client)) {
    let mut client = Client::connect(server.address());
    client.open(2);
    send(&mut client);
    let close = client.expect_connection_error(code, text);
    assert_eq!((close.text.as_str(), close.offender), (text, at));
}

#[test]
fn not_implemented_540_is_on_connection_level_and_names_the_method() {
    let server = Server::start();
    expect_end(&server, 540, "NOT_IMPLEMENTED - active=false", (20, 20), |client| {
        client.send(1, channel::Flow { active: false });
    });
    expect_end(&server, 540, "NOT_IMPLEMENTED - immediate=true", (60, 40), |client| {
        let publish = basic::Publish { immediate: true, ..Default::default() };
        client.publish_as(1, publish, &PropertyList::default(), b"now");
    });
    expect_end(&server, 540, "NOT_IMPLEMENTED - requeue=false", (60, 110), |client| {
        client.send(1, basic::Recover { requeue: false });
    });
    expect_end(&server, 540, "NOT_IMPLEMENTED - requeue=false", (60, 100), |client| {
        client.send(1, basic::RecoverAsync { requeue: false });
    });
    expect_end(&server, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (7)", (60, 10), |client| {
        client.send(1, basic::Qos { prefetch_size: 7, ..Default::default() });
    });
}

#[test]
fn unexpected_frame_505_is_on_connection_level_and_names_the_publish() {
    let server = Server::start();
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header \
                frame instead";
    expect_end(&server, 505, text, (60, 40), |client| {
        client.send(1, basic::Publish::default());
        client.send(1, basic::Qos::default());
    });
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    expect_end(&server, 505, text, (60, 40), |client| {
        client.send(1, basic::Publish::default());
        let mut header = Vec::new();
        encoder::header_frame(&mut header, 1, 10, &[0, 0]);
        client.send_bytes(&header);
        client.send(1, basic::Qos::default());
    });
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    expect_end(&server, 505, text, (0, 0), |client| {
        let mut header = Vec::new();
        encoder::header_frame(&mut header, 1, 10, &[0, 0]);
        client.send_bytes(&header);
    });
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    expect_end(&server, 505, text, (0, 0), |client| {
        let mut body = Vec::new();
        encoder::body_frame(&mut body, 1, b"stray");
        client.send_bytes(&body);
    });
}

#[test]
fn channel_error_504_is_on_connection_level_and_names_the_method() {
    let server = Server::start();
    let text = "CHANNEL_ERROR - second 'channel.open' seen";
    expect_end(&server, 504, text, (20, 10), |client| client.send(1, channel::Open {}));
    let text = "CHANNEL_ERROR - expected 'channel.open'";
    expect_end(&server, 504, text, (60, 10), |client| client.send(3, basic::Qos::default()));
}

#[test]
fn connection_methods_in_a_wrong_state_are_504() {
    let server = Server::start();
    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    expect_end(&server, 504, text, (10, 40), |client| {
        client.send(0, connection::Open { virtual_host: b"/" });
    });
    expect_end(&server, 504, text, (10, 31), |client| {
        client.send(0, connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 });
    });
    expect_end(&server, 504, text, (60, 10), |client| client.send(0, basic::Qos::default()));
}

#[test]
fn methods_that_are_not_for_clients_are_503() {
    let server = Server::start();
    let text = "COMMAND_INVALID - unimplemented method";
    expect_end(&server, 503, text, (50, 31), |client| {
        client.send(1, queue::PurgeOk { message_count: 1 });
    });
    expect_end(&server, 503, text, (10, 40), |client| {
        client.send(1, connection::Open { virtual_host: b"/" });
    });
}

#[test]
fn reuse_of_a_consumer_tag_is_530_on_connection_level_and_names_the_method() {
    let server = Server::start();
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'mine'";
    expect_end(&server, 530, text, (60, 20), |client| {
        client.queue(1);
        let consume = basic::Consume { consumer_tag: b"mine", ..Default::default() };
        client.call::<ConsumeOk>(1, consume);
        client.send(1, consume);
    });
}

#[test]
fn connection_error_ends_all_channels_and_gives_back_what_they_held() {
    let (server, mut watcher) = Server::with_client();
    let queue = watcher.durable_queue(1);
    watcher.store(2, &queue, &["a", "b"]);
    let mut client = Client::connect(server.address());
    client.open(2);
    client.consume(2, &queue);
    assert_eq!(client.expect_bodies(2, 2), ["a", "b"]);
    let own = client.queue(1);
    client.send(1, channel::Flow { active: false });
    client.expect_connection_error(540, "NOT_IMPLEMENTED");
    watcher.wait_for_messages(1, &queue, 2);
    assert_eq!(watcher.drain(1, &queue), ["a", "b"]);
    watcher.delete_queue(1, &queue);
    watcher.send(1, passive(&own));
    watcher.expect_channel_error(1, 404, "NOT_FOUND - no queue");
}

#[test]
fn what_follows_a_connection_error_is_discarded() {
    let Some((server, mut watcher)) = Server::ours("its channels do not wait for each other")
    else {
        return;
    };
    let queue = watcher.durable_queue(1);
    let name = unique("discarded");
    let mut client = Client::connect(server.address());
    client.open(2);
    client.send(1, channel::Flow { active: false });
    // On the other channel, and before the broker's close has been seen.
    client.publish(2, "", &queue, "discarded");
    let declare = named(&name);
    client.send(2, declare);
    client.send(2, channel::Flow { active: false });
    client.send(3, channel::Open {});
    client.expect_connection_error(540, "NOT_IMPLEMENTED - active=false");
    assert_eq!(watcher.drain(1, &queue), NONE);
    watcher.delete_queue(1, &queue);
    watcher.send(1, queue::Declare { passive: true, ..declare });
    watcher.expect_channel_error(1, 404, "NOT_FOUND - no queue");
}

#[test]
fn client_that_closes_while_the_broker_does_is_answered() {
    let Some((_server, mut client)) = Server::ours("the client's word may be the first there")
    else {
        return;
    };
    client.send(1, channel::Flow { active: false });
    client.send_close();
    client.expect::<ConnectionClose>(0);
    client.expect::<ConnectionCloseOk>(0);
    client.expect_closed();
}

#[test]
fn text_of_more_than_255_bytes_ends_in_dots() {
    let (_server, mut client) = Server::with_client();
    let name = "q".repeat(240);
    let passive = queue::Declare { passive: true, queue: name.as_bytes(), ..Default::default() };
    let close = client.refused(1, passive, 404, "NOT_FOUND - no queue 'qqq");
    assert_eq!((close.text.len(), &close.text[248..]), (255, "qqqq..."));
}
