//! Recovery from any files: a start ends, by saying why it cannot be or with a broker that works;
//! what the first start makes of the files is what the next one finds.

use std::fs;
use std::sync::OnceLock;

use leveret::amqp::method::{basic, confirm, exchange, queue, tx};
use leveret::amqp::{FrameKind, Method, PropertyList, TableBuf, encoder};
use leveret::broker::Broker;
use leveret::broker::key::VhostKey;
use leveret::storage::StorageError;

use super::cursor::Cursor;
use super::driver::{Driver, memory_directory, options};
use super::harm::{self, Files};

/// Where the messages of a used log are.
const QUEUES: [&[u8]; 4] = [b"a", b"b", b"log", b"dead"];

pub fn run(input: &[u8]) {
    let mut input = Cursor(input);
    let kind = input.byte();
    let mut files = match kind % 4 {
        0 => harm::whole_files(&mut input),
        kind => used_logs()[usize::from(kind % 2)].clone(),
    };
    harm::inflict(&mut input, &mut files);
    let directory = memory_directory();
    for (name, bytes) in &files {
        fs::write(directory.path().join(name), bytes).expect("there is room");
    }
    let Ok((broker, _)) = Broker::open_anyway(directory.path(), options(&directory)) else {
        return;
    };
    // The queues of a virtual host that is made anew come back at the next start.
    let has_vhost = vhost(&broker).is_some();
    let mut driver = Driver::around(broker, directory);
    let is_confirmed = use_it(&mut driver);
    let Driver { node, directory, .. } = driver;
    let broker = node.into_broker();
    let (queues, messages) = (broker.queues().len(), count(&broker));
    let may_lack_some = broker.store.report().may_lack_some;
    broker.close().expect("the disk takes it");
    let (broker, found) = match Broker::open(directory.path(), options(&directory)) {
        Ok(opened) => opened,
        // What nobody looked at, as it was taken for free, may turn out to be a copy.
        Err(StorageError::Twice { .. }) => return,
        Err(error) => panic!("it opened before: {error}"),
    };
    let report = broker.store.report();
    assert!(report.clean || may_lack_some, "{report:?}");
    assert!(found.queues == queues || !has_vhost, "{} queues of {queues}", found.queues);
    if has_vhost && !may_lack_some {
        assert_eq!((count(&broker) as u64, found.messages), (messages as u64, messages as u64));
    }
    let after = vhost(&broker).and_then(|vhost| broker.topology().queue_named(vhost, b"after"));
    assert!(after.is_some() || !is_confirmed);
}

fn vhost(broker: &Broker) -> Option<VhostKey> {
    broker.topology().vhost_named(b"/")
}

fn count(broker: &Broker) -> usize {
    broker.queues().iter().map(|(_, queue)| queue.message_count()).sum()
}

/// Reads everything, and adds a message; whether that was confirmed.
fn use_it(driver: &mut Driver) -> bool {
    let client = driver.connect();
    driver.log_in(client);
    driver.settle();
    for queue in QUEUES {
        let mut frames = Vec::new();
        encoder::method_frame(
            &mut frames,
            1,
            &basic::Qos { prefetch_count: 100, ..Default::default() },
        );
        encoder::method_frame(&mut frames, 1, &basic::Consume { queue, ..Default::default() });
        driver.send(client, &frames, true);
        driver.settle();
        driver.read_all();
        driver.reconnect(client);
        driver.log_in(client);
        driver.settle();
    }
    let mut frames = Vec::new();
    encoder::method_frame(&mut frames, 1, &confirm::Select { nowait: true });
    let declare = queue::Declare { queue: b"after", durable: true, ..Default::default() };
    encoder::method_frame(&mut frames, 1, &declare);
    publish(&mut frames, b"after", 10);
    driver.send(client, &frames, true);
    driver.settle();
    let mut is_confirmed = false;
    driver.clients[client].read(&mut |frame| {
        let method = (frame.kind == FrameKind::Method).then(|| Method::decode(frame.payload));
        is_confirmed |= matches!(method, Some(Ok(Method::BasicAck(_))));
    });
    driver.reconnect(client);
    driver.settle();
    is_confirmed
}

/// The files of a broker that was used, killed and, the second, stopped.
fn used_logs() -> &'static [Files; 2] {
    static LOGS: OnceLock<[Files; 2]> = OnceLock::new();
    LOGS.get_or_init(|| [false, true].map(used_log))
}

fn used_log(stops: bool) -> Files {
    let mut driver = Driver::new();
    let client = driver.connect();
    driver.log_in(client);
    let mut frames = Vec::new();
    define_all(&mut frames);
    encoder::method_frame(&mut frames, 1, &tx::Select {});
    for round in 0..6 {
        for queue in QUEUES {
            publish(&mut frames, queue, [0, 30, 700, 9000, 40, 70_000][round]);
        }
        encoder::method_frame(&mut frames, 1, &basic::Get { queue: b"a", no_ack: false });
        let delivery_tag = round as u64 + 1;
        match round % 3 {
            0 => {
                encoder::method_frame(&mut frames, 1, &basic::Ack { delivery_tag, multiple: false })
            }
            1 => encoder::method_frame(
                &mut frames,
                1,
                &basic::Nack { delivery_tag, multiple: false, requeue: false },
            ),
            _ => {}
        }
        encoder::method_frame(&mut frames, 1, &tx::Commit {});
    }
    driver.send(client, &frames, true);
    for _ in 0..10 {
        driver.settle();
    }
    driver.read_all();
    let Driver { node, directory, .. } = driver;
    if stops {
        node.into_broker().close().expect("the disk takes it");
    } else {
        drop(node);
    }
    let mut files: Files = fs::read_dir(directory.path())
        .expect("it can be read")
        .map(|entry| entry.expect("it can be read"))
        .map(|entry| {
            let name = entry.file_name().into_string().expect("they have plain names");
            (name, fs::read(entry.path()).expect("it can be read"))
        })
        .collect();
    files.sort();
    files
}

fn define_all(frames: &mut Vec<u8>) {
    let mut dying = TableBuf::new();
    dying.put_str(b"x-dead-letter-exchange", "letters");
    let mut stream = TableBuf::new();
    stream.put_str(b"x-queue-type", "stream");
    let none = TableBuf::new();
    for (queue, arguments) in QUEUES.into_iter().zip([&dying, &none, &stream, &none]) {
        let arguments = arguments.table();
        let declare = queue::Declare { queue, durable: true, arguments, ..Default::default() };
        encoder::method_frame(frames, 1, &declare);
    }
    let declare = exchange::Declare {
        exchange: b"letters",
        kind: b"fanout",
        durable: true,
        ..Default::default()
    };
    encoder::method_frame(frames, 1, &declare);
    let bind = queue::Bind { queue: b"dead", exchange: b"letters", ..Default::default() };
    encoder::method_frame(frames, 1, &bind);
}

fn publish(out: &mut Vec<u8>, queue: &[u8], bytes: usize) {
    let publish = basic::Publish { routing_key: queue, ..Default::default() };
    encoder::method_frame(out, 1, &publish);
    let mut properties = Vec::new();
    PropertyList { delivery_mode: Some(2), ..Default::default() }.encode(&mut properties);
    encoder::content(out, 1, &properties, &vec![b'x'; bytes], 8192);
}
