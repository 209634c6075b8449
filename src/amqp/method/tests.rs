//! Do methods have the bytes that the specification gives them?
//!
//! The byte strings are written by hand from the specification, not printed by the encoder.

use super::*;
use crate::amqp::error::Level;
use crate::amqp::table::Table;
use crate::amqp::testing::Random;
use std::collections::BTreeSet;

type Sample = (Method<'static>, &'static [u8]);

/// A table with the one entry `x-a`, 5 as `I`.
fn table() -> Table<'static> {
    Table::new(b"\x03x-aI\x00\x00\x00\x05").unwrap()
}

fn samples() -> Vec<Sample> {
    let mut samples = connection_login();
    samples.extend(connection_rest());
    samples.extend(channel_and_access());
    samples.extend(exchange_samples());
    samples.extend(queue_samples());
    samples.extend(basic_consuming());
    samples.extend(basic_messages());
    samples.extend(basic_settling());
    samples.extend(confirm_and_tx());
    samples
}

fn connection_login() -> Vec<Sample> {
    use connection::*;
    let start = Start {
        version_major: 0,
        version_minor: 9,
        server_properties: table(),
        mechanisms: b"PLAIN AMQPLAIN",
        locales: b"en_US",
    };
    let start_ok = StartOk {
        client_properties: Table::EMPTY,
        mechanism: b"PLAIN",
        response: b"\0guest\0guest",
        locale: b"en_US",
    };
    let tune = Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
    let tune_ok = TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 256 };
    vec![
        (
            start.into(),
            b"\x00\x0a\x00\x0a\x00\x09\
              \x00\x00\x00\x09\x03x-aI\x00\x00\x00\x05\
              \x00\x00\x00\x0ePLAIN AMQPLAIN\x00\x00\x00\x05en_US",
        ),
        (
            start_ok.into(),
            b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\
              \x00\x00\x00\x0c\x00guest\x00guest\x05en_US",
        ),
        (Secure { challenge: b"why" }.into(), b"\x00\x0a\x00\x14\x00\x00\x00\x03why"),
        (SecureOk { response: b"because" }.into(), b"\x00\x0a\x00\x15\x00\x00\x00\x07because"),
        (tune.into(), b"\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x3c"),
        (tune_ok.into(), b"\x00\x0a\x00\x1f\x00\x01\x00\x00\x10\x00\x01\x00"),
        (Open { virtual_host: b"/" }.into(), b"\x00\x0a\x00\x28\x01/\x00\x00"),
        (OpenOk {}.into(), b"\x00\x0a\x00\x29\x00"),
    ]
}

fn connection_rest() -> Vec<Sample> {
    use connection::*;
    let close = Close { reply_code: 320, reply_text: b"bye", class_id: 60, method_id: 40 };
    let secret = UpdateSecret { new_secret: b"new", reason: b"r" };
    vec![
        (close.into(), b"\x00\x0a\x00\x32\x01\x40\x03bye\x00\x3c\x00\x28"),
        (CloseOk {}.into(), b"\x00\x0a\x00\x33"),
        (Blocked { reason: b"low on disk" }.into(), b"\x00\x0a\x00\x3c\x0blow on disk"),
        (Unblocked {}.into(), b"\x00\x0a\x00\x3d"),
        (secret.into(), b"\x00\x0a\x00\x46\x00\x00\x00\x03new\x01r"),
        (UpdateSecretOk {}.into(), b"\x00\x0a\x00\x47"),
    ]
}

fn channel_and_access() -> Vec<Sample> {
    use access::*;
    use channel::*;
    let close = Close { reply_code: 404, reply_text: b"", class_id: 50, method_id: 10 };
    let request = Request {
        realm: b"/data",
        exclusive: false,
        passive: true,
        active: true,
        write: true,
        read: true,
    };
    vec![
        (Open {}.into(), b"\x00\x14\x00\x0a\x00"),
        (OpenOk {}.into(), b"\x00\x14\x00\x0b\x00\x00\x00\x00"),
        (Flow { active: true }.into(), b"\x00\x14\x00\x14\x01"),
        (FlowOk { active: true }.into(), b"\x00\x14\x00\x15\x01"),
        (close.into(), b"\x00\x14\x00\x28\x01\x94\x00\x00\x32\x00\x0a"),
        (CloseOk {}.into(), b"\x00\x14\x00\x29"),
        (request.into(), b"\x00\x1e\x00\x0a\x05/data\x1e"),
        (RequestOk { ticket: 1 }.into(), b"\x00\x1e\x00\x0b\x00\x01"),
    ]
}

fn exchange_samples() -> Vec<Sample> {
    use exchange::*;
    let declare = Declare {
        exchange: b"logs",
        kind: b"topic",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: true,
        nowait: false,
        arguments: table(),
    };
    let bind = Bind {
        destination: b"d",
        source: b"so",
        routing_key: b"key",
        nowait: true,
        arguments: Table::EMPTY,
    };
    let unbind = Unbind {
        destination: b"d",
        source: b"so",
        routing_key: b"",
        nowait: false,
        arguments: table(),
    };
    let delete = Delete { exchange: b"logs", if_unused: true, nowait: true };
    vec![
        (
            declare.into(),
            b"\x00\x28\x00\x0a\x00\x00\x04logs\x05topic\x0a\
              \x00\x00\x00\x09\x03x-aI\x00\x00\x00\x05",
        ),
        (DeclareOk {}.into(), b"\x00\x28\x00\x0b"),
        (delete.into(), b"\x00\x28\x00\x14\x00\x00\x04logs\x03"),
        (DeleteOk {}.into(), b"\x00\x28\x00\x15"),
        (bind.into(), b"\x00\x28\x00\x1e\x00\x00\x01d\x02so\x03key\x01\x00\x00\x00\x00"),
        (BindOk {}.into(), b"\x00\x28\x00\x1f"),
        (
            unbind.into(),
            b"\x00\x28\x00\x28\x00\x00\x01d\x02so\x00\x00\
              \x00\x00\x00\x09\x03x-aI\x00\x00\x00\x05",
        ),
        (UnbindOk {}.into(), b"\x00\x28\x00\x33"),
    ]
}

fn queue_samples() -> Vec<Sample> {
    use queue::*;
    let declare = Declare {
        queue: b"q",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: true,
        nowait: true,
        arguments: table(),
    };
    let bind = Bind {
        queue: b"q",
        exchange: b"logs",
        routing_key: b"a.*",
        nowait: false,
        arguments: Table::EMPTY,
    };
    let unbind =
        Unbind { queue: b"q", exchange: b"logs", routing_key: b"a.*", arguments: Table::EMPTY };
    let delete = Delete { queue: b"q", if_unused: false, if_empty: true, nowait: true };
    vec![
        (
            declare.into(),
            b"\x00\x32\x00\x0a\x00\x00\x01q\x1a\x00\x00\x00\x09\x03x-aI\x00\x00\x00\x05",
        ),
        (
            DeclareOk { queue: b"q", message_count: 258, consumer_count: 3 }.into(),
            b"\x00\x32\x00\x0b\x01q\x00\x00\x01\x02\x00\x00\x00\x03",
        ),
        (bind.into(), b"\x00\x32\x00\x14\x00\x00\x01q\x04logs\x03a.*\x00\x00\x00\x00\x00"),
        (BindOk {}.into(), b"\x00\x32\x00\x15"),
        (unbind.into(), b"\x00\x32\x00\x32\x00\x00\x01q\x04logs\x03a.*\x00\x00\x00\x00"),
        (UnbindOk {}.into(), b"\x00\x32\x00\x33"),
        (Purge { queue: b"q", nowait: true }.into(), b"\x00\x32\x00\x1e\x00\x00\x01q\x01"),
        (PurgeOk { message_count: 7 }.into(), b"\x00\x32\x00\x1f\x00\x00\x00\x07"),
        (delete.into(), b"\x00\x32\x00\x28\x00\x00\x01q\x06"),
        (DeleteOk { message_count: 8 }.into(), b"\x00\x32\x00\x29\x00\x00\x00\x08"),
    ]
}

fn basic_consuming() -> Vec<Sample> {
    use basic::*;
    let consume = Consume {
        queue: b"q",
        consumer_tag: b"ct",
        no_local: false,
        no_ack: true,
        exclusive: false,
        nowait: true,
        arguments: table(),
    };
    vec![
        (
            Qos { prefetch_size: 1, prefetch_count: 500, global: true }.into(),
            b"\x00\x3c\x00\x0a\x00\x00\x00\x01\x01\xf4\x01",
        ),
        (QosOk {}.into(), b"\x00\x3c\x00\x0b"),
        (
            consume.into(),
            b"\x00\x3c\x00\x14\x00\x00\x01q\x02ct\x0a\x00\x00\x00\x09\x03x-aI\x00\x00\x00\x05",
        ),
        (ConsumeOk { consumer_tag: b"ct" }.into(), b"\x00\x3c\x00\x15\x02ct"),
        (Cancel { consumer_tag: b"ct", nowait: true }.into(), b"\x00\x3c\x00\x1e\x02ct\x01"),
        (CancelOk { consumer_tag: b"ct" }.into(), b"\x00\x3c\x00\x1f\x02ct"),
    ]
}

fn basic_messages() -> Vec<Sample> {
    use basic::*;
    let publish =
        Publish { exchange: b"amq.topic", routing_key: b"a.b", mandatory: true, immediate: false };
    let returned = Return {
        reply_code: 312,
        reply_text: b"NO_ROUTE",
        exchange: b"amq.topic",
        routing_key: b"a.b",
    };
    let deliver = Deliver {
        consumer_tag: b"ct",
        delivery_tag: 0x0102_0304_0506_0708,
        redelivered: true,
        exchange: b"",
        routing_key: b"q",
    };
    let get_ok = GetOk {
        delivery_tag: 1,
        redelivered: false,
        exchange: b"x",
        routing_key: b"q",
        message_count: 65_536,
    };
    vec![
        (publish.into(), b"\x00\x3c\x00\x28\x00\x00\x09amq.topic\x03a.b\x01"),
        (returned.into(), b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x09amq.topic\x03a.b"),
        (deliver.into(), b"\x00\x3c\x00\x3c\x02ct\x01\x02\x03\x04\x05\x06\x07\x08\x01\x00\x01q"),
        (Get { queue: b"q", no_ack: true }.into(), b"\x00\x3c\x00\x46\x00\x00\x01q\x01"),
        (
            get_ok.into(),
            b"\x00\x3c\x00\x47\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01x\x01q\x00\x01\x00\x00",
        ),
        (GetEmpty {}.into(), b"\x00\x3c\x00\x48\x00"),
    ]
}

fn basic_settling() -> Vec<Sample> {
    use basic::*;
    vec![
        (
            Ack { delivery_tag: 300, multiple: true }.into(),
            b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x01\x2c\x01",
        ),
        (
            Reject { delivery_tag: 2, requeue: true }.into(),
            b"\x00\x3c\x00\x5a\x00\x00\x00\x00\x00\x00\x00\x02\x01",
        ),
        (RecoverAsync { requeue: true }.into(), b"\x00\x3c\x00\x64\x01"),
        (Recover { requeue: true }.into(), b"\x00\x3c\x00\x6e\x01"),
        (RecoverOk {}.into(), b"\x00\x3c\x00\x6f"),
        (
            Nack { delivery_tag: u64::MAX, multiple: false, requeue: true }.into(),
            b"\x00\x3c\x00\x78\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ),
    ]
}

fn confirm_and_tx() -> Vec<Sample> {
    vec![
        (confirm::Select { nowait: true }.into(), b"\x00\x55\x00\x0a\x01"),
        (confirm::SelectOk {}.into(), b"\x00\x55\x00\x0b"),
        (tx::Select {}.into(), b"\x00\x5a\x00\x0a"),
        (tx::SelectOk {}.into(), b"\x00\x5a\x00\x0b"),
        (tx::Commit {}.into(), b"\x00\x5a\x00\x14"),
        (tx::CommitOk {}.into(), b"\x00\x5a\x00\x15"),
        (tx::Rollback {}.into(), b"\x00\x5a\x00\x1e"),
        (tx::RollbackOk {}.into(), b"\x00\x5a\x00\x1f"),
    ]
}

#[test]
fn there_is_a_sample_of_every_method() {
    let names = |methods: &mut dyn Iterator<Item = Method<'static>>| {
        methods.map(|method| method.name()).collect::<BTreeSet<_>>()
    };
    let sampled = names(&mut samples().into_iter().map(|(method, _)| method));
    let all = names(&mut defaults().into_iter());
    assert_eq!(sampled, all);
    assert_eq!((samples().len(), all.len()), (66, 66));
}

#[test]
fn methods_have_the_bytes_of_the_specification() {
    for (method, bytes) in samples() {
        let mut encoded = b"before".to_vec();
        method.encode(&mut encoded);
        assert_eq!(encoded[6..].escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(Method::decode(bytes), Ok(method), "{}", method.name());
        let (class_id, method_id) = method.id();
        assert_eq!(bytes[..2], class_id.to_be_bytes());
        assert_eq!(bytes[2..4], method_id.to_be_bytes());
    }
}

#[test]
fn every_method_round_trips_with_nothing_in_it() {
    for method in defaults() {
        let mut bytes = Vec::new();
        method.encode(&mut bytes);
        assert_eq!(Method::decode(&bytes), Ok(method), "{}", method.name());
    }
}

#[test]
fn a_truncated_method_is_a_frame_error_and_names_the_method() {
    for (method, bytes) in samples() {
        for length in 0..bytes.len() {
            let error = Method::decode(&bytes[..length]).unwrap_err();
            assert_eq!(error.code, ReplyCode::FrameError, "{} {length}", method.name());
            assert_eq!(error.level, Level::Connection);
            let ids = if length < 4 { (0, 0) } else { method.id() };
            assert_eq!((error.class_id, error.method_id), ids);
            let what = if length < 4 { "method" } else { method.name() };
            let text = format!("FRAME_ERROR - cannot decode {what}: a field runs past the end");
            assert_eq!(error.text, text);
        }
    }
}

#[test]
fn bytes_after_the_arguments_are_a_frame_error() {
    for (method, bytes) in samples() {
        let longer = [bytes, b"\0"].concat();
        let error = Method::decode(&longer).unwrap_err();
        assert_eq!(error.code, ReplyCode::FrameError, "{}", method.name());
        assert_eq!((error.class_id, error.method_id), method.id());
        assert!(error.text.ends_with("bytes after the last field"), "{}", error.text);
    }
}

#[test]
fn unknown_classes_and_methods_are_invalid_commands() {
    for (bytes, ids) in [
        (b"\x00\x32\x00\x63".as_slice(), (50, 99)),
        (b"\x00\x33\x00\x0a\x00\x00\x00", (51, 10)),
        (b"\x00\x00\x00\x00", (0, 0)),
        (b"\xff\xff\xff\xff\xff", (65535, 65535)),
        (b"\x00\x28\x00\x29", (40, 41)),
    ] {
        let error = Method::decode(bytes).unwrap_err();
        assert_eq!((error.code, error.level), (ReplyCode::CommandInvalid, Level::Connection));
        assert_eq!((error.class_id, error.method_id), ids);
        let text = format!("COMMAND_INVALID - unknown method {{{},{}}}", ids.0, ids.1);
        assert_eq!(error.text, text);
    }
}

#[test]
fn bits_that_mean_nothing_are_ignored() {
    let ack = Method::decode(b"\x00\x3c\x00\x50\0\0\0\0\0\0\0\x01\xfe");
    assert_eq!(ack, Ok(basic::Ack { delivery_tag: 1, multiple: false }.into()));
}

#[test]
fn what_is_reserved_may_be_anything() {
    // Clients of AMQP 0-8 put a ticket where publish is reserved, and an "insist" into open.
    let publish = Method::decode(b"\x00\x3c\x00\x28\xab\xcd\x00\x01q\x00");
    let expected = basic::Publish { routing_key: b"q", ..Default::default() };
    assert_eq!(publish, Ok(expected.into()));
    let open = Method::decode(b"\x00\x0a\x00\x28\x01/\x04caps\x01");
    assert_eq!(open, Ok(connection::Open { virtual_host: b"/" }.into()));
}

#[test]
fn content_follows_four_methods() {
    let with_content: Vec<_> =
        defaults().iter().filter(|method| method.has_content()).map(Method::name).collect();
    assert_eq!(with_content, ["basic.publish", "basic.return", "basic.deliver", "basic.get-ok"]);
}

#[test]
fn a_short_string_is_at_most_255_bytes() {
    let long = [b'x'; 300];
    for length in [254, 255, 256, 300] {
        let mut bytes = Vec::new();
        basic::ConsumeOk { consumer_tag: &long[..length] }.encode(&mut bytes);
        let kept = basic::ConsumeOk { consumer_tag: &long[..length.min(255)] };
        assert_eq!(Method::decode(&bytes), Ok(kept.into()));
    }
}

#[test]
fn a_malformed_table_in_a_method_names_the_method() {
    let error =
        Method::decode(b"\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x03\x01a?").unwrap_err();
    assert_eq!(error.text, "FRAME_ERROR - cannot decode queue.declare: unknown field type 63");
    assert_eq!((error.class_id, error.method_id), (50, 10));
}

#[test]
fn random_bytes_never_panic_and_what_decodes_encodes() {
    let mut random = Random::new(1);
    let samples = samples();
    let mut decoded = 0;
    for _ in 0..100_000 {
        let (sample, sample_bytes) = samples[random.below(samples.len())];
        let bytes = match random.below(3) {
            0 => random.bytes(64),
            1 => [&sample_bytes[..4], &random.bytes(64)].concat(),
            _ => random.spoil(sample_bytes),
        };
        if let Ok(method) = Method::decode(&bytes) {
            decoded += 1;
            let mut encoded = Vec::new();
            method.encode(&mut encoded);
            // Reserved fields and bits are not kept, tables are.
            let again = Method::decode(&encoded).unwrap();
            // Not for a NaN in a table, which is equal to nothing.
            assert_eq!(format!("{again:?}"), format!("{method:?}"), "{}", sample.name());
        }
    }
    assert!(decoded > 3_000, "{decoded}");
}

#[test]
fn names_are_utf8_but_for_what_a_publisher_chooses() {
    let name: &[u8] = b"caf\xc3\xa9 \xe4";
    let declare = queue::Declare { queue: name, ..Default::default() };
    let consume = basic::Consume { consumer_tag: name, ..Default::default() };
    for method in [Method::from(declare), Method::from(consume)] {
        let mut bytes = Vec::new();
        method.encode(&mut bytes);
        let error = Method::decode(&bytes).unwrap_err();
        assert_eq!(error.text, "FRAME_ERROR - Malformed UTF-8 in shortstr", "{}", method.name());
    }
    let publish = basic::Publish { exchange: name, routing_key: name, ..Default::default() };
    let mut bytes = Vec::new();
    Method::from(publish).encode(&mut bytes);
    assert_eq!(Method::decode(&bytes), Ok(publish.into()));
}
