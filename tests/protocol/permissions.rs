//! Who may do what with which queue and exchange?
//!
//! Ann may configure what is called conf..., write to what is called write... and read from what
//! is called read...; what is called all... she may use in every way. guest may do everything.

use crate::common::*;

const NONE: [&str; 0] = [];

fn server() -> Option<Server> {
    Server::start_prepared(|broker| {
        broker.put_user(user("ann", "^(conf|all)", "^(write|all)", "^(read|all)"));
    })
}

/// The same, with guest and Ann on it.
fn start() -> Option<(Server, Client, Client)> {
    let server = server()?;
    let guest = Client::connect(server.address());
    let ann = Client::connect_as(server.address(), "ann");
    Some((server, guest, ann))
}

fn declare_exchange(name: &str) -> exchange::Declare<'_> {
    exchange::Declare { exchange: name.as_bytes(), kind: b"fanout", ..Default::default() }
}

/// guest makes these queues and fanout exchanges.
fn make(guest: &mut Client, queues: &[&str], exchanges: &[&str]) {
    for name in queues {
        guest.call::<DeclareOk>(1, named(name));
    }
    for name in exchanges {
        guest.call::<ExchangeDeclareOk>(1, declare_exchange(name));
    }
}

/// Sends what ann may not do; her channel is open again afterwards.
fn refuse<'a>(ann: &mut Client, method: impl Into<Method<'a>>, access: &str, what: &str) {
    ann.send(1, method);
    expect_refusal(ann, access, what);
}

fn expect_refusal(ann: &mut Client, access: &str, what: &str) {
    let text =
        format!("ACCESS_REFUSED - {access} access to {what} in vhost '/' refused for user 'ann'");
    assert_eq!(ann.expect_channel_error(1, 403, &text).text, text);
    ann.open(1);
}

fn alternate(exchange: &str) -> TableBuf {
    fields(&[("alternate-exchange", word(exchange))])
}

fn dead_letters_to(exchange: &str) -> TableBuf {
    fields(&[("x-dead-letter-exchange", word(exchange))])
}

fn queue_is_there(guest: &mut Client, name: &str) -> bool {
    guest.send(1, passive(name));
    let there = matches!(guest.next(1).method(), Method::QueueDeclareOk(_));
    if !there {
        guest.send(1, channel::CloseOk {});
        guest.open(1);
    }
    there
}

#[test]
fn declaring_a_queue_needs_configure() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    ann.call::<DeclareOk>(1, named("conf"));
    for name in ["read", "write", "other"] {
        refuse(&mut ann, named(name), "configure", &format!("queue '{name}'"));
        assert!(!queue_is_there(&mut guest, name));
    }
    // Also where it is there already, and before anything else is looked at.
    make(&mut guest, &["read"], &[]);
    refuse(&mut ann, named("read"), "configure", "queue 'read'");
    let different = queue::Declare { auto_delete: true, ..named("read") };
    refuse(&mut ann, different, "configure", "queue 'read'");
}

#[test]
fn deleting_a_queue_needs_configure() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["conf", "read"], &[]);
    let delete =
        |name: &'static str| queue::Delete { queue: name.as_bytes(), ..Default::default() };
    ann.call::<DeleteOk>(1, delete("conf"));
    refuse(&mut ann, delete("read"), "configure", "queue 'read'");
    assert!(queue_is_there(&mut guest, "read"));
    // Whether there is one is nobody's business either.
    refuse(&mut ann, delete("write"), "configure", "queue 'write'");
}

#[test]
fn a_name_made_up_by_the_broker_needs_configure_as_well() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    ann.send(1, queue::Declare { exclusive: true, ..Default::default() });
    let close = ann.expect_channel_error(1, 403, "configure access to queue 'amq.gen-");
    assert_eq!(close.offender, (50, 10));
}

#[test]
fn declaring_an_exchange_needs_configure() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    ann.call::<ExchangeDeclareOk>(1, declare_exchange("conf"));
    for name in ["read", "write", "other"] {
        refuse(&mut ann, declare_exchange(name), "configure", &format!("exchange '{name}'"));
        guest.refused(
            1,
            exchange::Declare { passive: true, ..declare_exchange(name) },
            404,
            "NOT_FOUND - no exchange",
        );
    }
    make(&mut guest, &[], &["read"]);
    refuse(&mut ann, declare_exchange("read"), "configure", "exchange 'read'");
}

#[test]
fn deleting_an_exchange_needs_configure() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &[], &["conf", "read"]);
    let delete =
        |name: &'static str| exchange::Delete { exchange: name.as_bytes(), ..Default::default() };
    ann.call::<ExchangeDeleteOk>(1, delete("conf"));
    refuse(&mut ann, delete("read"), "configure", "exchange 'read'");
    refuse(&mut ann, delete("write"), "configure", "exchange 'write'");
    make(&mut guest, &[], &["read"]);
}

#[test]
fn passive_declares_need_no_permission() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["other"], &["other"]);
    ann.inspect(1, "other");
    let passive = exchange::Declare { passive: true, ..declare_exchange("other") };
    ann.call::<ExchangeDeclareOk>(1, passive);
}

#[test]
fn reserved_names_are_looked_at_before_permissions() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    ann.send(1, named("amq.hers"));
    ann.expect_channel_error(1, 403, "queue name 'amq.hers' contains reserved prefix 'amq.*'");
}

#[test]
fn publishing_needs_write_on_the_exchange() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["other"], &["conf", "read", "write"]);
    for exchange in ["conf", "read", "write"] {
        guest.bind(1, "other", exchange, "");
    }
    ann.publish(1, "write", "", "hers");
    ann.round_trip(1);
    for name in ["conf", "read", "missing"] {
        ann.publish(1, name, "", "refused");
        expect_refusal(&mut ann, "write", &format!("exchange '{name}'"));
    }
    assert_eq!(guest.drain(1, "other"), ["hers"]);
}

#[test]
fn a_publish_refused_once_is_refused_again() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["other"], &["read", "write"]);
    guest.bind(1, "other", "read", "");
    guest.bind(1, "other", "write", "");
    // What a channel remembers of its last route never stands for the permission.
    for _ in 0..2 {
        ann.publish(1, "write", "", "hers");
        ann.publish(1, "write", "", "hers");
        ann.publish(1, "read", "", "refused");
        expect_refusal(&mut ann, "write", "exchange 'read'");
    }
    assert_eq!(guest.drain(1, "other"), ["hers"; 4]);
}

#[test]
fn a_publish_in_a_transaction_needs_write() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["other"], &["read", "write"]);
    guest.bind(1, "other", "write", "");
    ann.call::<TxSelectOk>(1, tx::Select {});
    ann.publish(1, "write", "", "goes with the transaction");
    ann.publish(1, "read", "", "refused");
    expect_refusal(&mut ann, "write", "exchange 'read'");
    assert_eq!(guest.drain(1, "other"), NONE);
}

#[test]
fn default_exchange_is_called_amq_default_by_permissions() {
    let server = Server::start_prepared(|broker| {
        broker.put_user(user("ann", "", "", ""));
        broker.put_user(user("bob", "", "^amq\\.default$", ""));
    });
    let Some(server) = server else { return };
    let mut guest = Client::connect(server.address());
    make(&mut guest, &["other"], &[]);
    let mut ann = Client::connect_as(server.address(), "ann");
    // The empty pattern matches the empty name, which is not the name that is asked for.
    ann.publish(1, "", "other", "refused");
    expect_refusal(&mut ann, "write", "exchange 'amq.default'");
    let mut bob = Client::connect_as(server.address(), "bob");
    bob.publish(1, "", "other", "from bob");
    bob.round_trip(1);
    assert_eq!(guest.drain(1, "other"), ["from bob"]);
}

#[test]
fn consuming_getting_and_purging_need_read_on_the_queue() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["conf", "read", "write"], &[]);
    for name in ["conf", "read", "write"] {
        guest.store(2, name, &["one"]);
    }
    for name in ["conf", "write", "missing"] {
        let (queue, what) = (name.as_bytes(), format!("queue '{name}'"));
        let consume = basic::Consume { queue, ..Default::default() };
        refuse(&mut ann, consume, "read", &what);
        refuse(&mut ann, basic::Get { queue, no_ack: true }, "read", &what);
        refuse(&mut ann, queue::Purge { queue, nowait: false }, "read", &what);
    }
    assert_eq!(guest.drain(1, "conf"), ["one"]);
    assert_eq!(guest.drain(1, "write"), ["one"]);
    assert_eq!(guest.inspect(1, "write").consumers, 0);
    assert!(ann.get(1, "read").is_some());
    ann.consume(1, "read");
    ann.call::<PurgeOk>(1, queue::Purge { queue: b"read", nowait: false });
}

#[test]
fn binding_a_queue_needs_write_on_the_queue_and_read_on_the_exchange() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["conf", "read", "write"], &["conf", "read", "write"]);
    let ends = |queue: &'static str, exchange: &'static str| queue::Bind {
        queue: queue.as_bytes(),
        exchange: exchange.as_bytes(),
        ..Default::default()
    };
    refuse(&mut ann, ends("conf", "read"), "write", "queue 'conf'");
    refuse(&mut ann, ends("read", "read"), "write", "queue 'read'");
    refuse(&mut ann, ends("write", "conf"), "read", "exchange 'conf'");
    refuse(&mut ann, ends("write", "write"), "read", "exchange 'write'");
    ann.call::<BindOk>(1, ends("write", "read"));
    for exchange in ["conf", "read", "write"] {
        guest.publish(1, exchange, "", exchange);
    }
    assert_eq!(guest.drain(1, "write"), ["read"]);
    assert_eq!(guest.drain(1, "conf"), NONE);
}

#[test]
fn unbinding_a_queue_needs_the_same_as_binding_it() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["conf", "write"], &["read", "write"]);
    let ends = |queue: &'static str, exchange: &'static str| queue::Unbind {
        queue: queue.as_bytes(),
        exchange: exchange.as_bytes(),
        ..Default::default()
    };
    for (queue, exchange) in [("conf", "read"), ("write", "write"), ("write", "read")] {
        guest.bind(1, queue, exchange, "");
    }
    refuse(&mut ann, ends("conf", "read"), "write", "queue 'conf'");
    refuse(&mut ann, ends("write", "write"), "read", "exchange 'write'");
    ann.call::<UnbindOk>(1, ends("write", "read"));
    guest.publish(1, "read", "", "still bound to one");
    guest.publish(1, "write", "", "still bound");
    assert_eq!(guest.drain(1, "conf"), ["still bound to one"]);
    assert_eq!(guest.drain(1, "write"), ["still bound"]);
}

#[test]
fn binding_exchanges_needs_write_on_the_destination_and_read_on_the_source() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    make(&mut guest, &["other"], &["conf", "read", "write"]);
    let bind = |destination: &'static str, source: &'static str| exchange::Bind {
        destination: destination.as_bytes(),
        source: source.as_bytes(),
        ..Default::default()
    };
    let unbind = |destination: &'static str, source: &'static str| exchange::Unbind {
        destination: destination.as_bytes(),
        source: source.as_bytes(),
        ..Default::default()
    };
    refuse(&mut ann, bind("conf", "read"), "write", "exchange 'conf'");
    refuse(&mut ann, bind("read", "read"), "write", "exchange 'read'");
    refuse(&mut ann, bind("write", "conf"), "read", "exchange 'conf'");
    refuse(&mut ann, bind("write", "write"), "read", "exchange 'write'");
    refuse(&mut ann, unbind("read", "read"), "write", "exchange 'read'");
    refuse(&mut ann, unbind("write", "conf"), "read", "exchange 'conf'");
    guest.bind(1, "other", "write", "");
    ann.call::<ExchangeBindOk>(1, bind("write", "read"));
    guest.publish(1, "read", "", "bound");
    guest.publish(1, "conf", "", "not bound");
    assert_eq!(guest.drain(1, "other"), ["bound"]);
    ann.call::<ExchangeUnbindOk>(1, unbind("write", "read"));
    guest.publish(1, "read", "", "not any more");
    assert_eq!(guest.drain(1, "other"), NONE);
}

#[test]
fn alternate_exchange_needs_read_on_the_exchange_and_write_on_the_alternate() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    let (to_write, to_read) = (alternate("write"), alternate("read"));
    let with = |name, arguments| exchange::Declare { arguments, ..declare_exchange(name) };
    refuse(&mut ann, with("conf", to_write.table()), "read", "exchange 'conf'");
    refuse(&mut ann, with("all", to_read.table()), "write", "exchange 'read'");
    for name in ["conf", "all"] {
        guest.refused(
            1,
            exchange::Declare { passive: true, ..declare_exchange(name) },
            404,
            "NOT_FOUND - no exchange",
        );
    }
    ann.call::<ExchangeDeclareOk>(1, with("all", to_write.table()));
}

#[test]
fn dead_letter_exchange_needs_read_on_the_queue_and_write_on_the_exchange() {
    let Some((_server, mut guest, mut ann)) = start() else { return };
    let [to_write, to_read, to_default] = ["write", "read", ""].map(dead_letters_to);
    let with = |name, arguments| queue::Declare { arguments, ..named(name) };
    refuse(&mut ann, with("conf", to_write.table()), "read", "queue 'conf'");
    refuse(&mut ann, with("all", to_read.table()), "write", "exchange 'read'");
    // The default exchange goes by its other name here, too.
    refuse(&mut ann, with("all", to_default.table()), "write", "exchange 'amq.default'");
    assert!(!queue_is_there(&mut guest, "conf"));
    assert!(!queue_is_there(&mut guest, "all"));
    ann.call::<DeclareOk>(1, with("all", to_write.table()));
}

#[test]
fn error_names_the_method_that_was_refused() {
    let Some(server) = server() else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    let methods: [(Method<'_>, (u16, u16)); 5] = [
        (named("other").into(), (50, 10)),
        (declare_exchange("other").into(), (40, 10)),
        (basic::Consume { queue: b"other", ..Default::default() }.into(), (60, 20)),
        (basic::Get { queue: b"other", no_ack: true }.into(), (60, 70)),
        (queue::Purge { queue: b"other", nowait: false }.into(), (50, 30)),
    ];
    for (method, offender) in methods {
        ann.send(1, method);
        assert_eq!(ann.expect_channel_error(1, 403, "ACCESS_REFUSED - ").offender, offender);
        ann.open(1);
    }
    ann.publish(1, "other", "", "refused");
    assert_eq!(ann.expect_channel_error(1, 403, "ACCESS_REFUSED - ").offender, (60, 40));
}

#[test]
fn user_id_of_somebody_else_is_for_impersonators() {
    let server = Server::start_prepared(|broker| {
        let mut ann = user("ann", ".*", ".*", ".*");
        ann.tags = vec!["impersonator".into()];
        broker.put_user(ann);
        let mut bob = user("bob", ".*", ".*", ".*");
        // Not even an administrator may.
        bob.tags = vec!["administrator".into()];
        broker.put_user(bob);
    });
    let Some(server) = server else { return };
    let mut ann = Client::connect_as(server.address(), "ann");
    let queue = ann.queue(1);
    let from = |name| PropertyList { user_id: Some(name), ..Default::default() };
    ann.publish_with(1, "", &queue, &from(b"carol"), b"by ann for carol");
    let got = ann.get(1, &queue).expect("the message is there").message;
    assert_eq!(got.list().user_id, Some(b"carol".as_slice()));
    let mut bob = Client::connect_as(server.address(), "bob");
    bob.publish_with(1, "", &queue, &from(b"bob"), b"his own");
    bob.publish_with(1, "", &queue, &from(b"ann"), b"refused");
    bob.expect_channel_error(
        1,
        406,
        "PRECONDITION_FAILED - user_id property set to 'ann' but authenticated user was 'bob'",
    );
    assert_eq!(ann.drain(1, &queue), ["his own"]);
}
