//! Does the event exchange tell what happens, in RabbitMQ's words, and does that hold nobody back?

use serde_json::json;

use leveret::amqp::TableBuf;
use leveret::daemon::Config;

use super::common::*;
use super::http::{GUEST, Http, request};
use super::permissions::{all, connect, delete, put};

/// One event: its name and its headers.
#[derive(Debug)]
struct Told {
    key: String,
    headers: TableBuf,
}

impl Told {
    fn text(&self, name: &str) -> String {
        let found = self.headers.table().find(name.as_bytes());
        text(found.and_then(|value| value.text()).unwrap_or_else(|| panic!("no {name}: {self:?}")))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.headers.table().find(name.as_bytes()).and_then(|value| value.integer())
    }

    fn flag(&self, name: &str) -> bool {
        self.headers.table().find(name.as_bytes()) == Some(Value::Bool(true))
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.headers.table().find(name.as_bytes()) {
            Some(Value::Array(array)) => {
                array.iter().map(|value| text(value.text().expect("a text"))).collect()
            }
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Names of fields with their texts, which have to be there.
    fn says(&self, key: &str, fields: &[(&str, &str)]) {
        assert_eq!(self.key, key, "{self:?}");
        for (name, expected) in fields {
            assert_eq!(self.text(name), *expected, "{name} of {key}");
        }
    }
}

/// A broker that tells events, its API, and somebody with a queue of those of `key`.
struct Case {
    server: Server,
    http: Http,
    watcher: Client,
    queue: String,
}

impl Case {
    fn new(keys: &[&str]) -> Option<Case> {
        let settings = Config { event_exchange: true, ..Config::default() };
        let server = Server::start_with(settings);
        let http = Http::connect(server.management_address()?);
        let mut watcher = Client::connect(server.address());
        let queue = watcher.shared_queue(1);
        keys.iter().for_each(|key| watcher.bind(1, &queue, "amq.rabbitmq.event", key));
        watcher.round_trip(1);
        let mut case = Case { server, http, watcher, queue };
        case.watcher.purge(1, &case.queue.clone());
        Some(case)
    }

    fn next(&mut self) -> Told {
        let deadline = deadline();
        loop {
            if let Some(got) = self.watcher.get(1, &self.queue) {
                self.watcher.ack(1, got.tag);
                let list = got.message.list();
                assert_eq!(got.message.exchange, "amq.rabbitmq.event");
                assert_eq!((got.message.body(), list.delivery_mode), (String::new(), Some(2)));
                let headers = TableBuf::from(list.headers.expect("an event has headers"));
                let told = Told { key: got.message.key.clone(), headers };
                let ms = told.number("timestamp_in_ms").expect("it has a time");
                assert_eq!(list.timestamp.map(i64::try_from), Some(Ok(ms / 1000)));
                return told;
            }
            assert!(now() < deadline, "nothing was told");
        }
    }

    /// The names of events so far.
    fn keys(&mut self) -> Vec<String> {
        self.watcher.round_trip(1);
        let mut keys = Vec::new();
        while self.watcher.inspect(1, &self.queue).messages > 0 {
            keys.push(self.next().key);
        }
        keys
    }
}

#[test]
fn queues_exchanges_and_bindings_come_and_go() {
    let Some(mut case) = Case::new(&["queue.*", "exchange.*", "binding.*"]) else { return };
    let mut client = Client::connect(case.server.address());
    let arguments = fields(&[("x-max-length", Value::I32(5)), ("x-note", word("a\"b"))]);
    let durable = queue::Declare {
        queue: b"q",
        durable: true,
        arguments: arguments.table(),
        ..Default::default()
    };
    client.call::<DeclareOk>(1, durable);
    let told = case.next();
    told.says("queue.created", &[("name", "q"), ("vhost", "/"), ("owner_pid", "")]);
    told.says("queue.created", &[("user_who_performed_action", "guest")]);
    assert!(told.flag("durable") && !told.flag("auto_delete") && !told.flag("exclusive"));
    let expected = [r#"{<<"x-max-length">>,signedint,5}"#, r#"{<<"x-note">>,longstr,<<"a\"b">>}"#];
    assert_eq!(told.list("arguments"), expected);
    // What is there is not made again.
    client.call::<DeclareOk>(1, durable);
    client.exchange_with(1, "topic", TableBuf::new().table());
    let told = case.next();
    told.says("exchange.created", &[("type", "topic"), ("vhost", "/"), ("policy", "")]);
    let exchange = told.text("name");
    client.bind(1, "q", &exchange, "a.#");
    client.bind(1, "q", &exchange, "a.#");
    let fields = [
        ("source_name", &*exchange),
        ("source_kind", "exchange"),
        ("destination_name", "q"),
        ("destination_kind", "queue"),
        ("routing_key", "a.#"),
        ("user_who_performed_action", "guest"),
    ];
    case.next().says("binding.created", &fields);
    client.bind_exchange(1, "amq.fanout", &exchange, "b");
    case.next().says("binding.created", &[("destination_kind", "exchange")]);
    client.delete_queue(1, "q");
    case.next().says("binding.deleted", &fields);
    case.next().says("queue.deleted", &[("name", "q"), ("vhost", "/")]);
    client.delete_exchange(1, &exchange);
    case.next().says("binding.deleted", &[("destination_name", "amq.fanout")]);
    case.next().says("exchange.deleted", &[("name", &exchange), ("vhost", "/")]);
    // An exclusive queue goes with its connection; nobody asked for that.
    let own = client.queue(1);
    let told = case.next();
    told.says("queue.created", &[("name", &own)]);
    assert!(told.flag("exclusive") && told.text("owner_pid").starts_with("<leveret@"));
    client.close();
    let nobody = [("name", &*own), ("user_who_performed_action", "rmq-internal")];
    case.next().says("queue.deleted", &nobody);
}

#[test]
fn connections_channels_consumers_and_logins_are_told() {
    let Some(mut case) =
        Case::new(&["connection.#", "channel.#", "consumer.#", "user.authentication.#"])
    else {
        return;
    };
    let address = case.server.address();
    let mut client = Client::connect(address);
    let told = case.next();
    told.says(
        "user.authentication.success",
        &[("name", "guest"), ("protocol", "{0,9,1}"), ("peer_host", "{127,0,0,1}")],
    );
    let connection = case.next();
    connection.says("connection.created", &[("user", "guest"), ("vhost", "/")]);
    assert_eq!(connection.number("port"), Some(i64::from(address.port())));
    assert_eq!(connection.text("name"), told.text("connection_name"));
    let channel = case.next();
    channel.says("channel.created", &[("connection", &connection.text("pid"))]);
    assert_eq!(channel.text("name"), format!("{} (1)", connection.text("name")));
    let queue = client.durable_queue(1);
    client.prefetch(1, 7);
    let tag = client.consume(1, &queue);
    let told = case.next();
    told.says("consumer.created", &[("consumer_tag", &tag), ("queue", &queue)]);
    told.says("consumer.created", &[("channel", &channel.text("pid"))]);
    assert_eq!((told.number("prefetch_count"), told.flag("ack_required")), (Some(7), true));
    client.cancel(1, &tag);
    case.next().says("consumer.deleted", &[("consumer_tag", &tag), ("queue", &queue)]);
    // With its queue, and with its channel.
    let tag = client.consume(1, &queue);
    case.next().says("consumer.created", &[]);
    client.delete_queue(1, &queue);
    case.next().says("consumer.deleted", &[("consumer_tag", &tag)]);
    client.expect::<Cancel>(1);
    let queue = client.queue(1);
    client.consume(1, &queue);
    case.next().says("consumer.created", &[]);
    client.close_channel(1);
    case.next().says("consumer.deleted", &[("queue", &queue)]);
    case.next().says("channel.closed", &[("pid", &channel.text("pid"))]);
    client.close();
    case.next().says("connection.closed", &[("pid", &connection.text("pid"))]);
    assert_eq!(case.keys(), [""; 0]);
    let options = Options { password: "wrong".into(), ..Options::default() };
    Client::raw(address).log_in(&options);
    case.next().says(
        "user.authentication.failure",
        &[("name", "guest"), ("error", "user 'guest' - invalid credentials")],
    );
}

#[test]
fn what_operators_change_is_told_with_who_did_it() {
    let Some(mut case) = Case::new(&["#"]) else { return };
    let by = ("user_who_performed_action", "guest");
    case.keys();
    assert_eq!(put(&mut case.http, "/api/vhosts/v", &json!({"description": "d"})), 201);
    let mut told: Vec<Told> = (0..8).map(|_| case.next()).collect();
    told.pop().expect("eight").says("vhost.created", &[("name", "v"), ("description", "d"), by]);
    for exchange in told {
        exchange.says("exchange.created", &[("vhost", "v"), by]);
    }
    let user = json!({"password": "x", "tags": "monitoring,policymaker"});
    assert_eq!(put(&mut case.http, "/api/users/ann", &user), 201);
    case.next().says("user.created", &[("name", "ann"), by]);
    let told = case.next();
    told.says("user.tags.set", &[("name", "ann"), by]);
    assert_eq!(told.list("tags"), ["monitoring", "policymaker"]);
    let again = json!({"password": "y", "tags": "monitoring,policymaker"});
    assert_eq!(put(&mut case.http, "/api/users/ann", &again), 204);
    case.next().says("user.password.changed", &[("name", "ann"), by]);
    let none = json!({"password_hash": "", "tags": "monitoring,policymaker"});
    assert_eq!(put(&mut case.http, "/api/users/ann", &none), 204);
    case.next().says("user.password.cleared", &[("name", "ann"), by]);
    let some = json!({"configure": "^a", "write": "b", "read": ".*"});
    assert_eq!(put(&mut case.http, "/api/permissions/v/ann", &some), 201);
    let fields = [("user", "ann"), ("vhost", "v"), ("configure", "^a"), ("write", "b"), by];
    case.next().says("permission.created", &fields);
    let topic = json!({"exchange": "amq.topic", "write": "^a", "read": ".*"});
    assert_eq!(put(&mut case.http, "/api/topic-permissions/v/ann", &topic), 201);
    let fields = [("exchange", "amq.topic"), ("write", "^a"), ("read", ".*"), by];
    case.next().says("topic.permission.created", &fields);
    assert_eq!(delete(&mut case.http, "/api/topic-permissions/v/ann"), 204);
    case.next().says("topic.permission.deleted", &[("user", "ann"), ("vhost", "v"), by]);
    assert_eq!(delete(&mut case.http, "/api/permissions/v/ann"), 204);
    case.next().says("permission.deleted", &[("user", "ann"), ("vhost", "v"), by]);
    let limit = json!({"value": 5});
    assert_eq!(put(&mut case.http, "/api/user-limits/ann/max-connections", &limit), 204);
    let told = case.next();
    told.says("user.limits.set", &[("username", "ann"), by]);
    assert_eq!(told.number("max-connections"), Some(5));
    assert_eq!(delete(&mut case.http, "/api/user-limits/ann/max-connections"), 204);
    case.next().says("user.limits.cleared", &[("username", "ann"), by]);
    assert_eq!(put(&mut case.http, "/api/vhost-limits/v/max-queues", &limit), 204);
    case.next().says("parameter.set", &[("component", "vhost-limits"), ("vhost", "v"), by]);
    let told = case.next();
    told.says("vhost.limits.set", &[("name", "limits"), by]);
    assert_eq!(told.number("max-queues"), Some(5));
    assert_eq!(delete(&mut case.http, "/api/vhost-limits/v/max-queues"), 204);
    case.next().says("parameter.cleared", &[("vhost", "v"), by]);
    case.next().says("vhost.limits.cleared", &[by]);
    let policy = json!({"pattern": "^q", "definition": {"max-length": 5}, "priority": 3});
    assert_eq!(put(&mut case.http, "/api/policies/v/p", &policy), 201);
    let told = case.next();
    told.says("policy.set", &[("name", "p"), ("vhost", "v"), ("pattern", "^q"), by]);
    told.says("policy.set", &[("apply-to", "all")]);
    assert_eq!(told.number("priority"), Some(3));
    assert_eq!(delete(&mut case.http, "/api/policies/v/p"), 204);
    case.next().says("policy.cleared", &[("name", "p"), ("vhost", "v"), by]);
    assert_eq!(put(&mut case.http, "/api/operator-policies/v/o", &policy), 201);
    case.next().says("parameter.set", &[("component", "operator_policy"), ("name", "o"), by]);
    case.next().says("policy.set", &[("name", "o")]);
    assert_eq!(put(&mut case.http, "/api/global-parameters/g", &json!({"value": {"a": 1}})), 201);
    case.next().says("parameter.set", &[("component", "global"), ("name", "g"), by]);
    assert_eq!(delete(&mut case.http, "/api/global-parameters/g"), 204);
    case.next().says("parameter.cleared", &[("component", "global"), ("name", "g"), by]);
    assert_eq!(put(&mut case.http, "/api/vhosts/v", &json!({"tracing": true})), 204);
    let told = case.next();
    told.says("vhost.updated", &[("name", "v"), by]);
    assert!(told.flag("tracing"));
    assert_eq!(delete(&mut case.http, "/api/vhosts/v"), 204);
    let mut keys = case.keys();
    assert_eq!(keys.pop().as_deref(), Some("vhost.deleted"), "{keys:?}");
    assert_eq!(keys.iter().filter(|key| *key == "exchange.deleted").count(), 7);
    assert_eq!(keys.iter().filter(|key| *key == "operator.policy.cleared").count(), 1);
    assert_eq!(delete(&mut case.http, "/api/users/ann"), 204);
    case.next().says("user.deleted", &[("name", "ann"), by]);
    let low = json!({ "vm_memory_high_watermark": { "absolute": 0 } });
    assert_eq!(put(&mut case.http, "/api/leveret/settings", &low), 204);
    let told = case.next();
    told.says("alarm.set", &[("source", "memory")]);
    assert!(told.text("node").starts_with("leveret@"));
    let plenty = json!({ "vm_memory_high_watermark": { "absolute": 1_u64 << 40 } });
    assert_eq!(put(&mut case.http, "/api/leveret/settings", &plenty), 204);
    case.next().says("alarm.cleared", &[("source", "memory")]);
}

/// The exchange is the broker's, and it is there without anybody bound to it.
#[test]
fn nobody_publishes_to_the_event_exchange_or_deletes_it() {
    let Some(case) = Case::new(&[]) else { return };
    let mut client = Client::connect(case.server.address());
    let publish =
        basic::Publish { exchange: b"amq.rabbitmq.event", routing_key: b"x", ..Default::default() };
    let mut out = Vec::new();
    encode_publish(&mut out, 1, publish, &persistent(), b"", 131_072);
    client.send_bytes(&out);
    let text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.event' in \
                vhost '/'";
    client.expect_channel_error(1, 403, text);
    client.open(1);
    let delete = exchange::Delete { exchange: b"amq.rabbitmq.event", ..Default::default() };
    let text = "ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.event' in vhost '/' \
                not allowed";
    client.refused(1, delete, 403, text);
}

#[test]
fn without_the_exchange_nothing_is_told_and_no_exchange_is_there() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let mut http = Http::connect(address);
    for name in ["amq.rabbitmq.event", "amq.rabbitmq.log"] {
        assert_eq!(http.get(&format!("/api/exchanges/%2F/{name}")).status, 404);
    }
}

/// The vhost of the events need not be there at the start, and it may be deleted.
#[test]
fn events_begin_once_their_vhost_is_made_and_survive_its_end() {
    let settings =
        Config { event_exchange: true, event_exchange_vhost: "events".into(), ..Config::default() };
    let server = Server::start_with(settings);
    let Some(address) = server.management_address() else { return };
    let mut http = Http::connect(address);
    let mut client = Client::connect(server.address());
    client.queue(1);
    for _ in 0..2 {
        assert_eq!(put(&mut http, "/api/vhosts/events", &json!({})), 201);
        assert_eq!(put(&mut http, "/api/permissions/events/guest", &all()), 201);
        let options = Options { vhost: "events".into(), ..Options::default() };
        let mut watcher = connect(&server, &options);
        let queue = watcher.shared_queue(1);
        watcher.bind(1, &queue, "amq.rabbitmq.event", "queue.created");
        let made = client.queue(1);
        watcher.wait_for_messages(1, &queue, 1);
        let got = watcher.get(1, &queue).expect("it is told");
        let headers = TableBuf::from(got.message.list().headers.expect("it has headers"));
        assert_eq!(headers.table().find(b"name"), Some(word(&made)));
        http.send(request(GUEST, "DELETE", "/api/vhosts/events", "").as_bytes());
        watcher.expect_connection_error(320, "vhost 'events' is deleted");
        assert_eq!(http.answer().status, 204);
        client.queue(1);
        client.round_trip(1);
    }
}
