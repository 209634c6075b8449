//! Is the page served as a browser may trust it, and who is let in by its form?

use serde_json::json;

use super::http::{Answer, GUEST, Http, start};

/// What the page sends with whatever it asks.
const OWN: &str = "X-Requested-With: leveret\r\n";

const LOGIN: &str = r#"{"username": "guest", "password": "guest"}"#;

fn log_in(http: &mut Http, headers: &str, body: &str) -> Answer {
    http.ask_as(headers, "POST", "/api/login", body)
}

/// The header that sends the cookie back which an answer set.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a login sets a cookie");
    format!("Cookie: {}\r\n", cookie.split(';').next().expect("it has a value"))
}

fn session(http: &mut Http, user: &str, password: &str) -> String {
    let body = json!({ "username": user, "password": password }).to_string();
    let answer = log_in(http, OWN, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    cookie_of(&answer)
}

#[test]
fn the_root_leads_to_the_page_and_the_page_to_its_files() {
    let Some((_server, mut http)) = start() else { return };
    let page = http.ask_as("", "GET", "/", "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = String::from_utf8(page.body).expect("it is text");
    let named = text.split('"').filter(|word| word.starts_with("page/"));
    let named: Vec<_> = named.collect();
    assert!(named.len() >= 3, "{text}");
    for name in named {
        let file = http.ask_as("", "GET", &format!("/{name}"), "");
        assert_eq!(file.status, 200, "{name}");
        assert!(!file.body.is_empty());
    }
    for path in ["/page/nope.js", "/page/", "/page/..%2Fmod.rs", "/page/a/main.js", "/index.html"] {
        assert_eq!(http.ask_as("", "GET", path, "").status, 404, "{path}");
    }
    assert_eq!(http.ask_as("", "POST", "/", "").status, 405);
}

#[test]
fn every_file_a_module_imports_is_there() {
    let Some((_server, mut http)) = start() else { return };
    let (mut open, mut seen) = (vec!["main.js".to_owned()], Vec::new());
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        let file = http.ask_as("", "GET", &format!("/page/{name}"), "");
        assert_eq!(file.status, 200, "{name}");
        assert_eq!(file.header("content-type"), Some("text/javascript; charset=utf-8"));
        let text = String::from_utf8(file.body).expect("it is text");
        let imported = text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next());
        open.extend(imported.map(str::to_owned));
        seen.push(name);
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn a_browser_runs_nothing_but_the_pages_own_files() {
    let Some((_server, mut http)) = start() else { return };
    for path in ["/", "/page/main.js", "/page/page.css"] {
        let answer = http.ask_as("", "GET", path, "");
        let policy = answer.header("content-security-policy").expect("it has one");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
}

#[test]
fn who_has_a_file_is_not_sent_it_again() {
    let Some((_server, mut http)) = start() else { return };
    let first = http.ask_as("", "GET", "/page/main.js", "");
    let tag = first.header("etag").expect("it has one").to_owned();
    for (known, status) in [
        (tag.clone(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("\"x\"".to_owned(), 200),
        (tag.replace('"', ""), 200),
        ("\u{ff}".to_owned(), 200),
    ] {
        let headers = format!("If-None-Match: {known}\r\n");
        let answer = http.ask_as(&headers, "GET", "/page/main.js", "");
        assert_eq!((answer.status, answer.body.is_empty()), (status, status == 304), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    let other = http.ask_as("", "GET", "/page/page.css", "");
    assert_ne!(other.header("etag"), Some(tag.as_str()));
}

#[test]
fn a_form_opens_a_session_and_closing_it_ends_it() {
    let Some((_server, mut http)) = start() else { return };
    let form = "username=guest&password=guest";
    for body in [form, LOGIN] {
        let answer = log_in(&mut http, "", body);
        assert_eq!(answer.json(), json!({ "name": "guest", "tags": ["administrator"] }));
        let set = answer.header("set-cookie").expect("it sets a cookie");
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
            assert!(set.contains(part), "{set}");
        }
        let cookie = cookie_of(&answer);
        let shown = http.ask_as(&cookie, "GET", "/api/whoami", "");
        assert_eq!(shown.json()["name"], "guest");
        let own = format!("{cookie}{OWN}");
        assert_eq!(http.ask_as(&own, "PUT", "/api/vhosts/a", "").status / 100, 2);
        let out = http.ask_as(&own, "DELETE", "/api/login", "");
        assert_eq!(out.status, 204);
        assert!(out.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")));
        assert_eq!(http.ask_as(&cookie, "GET", "/api/whoami", "").status, 401);
    }
}

#[test]
fn a_wrong_login_is_refused_and_opens_nothing() {
    let Some((_server, mut http)) = start() else { return };
    for (body, status) in [
        (r#"{"username": "guest", "password": "wrong"}"#, 401),
        (r#"{"username": "ghost", "password": "guest"}"#, 401),
        ("username=guest&password=", 401),
        ("username=guest", 400),
        (r#"{"username": 5, "password": {}}"#, 400),
        ("\u{0}", 400),
        ("", 400),
    ] {
        let answer = log_in(&mut http, OWN, body);
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("www-authenticate"), None);
    }
    http.ask("PUT", "/api/users/plain", r#"{"password": "p", "tags": ""}"#);
    let answer = log_in(&mut http, OWN, "username=plain&password=p");
    assert_eq!(answer.error(401).1, "Not management user");
    assert_eq!(answer.header("set-cookie"), None);
}

/// A browser would ask for a password itself, in a window over the page.
#[test]
fn only_who_does_not_come_from_the_page_is_challenged() {
    let Some((_server, mut http)) = start() else { return };
    let broken = "Cookie: leveret_session=nobodys\r\n";
    for headers in ["", broken] {
        let other = http.ask_as(headers, "GET", "/api/whoami", "");
        assert_eq!((other.status, other.header("www-authenticate").is_some()), (401, true));
        let own = http.ask_as(&format!("{headers}{OWN}"), "GET", "/api/whoami", "");
        assert_eq!((own.status, own.header("www-authenticate").is_some()), (401, false));
    }
}

#[test]
fn another_sites_page_changes_nothing_with_somebodys_session() {
    let Some((_server, mut http)) = start() else { return };
    let cookie = session(&mut http, "guest", "guest");
    for headers in [
        "",
        "Origin: http://evil.example\r\n",
        "Origin: http://test:8080\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://test\r\n",
    ] {
        for (method, path) in
            [("PUT", "/api/vhosts/evil"), ("DELETE", "/api/vhosts/%2F"), ("DELETE", "/api/login")]
        {
            let answer = http.ask_as(&format!("{cookie}{headers}"), method, path, "");
            assert_eq!(answer.status, 403, "{headers} {method} {path}");
        }
    }
    assert_eq!(http.show("/api/vhosts").as_array().map(Vec::len), Some(1));
    for headers in [OWN, "Sec-Fetch-Site: same-origin\r\n", "Origin: http://test\r\n"] {
        let answer = http.ask_as(&format!("{cookie}{headers}"), "PUT", "/api/vhosts/mine", "");
        assert_eq!(answer.status / 100, 2, "{headers}");
    }
    let answer = log_in(&mut http, "Sec-Fetch-Site: cross-site\r\n", LOGIN);
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
    // Credentials are no cookie: nobody's browser adds them by itself.
    assert_eq!(http.ask("PUT", "/api/vhosts/tools", "").status, 201);
}

#[test]
fn a_session_ends_with_the_password_the_tags_and_the_user() {
    let Some((_server, mut http)) = start() else { return };
    let put = |http: &mut Http, tags: &str, password: &str| {
        let body = json!({ "password": password, "tags": tags }).to_string();
        assert_eq!(http.ask("PUT", "/api/users/ann", &body).status / 100, 2);
    };
    let status = |http: &mut Http, cookie: &str, path: &str| {
        http.ask_as(&format!("{cookie}{OWN}"), "GET", path, "").status
    };
    put(&mut http, "administrator", "one");
    let cookie = session(&mut http, "ann", "one");
    assert_eq!(status(&mut http, &cookie, "/api/users"), 200);
    put(&mut http, "management", "two");
    assert_eq!(status(&mut http, &cookie, "/api/whoami"), 401, "another password");
    let cookie = session(&mut http, "ann", "two");
    assert_eq!(status(&mut http, &cookie, "/api/users"), 401, "the tag does not let her");
    assert_eq!(status(&mut http, &cookie, "/api/whoami"), 200);
    let hash = http.show("/api/users/ann")["password_hash"].clone();
    let with_tags = |tags: &str| json!({ "password_hash": hash, "tags": tags }).to_string();
    assert_eq!(http.ask("PUT", "/api/users/ann", &with_tags("")).status, 204);
    assert_eq!(status(&mut http, &cookie, "/api/whoami"), 401, "no tag");
    assert_eq!(http.ask("PUT", "/api/users/ann", &with_tags("management")).status, 204);
    assert_eq!(status(&mut http, &cookie, "/api/whoami"), 401, "it ended when the tags went");
    let cookie = session(&mut http, "ann", "two");
    assert_eq!(http.ask("DELETE", "/api/users/ann", "").status, 204);
    assert_eq!(status(&mut http, &cookie, "/api/whoami"), 401, "no user");
}

#[test]
fn a_long_or_broken_cookie_and_a_long_form_harm_nobody() {
    let Some((server, mut http)) = start() else { return };
    let cookie = session(&mut http, "guest", "guest");
    for value in [
        "",
        ";",
        "=;=",
        "leveret_session",
        "leveret_session=",
        "leveret_session=%00",
        &"leveret_session=a; ".repeat(500),
        &format!("leveret_session={}", "x".repeat(15_000)),
    ] {
        let answer = http.ask_as(&format!("Cookie: {value}\r\n"), "GET", "/api/whoami", "");
        assert_eq!(answer.status, 401, "{value}");
    }
    let address = server.management_address().expect("it is ours");
    let mut other = Http::connect(address);
    other.send(b"POST /api/login HTTP/1.1\r\nHost: h\r\nContent-Length: 4097\r\n\r\n");
    assert_eq!(other.answer().status, 413);
    let mut other = Http::connect(address);
    other.send(b"POST /api/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(other.answer().status, 413);
    // A form may come in pieces, and what follows it is another request.
    let mut other = Http::connect(address);
    let text = super::http::request("", "POST", "/api/login", LOGIN);
    for byte in text.as_bytes() {
        other.send(&[*byte]);
    }
    assert_eq!(other.answer().status, 200);
    let next = super::http::request(&cookie, "GET", "/api/whoami", "");
    other.send([text, next].concat().as_bytes());
    assert_eq!([other.answer().status, other.answer().status], [200, 200]);
}

#[test]
fn one_user_has_a_bounded_number_of_sessions_and_takes_nobody_elses() {
    let Some((_server, mut http)) = start() else { return };
    let body = r#"{"password": "p", "tags": "monitoring"}"#;
    assert_eq!(http.ask("PUT", "/api/users/mon", body).status, 201);
    let mons = session(&mut http, "mon", "p");
    let guests: Vec<_> = (0..40).map(|_| session(&mut http, "guest", "guest")).collect();
    let mut is_good = |cookie: &String| http.ask_as(cookie, "GET", "/api/whoami", "").status == 200;
    assert_eq!(guests.iter().filter(|cookie| is_good(cookie)).count(), 16);
    assert!(is_good(&guests[39]) && is_good(&mons));
}

/// The page asks so when it looks for trouble.
#[test]
fn queues_are_listed_by_what_is_wrong_with_them() {
    let Some((_server, mut http)) = start() else { return };
    for name in ["full", "empty", "dead"] {
        assert_eq!(http.ask("PUT", &format!("/api/queues/%2F/{name}"), "{}").status, 201);
    }
    // Two messages of five bytes are in each.
    for (name, rule, most, overflow) in [
        ("short", "x-max-length", 2, "reject-publish"),
        ("ring", "x-max-length", 2, "drop-head"),
        ("tight", "x-max-length-bytes", 14, "reject-publish"),
        ("loose", "x-max-length-bytes", 15, "reject-publish"),
    ] {
        let body = json!({ "arguments": { rule: most, "x-overflow": overflow } }).to_string();
        assert_eq!(http.ask("PUT", &format!("/api/queues/%2F/{name}"), &body).status, 201);
    }
    let mut publish = |queue: &str, headers: serde_json::Value| {
        let message = json!({ "routing_key": queue, "properties": { "headers": headers },
            "payload": "hares", "payload_encoding": "string" });
        let path = "/api/exchanges/%2F/amq.default/publish";
        assert_eq!(http.ask("POST", path, &message.to_string()).json()["routed"], true);
    };
    publish("full", json!({}));
    for queue in ["short", "ring", "tight", "loose"] {
        (0..2).for_each(|_| publish(queue, json!({})));
    }
    publish("dead", json!({ "x-death": [{ "queue": "q" }] }));
    let mut listed = |state: &str| -> Vec<String> {
        let path = format!("/api/queues?page=1&state={state}");
        let items = http.show(&path)["items"].as_array().expect("a list").clone();
        items.iter().map(|queue| queue["name"].as_str().expect("it has one").to_owned()).collect()
    };
    assert_eq!(listed("ready"), ["dead", "full", "loose", "ring", "short", "tight"]);
    assert_eq!(listed("no_consumers"), ["dead", "full", "loose", "ring", "short", "tight"]);
    assert_eq!(listed("dead_letters"), ["dead"]);
    assert_eq!(listed("dead_letters,no_consumers,ready"), ["dead"]);
    assert_eq!(listed("stalled"), [""; 0]);
    assert_eq!(listed("full"), ["short", "tight"], "the others have room, or make some");
    assert_eq!(listed(""), ["dead", "empty", "full", "loose", "ring", "short", "tight"]);
    let refused = http.ask_as(GUEST, "GET", "/api/queues?state=sad", "");
    assert!(refused.error(400).1.contains("growing"), "it says which there are");
}
