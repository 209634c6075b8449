//! Which environment variables of RabbitMQ's and of its container image count, and what of the
//! others?
//!
//! Those that clients know, such as `RABBITMQ_HOST`, are none of ours: a broker and its clients may
//! get the same environment.

use std::env;

use super::config::Secret;
use super::error::ConfigError;

/// What the environment says. An empty variable counts as absent, as it does in RabbitMQ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `RABBITMQ_DEFAULT_USER`
    pub default_user: Option<String>,
    /// `RABBITMQ_DEFAULT_PASS`
    pub default_pass: Option<Secret>,
    /// `RABBITMQ_DEFAULT_VHOST`
    pub default_vhost: Option<String>,
    /// What is to be said of variables that mean nothing here.
    pub warnings: Vec<String>,
    /// The first variable that is there and would make a difference that it does not make here.
    pub(super) refused: Option<(&'static str, &'static str)>,
}

impl Environment {
    /// Reads this process's environment. A value that is not UTF-8 counts as absent.
    pub fn read() -> Environment {
        Environment::from_lookup(|name| env::var(name).ok())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Environment {
        let text = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let is_there = |(name, _): &&(&'static str, &'static str)| text(name).is_some();
        let warning = |(name, why): &(&str, &str)| {
            format!("the environment variable {name} means nothing here: {why}")
        };
        Environment {
            default_user: text("RABBITMQ_DEFAULT_USER"),
            default_pass: text("RABBITMQ_DEFAULT_PASS").map(|text| Secret::new(&text)),
            default_vhost: text("RABBITMQ_DEFAULT_VHOST"),
            warnings: MEANINGLESS.iter().filter(is_there).map(warning).collect(),
            refused: UNSUPPORTED.iter().find(is_there).copied(),
        }
    }

    /// Whether nothing in it is refused.
    ///
    /// # Errors
    /// Which variable is, and why.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.refused {
            Some((name, why)) => Err(ConfigError::Variable { name, why }),
            None => Ok(()),
        }
    }
}

/// Variables that somebody may rely on: as the image does, the broker does not start with them.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("RABBITMQ_DEFAULT_PASS_FILE", "put default_pass into the configuration file"),
    ("RABBITMQ_DEFAULT_USER_FILE", "put default_user into the configuration file"),
    (
        "RABBITMQ_MANAGEMENT_SSL_CACERTFILE",
        "put management.ssl.cacertfile into the configuration file",
    ),
    ("RABBITMQ_MANAGEMENT_SSL_CERTFILE", "put management.ssl.certfile into the configuration file"),
    ("RABBITMQ_MANAGEMENT_SSL_KEYFILE", "put management.ssl.keyfile into the configuration file"),
    ("RABBITMQ_SSL_CACERTFILE", "put ssl_options.cacertfile into the configuration file"),
    ("RABBITMQ_SSL_CERTFILE", "put ssl_options.certfile into the configuration file"),
    ("RABBITMQ_SSL_KEYFILE", "put ssl_options.keyfile into the configuration file"),
    (
        "RABBITMQ_VM_MEMORY_HIGH_WATERMARK",
        "put vm_memory_high_watermark.relative or .absolute into the configuration file",
    ),
];

/// Variables of RabbitMQ's server that are named, and do nothing.
const MEANINGLESS: &[(&str, &str)] = &[
    ("RABBITMQ_ADVANCED_CONFIG_FILE", NO_ERLANG),
    ("RABBITMQ_CONF_ENV_FILE", "set what it sets in the configuration file"),
    ("RABBITMQ_CONFIG_FILE", CONFIG),
    ("RABBITMQ_CONFIG_FILES", CONFIG),
    ("RABBITMQ_CTL_ERL_ARGS", NO_ERLANG),
    ("RABBITMQ_ENABLED_PLUGINS", NO_PLUGINS),
    ("RABBITMQ_ENABLED_PLUGINS_FILE", NO_PLUGINS),
    ("RABBITMQ_ERLANG_COOKIE", NO_CLUSTER),
    ("RABBITMQ_FEATURE_FLAGS", "there are no feature flags"),
    ("RABBITMQ_LOGS", LOG_TO_STDERR),
    ("RABBITMQ_LOG_BASE", LOG_TO_STDERR),
    ("RABBITMQ_MNESIA_BASE", "use --data-dir"),
    ("RABBITMQ_MNESIA_DIR", "use --data-dir"),
    ("RABBITMQ_NODENAME", "the node is leveret@ and the name of the host"),
    ("RABBITMQ_NODE_IP_ADDRESS", "use --bind, or listeners.tcp.default in the file"),
    ("RABBITMQ_NODE_PORT", "use --port, or listeners.tcp.default in the file"),
    ("RABBITMQ_PID_FILE", "no such file is written"),
    ("RABBITMQ_PLUGINS_DIR", NO_PLUGINS),
    ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", NO_ERLANG),
    ("RABBITMQ_SERVER_ERL_ARGS", NO_ERLANG),
    ("RABBITMQ_USE_LONGNAME", NO_CLUSTER),
];

const CONFIG: &str = "name the file with --config";
const LOG_TO_STDERR: &str = "the log goes to standard error";
const NO_CLUSTER: &str = "there are no clusters";
const NO_ERLANG: &str = "the broker does not run on Erlang";
const NO_PLUGINS: &str = "there are no plugins";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        Environment::from_lookup(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_variable_is_none() {
        let found = environment(&[
            ("RABBITMQ_DEFAULT_USER", "admin"),
            ("RABBITMQ_DEFAULT_PASS", ""),
            ("RABBITMQ_NODE_PORT", ""),
            ("RABBITMQ_DEFAULT_PASS_FILE", ""),
        ]);
        assert_eq!(found.default_user.as_deref(), Some("admin"));
        assert_eq!((found.default_pass.clone(), found.default_vhost.clone()), (None, None));
        assert_eq!(found.warnings, [""; 0]);
        assert!(found.check().is_ok());
    }

    #[test]
    fn what_means_nothing_here_is_named_and_what_clients_know_is_not() {
        let found = environment(&[
            ("RABBITMQ_NODE_PORT", "5673"),
            ("RABBITMQ_ERLANG_COOKIE", "a secret"),
            ("RABBITMQ_HOST", "broker"),
            ("RABBITMQ_URL", "amqp://broker"),
        ]);
        let expected = [
            "the environment variable RABBITMQ_ERLANG_COOKIE means nothing here: there are no \
             clusters",
            "the environment variable RABBITMQ_NODE_PORT means nothing here: use --port, or \
             listeners.tcp.default in the file",
        ];
        assert_eq!(found.warnings, expected);
        assert!(found.check().is_ok());
    }

    /// A password from a file that nobody reads would leave the default one.
    #[test]
    fn what_somebody_relies_on_is_refused() {
        for (name, _) in UNSUPPORTED {
            let text = environment(&[(name, "/run/secrets/x")]).check().unwrap_err().to_string();
            assert!(text.contains(name) && !text.contains("secrets"), "{text}");
        }
    }

    #[test]
    fn no_variable_is_in_two_lists() {
        let names: Vec<_> = UNSUPPORTED.iter().chain(MEANINGLESS).map(|(name, _)| name).collect();
        assert_eq!(BTreeSet::from_iter(&names).len(), names.len());
        assert!(!names.iter().any(|name| name.ends_with("DEFAULT_PASS")));
    }
}
