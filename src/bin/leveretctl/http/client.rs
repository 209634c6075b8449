//! How do bytes go to the broker and come back, and when is it too late?

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use leveret::tls::{ClientStream, Trust};

use super::answer::{Answer, Progress, Reader};
use super::request::Request;
use super::target::Target;

/// The connection to a broker.
#[derive(Debug)]
pub struct Client {
    target: Target,
    trust: Trust,
    stream: Option<Stream>,
    /// When the whole operation must be over; `None` for never.
    deadline: Option<Instant>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody listens there.
    Unreachable(io::Error),
    /// The time is over.
    TimedOut,
    /// The connection broke.
    Broken(io::Error),
    /// It cannot be told whether who answers is the broker, or it is not: a sentence.
    Untrusted(String),
    /// What came back is no answer: a sentence.
    Nonsense(&'static str),
}

impl Client {
    /// Nothing happens before the first request. Everything must be over after `limit`, if there
    /// is one.
    pub fn new(target: Target, limit: Option<Duration>) -> Client {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Client { target, trust: Trust::System, stream: None, deadline }
    }

    /// Over TLS, whoever is there has to be one of these.
    pub fn trusting(self, trust: Trust) -> Client {
        Client { trust, ..self }
    }

    /// Everything from now on must be over after `limit`.
    pub fn renew(&mut self, limit: Duration) {
        self.deadline = Instant::now().checked_add(limit);
    }

    /// Sends `request`; the answer, whatever it says.
    ///
    /// # Errors
    /// There is none.
    pub fn send(&mut self, request: &Request) -> Result<Answer, Trouble> {
        let host = match &self.target {
            Target::Socket(_) => "localhost".to_owned(),
            Target::Tcp { .. } => self.target.to_string(),
        };
        let bytes = request.encoded(&host, self.target.credentials());
        if let Some(stream) = self.stream.take() {
            match self.exchange(stream, &bytes) {
                // The broker closed it in the meantime, as it may at any time.
                Err(Cut { untouched: true, trouble: Trouble::Broken(_) })
                    if request.may_repeat() => {}
                Err(cut) => return Err(cut.trouble),
                Ok(answer) => return Ok(answer),
            }
        }
        let stream = self.connect()?;
        self.exchange(stream, &bytes).map_err(|cut| cut.trouble)
    }

    /// Whether the time is over.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Sends `bytes` and waits for the answer; keeps the connection when it can be used again.
    fn exchange(&mut self, mut stream: Stream, bytes: &[u8]) -> Result<Answer, Cut> {
        let mut reader = Reader::default();
        let cut = |reader: &Reader, trouble| Cut { untouched: reader.is_untouched(), trouble };
        self.write(&mut stream, bytes).map_err(|trouble| cut(&reader, trouble))?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = self.read(&mut stream, &mut buffer).map_err(|t| cut(&reader, t))?;
            if count == 0 {
                let untouched = reader.is_untouched();
                return reader.end().map_err(|text| Cut {
                    untouched,
                    trouble: Trouble::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, text)),
                });
            }
            match reader.push(&buffer[..count]) {
                Ok(Progress::Incomplete) => {}
                Ok(Progress::Whole(answer)) => {
                    self.stream = answer.reusable.then_some(stream);
                    return Ok(answer);
                }
                Err(text) => return Err(cut(&reader, Trouble::Nonsense(text))),
            }
        }
    }

    fn connect(&self) -> Result<Stream, Trouble> {
        let unreachable = Trouble::Unreachable;
        match &self.target {
            Target::Socket(path) => {
                UnixStream::connect(path).map(Stream::Unix).map_err(unreachable)
            }
            Target::Tcp { host, port, is_tls, .. } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs().map_err(unreachable)? {
                    let connected = match self.remaining()? {
                        Some(time) => TcpStream::connect_timeout(&address, time),
                        None => TcpStream::connect(address),
                    };
                    match connected {
                        Ok(stream) => {
                            // Head and body leave in one write; nothing is gained by waiting.
                            stream.set_nodelay(true).map_err(unreachable)?;
                            return match is_tls {
                                false => Ok(Stream::Tcp(stream)),
                                true => self.encrypted(stream, host),
                            };
                        }
                        Err(error) => last = error,
                    }
                }
                Err(Trouble::Unreachable(last))
            }
        }
    }

    /// TLS with the host of this name; its handshake goes on with the first write.
    fn encrypted(&self, stream: TcpStream, host: &str) -> Result<Stream, Trouble> {
        let config = self.trust.config().map_err(|error| Trouble::Untrusted(error.to_string()))?;
        let stream = ClientStream::new(stream, config, host).map_err(Trouble::Unreachable)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn write(&self, stream: &mut Stream, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let time = self.remaining()?;
            match stream.limit(time).and_then(|()| stream.write(bytes)) {
                Ok(0) => return Err(Trouble::Broken(io::ErrorKind::WriteZero.into())),
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.tolerate(error)?,
            }
        }
        Ok(())
    }

    fn read(&self, stream: &mut Stream, buffer: &mut [u8]) -> Result<usize, Trouble> {
        loop {
            let time = self.remaining()?;
            match stream.limit(time).and_then(|()| stream.read(buffer)) {
                Ok(count) => return Ok(count),
                Err(error) => self.tolerate(error)?,
            }
        }
    }

    /// Lets pass what only means that it takes longer.
    fn tolerate(&self, error: io::Error) -> Result<(), Trouble> {
        let waits =
            [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        if waits.contains(&error.kind()) {
            return self.remaining().map(|_| ());
        }
        // So TLS says that it failed.
        Err(if error.kind() == io::ErrorKind::InvalidData {
            Trouble::Untrusted(error.to_string())
        } else {
            Trouble::Broken(error)
        })
    }

    /// The time that is left; `None` for all of it.
    fn remaining(&self) -> Result<Option<Duration>, Trouble> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Trouble::TimedOut) } else { Ok(Some(left)) }
    }
}

/// An exchange that led to nothing.
#[derive(Debug)]
struct Cut {
    /// Not a byte of an answer came.
    untouched: bool,
    trouble: Trouble,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<ClientStream<TcpStream>>),
}

impl Stream {
    fn limit(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => {
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time))
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time))
            }
            Stream::Tls(stream) => {
                let stream = stream.stream();
                stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A connection that is gone already needs no goodbye.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tls(stream) => stream.stream().shutdown(Shutdown::Both),
        };
    }
}

/// Large enough that a list of many queues does not take many calls.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What each connection in turn gets as answers, and how many there were.
    fn serve(script: Vec<Vec<&'static [u8]>>) -> (Target, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let mut requests = 0;
            for answers in script {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in answers {
                    let mut bytes = Vec::new();
                    while !bytes.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        bytes.push(byte[0]);
                    }
                    requests += 1;
                    stream.write_all(answer).unwrap();
                }
            }
            requests
        });
        (Target::parse(&uri).unwrap(), served)
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";

    #[test]
    fn the_connection_is_kept_and_a_lost_one_replaced() {
        let (target, served) = serve(vec![vec![OK, OK], vec![OK]]);
        let mut client = Client::new(target, Some(Duration::from_secs(30)));
        for _ in 0..3 {
            assert_eq!(client.send(&Request::get(&["x"])).unwrap().body, b"x");
        }
        assert_eq!(served.join().unwrap(), 3);
    }

    #[test]
    fn what_may_have_happened_is_not_asked_for_again() {
        let (target, served) = serve(vec![vec![OK]]);
        let mut client = Client::new(target, Some(Duration::from_secs(30)));
        let post = Request::new(super::super::Method::Post, &["x"]);
        assert_eq!(client.send(&post).unwrap().status, 200);
        assert_eq!(served.join().unwrap(), 1);
        assert!(matches!(client.send(&post), Err(Trouble::Broken(_))));
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        let (target, served) = serve(vec![vec![b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx"]]);
        let mut client = Client::new(target, Some(Duration::from_secs(30)));
        assert!(matches!(client.send(&Request::get(&["x"])), Err(Trouble::Broken(_))));
        assert_eq!(served.join().unwrap(), 1);
    }

    #[test]
    fn a_broker_that_says_nothing_is_waited_for_only_so_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let target = Target::parse(&uri).unwrap();
        let mut client = Client::new(target, Some(Duration::from_millis(20)));
        assert!(matches!(client.send(&Request::get(&["x"])), Err(Trouble::TimedOut)));
        assert!(client.is_late());
    }

    #[test]
    fn nobody_there_is_an_error() {
        let target = Target::in_directory("/nonexistent");
        let mut client = Client::new(target, None);
        assert!(matches!(client.send(&Request::get(&["x"])), Err(Trouble::Unreachable(_))));
    }
}
