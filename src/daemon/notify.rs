//! How does the service manager learn that the broker is ready, or stopping.
//!
//! The protocol of sd_notify(3): one datagram of `NAME=value` lines to the Unix socket that
//! `NOTIFY_SOCKET` names, by path or, with a leading `@`, in Linux's abstract name space.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whom to tell about the life of this process; nobody where nobody asked.
#[derive(Clone, Debug)]
pub struct Notifier {
    socket: Option<OsString>,
}

impl Notifier {
    /// The service manager that the environment names, if any.
    pub fn from_environment() -> Notifier {
        Notifier::to(env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()))
    }

    /// The service manager at `socket`.
    pub fn to(socket: Option<OsString>) -> Notifier {
        Notifier { socket }
    }

    /// Clients are served from now on.
    ///
    /// # Errors
    /// The manager could not be told. Worth a warning; it will think the start failed.
    pub fn ready(&self) -> io::Result<()> {
        self.send(b"READY=1")
    }

    /// Clients are being sent away; the process ends soon.
    ///
    /// # Errors
    /// The manager could not be told, which does no harm.
    pub fn stopping(&self) -> io::Result<()> {
        self.send(b"STOPPING=1")
    }

    fn send(&self, state: &[u8]) -> io::Result<()> {
        let Some(name) = &self.socket else {
            return Ok(());
        };
        let socket = UnixDatagram::unbound()?;
        let sent = socket.send_to_addr(state, &address(name)?)?;
        if sent == state.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("NOTIFY_SOCKET is neither a path nor an abstract name: {}", name.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn readiness_and_stopping_reach_a_socket_with_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(Some(path.into_os_string()));
        notifier.ready().unwrap();
        assert_eq!(received(&manager), "READY=1");
        notifier.stopping().unwrap();
        assert_eq!(received(&manager), "STOPPING=1");
    }

    #[test]
    fn readiness_reaches_an_abstract_socket() {
        let name = format!("leveret-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::to(Some(OsString::from(format!("@{name}")))).ready().unwrap();
        assert_eq!(received(&manager), "READY=1");
    }

    #[test]
    fn nobody_asked_is_fine_and_a_missing_manager_is_an_error() {
        Notifier::to(None).ready().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let nobody = directory.path().join("nobody").into_os_string();
        assert!(Notifier::to(Some(nobody)).ready().is_err());
        let error = Notifier::to(Some(OsString::from("vsock:2:1234"))).ready().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
