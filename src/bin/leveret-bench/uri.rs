//! Where is the broker? `amqp://user:password@host:port/vhost`, taken apart.
//!
//! Follows RabbitMQ's URI specification: everything but the host is percent-decoded, a URI
//! without a path means the vhost `/`, and a path of just `/` means the vhost with the empty
//! name, which no broker has by default, so it is taken as `/` too.

use std::fmt;

/// The parts of an `amqp://` URI, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// User name, `guest` when the URI has none.
    pub user: String,
    /// Password, `guest` when the URI has none.
    pub password: String,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Whether TLS is spoken: `amqps://`.
    pub is_tls: bool,
    /// TCP port, 5672 or, with TLS, 5671 unless given.
    pub port: u16,
    /// Virtual host, `/` unless given.
    pub vhost: String,
}

impl Uri {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// A sentence for the user: another scheme, a bad port, a bad percent escape, an unclosed
    /// bracket.
    pub fn parse(text: &str) -> Result<Uri, String> {
        let fail = |why: &str| Err(format!("'{text}' is not an AMQP URI: {why}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return fail("it must begin with amqp:// or amqps://");
        };
        let is_tls = scheme.eq_ignore_ascii_case("amqps");
        if !is_tls && !scheme.eq_ignore_ascii_case("amqp") {
            return fail("it must begin with amqp:// or amqps://");
        }
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let default_port = if is_tls { TLS_PORT } else { DEFAULT_PORT };
        let (host, port) = match split_address(address, default_port) {
            Ok(parts) => parts,
            Err(why) => return fail(&why),
        };
        let (user, password) = match login {
            Some(login) => login.split_once(':').unwrap_or((login, "guest")),
            None => ("guest", "guest"),
        };
        let decoded = |part: &str| {
            percent_decode(part).map_err(|why| format!("'{text}' is not an AMQP URI: {why}"))
        };
        let vhost = decoded(path)?;
        Ok(Uri {
            user: decoded(user)?,
            password: decoded(password)?,
            host,
            is_tls,
            port,
            vhost: if vhost.is_empty() { String::from("/") } else { vhost },
        })
    }
}

/// The URI without its password, for messages.
impl fmt::Display for Uri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let Uri { user, host, port, vhost, is_tls, .. } = self;
        let scheme = if *is_tls { "amqps" } else { "amqp" };
        write!(out, "{scheme}://{user}@{open}{host}{close}:{port} vhost '{vhost}'")
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`; the host may be missing.
fn split_address(address: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = if let Some(inner) = address.strip_prefix('[') {
        let Some((host, after)) = inner.split_once(']') else {
            return Err(String::from("the bracket before the address is not closed"));
        };
        match after.strip_prefix(':') {
            Some(port) => (host, port),
            None if after.is_empty() => (host, ""),
            None => {
                return Err(format!("'{after}' after the address is neither port nor path"));
            }
        }
    } else {
        address.split_once(':').unwrap_or((address, ""))
    };
    let port = match port {
        "" => default_port,
        digits => match digits.parse::<u16>() {
            Ok(port) if port != 0 => port,
            Ok(_) | Err(_) => return Err(format!("'{digits}' is not a port")),
        },
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok((percent_decode(host)?, port))
}

/// Replaces every `%XX` by its octet; the result must be UTF-8.
fn percent_decode(text: &str) -> Result<String, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        match (rest.next().and_then(hex_digit), rest.next().and_then(hex_digit)) {
            (Some(high), Some(low)) => octets.push(high * 16 + low),
            _ => {
                return Err(String::from("a % must be followed by two hexadecimal digits"));
            }
        }
    }
    String::from_utf8(octets).map_err(|_| String::from("the decoded text is not UTF-8"))
}

/// The value of one hexadecimal digit.
fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

const DEFAULT_PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_scheme_has_a_default() {
        let uri = Uri::parse("amqp://").unwrap();
        assert_eq!((uri.user.as_str(), uri.password.as_str()), ("guest", "guest"));
        assert_eq!((uri.host.as_str(), uri.port), ("127.0.0.1", 5672));
        assert_eq!(uri.vhost, "/");
        assert_eq!(Uri::parse("amqp://").unwrap(), Uri::parse("AMQP://127.0.0.1/").unwrap());
    }

    #[test]
    fn all_parts_are_decoded() {
        let uri = Uri::parse("amqp://us%65r:p%40ss%3a@example.org:5673/%2Fa%20b?x=1").unwrap();
        assert_eq!(uri.user, "user");
        assert_eq!(uri.password, "p@ss:");
        assert_eq!((uri.host.as_str(), uri.port), ("example.org", 5673));
        assert_eq!(uri.vhost, "/a b");
        assert_eq!(Uri::parse("amqp://h/%2f").unwrap().vhost, "/");
        assert_eq!(Uri::parse("amqp://h/prod").unwrap().vhost, "prod");
    }

    #[test]
    fn a_password_may_hold_an_at_sign() {
        let uri = Uri::parse("amqp://u:a@b@host").unwrap();
        assert_eq!((uri.password.as_str(), uri.host.as_str()), ("a@b", "host"));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let uri = Uri::parse("amqp://[::1]:5673/v").unwrap();
        assert_eq!((uri.host.as_str(), uri.port, uri.vhost.as_str()), ("::1", 5673, "v"));
        assert_eq!(Uri::parse("amqp://a:b@[::1]").unwrap().port, 5672);
        assert!(uri.to_string().contains("[::1]:5673"));
        assert!(Uri::parse("amqp://[::1").is_err());
        assert!(Uri::parse("amqp://[::1]5672").is_err());
    }

    #[test]
    fn tls_has_a_port_of_its_own() {
        let uri = Uri::parse("amqps://h/v").unwrap();
        assert_eq!((uri.is_tls, uri.port, uri.vhost.as_str()), (true, 5671, "v"));
        assert_eq!(Uri::parse("AMQPS://h:1").unwrap().port, 1);
        assert!(!Uri::parse("amqp://h").unwrap().is_tls);
        assert!(uri.to_string().starts_with("amqps://"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("localhost:5672", "must begin with amqp://"),
            ("http://localhost", "must begin with amqp://"),
            ("amqps:/localhost", "must begin with amqp:// or amqps://"),
            ("amqp://h:0", "not a port"),
            ("amqp://h:65536", "not a port"),
            ("amqp://h:x", "not a port"),
            ("amqp://h/%2", "two hexadecimal digits"),
            ("amqp://h/%zz", "two hexadecimal digits"),
            ("amqp://h/%ff", "UTF-8"),
        ] {
            let error = Uri::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = Uri::parse("amqp://u:secret@h").unwrap().to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
