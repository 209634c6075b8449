//! Why did the daemon not start: one line for the operator and an exit code for scripts.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::net::Protocol;
use crate::storage::Damage;
use crate::sys;
use crate::tls::LoadError;

/// The command line is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(pub(super) String);

impl UsageError {
    /// What the process ends with: `EX_USAGE`.
    pub const EXIT_CODE: u8 = 64;
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see leveret --help)", self.0)
    }
}

impl Error for UsageError {}

/// The configuration file or the environment cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// It cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than any configuration is.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit it exceeds.
        bytes_max: u64,
    },
    /// One of its lines is wrong.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An environment variable of RabbitMQ's is there that makes no difference here.
    Variable {
        /// Its name.
        name: &'static str,
        /// What to do instead.
        why: &'static str,
    },
}

impl ConfigError {
    /// What the process ends with: `EX_CONFIG`.
    pub const EXIT_CODE: u8 = 78;
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read { path, source } => {
                write!(f, "cannot read the configuration file {}: {source}", path.display())
            }
            ConfigError::TooLarge { path, bytes_max } => write!(
                f,
                "the configuration file {} is larger than {bytes_max} bytes; is it the right one?",
                path.display()
            ),
            ConfigError::Line { path, line, problem } => {
                write!(f, "{}:{line}: {problem}", path.display())
            }
            ConfigError::Variable { name, why } => write!(
                f,
                "the environment variable {name} is not supported: {why}; remove the variable"
            ),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConfigError::Read { source, .. } => Some(source),
            ConfigError::TooLarge { .. }
            | ConfigError::Line { .. }
            | ConfigError::Variable { .. } => None,
        }
    }
}

/// The data directory is not ours to use.
#[derive(Debug)]
pub enum LockError {
    /// Another broker runs on it.
    Held {
        /// The directory.
        directory: PathBuf,
        /// Who holds it, if its lock file says so.
        pid: Option<u32>,
    },
    /// It cannot be made, opened or locked.
    Io {
        /// What we were doing, as in "cannot {doing} {path}".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LockError {
    /// What the process ends with: `EX_UNAVAILABLE` when held, else `EX_CANTCREAT`.
    pub fn exit_code(&self) -> u8 {
        match self {
            LockError::Held { .. } => 69,
            LockError::Io { .. } => 73,
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { directory, pid } => {
                let directory = directory.display();
                write!(f, "the data directory {directory} is in use by ")?;
                match pid {
                    Some(pid) => write!(f, "process {pid}; stop it (kill {pid})")?,
                    None => write!(f, "another process; stop it")?,
                }
                write!(f, " or choose another directory with --data-dir")
            }
            LockError::Io { doing, path, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())?;
                if source.kind() == io::ErrorKind::PermissionDenied {
                    let user = sys::own_user();
                    write!(f, "; the broker runs as user {user}, who may not do that there")?;
                }
                Ok(())
            }
        }
    }
}

impl Error for LockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LockError::Held { .. } => None,
            LockError::Io { source, .. } => Some(source),
        }
    }
}

/// The server did not start, or ended otherwise than by being told to.
#[derive(Debug)]
pub enum StartError {
    /// The data directory is not ours to use.
    Directory(LockError),
    /// An address cannot be listened on.
    Listen {
        /// For what.
        protocol: Protocol,
        /// Whether over TLS.
        is_tls: bool,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Something else that the system did not let us do.
    Io {
        /// What we were doing, as in "cannot {doing}".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log has no user or no virtual host left.
    NobodyCanLogIn {
        /// The data directory.
        directory: PathBuf,
        /// How many (record, queue) pairs there are.
        messages: u64,
        /// Where they may have been.
        damaged: Vec<Damage>,
    },
    /// Definitions that are to be taken in are refused.
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate or a key is of no use.
    Certificates(LoadError),
    /// What is stored cannot be used, or a sync failed; the text says which file and why.
    Storage(String),
}

impl StartError {
    /// Wraps `source` with what we were doing, as in "cannot {doing}".
    pub fn io(doing: impl Into<String>, source: io::Error) -> StartError {
        StartError::Io { doing: doing.into(), source }
    }

    /// What the process ends with, from sysexits: 69 and 73 as [`LockError::exit_code`],
    /// `EX_OSERR` where the system refused, `EX_IOERR` where the storage failed, `EX_CONFIG` where
    /// definitions or certificates are refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Directory(error) => error.exit_code(),
            StartError::Listen { .. } | StartError::Io { .. } => 71,
            StartError::NobodyCanLogIn { .. } | StartError::Storage(_) => 74,
            StartError::Definitions { .. } | StartError::Certificates(_) => ConfigError::EXIT_CODE,
        }
    }
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> StartError {
        StartError::Certificates(error)
    }
}

impl From<LockError> for StartError {
    fn from(error: LockError) -> StartError {
        StartError::Directory(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Directory(error) => error.fmt(f),
            StartError::Listen { protocol, is_tls, address, source } => {
                let (what_for, plain, encrypted) = match protocol {
                    Protocol::Amqp => ("", "--port or listeners.tcp", "listeners.ssl"),
                    Protocol::Http => (
                        " for the HTTP API",
                        "--management-port (0 is off) or management.tcp.port",
                        "management.ssl.port (0 is off)",
                    ),
                    Protocol::Metrics => (
                        " for metrics",
                        "prometheus.tcp.port (0 is off) in the configuration file",
                        "prometheus.ssl.port (0 is off) in the configuration file",
                    ),
                };
                let options = if *is_tls { encrypted } else { plain };
                write!(f, "cannot listen on {address}{what_for}: {source}")?;
                if source.kind() == io::ErrorKind::AddrInUse {
                    return write!(
                        f,
                        "; stop what listens there or choose another port with {options}"
                    );
                }
                f.write_str(advice(source.kind()))
            }
            StartError::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
            StartError::NobodyCanLogIn { directory, messages, damaged } => {
                write!(
                    f,
                    "nobody could log in: no user or no virtual host is left in {} ({messages} \
                     messages); put the missing or damaged segment files back, or start once with \
                     --make-default-user, which makes the default user of the configuration and \
                     its virtual host anew",
                    directory.display()
                )?;
                damaged.iter().try_for_each(|damage| write!(f, "; {damage}"))
            }
            StartError::Definitions { path, problem } => write!(
                f,
                "cannot take in the definitions in {}: {problem}; correct the file, or remove \
                 load_definitions",
                path.display()
            ),
            StartError::Certificates(problem) => problem.fmt(f),
            StartError::Storage(text) => f.write_str(text),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Directory(error) => Some(error),
            StartError::Listen { source, .. } | StartError::Io { source, .. } => Some(source),
            StartError::Certificates(problem) => Some(problem),
            StartError::NobodyCanLogIn { .. }
            | StartError::Definitions { .. }
            | StartError::Storage(_) => None,
        }
    }
}

/// What to do when an address cannot be listened on, as the end of a sentence.
fn advice(kind: io::ErrorKind) -> &'static str {
    ADVICE.iter().find(|(known, _)| *known == kind).map_or("", |(_, text)| text)
}

const ADVICE: [(io::ErrorKind, &str); 2] = [
    (
        io::ErrorKind::AddrNotAvailable,
        "; choose an address of this machine with --bind, listeners.tcp or management.tcp.ip",
    ),
    (
        io::ErrorKind::PermissionDenied,
        "; choose a port from 1024 up, or give the broker CAP_NET_BIND_SERVICE",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_directory_is_refused_with_who_and_what_to_do() {
        let held = LockError::Held { directory: PathBuf::from("/data"), pid: Some(42) };
        assert_eq!(
            held.to_string(),
            "the data directory /data is in use by process 42; stop it (kill 42) or choose \
             another directory with --data-dir"
        );
        assert_eq!(StartError::from(held).exit_code(), 69);
        let held = LockError::Held { directory: PathBuf::from("/data"), pid: None };
        assert!(held.to_string().contains("in use by another process; stop it or"));
    }

    #[test]
    fn who_cannot_listen_says_where_why_and_what_to_do() {
        for (kind, what_to_do) in [
            (io::ErrorKind::AddrInUse, "; stop what listens there or choose another port"),
            (io::ErrorKind::AddrNotAvailable, "; choose an address of this machine"),
            (io::ErrorKind::PermissionDenied, "; choose a port from 1024 up"),
        ] {
            let address = SocketAddr::from(([127, 0, 0, 1], 5672));
            let listen = |protocol, is_tls| StartError::Listen {
                protocol,
                is_tls,
                address,
                source: kind.into(),
            };
            let error = listen(Protocol::Amqp, false);
            let text = error.to_string();
            assert!(text.starts_with("cannot listen on 127.0.0.1:5672: "), "{text}");
            assert!(text.contains(what_to_do), "{text}");
            assert_eq!(error.exit_code(), 71);
            for (protocol, key) in [
                (Protocol::Amqp, "listeners.ssl"),
                (Protocol::Http, "management.ssl.port"),
                (Protocol::Metrics, "prometheus.ssl.port"),
            ] {
                let text = listen(protocol, true).to_string();
                assert_eq!(text.contains(key), kind == io::ErrorKind::AddrInUse, "{text}");
            }
        }
    }
}
