//! Does a broker that may have few files open keep its log going, whoever connects?

mod common;

use std::net::TcpStream;

use common::*;

const OPEN_FILES: u32 = 64;
/// The smallest that the broker takes, so that a backlog of little has many files.
const SEGMENT_BYTES: u32 = 1 << 20;

/// The descriptors that the process has open.
fn open_files(process: &Process) -> usize {
    descriptors(process.id()).expect("it runs")
}

/// Sockets of which the kernel takes all and the broker as many as it can, and how many it has
/// open when it stops.
fn crowd(process: &Process) -> (Vec<TcpStream>, usize) {
    let connect = |_| TcpStream::connect(process.address()).expect("the kernel accepts it");
    let crowd: Vec<TcpStream> = (0..2 * OPEN_FILES).map(connect).collect();
    let deadline = deadline();
    let enough = OPEN_FILES as usize / 2;
    while open_files(process) < enough {
        assert!(now() < deadline, "it accepts nobody");
    }
    (crowd, open_files(process))
}

/// One free descriptor, and a publisher ended the broker; a backlog of more files than it may have
/// open, too.
#[test]
fn a_crowd_leaves_descriptors_to_a_backlog_of_more_files_than_may_be_open() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let process = Process::start_with_files(&data, SEGMENT_BYTES, OPEN_FILES);
    let mut client = Client::connect(process.address());
    let queue = client.durable_queue(1);
    let (crowd, open) = crowd(&process);
    assert!(open + 16 <= OPEN_FILES as usize, "{open} are open, which leaves the log too few");
    let count = 2 * OPEN_FILES as usize;
    client.confirm_all(2, &queue, (0..count).map(|_| vec![b'b'; 700_000]));
    for _ in 0..1000 {
        let passing = client.durable_queue(1);
        client.delete_queue(1, &passing);
    }
    let open = open_files(&process);
    assert!(open + 8 <= OPEN_FILES as usize, "{open} are open with the backlog");
    drop(crowd);
    // There is room for others again.
    let mut other = Client::connect(process.address());
    assert_eq!(other.inspect(1, &queue).messages as usize, count);
    other.close();
    client.close();
    let log = process.terminate();
    let warned = log.iter().filter(|line| line.contains("cannot accept connections for now"));
    assert_eq!(warned.count(), 1, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("blocked")), "{log:#?}");
    // All files are read at the start.
    for killed in [false, true] {
        let process = Process::start_with_files(&data, SEGMENT_BYTES, OPEN_FILES);
        let mut client = Client::connect(process.address());
        assert_eq!(client.inspect(1, &queue).messages as usize, count);
        client.close();
        if killed {
            process.kill()
        } else {
            process.terminate()
        };
    }
    let process = Process::start_with_files(&data, SEGMENT_BYTES, OPEN_FILES);
    let mut client = Client::connect(process.address());
    assert_eq!(client.empty(2, &queue) as usize, count);
}
