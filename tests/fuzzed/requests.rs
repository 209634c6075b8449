//! Operators' requests against a node: one client at the port and the owner at the socket, who send
//! pieces of requests or anything else. What waits is bounded, and all that leaves is HTTP.

use std::time::Duration;

use leveret::management::Origin;

use super::cursor::Cursor;
use super::driver::Driver;

/// What requests are made of.
const PIECES: &[&str] = &[
    "GET /api/whoami HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /api/queues?page=1&sort=name HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /api/overview HTTP/1.0\r\n\r\n",
    "HEAD /api/users HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /api/users/a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n{\"tags\":\"\"}",
    "PUT /api/vhosts/%2Fv HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET ",
    "PUT ",
    "/api/users/",
    "/api/queues/%2F/",
    "?page=1&page_size=3&name=(a%2B)%2B%24&use_regex=true&columns=a.b,name",
    " HTTP/1.1\r\n",
    "Host: h\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n",
    "Authorization: Basic Z3Vlc3Q6\r\n",
    "\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "{\"tags\":[",
    "\"a\"]}",
];

/// No more waits in an outbox: the limit, and the last step.
const OUTBOX_BYTES_MAX: usize = 512 * 1024;

/// No more is left of what was sent and could be taken: the beginning of a head.
const UNREAD_BYTES_MAX: usize = 16 * 1024;

pub fn run(input: &[u8]) {
    let mut driver = Driver::new();
    let port = Origin::Address(([127, 0, 0, 1], 1).into());
    let origins = [port, Origin::Owner];
    origins.iter().for_each(|&origin| driver.connect_operator(origin));
    let mut input = Cursor(input);
    while !input.is_empty() {
        let kind = input.byte();
        let client = usize::from(kind & 0x80 != 0);
        let arrives = kind & 0x40 == 0;
        match kind & 0x3f {
            0 => driver.turn(Duration::from_millis(u64::from(input.byte()))),
            1 => driver.turn(Duration::from_secs(u64::from(input.byte()))),
            2 => driver.reconnect_operator(client, origins[client]),
            3 => driver.clients[client].reads ^= true,
            4 => driver.send(client, input.short_string(), arrives),
            kind => {
                let piece = PIECES[usize::from(kind) % PIECES.len()];
                driver.send(client, piece.as_bytes(), arrives);
            }
        }
        look(&mut driver);
    }
    driver.settle();
    look(&mut driver);
    driver.expect_good_end();
}

fn look(driver: &mut Driver) {
    for client in 0..driver.clients.len() {
        let key = driver.clients[client].key;
        let waiting = driver.node.output(key).map_or(0, |outbox| outbox.len());
        assert!(waiting < OUTBOX_BYTES_MAX, "{waiting} bytes wait");
        let unread = driver.unread(client);
        assert!(!driver.node.may_read(key) || unread <= UNREAD_BYTES_MAX, "{unread} bytes unread");
        let got = &driver.clients[client].got;
        assert!(got.is_empty() || got.starts_with(b"HTTP/1.1 "), "{}", got.escape_ascii());
    }
}
