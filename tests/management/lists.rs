//! Are long lists answered in parts: in bounded memory, without anybody else waiting, while things
//! come and go?

use std::time::Duration;

use serde_json::{Value, json};

use super::common::{Client, Node, Server, anonymous_bytes, now, queue};
use super::http::{GUEST, Http, request, start};

/// Generous: unoptimised code on a busy machine. The promise is 5 ms.
const LONGEST_TURN_MAX: Duration = Duration::from_millis(100);

/// `LEVERET_TURNS=full` makes the lists as long as the promise is.
fn many() -> usize {
    let is_full = std::env::var_os("LEVERET_TURNS").is_some_and(|how| how == "full");
    if is_full { 100_000 } else { 10_000 }
}

/// Declares queues `q0000000` and so on.
fn declare(client: &mut Client, count: usize) {
    for number in 0..count {
        let name = format!("q{number:07}");
        let declare = queue::Declare {
            queue: name.as_bytes(),
            auto_delete: number % 3 == 0,
            nowait: true,
            ..Default::default()
        };
        client.send(1, declare);
    }
    client.round_trip(1);
}

fn names(items: &Value) -> Vec<&str> {
    let items = items.as_array().expect("a list").iter();
    items.map(|item| item["name"].as_str().expect("a name")).collect()
}

#[test]
fn pages_are_sorted_and_have_numbers() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 25);
    assert_eq!(
        http.show("/api/queues/detailed?columns=name"),
        http.show("/api/queues?columns=name")
    );
    let page = http.show("/api/queues?page=3&page_size=10&columns=name,vhost");
    assert_eq!(names(&page["items"]), ["q0000020", "q0000021", "q0000022", "q0000023", "q0000024"]);
    let numbers =
        ["filtered_count", "item_count", "page", "page_count", "page_size", "total_count"];
    assert_eq!(numbers.map(|name| page[name].as_u64().unwrap()), [25, 5, 3, 3, 10, 25]);
    let page = http.show("/api/queues/%2F?page=1&page_size=2&sort=name&sort_reverse=true");
    assert_eq!(names(&page["items"]), ["q0000024", "q0000023"]);
    let page = http.show("/api/queues?page=1&page_size=3&sort=auto_delete&sort_reverse=true");
    assert_eq!(names(&page["items"]), ["q0000024", "q0000021", "q0000018"]);
    (0..3).for_each(|_| client.publish(1, "", "q0000007", "x"));
    client.round_trip(1);
    let page = http.show("/api/queues?page=1&page_size=1&sort=messages&sort_reverse=true");
    assert_eq!(names(&page["items"]), ["q0000007"]);
    // What is no quick field is looked up in what is shown.
    let page = http.show("/api/queues?page=1&page_size=1&sort=arguments.none");
    assert_eq!(names(&page["items"]), ["q0000000"]);
}

/// Some fields are had without all else that is shown of a queue: they order it as what is shown.
#[test]
fn lists_are_sorted_by_what_is_shown() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 12);
    for number in 0..10 {
        let queue = format!("q{number:07}");
        let body = "x".repeat(1000 - 90 * number);
        (0..=(number * 7) % 10).for_each(|_| client.publish(1, "", &queue, &body));
        (0..(number * 3) % 4).for_each(|_| drop(client.get(1, &queue)));
    }
    client.round_trip(1);
    for field in [
        "memory",
        "message_bytes",
        "message_bytes_ready",
        "message_bytes_unacknowledged",
        "messages_details.rate",
        "messages_ready_details.rate",
        "messages_unacknowledged_details.rate",
        "message_stats.publish",
        "message_stats.get",
        "message_stats.deliver_get_details.rate",
        "message_stats.nothing",
        "oldest_message_age_ms",
        "type",
    ] {
        let page = http.show(&format!("/api/queues?page=1&page_size=20&sort={field}"));
        let items = page["items"].as_array().expect("it has items").clone();
        let pointer = format!("/{}", field.replace('.', "/"));
        let shown = |item: &Value| item.pointer(&pointer).cloned().unwrap_or(Value::Null);
        let values: Vec<Value> = items.iter().map(shown).collect();
        // What is not there comes first.
        let numbers = values.iter().map(|value| value.as_f64().unwrap_or(-1.0));
        assert!(numbers.is_sorted(), "{field}: {values:?}");
        assert_eq!(values.len(), 12);
    }
}

/// Those that are equal in what the list is sorted by keep an order: no page has what another one
/// has, and none is left out.
#[test]
fn pages_of_what_is_equal_are_together_all_of_it() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 95);
    (0..5).for_each(|number| client.publish(1, "", &format!("q{:07}", number * 20), "x"));
    client.round_trip(1);
    for order in ["sort=messages", "sort=messages&sort_reverse=true", "sort=durable&name=q"] {
        let mut seen = Vec::new();
        for number in 1..=10 {
            let path = format!("/api/queues?page={number}&page_size=10&{order}");
            let page = http.show(&path);
            seen.extend(names(&page["items"]).into_iter().map(str::to_owned));
        }
        seen.sort_unstable();
        let all: Vec<String> = (0..95).map(|number| format!("q{number:07}")).collect();
        assert_eq!(seen, all, "{order}");
    }
}

#[test]
fn names_are_parts_of_names_or_patterns() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 20);
    let mut found = |query: &str| {
        let page = http.show(&format!("/api/queues?page=1&{query}"));
        (page["filtered_count"].as_u64().unwrap(), page["total_count"].as_u64().unwrap())
    };
    assert_eq!(found("name=Q000001"), (10, 20));
    assert_eq!(found("name=%5Eq.*1%24&use_regex=true"), (2, 20));
    assert_eq!(found("name=%5Eq.*1%24&use_regex=false"), (0, 20));
    assert_eq!(found("name=q(%3F!.*1)&use_regex=true"), (9, 20));
    assert_eq!(http.get("/api/queues?page=1&name=(&use_regex=true").status, 400);
}

#[test]
fn pages_that_there_cannot_be_are_refused_in_rabbitmqs_words() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 5);
    let invalid = "invalid_pagination_parameters";
    let unreadable = "Pagination parameters are invalid";
    for (query, error, reason) in [
        ("page=0", invalid, "Invalid pagination parameters: page number 0, page size undefined"),
        ("page=-1", invalid, "Invalid pagination parameters: page number -1, page size undefined"),
        (
            "page=1&page_size=501",
            invalid,
            "Invalid pagination parameters: page number 1, page size 501",
        ),
        (
            "page=1&page_size=0",
            invalid,
            "Invalid pagination parameters: page number 1, page size 0",
        ),
        ("page=x", "bad_request", unreadable),
        ("page=", "bad_request", unreadable),
        ("page=1&page_size=x", "bad_request", unreadable),
        (
            "page=9&page_size=2",
            "page_out_of_range",
            "Page out of range, page: 9 page size: 2, len: 5",
        ),
    ] {
        let answer = http.get(&format!("/api/queues?{query}"));
        assert_eq!(answer.error(400), (error.into(), reason.into()), "{query}");
    }
}

#[test]
fn a_long_list_makes_nobody_wait_and_is_complete() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, many());
    let mut http = Http::connect(address);
    client.round_trip(1);
    server.take_longest_turn();
    let began = now();
    let page = http.show("/api/queues?page=1&page_size=100&sort=messages&sort_reverse=true");
    look(&server, "a page of 100 queues, sorted by messages", began.elapsed());
    assert_eq!(page["total_count"], json!(many()));
    let began = now();
    let page = http.show(&format!("/api/queues?page={}&page_size=100", many() / 100));
    look(&server, "the last page of 100 queues", began.elapsed());
    assert_eq!(*names(&page["items"]).last().unwrap(), format!("q{:07}", many() - 1));
    let began = now();
    let all = http.show("/api/queues");
    look(&server, "all queues", began.elapsed());
    assert_eq!(names(&all).len(), many());
    let began = now();
    let all = http.show("/api/queues?sort=name&columns=name");
    look(&server, "all queues, sorted by name", began.elapsed());
    assert!(names(&all).is_sorted());
}

#[allow(clippy::print_stdout, reason = "`scripts/bench --turns` shows such figures")]
fn look(server: &Server, what: &str, took: Duration) {
    let longest = server.take_longest_turn().expect("it is ours");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("longest turn {:>8.2} ms  {what} of {}, in {:.1} ms", ms(longest), many(), ms(took));
    assert!(longest < LONGEST_TURN_MAX, "{what}: a turn took {longest:?}");
}

#[test]
fn a_list_stands_what_comes_and_goes_while_it_is_sent() {
    let server = Server::start();
    let Some(address) = server.management_address() else { return };
    let mut client = Client::connect(server.address());
    declare(&mut client, 5_000);
    let mut http = Http::connect(address);
    http.send(request(GUEST, "GET", "/api/queues?columns=name", "").as_bytes());
    // Nothing is read yet, so that most of the list is still to be made.
    for number in (0..5_000).step_by(7) {
        client.delete_queue(1, &format!("q{number:07}"));
        client.queue(1);
    }
    let list = http.answer().json();
    let seen = names(&list);
    let stays = (0..5_000).filter(|number| number % 7 != 0).map(|number| format!("q{number:07}"));
    let seen_once: std::collections::HashSet<_> = seen.iter().copied().collect();
    assert_eq!(seen_once.len(), seen.len(), "nothing comes twice");
    assert!(stays.into_iter().all(|name| seen_once.contains(name.as_str())), "what stays is there");
}

/// The broker keeps what the socket does not take, and no more than that.
#[test]
fn who_does_not_read_a_long_list_takes_no_memory_and_no_time() {
    const CLIENTS: usize = 40;
    let Some(node) = Node::start() else { return };
    let mut client = node.connect();
    declare(&mut client, many());
    let id = node.process().id();
    let before = anonymous_bytes(id).expect("it runs");
    let ask = request("", "GET", "/api/queues", "");
    let slow: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut http = Http::connect_owner(node.process().directory());
            http.send(ask.as_bytes());
            http
        })
        .collect();
    // One who reads gets all of it meanwhile, and others are answered.
    let mut reader = Http::connect_owner(node.process().directory());
    let all = reader.ask_as("", "GET", "/api/queues", "").json();
    assert_eq!(names(&all).len(), many());
    (0..100).for_each(|_| client.round_trip(1));
    let grown = anonymous_bytes(id).expect("it runs").saturating_sub(before);
    let each = grown / CLIENTS as u64;
    assert!(each < 1 << 20, "{grown} bytes more, {each} for each client");
    drop(slow);
    client.round_trip(1);
}

/// Whatever is asked of one queue, nobody else waits for it.
#[test]
fn many_messages_and_bindings_are_worked_on_in_parts() {
    let Some((server, mut http)) = start() else { return };
    let mut client = Client::connect(server.address());
    let queue = client.shared_queue(1);
    let count = many();
    for number in 0..count {
        client.publish(1, "", &queue, &number.to_string());
        let key = number.to_string();
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: b"amq.direct",
            routing_key: key.as_bytes(),
            nowait: true,
            ..Default::default()
        };
        client.send(1, bind);
    }
    client.round_trip(1);
    server.take_longest_turn();
    let got = json!({"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let got = http.ask("POST", &format!("/api/queues/%2F/{queue}/get"), &got.to_string());
    // One answer has no more.
    assert_eq!(got.json().as_array().map(Vec::len), Some(count.min(10_000)));
    let seen = http.show(&format!("/api/queues/%2F/{queue}/browse?from={}", count - 1));
    assert_eq!(seen[0]["payload"], json!((count - 1).to_string()));
    for list in ["bindings", &format!("queues/%2F/{queue}/bindings")] {
        let path = format!("/api/{list}?page=1&page_size=10&sort=routing_key");
        assert_eq!(http.show(&path)["total_count"], json!(count + 1), "{list}");
    }
    let last = format!("/api/bindings/%2F/e/amq.direct/q/{queue}/{}", count - 1);
    assert_eq!(http.ask("DELETE", &last, "").status, 204);
    assert_eq!(http.ask("DELETE", &format!("/api/queues/%2F/{queue}/contents"), "").status, 204);
    assert_eq!(http.ask("DELETE", &format!("/api/queues/%2F/{queue}"), "").status, 204);
    let longest = server.take_longest_turn().expect("it is ours");
    assert!(longest < LONGEST_TURN_MAX, "{longest:?}");
}
