//! In what order is a publish checked? Each message here has two faults, of which the one that is
//! looked at first is answered.

use crate::common::*;
use leveret::amqp::{Name, encoder};

/// Ann may write to nothing that is called secret..., and to `amq.topic` with keys that begin with
/// open.
fn server() -> Option<Server> {
    Server::start_prepared(|broker| {
        let mut ann = user("ann", ".*", "^(?!secret)", ".*");
        ann.set_topic_permissions(Name::from("/"), Name::from("amq.topic"), "^open", ".*");
        broker.put_user(ann);
    })
}

/// Ann publishes what is refused.
fn refused(exchange: &str, key: &str, properties: &PropertyList<'_>, code: u16, text: &str) {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    ann.publish_with(1, exchange, key, properties, b"refused");
    let close = ann.expect_channel_error(1, code, text);
    assert_eq!(close.offender, (60, 40));
}

/// An array of one key.
fn key(name: &str) -> ArrayBuf {
    let mut keys = ArrayBuf::new();
    keys.push_str(name);
    keys
}

#[test]
fn size_is_looked_at_before_write_permission() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    ann.send(1, basic::Publish { exchange: b"secret", ..Default::default() });
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 1, 134_217_728 + 1, &[0, 0]);
    ann.send_bytes(&out);
    let text = "PRECONDITION_FAILED - message size 134217729 is larger than configured max size \
                134217728";
    ann.expect_channel_error(1, 406, text);
}

#[test]
fn write_permission_is_looked_at_before_the_exchange() {
    let text = "ACCESS_REFUSED - write access to exchange 'secret but missing' in vhost '/' \
                refused for user 'ann'";
    refused("secret but missing", "key", &PropertyList::default(), 403, text);
}

#[test]
fn missing_exchange_is_looked_at_before_reply_to() {
    let properties =
        PropertyList { reply_to: Some(b"amq.rabbitmq.reply-to"), ..Default::default() };
    refused("missing", "key", &properties, 404, "NOT_FOUND - no exchange 'missing'");
}

#[test]
fn internal_exchange_is_looked_at_before_reply_to() {
    let properties =
        PropertyList { reply_to: Some(b"amq.rabbitmq.reply-to"), ..Default::default() };
    let text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in \
                vhost '/'";
    refused("amq.rabbitmq.trace", "key", &properties, 403, text);
}

#[test]
fn reply_to_is_looked_at_before_the_expiration() {
    let properties = PropertyList {
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        expiration: Some(b"soon"),
        ..Default::default()
    };
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    refused("amq.direct", "key", &properties, 406, text);
}

#[test]
fn expiration_is_looked_at_before_cc_and_bcc() {
    for name in ["CC", "BCC"] {
        let headers = fields(&[(name, word("no array"))]);
        let properties = PropertyList {
            headers: Some(headers.table()),
            expiration: Some(b"soon"),
            ..Default::default()
        };
        let text = "PRECONDITION_FAILED - invalid expiration 'soon'";
        refused("amq.direct", "key", &properties, 406, text);
    }
}

#[test]
fn topic_permission_is_looked_at_before_all_properties() {
    for name in ["CC", "BCC"] {
        let headers = fields(&[(name, word("no array"))]);
        let properties = PropertyList {
            reply_to: Some(b"amq.rabbitmq.reply-to"),
            expiration: Some(b"soon"),
            ..with_headers(&headers)
        };
        refused("amq.topic", "closed", &properties, 403, "ACCESS_REFUSED - ");
    }
}

#[test]
fn reply_to_then_user_then_expiration_then_copies_are_looked_at() {
    let headers = fields(&[("CC", word("no array"))]);
    let mut properties = PropertyList {
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        user_id: Some(b"somebody"),
        expiration: Some(b"soon"),
        ..with_headers(&headers)
    };
    let refusal = |properties: &PropertyList<'_>, text: &str| {
        refused("amq.topic", "open", properties, 406, &format!("PRECONDITION_FAILED - {text}"));
    };
    refusal(&properties, "fast reply consumer does not exist");
    properties.reply_to = None;
    refusal(&properties, "user_id property set to 'somebody'");
    properties.user_id = None;
    refusal(&properties, "invalid expiration 'soon'");
    properties.expiration = None;
    refusal(&properties, "invalid message: {unacceptable_type_in_header");
}

#[test]
fn topic_permission_is_looked_at_before_user_id() {
    let properties = PropertyList { user_id: Some(b"somebody"), ..Default::default() };
    let text = "ACCESS_REFUSED - write access to topic 'closed' in exchange exchange 'amq.topic' \
                in vhost '/' refused for user 'ann'";
    refused("amq.topic", "closed", &properties, 403, text);
}

#[test]
fn user_id_is_looked_at_before_routing() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    let properties = PropertyList { user_id: Some(b"somebody"), ..Default::default() };
    let publish = basic::Publish {
        exchange: b"amq.topic",
        routing_key: b"open but bound nowhere",
        mandatory: true,
        ..Default::default()
    };
    // Nothing is returned.
    ann.publish_as(1, publish, &properties, b"refused");
    ann.expect_channel_error(1, 406, "PRECONDITION_FAILED - user_id property set to 'somebody'");
}

#[test]
fn message_that_passes_all_checks_arrives_by_every_key() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    let queue = ann.queue(1);
    ann.bind(1, &queue, "amq.topic", "open.copy");
    ann.consume_no_ack(1, "amq.rabbitmq.reply-to");
    let cc = key("open.copy");
    let headers = fields(&[("CC", Value::Array(cc.array()))]);
    let properties = PropertyList {
        headers: Some(headers.table()),
        expiration: Some(b"60000"),
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        user_id: Some(b"ann"),
        ..Default::default()
    };
    ann.publish_with(1, "amq.topic", "open", &properties, b"fine");
    assert_eq!(ann.drain(1, &queue), ["fine"]);
}

#[test]
fn checks_are_made_for_every_message_of_a_steady_publisher() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    let queue = ann.queue(1);
    for _ in 0..3 {
        ann.publish(1, "", &queue, "fine");
    }
    let properties = PropertyList { expiration: Some(b"soon"), ..Default::default() };
    ann.publish_with(1, "", &queue, &properties, b"refused");
    ann.publish(1, "", &queue, "discarded");
    ann.expect_channel_error(1, 406, "PRECONDITION_FAILED - invalid expiration 'soon'");
    ann.open(1);
    assert_eq!(ann.drain(1, &queue), ["fine"; 3]);
}
