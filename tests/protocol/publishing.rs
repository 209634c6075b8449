//! What happens to a message between the publisher and the queue?

use crate::common::*;
use leveret::amqp::encoder;

const NONE: [&str; 0] = [];

/// Publishes to the default exchange with properties that have to be refused.
fn refuse(server: &Server, properties: &PropertyList<'_>, code: u16, text: &str) {
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    client.open(2);
    client.publish_with(2, "", &queue, properties, b"refused");
    client.expect_channel_error(2, code, text);
    assert_eq!(client.drain(1, &queue), NONE);
}

#[test]
fn message_arrives_with_exchange_key_properties_and_body() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.bind(1, &queue, "amq.topic", &format!("{queue}.#"));
    let mut headers = TableBuf::new();
    headers.put_str(b"text", "value");
    headers.put(b"void", Value::Void);
    headers.put(b"double", Value::F64(1.5));
    headers.put(b"decimal", Value::Decimal { scale: 2, value: 314 });
    headers.put(b"bytes", Value::Bytes(&[0, 255]));
    headers.put(b"time", Value::Timestamp(1_700_000_000));
    let properties = PropertyList {
        content_type: Some(b"text/plain"),
        content_encoding: Some(b"gzip"),
        headers: Some(headers.table()),
        delivery_mode: Some(2),
        priority: Some(5),
        correlation_id: Some(b"correlation"),
        reply_to: Some(b"reply"),
        expiration: Some(b"60000"),
        message_id: Some(b"id"),
        timestamp: Some(1_700_000_000),
        kind: Some(b"kind"),
        user_id: Some(b"guest"),
        app_id: Some(b"app"),
        cluster_id: Some(b"cluster"),
    };
    let key = format!("{queue}.some.key");
    client.publish_with(1, "amq.topic", &key, &properties, b"body");
    let got = client.get(1, &queue).expect("the message is there").message;
    assert_eq!((got.exchange.as_str(), got.key.as_str()), ("amq.topic", key.as_str()));
    assert_eq!(got.list(), properties);
    assert_eq!(got.body, b"body");
}

#[test]
fn mandatory_and_unroutable_comes_back_with_its_content() {
    let (_server, mut client) = Server::with_client();
    let publish = basic::Publish {
        exchange: b"amq.direct",
        routing_key: b"nobody bound this",
        mandatory: true,
        immediate: false,
    };
    let properties =
        PropertyList { message_id: Some(b"the one"), priority: Some(3), ..Default::default() };
    client.publish_as(1, publish, &properties, b"content");
    let returned = client.expect::<Return>(1);
    assert_eq!((returned.code, returned.text.as_str()), (312, "NO_ROUTE"));
    assert_eq!(returned.message.exchange, "amq.direct");
    assert_eq!(returned.message.key, "nobody bound this");
    assert_eq!(returned.message.list(), properties);
    assert_eq!(returned.message.body(), "content");
}

#[test]
fn unroutable_without_mandatory_is_dropped_silently() {
    let (_server, mut client) = Server::with_client();
    client.publish(1, "amq.direct", "nobody bound this", "lost");
    client.expect_nothing_before(1, 1);
}

#[test]
fn mandatory_and_routable_does_not_come_back() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.publish_mandatory(1, "", &queue, "kept");
    client.expect_nothing_before(1, 1);
    assert_eq!(client.drain(1, &queue), ["kept"]);
}

#[test]
fn large_message_comes_back_in_frames_of_the_publishers_size() {
    let server = Server::start();
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    let body = "r".repeat(50_000);
    client.publish_mandatory(1, "amq.direct", "nobody bound this", &body);
    assert_eq!(client.expect::<Return>(1).message.body(), body);
}

#[test]
fn immediate_is_540() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let publish =
        basic::Publish { routing_key: queue.as_bytes(), immediate: true, ..Default::default() };
    client.publish_as(1, publish, &PropertyList::default(), b"now");
    let close = client.expect_connection_error(540, "NOT_IMPLEMENTED - immediate=true");
    assert_eq!(close.offender, (60, 40));
}

#[test]
fn missing_exchange_is_404() {
    let (_server, mut client) = Server::with_client();
    client.publish(1, "no such exchange", "key", "lost");
    let text = "NOT_FOUND - no exchange 'no such exchange' in vhost '/'";
    let close = client.expect_channel_error(1, 404, text);
    assert_eq!(close.offender, (60, 40));
}

#[test]
fn refused_publish_is_read_to_its_last_body_frame() {
    let server = Server::start();
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    client.open(2);
    let queue = client.queue(2);
    // Twenty body frames follow the method that is refused, then a good publish.
    client.publish(1, "no such exchange", "key", &"x".repeat(80_000));
    client.publish(2, "", &queue, "next");
    client.expect_channel_error(1, 404, "NOT_FOUND - ");
    assert_eq!(client.drain(2, &queue), ["next"]);
    client.open(1);
    client.publish(1, "", &queue, "after");
    client.round_trip(1);
    assert_eq!(client.drain(2, &queue), ["after"]);
}

#[test]
fn announced_body_costs_nothing_before_it_comes() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    for number in 2..=100 {
        client.open(number);
        let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
        client.send(number, publish);
        let mut out = Vec::new();
        // The largest that is allowed.
        encoder::header_frame(&mut out, number, 134_217_728, &[0, 0]);
        client.send_bytes(&out);
    }
    client.store(101, &queue, &["small"]);
    assert_eq!(client.drain(1, &queue), ["small"]);
}

#[test]
fn oversized_publish_is_drained_before_the_next_method_counts() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    client.open(2);
    client.send(2, basic::Publish { routing_key: queue.as_bytes(), ..Default::default() });
    let mut out = Vec::new();
    encoder::header_frame(&mut out, 2, 134_217_728 + 1, &[0, 0]);
    client.send_bytes(&out);
    // The whole body comes, 128 MiB and one byte, and then close-ok and a fresh channel.
    let chunk = vec![0_u8; 131_072 - 8];
    let mut left = 134_217_728 + 1;
    while left > 0 {
        let bytes = chunk.len().min(left);
        out.clear();
        encoder::body_frame(&mut out, 2, &chunk[..bytes]);
        client.send_bytes(&out);
        left -= bytes;
    }
    client.expect_channel_error(2, 406, "message size 134217729 is larger than configured");
    client.open(2);
    client.publish(2, "", &queue, "next");
    client.round_trip(2);
    assert_eq!(client.drain(1, &queue), ["next"]);
}

#[test]
fn expiration_that_is_no_decimal_string_is_406() {
    let server = Server::start();
    for (wrong, why) in [
        ("", "no_integer"),
        ("soon", "no_integer"),
        (" 5", "no_integer"),
        ("-", "no_integer"),
        ("--5", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", "{leftover_string,\".5\"}"),
        ("0x10", "{leftover_string,\"x10\"}"),
        ("5 ", "{leftover_string,\" \"}"),
        ("0315360000001", "{value_too_large,315360000001}"),
    ] {
        let properties = PropertyList { expiration: Some(wrong.as_bytes()), ..Default::default() };
        let text = format!("PRECONDITION_FAILED - invalid expiration '{wrong}': {why}");
        refuse(&server, &properties, 406, &text);
    }
}

#[test]
fn expiration_may_have_a_sign_and_zeros_before_it() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    for expiration in ["60000", "+60000", "00060000", "315360000000"] {
        client.publish_with(1, "", &queue, &expiring(expiration), b"taken");
        let got = client.get(1, &queue).expect("it is there");
        assert_eq!(got.message.list().expiration, Some(expiration.as_bytes()));
    }
    client.publish_with(1, "", &queue, &expiring("-0"), b"gone at once");
    assert_eq!(client.drain(1, &queue), NONE);
}

#[test]
fn user_id_of_somebody_else_is_406() {
    let server = Server::start();
    let properties = PropertyList { user_id: Some(b"somebody"), ..Default::default() };
    let text = "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user \
                was 'guest'";
    refuse(&server, &properties, 406, text);
}

#[test]
fn own_user_id_is_taken() {
    let (_server, mut client) = Server::with_client();
    let queue = client.queue(1);
    let properties = PropertyList { user_id: Some(b"guest"), ..Default::default() };
    client.publish_with(1, "", &queue, &properties, b"mine");
    assert_eq!(client.drain(1, &queue), ["mine"]);
}

#[test]
fn cc_and_bcc_are_additional_routing_keys() {
    let (_server, mut client) = Server::with_client();
    let queues: Vec<_> = (0..5).map(|_| client.queue(1)).collect();
    let (cc, bcc) = (words(&[&queues[1], &queues[2]]), words(&[&queues[3], &queues[1]]));
    let mut headers = TableBuf::new();
    headers.put(b"CC", Value::Array(cc.array()));
    headers.put(b"BCC", Value::Array(bcc.array()));
    headers.put_str(b"other", "kept");
    let properties = with_headers(&headers);
    client.publish_with(1, "", &queues[0], &properties, b"letter");
    for (index, queue) in queues.iter().enumerate() {
        let got = client.get(1, queue);
        assert_eq!(got.is_some(), index < 4, "queue {index}");
        let Some(got) = got else { continue };
        assert_eq!(got.message.key, queues[0]);
        let list = got.message.list();
        let headers = list.headers.expect("headers came along");
        assert_eq!(headers.find(b"BCC"), None);
        assert_eq!(headers.find(b"CC"), Some(Value::Array(cc.array())));
        assert_eq!(headers.find(b"other"), Some(word("kept")));
        assert!(client.get(1, queue).is_none(), "one copy each");
    }
}

/// Each key was routed by itself, so that those without a binding went to the alternate.
#[test]
fn alternate_exchange_takes_nothing_when_one_of_the_keys_finds_a_queue() {
    let (_server, mut client) = Server::with_client();
    let (exchange, alternate) = (unique("direct"), client.exchange(1, "fanout"));
    let arguments = fields(&[("alternate-exchange", word(&alternate))]);
    let declare = exchange::Declare {
        exchange: exchange.as_bytes(),
        kind: b"direct",
        arguments: arguments.table(),
        ..Default::default()
    };
    client.call::<ExchangeDeclareOk>(1, declare);
    let (bound, other) = (client.queue(1), client.queue(1));
    client.bind(1, &bound, &exchange, "bound");
    client.bind(1, &other, &alternate, "");
    for (key, more) in [("bound", "unbound"), ("unbound", "bound"), ("unbound", "unbound, too")] {
        let cc = words(&[more]);
        for name in ["CC", "BCC"] {
            let headers = fields(&[(name, Value::Array(cc.array()))]);
            let properties = with_headers(&headers);
            client.publish_with(1, &exchange, key, &properties, more.as_bytes());
        }
    }
    assert_eq!(client.drain(1, &bound), ["unbound", "unbound", "bound", "bound"]);
    assert_eq!(client.drain(1, &other), ["unbound, too", "unbound, too"]);
    client.delete_exchange(1, &exchange);
    client.delete_exchange(1, &alternate);
}

#[test]
fn bcc_is_not_seen_in_a_returned_message() {
    let (_server, mut client) = Server::with_client();
    let bcc = words(&["no such queue"]);
    let headers = fields(&[("BCC", Value::Array(bcc.array())), ("other", word("kept"))]);
    let properties = with_headers(&headers);
    let publish = basic::Publish {
        routing_key: b"no such queue either",
        mandatory: true,
        ..Default::default()
    };
    client.publish_as(1, publish, &properties, b"lost");
    let message = client.expect::<Return>(1).message;
    assert_eq!(message.headers(), fields(&[("other", word("kept"))]));
}

#[test]
fn cc_that_is_no_array_is_406() {
    let server = Server::start();
    for key in ["CC", "BCC"] {
        for (value, kind) in [
            (word("not an array"), "longstr"),
            (Value::Table(Table::EMPTY), "table"),
            (Value::I32(5), "signedint"),
            (Value::Bool(true), "bool"),
            (Value::Void, "void"),
        ] {
            let headers = fields(&[(key, value)]);
            let properties = with_headers(&headers);
            let text = format!(
                "PRECONDITION_FAILED - invalid message: \
                 {{unacceptable_type_in_header,\"{key}\",{kind}}}"
            );
            refuse(&server, &properties, 406, &text);
        }
    }
}

#[test]
fn what_is_no_string_in_cc_is_no_key() {
    let (_server, mut client) = Server::with_client();
    let (queue, copy) = (client.queue(1), client.queue(1));
    let mut cc = ArrayBuf::new();
    cc.push(Value::I32(1));
    cc.push(Value::Void);
    cc.push_str(&copy);
    for key in ["CC", "BCC"] {
        let headers = fields(&[(key, Value::Array(cc.array()))]);
        let properties = with_headers(&headers);
        client.publish_with(1, "", &queue, &properties, b"letter");
        for queue in [&queue, &copy] {
            assert_eq!(client.drain(1, queue), ["letter"], "{key}");
        }
    }
}

#[test]
fn exchange_is_looked_at_before_properties() {
    let (_server, mut client) = Server::with_client();
    let properties = PropertyList { expiration: Some(b"soon"), ..Default::default() };
    client.publish_with(1, "no such exchange", "key", &properties, b"lost");
    client.expect_channel_error(1, 404, "NOT_FOUND - ");
}
