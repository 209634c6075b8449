//! How does a connection begin? Handshake, channel and set-up calls, one answer at a time.
//!
//! This part blocks, since nothing is measured yet; [`Client::into_parts`] hands the socket to
//! the event loop.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use leveret::amqp::method::{channel, connection};
use leveret::amqp::{
    Frame, FrameKind, Method, PROTOCOL_HEADER, Parsed, Table, TableBuf, Value, encoder,
};
use rustls::ClientConfig;

use crate::fault::Fault;
use crate::uri::Uri;
use crate::wire::Wire;

/// The channel that everything happens on.
pub const CHANNEL: u16 = 1;

/// The largest frame this tool asks for, bytes, overhead included.
pub const FRAME_BYTES_MAX: u32 = 131_072;

/// Where the broker is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where, and as whom.
    pub uri: Uri,
    /// What connections over TLS are made with, if it is wanted.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A connection with one open channel.
#[derive(Debug)]
pub struct Client {
    stream: Wire<TcpStream>,
    input: Vec<u8>,
    frame_bytes_max: u32,
    product: String,
}

impl Client {
    /// Connects, logs in and opens channel 1. `name` is shown in the broker's lists.
    ///
    /// # Errors
    /// Whatever went wrong; a broker that does not answer for five seconds counts as lost.
    pub fn open(server: &Server, name: &str) -> Result<Client, Fault> {
        let uri = &server.uri;
        let stream = connect(uri).map_err(Fault::Unreachable)?;
        let config = server.tls.as_ref();
        let stream = Wire::new(stream, uri, config).map_err(Fault::Unreachable)?;
        let mut client = Client {
            stream,
            input: Vec::new(),
            frame_bytes_max: FRAME_BYTES_MAX,
            product: String::new(),
        };
        client.shake_hands(uri, name)?;
        client.call(channel::Open {}, |answer| {
            matches!(answer, Method::ChannelOpenOk(_)).then_some(())
        })?;
        Ok(client)
    }

    /// The broker's product and version, as it says.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Sends a method and waits for the answer that `read` takes.
    ///
    /// # Errors
    /// The broker closed channel or connection, sent something else, or nothing in time.
    pub fn call<'m, T>(
        &mut self,
        method: impl Into<Method<'m>>,
        read: impl Fn(&Method<'_>) -> Option<T>,
    ) -> Result<T, Fault> {
        self.send(CHANNEL, &method.into())?;
        self.await_answer(read)
    }

    /// The socket, set non-blocking, the bytes read too many, and the agreed frame limit.
    ///
    /// # Errors
    /// The socket could not be set non-blocking.
    pub fn into_parts(self) -> io::Result<(Wire<TcpStream>, Vec<u8>, u32)> {
        self.stream.socket().set_nonblocking(true)?;
        Ok((self.stream, self.input, self.frame_bytes_max))
    }

    /// Says good-bye; a broker that does not answer is left without.
    pub fn close(self) {
        say_goodbye(self.stream, &[]);
    }

    fn shake_hands(&mut self, uri: &Uri, name: &str) -> Result<(), Fault> {
        self.stream.write_all(&PROTOCOL_HEADER).map_err(Fault::Lost)?;
        self.product = self.await_answer(|method| {
            let Method::ConnectionStart(start) = method else {
                return None;
            };
            Some(product_of(start.server_properties))
        })?;
        let mut capabilities = TableBuf::new();
        for capability in CAPABILITIES {
            capabilities.put_bool(capability, true);
        }
        let mut properties = TableBuf::new();
        properties.put_str(b"product", "leveret-bench");
        properties.put_str(b"version", env!("CARGO_PKG_VERSION"));
        properties.put_str(b"connection_name", name);
        properties.put(b"capabilities", Value::Table(capabilities.table()));
        let response = format!("\0{}\0{}", uri.user, uri.password);
        let start_ok = connection::StartOk {
            client_properties: properties.table(),
            mechanism: b"PLAIN",
            response: response.as_bytes(),
            locale: b"en_US",
        };
        self.send(0, &start_ok.into())?;
        let tune = self.await_answer(|method| {
            if let Method::ConnectionTune(tune) = method { Some(*tune) } else { None }
        })?;
        self.frame_bytes_max = match tune.frame_max {
            0 => FRAME_BYTES_MAX,
            most => most.min(FRAME_BYTES_MAX),
        };
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: self.frame_bytes_max,
            heartbeat: 0,
        };
        self.send(0, &tune_ok.into())?;
        self.send(0, &connection::Open { virtual_host: uri.vhost.as_bytes() }.into())?;
        self.await_answer(|method| matches!(method, Method::ConnectionOpenOk(_)).then_some(()))
    }

    fn send(&mut self, channel: u16, method: &Method<'_>) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        encoder::method_frame(&mut bytes, channel, method);
        self.stream.write_all(&bytes).map_err(Fault::Lost)
    }

    /// Reads until a method comes that `read` takes; only notices may come before it.
    fn await_answer<T>(&mut self, read: impl Fn(&Method<'_>) -> Option<T>) -> Result<T, Fault> {
        loop {
            while let Parsed::Complete(frame, used) =
                Frame::parse(&self.input, self.frame_bytes_max.max(FRAME_BYTES_MAX))?
            {
                let answer = match frame.kind {
                    FrameKind::Method => judge(frame.payload, &read)?,
                    FrameKind::Heartbeat => None,
                    FrameKind::Header | FrameKind::Body => {
                        return Err(Fault::Protocol(String::from(
                            "the broker sent a message where an answer was due",
                        )));
                    }
                };
                self.input.drain(..used);
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            }
            if self.input.starts_with(b"AMQP") {
                return Err(Fault::Protocol(String::from("the broker wants another protocol")));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
    }
}

/// Sends what is left over and connection.close, then reads, briefly, up to the close-ok: so
/// the broker sees every ack, and no broken connection.
pub fn say_goodbye(mut stream: Wire<TcpStream>, left_over: &[u8]) {
    let mut bytes = left_over.to_vec();
    let close =
        connection::Close { reply_code: 200, reply_text: b"done", class_id: 0, method_id: 0 };
    encoder::method_frame(&mut bytes, 0, &close);
    let mut close_ok = Vec::new();
    encoder::method_frame(&mut close_ok, 0, &connection::CloseOk {});
    let farewell = |stream: &mut Wire<TcpStream>| -> io::Result<()> {
        let socket = stream.socket();
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(GOODBYE_TIME))?;
        socket.set_read_timeout(Some(GOODBYE_TIME))?;
        stream.write_all(&bytes)?;
        // Whatever else comes is of no interest any more, and close-ok is the last of it.
        let mut end = Vec::new();
        let mut scrap = vec![0; 65_536];
        while !end.ends_with(&close_ok) {
            let count = stream.read(&mut scrap)?;
            if count == 0 {
                break;
            }
            end.extend_from_slice(&scrap[..count]);
            end.drain(..end.len().saturating_sub(close_ok.len()));
        }
        Ok(())
    };
    // Whether it went well makes no difference: the socket is closed right after.
    let _ = farewell(&mut stream);
}

/// The answer in a method frame, a fault, or `None` for a notice.
fn judge<T>(payload: &[u8], read: &impl Fn(&Method<'_>) -> Option<T>) -> Result<Option<T>, Fault> {
    let method = Method::decode(payload)?;
    if let Some(answer) = read(&method) {
        return Ok(Some(answer));
    }
    if let Some(fault) = Fault::of_method(&method) {
        return Err(fault);
    }
    if matches!(method, Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_)) {
        return Ok(None);
    }
    Err(Fault::Protocol(format!("the broker sent {} out of turn", method.name())))
}

/// `RabbitMQ 3.13.0` out of the server's properties.
fn product_of(properties: Table<'_>) -> String {
    let text = |key: &[u8]| {
        let value = properties.find(key)?;
        Some(String::from_utf8_lossy(value.text()?).into_owned())
    };
    let product = text(b"product").unwrap_or_else(|| String::from("unknown broker"));
    match text(b"leveret_version").or_else(|| text(b"version")) {
        Some(version) => format!("{product} {version}"),
        None => product,
    }
}

fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (uri.host.as_str(), uri.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIME) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_TIME))?;
                stream.set_write_timeout(Some(ANSWER_TIME))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

const CONNECT_TIME: Duration = Duration::from_secs(3);
const ANSWER_TIME: Duration = Duration::from_secs(5);
const GOODBYE_TIME: Duration = Duration::from_secs(2);

const CAPABILITIES: [&[u8]; 5] = [
    b"publisher_confirms",
    b"basic.nack",
    b"consumer_cancel_notify",
    b"connection.blocked",
    b"authentication_failure_close",
];
