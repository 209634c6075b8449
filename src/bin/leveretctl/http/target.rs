//! Where is the broker, and who are we there?

use std::fmt;
use std::path::{Path, PathBuf};

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The socket in the broker's data directory; whoever may open it needs no password.
    Socket(PathBuf),
    /// The management port, here or elsewhere.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Whether TLS is spoken: `https://`.
        is_tls: bool,
        /// The management port.
        port: u16,
        /// Whom to log in as.
        credentials: Credentials,
    },
}

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Target {
    /// The socket of the broker whose data lie in `directory`.
    pub fn in_directory(directory: &str) -> Target {
        Target::Socket(Path::new(directory).join(SOCKET))
    }

    /// Reads `http://user:password@host:port` or `https://...`; what is missing is RabbitMQ's
    /// default.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(uri: &str) -> Result<Target, String> {
        let secret = uri.strip_prefix("https://");
        let rest = secret.or_else(|| uri.strip_prefix("http://"));
        let rest = rest.ok_or("the URI begins with http:// or https://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("the URI has no path; write http://user:password@host:port".to_owned());
        }
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place)?;
        let (is_tls, default_port) =
            (secret.is_some(), if secret.is_some() { TLS_PORT } else { PORT });
        let port = port.unwrap_or(default_port);
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("the URI names no host".to_owned());
        }
        let (user, password) = match login {
            Some(login) => login.split_once(':').unwrap_or((login, "")),
            None => ("guest", "guest"),
        };
        let credentials = Credentials { user: decoded(user)?, password: decoded(password)? };
        Ok(Target::Tcp { host: host.to_owned(), is_tls, port, credentials })
    }

    /// Whom to log in as, unless the socket's permissions say it all.
    pub fn credentials(&self) -> Option<&Credentials> {
        match self {
            Target::Socket(_) => None,
            Target::Tcp { credentials, .. } => Some(credentials),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Socket(path) => write!(out, "{}", path.display()),
            Target::Tcp { host, port, .. } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Target::Tcp { host, port, .. } => write!(out, "{host}:{port}"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:...", self.user)
    }
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the address lacks its ']'")?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(text) => Some(text.parse().map_err(|_| format!("'{text}' is no port"))?),
        None => None,
    };
    Ok((host, port))
}

/// Takes percent-encoding away.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = digit(digits[0]).zip(digit(digits[1])).ok_or_else(wrong)?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// The socket's name in the data directory.
const SOCKET: &str = "leveret.sock";

/// The management port.
const PORT: u16 = 15672;

/// The same with TLS.
const TLS_PORT: u16 = 15671;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, user: &str, password: &str) -> Target {
        let credentials = Credentials { user: user.to_owned(), password: password.to_owned() };
        Target::Tcp { host: host.to_owned(), is_tls: false, port, credentials }
    }

    #[test]
    fn uris_are_read() {
        for (uri, target) in [
            ("http://h", tcp("h", 15672, "guest", "guest")),
            ("http://u:p@h:1/", tcp("h", 1, "u", "p")),
            ("http://u%40x:p%3a%25@[::1]:2", tcp("::1", 2, "u@x", "p:%")),
            ("http://u@[::1]", tcp("::1", 15672, "u", "")),
            ("http://u:a@b@h", tcp("h", 15672, "u", "a@b")),
        ] {
            assert_eq!(Target::parse(uri).unwrap(), target, "{uri}");
        }
    }

    #[test]
    fn tls_has_a_port_of_its_own() {
        for (uri, expected) in [("https://u@h", 15671), ("https://u@h:1", 1)] {
            let target = Target::parse(uri).unwrap();
            assert!(
                matches!(target, Target::Tcp { is_tls: true, port, .. } if port == expected),
                "{target:?}"
            );
        }
    }

    #[test]
    fn other_uris_are_refused_with_a_reason() {
        for (uri, why) in [
            ("h:15672", "begins with http://"),
            ("ftp://h", "begins with http://"),
            ("http://h/api", "no path"),
            ("http://", "no host"),
            ("http://a b", "no host"),
            ("http://h:70000", "'70000' is no port"),
            ("http://h:", "'' is no port"),
            ("http://[::1", "lacks its ']'"),
            ("http://u%4:p@h", "percent-encoded"),
            ("http://u%zz:p@h", "percent-encoded"),
            ("http://u%ff:p@h", "percent-encoded"),
        ] {
            let error = Target::parse(uri).unwrap_err();
            assert!(error.contains(why), "{uri}: {error}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let target = Target::parse("http://u:secret@h").unwrap();
        assert!(!format!("{target} {target:?}").contains("secret"));
    }
}
