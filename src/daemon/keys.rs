//! Which keys may a configuration file have, what is each one's value, and what does it set.
//!
//! The names are rabbitmq.conf's, but for `storage.segment_size`, `proxy_protocol.trusted` and
//! `management.tcp.proxy_protocol`, which are ours. A name that
//! ends in `*` stands for any one word there. Keys of RabbitMQ's that do nothing here are
//! refused by name, so that nobody believes in a setting that is not there, or named in a warning
//! where there is nothing to believe in. For users they are
//! in `docs/configuration.md`, which a test holds against this file.
//!
//! Where RabbitMQ listens everywhere when only a port is given, this broker listens on loopback:
//! to be reached from elsewhere takes an address, as in `listeners.tcp.default = 0.0.0.0:5672`.

use std::collections::BTreeMap;

use super::config::{Draft, Secret};
use super::nearest::nearest;
use super::options::{LEVELS, parse_level};
use super::setting::{
    Setting, boolean, in_range, ip, member, parse_endpoint, port, put, ratio, ratio_up_to_one,
    size, size_in_range, some_text, starts_with, word_of,
};
use super::tls_keys;
use super::units::Limit;

/// Puts `key` = `value` into `draft`; a warning where it means nothing, without file and line.
///
/// # Errors
/// What is wrong with the key or the value, without file and line.
pub(super) fn apply(draft: &mut Draft, key: &str, value: &str) -> Result<Option<String>, String> {
    for (pattern, set) in SUPPORTED {
        if let Some(word) = word_of(pattern, key) {
            let setting = Setting { word, value };
            return set(draft, &setting).map(|()| None).map_err(|expected| {
                format!("{key} wants {expected}, not '{}'", shown(key, value))
            });
        }
    }
    if let Some(outcome) = tls_keys::apply(draft, key, value) {
        let wanted = |expected| format!("{key} wants {expected}, not '{value}'");
        return outcome.map(|()| None).map_err(wanted);
    }
    let found = |table: &[(&str, &'static str)]| {
        table.iter().find(|(prefix, _)| starts_with(key, prefix)).map(|(_, why)| *why)
    };
    if let Some(why) = found(MEANINGLESS).or_else(|| tls_keys::meaningless(key)) {
        return Ok(Some(format!("{key} means nothing here: {why}")));
    }
    if let Some(why) = tls_keys::unsupported(key).or_else(|| found(UNSUPPORTED)) {
        return Err(format!("{key} is not supported by this version: {why}; remove this line"));
    }
    let of_tls: Vec<String> = tls_keys::patterns().collect();
    let known = SUPPORTED.iter().map(|(pattern, _)| *pattern);
    match nearest(key, known.chain(of_tls.iter().map(String::as_str))) {
        Some(name) => Err(format!("unknown key {key}; did you mean {name}?")),
        None => Err(format!("unknown key {key}")),
    }
}

/// Sets something, or says what was expected.
type Setter = fn(&mut Draft, &Setting<'_>) -> Result<(), String>;

/// The value as an error may show it.
fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if key == "default_pass" { "(hidden)" } else { value }
}

/// Every key that does something, with what it does.
const SUPPORTED: &[(&str, Setter)] = &[
    ("listeners.tcp", tcp_none),
    ("listeners.tcp.*", tcp_listener),
    ("management.tcp.ip", |draft, setting| put(&mut draft.management_ip, ip(setting).map(Some))),
    ("management.tcp.port", |draft, setting| put(&mut draft.management_port, port(setting))),
    ("management.cors.allow_origins", cors_none),
    ("management.cors.allow_origins.*", cors_origin),
    ("management.cors.max_age", |draft, setting| {
        put(&mut draft.config.cors.max_age_s, in_range(setting, 0, u32::MAX, "seconds"))
    }),
    ("management.login_session_timeout", |draft, setting| {
        let minutes = in_range(setting, 1, MINUTES_MAX, "minutes");
        put(&mut draft.config.login_session_minutes, minutes)
    }),
    ("management.tcp.proxy_protocol", |draft, setting| {
        put(&mut draft.config.proxies.before_http, boolean(setting))
    }),
    ("proxy_protocol", |draft, setting| {
        put(&mut draft.config.proxies.before_amqp, boolean(setting))
    }),
    ("proxy_protocol.trusted.*", trusted_proxy),
    ("prometheus.tcp.ip", |draft, setting| put(&mut draft.prometheus_ip, ip(setting).map(Some))),
    ("prometheus.tcp.port", |draft, setting| put(&mut draft.prometheus_port, port(setting))),
    ("heartbeat", |draft, setting| {
        put(&mut draft.config.heartbeat_s, in_range(setting, 0, u16::MAX, "seconds"))
    }),
    ("frame_max", frame_max),
    ("channel_max", channel_max),
    ("max_channels_per_connection", channel_max),
    ("connection_max", connection_max),
    ("max_connections", connection_max),
    ("max_message_size", max_message_size),
    ("consumer_timeout", consumer_timeout),
    ("default_user", |draft, setting| put(&mut draft.config.default_user, some_text(setting))),
    ("default_pass", |draft, setting| {
        put(&mut draft.config.default_pass, some_text(setting).map(|text| Secret::new(&text)))
    }),
    ("default_vhost", |draft, setting| put(&mut draft.config.default_vhost, some_text(setting))),
    ("default_user_tags.*", |draft, setting| member(&mut draft.config.default_user_tags, setting)),
    ("default_permissions.configure", |draft, setting| {
        put(&mut draft.config.default_permissions.configure, Ok(setting.value.to_owned()))
    }),
    ("default_permissions.write", |draft, setting| {
        put(&mut draft.config.default_permissions.write, Ok(setting.value.to_owned()))
    }),
    ("default_permissions.read", |draft, setting| {
        put(&mut draft.config.default_permissions.read, Ok(setting.value.to_owned()))
    }),
    ("load_definitions", load_definitions),
    ("definitions.local.path", load_definitions),
    ("definitions.import_backend", definitions_backend),
    ("definitions.skip_if_unchanged", |draft, setting| {
        put(&mut draft.config.skip_unchanged_definitions, boolean(setting))
    }),
    ("loopback_users", loopback_none),
    ("loopback_users.*", |draft, setting| member(&mut draft.config.loopback_users, setting)),
    ("vm_memory_high_watermark.relative", |draft, setting| {
        let ratio = ratio_up_to_one(setting).map(Limit::Relative);
        put(&mut draft.config.vm_memory_high_watermark, ratio)
    }),
    ("vm_memory_high_watermark.absolute", |draft, setting| {
        put(&mut draft.config.vm_memory_high_watermark, size(setting).map(Limit::Absolute))
    }),
    ("disk_free_limit.absolute", |draft, setting| {
        put(&mut draft.config.disk_free_limit, size(setting).map(Limit::Absolute))
    }),
    ("disk_free_limit.relative", |draft, setting| {
        put(&mut draft.config.disk_free_limit, ratio(setting).map(Limit::Relative))
    }),
    ("log.console", log_console),
    ("log.console.level", log_level),
    ("log.default.level", log_level),
    ("log.level", log_level),
    ("log.file", log_file),
    ("log.exchange", |draft, setting| put(&mut draft.config.log_exchange, boolean(setting))),
    ("log.exchange.level", |draft, setting| {
        let level = parse_level(setting.value).ok_or(LEVELS.to_owned());
        put(&mut draft.config.log_exchange_level, level)
    }),
    ("event_exchange", |draft, setting| put(&mut draft.config.event_exchange, boolean(setting))),
    ("event_exchange.vhost", |draft, setting| {
        put(&mut draft.config.event_exchange_vhost, some_text(setting))
    }),
    ("event_exchange.protocol", event_protocol),
    ("cluster_name", |draft, setting| {
        put(&mut draft.config.cluster_name, some_text(setting).map(Some))
    }),
    ("product.name", |draft, setting| put(&mut draft.config.product_name, some_text(setting))),
    ("product.version", |draft, setting| {
        put(&mut draft.config.product_version, some_text(setting))
    }),
    ("storage.segment_size", segment_size),
];

/// Keys, and beginnings of keys, that RabbitMQ knows and that somebody may rely on who does not
/// have them here, each with the reason as "... is not supported by this version: {reason}; remove
/// this line".
const UNSUPPORTED: &[(&str, &str)] = &[
    ("advanced", NO_ERLANG),
    ("auth_backends", "all users are in the broker's own data directory"),
    ("auth_http", "all users are in the broker's own data directory"),
    ("auth_ldap", "all users are in the broker's own data directory"),
    ("auth_oauth2", "all users are in the broker's own data directory"),
    ("channel_max_per_node", "channels are limited per connection (channel_max)"),
    ("consumer_max_per_channel", "consumers are not limited per channel"),
    ("credential_validator", "there are no rules for passwords"),
    ("default_limits", "new virtual hosts have no limits"),
    ("default_policies", "new virtual hosts have no policies"),
    ("default_queue_type", "a queue without x-queue-type is a classic queue"),
    ("default_users", "there is one default user (default_user)"),
    ("definitions", NO_DEFINITIONS),
    ("handshake_timeout", "a handshake may always take 10 s"),
    ("initial_frame_max", "frames before connection.tune-ok have a fixed limit"),
    ("log.connection", "log categories have no levels of their own"),
    ("log.dir", LOG_TO_STDERR),
    ("log.file", LOG_TO_STDERR),
    ("log.journald", LOG_TO_STDERR),
    ("log.syslog", LOG_TO_STDERR),
    ("management", NO_OTHER_API),
    ("message_interceptors", "there are no message interceptors"),
    ("mqtt", "there is no MQTT"),
    ("password_hashing_module", "passwords are always hashed with SHA-256"),
    ("prometheus", "of metrics, address and port can be set (prometheus.tcp.ip, .port), and TLS"),
    ("stomp", "there is no STOMP"),
    ("stream", "there is no stream protocol; streams are read over AMQP"),
    ("vhost_max", "virtual hosts are not limited"),
    ("web_mqtt", "there is no MQTT"),
    ("web_stomp", "there is no STOMP"),
];

/// Keys, and beginnings of keys, that tune what RabbitMQ is made of and that nobody misses here,
/// each with the reason as "... means nothing here: {reason}".
const MEANINGLESS: &[(&str, &str)] = &[
    ("background_gc_enabled", "there is no garbage collector"),
    ("background_gc_target_interval", "there is no garbage collector"),
    ("channel_operation_timeout", "channel operations do not time out"),
    ("cluster_formation", NO_CLUSTER),
    ("cluster_keepalive_interval", NO_CLUSTER),
    ("cluster_partition_handling", NO_CLUSTER),
    ("collect_statistics", NO_STATISTICS),
    ("collect_statistics_interval", NO_STATISTICS),
    ("deprecated_features", "there are no feature flags"),
    ("distribution", NO_CLUSTER),
    ("feature_flags", "there are no feature flags"),
    ("kernel", NO_ERLANG),
    ("management_agent", NO_STATISTICS),
    ("metadata_store", NO_ERLANG),
    ("net_ticktime", NO_CLUSTER),
    ("node_tags", NO_CLUSTER),
    ("nodename", NO_CLUSTER),
    ("num_acceptors", "the event loop accepts all connections"),
    ("queue_index_embed_msgs_below", "messages of every size lie in the log"),
    ("queue_leader_locator", NO_CLUSTER),
    ("queue_master_locator", NO_CLUSTER),
    ("quorum_queue", "a quorum queue lives on this node alone"),
    ("raft", NO_CLUSTER),
    ("reverse_dns_lookups", "names of clients are not looked up"),
    ("socket_writer", NO_ERLANG),
    ("sysmon_handler", NO_ERLANG),
    ("tcp_listen_options", "socket options are fixed"),
    ("total_memory_available_override_value", "the system says how much memory there is"),
    ("vm_memory_calculation_strategy", "memory is measured in one way, the process's own"),
    (
        "vm_memory_high_watermark_paging_ratio",
        "messages are always on disk, so there is nothing to page out",
    ),
];

const LOG_TO_STDERR: &str = "the log goes to standard error";
const NO_OTHER_API: &str = "of the HTTP API, address and port can be set \
                            (management.tcp.ip, .port), TLS (management.ssl), CORS \
                            (management.cors), and how long a login lasts \
                            (management.login_session_timeout)";
const NO_STATISTICS: &str = "rates are always sampled, every 5 s";
const NO_CLUSTER: &str = "there are no clusters";
const NO_DEFINITIONS: &str = "definitions come from files (load_definitions)";
const NO_ERLANG: &str = "the broker does not run on Erlang";

fn tcp_none(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    if setting.value != "none" {
        return Err("none (or a listener as in listeners.tcp.default = 5672)".to_owned());
    }
    draft.tcp = Some(BTreeMap::new());
    Ok(())
}

fn tcp_listener(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let expected = "a port, or an address and a port as in 127.0.0.1:5672 or ::1:5672";
    let endpoint = parse_endpoint(setting.value).ok_or(expected)?;
    draft.tcp.get_or_insert_default().insert(setting.word.to_owned(), endpoint);
    Ok(())
}

fn cors_none(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    if setting.value != "none" {
        return Err("none (or a site as in management.cors.allow_origins.1 = https://example.org)"
            .to_owned());
    }
    draft.cors_origins.clear();
    Ok(())
}

/// As browsers write them: scheme, host and, where it is another than the scheme's, port.
fn cors_origin(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let has_host = |(scheme, host): (&str, &str)| {
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['/', '?', '#', '@', ' ']);
        is_plain(scheme) && is_plain(host)
    };
    if setting.value != "*" && !setting.value.split_once("://").is_some_and(has_host) {
        return Err("* or a site as in https://example.org:8443, without a path".to_owned());
    }
    draft.cors_origins.insert(setting.word.to_owned(), setting.value.to_owned());
    Ok(())
}

fn trusted_proxy(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let expected = "an IP address, or a network as in 10.0.0.0/8";
    let network = setting.value.parse().map_err(|()| expected)?;
    draft.trusted_proxies.insert(setting.word.to_owned(), network);
    Ok(())
}

fn frame_max(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let bytes = size_in_range(setting, FRAME_BYTES_MIN.into(), FRAME_BYTES_MAX.into())?;
    draft.config.frame_max = u32::try_from(bytes).map_err(|error| error.to_string())?;
    Ok(())
}

/// As in RabbitMQ 0 means no limit of our own: the protocol's then.
fn channel_max(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let channels = in_range(setting, 0, u16::MAX, "channels")?;
    draft.config.channel_max = if channels == 0 { u16::MAX } else { channels };
    Ok(())
}

fn connection_max(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    draft.config.connection_max = match setting.value {
        "infinity" => None,
        _ => Some(in_range(setting, 0, u32::MAX, "connections, or infinity")?),
    };
    Ok(())
}

fn max_message_size(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    put(&mut draft.config.max_message_size, size_in_range(setting, 1, MESSAGE_BYTES_MAX))
}

fn consumer_timeout(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    draft.config.consumer_timeout_ms = match setting.value {
        "false" | "0" => None,
        _ => Some(in_range(setting, 0, i64::MAX.unsigned_abs(), "milliseconds, or false")?),
    };
    Ok(())
}

fn load_definitions(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    put(&mut draft.config.load_definitions, some_text(setting).map(|text| Some(text.into())))
}

fn definitions_backend(_: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    match setting.value {
        "local_filesystem" => Ok(()),
        _ => Err("local_filesystem".to_owned()),
    }
}

fn loopback_none(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    if setting.value != "none" {
        return Err("none (or a user as in loopback_users.guest = false)".to_owned());
    }
    draft.config.loopback_users.clear();
    Ok(())
}

/// The log always goes to standard error, so that is what may be said of it.
fn log_console(_: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    match boolean(setting)? {
        true => Ok(()),
        false => Err("true (to log nothing set log.console.level = none)".to_owned()),
    }
}

fn log_file(_: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    match setting.value {
        "false" => Ok(()),
        _ => Err("false (the log goes to standard error; redirect it)".to_owned()),
    }
}

fn event_protocol(_: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    match setting.value {
        "amqp_0_9_1" => Ok(()),
        _ => Err("amqp_0_9_1".to_owned()),
    }
}

fn log_level(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    put(&mut draft.config.log_level, parse_level(setting.value).ok_or(LEVELS.to_owned()))
}

fn segment_size(draft: &mut Draft, setting: &Setting<'_>) -> Result<(), String> {
    let bytes = size_in_range(setting, SEGMENT_BYTES_MIN.into(), SEGMENT_BYTES_MAX.into())?;
    if !bytes.is_multiple_of(SEGMENT_BYTES_STEP) {
        return Err(format!("a multiple of {SEGMENT_BYTES_STEP} bytes"));
    }
    draft.config.segment_bytes = u32::try_from(bytes).map_err(|error| error.to_string())?;
    Ok(())
}

/// The longest login that may be set: a year.
const MINUTES_MAX: u32 = 365 * 24 * 60;
/// AMQP's frame-min-size (1.1 `frame-min-size`): what every client must be able to take.
const FRAME_BYTES_MIN: u32 = 4_096;
/// Beyond this a frame is no longer something to buffer whole.
const FRAME_BYTES_MAX: u32 = 16 << 20;
/// RabbitMQ's upper bound.
const MESSAGE_BYTES_MAX: u64 = 512 << 20;
/// Segments below this hold too few messages to be worth a file.
const SEGMENT_BYTES_MIN: u32 = 64 << 10;
/// Offsets in a segment are 32 bits wide.
const SEGMENT_BYTES_MAX: u32 = 1 << 30;
/// Segments are mapped page by page.
const SEGMENT_BYTES_STEP: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::environment::Environment;
    use super::super::options::Options;
    use super::*;
    use crate::daemon::config::Endpoint;

    fn draft() -> Draft {
        Draft::new(&Environment::default())
    }

    fn set(settings: &[(&str, &str)]) -> Config {
        let mut draft = draft();
        for (key, value) in settings {
            apply(&mut draft, key, value).expect(key);
        }
        draft.finish(&Options::default())
    }

    fn complaint(key: &str, value: &str) -> String {
        apply(&mut draft(), key, value).expect_err(key)
    }

    #[test]
    fn numbers_and_sizes_are_set() {
        let config = set(&[
            ("heartbeat", "0"),
            ("frame_max", "128KiB"),
            ("channel_max", "100"),
            ("connection_max", "5000"),
            ("max_message_size", "16MB"),
            ("consumer_timeout", "60000"),
            ("management.login_session_timeout", "15"),
            ("disk_free_limit.relative", "1.5"),
            ("vm_memory_high_watermark.absolute", "1GiB"),
            ("storage.segment_size", "4MiB"),
        ]);
        assert_eq!((config.heartbeat_s, config.frame_max), (0, 131_072));
        assert_eq!((config.channel_max, config.connection_max), (100, Some(5000)));
        assert_eq!(config.max_message_size, 16_000_000);
        assert_eq!(config.consumer_timeout_ms, Some(60_000));
        assert_eq!(config.login_session_minutes, 15);
        assert_eq!(config.disk_free_limit.bytes(1000), 1500);
        assert_eq!(config.vm_memory_high_watermark, Limit::Absolute(1 << 30));
        assert_eq!(config.segment_bytes, 4 << 20);
    }

    #[test]
    fn words_for_no_limit_are_understood() {
        let config = set(&[
            ("channel_max", "0"),
            ("connection_max", "3"),
            ("connection_max", "infinity"),
            ("consumer_timeout", "false"),
            ("vm_memory_high_watermark.relative", "0"),
        ]);
        assert_eq!(config.channel_max, u16::MAX);
        assert_eq!((config.connection_max, config.consumer_timeout_ms), (None, None));
        assert_eq!(config.vm_memory_high_watermark.bytes(1 << 40), 0);
        assert_eq!(set(&[("consumer_timeout", "0")]).consumer_timeout_ms, None);
    }

    #[test]
    fn users_and_their_tags_come_and_go() {
        let config = set(&[
            ("default_user", "admin"),
            ("default_pass", "secret"),
            ("default_vhost", "orders"),
            ("default_user_tags.administrator", "false"),
            ("default_user_tags.monitoring", "true"),
            ("default_permissions.write", "^$"),
            ("loopback_users.guest", "false"),
            ("loopback_users.admin", "true"),
        ]);
        assert_eq!(config.default_user, "admin");
        assert_eq!(config.default_pass.reveal(), "secret");
        assert_eq!(config.default_vhost, "orders");
        assert_eq!(Vec::from_iter(config.default_user_tags), ["monitoring"]);
        assert_eq!(config.default_permissions.write, "^$");
        assert_eq!(config.default_permissions.read, ".*");
        assert_eq!(Vec::from_iter(config.loopback_users), ["admin"]);
        assert!(set(&[("loopback_users", "none")]).loopback_users.is_empty());
    }

    #[test]
    fn proxies_are_believed_where_they_are_said_to_be_and_there_alone() {
        let config = set(&[
            ("proxy_protocol", "true"),
            ("proxy_protocol.trusted.1", "10.0.0.0/8"),
            ("proxy_protocol.trusted.2", "192.0.2.1"),
            ("proxy_protocol.trusted.1", "2001:db8::/32"),
        ]);
        assert!(config.proxies.before_amqp && !config.proxies.before_http);
        let trusts = |address: &str| config.proxies.trust(address.parse().unwrap());
        assert!(trusts("192.0.2.1:1") && trusts("[2001:db8::7]:1"));
        assert!(!trusts("10.0.0.1:1") && !trusts("127.0.0.1:1"), "nobody named it");
        for wrong in ["", "10.0.0.0/33", "localhost", "10.0.0.0/8, 192.0.2.1"] {
            let text = complaint("proxy_protocol.trusted.1", wrong);
            assert!(text.contains("wants an IP address, or a network as in 10.0.0.0/8"), "{text}");
        }
    }

    #[test]
    fn sites_whose_pages_may_read_answers_are_listed_and_the_last_of_a_number_counts() {
        let config = set(&[
            ("management.cors.allow_origins.1", "https://old.example"),
            ("management.cors.allow_origins.2", "http://localhost:3000"),
            ("management.cors.allow_origins.1", "https://new.example"),
            ("management.cors.max_age", "60"),
        ]);
        let origins = ["http://localhost:3000", "https://new.example"];
        assert_eq!(Vec::from_iter(config.cors.origins), origins);
        assert_eq!(config.cors.max_age_s, 60);
        let config = set(&[
            ("management.cors.allow_origins.a", "*"),
            ("management.cors.allow_origins", "none"),
        ]);
        assert_eq!(config.cors, Config::default().cors);
    }

    #[test]
    fn names_and_levels_are_set() {
        let config = set(&[
            ("cluster_name", "hutch"),
            ("log.console", "true"),
            ("log.file", "false"),
            ("log.console.level", "warning"),
        ]);
        assert_eq!(config.cluster_name.as_deref(), Some("hutch"));
        assert_eq!(config.log_level, log::LevelFilter::Warn);
    }

    #[test]
    fn listeners_take_a_port_or_an_address_and_a_port() {
        for (text, ip, port) in [
            ("5672", None, 5672),
            ("127.0.0.1:0", Some("127.0.0.1"), 0),
            ("localhost:5672", Some("127.0.0.1"), 5672),
            (":::5672", Some("::"), 5672),
            ("::1:5672", Some("::1"), 5672),
            ("[fe80::2]:5672", Some("fe80::2"), 5672),
        ] {
            let ip = ip.map(|text| text.parse().unwrap());
            assert_eq!(parse_endpoint(text), Some(Endpoint { ip, port }), "{text}");
        }
        for text in ["", "amqp", "65536", "127.0.0.1", "example.org:5672", "127.0.0.1:", ":5672"] {
            assert_eq!(parse_endpoint(text), None, "{text}");
        }
    }

    /// Each line is key, value and what the complaint must contain.
    const BAD_VALUES: &str = "
        heartbeat|-1|a whole number from 0 to 65535 seconds, not '-1'
        frame_max|4095|a size from 4096 to 16777216 bytes, not '4095'
        frame_max|0|a size from 4096 to 16777216 bytes, not '0'
        channel_max|65536|a whole number from 0 to 65535 channels
        connection_max|many|a whole number from 0 to 4294967295 connections, or infinity
        max_message_size|1GiB|a size from 1 to 536870912 bytes
        max_message_size|big|a size in bytes or with a unit as in 512MiB, not 'big'
        consumer_timeout|never|milliseconds, or false, not 'never'
        loopback_users|guest|none (or a user as in loopback_users.guest = false)
        loopback_users.guest|maybe|true or false, not 'maybe'
        vm_memory_high_watermark.relative|40%|a ratio from 0 to 1 as in 0.4
        vm_memory_high_watermark.relative|1.1|a ratio from 0 to 1 as in 0.4
        disk_free_limit.relative|x|a ratio as in 0.4
        disk_free_limit.absolute|0.5GB|a size in bytes or with a unit
        management.tcp.ip|eth0|an IP address or localhost, not 'eth0'
        prometheus.tcp.ip|eth0|an IP address or localhost, not 'eth0'
        prometheus.tcp.port|-1|a whole number from 0 to 65535 (0 is off)
        management.tcp.port|65536|a whole number from 0 to 65535 (0 is off)
        management.cors.allow_origins|*|none (or a site as in management.cors.allow_origins.1
        management.cors.allow_origins.1|example.org|* or a site as in https://example.org:8443
        management.cors.allow_origins.1|https://a/|without a path, not 'https://a/'
        management.cors.allow_origins.1||* or a site
        management.cors.max_age|never|a whole number from 0 to 4294967295 seconds
        management.login_session_timeout|0|a whole number from 1 to 525600 minutes, not '0'
        management.login_session_timeout|8h|a whole number from 1 to 525600 minutes
        listeners.tcp|5672|none (or a listener as in listeners.tcp.default = 5672)
        listeners.tcp.default|eth0:5672|an address and a port as in 127.0.0.1:5672
        log.console.level|loud|trace, debug, info, warning, error or none
        log.console|false|set log.console.level = none
        log.exchange|amq.rabbitmq.log|true or false
        log.exchange.level|loud|trace, debug, info, warning, error or none
        event_exchange|amq.rabbitmq.event|true or false
        event_exchange.vhost||some text, not ''
        event_exchange.protocol|amqp_1_0|amqp_0_9_1, not 'amqp_1_0'
        log.file|/var/log/x|goes to standard error; redirect it
        cluster_name||some text, not ''
        storage.segment_size|100000|a multiple of 4096 bytes
        storage.segment_size|2GiB|a size from 65536 to 1073741824 bytes
        default_pass||some text, not '(hidden)'";

    #[test]
    fn bad_values_say_what_was_expected() {
        for line in BAD_VALUES.lines().skip(1) {
            let mut parts = line.trim().splitn(3, '|');
            let mut part = || parts.next().unwrap();
            let (key, value, expected) = (part(), part(), part());
            let text = complaint(key, value);
            assert!(text.starts_with(&format!("{key} wants ")), "{text}");
            assert!(text.contains(expected), "{text}\nlacks: {expected}");
        }
    }

    #[test]
    fn unknown_keys_get_the_nearest_known_one() {
        for (key, known) in [
            ("hearbeat", "heartbeat"),
            ("vm_memory_high_watermark", "vm_memory_high_watermark.relative"),
            ("disk_free_limit.absolut", "disk_free_limit.absolute"),
            ("listener.tcp.default", "listeners.tcp"),
            ("max_mesage_size", "max_message_size"),
        ] {
            let text = complaint(key, "1");
            assert!(
                text.starts_with(&format!("unknown key {key}; did you mean {known}")),
                "{text}"
            );
        }
        assert!(complaint("listeners.tcp.", "1").starts_with("unknown key listeners.tcp.;"));
        assert!(complaint("listeners.tcp.a.b", "1").starts_with("unknown key"));
    }

    #[test]
    fn keys_that_do_nothing_are_refused_by_name() {
        for (key, why) in [
            ("definitions.https.url", "definitions come from files (load_definitions)"),
            ("management.tcp.backlog", "of the HTTP API, address and port can be set"),
        ] {
            let expected = format!("{key} is not supported by this version: {why}");
            let text = complaint(key, "0.5");
            assert!(text.starts_with(&expected), "{text}");
            assert!(text.ends_with("; remove this line"), "{text}");
        }
        for key in [
            "ssl_options.password",
            "log.file.level",
            "management.path_prefix",
            "prometheus.return_per_object_metrics",
            "management.load_definitions",
            "mqtt.listeners.tcp.default",
        ] {
            assert!(complaint(key, "1").contains("is not supported by this version"), "{key}");
        }
        assert!(complaint("streaming", "1").starts_with("unknown key"));
    }

    #[test]
    fn keys_that_mean_nothing_here_are_named_and_nothing_else_happens() {
        for (key, why) in [
            ("vm_memory_high_watermark_paging_ratio", "messages are always on disk, so there is"),
            ("cluster_formation.peer_discovery_backend", "there are no clusters"),
            ("collect_statistics_interval", "rates are always sampled, every 5 s"),
        ] {
            let mut draft = draft();
            let warning = apply(&mut draft, key, "whatever").unwrap().expect("it is named");
            assert!(warning.starts_with(&format!("{key} means nothing here: {why}")), "{warning}");
            assert_eq!(draft.finish(&Options::default()), Config::default());
        }
        let none = apply(&mut draft(), "heartbeat", "10");
        assert_eq!(none, Ok(None));
    }

    /// The rows of the tables in the documentation whose first cell is a key, cell by cell.
    fn documented() -> Vec<Vec<&'static str>> {
        let text = include_str!("../../docs/configuration.md");
        let (_, keys) = text.split_once("\n## The file\n").unwrap();
        let (keys, _) = keys.split_once("\n## ").unwrap();
        let rows = keys.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.split('|').map(str::trim).skip(1).collect()).collect()
    }

    /// What stands in a cell in back quotes and nothing else.
    fn quoted(cell: &str) -> Option<&str> {
        cell.strip_prefix('`')?.strip_suffix('`').filter(|inner| !inner.contains('`'))
    }

    #[test]
    fn the_documentation_has_every_key_and_no_other() {
        let mut keys: Vec<&str> =
            documented().iter().map(|row| quoted(row[0]).expect("a key")).collect();
        let of_tls: Vec<String> = tls_keys::patterns().collect();
        let mut supported: Vec<&str> = SUPPORTED.iter().map(|(pattern, _)| *pattern).collect();
        supported.extend(of_tls.iter().map(String::as_str));
        keys.sort_unstable();
        supported.sort_unstable();
        assert_eq!(keys, supported);
    }

    #[test]
    fn the_documented_defaults_change_nothing() {
        let mut checked = 0;
        for row in documented() {
            let Some(default) = quoted(row[2]) else { continue };
            let mut draft = draft();
            let key = quoted(row[0]).expect("a key").replace('*', "word");
            apply(&mut draft, &key, default).expect(&key);
            let config = draft.finish(&Options::default());
            assert_eq!(config, Config::default(), "{key}");
            checked += 1;
        }
        assert!(checked >= 20, "only {checked} defaults were found");
    }

    /// A key in two tables would be two answers to one question.
    #[test]
    fn no_supported_key_is_also_unsupported_and_none_is_shadowed() {
        for (index, (pattern, _)) in SUPPORTED.iter().enumerate() {
            let key = pattern.replace('*', "word");
            let first = SUPPORTED.iter().position(|(other, _)| word_of(other, &key).is_some());
            assert_eq!(first, Some(index), "{pattern}");
            let mut others = UNSUPPORTED.iter().chain(MEANINGLESS);
            assert!(others.all(|(prefix, _)| prefix != pattern || key == "log.file"));
        }
    }
}
