//! What do RabbitMQ's tools do that this broker has no use for, and what to do instead?

/// Why a verb of one of RabbitMQ's tools does nothing here; `None` if it is no such verb.
pub fn reason(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(names, _)| names.contains(&name)).map(|(_, reason)| *reason)
}

const REFUSED: &[(&[&str], &str)] = &[
    (
        &[
            "change_cluster_node_type",
            "force_boot",
            "forget_cluster_node",
            "join_cluster",
            "rename_cluster_node",
            "update_cluster_nodes",
        ],
        "Leveret is one node, and there are no clusters to join or to leave",
    ),
    (
        &["add_member", "delete_member", "grow", "peek", "quorum_status", "rebalance"],
        "queues have no replicas: Leveret is one node. 'get queue=NAME' shows messages, \
         'list_queues' how many there are",
    ),
    (
        &["shrink", "reclaim_quorum_memory", "stream_status"],
        "queues have no replicas: Leveret is one node",
    ),
    (
        &["reset", "force_reset"],
        "nothing deletes all data of a running broker. Stop it and remove its data directory; \
         'export_definitions' first keeps what is defined",
    ),
    (
        &["stop_app"],
        "the broker is one process, which has no part that could be stopped. 'stop' ends it",
    ),
    (
        &["eval", "eval_file", "exec", "remote_shell", "observer", "hipe_compile", "maybe_stuck"],
        "the broker is no Erlang program. 'top', 'status' and the lists show what it does",
    ),
    (
        &[
            "command_line_arguments",
            "erlang_cookie_hash",
            "erlang_cookie_sources",
            "erlang_version",
            "runtime_thread_stats",
            "schema_info",
        ],
        "the broker is no Erlang program. 'status' and 'environment' show how it runs",
    ),
    (&["rotate_logs"], "This command does not rotate logs anymore [deprecated]"),
    (
        &["log_tail", "log_tail_stream"],
        "the log is not read over the API. 'status' says where it goes; 'journalctl -u leveret' \
         shows it under systemd",
    ),
    (
        &["consume_event_stream"],
        "events are messages: bind a queue to the exchange amq.rabbitmq.event if the broker has it",
    ),
    (
        &["decode", "encode", "list_ciphers", "list_hashes"],
        "the configuration has no encrypted values. Restrict who may read the file instead",
    ),
    (
        &["certificates", "cipher_suites", "tls_versions"],
        "the API does not tell. 'check_certificate_expiration' looks at dates, \
         'openssl s_client -connect HOST:PORT' at the rest",
    ),
    (
        &[
            "disable_auth_attempt_source_tracking",
            "enable_auth_attempt_source_tracking",
            "list_node_auth_attempt_stats",
            "reset_node_auth_attempt_metrics",
        ],
        "attempts to log in are not counted by source. The log names those that failed",
    ),
    (
        &["drain", "post_upgrade", "revive", "resume_listeners", "suspend_listeners"],
        "there is no other node that could take over, and so no maintenance mode. 'stop' ends the \
         broker in order, and nothing durable is lost",
    ),
    (
        &["directories"],
        "there are no plugin files: what is there is built in ('is_enabled rabbitmq_management')",
    ),
    (
        &["list_network_interfaces", "os_env", "resolve_hostname", "resolver_info"],
        "ask the machine where the broker runs: 'ip address', 'env', 'getent hosts NAME'",
    ),
];
