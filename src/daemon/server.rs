//! How does a broker start, run and stop?

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use log::{debug, error, info, warn};

use super::config::Config;
use super::definitions;
use super::error::StartError;
use super::lock::DirectoryLock;
use super::logging;
use super::notify::Notifier;
use super::reload::{Load, Reload};
use super::signals::{Signal, Signals};
use super::tls;
use crate::amqp::Name;
use crate::broker::users::user::Permissions;
use crate::broker::{Broker, Found, Users};
use crate::management::Order;
use crate::net::{Clock, EventLoop, Protocol, Remote, Wakeup};
use crate::node::ResourceLimits;
use crate::session::Limits;
use crate::storage::{Gate, HelperMode, RecoveryProgress, StorageError, StoreOptions};
use crate::sys;
use crate::tls::Site;

/// Runs the broker that `config` describes until TERM or INT; `load` reads that again at HUP.
///
/// # Errors
/// Why it could not start, or why it had to stop.
pub fn run(config: &Config, load: Load<'_>) -> Result<(), StartError> {
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let mut signals = Signals::install().map_err(|e| StartError::io("catch signals", e))?;
    let mut node = Node::start(config, None)?;
    node.event_loop
        .watch_signals(&mut signals)
        .map_err(|e| StartError::io("wait for signals", e))?;
    let notifier = Notifier::from_environment();
    tell(notifier.ready(), "ready");
    sys::forget_unused_code();
    let mut reload = Reload::new(config.clone(), load);
    let mut signalled = || {
        let mut orders = Vec::new();
        for signal in signals.pending() {
            match signal {
                Signal::Stop => orders.push(Order::Stop),
                Signal::HangUp => orders.extend(reload.again()),
            }
        }
        orders
    };
    let outcome = node.run(&mut signalled);
    tell(notifier.stopping(), "stopping");
    outcome.and_then(|()| node.stop())
}

/// A broker in a thread of this process, for tests and for embedding.
#[derive(Debug)]
pub struct Server {
    places: Places,
    remote: Remote,
    gate: Gate,
    thread: Option<JoinHandle<Result<(), StartError>>>,
}

impl Server {
    /// Starts a broker; it listens when this returns.
    ///
    /// # Errors
    /// Why it could not start.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let gate = Gate::default();
        let (sender, started) = std::sync::mpsc::channel();
        let held = gate.clone();
        let body = move || {
            let mut node = match Node::start(&config, Some(held)) {
                Ok(node) => node,
                Err(error) => {
                    // The receiver is gone only if the starting thread is.
                    let _ = sender.send(Err(error));
                    return Ok(());
                }
            };
            let _ = sender.send(Ok((node.places.clone(), node.event_loop.remote())));
            node.run(&mut Vec::new)?;
            node.stop()
        };
        let thread = std::thread::Builder::new()
            .name("leveret".into())
            .spawn(body)
            .map_err(|e| StartError::io("start the broker's thread", e))?;
        let lost = || StartError::Storage("the broker's thread ended before it listened".into());
        let (places, remote) = started.recv().map_err(|_| lost())??;
        Ok(Self { places, remote, gate, thread: Some(thread) })
    }

    /// Where AMQP is spoken; the first listener.
    pub fn address(&self) -> SocketAddr {
        self.places.amqp[0]
    }

    /// Where AMQP is spoken over TLS; the first listener.
    pub fn tls_address(&self) -> SocketAddr {
        self.places.amqps[0]
    }

    /// Where the HTTP API is served over TLS, if it is.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.places.https
    }

    /// Where metrics are served over TLS and nothing else, if they are.
    pub fn secret_metrics_address(&self) -> Option<SocketAddr> {
        self.places.secret_metrics
    }

    /// Changes what HUP may change.
    pub fn order(&self, order: Order) {
        self.remote.send(order);
    }

    /// Where the HTTP API is served, if it is.
    pub fn management_address(&self) -> Option<SocketAddr> {
        self.places.management
    }

    /// Where metrics are served and nothing else, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.places.metrics
    }

    /// Holds the storage helper back: nothing becomes durable meanwhile.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How long the longest turn of the loop took since this was last asked.
    pub fn take_longest_turn(&self) -> Duration {
        self.remote.take_longest_turn()
    }

    /// Stops in an orderly way, as TERM does, and waits for the end.
    ///
    /// # Errors
    /// Why it ended, if it was not because of this.
    pub fn stop(mut self) -> Result<(), StartError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), StartError> {
        self.gate.release();
        self.remote.send(Order::Stop);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = self.finish() {
            error!("{error}");
        }
    }
}

/// Where it listens.
#[derive(Debug, Clone)]
struct Places {
    /// For AMQP.
    amqp: Vec<SocketAddr>,
    /// For AMQP over TLS.
    amqps: Vec<SocketAddr>,
    /// For the HTTP API.
    management: Option<SocketAddr>,
    /// The same over TLS.
    https: Option<SocketAddr>,
    /// For whoever reads metrics.
    metrics: Option<SocketAddr>,
    /// The same over TLS.
    secret_metrics: Option<SocketAddr>,
}

impl Places {
    fn list(&self) -> String {
        let mut all: Vec<_> = self.amqp.iter().map(ToString::to_string).collect();
        all.extend(self.amqps.iter().map(|address| format!("amqps://{address}")));
        all.extend(self.management.map(|address| format!("http://{address}")));
        all.extend(self.https.map(|address| format!("https://{address}")));
        all.extend(self.secret_metrics.map(|address| format!("https://{address}/metrics")));
        all.extend(self.metrics.map(|address| format!("http://{address}/metrics")));
        if all.is_empty() { "nothing".into() } else { all.join(" and ") }
    }
}

/// A broker with its loop and its data directory.
struct Node {
    event_loop: EventLoop,
    places: Places,
    /// Held as long as the directory is in use.
    _lock: DirectoryLock,
}

impl Node {
    fn start(config: &Config, gate: Option<Gate>) -> Result<Self, StartError> {
        let mut clock = Clock::start();
        let began = clock.now();
        let sites = config.tls.sites().into_iter();
        let sites = sites.map(|(name, options)| Site::load(name, &options));
        let sites = sites.collect::<Result<Vec<_>, _>>()?;
        let lock = DirectoryLock::acquire(&config.data_dir)?;
        sys::keep_allocations_short();
        sys::keep_pages_small();
        if let Err(error) = sys::raise_open_files_limit() {
            warn!(
                "cannot raise the limit of open files: {error}; it bounds how many clients can \
                 connect (see ulimit -n)"
            );
        }
        sys::make_room_for_open_files(OPEN_FILES_AT_START);
        let wakeup = Wakeup::new().map_err(|e| StartError::io("make the event loop", e))?;
        let (mut broker, found) = open_broker(config, &wakeup, gate)?;
        clock.read();
        broker.start_clock(clock.unix_ms());
        if let Err(error) = fill(&mut broker, config) {
            close(broker)?;
            return Err(error);
        }
        let mut event_loop = EventLoop::new(wakeup, broker, limits(config));
        event_loop.carry_out(Order::ConnectionMax(config.connection_max));
        event_loop.limit_resources(resource_limits(config));
        event_loop.follow_log(&logging::TAIL);
        event_loop.introduce(
            format!("leveret@{}", sys::host_name()),
            config.data_dir.display().to_string(),
        );
        if let Some(name) = &config.cluster_name {
            event_loop.carry_out(Order::ClusterName(name.clone()));
        }
        event_loop.carry_out(config.events());
        event_loop.carry_out(config.published_log());
        event_loop.carry_out(Order::Cors(config.cors.clone()));
        event_loop.carry_out(Order::LoginSession(config.login_session_minutes));
        event_loop.carry_out(Order::TlsHandshake(config.tls.handshake_ms));
        event_loop.expect_proxies(config.proxies.clone());
        let places = match listen(&mut event_loop, config, sites) {
            Ok(places) => places,
            Err(error) => {
                // Nothing happened; the next start is to know that.
                close(event_loop.into_broker())?;
                return Err(error);
            }
        };
        clock.read();
        let took = clock.now().duration_since(began);
        info!(
            "Leveret {} listening on {}, data in {}: {} queues and {} messages recovered, \
             started in {:.1} ms",
            env!("CARGO_PKG_VERSION"),
            places.list(),
            config.data_dir.display(),
            found.queues,
            found.messages,
            took.as_secs_f64() * 1000.0
        );
        Ok(Self { event_loop, places, _lock: lock })
    }

    fn run(&mut self, signalled: &mut dyn FnMut() -> Vec<Order>) -> Result<(), StartError> {
        self.event_loop.run(signalled).map_err(|error| {
            StartError::Storage(format!(
                "{error}; the broker stopped at once and confirmed nothing more. What it confirmed \
                 before is in its files, as long as these are there: start it again when the \
                 cause is gone"
            ))
        })
    }

    fn stop(self) -> Result<(), StartError> {
        close(self.event_loop.into_broker())?;
        info!("stopped");
        Ok(())
    }
}

/// Listens on all configured addresses; where that is, if ports were left to the system.
fn listen(
    event_loop: &mut EventLoop,
    config: &Config,
    sites: Vec<Site>,
) -> Result<Places, StartError> {
    let numbered = sites.into_iter().map(|site| (site.name(), event_loop.add_site(site)));
    let sites: Vec<_> = numbered.collect();
    let site = |name| sites.iter().find(|(of, _)| *of == name).map(|(_, site)| *site);
    let mut bind = |protocol: Protocol, address: SocketAddr, site: Option<usize>| {
        let listening = event_loop.listen(protocol, address, site);
        let is_tls = site.is_some();
        listening.map_err(|source| StartError::Listen { protocol, is_tls, address, source })
    };
    let amqp = config.listeners.iter().map(|&address| bind(Protocol::Amqp, address, None));
    let amqp = amqp.collect::<Result<_, _>>()?;
    let mut http = |address: Option<SocketAddr>, protocol, site| {
        address.map(|address| bind(protocol, address, site)).transpose()
    };
    let management = http(config.management, Protocol::Http, None)?;
    let metrics = http(config.prometheus, Protocol::Metrics, None)?;
    let https = http(config.tls.management, Protocol::Http, site(tls::MANAGEMENT))?;
    let secret_metrics = http(config.tls.prometheus, Protocol::Metrics, site(tls::PROMETHEUS))?;
    let amqps = &config.tls.listeners;
    let amqps = amqps.iter().map(|&address| bind(Protocol::Amqp, address, site(tls::AMQP)));
    let amqps = amqps.collect::<Result<_, _>>()?;
    let path = config.data_dir.join(SOCKET_NAME);
    if let Err(error) = event_loop.listen_at_path(&path) {
        // The broker does its work without it, and a path may be too long for a socket.
        warn!("cannot listen at {}: {error}; use the HTTP API's port instead", path.display());
    }
    Ok(Places { amqp, amqps, management, https, metrics, secret_metrics })
}

/// The Unix socket in the data directory that lets the broker's owner ask over HTTP.
const SOCKET_NAME: &str = "leveret.sock";

fn close(broker: Broker) -> Result<(), StartError> {
    broker.close().map_err(|error| StartError::Storage(error.to_string()))
}

/// Opens the log; what the configuration says of users and queues holds from here on.
fn open_broker(
    config: &Config,
    wakeup: &Wakeup,
    gate: Option<Gate>,
) -> Result<(Broker, Found), StartError> {
    let (mut broker, mut found) = read_log(config, wakeup, gate.clone())?;
    if config.make_default_user {
        make_defaults(&mut broker, config)?;
        // The queues of a virtual host that was missing come back now that it is there.
        close(broker)?;
        (broker, found) = read_log(config, wakeup, gate)?;
        let Config { default_user, default_vhost, .. } = config;
        warn!("user '{default_user}' and virtual host '{default_vhost}' were made anew");
    }
    let loopback_only = config.loopback_users.iter().map(|user| Name::from(user.as_str()));
    broker.users_mut().set_loopback_only(loopback_only.collect());
    broker.queues_mut().set_consumer_timeout(config.consumer_timeout_ms);
    Ok((broker, found))
}

/// Takes in what the configuration has for the broker. As in RabbitMQ, an empty one gets no user of
/// ours beside those of files; unless these have none, since somebody has to log in.
fn fill(broker: &mut Broker, config: &Config) -> Result<(), StartError> {
    let is_empty =
        |broker: &Broker| broker.topology().is_empty() || broker.users().after(None).is_none();
    if config.load_definitions.is_none() && is_empty(broker) {
        return make_defaults(broker, config);
    }
    definitions::load(broker, config)?;
    if is_empty(broker) { make_defaults(broker, config) } else { Ok(()) }
}

/// Reads the log, and says what is wrong with it.
fn read_log(
    config: &Config,
    wakeup: &Wakeup,
    gate: Option<Gate>,
) -> Result<(Broker, Found), StartError> {
    let wake = Box::new(wakeup.waker());
    let helper = match gate {
        Some(gate) => HelperMode::ThreadGated { wake, gate },
        None => HelperMode::Thread { wake },
    };
    let directory: &Path = &config.data_dir;
    let options = StoreOptions {
        progress: Some(Box::new(progress())),
        ..StoreOptions::new(directory, config.segment_bytes, helper)
    };
    let opened = if config.make_default_user {
        Broker::open_anyway(directory, options)
    } else {
        Broker::open(directory, options)
    };
    let (broker, found) = opened.map_err(|error| {
        if let StorageError::Unusable { path, messages, damaged } = error {
            StartError::NobodyCanLogIn { directory: path, messages, damaged }
        } else {
            StartError::Storage(error.to_string())
        }
    })?;
    let report = broker.store.report();
    for damage in &report.damaged {
        error!("{damage}; everything else is there");
    }
    if !report.clean && report.segments > 0 {
        warn!("unclean shutdown of the last run: every message is marked as redelivered");
        debug!("the log was durable up to {}", report.durable);
    }
    Ok((broker, found))
}

/// Says once a second how much of the log was read at start.
fn progress() -> impl FnMut(RecoveryProgress) {
    let mut clock = Clock::start();
    let mut last = clock.now();
    move |RecoveryProgress { done_bytes, total_bytes }| {
        clock.read();
        if clock.now().duration_since(last) >= Duration::from_secs(1) {
            last = clock.now();
            let percent = done_bytes * 100 / total_bytes.max(1);
            info!(
                "reading the log: {} of {} MiB, {percent} %",
                done_bytes >> 20,
                total_bytes >> 20
            );
        }
    }
}

/// The vhost and the user of an empty data directory. The vhost comes last: as long as there is
/// none, the next start does all of this again.
fn make_defaults(broker: &mut Broker, config: &Config) -> Result<(), StartError> {
    let vhost = Name::from(config.default_vhost.as_str());
    let permissions = &config.default_permissions;
    let (name, password) = (&config.default_user, config.default_pass.reveal());
    let mut user = Users::first_user(name, password, &config.default_vhost)
        .map_err(|e| StartError::Storage(format!("cannot hash the default password: {e}")))?;
    user.tags = config.default_user_tags.iter().cloned().collect();
    let (configure, write, read) = (&permissions.configure, &permissions.write, &permissions.read);
    user.set_permissions(vhost.clone(), Permissions::new(configure, write, read));
    broker.put_user(user);
    broker.create_vhost(&vhost);
    broker.store.sync_now().map_err(|e| StartError::Storage(e.to_string()))
}

/// So many files may be open before the kernel has to make more room.
const OPEN_FILES_AT_START: u64 = 8_192;

/// What the cluster is called unless somebody says.
const CLUSTER_NAME: &str = "leveret@localhost";

fn limits(config: &Config) -> Limits {
    Limits {
        frame_bytes_max: config.frame_max,
        channel_max: config.channel_max,
        heartbeat_s: config.heartbeat_s,
        message_bytes_max: config.max_message_size,
        cluster_name: Name::from(config.cluster_name.as_deref().unwrap_or(CLUSTER_NAME)),
        product_name: Name::from(config.product_name.as_str()),
        product_version: Name::from(config.product_version.as_str()),
        mechanisms: config.mechanisms,
    }
}

fn resource_limits(config: &Config) -> ResourceLimits {
    let machine_bytes = sys::machine_memory_bytes();
    ResourceLimits {
        memory_bytes_max: config.vm_memory_high_watermark.bytes(sys::memory_limit_bytes()),
        disk_free_bytes_min: config.disk_free_limit.bytes(machine_bytes),
        directory: config.data_dir.clone(),
    }
}

fn tell(notified: io::Result<()>, state: &str) {
    if let Err(error) = notified {
        warn!("cannot tell the service manager that the broker is {state}: {error}");
    }
}
