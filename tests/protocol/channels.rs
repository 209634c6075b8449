//! Do channels open, fail and close as clients expect, and does a failure cost only its channel?

use crate::common::*;
use leveret::amqp::encoder;

#[test]
fn opening_a_channel_twice_is_504() {
    let (_server, mut client) = Server::with_client();
    client.send(1, channel::Open {});
    client.expect_connection_error(504, "CHANNEL_ERROR - second 'channel.open' seen");
}

#[test]
fn method_on_a_channel_that_is_not_open_is_504() {
    let (_server, mut client) = Server::with_client();
    client.send(2, basic::Qos::default());
    client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'");
}

#[test]
fn method_on_a_channel_that_was_closed_is_504() {
    let (_server, mut client) = Server::with_client();
    client.close_channel(1);
    client.send(1, basic::Qos::default());
    client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'");
}

#[test]
fn channel_number_above_channel_max_is_530() {
    let server = Server::start();
    let options = Options { channel_max: Some(5), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    for number in 1..=5 {
        client.open(number);
    }
    client.send(6, channel::Open {});
    client.expect_connection_error(530, "NOT_ALLOWED - ");
}

#[test]
fn open_channels_count_and_not_their_numbers() {
    let server = Server::start();
    let options = Options { channel_max: Some(2), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    for number in [65_535, 2048] {
        client.open(number);
        client.round_trip(number);
    }
    client.close_channel(65_535);
    client.open(1);
    client.send(3, channel::Open {});
    client.expect_connection_error(
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
    );
}

#[test]
fn method_on_a_channel_that_was_never_opened_is_504_also_above_the_maximum() {
    for number in [7, 65_535] {
        let (_server, mut client) = Server::with_client();
        client.send(number, queue::Declare { passive: true, ..Default::default() });
        let close = client.expect_connection_error(504, "CHANNEL_ERROR - expected 'channel.open'");
        assert_eq!(close.offender, (50, 10));
    }
}

#[test]
fn opening_a_channel_that_the_server_closed_is_504_before_its_close_ok() {
    let (_server, mut client) = Server::with_client();
    client.send(1, queue::Declare { passive: true, queue: b"nowhere", ..Default::default() });
    client.send(1, channel::Open {});
    client.expect::<ChannelClose>(1);
    client.expect_connection_error(504, "CHANNEL_ERROR - second 'channel.open' seen");
}

/// Threads of a client close the same channel, or answer a close that came at the same time.
#[test]
fn a_channel_may_be_closed_twice_and_a_stray_close_ok_means_nothing() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    for _ in 0..2 {
        client.send(2, channel::Close { reply_code: 200, ..Default::default() });
    }
    client.send(2, channel::CloseOk {});
    for _ in 0..2 {
        client.expect::<ChannelCloseOk>(2);
    }
    client.open(2);
    client.round_trip(2);
}

#[test]
fn all_channels_up_to_channel_max_can_be_open() {
    let server = Server::start();
    let mut client = Client::connect_with(server.address(), &Options::default());
    for number in 1..=2047 {
        client.open(number);
    }
    client.round_trip(2047);
}

#[test]
fn number_of_a_closed_channel_can_be_opened_again() {
    let (_server, mut client) = Server::with_client();
    for _ in 0..3 {
        client.close_channel(1);
        client.open(1);
    }
    let closed_by_error = |client: &mut Client| {
        client.refused(
            1,
            basic::Ack { delivery_tag: 7, multiple: false },
            406,
            "PRECONDITION_FAILED - unknown delivery tag 7",
        );
    };
    closed_by_error(&mut client);
    closed_by_error(&mut client);
    client.round_trip(1);
}

#[test]
fn connection_methods_on_a_channel_are_a_connection_error() {
    let (_server, mut client) = Server::with_client();
    client.send(1, connection::Open { virtual_host: b"/" });
    client.expect_closed_or_error();
}

#[test]
fn channel_methods_on_channel_0_are_a_connection_error() {
    let (_server, mut client) = Server::with_client();
    client.send(0, channel::Open {});
    client.expect_closed_or_error();
}

#[test]
fn methods_of_the_broker_sent_by_a_client_are_a_connection_error() {
    let (server, mut client) = Server::with_client();
    client.send(1, queue::PurgeOk { message_count: 1 });
    client.expect_closed_or_error();
    Client::connect(server.address()).round_trip(1);
}

#[test]
fn flow_true_is_answered() {
    let (_server, mut client) = Server::with_client();
    assert!(client.call::<FlowOk>(1, channel::Flow { active: true }).active);
}

#[test]
fn flow_false_is_540() {
    let (_server, mut client) = Server::with_client();
    client.send(1, channel::Flow { active: false });
    let close = client.expect_connection_error(540, "NOT_IMPLEMENTED - active=false");
    assert_eq!(close.offender, (20, 20));
}

#[test]
fn closing_a_channel_returns_its_messages_in_order_before_close_ok() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.store(2, &queue, &["a", "b", "c", "d"]);
    for _ in 0..10 {
        client.open(2);
        client.consume(2, &queue);
        assert_eq!(client.expect_bodies(2, 4), ["a", "b", "c", "d"]);
        client.close_channel(2);
        assert_eq!(client.inspect(1, &queue).messages, 4);
    }
    let first = client.get(1, &queue).expect("four messages are there");
    assert!(first.redelivered);
    assert_eq!(first.message.body(), "a");
    assert_eq!(client.drain(1, &queue), ["b", "c", "d"]);
}

#[test]
fn closing_a_channel_ends_its_consumers() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.open(2);
    client.consume(2, &queue);
    assert_eq!(client.inspect(1, &queue).consumers, 1);
    client.close_channel(2);
    assert_eq!(client.inspect(1, &queue).consumers, 0);
}

#[test]
fn error_names_the_method_at_fault() {
    let (_server, mut client) = Server::with_client();
    client.send(1, queue::Purge { queue: b"no such queue", nowait: false });
    let close =
        client.expect_channel_error(1, 404, "NOT_FOUND - no queue 'no such queue' in vhost '/'");
    assert_eq!(close.offender, (50, 30));
}

#[test]
fn error_on_one_channel_leaves_the_others_alone() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.open(2);
    client.consume_no_ack(1, &queue);
    client.send(2, queue::Purge { queue: b"no such queue", nowait: false });
    client.expect_channel_error(2, 404, "NOT_FOUND - ");
    client.publish(1, "", &queue, "still here");
    assert_eq!(client.expect_delivery(1).message.body(), "still here");
}

#[test]
fn what_follows_a_channel_error_is_discarded_until_close_ok() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    client.send(2, queue::Purge { queue: b"no such queue", nowait: false });
    // None of this may count or be answered: the channel is closing on the broker's side.
    client.publish(2, "", &queue, "discarded");
    client.send(2, queue::Purge { queue: b"no such queue either", nowait: false });
    client.send(2, channel::Flow { active: false });
    client.send(2, basic::Ack { delivery_tag: 99, multiple: false });
    client.publish_mandatory(2, "amq.direct", "nowhere", "discarded");
    client.expect_channel_error(2, 404, "no queue 'no such queue' in vhost");
    client.expect_nothing_before(2, 1);
    client.open(2);
    assert_eq!(client.drain(2, &queue), Vec::<String>::new());
}

#[test]
fn content_that_a_channel_error_interrupts_is_discarded_whole() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    client.send(2, queue::Purge { queue: b"no such queue", nowait: false });
    client.send(2, basic::Publish { routing_key: queue.as_bytes(), ..Default::default() });
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 2, 10, &[0, 0]);
    encoder::body_frame(&mut out, 2, b"12345");
    encoder::body_frame(&mut out, 2, b"67890");
    client.send_bytes(&out);
    client.expect_channel_error(2, 404, "NOT_FOUND - ");
    client.open(2);
    client.publish(2, "", &queue, "next");
    assert_eq!(client.drain(2, &queue), ["next"]);
}

#[test]
fn close_of_the_client_crossing_the_brokers_is_answered() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    client.send(2, queue::Purge { queue: b"no such queue", nowait: false });
    client.send(2, channel::Close { reply_code: 200, ..Default::default() });
    client.expect::<ChannelClose>(2);
    client.expect::<ChannelCloseOk>(2);
    client.send(2, channel::CloseOk {});
    client.round_trip(1);
    client.open(2);
    client.round_trip(2);
}

#[test]
fn closing_a_channel_in_the_middle_of_a_content_is_505() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let queue = client.queue(1);
    client.send(2, basic::Publish { routing_key: queue.as_bytes(), ..Default::default() });
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 2, 10, &[0, 0]);
    encoder::body_frame(&mut out, 2, b"12345");
    client.send_bytes(&out);
    client.send(2, channel::Close { reply_code: 200, ..Default::default() });
    client.expect_connection_error(505, "UNEXPECTED_FRAME - expected content body");
}

#[test]
fn content_cut_off_by_the_end_of_the_connection_is_dropped() {
    let (server, mut watcher) = Server::with_client();
    let queue = watcher.shared_queue(1);
    let mut client = Client::connect(server.address());
    client.send(1, basic::Publish { routing_key: queue.as_bytes(), ..Default::default() });
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 1, 10, &[0, 0]);
    encoder::body_frame(&mut out, 1, b"12345");
    client.send_bytes(&out);
    client.vanish();
    watcher.store(2, &queue, &["next"]);
    assert_eq!(watcher.drain(1, &queue), ["next"]);
    watcher.delete_queue(1, &queue);
}

#[test]
fn access_request_of_ancient_clients_is_answered() {
    let (_server, mut client) = Server::with_client();
    let request = access::Request { realm: b"/data", active: true, ..Default::default() };
    client.call::<AccessRequestOk>(1, request);
}
