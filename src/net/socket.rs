//! What is a connection made of: a TCP or a Unix socket, with TLS or without, used alike.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::encrypted::Encrypted;

/// A stream socket.
#[derive(Debug)]
pub enum Socket {
    /// To a client anywhere.
    Tcp(TcpStream),
    /// To a client of this machine.
    Unix(UnixStream),
    /// To a client anywhere, with TLS; in a box, so that the others stay small.
    Tls(Box<Encrypted>),
}

impl Socket {
    /// Reads once, as the bytes come; with TLS they are of use to nobody.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(encrypted) => encrypted.stream.read(buffer),
        }
    }

    /// What came first and was not read, as it lies in the socket; it stays there.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buffer),
            Self::Unix(_) | Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes once.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(encrypted) => encrypted.write(&[IoSlice::new(bytes)]),
        }
    }

    /// Writes once, from several places.
    #[inline]
    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Unix(stream) => stream.write_vectored(slices),
            Self::Tls(encrypted) => encrypted.write(slices),
        }
    }

    /// What carries TLS, if something does.
    #[inline]
    pub fn encrypted(&mut self) -> Option<&mut Encrypted> {
        match self {
            Self::Tls(encrypted) => Some(encrypted),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Ends our side.
    pub fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(encrypted) => encrypted.finish(),
        }
    }

    /// Who is at the other end, for the log.
    pub fn peer(&self) -> String {
        match self {
            Self::Tcp(stream) => peer_of(stream),
            Self::Unix(_) => "the Unix socket".to_owned(),
            Self::Tls(encrypted) => peer_of(&encrypted.stream),
        }
    }
}

fn peer_of(stream: &TcpStream) -> String {
    stream.peer_addr().map_or("a client".to_owned(), |peer| peer.to_string())
}

impl Source for Socket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
            Self::Tls(encrypted) => encrypted.stream.register(registry, token, interests),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) => stream.reregister(registry, token, interests),
            Self::Tls(encrypted) => encrypted.stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
            Self::Tls(encrypted) => encrypted.stream.deregister(registry),
        }
    }
}
