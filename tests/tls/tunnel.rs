//! How does a client that knows nothing of TLS speak it? Through a port of this test's, behind
//! which one thread encrypts what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustls::{ClientConnection, Connection};

use crate::authority::Dialect;

/// A port that leads to `address` over TLS, as often as somebody connects.
pub fn to(address: SocketAddr, dialect: &Dialect) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let dialect = dialect.clone();
    thread::spawn(move || {
        while let Ok((inner, _)) = listener.accept() {
            let dialect = dialect.clone();
            thread::spawn(move || carry(inner, address, dialect.begin()));
        }
    });
    local
}

/// Carries bytes both ways until one side ends.
fn carry(mut inner: TcpStream, address: SocketAddr, client: ClientConnection) {
    let Ok(mut outer) = TcpStream::connect(address) else {
        return;
    };
    let mut tls = Connection::from(client);
    tls.set_buffer_limit(None);
    for stream in [&inner, &outer] {
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut answers: Vec<u8> = Vec::new();
    loop {
        let mut moved = false;
        let mut ended = false;
        // With a lot to send nothing more is taken.
        if !tls.wants_write() && !tls.is_handshaking() {
            match inner.read(&mut buffer) {
                Ok(0) => {
                    tls.send_close_notify();
                    ended = true;
                }
                Ok(count) => {
                    tls.writer().write_all(&buffer[..count]).unwrap();
                    moved = true;
                }
                Err(error) => ended |= error.kind() != ErrorKind::WouldBlock,
            }
        }
        while tls.wants_write() {
            match tls.write_tls(&mut outer) {
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return,
            }
        }
        if answers.len() < 1 << 20 {
            match tls.read_tls(&mut outer) {
                Ok(0) => ended = true,
                Ok(_) => {
                    moved = true;
                    let processed = tls.process_new_packets();
                    let waiting =
                        processed.as_ref().map_or(0, |state| state.plaintext_bytes_to_read());
                    let start = answers.len();
                    answers.resize(start + waiting, 0);
                    tls.reader().read_exact(&mut answers[start..]).unwrap();
                    let is_closed =
                        processed.as_ref().map_or(true, |state| state.peer_has_closed());
                    ended |= is_closed;
                    // Says why.
                    let _ = tls.write_tls(&mut outer);
                }
                Err(error) => ended |= error.kind() != ErrorKind::WouldBlock,
            }
        }
        while !answers.is_empty() {
            match inner.write(&answers) {
                Ok(count) => {
                    answers.drain(..count);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && !ended => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(_) => return,
            }
        }
        if ended {
            let _ = outer.shutdown(Shutdown::Both);
            let _ = inner.shutdown(Shutdown::Both);
            return;
        }
        if !moved {
            thread::sleep(std::time::Duration::from_micros(200));
        }
    }
}
