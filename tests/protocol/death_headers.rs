//! What do the headers of dead letters say?

use crate::common::*;

#[test]
fn x_death_has_its_keys_in_order() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.confirmed(2, "", &queue, &PropertyList::default(), "refused");
    client.reject_next(1, &queue, "refused");
    let deaths = client.dead_letter(1, &dead).deaths();
    assert_eq!(deaths[0].keys, ["count", "reason", "queue", "time", "exchange", "routing-keys"]);
    assert_eq!(deaths[0].exchange, "");
    assert_eq!(deaths[0].routing_keys, [queue]);
}

#[test]
fn x_death_names_the_original_expiration() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring("1"), b"late");
    let deaths = client.dead_letter(1, &dead).deaths();
    assert_eq!(deaths[0].expiration.as_deref(), Some("1"));
}

#[test]
fn original_expiration_is_the_first_key_of_x_death() {
    let server = Server::start();
    if server.differs("3.10 has it last") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring("1"), b"late");
    let deaths = client.dead_letter(1, &dead).deaths();
    assert_eq!(
        deaths[0].keys,
        ["original-expiration", "count", "reason", "queue", "time", "exchange", "routing-keys",]
    );
}

#[test]
fn original_expiration_is_not_made_of_the_queues_ttl() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[("x-message-ttl", Value::I64(1))]);
    client.publish(1, "", &queue, "late");
    assert_eq!(client.dead_letter(1, &dead).deaths()[0].expiration, None);
}

#[test]
fn expiration_is_removed_and_the_other_properties_stay() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    let headers = fields(&[("mine", Value::I32(7))]);
    let properties = PropertyList {
        content_type: Some(b"text/plain"),
        headers: Some(headers.table()),
        delivery_mode: Some(2),
        priority: Some(3),
        correlation_id: Some(b"correlation"),
        expiration: Some(b"1"),
        message_id: Some(b"id"),
        timestamp: Some(12),
        app_id: Some(b"app"),
        ..Default::default()
    };
    client.publish_with(1, "", &queue, &properties, b"body");
    let message = client.dead_letter(1, &dead);
    assert_eq!(message.body(), "body");
    let found = message.list();
    assert_eq!(found.headers.unwrap().find(b"mine"), Some(Value::I32(7)));
    let expected = PropertyList { headers: None, expiration: None, ..properties };
    let found = PropertyList { headers: None, ..found };
    assert_eq!(found, expected);
}

#[test]
fn message_without_expiration_left_does_not_expire_again() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    let (witness, dead_witness) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring("50"), b"late");
    client.wait_for_messages(1, &dead, 1);
    client.publish_with(1, "", &witness, &expiring("100"), b"later");
    client.wait_for_messages(1, &dead_witness, 1);
    assert_eq!(client.drain(1, &dead), ["late"]);
}

#[test]
fn first_death_is_told_apart_and_stays() {
    let (_server, mut client) = Server::with_confirms();
    let last = client.queue(1);
    let exchange = client.exchange(1, "fanout");
    let (first, middle) = (
        client.queue_dying_to(1, &exchange, &[]),
        client.queue_dying_to(1, "", &[("x-dead-letter-routing-key", word(&last))]),
    );
    client.bind(1, &middle, &exchange, "");
    client.bind(1, &first, "amq.direct", &first);
    client.confirmed(2, "amq.direct", &first, &PropertyList::default(), "dies");
    client.reject_next(1, &first, "dies");
    client.wait_for_messages(1, &middle, 1);
    client.reject_next(1, &middle, "dies");
    let message = client.dead_letter(1, &last);
    for (part, expected) in
        [("reason", "rejected"), ("queue", first.as_str()), ("exchange", "amq.direct")]
    {
        let name = format!("x-first-death-{part}");
        assert_eq!(message.header(&name).as_deref(), Some(expected), "{name}");
    }
    client.delete_exchange(1, &exchange);
}

#[test]
fn last_death_is_told_apart_and_rewritten() {
    let server = Server::start();
    if server.differs("x-last-death-* came with 3.13") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (middle, last) = client.dying_queue(1, &[]);
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &middle, &exchange, "");
    let first = client.queue_dying_to(1, &exchange, &[]);
    client.publish_with(1, "", &first, &expiring("1"), b"dies");
    client.wait_for_messages(1, &middle, 1);
    let got = client.get(1, &middle).expect("it was just there");
    let told = |message: &Message| {
        ["reason", "queue", "exchange"]
            .map(|part| message.header(&format!("x-last-death-{part}")).unwrap())
    };
    assert_eq!(told(&got.message), ["expired", first.as_str(), ""]);
    client.reject(1, got.tag, false);
    let message = client.dead_letter(1, &last);
    assert_eq!(told(&message), ["rejected", middle.as_str(), &exchange]);
}

#[test]
fn x_death_has_the_newest_first_and_names_the_exchange_of_each() {
    let (_server, mut client) = Server::with_confirms();
    let (middle, last) = client.dying_queue(1, &[]);
    let exchange = client.exchange(1, "fanout");
    client.bind(1, &middle, &exchange, "");
    let first = client.queue_dying_to(1, &exchange, &[]);
    client.confirmed(2, "", &first, &PropertyList::default(), "dies");
    client.reject_next(1, &first, "dies");
    client.wait_for_messages(1, &middle, 1);
    client.reject_next(1, &middle, "dies");
    let deaths = client.dead_letter(1, &last).deaths();
    let told = |death: &Death| (death.queue.clone(), death.exchange.clone());
    let expected = [(middle, exchange.clone()), (first.clone(), String::new())];
    assert_eq!(deaths.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(deaths[0].routing_keys, [first]);
    client.delete_exchange(1, &exchange);
}

#[test]
fn repeated_death_raises_the_count_and_moves_to_the_head() {
    let (_server, mut client) = Server::with_confirms();
    let (one, two) = (unique("one"), unique("two"));
    for (name, other) in [(&one, &two), (&two, &one)] {
        let arguments = fields(&[
            ("x-dead-letter-exchange", word("")),
            ("x-dead-letter-routing-key", word(other)),
        ]);
        client.queue_named(1, name, arguments.table());
    }
    client.confirmed(2, "", &one, &PropertyList::default(), "to and fro");
    let rejected = |queue: &String, count| ("rejected".to_owned(), queue.clone(), count);
    let rounds = [
        (&one, &two, vec![rejected(&one, 1)]),
        (&two, &one, vec![rejected(&two, 1), rejected(&one, 1)]),
        (&one, &two, vec![rejected(&one, 2), rejected(&two, 1)]),
        (&two, &one, vec![rejected(&two, 2), rejected(&one, 2)]),
    ];
    for (from, to, expected) in rounds {
        client.reject_next(1, from, "to and fro");
        client.wait_for_messages(1, to, 1);
        let got = client.get(1, to).expect("it was just there");
        assert_eq!(got.message.deaths_in_short(), expected);
        client.reject(1, got.tag, true);
    }
}

#[test]
fn deaths_for_different_reasons_in_one_queue_are_two() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.bind(1, &queue, "amq.direct", &queue);
    client.publish_with(1, "", &queue, &expiring("1"), b"dies");
    client.wait_for_messages(1, &dead, 1);
    // A client that publishes a dead letter again passes its headers on.
    let message = client.dead_letter(1, &dead);
    client.confirmed(2, "", &queue, &message.list(), "dies");
    client.reject_next(1, &queue, "dies");
    let again = client.dead_letter(1, &dead);
    assert_eq!(
        again.deaths_in_short(),
        [("rejected".to_owned(), queue.clone(), 1), ("expired".to_owned(), queue, 1)]
    );
}

#[test]
fn x_death_keeps_the_time_of_the_first_death() {
    let (_server, mut client) = Server::with_confirms();
    // Rejected, a message comes back to its queue.
    let queue = unique("round");
    let arguments = fields(&[
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&queue)),
    ]);
    client.queue_named(1, &queue, arguments.table());
    client.confirmed(2, "", &queue, &PropertyList::default(), "dies");
    client.reject_next(1, &queue, "dies");
    client.wait_for_messages(1, &queue, 1);
    let got = client.get(1, &queue).expect("it was just there");
    let first = got.message.deaths()[0].time;
    // More than a second later, as the death of another message proves, it dies again.
    let (mortal, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &mortal, &expiring("1100"), b"witness");
    let witness = client.dead_letter(1, &dead);
    assert!(witness.deaths()[0].time > first);
    client.reject(1, got.tag, false);
    client.wait_for_messages(1, &queue, 1);
    let again = client.get(1, &queue).expect("it was just there");
    let deaths = again.message.deaths();
    assert_eq!((deaths[0].count, deaths[0].time), (2, first));
}

#[test]
fn routing_keys_of_x_death_have_cc_but_not_bcc() {
    let (_server, mut client) = Server::with_confirms();
    let exchange = client.exchange(1, "fanout");
    let dead = client.queue(1);
    client.bind(1, &dead, &exchange, "");
    let queue = client.queue_dying_to(1, &exchange, &[]);
    let (cc, bcc) = (words(&["copy", "more"]), words(&["blind"]));
    let headers = fields(&[("CC", Value::Array(cc.array())), ("BCC", Value::Array(bcc.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    let message = client.dead_letter(1, &dead);
    let death = &message.deaths()[0];
    assert_eq!(death.routing_keys, [&queue, "copy", "more"]);
    let headers = message.headers();
    assert_eq!(headers.table().find(b"BCC"), None);
    assert_eq!(headers.table().find(b"CC"), Some(Value::Array(cc.array())));
    client.delete_exchange(1, &exchange);
}

#[test]
fn x_death_that_a_client_made_up_does_no_harm() {
    let server = Server::start();
    if server.differs("its queue dies of it and is never seen again") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    let mut numbers = ArrayBuf::new();
    numbers.push(Value::I64(1));
    let mut empty = ArrayBuf::new();
    empty.push(Value::Table(Table::EMPTY));
    for made_up in [Value::Array(numbers.array()), Value::Array(empty.array())] {
        let headers = fields(&[("x-death", made_up)]);
        client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
        client.reject_next(1, &queue, "dies");
        client.wait_for_messages(1, &dead, 1);
        let message = client.get(1, &dead).expect("it was just there").message;
        let headers = message.headers();
        let Some(Value::Array(deaths)) = headers.table().find(b"x-death") else {
            panic!("{headers:?}");
        };
        let Some(Value::Table(newest)) = deaths.iter().next() else { panic!("{deaths:?}") };
        assert_eq!(newest.find(b"reason"), Some(word("rejected")));
        assert_eq!(newest.find(b"count"), Some(Value::I64(1)));
    }
}

/// A death that says all that it has to, but for one field.
fn death_without(missing: &str, queue: &str) -> TableBuf {
    let keys = words(&["k"]);
    let all = [
        ("count", Value::I64(3)),
        ("reason", word("rejected")),
        ("queue", word(queue)),
        ("time", Value::Timestamp(1)),
        ("exchange", word("x")),
        ("routing-keys", Value::Array(keys.array())),
    ];
    let said: Vec<_> = all.into_iter().filter(|(name, _)| *name != missing).collect();
    fields(&said)
}

#[test]
fn death_of_a_client_that_does_not_say_all_is_dropped() {
    let server = Server::start();
    if server.differs("3.10 takes what it finds") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    for missing in ["count", "reason", "queue", "time", "exchange", "routing-keys"] {
        let mut deaths = ArrayBuf::new();
        let made_up = death_without(missing, "elsewhere");
        deaths.push(Value::Table(made_up.table()));
        let headers = fields(&[("x-death", Value::Array(deaths.array()))]);
        client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
        client.reject_next(1, &queue, "dies");
        client.wait_for_messages(1, &dead, 1);
        let message = client.get(1, &dead).expect("it was just there").message;
        assert_eq!(message.deaths_in_short(), [("rejected".to_owned(), queue.clone(), 1)]);
        assert_eq!(message.header("x-first-death-queue"), Some(queue.clone()), "{missing}");
    }
}

#[test]
fn death_of_a_client_that_says_all_is_the_first_one() {
    let server = Server::start();
    if server.differs("3.10 has the first death told all the same") {
        return;
    }
    let mut client = Client::with_confirms(server.address());
    let (queue, dead) = client.dying_queue(1, &[]);
    let mut deaths = ArrayBuf::new();
    let made_up = death_without("nothing", "elsewhere");
    deaths.push(Value::Table(made_up.table()));
    let headers = fields(&[("x-death", Value::Array(deaths.array()))]);
    client.confirmed(2, "", &queue, &with_headers(&headers), "dies");
    client.reject_next(1, &queue, "dies");
    let message = client.dead_letter(1, &dead);
    let rejected = |queue: &str, count| ("rejected".to_owned(), queue.to_owned(), count);
    assert_eq!(message.deaths_in_short(), [rejected(&queue, 1), rejected("elsewhere", 3)]);
    assert_eq!(message.header("x-first-death-queue"), None);
    assert_eq!(message.header("x-last-death-queue"), Some(queue));
}

#[test]
fn original_expiration_is_the_string_that_was_published() {
    let (_server, mut client) = Server::with_confirms();
    let (queue, dead) = client.dying_queue(1, &[]);
    client.publish_with(1, "", &queue, &expiring("0001"), b"late");
    let deaths = client.dead_letter(1, &dead).deaths();
    assert_eq!(deaths[0].expiration.as_deref(), Some("0001"));
}
