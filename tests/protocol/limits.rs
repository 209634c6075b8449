//! How many connections, channels and bytes may there be, and what is one more told?

use crate::common::*;
use leveret::daemon::Config;

fn configured(change: impl FnOnce(&mut Config)) -> Server {
    let mut settings = Config::default();
    change(&mut settings);
    Server::start_with(settings)
}

#[test]
fn connections_above_the_nodes_limit_are_530() {
    let server = configured(|settings| settings.connection_max = Some(2));
    if server.differs("it has no such setting here") {
        return;
    }
    let mut one = Client::connect(server.address());
    let two = Client::connect(server.address());
    let text = "NOT_ALLOWED - connection refused: node connection limit (2) is reached";
    Client::refused_at_open(server.address(), &Options::default(), text);
    two.close();
    // Its place is free, and the others have noticed nothing.
    let three = Client::connect(server.address());
    Client::refused_at_open(server.address(), &Options::default(), text);
    three.close();
    one.round_trip(1);
}

#[test]
fn sockets_far_above_the_nodes_limit_are_closed_without_a_word() {
    let server = configured(|settings| settings.connection_max = Some(2));
    if server.differs("it has no such setting here") {
        return;
    }
    let mut client = Client::connect(server.address());
    let mut others: Vec<_> = (0..100).map(|_| Client::raw(server.address())).collect();
    let mut last = others.pop().expect("there are some");
    last.expect_closed();
    client.round_trip(1);
    others.truncate(10);
    // Those that are accepted can go on.
    let options = Options::default();
    others[0].log_in(&options);
    others[0].tune(&options);
    others[0].send(0, connection::Open { virtual_host: b"/" });
    others[0].expect::<ConnectionOpenOk>(0);
}

#[test]
fn connections_above_a_users_limit_are_530() {
    let server = Server::start_prepared(|broker| {
        let mut ann = user("ann", "", "", "");
        ann.connections_max = Some(1);
        broker.put_user(ann);
        let mut bob = user("bob", "", "", "");
        bob.connections_max = Some(0);
        broker.put_user(bob);
    });
    let Some(server) = server else { return };
    let one = Client::connect_as(server.address(), "ann");
    let text = "NOT_ALLOWED - connection refused for user 'ann': user connection limit (1) is \
                reached";
    Client::refused_at_open(server.address(), &Options::of("ann", "/"), text);
    let text = "NOT_ALLOWED - connection refused for user 'bob': user connection limit (0) is \
                reached";
    Client::refused_at_open(server.address(), &Options::of("bob", "/"), text);
    // Others are not concerned, and a closed connection counts no more.
    Client::connect(server.address()).round_trip(1);
    one.close();
    let mut again = Client::connect_as(server.address(), "ann");
    again.send(1, basic::Qos { prefetch_size: 1, ..Default::default() });
    again.expect_connection_error(540, "NOT_IMPLEMENTED");
    Client::connect_as(server.address(), "ann").round_trip(1);
}

#[test]
fn channels_above_a_users_limit_are_530_over_all_its_connections() {
    let server = Server::start_prepared(|broker| {
        let mut ann = user("ann", "", "", "");
        ann.channels_max = Some(3);
        broker.put_user(ann);
    });
    let Some(server) = server else { return };
    let mut one = Client::connect_as(server.address(), "ann");
    let mut two = Client::connect_as(server.address(), "ann");
    two.open(2);
    two.close_channel(2);
    one.open(2);
    two.send(2, channel::Open {});
    let close = two.expect_connection_error(
        530,
        "NOT_ALLOWED - number of channels opened for user 'ann' has reached the maximum allowed \
         user limit of (3)",
    );
    assert_eq!(close.offender, (20, 10));
    // Its connection's channels are gone with it.
    one.open(3);
    let mut guest = Client::connect(server.address());
    for number in 2..=10 {
        guest.open(number);
    }
}

#[test]
fn tune_offers_what_is_configured() {
    let server = configured(|settings| {
        settings.channel_max = 10;
        settings.frame_max = 8192;
        settings.heartbeat_s = 7;
    });
    if server.differs("it has other settings") {
        return;
    }
    let mut client = Client::raw(server.address());
    client.log_in(&Options::default());
    let tune = client.tune(&Options { channel_max: Some(11), ..Default::default() });
    assert_eq!(tune, Tune { channel_max: 10, frame_max: 8192, heartbeat: 7 });
    client.expect_connection_error(530, "negotiated channel_max = 11 is higher than the maximum");
    let mut client = Client::raw(server.address());
    client.log_in(&Options::default());
    client.tune(&Options { frame_max: Some(8193), ..Default::default() });
    client.expect_connection_error(530, "negotiated frame_max = 8193 is higher than the maximum");
}

#[test]
fn bodies_above_the_configured_size_are_406_and_others_pass() {
    let server = configured(|settings| settings.max_message_size = 1000);
    if server.differs("it has another limit") {
        return;
    }
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    client.open(2);
    client.publish(2, "", &queue, &"x".repeat(1000));
    for too_long in [1001, 200_000] {
        client.publish(2, "", &queue, &"x".repeat(too_long));
        let close = client.expect_channel_error(
            2,
            406,
            &format!("message size {too_long} is larger than configured max size 1000"),
        );
        assert_eq!(close.offender, (60, 40));
        client.open(2);
    }
    assert_eq!(client.drain(1, &queue), ["x".repeat(1000)]);
}
