//! Whole sessions against a node: two clients that send anything, well-formed or not, and one that
//! lives beside them and must not notice.

use std::time::Duration;

use leveret::amqp::method::{basic, confirm, queue};
use leveret::amqp::{FrameKind, Method, encoder};

use super::cursor::Cursor;
use super::driver::Driver;
use super::wishes;

const BYSTANDER: usize = 0;
/// The two others.
const WILD: [usize; 2] = [1, 2];
/// In the first byte of a step: what it sends arrives with what the next one sends.
const HELD_BACK: u8 = 0x80;
/// The same: the second of the wild clients acts.
const SECOND: u8 = 0x40;

pub fn run(input: &[u8]) {
    let mut driver = Driver::new();
    for client in [BYSTANDER, WILD[0], WILD[1]] {
        driver.connect();
        driver.log_in(client);
    }
    settle_down(&mut driver);
    let mut input = Cursor(input);
    while !input.is_empty() {
        step(&mut driver, &mut input);
    }
    driver.settle();
    driver.read_all();
    expect_untouched(&mut driver);
    driver.expect_good_end();
}

fn step(driver: &mut Driver, input: &mut Cursor<'_>) {
    let kind = input.byte();
    let client = WILD[usize::from(kind & SECOND != 0)];
    let arrives = kind & HELD_BACK == 0;
    match kind & !(SECOND | HELD_BACK) {
        0 => driver.turn(Duration::from_millis(u64::from(input.byte()))),
        1 => driver.turn(Duration::from_secs(u64::from(input.short()))),
        2 => {
            driver.reconnect(client);
            driver.log_in(client);
        }
        3 => driver.reconnect(client),
        4 => driver.clients[client].reads ^= true,
        5 => {
            let bytes = input.short_string();
            driver.send(client, bytes, arrives);
        }
        _ => {
            let mut frames = Vec::new();
            wishes::wish(input, &mut frames);
            driver.send(client, &frames, arrives);
        }
    }
}

/// The bystander gets a queue of its own.
fn settle_down(driver: &mut Driver) {
    let mut frames = Vec::new();
    let declare = queue::Declare { queue: b"its own", exclusive: true, ..Default::default() };
    encoder::method_frame(&mut frames, 1, &declare);
    encoder::method_frame(&mut frames, 1, &confirm::Select { nowait: false });
    driver.send(BYSTANDER, &frames, true);
    driver.settle();
    driver.read_all();
}

/// The bystander publishes, is confirmed, and gets what it published.
fn expect_untouched(driver: &mut Driver) {
    let mut frames = Vec::new();
    let publish = basic::Publish { routing_key: b"its own", ..Default::default() };
    encoder::method_frame(&mut frames, 1, &publish);
    encoder::content(&mut frames, 1, &[0, 0], b"all is well", 8192);
    driver.send(BYSTANDER, &frames, true);
    let (mut confirmed, mut found) = (false, false);
    for _ in 0..400 {
        let mut frames = Vec::new();
        let get = basic::Get { queue: b"its own", no_ack: true };
        encoder::method_frame(&mut frames, 1, &get);
        driver.send(BYSTANDER, &frames, true);
        driver.settle();
        driver.clients[BYSTANDER].read(&mut |frame| {
            let method = Method::decode(frame.payload);
            confirmed |= frame.kind == FrameKind::Method
                && matches!(method, Ok(Method::BasicAck(basic::Ack { delivery_tag: 1, .. })));
            found |= frame.kind == FrameKind::Body && frame.payload == b"all is well";
        });
        if confirmed && found {
            return;
        }
    }
    let gone = driver.clients[BYSTANDER].gone;
    panic!("the bystander noticed: gone {gone}, confirmed {confirmed}, found {found}");
}
