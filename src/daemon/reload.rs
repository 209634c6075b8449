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
        // What can change holds from now on; the rest is as it was at the start.
        let holds = self.holds.clone();
        self.holds = Config {
            log_level: new.log_level,
            vm_memory_high_watermark: new.vm_memory_high_watermark,
            disk_free_limit: new.disk_free_limit,
            cluster_name: new.cluster_name,
            default_vhost: new.default_vhost,
            event_exchange: new.event_exchange,
            event_exchange_vhost: new.event_exchange_vhost,
            log_exchange: new.log_exchange,
            log_exchange_level: new.log_exchange_level,
            ..holds
        };
        orders
    }
}

fn orders(before: &Config, new: &Config) -> Vec<Order> {
    let memory = new.vm_memory_high_watermark;
    let memory_bytes = || memory.bytes(sys::memory_limit_bytes());
    let disk_bytes = || new.disk_free_limit.bytes(sys::machine_memory_bytes());
    let changes = [
        (before.log_level != new.log_level).then_some(Order::LogLevel(new.log_level)),
        (before.vm_memory_high_watermark != memory).then(|| Order::LimitMemory(memory_bytes())),
        (before.disk_free_limit != new.disk_free_limit).then(|| Order::LimitDisk(disk_bytes())),
        (before.cluster_name != new.cluster_name)
            .then(|| Order::ClusterName(new.cluster_name.clone())),
        (before.events() != new.events()).then(|| new.events()),
        (before.published_log() != new.published_log()).then(|| new.published_log()),
    ];
    changes.into_iter().flatten().collect()
}

/// The keys of what changed and stays as it was at the start.
fn needing_a_restart(before: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (before, new);
    let differs = [
        ("listeners.tcp", a.listeners != b.listeners),
        ("management.tcp", a.management != b.management),
        ("prometheus.tcp", a.prometheus != b.prometheus),
        ("heartbeat", a.heartbeat_s != b.heartbeat_s),
        ("frame_max", a.frame_max != b.frame_max),
        ("channel_max", a.channel_max != b.channel_max),
        ("connection_max", a.connection_max != b.connection_max),
        ("max_message_size", a.max_message_size != b.max_message_size),
        ("consumer_timeout", a.consumer_timeout_ms != b.consumer_timeout_ms),
        ("load_definitions", a.load_definitions != b.load_definitions),
        ("loopback_users", a.loopback_users != b.loopback_users),
        ("product", a.product_name != b.product_name || a.product_version != b.product_version),
        ("storage.segment_size", a.segment_bytes != b.segment_bytes),
    ];
    differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use log::LevelFilter;

    use super::*;
    use crate::daemon::units::Limit;

    #[test]
    fn what_can_change_does_and_once() {
        let next = RefCell::new(Config {
            log_level: LevelFilter::Debug,
            disk_free_limit: Limit::Absolute(7),
            heartbeat_s: 1,
            ..Config::default()
        });
        let load = || Ok(next.borrow().clone());
        let mut reload = Reload::new(Config::default(), &load);
        let expected = [Order::LogLevel(LevelFilter::Debug), Order::LimitDisk(7)];
        assert_eq!(reload.again(), expected);
        assert_eq!(reload.again(), [], "nothing changed since");
        assert_eq!(needing_a_restart(&reload.holds, &next.borrow()), ["heartbeat"]);
        next.borrow_mut().cluster_name = "other".to_owned();
        assert_eq!(reload.again(), [Order::ClusterName("other".to_owned())]);
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
