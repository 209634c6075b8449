//! What do operators see of TLS?

use serde_json::{Value, json};

use crate::authority::{Authority, Dialect, client, server};
use crate::broker::{Broker, Files};
use crate::common::Client;
use crate::http::{GUEST, Http};
use crate::tunnel;
use rustls::version::TLS12;

/// The HTTP API over TLS.
fn https(broker: &Broker) -> Http {
    Http::connect(tunnel::to(broker.server.https_address().unwrap(), &broker.dialect()))
}

/// The connection of the only client.
fn connection(broker: &Broker) -> Value {
    let mut http = Http::connect(broker.server.management_address().unwrap());
    let shown = http.show("/api/connections");
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    shown[0].clone()
}

#[test]
fn a_connection_shows_what_was_agreed_on() {
    let broker = Broker::mutual();
    let plain = broker.plain();
    let shown = connection(&broker);
    assert_eq!(shown["ssl"], json!(false));
    for field in ["ssl_protocol", "ssl_cipher", "ssl_hash", "ssl_key_exchange"] {
        assert_eq!(shown[field], json!(null), "{field}");
    }
    plain.close();
    let pair = broker.authority.client("a client");
    let dialect = Dialect::of_versions(&broker.authority, Some(&pair), &[&TLS12]);
    let tls = Client::connect(broker.tunnel(&dialect));
    let shown = connection(&broker);
    assert_eq!(shown["peer_cert_subject"], json!("CN=a client"), "{shown}");
    let issuer = shown["peer_cert_issuer"].as_str().unwrap();
    assert!(issuer.starts_with("CN=authority "), "{issuer}");
    assert_eq!(
        shown["peer_cert_validity"],
        json!("1975-01-01T00:00:00Z - 4096-01-01T00:00:00Z"),
        "as rcgen has it"
    );
    assert_eq!(shown["ssl"], json!(true));
    assert_eq!(shown["ssl_protocol"], json!("tlsv1.2"));
    assert_eq!(shown["ssl_key_exchange"], json!("ecdhe_ecdsa"));
    assert_eq!(shown["ssl_hash"], json!("aead"));
    assert!(
        ["aes_256_gcm", "aes_128_gcm", "chacha20_poly1305"]
            .iter()
            .any(|cipher| shown["ssl_cipher"] == json!(cipher))
    );
    tls.close();
    let newer = broker.connect();
    let shown = connection(&broker);
    assert_eq!(shown["ssl_protocol"], json!("tlsv1.3"));
    assert_eq!(shown["ssl_key_exchange"], json!("any"));
    assert_eq!(shown["peer_cert_subject"], json!(null));
    newer.close();
}

#[test]
fn the_api_and_metrics_are_served_over_tls() {
    let broker = Broker::start();
    let mut http = https(&broker);
    let overview = http.show("/api/overview");
    let mut protocols: Vec<_> = overview["listeners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listener| listener["protocol"].as_str().unwrap().to_owned())
        .collect();
    protocols.sort();
    let expected = ["amqp", "amqp/ssl", "http", "http/prometheus", "https", "https/prometheus"];
    assert_eq!(protocols, expected);
    // A long answer, and a body.
    let page = http.get("/");
    assert!(page.status == 200 && page.body.len() > 500, "{}", page.status);
    let body = "x".repeat(300_000);
    let sent = json!({
        "properties": {}, "routing_key": "q", "payload": body, "payload_encoding": "string",
    });
    http.ask("PUT", "/api/queues/%2F/q", "{}");
    let answer = http.ask("POST", "/api/exchanges/%2F/amq.default/publish", &sent.to_string());
    assert_eq!(answer.json(), json!({ "routed": true }));
    let wanted = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
    let got = http.ask("POST", "/api/queues/%2F/q/get", &wanted.to_string()).json();
    assert_eq!(got[0]["payload"], json!(body));
    let metrics = broker.server.secret_metrics_address().unwrap();
    let mut scraper = Http::connect(tunnel::to(metrics, &broker.dialect()));
    let answer = scraper.ask_as("", "GET", "/metrics", "");
    assert_eq!(answer.status, 200);
}

#[test]
fn the_health_check_of_listeners_tells_the_truth() {
    let broker = Broker::start();
    let mut http = https(&broker);
    for protocol in ["amqps", "amqp/ssl", "https"] {
        let path = format!("/api/health/checks/protocol-listener/{}", protocol.replace('/', "%2F"));
        assert_eq!(http.get(&path).status, 200, "{protocol}");
    }
    let port = broker.server.tls_address().port();
    assert_eq!(http.get(&format!("/api/health/checks/port-listener/{port}")).status, 200);
}

/// The text of the check that fails is RabbitMQ's.
#[test]
fn the_health_check_of_certificates_looks_ahead() {
    let files = Files::new();
    let mut params = server(&["localhost"]);
    let now = std::time::SystemTime::now();
    params.not_after = (now + std::time::Duration::from_secs(10 * 86_400)).into();
    let options = files.options(&files.authority.issue(params));
    let mut config = files.config(&options);
    config.tls.management = None;
    config.tls.prometheus = None;
    let broker = files.start(config);
    let mut http = Http::connect(broker.server.management_address().unwrap());
    let mut check =
        |within: &str| http.get(&format!("/api/health/checks/certificate-expiration/{within}"));
    for good in ["9/days", "1/weeks", "0/years", "1/WEEKS"] {
        assert_eq!(check(good).json(), json!({ "status": "ok" }), "{good}");
    }
    for bad in ["11/days", "2/weeks", "1/months", "1/years", "99999999999999999/years"] {
        let answer = check(bad);
        assert_eq!(answer.status, 503, "{bad}");
        let shown = answer.json();
        assert_eq!(shown["reason"], json!("Certificates expiring"));
        let expired = shown["expired"].as_array().unwrap();
        assert_eq!(expired.len(), 1, "{shown}");
        assert_eq!(expired[0]["protocol"], json!("amqp/ssl"));
        assert_eq!(expired[0]["port"], json!(broker.server.tls_address().port()));
        assert_eq!(expired[0]["certfile"], json!(broker.path("server.pem")));
        let when = expired[0]["certfile_expires_on"][0].as_str().unwrap();
        assert!(when.len() >= 18 && when.as_bytes()[10] == b' ', "{when}");
    }
    assert_eq!(check("x/days").status, 400);
    assert_eq!(check("1/hours").status, 400);
    // An alert needs the same figure.
    let metrics = http.ask_as("", "GET", "/metrics", "");
    let text = String::from_utf8(metrics.body).unwrap();
    let name = "leveret_tls_certificate_expires_timestamp_seconds{keys=\"ssl_options\",file=\"";
    let line = text.lines().find(|line| line.starts_with(name)).expect("it is there");
    let seconds: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let unix = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((864_000 - 2..=864_000).contains(&(seconds - unix)), "{line}");
    assert!(line.contains("subject=\"CN=the broker\""), "{line}");
}

/// As in RabbitMQ.
#[test]
fn the_health_check_looks_at_authorities_too() {
    let files = Files::new();
    let options = files.mutual();
    let old = files.authority.pem() + &Authority::expiring("old", 3).pem();
    std::fs::write(files.path("ca.pem"), old).unwrap();
    let config = files.config(&options);
    let broker = files.start(config);
    let mut http = Http::connect(broker.server.management_address().unwrap());
    let mut check =
        |within: &str| http.get(&format!("/api/health/checks/certificate-expiration/{within}"));
    assert_eq!(check("2/days").status, 200);
    let answer = check("4/days");
    assert_eq!(answer.status, 503);
    let expired = answer.json()["expired"].as_array().unwrap().clone();
    assert_eq!(expired.len(), 3, "one a listener: {expired:?}");
    for listener in expired {
        assert_eq!(listener["cacertfile"], json!(broker.path("ca.pem")));
        assert_eq!(listener["certfile_expires_on"], json!([]));
        assert_eq!(listener["cacertfile_expires_on"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn mechanisms_are_listed_where_certificates_are_asked_for() {
    for (broker, is_listed) in [(Broker::mutual(), true), (Broker::start(), false)] {
        let mut http = Http::connect(broker.server.management_address().unwrap());
        let nodes = http.show("/api/nodes");
        let names: Vec<_> = nodes[0]["auth_mechanisms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mechanism| mechanism["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.contains(&"EXTERNAL"), is_listed, "{names:?}");
    }
}

/// The page's session and a login go over TLS as without.
#[test]
fn certificates_of_clients_may_be_wanted_for_the_api_too() {
    let files = Files::new();
    let mut options = files.mutual();
    options.fail_if_no_peer_cert = true;
    let config = files.config(&options);
    let broker = files.start(config);
    let pair = broker.authority.issue(client("an operator"));
    let dialect = Dialect::new(&broker.authority, Some(&pair));
    let address = broker.server.https_address().unwrap();
    let mut http = Http::connect(tunnel::to(address, &dialect));
    assert_eq!(http.ask_as(GUEST, "GET", "/api/whoami", "").status, 200);
    let mut none = Http::connect(tunnel::to(address, &broker.dialect()));
    // It has no certificate, and is not answered.
    let _ = none.try_send(b"GET /api/whoami HTTP/1.1\r\nHost: h\r\n\r\n");
    none.expect_closed();
    crate::said::wait_for(&["it showed no certificate, and has to"]);
}
