//! Is a connection of the HTTP API read, worked for and closed as it has to be?

use std::net::SocketAddr;

use tempfile::TempDir;

use super::super::call::Context;
use super::super::figures::{NodeHistory, new_history};
use super::super::view::{Channel, Connection, ConnectionChurn};
use super::super::view::{Identity, NodeView, Resources, Vitals};
use super::*;
use crate::amqp::Name;
use crate::broker::arguments::QueueTraits;
use crate::broker::counters::Counters;
use crate::broker::testing::{declare, open, subject};
use crate::broker::{Broker, ConnectionKey, Subject};

/// `guest:guest`
const LOGIN: &str = "Host: h\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

struct NoView(Identity);

impl NodeView for NoView {
    fn identity(&self) -> &Identity {
        &self.0
    }

    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    fn connection_count(&self) -> usize {
        0
    }

    fn connection_at(&self, _: u32) -> Option<Connection<'_>> {
        None
    }

    fn peer_at(&self, _: u32) -> Option<SocketAddr> {
        None
    }

    fn connection_places(&self) -> u32 {
        0
    }

    fn connection(&self, _: ConnectionKey) -> Option<Connection<'_>> {
        None
    }

    fn channel(&self, _: ConnectionKey, _: u16) -> Option<Channel> {
        None
    }

    fn resources(&self) -> Resources {
        Resources::default()
    }

    fn churn(&self) -> ConnectionChurn {
        ConnectionChurn::default()
    }

    fn history(&self) -> &NodeHistory {
        Box::leak(Box::new(new_history()))
    }

    fn channel_counters(&self, _: ConnectionKey, _: u16) -> Option<Counters> {
        None
    }
}

/// A conversation, its broker, and what was sent and not taken.
struct Bench {
    conversation: Conversation,
    broker: Broker,
    logins: Logins,
    cors: Cors,
    body_room: u64,
    now: Instant,
    unread: Vec<u8>,
    /// All that left.
    sent: Vec<u8>,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = open(directory.path());
        let now = Instant::now();
        let here = Origin::Address(SocketAddr::from(([127, 0, 0, 1], 1)));
        Self {
            conversation: Conversation::new(here, now),
            broker,
            logins: Logins::default(),
            cors: Cors::default(),
            body_room: u64::MAX,
            now,
            unread: Vec::new(),
            sent: Vec::new(),
            _directory: directory,
        }
    }

    /// The client sends something; what can be done is, and what is answered leaves.
    fn send(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        loop {
            self.read();
            if !self.work() {
                break;
            }
            self.flush();
        }
        self.flush();
    }

    fn read(&mut self) {
        if self.conversation.may_read() {
            let users = self.broker.users_mut();
            let (logins, cors, body_room) = (&mut self.logins, &self.cors, self.body_room);
            let mut reception = Reception { users, logins, cors, body_room, has_place: true };
            let taken = self.conversation.receive(&mut reception, &self.unread, self.now);
            self.unread.drain(..taken);
        }
        self.conversation.note_deadlines(self.now);
    }

    /// One step of the request that is there, if one is.
    fn work(&mut self) -> bool {
        let Some(mut job) = self.conversation.take_job() else {
            return false;
        };
        self.broker.work.begin(1_000);
        let view = NoView(Identity { message_bytes_max: 1_000, ..Identity::default() });
        let broker = &mut self.broker;
        let mut context = Context { broker, node: &view, orders: &mut Vec::new() };
        let mut piece = Vec::new();
        let step = job.go_on(&mut context, &mut piece);
        self.conversation.put_back(job, step, &piece, &mut self.broker.work);
        self.conversation.note_deadlines(self.now);
        true
    }

    fn flush(&mut self) {
        let outbox = &self.conversation.outbox;
        self.sent.extend_from_slice(outbox.plain().unwrap());
        self.conversation.flushed(outbox.len(), self.now);
    }

    /// Time passes; whether the connection stays.
    fn wait(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        let (users, logins) = (self.broker.users_mut(), &mut self.logins);
        let (cors, body_room) = (&self.cors, self.body_room);
        let mut reception = Reception { users, logins, cors, body_room, has_place: true };
        let stays = self.conversation.tick(&mut reception, self.now);
        self.conversation.note_deadlines(self.now);
        stays
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.sent).unwrap()
    }

    /// The statuses of all answers.
    fn statuses(&self) -> Vec<&str> {
        let answers = self.text().split("HTTP/1.1 ").skip(1);
        answers.map(|answer| answer.split(' ').next().unwrap()).collect()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{LOGIN}\r\n")
}

#[test]
fn requests_are_answered_in_order_wherever_the_input_is_cut() {
    let put = format!(
        "PUT /api/users/ann HTTP/1.1\r\n{LOGIN}Transfer-Encoding: chunked\r\n\r\n\
         5\r\n{{\"tag\r\n6\r\ns\":\"\"}}\r\n0\r\n\r\n"
    );
    let nope = get("/api/nope");
    let all = [&get("/api/whoami"), "\r\n", &put, &nope, &get("/api/users/ann")].concat();
    let whole = {
        let mut bench = Bench::new();
        bench.send(all.as_bytes());
        bench.conversation.wait_is_over();
        bench.send(b"");
        bench.text().to_owned()
    };
    for piece in 1..60 {
        let mut bench = Bench::new();
        for part in all.as_bytes().chunks(piece) {
            bench.send(part);
        }
        assert_eq!(bench.statuses(), ["200"], "the second waits for the disk");
        assert_eq!(bench.conversation.waits_for(), Durable::changes(&bench.broker));
        assert!(!bench.conversation.may_read());
        bench.conversation.wait_is_over();
        bench.send(b"");
        assert_eq!(bench.statuses(), ["200", "201", "404", "200"], "{piece}");
        assert_eq!(bench.text(), whole);
        assert!(bench.unread.is_empty());
    }
}

#[test]
fn who_expects_to_be_told_to_go_on_is_told_only_when_let_in() {
    let put = |login: &str| {
        format!(
            "PUT /api/users/ann HTTP/1.1\r\n{login}Content-Length: 11\r\n\
             Expect: 100-continue\r\n\r\n"
        )
    };
    let mut bench = Bench::new();
    bench.send(put(LOGIN).as_bytes());
    assert_eq!(bench.statuses(), ["100"]);
    bench.send(b"{\"tags\":\"\"}");
    bench.conversation.wait_is_over();
    bench.flush();
    assert_eq!(bench.statuses(), ["100", "201"]);
    let mut bench = Bench::new();
    bench.send(put("Host: h\r\n").as_bytes());
    assert_eq!(bench.statuses(), ["401"]);
    assert!(bench.conversation.is_closed(), "nobody knows whether the body comes");
    assert!(bench.text().contains("connection: close"));
}

#[test]
fn a_short_body_of_a_refused_request_is_thrown_away_and_a_long_one_ends_the_connection() {
    let put = |body: &str| {
        let length = body.len();
        format!("PUT /api/users/a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let mut bench = Bench::new();
    let short = put(&get("/api/whoami"));
    for part in [short, get("/api/whoami")].concat().as_bytes().chunks(7) {
        bench.send(part);
    }
    assert_eq!(bench.statuses(), ["401", "200"], "nothing is smuggled");
    let mut bench = Bench::new();
    bench.send(put(&"x".repeat(70_000)).as_bytes());
    bench.send(get("/api/whoami").as_bytes());
    assert_eq!(bench.statuses(), ["401"]);
    assert!(bench.conversation.is_closed());
}

#[test]
fn after_what_is_no_request_nothing_is_read() {
    let mut bench = Bench::new();
    let twice = "Content-Length: 5\r\nContent-Length: 50\r\n";
    bench.send(format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}{twice}\r\n").as_bytes());
    bench.send(get("/api/whoami").as_bytes());
    assert_eq!(bench.statuses(), ["400"]);
    assert!(bench.conversation.is_closed() && bench.unread.is_empty());
}

#[test]
fn a_request_has_to_arrive_in_time_and_idleness_ends() {
    let mut bench = Bench::new();
    bench.send(b"GET /api/who");
    assert!(bench.wait(29));
    bench.send(b"ami");
    assert!(bench.wait(1), "it is told why");
    bench.flush();
    assert_eq!(bench.statuses(), ["408"], "a byte now and then makes it no longer");
    let mut bench = Bench::new();
    bench.send(get("/api/whoami").as_bytes());
    assert!(bench.wait(59) && !bench.wait(1));
    let mut bench = Bench::new();
    bench.send(format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}Content-Length: 9\r\n\r\n").as_bytes());
    assert!(bench.wait(30));
    bench.flush();
    assert_eq!(bench.statuses(), ["408"]);
}

#[test]
fn who_does_not_read_is_not_worked_for_and_is_closed() {
    let mut bench = Bench::new();
    for number in 0..3000 {
        declare(&mut bench.broker, &format!("q{number}"), crate::amqp::Table::EMPTY);
    }
    bench.unread = get("/api/queues").into_bytes();
    bench.read();
    while bench.work() {}
    let waiting = bench.conversation.outbox.len();
    assert!((OUTBOX_BYTES_MAX..OUTBOX_BYTES_MAX * 2).contains(&waiting), "{waiting}");
    assert!(!bench.conversation.has_room_again());
    assert!(bench.wait(59) && !bench.wait(1));
    // Had it read, all of it would have come.
    bench.flush();
    bench.send(b"");
    assert!(bench.text().ends_with("\r\n0\r\n\r\n"));
    assert_eq!(bench.text().matches("\"name\":\"q").count(), 3000);
}

#[test]
fn a_login_that_follows_many_failures_is_looked_at_later() {
    let mut bench = Bench::new();
    let wrong = "GET /api/whoami HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTpi\r\n\r\n";
    (0..12).for_each(|_| bench.send(wrong.as_bytes()));
    assert_eq!(bench.statuses().len(), 11);
    assert!(!bench.conversation.may_read());
    assert!(bench.wait(1));
    bench.send(b"");
    assert_eq!(bench.statuses(), ["401"; 12]);
}

#[test]
fn a_client_of_http_1_0_gets_a_list_that_ends_with_the_connection() {
    let mut bench = Bench::new();
    for number in 0..500 {
        declare(&mut bench.broker, &format!("q{number}"), crate::amqp::Table::EMPTY);
    }
    let line = "GET /api/queues HTTP/1.0\r\nConnection: keep-alive\r\n";
    bench.send(format!("{line}{LOGIN}\r\n").as_bytes());
    assert!(bench.text().ends_with("}]") && !bench.text().contains("chunked"));
    assert!(bench.conversation.is_closed());
    let mut bench = Bench::new();
    bench.send(format!("HEAD /api/queues HTTP/1.1\r\n{LOGIN}\r\n").as_bytes());
    assert!(bench.text().ends_with("\r\n\r\n") && !bench.conversation.is_closed());
}

/// Tools wait for a while and then give up: there are not so many conversations that those could
/// wait for ever whom nobody answers.
#[test]
fn a_publish_waits_while_publishers_are_blocked_but_not_for_ever() {
    let mut bench = Bench::new();
    declare(&mut bench.broker, "q", crate::amqp::Table::EMPTY);
    let body = r#"{"routing_key":"q","payload":"x","payload_encoding":"string","properties":{}}"#;
    let length = body.len();
    let path = "/api/exchanges/%2F/amq.default/publish";
    let publish = format!("POST {path} HTTP/1.1\r\n{LOGIN}Content-Length: {length}\r\n\r\n{body}");
    bench.broker.set_alarms(true, false);
    bench.send(publish.as_bytes());
    assert!(bench.conversation.awaits_room(), "{}", bench.text());
    assert!(!bench.conversation.wants_work());
    assert!(bench.wait(29) && bench.text().is_empty());
    bench.broker.set_alarms(false, false);
    bench.conversation.unblock();
    bench.send(b"");
    assert_eq!(bench.statuses(), ["200"]);
    assert!(bench.text().ends_with(r#"{"routed":true}"#), "{}", bench.text());
    bench.broker.set_alarms(true, false);
    bench.send(publish.as_bytes());
    assert!(bench.wait(31));
    bench.send(b"");
    assert_eq!(bench.statuses(), ["200", "503"]);
}

/// What is in it goes by and by.
#[test]
fn nobody_sees_what_is_left_of_a_vhost_that_was_deleted() {
    let paths = [
        "/api/queues",
        "/api/queues?page=1&sort=name",
        "/api/exchanges",
        "/api/bindings",
        "/api/vhosts",
        "/api/definitions",
        "/metrics/detailed?family=queue_coarse_metrics&family=queue_metrics",
    ];
    let mut bench = Bench::new();
    let name = Name::from("soon-gone");
    let vhost = bench.broker.create_vhost(&name);
    let owner = subject(&bench.broker);
    let subject = Subject { vhost, vhost_name: name, is_owner: true, ..owner };
    let arguments = crate::amqp::Table::EMPTY;
    let traits = QueueTraits { durable: true, exclusive: false, auto_delete: false, arguments };
    bench.broker.declare_queue(&subject, b"its-queue", false, &traits).unwrap();
    let shown = |bench: &mut Bench, path: &str| {
        bench.sent.clear();
        bench.send(get(path).as_bytes());
        assert_eq!(bench.statuses(), ["200"], "{path}");
        bench.text().contains("soon-gone")
    };
    let totals = |bench: &mut Bench| {
        bench.sent.clear();
        bench.send(get("/api/overview?columns=object_totals").as_bytes());
        bench.text().split("\r\n\r\n").last().unwrap().to_owned()
    };
    for path in paths {
        assert!(shown(&mut bench, path), "{path}");
    }
    let before = totals(&mut bench);
    bench.broker.delete_vhost(vhost);
    let is_there = bench.broker.topology().queue_named(vhost, b"its-queue").is_some();
    assert!(is_there, "nothing of it went yet");
    for path in paths {
        assert!(!shown(&mut bench, path), "{path}");
    }
    assert_ne!(totals(&mut bench), before);
}

#[test]
fn a_body_that_there_is_no_room_for_is_not_taken() {
    let put = |framing: &str| format!("PUT /api/users/a HTTP/1.1\r\n{LOGIN}{framing}\r\n\r\n");
    let mut bench = Bench::new();
    bench.body_room = 9;
    bench.send(put("Content-Length: 11").as_bytes());
    bench.send(b"{\"tags\":\"\"}");
    bench.send(get("/api/whoami").as_bytes());
    assert_eq!(bench.statuses(), ["503", "200"], "a short one is passed over");
    assert!(bench.text().contains("try again later"));
    bench.send(put("Transfer-Encoding: chunked").as_bytes());
    bench.send(b"5\r\n{\"tag\r\n");
    assert_eq!(bench.statuses().len(), 2);
    bench.send(b"a\r\ns\":\"12345\"\r\n");
    assert_eq!(bench.statuses(), ["503", "200", "503"]);
    assert!(bench.conversation.is_closed());
}
