//! What is this broker told to do: every setting, its unit, its default, and who wins.
//!
//! Defaults are overridden by RabbitMQ's `RABBITMQ_DEFAULT_*` environment variables, those by
//! the configuration file, and that by the command line. The file's format is in `conf_file`,
//! its keys in `keys`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use log::LevelFilter;

use super::conf_file;
use super::environment::Environment;
use super::error::ConfigError;
use super::options::Options;
use super::tls::{Tls, TlsDraft};
use super::units::Limit;
use crate::management::{Cors, LOGIN_SESSION_MINUTES, Order};
use crate::net::proxy::{Network, Proxies};
use crate::session::Mechanisms;

/// All settings of one broker, checked: whoever holds a `Config` need not check it again.
///
/// Tests start from [`Config::default`] and replace `data_dir`, `listeners`, `management` and
/// `prometheus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where messages, definitions and the lock live.
    pub data_dir: PathBuf,
    /// Where AMQP is spoken without TLS; port 0 takes any free one. Empty with
    /// `listeners.tcp = none`.
    pub listeners: Vec<SocketAddr>,
    /// Where the HTTP API is served; port 0 takes any free one. `None`: nowhere.
    pub management: Option<SocketAddr>,
    /// Where metrics are served, and nothing else; port 0 takes any free one. `None`: nowhere.
    pub prometheus: Option<SocketAddr>,
    /// Where TLS is spoken, and with which certificates.
    pub tls: Tls,
    /// How users may show who they are.
    pub mechanisms: Mechanisms,
    /// Which other sites' pages may read what the HTTP API answers in a browser.
    pub cors: Cors,
    /// How long a login at the management page lasts, in minutes.
    pub login_session_minutes: u32,
    /// What stands between clients and the ports.
    pub proxies: Proxies,
    /// Heartbeat proposed in `connection.tune`, in seconds; 0 proposes none.
    pub heartbeat_s: u16,
    /// Largest frame proposed in `connection.tune`, in bytes, its 8 bytes overhead included.
    pub frame_max: u32,
    /// Highest channel number proposed in `connection.tune`.
    pub channel_max: u16,
    /// Most AMQP connections at a time; `None` is bounded by file descriptors only.
    pub connection_max: Option<u32>,
    /// Largest message body, in bytes; a larger one closes the channel with 406.
    pub max_message_size: u64,
    /// How long a delivery may stay unacknowledged, in milliseconds; `None` is for ever.
    pub consumer_timeout_ms: Option<u64>,
    /// Whether the default user and virtual host are made whatever the data directory holds.
    pub make_default_user: bool,
    /// User created in an empty data directory.
    pub default_user: String,
    /// Password of that user.
    pub default_pass: Secret,
    /// Virtual host created in an empty data directory.
    pub default_vhost: String,
    /// A file of definitions, or a directory of such files, that is taken in at every start.
    pub load_definitions: Option<PathBuf>,
    /// Whether they are passed over when they are those of the last start.
    pub skip_unchanged_definitions: bool,
    /// Tags of the default user.
    pub default_user_tags: BTreeSet<String>,
    /// Configure, write and read patterns of the default user on the default virtual host.
    pub default_permissions: DefaultPermissions,
    /// Users that may only log in from a loopback address.
    pub loopback_users: BTreeSet<String>,
    /// Anonymous memory above which publishers are blocked; 0 blocks them always.
    pub vm_memory_high_watermark: Limit,
    /// Free space on the data directory's file system below which publishers are blocked;
    /// a relative one is relative to the machine's memory, as in RabbitMQ.
    pub disk_free_limit: Limit,
    /// Least severe level that is logged.
    pub log_level: LevelFilter,
    /// Whether events are published.
    pub event_exchange: bool,
    /// The virtual host that they are published in.
    pub event_exchange_vhost: String,
    /// Whether lines of the log are published, in the default virtual host.
    pub log_exchange: bool,
    /// The least severe level that is published; what is not logged is not.
    pub log_exchange_level: LevelFilter,
    /// Name shown to clients; `None`: the one that operators gave it, or its own.
    pub cluster_name: Option<String>,
    /// What clients are told that the product is, which names the dialect.
    pub product_name: String,
    /// The version of that.
    pub product_version: String,
    /// Size of one segment file of the message log, in bytes, a multiple of 4096.
    pub segment_bytes: u32,
    /// What is to be said of the file: keys in it that mean nothing here.
    pub warnings: Vec<String>,
}

impl Config {
    /// The configuration that `options`, the file they name and `environment` amount to.
    ///
    /// # Errors
    /// The first thing that is wrong, with file and line where it has them.
    pub fn load(options: &Options, environment: &Environment) -> Result<Config, ConfigError> {
        environment.check()?;
        let mut draft = Draft::new(environment);
        if let Some(path) = &options.config {
            draft = conf_file::apply(draft, path)?;
        }
        Ok(draft.finish(options))
    }

    /// Where events are published, if they are.
    pub(super) fn events(&self) -> Order {
        Order::PublishEvents(self.event_exchange.then(|| self.event_exchange_vhost.clone()))
    }

    /// Where lines of the log are published, if they are, and which.
    pub(super) fn published_log(&self) -> Order {
        let of = (self.default_vhost.clone(), self.log_exchange_level);
        Order::PublishLog(self.log_exchange.then_some(of))
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: PathBuf::from(DATA_DIR),
            listeners: vec![SocketAddr::new(BIND, AMQP_PORT)],
            management: Some(SocketAddr::new(BIND, MANAGEMENT_PORT)),
            prometheus: Some(SocketAddr::new(BIND, PROMETHEUS_PORT)),
            tls: Tls::default(),
            mechanisms: Mechanisms::default(),
            cors: Cors::default(),
            login_session_minutes: LOGIN_SESSION_MINUTES,
            proxies: Proxies::default(),
            heartbeat_s: 60,
            frame_max: 131_072,
            channel_max: 2_047,
            connection_max: None,
            max_message_size: 128 << 20,
            consumer_timeout_ms: Some(30 * 60 * 1000),
            default_user: "guest".to_owned(),
            default_pass: Secret::new("guest"),
            default_vhost: "/".to_owned(),
            load_definitions: None,
            skip_unchanged_definitions: false,
            default_user_tags: BTreeSet::from(["administrator".to_owned()]),
            default_permissions: DefaultPermissions::default(),
            loopback_users: BTreeSet::from(["guest".to_owned()]),
            vm_memory_high_watermark: Limit::UsualMemory,
            disk_free_limit: Limit::Absolute(50_000_000),
            log_level: LevelFilter::Info,
            event_exchange: false,
            event_exchange_vhost: "/".to_owned(),
            log_exchange: false,
            log_exchange_level: LevelFilter::Info,
            make_default_user: false,
            cluster_name: None,
            product_name: "RabbitMQ".to_owned(),
            product_version: "3.13.7".to_owned(),
            segment_bytes: 16 << 20,
            warnings: Vec::new(),
        }
    }
}

/// What the default user may do on the default virtual host: three Perl-style patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultPermissions {
    /// Names it may declare and delete.
    pub configure: String,
    /// Names it may publish to or bind as a destination.
    pub write: String,
    /// Names it may consume from or bind as a source.
    pub read: String,
}

impl Default for DefaultPermissions {
    fn default() -> DefaultPermissions {
        let all = || ".*".to_owned();
        DefaultPermissions { configure: all(), write: all(), read: all() }
    }
}

/// A password: compared and handed on, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself; not for logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A configuration whose addresses are not put together yet: the command line may still change
/// their parts.
pub(super) struct Draft {
    /// Everything that needs no putting together.
    pub config: Config,
    /// `listeners.tcp.NAME`, by name; `None` until the file names one.
    pub tcp: Option<BTreeMap<String, Endpoint>>,
    /// `management.cors.allow_origins.NAME`, by name.
    pub cors_origins: BTreeMap<String, String>,
    /// `proxy_protocol.trusted.NAME`, by name.
    pub trusted_proxies: BTreeMap<String, Network>,
    /// `management.tcp.ip`
    pub management_ip: Option<IpAddr>,
    /// `management.tcp.port`; 0 is off.
    pub management_port: Option<u16>,
    /// `prometheus.tcp.ip`
    pub prometheus_ip: Option<IpAddr>,
    /// `prometheus.tcp.port`; 0 is off.
    pub prometheus_port: Option<u16>,
    /// What is about TLS.
    pub tls: TlsDraft,
    /// `auth_mechanisms.NAME`, all of them; `None` until the file names one.
    pub mechanisms: Option<Mechanisms>,
}

/// A port and, if it was given, the address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `None` where only a port was given.
    pub ip: Option<IpAddr>,
    /// 0 takes any free one.
    pub port: u16,
}

impl Endpoint {
    /// Where that is; `bind` moves it.
    pub fn address(self, bind: Option<IpAddr>) -> SocketAddr {
        SocketAddr::new(bind.or(self.ip).unwrap_or(BIND), self.port)
    }

    /// Where that is, unless it is off: port 0.
    pub fn address_if_on(self, bind: Option<IpAddr>) -> Option<SocketAddr> {
        (self.port != 0).then(|| self.address(bind))
    }
}

/// Where all these are, each once: moved, two may be the same.
pub(super) fn addresses(
    endpoints: impl IntoIterator<Item = Endpoint>,
    bind: Option<IpAddr>,
) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for endpoint in endpoints {
        let address = endpoint.address(bind);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

impl Draft {
    /// Defaults overridden by `environment`.
    pub fn new(environment: &Environment) -> Draft {
        let mut config = Config { warnings: environment.warnings.clone(), ..Config::default() };
        if let Some(user) = &environment.default_user {
            config.default_user.clone_from(user);
        }
        if let Some(pass) = &environment.default_pass {
            config.default_pass = pass.clone();
        }
        if let Some(vhost) = &environment.default_vhost {
            config.default_vhost.clone_from(vhost);
        }
        Draft {
            config,
            tcp: None,
            cors_origins: BTreeMap::new(),
            trusted_proxies: BTreeMap::new(),
            management_ip: None,
            management_port: None,
            prometheus_ip: None,
            prometheus_port: None,
            tls: TlsDraft::default(),
            mechanisms: None,
        }
    }

    /// The finished configuration, with what the command line overrides.
    pub fn finish(self, options: &Options) -> Config {
        let listeners = self.amqp_addresses(options);
        let management = self.management_address(options);
        let has_management = management.is_some() || self.tls.management.on_port().is_some();
        let prometheus = self.prometheus_address(options, has_management);
        let mut config = self.config;
        config.tls = self.tls.finish(options.bind);
        if options.management_port == Some(0) {
            (config.tls.management, config.tls.prometheus) = (None, None);
        }
        config.mechanisms = self.mechanisms.unwrap_or_default();
        config.cors.origins = self.cors_origins.into_values().collect();
        if !self.trusted_proxies.is_empty() {
            config.proxies.trusted = self.trusted_proxies.into_values().collect();
        }
        config.listeners = listeners;
        config.management = management;
        config.prometheus = prometheus;
        if let Some(directory) = &options.data_dir {
            config.data_dir.clone_from(directory);
        }
        if let Some(level) = options.log_level {
            config.log_level = level;
        }
        config.make_default_user = options.make_default_user;
        config
    }

    /// `--bind` moves this, too.
    fn management_address(&self, options: &Options) -> Option<SocketAddr> {
        let plain = options.management_port.or(self.management_port);
        // As in RabbitMQ, who says only where it is served over TLS wants it there alone.
        let is_elsewhere = self.tls.management.on_port().is_some();
        let is_wanted = !is_elsewhere || self.management_ip.is_some();
        let port = plain.unwrap_or(if is_wanted { MANAGEMENT_PORT } else { 0 });
        Endpoint { ip: self.management_ip, port }.address_if_on(options.bind)
    }

    /// Where the HTTP API is off, this is on only if the file says so, and never if the command
    /// line turned that off: then nothing is to be served over HTTP.
    fn prometheus_address(&self, options: &Options, has_management: bool) -> Option<SocketAddr> {
        let port = match self.prometheus_port {
            _ if options.management_port == Some(0) => 0,
            Some(port) => port,
            None if self.tls.prometheus.on_port().is_some() => 0,
            None if has_management => PROMETHEUS_PORT,
            None => 0,
        };
        Endpoint { ip: self.prometheus_ip, port }.address_if_on(options.bind)
    }

    /// `--port` replaces all listeners of the file by one; `--bind` moves what there is.
    fn amqp_addresses(&self, options: &Options) -> Vec<SocketAddr> {
        let default = Endpoint { ip: None, port: AMQP_PORT };
        let mut endpoints: Vec<Endpoint> = match &self.tcp {
            Some(named) => named.values().copied().collect(),
            None => vec![default],
        };
        if let Some(port) = options.port {
            let ip = endpoints.first().and_then(|first| first.ip);
            endpoints = vec![Endpoint { ip, port }];
        }
        addresses(endpoints, options.bind)
    }
}

/// Address listened on unless configured: nobody else can reach it.
pub const BIND: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// AMQP's port.
pub const AMQP_PORT: u16 = 5672;
/// The HTTP API's port.
pub const MANAGEMENT_PORT: u16 = 15672;
/// The port for metrics alone.
pub const PROMETHEUS_PORT: u16 = 15692;
/// The data directory unless configured.
pub const DATA_DIR: &str = "./leveret-data";

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A file in a directory of its own, and options that name it.
    fn with_file(text: &str) -> (tempfile::TempDir, Options) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leveret.conf");
        std::fs::write(&path, text).unwrap();
        (directory, Options { config: Some(path), ..Options::default() })
    }

    fn load(text: &str, change: impl Fn(&mut Options)) -> Config {
        let (_directory, mut options) = with_file(text);
        change(&mut options);
        Config::load(&options, &Environment::default()).unwrap()
    }

    #[test]
    fn listeners_with_tls_that_are_moved_onto_each_other_are_one() {
        let text = "listeners.ssl.1 = 127.0.0.1:5671\nlisteners.ssl.2 = 127.0.0.2:5671\n";
        let config = load(text, |options| options.bind = Some("127.0.0.3".parse().unwrap()));
        assert_eq!(config.tls.listeners, addresses(&["127.0.0.3:5671"]));
    }

    #[test]
    fn metrics_are_off_where_the_http_api_is_off_with_tls_and_without() {
        let config = load("management.tcp.port = 0\nmanagement.ssl.port = 0\n", |_| {});
        assert_eq!((config.management, config.prometheus), (None, None));
        let config = load("management.tcp.port = 0\nmanagement.ssl.port = 15671\n", |_| {});
        assert!(config.management.is_none() && config.prometheus.is_some());
    }

    #[test]
    fn without_anything_the_defaults_hold() {
        let config = Config::load(&Options::default(), &Environment::default()).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.listeners, addresses(&["127.0.0.1:5672"]));
        assert_eq!((config.heartbeat_s, config.frame_max, config.channel_max), (60, 131_072, 2047));
        assert_eq!(config.max_message_size, 134_217_728);
        assert_eq!(config.consumer_timeout_ms, Some(1_800_000));
        assert_eq!(config.disk_free_limit, Limit::Absolute(50_000_000));
        assert_eq!(config.vm_memory_high_watermark.bytes(1 << 30), (1 << 30) * 2 / 5);
        assert!(config.loopback_users.contains("guest"));
    }

    #[test]
    fn the_file_wins_over_the_environment_and_options_over_the_file() {
        let environment = Environment {
            default_user: Some("from-environment".to_owned()),
            default_pass: Some(Secret::new("pass-from-environment")),
            default_vhost: Some("vhost-from-environment".to_owned()),
            ..Environment::default()
        };
        let text = "default_user = from-file\nlog.console.level = debug\nheartbeat = 10\n";
        let (_directory, mut options) = with_file(text);
        options.log_level = Some(LevelFilter::Error);
        options.data_dir = Some(PathBuf::from("/data"));
        let config = Config::load(&options, &environment).unwrap();
        assert_eq!(config.default_user, "from-file");
        assert_eq!(config.default_pass.reveal(), "pass-from-environment");
        assert_eq!(config.default_vhost, "vhost-from-environment");
        assert_eq!(config.log_level, LevelFilter::Error);
        assert_eq!(config.data_dir, PathBuf::from("/data"));
        assert_eq!(config.heartbeat_s, 10);
    }

    #[test]
    fn named_listeners_replace_the_default_one() {
        let text = "listeners.tcp.default = 5673\nlisteners.tcp.any = 0.0.0.0:5674\n\
                    listeners.tcp.v6 = ::1:5675\nlisteners.tcp.v6b = [::]:5676\n";
        let listeners = load(text, |_| ()).listeners;
        let expected = ["0.0.0.0:5674", "127.0.0.1:5673", "[::1]:5675", "[::]:5676"];
        assert_eq!(listeners, addresses(&expected));
        assert_eq!(load("listeners.tcp = none\n", |_| ()).listeners, []);
        let again = load("listeners.tcp = none\nlisteners.tcp.a = 1\n", |_| ()).listeners;
        assert_eq!(again, addresses(&["127.0.0.1:1"]));
    }

    #[test]
    fn bind_moves_every_listener_and_port_leaves_one() {
        let text = "listeners.tcp.a = 10.0.0.1:5673\nlisteners.tcp.b = 10.0.0.2:5673\n";
        let config = load(text, |_| ());
        assert_eq!(config.listeners, addresses(&["10.0.0.1:5673", "10.0.0.2:5673"]));
        let config = load(text, |options| options.port = Some(0));
        assert_eq!(config.listeners, addresses(&["10.0.0.1:0"]));
        let config = load(text, |options| options.bind = Some([0, 0, 0, 0].into()));
        assert_eq!(config.listeners, addresses(&["0.0.0.0:5673"]));
    }

    #[test]
    fn the_http_api_moves_and_goes_away() {
        let management = |text: &str, change: fn(&mut Options)| load(text, change).management;
        let address = |text: &str| Some(text.parse().unwrap());
        let text = "management.tcp.ip = 0.0.0.0\nmanagement.tcp.port = 15673\n";
        assert_eq!(management(text, |_| ()), address("0.0.0.0:15673"));
        let text = "management.tcp.port = 15673\n";
        assert_eq!(management(text, |_| ()), address("127.0.0.1:15673"));
        let set = |options: &mut Options| options.management_port = Some(15674);
        assert_eq!(management(text, set), address("127.0.0.1:15674"));
        let bind = |options: &mut Options| options.bind = Some([10, 0, 0, 1].into());
        assert_eq!(management("", bind), address("10.0.0.1:15672"));
        assert_eq!(management(text, |options| options.management_port = Some(0)), None);
        assert_eq!(management("management.tcp.port = 0\n", |_| ()), None);
    }

    #[test]
    fn the_port_for_metrics_moves_and_goes_away_with_the_http_api() {
        let prometheus = |text: &str, change: fn(&mut Options)| load(text, change).prometheus;
        let address = |text: &str| Some(text.parse().unwrap());
        let text = "prometheus.tcp.ip = 0.0.0.0\nprometheus.tcp.port = 15693\n";
        assert_eq!(prometheus(text, |_| ()), address("0.0.0.0:15693"));
        let bind = |options: &mut Options| options.bind = Some([10, 0, 0, 1].into());
        assert_eq!(prometheus("", bind), address("10.0.0.1:15692"));
        assert_eq!(prometheus("prometheus.tcp.port = 0\n", |_| ()), None);
        assert_eq!(prometheus("management.tcp.port = 0\n", |_| ()), None);
        let both = "management.tcp.port = 0\nprometheus.tcp.port = 15692\n";
        assert_eq!(prometheus(both, |_| ()), address("127.0.0.1:15692"));
        assert_eq!(prometheus(text, |options| options.management_port = Some(0)), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = Config { default_pass: Secret::new("hunter2"), ..Config::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
