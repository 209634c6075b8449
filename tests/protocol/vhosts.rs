//! Who gets into which vhost, and does anything leave it?

use crate::common::*;
use leveret::amqp::Name;
use leveret::broker::Users;
use leveret::broker::users::user::Permissions;

/// guest and Ann may enter `one` and `two`; Ann may do nothing in `two`.
fn server() -> Option<Server> {
    Server::start_prepared(|broker| {
        let mut guest = Users::first_user("guest", "guest", "/").expect("it can be hashed");
        let mut ann = user("ann", ".*", ".*", ".*");
        ann.clear_permissions(b"/");
        for vhost in ["one", "two"].map(Name::from) {
            broker.create_vhost(&vhost);
            guest.set_permissions(vhost.clone(), Permissions::new(".*", ".*", ".*"));
        }
        ann.set_permissions(Name::from("one"), Permissions::new(".*", ".*", ".*"));
        ann.set_permissions(Name::from("two"), Permissions::new("", "", ""));
        broker.put_user(guest);
        broker.put_user(ann);
    })
}

fn enter(server: &Server, vhost: &str) -> Client {
    let options = Options { vhost: vhost.into(), ..Default::default() };
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    client
}

#[test]
fn vhost_without_any_permission_for_the_user_is_530() {
    let Some(server) = server() else { return };
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'ann'";
    Client::refused_at_open(server.address(), &Options::of("ann", "/"), text);
}

#[test]
fn missing_vhost_is_530_whoever_asks() {
    let Some(server) = server() else { return };
    Client::refused_at_open(
        server.address(),
        &Options::of("ann", "three"),
        "NOT_ALLOWED - vhost three not found",
    );
    let nameless = Options { vhost: String::new(), ..Default::default() };
    Client::refused_at_open(server.address(), &nameless, "NOT_ALLOWED - vhost  not found");
}

#[test]
fn empty_permissions_let_a_user_in_and_nothing_else() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_with(server.address(), &Options::of("ann", "two"));
    ann.open(1);
    ann.send(1, queue::Declare { queue: b"q", ..Default::default() });
    ann.expect_channel_error(
        1,
        403,
        "ACCESS_REFUSED - configure access to queue 'q' in vhost 'two' refused for user 'ann'",
    );
    ann.open(1);
    ann.round_trip(1);
}

#[test]
fn queues_of_one_name_in_two_vhosts_are_two() {
    let Some(server) = server() else { return };
    let (mut one, mut two) = (enter(&server, "one"), enter(&server, "two"));
    let declare = queue::Declare { queue: b"q", ..Default::default() };
    one.call::<DeclareOk>(1, declare);
    two.refused(
        1,
        queue::Declare { passive: true, ..declare },
        404,
        "NOT_FOUND - no queue 'q' in vhost 'two'",
    );
    // Another make under the same name is no contradiction.
    two.call::<DeclareOk>(1, queue::Declare { auto_delete: true, ..declare });
    one.publish(1, "", "q", "for one");
    two.publish(1, "", "q", "for two");
    one.round_trip(1);
    assert_eq!(two.drain(1, "q"), ["for two"]);
    assert_eq!(one.drain(1, "q"), ["for one"]);
    assert_eq!(two.delete_queue(1, "q"), 0);
    assert_eq!(one.inspect(1, "q").messages, 0);
}

#[test]
fn exchanges_and_bindings_of_one_name_in_two_vhosts_are_two() {
    let Some(server) = server() else { return };
    let (mut one, mut two) = (enter(&server, "one"), enter(&server, "two"));
    for client in [&mut one, &mut two] {
        client.call::<DeclareOk>(1, queue::Declare { queue: b"q", ..Default::default() });
        client.bind(1, "q", "amq.fanout", "");
    }
    let declare = exchange::Declare { exchange: b"x", kind: b"fanout", ..Default::default() };
    one.call::<ExchangeDeclareOk>(1, declare);
    one.bind(1, "q", "x", "");
    two.publish(1, "x", "", "lost");
    two.expect_channel_error(1, 404, "NOT_FOUND - no exchange 'x' in vhost 'two'");
    two.open(1);
    two.call::<ExchangeDeclareOk>(1, exchange::Declare { kind: b"direct", ..declare });
    two.publish(1, "x", "", "not bound there");
    two.publish(1, "amq.fanout", "", "to two");
    one.publish(1, "amq.fanout", "", "to one");
    one.publish(1, "x", "", "bound here");
    two.round_trip(1);
    assert_eq!(one.drain(1, "q"), ["to one", "bound here"]);
    assert_eq!(two.drain(1, "q"), ["to two"]);
}

#[test]
fn dead_letters_and_alternates_stay_in_their_vhost() {
    let Some(server) = server() else { return };
    let (mut one, mut two) = (enter(&server, "one"), enter(&server, "two"));
    for client in [&mut one, &mut two] {
        client.call::<DeclareOk>(1, queue::Declare { queue: b"rest", ..Default::default() });
    }
    // Only in the other vhost is there an exchange of this name.
    let lost = exchange::Declare { exchange: b"lost", kind: b"fanout", ..Default::default() };
    two.call::<ExchangeDeclareOk>(1, lost);
    two.bind(1, "rest", "lost", "");
    let arguments = fields(&[("alternate-exchange", word("lost"))]);
    let source = exchange::Declare { exchange: b"x", arguments: arguments.table(), ..lost };
    one.call::<ExchangeDeclareOk>(1, source);
    one.publish_mandatory(1, "x", "", "unroutable");
    assert_eq!(one.expect::<Return>(1).code, 312);
    let arguments =
        fields(&[("x-dead-letter-exchange", word("lost")), ("x-message-ttl", Value::I32(0))]);
    let dying = one.queue_with(1, arguments.table());
    one.publish(1, "", &dying, "dies");
    one.round_trip(1);
    assert_eq!(two.inspect(1, "rest").messages, 0);
    assert_eq!(one.inspect(1, "rest").messages, 0);
}

#[test]
fn exclusive_queues_of_one_name_belong_to_two_connections() {
    let Some(server) = server() else { return };
    let (mut one, mut two) = (enter(&server, "one"), enter(&server, "two"));
    let declare = queue::Declare { queue: b"mine", exclusive: true, ..Default::default() };
    one.call::<DeclareOk>(1, declare);
    two.call::<DeclareOk>(1, declare);
    one.close();
    assert_eq!(two.inspect(1, "mine").queue, "mine");
}
