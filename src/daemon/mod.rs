//! Which process is this: configuration, start-up, shutdown, signals and logging.
//!
//! The daemon turns options, environment and file into one [`Config`], locks the data
//! directory, and hands both to the server. It is the only module besides the binaries that
//! reads the environment. It may import every other module; none imports it.

pub mod config;
pub mod error;
pub mod lock;
pub mod logging;
pub mod notify;
pub mod options;
pub mod reload;
pub mod self_test;
pub mod server;
mod setting;
pub mod signals;

mod conf_file;
mod definitions;
mod environment;
mod keys;
mod nearest;
pub mod tls;
mod tls_keys;
mod units;

pub use config::{Config, Secret};
pub use environment::Environment;
pub use error::{ConfigError, LockError, StartError, UsageError};
pub use lock::DirectoryLock;
pub use notify::Notifier;
pub use options::{Invocation, Options};
pub use server::Server;
pub use signals::{Signal, Signals};
pub use tls::Tls;
pub use units::{Limit, Ratio};
