//! What is shown of clients and their channels, to whom, and how is one closed?

use serde_json::{Value, json};

use super::common::{Client, Options, Server, basic, tx, user, word};
use super::http::{Http, basic_login, start};

/// A client that says who it is.
fn client(server: &Server, name: &str) -> Client {
    let mut options = Options::default();
    options.properties.put(b"connection_name", word(name));
    options.heartbeat = 42;
    options.channel_max = Some(77);
    options.frame_max = Some(8192);
    let mut client = Client::connect_with(server.address(), &options);
    client.open(1);
    client
}

fn only(list: &Value) -> &Value {
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 1, "{list:?}");
    &list[0]
}

/// A connection's name as it stands in a path.
fn in_path(name: &Value) -> String {
    name.as_str().expect("a text").replace(' ', "%20").replace('>', "%3E").replace(':', "%3A")
}

#[test]
fn a_connection_is_shown_with_what_its_client_announced() {
    let Some((server, mut http)) = start() else { return };
    let mut client = client(&server, "tester");
    client.open(7);
    client.round_trip(7);
    let all = http.show("/api/connections");
    let shown = only(&all);
    let local = server.address();
    for (field, value) in [
        ("user", json!("guest")),
        ("vhost", json!("/")),
        ("protocol", json!("AMQP 0-9-1")),
        ("state", json!("running")),
        ("channels", json!(2)),
        ("channel_max", json!(77)),
        ("frame_max", json!(8192)),
        ("timeout", json!(42)),
        ("auth_mechanism", json!("PLAIN")),
        ("user_provided_name", json!("tester")),
        ("host", json!("127.0.0.1")),
        ("port", json!(local.port())),
        ("peer_host", json!("127.0.0.1")),
        ("ssl", json!(false)),
        ("peer_cert_subject", json!(null)),
        ("type", json!("network")),
        ("send_pend", json!(0)),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    let name = format!("127.0.0.1:{} -> {local}", shown["peer_port"]);
    assert_eq!(shown["name"], json!(name));
    let properties = &shown["client_properties"];
    assert_eq!(properties["product"], json!("protocol test"));
    assert_eq!(properties["capabilities"]["basic.nack"], json!(true));
    // In ms, and of this century.
    assert!(shown["connected_at"].as_u64() > Some(1_600_000_000_000), "{shown}");
    let path = format!("/api/connections/{}", in_path(&shown["name"]));
    let alone = http.show(&path);
    assert_eq!((&alone["name"], &alone["peer_cert_subject"]), (&shown["name"], &json!("")));
    assert_eq!(http.get("/api/connections/nope").status, 404);
    assert_eq!(http.get("/api/connections/1.2.3.4:5%20-%3E%20127.0.0.1:1").status, 404);
    for list in ["/api/connections/username/guest", "/api/vhosts/%2F/connections"] {
        assert_eq!(only(&http.show(&format!("{list}?columns=name"))), &json!({"name": name}));
    }
    assert_eq!(http.show("/api/connections/username/nobody"), json!([]));
    let short = http.show("/api/connections?disable_stats=true");
    let fields: Vec<_> = only(&short).as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["name", "node", "user", "vhost"]);
    drop(client);
    while http.show("/api/connections") != json!([]) {}
    let churn = &http.show("/api/overview")["churn_rates"];
    assert_eq!((&churn["connection_created"], &churn["connection_closed"]), (&json!(1), &json!(1)));
    assert_eq!((&churn["channel_created"], &churn["channel_closed"]), (&json!(2), &json!(2)));
}

#[test]
fn connections_are_found_by_whatever_one_knows_of_them() {
    let Some((server, mut http)) = start() else { return };
    for (path, body) in [
        ("/api/vhosts/Garden", "{}"),
        ("/api/users/ann", r#"{"password": "p", "tags": "management"}"#),
        ("/api/permissions/Garden/ann", r#"{"configure": "", "write": "", "read": ""}"#),
    ] {
        assert_eq!(http.ask("PUT", path, body).status, 201, "{path}");
    }
    let mut options = Options { user: "ann".into(), password: "p".into(), ..Options::default() };
    options.vhost = "Garden".into();
    options.properties.put(b"connection_name", word("Shop 1"));
    let mut anns = Client::connect_with(server.address(), &options);
    anns.open(1);
    let mut guests = client(&server, "hare");
    anns.round_trip(1);
    guests.round_trip(1);
    let mut found = |search: &str| -> Vec<String> {
        let path = format!("/api/connections?page=1&sort=user&search={search}");
        let page = http.show(&path);
        let items = page["items"].as_array().expect("a list");
        assert_eq!(page["filtered_count"].as_u64(), Some(items.len() as u64), "{page}");
        items.iter().map(|one| one["user"].as_str().expect("a name").to_owned()).collect()
    };
    for search in ["ANN", "garden", "shop%201", "p+1"] {
        assert_eq!(found(search), ["ann"], "{search}");
    }
    for search in ["", "127.0.0.1:", "Protocol"] {
        assert_eq!(found(search), ["ann", "guest"], "{search}");
    }
    assert_eq!((found("HARE"), found("nobody")), (vec!["guest".to_owned()], vec![]));
    let own = http.ask_as(&basic_login("ann:p"), "GET", "/api/connections?search=hare", "");
    assert_eq!(own.json(), json!([]), "another user's stays unseen");
}

#[test]
fn bytes_that_come_and_go_are_counted() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.queue(1);
    let mut counts = |client: &mut Client| {
        client.round_trip(1);
        let shown = http.show("/api/connections");
        ["recv_oct", "send_oct"].map(|field| only(&shown)[field].as_u64().expect("a number"))
    };
    let before = counts(&mut client);
    client.publish(1, "", &queue, &"x".repeat(20_000));
    let published = counts(&mut client);
    assert!((20_000..21_000).contains(&(published[0] - before[0])), "{before:?} {published:?}");
    assert!(published[1] - before[1] < 1_000, "{before:?} {published:?}");
    client.get(1, &queue).expect("it is there");
    let got = counts(&mut client);
    assert!((20_000..21_000).contains(&(got[1] - published[1])), "{published:?} {got:?}");
}

#[test]
fn a_closed_connection_is_told_why() {
    let Some((server, mut http)) = start() else { return };
    for (headers, reason) in [
        ("", "CONNECTION_FORCED - Closed via management plugin"),
        ("X-Reason: too much work\r\n", "CONNECTION_FORCED - too much work"),
    ] {
        let mut client = client(&server, "x");
        let path = {
            let all = http.show("/api/connections");
            format!("/api/connections/{}", in_path(&only(&all)["name"]))
        };
        let headers = format!("{}{headers}", super::http::GUEST);
        assert_eq!(http.ask_as(&headers, "DELETE", &path, "").status, 204);
        let close = client.expect_connection_close();
        assert_eq!((close.code, close.text.as_str()), (320, reason));
        client.vanish();
        while http.show("/api/connections") != json!([]) {}
        assert_eq!(http.ask("DELETE", &path, "").status, 404);
    }
    let mut clients = [client(&server, "a"), client(&server, "b")];
    assert_eq!(http.ask("DELETE", "/api/connections/username/nobody", "").status, 204);
    clients.iter_mut().for_each(|client| client.round_trip(1));
    assert_eq!(http.ask("DELETE", "/api/connections/username/guest", "").status, 204);
    clients.iter_mut().for_each(|client| drop(client.expect_connection_close()));
}

#[test]
fn a_channel_is_shown_with_what_it_waits_for() {
    let Some((server, mut http)) = start() else { return };
    let gate = server.gate().expect("it is ours");
    let mut client = client(&server, "x");
    let queue = client.durable_queue(1);
    client.confirm_select(1);
    client.open(2);
    client.call::<super::common::TxSelectOk>(2, tx::Select {});
    client.open(3);
    client.prefetch(3, 4);
    client.call::<super::common::QosOk>(
        3,
        basic::Qos { prefetch_count: 9, global: true, ..Default::default() },
    );
    client.consume(3, &queue);
    gate.hold();
    for _ in 0..3 {
        client.publish_with(1, "", &queue, &super::common::persistent(), b"x");
        client.publish(2, "", &queue, "x");
    }
    client.expect_bodies(3, 3);
    client.round_trip(2);
    let all = http.show("/api/channels?sort=number");
    let channels = all.as_array().expect("a list");
    for (channel, field, value) in [
        (0, "number", json!(1)),
        (0, "confirm", json!(true)),
        (0, "messages_unconfirmed", json!(3)),
        (0, "transactional", json!(false)),
        (1, "transactional", json!(true)),
        (1, "messages_uncommitted", json!(3)),
        (1, "confirm", json!(false)),
        (2, "consumer_count", json!(1)),
        (2, "messages_unacknowledged", json!(3)),
        (2, "global_prefetch_count", json!(9)),
        (2, "state", json!("running")),
        (2, "user", json!("guest")),
        (2, "vhost", json!("/")),
    ] {
        assert_eq!(channels[channel][field], value, "{field}: {}", channels[channel]);
    }
    let connection = channels[2]["connection_details"]["name"].clone();
    let name = format!("{} (3)", connection.as_str().expect("a text"));
    assert_eq!(channels[2]["name"], json!(name));
    let in_url = format!("{}%20(3)", in_path(&connection));
    let shown = http.show(&format!("/api/channels/{in_url}"));
    let consumer = only(&shown["consumer_details"]);
    assert_eq!(consumer["queue"]["name"], json!(queue));
    assert_eq!(consumer["channel_details"]["name"], json!(name));
    assert_eq!(http.get(&format!("/api/channels/{}%20(4)", in_path(&connection))).status, 404);
    for list in [
        format!("/api/connections/{}/channels", in_path(&connection)),
        "/api/vhosts/%2F/channels".to_owned(),
    ] {
        assert_eq!(http.show(&list).as_array().map(Vec::len), Some(3), "{list}");
    }
    let answer = http.get("/api/channels?disable_stats=true");
    assert_eq!(answer.error(400).1, "Stats in management UI are disabled on this node");
    gate.release();
    client.expect_confirms(1, 1, 3);
    let all = http.show("/api/channels?sort=number");
    assert_eq!(all[0]["messages_unconfirmed"], json!(0));
}

/// Who may only manage sees its own clients; who monitors sees all.
#[test]
fn users_see_what_their_tags_allow() {
    let prepared = Server::start_prepared(|broker| {
        for (name, tag) in [("ann", "management"), ("mon", "monitoring"), ("adm", "administrator")]
        {
            let mut user = user(name, ".*", ".*", ".*");
            user.tags = vec![tag.to_owned()];
            broker.put_user(user);
        }
    });
    let Some(server) = prepared else { return };
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    let anns = Client::connect_as(server.address(), "ann");
    let mut guests = client(&server, "x");
    guests.round_trip(1);
    let mut count = |login: &str, path: &str| {
        let answer = http.ask_as(&basic_login(login), "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json().as_array().map_or(0, Vec::len)
    };
    for path in ["/api/connections", "/api/channels", "/api/vhosts/%2F/connections"] {
        assert_eq!(count("ann:secret", path), 1, "{path}");
        assert_eq!(count("mon:secret", path), 2, "{path}");
        assert_eq!(count("adm:secret", path), 2, "{path}");
    }
    assert_eq!(count("ann:secret", "/api/connections/username/guest"), 0);
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    let all = http.show("/api/connections/username/guest");
    let path = format!("/api/connections/{}", in_path(&only(&all)["name"]));
    for method in ["GET", "DELETE"] {
        let answer = http.ask_as(&basic_login("ann:secret"), method, &path, "");
        assert_eq!(answer.error(401).0, "not_authorised", "{method}");
    }
    guests.round_trip(1);
    for (login, path, expected) in [
        ("ann:secret", "/api/overview", json!({"connections": 1, "channels": 1, "exchanges": 7})),
        ("mon:secret", "/api/overview", json!({"connections": 2, "channels": 2, "exchanges": 7})),
    ] {
        let totals = http.ask_as(&basic_login(login), "GET", path, "").json();
        for (field, count) in expected.as_object().expect("an object") {
            assert_eq!(&totals["object_totals"][field], count, "{login} {field}");
        }
    }
    let answer = http.ask_as(&basic_login("ann:secret"), "GET", "/api/nodes", "");
    assert_eq!(answer.error(401).1, "Not monitor user");
    let answer = http.ask_as(&basic_login("mon:secret"), "POST", "/api/leveret/stop", "");
    assert_eq!(answer.error(401).1, "Not administrator user");
    // It may close what is its own.
    let answer =
        http.ask_as(&basic_login("ann:secret"), "DELETE", "/api/connections/username/ann", "");
    assert_eq!(answer.status, 204);
    let mut anns = anns;
    anns.expect_connection_close();
}

/// Permissions hold over HTTP as they hold for clients; the owner of the files has all.
#[test]
fn users_may_change_over_http_what_they_may_change_as_clients() {
    let prepared = Server::start_prepared(|broker| {
        let mut user = user("ro", "", "", ".*");
        user.tags = vec!["management".to_owned()];
        broker.put_user(user);
    });
    let Some(server) = prepared else { return };
    let mut http = Http::connect(server.management_address().expect("it is ours"));
    http.ask("PUT", "/api/queues/%2F/q", "{}");
    let message = json!({
        "routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {},
    })
    .to_string();
    let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}).to_string();
    let refused = "403 ACCESS_REFUSED - write access to exchange 'amq.direct' in vhost '/' \
                   refused for user 'ro'";
    for (method, path, body, status, reason) in [
        ("PUT", "queues/%2F/new", "{}", 401, "Access refused."),
        ("DELETE", "queues/%2F/q", "", 401, "Access refused."),
        ("PUT", "exchanges/%2F/new", "{}", 401, "Access refused."),
        ("DELETE", "exchanges/%2F/amq.direct", "", 401, "Access refused."),
        ("POST", "bindings/%2F/e/amq.direct/q/q", "{}", 401, "Access refused."),
        ("POST", "exchanges/%2F/amq.direct/publish", message.as_str(), 400, refused),
    ] {
        let answer = http.ask_as(&basic_login("ro:secret"), method, &format!("/api/{path}"), body);
        assert_eq!(answer.error(status).1, reason, "{method} {path}");
    }
    let path = "/api/queues/%2F/q/get";
    assert_eq!(http.ask_as(&basic_login("ro:secret"), "POST", path, &get).json(), json!([]));
    let mut owner = Http::connect_owner(server.directory().expect("it is ours"));
    let answer = owner.ask_as("", "POST", "/api/exchanges/%2F/amq.default/publish", &message);
    assert_eq!(answer.json(), json!({"routed": true}));
    assert_eq!(owner.ask_as("", "DELETE", "/api/queues/%2F/q", "").status, 204);
}
