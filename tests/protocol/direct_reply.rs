//! Do answers reach who asked through `amq.rabbitmq.reply-to`, without a queue?

use crate::common::*;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Properties of a question whose answer is to come without a queue.
fn wants_reply() -> PropertyList<'static> {
    PropertyList { reply_to: Some(REPLY_TO.as_bytes()), ..Default::default() }
}

/// Who asks, who has got the question, and the name to answer to.
fn question(server: &Server) -> (Client, Client, String) {
    let mut asking = Client::connect(server.address());
    let mut answering = Client::connect(server.address());
    let queue = answering.shared_queue(1);
    answering.consume_no_ack(1, &queue);
    asking.consume_no_ack(1, REPLY_TO);
    asking.publish_with(1, "", &queue, &wants_reply(), b"question");
    let question = answering.expect_delivery(1).message;
    let reply_to = text(question.list().reply_to.expect("reply_to came along"));
    (asking, answering, reply_to)
}

#[test]
fn direct_reply_to_carries_an_answer() {
    let server = Server::start();
    let (mut asking, mut answering, reply_to) = question(&server);
    let tokens = reply_to.strip_prefix("amq.rabbitmq.reply-to.").expect("it has its prefix");
    let (first, second) = tokens.split_once('.').expect("there are two tokens");
    let second = second.strip_suffix("==").expect("the second one is padded");
    for token in [first, second] {
        let is_one = |c: char| c.is_ascii_alphanumeric() || "-_+/=".contains(c);
        assert!(token.len() >= 22 && token.chars().all(is_one), "{reply_to}");
    }
    assert_eq!(answering.inspect(1, &reply_to).queue, reply_to);
    answering.publish(1, "", &reply_to, "answer");
    let answer = asking.expect_delivery(1);
    assert_eq!(answer.message.body(), "answer");
    assert_eq!(answer.message.key, reply_to);
}

#[test]
fn direct_reply_to_somebody_who_left_is_unroutable() {
    let server = Server::start();
    let (mut asking, mut answering, reply_to) = question(&server);
    asking.close_channel(1);
    answering.publish_mandatory(1, "", &reply_to, "too late");
    assert_eq!(answering.expect::<Return>(1).code, 312);
}

#[test]
fn direct_reply_to_with_acks_is_406() {
    let (_server, mut client) = Server::with_client();
    let consume = basic::Consume { queue: REPLY_TO.as_bytes(), ..Default::default() };
    client.send(1, consume);
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn second_direct_reply_to_consumer_is_406() {
    let (_server, mut client) = Server::with_client();
    client.consume_no_ack(1, REPLY_TO);
    let again = basic::Consume { queue: REPLY_TO.as_bytes(), no_ack: true, ..Default::default() };
    client.send(1, again);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - reply consumer already set");
}

#[test]
fn second_direct_reply_to_consumer_under_the_tag_of_the_first_is_406_too() {
    let (_server, mut client) = Server::with_client();
    let tag = client.consume_no_ack(1, REPLY_TO);
    let again = basic::Consume {
        queue: REPLY_TO.as_bytes(),
        consumer_tag: tag.as_bytes(),
        no_ack: true,
        ..Default::default()
    };
    client.send(1, again);
    client.expect_channel_error(1, 406, "PRECONDITION_FAILED - reply consumer already set");
}

#[test]
fn direct_reply_to_under_the_tag_of_another_consumer_is_530() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let tag = client.consume_no_ack(1, &queue);
    let again = basic::Consume {
        queue: REPLY_TO.as_bytes(),
        consumer_tag: tag.as_bytes(),
        no_ack: true,
        ..Default::default()
    };
    client.send(1, again);
    let text = format!("NOT_ALLOWED - attempt to reuse consumer tag '{tag}'");
    client.expect_connection_error(530, &text);
}

#[test]
fn asking_for_direct_replies_without_a_consumer_is_406() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.publish_with(1, "", &queue, &wants_reply(), b"question");
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn direct_reply_to_answers_a_declare_passive_or_not() {
    let (_server, mut client) = Server::with_client();
    let name = REPLY_TO;
    for passive in [true, false] {
        let declare = queue::Declare { queue: name.as_bytes(), passive, ..Default::default() };
        let found = client.call::<DeclareOk>(1, declare);
        assert_eq!((found.queue.as_str(), found.messages, found.consumers), (name, 0, 1));
    }
}

#[test]
fn who_answers_may_ask_whether_anybody_waits_and_takes_nothing_from_them() {
    let server = Server::start();
    let (mut asking, mut answering, reply_to) = question(&server);
    for passive in [true, false] {
        let declare = queue::Declare { queue: reply_to.as_bytes(), passive, ..Default::default() };
        assert_eq!(answering.call::<DeclareOk>(1, declare).consumers, 1);
    }
    // It is no queue: nothing is deleted, and there is nothing to purge, to get or to bind.
    answering.delete_queue(1, &reply_to);
    let name = reply_to.as_bytes();
    let purge = Method::QueuePurge(queue::Purge { queue: name, nowait: false });
    let get = Method::BasicGet(basic::Get { queue: name, no_ack: true });
    let consume = Method::BasicConsume(basic::Consume { queue: name, ..Default::default() });
    for method in [purge, get, consume] {
        answering.refused(1, method, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.");
    }
    answering.publish(1, "", &reply_to, "answer");
    assert_eq!(asking.expect_delivery(1).message.body(), "answer");
    asking.close_channel(1);
    let declare = queue::Declare { queue: name, ..Default::default() };
    answering.send(1, declare);
    answering.expect_channel_error(1, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.");
}

#[test]
fn direct_reply_is_never_stored() {
    let server = Server::start();
    let Some(gate) = server.gate() else { return };
    let (mut asking, mut answering, reply_to) = question(&server);
    answering.open(2);
    answering.confirm_select(2);
    // The disk does nothing, and nobody waits for it.
    gate.hold();
    answering.confirmed(2, "", &reply_to, &persistent(), "answer");
    assert_eq!(asking.expect_delivery(1).message.body(), "answer");
    gate.release();
}

#[test]
fn channel_may_ask_for_direct_replies_again_after_it_cancelled_them() {
    let (_server, mut client) = Server::with_client();
    client.open(2);
    let tag = client.consume_no_ack(1, REPLY_TO);
    client.consume_no_ack(2, REPLY_TO);
    client.cancel(1, &tag);
    client.publish_with(1, "", "anywhere", &wants_reply(), b"question");
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    client.expect_channel_error(1, 406, text);
    client.open(1);
    client.consume_no_ack(1, REPLY_TO);
    client.publish_with(1, "", "anywhere", &wants_reply(), b"question");
    client.round_trip(1);
}

#[test]
fn direct_reply_is_no_queue_for_mandatory() {
    let server = Server::start();
    let (mut asking, mut answering, reply_to) = question(&server);
    // RabbitMQ documents it: the answer arrives, and counts as not routed.
    answering.publish_mandatory(1, "", &reply_to, "answer");
    assert_eq!(answering.expect::<Return>(1).message.body(), "answer");
    assert_eq!(asking.expect_delivery(1).message.body(), "answer");
}

#[test]
fn binding_the_direct_reply_name_is_403() {
    let Some((_server, mut client)) = Server::ours("3.10 says 404") else { return };
    let bind = queue::Bind {
        queue: REPLY_TO.as_bytes(),
        exchange: b"amq.direct",
        routing_key: b"key",
        ..Default::default()
    };
    client.send(1, bind);
    client.expect_channel_error(1, 403, "ACCESS_REFUSED - ");
}
