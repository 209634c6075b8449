//! What does HUP change? The configuration is read again; what can change while the broker runs
//! does, and what cannot is named.

use log::{error, info, warn};

use super::config::Config;
use super::error::ConfigError;
use crate::management::Order;
use crate::sys;

/// Reads the configuration as the start did.
pub type Load<'a> = &'a dyn Fn() -> Result<Config, ConfigError>;

/// The configuration that holds, and the way to read it again.
pub(super) struct Reload<'a> {
    holds: Config,
    load: Load<'a>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(holds: Config, load: Load<'a>) -> Self {
        Self { holds, load }
    }

    /// Reads the configuration again; what the node has to change. One that is wrong changes
    /// nothing.
    pub(super) fn again(&mut self) -> Vec<Order> {
        match (self.load)() {
            Ok(new) => self.take(new),
            Err(problem) => {
                error!("HUP: {problem}; the configuration stays as it is");
                Vec::new()
            }
        }
    }

    fn take(&mut self, new: Config) -> Vec<Order> {
        new.warnings.iter().for_each(|warning| warn!("{warning}"));
        let orders = orders(&self.holds, &new);
        let later = needing_a_restart(&self.holds, &new);
        let changed: Vec<String> = orders.iter().map(Order::to_string).collect();
        let none = || "nothing".to_owned();
        let changed = if changed.is_empty() { none() } else { changed.join(", ") };
        info!("HUP: the configuration was read again and set {changed}");
        if !later.is_empty() {
            warn!("HUP: restart the broker for what changed of {}", later.join(", "));
        }
        let held = &self.holds;
        self.holds = Config {
            listeners: held.listeners.clone(),
            management: held.management,
            prometheus: held.prometheus,
            proxies: held.proxies.clone(),
            load_definitions: held.load_definitions.clone(),
            segment_bytes: held.segment_bytes,
            ..new
        };
        orders
    }
}

/// What the node has to change.
fn orders(before: &Config, new: &Config) -> Vec<Order> {
    let mut orders = Vec::new();
    let mut order = |differs: bool, order: &dyn Fn() -> Order| {
        if differs {
            orders.push(order());
        }
    };
    let memory = new.vm_memory_high_watermark;
    let (a, b) = (before, new);
    order(a.log_level != b.log_level, &|| Order::LogLevel(b.log_level));
    order(a.vm_memory_high_watermark != memory, &|| {
        Order::LimitMemory(memory.bytes(sys::memory_limit_bytes()))
    });
    order(a.disk_free_limit != b.disk_free_limit, &|| {
        Order::LimitDisk(b.disk_free_limit.bytes(sys::machine_memory_bytes()))
    });
    // Where nothing is said any more, it keeps its name.
    let name = b.cluster_name.as_ref().filter(|_| a.cluster_name != b.cluster_name);
    order(name.is_some(), &|| Order::ClusterName(name.cloned().unwrap_or_default()));
    order(a.events() != b.events(), &|| b.events());
    order(a.published_log() != b.published_log(), &|| b.published_log());
    order(a.cors != b.cors, &|| Order::Cors(b.cors.clone()));
    let minutes = b.login_session_minutes;
    order(a.login_session_minutes != minutes, &|| Order::LoginSession(minutes));
    order(a.heartbeat_s != b.heartbeat_s, &|| Order::Heartbeat(b.heartbeat_s));
    order(a.frame_max != b.frame_max, &|| Order::FrameMax(b.frame_max));
    order(a.channel_max != b.channel_max, &|| Order::ChannelMax(b.channel_max));
    order(a.max_message_size != b.max_message_size, &|| Order::MessageMax(b.max_message_size));
    let product = |config: &Config| (config.product_name.clone(), config.product_version.clone());
    order(product(a) != product(b), &|| {
        Order::Product(b.product_name.clone(), b.product_version.clone())
    });
    order(a.connection_max != b.connection_max, &|| Order::ConnectionMax(b.connection_max));
    order(a.consumer_timeout_ms != b.consumer_timeout_ms, &|| {
        Order::ConsumerTimeout(b.consumer_timeout_ms)
    });
    order(a.loopback_users != b.loopback_users, &|| Order::LoopbackUsers(b.loopback_users.clone()));
    orders
}

/// The keys of what changed and stays as it was at the start.
fn needing_a_restart(before: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (before, new);
    let differs = [
        ("listeners.tcp", a.listeners != b.listeners),
        ("management.tcp", a.management != b.management),
        ("prometheus.tcp", a.prometheus != b.prometheus),
        ("proxy_protocol", a.proxies != b.proxies),
        ("load_definitions", a.load_definitions != b.load_definitions),
        ("storage.segment_size", a.segment_bytes != b.segment_bytes),
    ];
    differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use log::LevelFilter;

    use super::*;
    use crate::daemon::config::Draft;
    use crate::daemon::environment::Environment;
    use crate::daemon::keys;
    use crate::daemon::options::Options;
    use crate::daemon::units::Limit;

    #[test]
    fn what_can_change_does_and_once() {
        let next = RefCell::new(Config {
            log_level: LevelFilter::Debug,
            disk_free_limit: Limit::Absolute(7),
            segment_bytes: 1 << 20,
            ..Config::default()
        });
        let load = || Ok(next.borrow().clone());
        let mut reload = Reload::new(Config::default(), &load);
        let expected = [Order::LogLevel(LevelFilter::Debug), Order::LimitDisk(7)];
        assert_eq!(reload.again(), expected);
        assert_eq!(reload.again(), [], "nothing changed since");
        let waits = ["storage.segment_size"];
        assert_eq!(needing_a_restart(&reload.holds, &next.borrow()), waits);
        next.borrow_mut().cluster_name = Some("other".to_owned());
        assert_eq!(reload.again(), [Order::ClusterName("other".to_owned())]);
        assert_eq!(needing_a_restart(&reload.holds, &next.borrow()), waits, "it still waits");
    }

    /// Keys of the file that make a difference, with an order each; the others need a restart.
    #[test]
    fn every_setting_changes_something_or_is_named() {
        let set = |key: &str, value: &str| {
            let mut draft = Draft::new(&Environment::default());
            keys::apply(&mut draft, key, value).expect(key);
            draft.finish(&Options::default())
        };
        let before = Config::default();
        // Those of an empty data directory mean nothing afterwards.
        for (key, value, changes, waits) in [
            ("heartbeat", "5", 1, 0),
            ("frame_max", "1MiB", 1, 0),
            ("channel_max", "5", 1, 0),
            ("connection_max", "5", 1, 0),
            ("max_message_size", "5", 1, 0),
            ("consumer_timeout", "5", 1, 0),
            ("product.name", "x", 1, 0),
            ("product.version", "1.0.0", 1, 0),
            ("cluster_name", "x", 1, 0),
            ("loopback_users", "none", 1, 0),
            ("log.level", "error", 1, 0),
            ("vm_memory_high_watermark.absolute", "1GiB", 1, 0),
            ("disk_free_limit.absolute", "1GiB", 1, 0),
            ("management.cors.allow_origins.1", "https://a", 1, 0),
            ("management.cors.max_age", "5", 1, 0),
            ("management.login_session_timeout", "5", 1, 0),
            ("listeners.tcp", "none", 0, 1),
            ("management.tcp.port", "5", 0, 1),
            ("prometheus.tcp.port", "5", 0, 1),
            ("proxy_protocol", "true", 0, 1),
            ("management.tcp.proxy_protocol", "true", 0, 1),
            ("proxy_protocol.trusted.1", "10.0.0.0/8", 0, 1),
            ("load_definitions", "/x", 0, 1),
            ("storage.segment_size", "1MiB", 0, 1),
            ("default_user", "x", 0, 0),
        ] {
            let new = set(key, value);
            assert_ne!(new, before, "{key}");
            assert_eq!(orders(&before, &new).len(), changes, "{key}");
            assert_eq!(needing_a_restart(&before, &new).len(), waits, "{key}");
        }
    }

    #[test]
    fn a_configuration_that_is_wrong_changes_nothing() {
        let load =
            || Err(ConfigError::Line { path: "f".into(), line: 1, problem: "it is wrong".into() });
        let mut reload = Reload::new(Config::default(), &load);
        assert_eq!(reload.again(), []);
        assert_eq!(reload.holds, Config::default());
    }
}
