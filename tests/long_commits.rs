//! Does a transaction that takes many turns to commit keep its promises while others work, end, or
//! the broker dies under it?

mod common;

use common::*;

/// So many messages that a commit takes many turns.
const MESSAGES: usize = 30_000;

/// A client with so many persistent messages in a transaction, spread over these queues. What it
/// acks on channel 1 is in it, too.
fn begun(mut client: Client, queues: &[&str]) -> Client {
    client.call::<TxSelectOk>(1, tx::Select {});
    let mut out = Vec::new();
    for n in 0..MESSAGES {
        let routing_key = queues[n % queues.len()].as_bytes();
        let publish = basic::Publish { routing_key, ..Default::default() };
        encode_publish(&mut out, 1, publish, &persistent(), n.to_string().as_bytes(), 131_072);
    }
    client.send_bytes(&out);
    client.round_trip(1);
    client
}

/// What stands in a queue, in its order.
fn all(client: &mut Client, queue: &str) -> Vec<String> {
    let count = client.inspect(1, queue).messages;
    client.consume(1, queue);
    client.expect_bodies(1, usize::try_from(count).expect("few"))
}

fn numbers(first: usize, every: usize) -> Vec<String> {
    (first..MESSAGES).step_by(every).map(|n| n.to_string()).collect()
}

/// Whoever publishes meanwhile waits; whoever does something else does not.
#[test]
fn its_messages_follow_one_another() {
    let server = Server::start();
    let mut other = Client::connect(server.address());
    let (queue, dead) = (other.durable_queue(1), other.durable_queue(1));
    let arguments = fields(&[
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word(&queue)),
    ]);
    let elsewhere = other.durable_queue_with(1, arguments.table());
    other.publish(1, "", &elsewhere, "dies");
    let dying = other.get(1, &elsewhere).expect("it is there").tag;
    other.confirm_select(1);
    let mut client = begun(Client::connect(server.address()), &[&queue, &dead]);
    client.send(1, tx::Commit {});
    other.send(1, basic::Reject { delivery_tag: dying, requeue: false });
    for n in 1..=50 {
        other.publish(1, "", &queue, &format!("other {n}"));
        other.expect_confirms(1, n, n);
    }
    client.expect::<TxCommitOk>(1);
    let found = all(&mut other, &queue);
    let first = found.iter().position(|body| body == "0").expect("it is there");
    let own = numbers(0, 2);
    assert_eq!(found[first..first + own.len()], own);
    let others: Vec<_> = found.into_iter().filter(|body| body.parse::<u32>().is_err()).collect();
    assert_eq!(others.len(), 51);
    let in_order: Vec<_> = (1..=50).map(|n| format!("other {n}")).collect();
    assert_eq!(others.iter().filter(|b| *b != "dies").cloned().collect::<Vec<_>>(), in_order);
    assert_eq!(all(&mut client, &dead), numbers(1, 2));
}

#[test]
fn its_client_may_leave() {
    let server = Server::start();
    let mut other = Client::with_confirms(server.address());
    let queue = other.durable_queue(1);
    other.confirmed(2, "", &queue, &persistent(), "acked");
    let mut client = Client::connect(server.address());
    let tag = client.get(1, &queue).expect("it is there").tag;
    let mut client = begun(client, &[&queue]);
    client.send(1, basic::Ack { delivery_tag: tag, multiple: false });
    client.send(1, tx::Commit {});
    // It was received, if this is.
    other.round_trip(1);
    client.vanish();
    // It waits until the commit is over.
    other.confirmed(2, "", &queue, &persistent(), "afterwards");
    let found = all(&mut other, &queue);
    if found.len() > 2 {
        let mut expected = numbers(0, 1);
        expected.push("afterwards".into());
        assert_eq!(found, expected);
    } else {
        assert_eq!(found, ["acked", "afterwards"], "nothing of it happened");
    }
}

#[test]
fn a_queue_may_go_meanwhile() {
    for end in [End::Term, End::Kill] {
        let Some((mut node, mut other)) = Node::start_with_confirms() else { return };
        let (goes, stays) = (other.durable_queue(1), other.durable_queue(1));
        let mut client = begun(node.connect(), &[&goes, &stays]);
        client.send(1, tx::Commit {});
        other.delete_queue(1, &goes);
        client.expect::<TxCommitOk>(1);
        assert_eq!(other.inspect(1, &stays).messages as usize, MESSAGES / 2);
        let mut other = node.restart_with_confirms(end, other);
        let named = queue::Declare { durable: true, ..named(&goes) };
        assert_eq!(other.call::<DeclareOk>(1, named).messages, 0);
        assert_eq!(all(&mut other, &stays), numbers(1, 2));
    }
}

/// Also the acks: all of it is there, or nothing.
#[test]
fn a_broker_that_dies_meanwhile_has_all_of_it_or_nothing() {
    let mut outcomes = [0, 0];
    for round in 0..6 {
        let Some((mut node, mut other)) = Node::start_with_confirms() else { return };
        let queue = other.durable_queue(1);
        other.confirmed(2, "", &queue, &persistent(), "acked");
        let mut client = node.connect();
        let tag = client.get(1, &queue).expect("it is there").tag;
        let mut client = begun(client, &[&queue]);
        client.send(1, basic::Ack { delivery_tag: tag, multiple: false });
        client.send(1, tx::Commit {});
        (0..round * 3).for_each(|_| other.round_trip(1));
        if round == 5 {
            client.expect::<TxCommitOk>(1);
        }
        // Once more, when the tail that is found is not the first one.
        let other = node.restart_with_confirms(End::Kill, other);
        let mut other = node.restart_with_confirms(End::Kill, other);
        let found = all(&mut other, &queue);
        outcomes[usize::from(found.len() > 1)] += 1;
        if round == 5 || found.len() > 1 {
            assert_eq!(found, numbers(0, 1));
        } else {
            assert_eq!(found, ["acked"], "nothing of it happened");
        }
    }
    assert!(outcomes[1] > 0, "the last one was answered");
}

/// A broker that is told to stop finishes what it began.
#[test]
fn a_broker_that_stops_meanwhile_has_all_of_it_or_nothing() {
    let Some((mut node, mut other)) = Node::start_with_confirms() else { return };
    let queue = other.durable_queue(1);
    let mut client = begun(node.connect(), &[&queue]);
    client.send(1, tx::Commit {});
    let mut other = node.restart_with_confirms(End::Term, other);
    let found = all(&mut other, &queue);
    assert!(found.is_empty() || found == numbers(0, 1), "{} of it", found.len());
}

/// Also when the client has to take some of them before the others can be sent.
#[test]
fn what_no_queue_gets_is_returned_first() {
    let server = Server::start();
    let mut client = Client::connect(server.address());
    client.call::<TxSelectOk>(1, tx::Select {});
    let publish = basic::Publish { routing_key: b"nowhere", mandatory: true, ..Default::default() };
    let (mut out, body) = (Vec::new(), [b'b'; 1000]);
    for _ in 0..MESSAGES {
        encode_publish(&mut out, 1, publish, &persistent(), &body, 131_072);
    }
    client.send_bytes(&out);
    client.send(1, tx::Commit {});
    for _ in 0..MESSAGES {
        assert_eq!(client.expect::<Return>(1).message.body().len(), 1000);
    }
    client.expect::<TxCommitOk>(1);
}
