//! How do frames get out of a non-blocking socket, and bytes into it?

use std::io::{self, Read, Write};

use leveret::amqp::{Frame, Parsed};
use mio::net::TcpStream;

use crate::client::Client;
use crate::fault::Fault;
use crate::pace::Clock;
use crate::wire::Wire;

/// A socket in the event loop, with what is known of its readiness.
#[derive(Debug)]
pub struct Link {
    stream: Wire<TcpStream>,
    partial: Vec<u8>,
    frame_bytes_max: u32,
    readable: bool,
    writable: bool,
    hung_up: bool,
}

impl Link {
    /// Takes over from the blocking part.
    ///
    /// # Errors
    /// The socket could not be set non-blocking.
    pub fn new(client: Client) -> io::Result<Link> {
        let (stream, partial, frame_bytes_max) = client.into_parts()?;
        Ok(Link {
            stream: stream.into_loop(),
            partial,
            frame_bytes_max,
            readable: true,
            writable: true,
            hung_up: false,
        })
    }

    /// The socket, for registering.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.socket_mut()
    }

    /// The largest frame on this connection, bytes.
    pub fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max
    }

    /// Remembers what the poll said; it will not say it again.
    pub fn note_ready(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.readable |= readable;
        self.writable |= writable;
        self.hung_up |= hung_up;
        // What is encrypted and waits; whether that fails, the next read or write says.
        if writable {
            let _ = self.stream.flush();
        }
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether a write may get rid of something.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// One read, as large as `scratch`, and every whole frame in it to `take`, with the time
    /// right after the read. Returns whether anything came.
    ///
    /// # Errors
    /// The connection is over, or `take` says so.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        clock: &Clock,
        mut take: impl FnMut(&Frame<'_>, u64) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let kept = self.partial.len();
        scratch[..kept].copy_from_slice(&self.partial);
        let count = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(Fault::Lost(error)),
        };
        // A short read has emptied the socket; what comes later is told anew. Only the end of
        // the stream may have been told already.
        if kept + count < scratch.len() && !self.hung_up && self.stream.is_exact() {
            self.readable = false;
        }
        let now_ns = clock.now_ns();
        let mut input = &scratch[..kept + count];
        while let Parsed::Complete(frame, used) = Frame::parse(input, self.frame_bytes_max)? {
            take(&frame, now_ns)?;
            input = &input[used..];
        }
        self.partial.clear();
        self.partial.extend_from_slice(input);
        Ok(true)
    }

    /// One write; returns how many bytes went.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match self.stream.write(bytes) {
            Ok(count) => {
                self.writable = count == bytes.len();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(Fault::Lost(error)),
        }
    }

    /// Back to a blocking socket, for the good-bye.
    pub fn into_stream(self) -> Wire<std::net::TcpStream> {
        self.stream.into_blocking()
    }
}

/// Bytes asked for in one read, besides what an unfinished frame may take.
pub const READ_BYTES: usize = 256 * 1024;
