//! What do policies and operator policies make of queues and exchanges?
//!
//! The broker's own tests (`broker::policies`) set them while queues are there; here they are
//! there first.

use crate::common::*;
use leveret::amqp::Name;
use leveret::broker::Broker;
use leveret::broker::arguments::policy::{ApplyTo, Policy};
use leveret::broker::users::pattern::Pattern;

const NONE: [&str; 0] = [];

/// A policy for everything whose name matches, of priority 0.
fn policy(name: &str, pattern: &str, definition: &[(&str, Value<'_>)]) -> Policy {
    Policy {
        vhost: Name::from("/"),
        name: Name::from(name),
        pattern: Pattern::of_policy(pattern),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: fields(definition),
        operator: false,
    }
}

fn server(policies: impl IntoIterator<Item = Policy>) -> Option<Server> {
    Server::start_prepared(|broker: &mut Broker| {
        for policy in policies {
            broker.set_policy(policy).expect("it is a good one");
        }
    })
}

/// Declares an exclusive queue of this name.
fn queue(client: &mut Client, name: &str, arguments: &[(&str, Value<'_>)]) {
    client.queue_named(1, name, fields(arguments).table());
}

/// How many of five messages a queue keeps.
fn kept_of_5(client: &mut Client, queue: &str) -> usize {
    for body in ["1", "2", "3", "4", "5"] {
        client.publish(1, "", queue, body);
    }
    client.drain(1, queue).len()
}

#[test]
fn policy_acts_on_names_that_match_its_pattern() {
    let Some(server) = server([policy("short", "^jobs\\.", &[("max-length", Value::I64(2))])])
    else {
        return;
    };
    let mut client = Client::connect(server.address());
    for (name, kept) in [("jobs.mail", 2), ("jobs", 5), ("old.jobs.mail", 5)] {
        queue(&mut client, name, &[]);
        assert_eq!(kept_of_5(&mut client, name), kept, "{name}");
    }
}

#[test]
fn policy_acts_on_what_it_is_applied_to() {
    let apply = |to: ApplyTo, pattern: &str| Policy {
        apply_to: to,
        ..policy(to.name(), pattern, &[("max-length", Value::I64(2))])
    };
    let Some(server) = server([
        apply(ApplyTo::All, "^all"),
        apply(ApplyTo::Queues, "^queues"),
        apply(ApplyTo::ClassicQueues, "^classic"),
        apply(ApplyTo::QuorumQueues, "^quorum"),
        apply(ApplyTo::Streams, "^streams"),
        apply(ApplyTo::Exchanges, "^exchanges"),
    ]) else {
        return;
    };
    let mut client = Client::connect(server.address());
    for (part, for_classic, for_quorum) in [
        ("all", true, true),
        ("queues", true, true),
        ("classic", true, false),
        ("quorum", false, true),
        ("streams", false, false),
        ("exchanges", false, false),
    ] {
        for (kind, limited) in [("classic", for_classic), ("quorum", for_quorum)] {
            let (name, arguments) =
                (format!("{part}.{kind}"), fields(&[("x-queue-type", word(kind))]));
            let declare = queue::Declare {
                queue: name.as_bytes(),
                durable: true,
                arguments: arguments.table(),
                ..Default::default()
            };
            client.call::<DeclareOk>(1, declare);
            assert_eq!(kept_of_5(&mut client, &name), if limited { 2 } else { 5 }, "{name}");
        }
    }
}

#[test]
fn policy_of_the_highest_priority_holds_alone() {
    let low = policy("a", ".*", &[("max-length", Value::I64(1)), ("message-ttl", Value::I64(0))]);
    let high = Policy { priority: 9, ..policy("b", ".*", &[("max-length", Value::I64(3))]) };
    let Some(server) = server([low, high]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "q", &[]);
    // Not even what only the other one says counts.
    assert_eq!(kept_of_5(&mut client, "q"), 3);
}

#[test]
fn of_a_policy_and_an_argument_the_smaller_number_holds() {
    let Some(server) = server([policy("length", ".*", &[("max-length", Value::I64(3))])]) else {
        return;
    };
    let mut client = Client::connect(server.address());
    for (name, argument, kept) in [("smaller", 2, 2), ("larger", 4, 3)] {
        queue(&mut client, name, &[("x-max-length", Value::I64(argument))]);
        assert_eq!(kept_of_5(&mut client, name), kept, "{name}");
    }
}

#[test]
fn argument_that_is_no_number_goes_before_the_policy() {
    let definition = [("max-length", Value::I64(1)), ("overflow", word("reject-publish"))];
    let Some(server) = server([policy("full", ".*", &definition)]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "by policy", &[]);
    queue(&mut client, "by argument", &[("x-overflow", word("drop-head"))]);
    for (name, kept) in [("by policy", "1"), ("by argument", "2")] {
        client.publish(1, "", name, "1");
        client.publish(1, "", name, "2");
        assert_eq!(client.drain(1, name), [kept], "{name}");
    }
}

#[test]
fn operator_policy_caps_what_policies_and_arguments_say() {
    let cap = |priority, length| Policy {
        operator: true,
        priority,
        ..policy(&format!("cap {length}"), ".*", &[("max-length", Value::I64(length))])
    };
    let users =
        Policy { priority: 100, ..policy("long", "^long", &[("max-length", Value::I64(4))]) };
    let tight =
        Policy { priority: 100, ..policy("tight", "^tight", &[("max-length", Value::I64(1))]) };
    let Some(server) = server([cap(1, 2), cap(0, 3), users, tight]) else { return };
    let mut client = Client::connect(server.address());
    for (name, argument, kept) in
        [("long", None, 2), ("tight", None, 1), ("other", None, 2), ("argued", Some(5), 2)]
    {
        match argument {
            Some(length) => queue(&mut client, name, &[("x-max-length", Value::I64(length))]),
            None => queue(&mut client, name, &[]),
        }
        assert_eq!(kept_of_5(&mut client, name), kept, "{name}");
    }
}

#[test]
fn operator_policy_is_added_to_what_the_policy_says() {
    let users = policy("refusing", ".*", &[("overflow", word("reject-publish"))]);
    let length = policy("cap", ".*", &[("max-length", Value::I64(1))]);
    let Some(server) = server([users, Policy { operator: true, ..length }]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "q", &[]);
    client.publish(1, "", "q", "kept");
    client.publish(1, "", "q", "refused");
    assert_eq!(client.drain(1, "q"), ["kept"]);
}

#[test]
fn policy_makes_messages_expire_and_dead_letters_of_them() {
    let definition = [
        ("message-ttl", Value::I64(1)),
        ("dead-letter-exchange", word("")),
        ("dead-letter-routing-key", word("dead")),
    ];
    let Some(server) = server([policy("mortal", "^mortal$", &definition)]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "mortal", &[]);
    queue(&mut client, "dead", &[]);
    client.publish(1, "", "mortal", "late");
    let message = client.dead_letter(1, "dead");
    assert_eq!(message.body(), "late");
    assert_eq!(message.deaths_in_short(), [("expired".to_owned(), "mortal".to_owned(), 1)]);
}

#[test]
fn policy_limits_deliveries() {
    let Some(server) = server([policy("once", ".*", &[("delivery-limit", Value::I64(0))])]) else {
        return;
    };
    let mut client = Client::connect(server.address());
    queue(&mut client, "q", &[]);
    client.publish(1, "", "q", "x");
    let got = client.get(1, "q").expect("it is there");
    client.reject(1, got.tag, true);
    assert_eq!(client.drain(1, "q"), NONE);
}

#[test]
fn policy_limits_the_time_for_an_ack() {
    let timeout = [("consumer-timeout", Value::I64(1))];
    let Some(server) = server([policy("hurry", ".*", &timeout)]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "q", &[]);
    client.publish(1, "", "q", "x");
    client.get(1, "q").expect("it is there");
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout \
                value used: 1 ms.";
    client.expect_channel_error(1, 406, text);
}

#[test]
fn policy_makes_unused_queues_go() {
    let Some(server) = server([policy("brief", "^brief$", &[("expires", Value::I64(1))])]) else {
        return;
    };
    let mut client = Client::connect(server.address());
    client.open(2);
    queue(&mut client, "brief", &[]);
    let deadline = deadline();
    loop {
        // A publish is no use of a queue.
        client.publish_mandatory(2, "", "brief", "anybody there?");
        client.round_trip(2);
        client.send(1, basic::Get { queue: b"brief", no_ack: true });
        if matches!(client.next(1).method(), Method::ChannelClose(_)) {
            break;
        }
        assert!(now() < deadline, "the queue never goes");
    }
}

#[test]
fn policy_gives_an_exchange_its_alternate() {
    let definition = [("alternate-exchange", word("amq.fanout"))];
    let Some(server) = server([policy("catch", "^amq\\.direct$", &definition)]) else { return };
    let mut client = Client::connect(server.address());
    queue(&mut client, "caught", &[]);
    client.bind(1, "caught", "amq.fanout", "");
    client.publish(1, "amq.direct", "nobody bound this", "caught");
    client.publish(1, "amq.topic", "nobody bound this", "lost");
    assert_eq!(client.drain(1, "caught"), ["caught"]);
}
