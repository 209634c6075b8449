//! How do bytes travel: as they are, or over TLS?

use std::io::{self, Read, Write};
use std::net::TcpStream as Blocking;
use std::sync::Arc;

use leveret::tls::ClientStream;
use mio::net::TcpStream;
use rustls::ClientConfig;

use crate::uri::Uri;

/// A TCP stream, of the standard library's or of the event loop's.
#[derive(Debug)]
pub enum Wire<S> {
    /// As it is.
    Plain(S),
    /// With TLS.
    Tls(ClientStream<S>),
}

impl Wire<Blocking> {
    /// Has `stream`, which leads where `uri` says, speak TLS if that is wanted there.
    ///
    /// # Errors
    /// The host's name is none that a certificate can be for.
    pub fn new(
        stream: Blocking,
        uri: &Uri,
        config: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        match config.filter(|_| uri.is_tls) {
            None => Ok(Self::Plain(stream)),
            Some(config) => ClientStream::new(stream, config.clone(), &uri.host).map(Self::Tls),
        }
    }

    /// The same for the event loop; it must not block.
    pub fn into_loop(self) -> Wire<TcpStream> {
        match self {
            Self::Plain(stream) => Wire::Plain(TcpStream::from_std(stream)),
            Self::Tls(stream) => Wire::Tls(stream.map(TcpStream::from_std)),
        }
    }
}

impl Wire<TcpStream> {
    /// Back from the event loop.
    pub fn into_blocking(self) -> Wire<Blocking> {
        match self {
            Self::Plain(stream) => Wire::Plain(stream.into()),
            Self::Tls(stream) => Wire::Tls(stream.map(Into::into)),
        }
    }
}

impl<S: Read + Write> Wire<S> {
    /// The stream below.
    pub fn socket(&self) -> &S {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.stream(),
        }
    }

    /// The same, to register it.
    pub fn socket_mut(&mut self) -> &mut S {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.stream_mut(),
        }
    }

    /// Whether a read that brings less than was asked for has emptied the socket.
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<S: Read + Write> Read for Wire<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl<S: Read + Write> Write for Wire<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
