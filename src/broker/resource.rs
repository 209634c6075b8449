//! How error texts name a queue or an exchange: `queue 'q' in vhost '/'`. Imports nothing of the
//! crate.

use std::fmt;

/// A queue or an exchange in an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    kind: &'static str,
    name: &'a [u8],
    vhost: &'a [u8],
}

impl<'a> Resource<'a> {
    /// `queue 'name' in vhost 'vhost'`
    pub const fn queue(vhost: &'a [u8], name: &'a [u8]) -> Self {
        Self { kind: "queue", name, vhost }
    }

    /// `exchange 'name' in vhost 'vhost'`
    pub const fn exchange(vhost: &'a [u8], name: &'a [u8]) -> Self {
        Self { kind: "exchange", name, vhost }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(self.name);
        let vhost = String::from_utf8_lossy(self.vhost);
        write!(f, "{} '{name}' in vhost '{vhost}'", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_as_rabbitmq_does() {
        assert_eq!(Resource::queue(b"/", b"q").to_string(), "queue 'q' in vhost '/'");
        assert_eq!(Resource::exchange(b"v", b"").to_string(), "exchange '' in vhost 'v'");
    }
}
