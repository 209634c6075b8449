//! How does a client of ours speak TLS over a stream, whether that blocks or not?

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ConnectionCommon};

/// TLS over a stream of somebody else's.
#[derive(Debug)]
pub struct ClientStream<S> {
    stream: S,
    tls: Box<ClientConnection>,
    /// What came and is not decrypted.
    came: Vec<u8>,
    /// How much of that is done with.
    taken: usize,
    /// Decrypted, and not read.
    waiting: usize,
    /// The other end sends no more.
    is_over: bool,
}

/// So much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Sends what is encrypted, as far as the stream takes it.
///
/// # Errors
/// `WouldBlock` when it takes no more for now; what became of it.
pub fn send<D>(tls: &mut ConnectionCommon<D>, stream: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<S: Read + Write> ClientStream<S> {
    /// TLS with the server of this name; its handshake goes on with the first reads and writes.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(stream: S, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let invalid = |error: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(&error))?;
        let tls = ClientConnection::new(config, name).map_err(|error| invalid(&error))?;
        let tls = Box::new(tls);
        Ok(Self { stream, tls, came: Vec::new(), taken: 0, waiting: 0, is_over: false })
    }

    /// Has another stream carry it.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> ClientStream<T> {
        let Self { stream, tls, came, taken, waiting, is_over } = self;
        ClientStream { stream: change(stream), tls, came, taken, waiting, is_over }
    }

    /// The stream that carries it.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The same, to register it.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Decrypts what came, and reads more if nothing did.
    fn receive(&mut self) -> io::Result<()> {
        if self.taken == self.came.len() {
            self.came.resize(READ_BYTES, 0);
            self.taken = 0;
            let read = self.stream.read(&mut self.came);
            self.came.truncate(*read.as_ref().unwrap_or(&0));
            self.is_over = read? == 0;
            if self.is_over {
                return Ok(());
            }
        }
        let mut rest = &self.came[self.taken..];
        self.taken += self.tls.read_tls(&mut rest)?;
        let state = self.tls.process_new_packets().map_err(|error| {
            // It says why; nobody may be there to hear it.
            let _ = self.tls.write_tls(&mut self.stream);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        self.waiting = state.plaintext_bytes_to_read();
        self.is_over |= state.peer_has_closed();
        Ok(())
    }
}

impl<S: Read + Write> Read for ClientStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.waiting == 0 && !self.is_over {
            // The handshake, and answers of TLS itself.
            match send(&mut self.tls, &mut self.stream) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => self.receive()?,
            }
        }
        if self.waiting == 0 {
            return Ok(0);
        }
        let read = self.tls.reader().read(buffer)?;
        self.waiting -= read;
        Ok(read)
    }
}

impl<S: Read + Write> Write for ClientStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.tls.is_handshaking() && !self.is_over {
            send(&mut self.tls, &mut self.stream)?;
            if self.tls.is_handshaking() {
                self.receive()?;
            }
        }
        if self.tls.is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut taken = 0;
        // All of it, unless the stream takes no more: whoever waits for that is told by the stream.
        while taken < bytes.len() {
            taken += self.tls.writer().write(&bytes[taken..])?;
            match send(&mut self.tls, &mut self.stream) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Sends what is encrypted.
    fn flush(&mut self) -> io::Result<()> {
        send(&mut self.tls, &mut self.stream)?;
        self.stream.flush()
    }
}
