//! How does TLS travel over a TCP stream that never blocks?
//!
//! What arrives is read into the buffer that all connections share, decrypted, and lies at the
//! beginning of that buffer afterwards: nothing that was decrypted waits here, so that readiness of
//! the socket tells all. What leaves is encrypted as far as [`PENDING_BYTES_MAX`] allows, and waits
//! here until the kernel takes it.

use std::fmt::Display;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use rustls::{Error, ServerConnection};

use crate::tls;

use super::connection::Fill;

/// A TCP stream that carries TLS.
#[derive(Debug)]
pub struct Encrypted {
    pub stream: TcpStream,
    tls: ServerConnection,
    state: State,
    /// What came first, to say what it was if it is not TLS.
    first: [u8; FIRST_BYTES],
    first_len: u8,
    /// Which site's certificate was shown.
    pub site: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The handshake goes on.
    Shaking,
    /// It is over, and nobody was told.
    Shaken,
    /// Messages may come and go.
    Open,
    /// The client sends no more.
    Over,
}

/// What a read brought, and what that cost.
#[derive(Debug)]
pub struct Received {
    pub fill: Fill,
    /// Bytes that came and were no content: each record has some, and takes its time.
    pub overhead: usize,
    /// Why nothing more can come, if TLS failed.
    pub failure: Option<String>,
}

/// So many bytes are encrypted and wait for the kernel, at most.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// So much is read and decrypted at a time. As long as most of that is content the next follows;
/// who sends anything else waits for the next turn.
const STEP_BYTES: usize = 16 * 1024;

/// What one read brings at most.
const READ_BYTES_MAX: usize = 128 * 1024;

/// So far ahead of what is decrypted lies what is not: the rest of a record may have come before.
const GAP_BYTES: usize = 24 * 1024;

const FIRST_BYTES: usize = 8;

impl Encrypted {
    /// A stream whose client has to begin with a handshake.
    ///
    /// # Errors
    /// TLS cannot begin: there is no randomness.
    pub fn new(stream: TcpStream, site: usize, shown: &tls::Site) -> Result<Self, Error> {
        let mut tls = ServerConnection::new(shown.config())?;
        tls.set_buffer_limit(Some(PENDING_BYTES_MAX));
        let first = [0; FIRST_BYTES];
        Ok(Self { stream, tls, state: State::Shaking, first, first_len: 0, site })
    }

    /// Whether the handshake goes on.
    pub fn is_shaking(&self) -> bool {
        self.state == State::Shaking
    }

    /// What was agreed on, once, when the handshake is over.
    pub fn take_peer(&mut self, site: &tls::Site) -> Option<tls::Peer> {
        if self.state != State::Shaken {
            return None;
        }
        self.state = State::Open;
        Some(tls::Peer::of(&self.tls, site))
    }

    /// Reads what came into `buffer`, decrypted; `read_closed`: the peer closed its side.
    pub fn receive(&mut self, buffer: &mut [u8], read_closed: bool) -> Received {
        let mut plain = 0;
        let mut overhead = 0;
        let done = |fill, overhead| Received { fill, overhead, failure: None };
        while plain + GAP_BYTES + STEP_BYTES <= buffer.len() && plain < READ_BYTES_MAX {
            if self.state == State::Over {
                break;
            }
            let start = plain + GAP_BYTES;
            let came = match self.stream.read(&mut buffer[start..start + STEP_BYTES]) {
                // What was decrypted comes first; the next read says again that this is the end.
                Ok(0) if plain > 0 => return done(Fill::Bytes(plain), overhead),
                Ok(0) => return self.ended(overhead),
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return done(Fill::Drained(plain), overhead);
                }
                Err(_) if plain > 0 => return done(Fill::Bytes(plain), overhead),
                Err(_) => return self.ended(overhead),
            };
            self.note_first(&buffer[start..start + came]);
            let before = plain;
            if let Err(error) = self.decrypt(buffer, &mut plain, start, came) {
                return self.failed(&error, overhead + came);
            }
            overhead += came.saturating_sub(plain - before);
            if self.state != State::Over && came < STEP_BYTES && !read_closed {
                return done(Fill::Drained(plain), overhead);
            }
            if (plain - before) * 2 < came {
                break;
            }
        }
        if self.state == State::Over && plain == 0 {
            // Whoever ended its side waits for the end of ours; nobody may be there to hear it.
            let _ = self.finish();
            return done(Fill::Closed, overhead);
        }
        done(Fill::Bytes(plain), overhead)
    }

    /// Decrypts `came` bytes at `start` to where `plain` stands, which moves.
    fn decrypt(
        &mut self,
        buffer: &mut [u8],
        plain: &mut usize,
        start: usize,
        came: usize,
    ) -> Result<(), Error> {
        let mut at = start;
        while at < start + came {
            let mut records = &buffer[at..start + came];
            let taken = self.tls.read_tls(&mut records).map_err(general)?;
            if taken == 0 {
                return Err(general("a message is too large"));
            }
            at += taken;
            let state = self.tls.process_new_packets()?;
            let mut waiting = state.plaintext_bytes_to_read();
            while waiting > 0 {
                // Content is never longer than the records that it came in, and of those at most
                // the rest of one was here before: there is room for it.
                let read = self.tls.reader().read(&mut buffer[*plain..at]).map_err(general)?;
                if read == 0 {
                    return Err(general("there is no room for what was decrypted"));
                }
                *plain += read;
                waiting -= read;
            }
            if self.state == State::Shaking && !self.tls.is_handshaking() {
                self.state = State::Shaken;
            }
            if state.peer_has_closed() {
                self.state = State::Over;
                break;
            }
        }
        Ok(())
    }

    /// The peer is gone; in the middle of a handshake that is worth a word.
    fn ended(&mut self, overhead: usize) -> Received {
        let is_early = self.state == State::Shaking && self.first_len > 0;
        self.state = State::Over;
        let failure = is_early.then(|| "it went away in the middle of the handshake".to_owned());
        Received { fill: Fill::Closed, overhead, failure }
    }

    /// Says so to the peer as far as it listens. What it sent besides is read, so that the socket's
    /// end does not overtake the alert.
    fn failed(&mut self, error: &Error, overhead: usize) -> Received {
        let first = &self.first[..usize::from(self.first_len)];
        let foreign = tls::describe(first).filter(|_| self.state == State::Shaking);
        let problem = foreign.map_or_else(|| tls::explain(error), str::to_owned);
        let failure = Some(match self.state {
            State::Shaking => format!("the TLS handshake failed: {problem}"),
            State::Shaken | State::Open | State::Over => format!("TLS failed: {problem}"),
        });
        self.state = State::Over;
        // Nobody may be there to be told.
        let _ = self.send();
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut rest = [0; 4096];
        for _ in 0..16 {
            if !matches!(self.stream.read(&mut rest), Ok(1..)) {
                break;
            }
        }
        Received { fill: Fill::Closed, overhead, failure }
    }

    fn note_first(&mut self, came: &[u8]) {
        let have = usize::from(self.first_len);
        let more = came.len().min(FIRST_BYTES - have);
        self.first[have..have + more].copy_from_slice(&came[..more]);
        self.first_len = u8::try_from(have + more).expect("8 bytes at most");
    }

    /// Encrypts the beginning of what is to be sent; how many bytes of it are done with.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes no more for now.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_shaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = self.tls.writer().write_vectored(slices)?;
        match self.send() {
            // The next write finds out that there is no room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && bytes > 0 => Ok(bytes),
            Err(error) => Err(error),
            Ok(()) => Ok(bytes),
        }
    }

    /// Sends what is encrypted.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes no more for now.
    pub fn send(&mut self) -> io::Result<()> {
        tls::send(&mut self.tls, &mut self.stream)
    }

    /// Whether something is encrypted and not sent.
    pub fn has_pending(&self) -> bool {
        self.tls.wants_write()
    }

    /// Ends our side in an orderly way.
    ///
    /// # Errors
    /// The socket failed.
    pub fn finish(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => self.stream.shutdown(Shutdown::Write),
        }
    }
}

fn general(problem: impl Display) -> Error {
    Error::General(problem.to_string())
}
