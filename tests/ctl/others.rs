//! Verbs of RabbitMQ's other tools, of clusters and of plugins; and those that are refused.

use crate::case::Case;

const NAME: (&str, u16, &str) = ("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#);
const WELL: (&str, u16, &str) = ("GET /api/nodes/n%40h", 200, "{}");
const ALARMED: (&str, u16, &str) = (
    "GET /api/nodes/n%40h",
    200,
    r#"{"mem_alarm":true,"disk_free_alarm":true,"log_files":["/var/log/l.log"]}"#,
);
const WHO: (&str, u16, &str) = ("GET /api/whoami", 200, "{}");
const MEMORY: (&str, u16, &str) = (
    "GET /api/nodes/n%40h/memory",
    200,
    r#"{"memory":{"queues":3000000,"other":1000000,"strategy":"rss","total":{"rss":4000000}}}"#,
);
const FLAGS: (&str, u16, &str) =
    ("GET /api/feature-flags", 200, r#"[{"name":"quorum_queue","state":"enabled"}]"#);
/// The first thing that top asks for.
const OVERVIEW: (&str, u16, &str) = (
    "GET /api/overview?columns=cluster_name%2Cmessage_stats%2Cnode%2Cobject_totals%2C\
         product_name%2Cqueue_totals%2Crabbitmq_version",
    200,
    "{}",
);
/// What top asks with nothing in the broker.
const TOP: &[(&str, u16, &str)] = &[
    OVERVIEW,
    ("GET /metrics", 404, ""),
    (
        "GET /api/queues?page=1&page_size=200&sort=messages_ready&sort_reverse=true&columns=name%2C\
         vhost%2Cmessages_ready%2Cmessages_unacknowledged%2Cconsumers%2C\
         message_stats.publish_details.rate%2Cmessage_stats.deliver_get_details.rate",
        200,
        r#"{"items":[],"total_count":0}"#,
    ),
    (
        "GET /api/connections?page=1&page_size=20&sort=recv_oct&sort_reverse=true&columns=name%2C\
         user_provided_name%2Cuser%2Cstate%2Cchannels%2Crecv_oct%2Csend_oct%2C\
         recv_oct_details.rate%2Csend_oct_details.rate",
        200,
        r#"{"items":[],"total_count":0}"#,
    ),
];

pub const CASES: &[Case] = &[
    Case {
        line: "top --limit 5",
        asks: TOP,
        stdout: "nothing is wrong\n./leveret-data/leveret.sock  publish 0.0/s  confirm 0.0/s  \
                 deliver 0.0/s  ack 0.0/s  ready 0\nunacked 0  queues 0  connections 0  channels \
                 0  consumers 0\n0 queues by ready                                 ready  \
                 unacked     in/s    out/s   grow/s     cons\n0 connections                     \
                 \x20                        state     user channels   in B/s  out B/s\n",
        ..Case::NONE
    },
    Case {
        line: "top -p nov",
        asks: &[
            OVERVIEW,
            ("GET /metrics", 404, ""),
            (
                "GET /api/queues/nov?page=1&page_size=200&sort=messages_ready&sort_reverse=true&\
                 columns=name%2Cvhost%2Cmessages_ready%2Cmessages_unacknowledged%2Cconsumers%2C\
                 message_stats.publish_details.rate%2Cmessage_stats.deliver_get_details.rate",
                404,
                "",
            ),
            ("GET /api/vhosts/nov?columns=name", 404, ""),
        ],
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "top --sort nonsense",
        stderr: "Error (argument validation): 'nonsense' is no key; there are r ready, u unacked, \
                 m messages, p publish, d deliver, c consumers, y memory, n name\nArguments \
                 given:\n\ttop --sort nonsense",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "top --interval 0",
        stderr: "Error (argument validation): --interval is a number from 1 on, not 0\nArguments \
                 given:\n\ttop --interval 0",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "complete queues a.b",
        asks: &[(
            "GET /api/queues/%2F?page=1&page_size=100&sort=name&use_regex=true&name=%5Ea%5C.b&\
             columns=name",
            200,
            r#"{"items":[{"name":"a.b2"},{"name":"a.b 1"},{"name":"a.b\n"},{"name":"axb"}]}"#,
        )],
        stdout: "a.b 1\na.b2\n",
        ..Case::NONE
    },
    Case {
        line: "complete vhosts",
        asks: &[("GET /api/vhosts?columns=name", 200, r#"[{"name":"v"},{"name":"/"}]"#)],
        stdout: "/\nv\n",
        ..Case::NONE
    },
    Case { line: "autocomplete list_q", stdout: "list_queues\n", ..Case::NONE },
    Case {
        line: "await_online_nodes 1",
        asks: &[NAME],
        stdout: "Will wait for at least 1 nodes to join the cluster of n@h. Timeout: 300 \
                 seconds.\n",
        ..Case::NONE
    },
    Case {
        line: "await_online_nodes 2 --timeout 2",
        asks: &[NAME],
        stdout: "Will wait for at least 2 nodes to join the cluster of n@h. Timeout: 2 \
                 seconds.\n",
        stderr: "Error:\nError: there is one node, n@h, and no other one will join it\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "await_online_nodes x",
        stderr: "Error (argument validation): Bad argument: Argument must be a positive integer\n\
                 Arguments given:\n\tawait_online_nodes x",
        code: 65,
        ..Case::NONE
    },
    Case { line: "await_online_quorum_plus_one", asks: &[WHO], ..Case::NONE },
    Case { line: "await_online_synchronized_mirror", asks: &[WHO], ..Case::NONE },
    Case {
        line: "discover_peers",
        asks: &[WHO],
        stdout: "Discovering peers nodes ...\nNo peers discovered\n",
        ..Case::NONE
    },
    Case {
        line: "force_gc",
        asks: &[NAME],
        stdout: "Will ask all processes on node n@h to schedule a full sweep GC\n",
        ..Case::NONE
    },
    Case { line: "force_gc -q", asks: &[NAME], ..Case::NONE },
    Case { line: "start_app", asks: &[NAME], stdout: "Starting node n@h ...\n", ..Case::NONE },
    Case {
        line: "sync_queue -p v q",
        asks: &[("GET /api/queues/v/q?columns=name", 404, "")],
        stdout: "Synchronising queue 'q' in vhost 'v' ...\n",
        stderr: "Error:\nnot_found\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "sync_queue q -q",
        asks: &[("GET /api/queues/%2F/q?columns=name", 200, "{}")],
        stderr: "Error:\nnot_mirrored\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "cancel_sync_queue q",
        asks: &[("GET /api/queues/%2F/q?columns=name", 200, "{}")],
        stdout: "Stopping synchronising queue 'q' in vhost '/' ...\nnot_syncing\n",
        ..Case::NONE
    },
    Case {
        line: "check_if_node_is_quorum_critical",
        asks: &[NAME],
        stdout: "Checking if node n@h is critical for quorum of any quorum queues ...\n\
                 Node n@h seems to be the only one in a single node cluster, the check does not \
                 apply\n",
        ..Case::NONE
    },
    Case {
        line: "check_if_node_is_mirror_sync_critical",
        asks: &[NAME],
        stdout: "Checking if node n@h is critical for data safety of any classic mirrored queues \
                 ...\nNode n@h seems to be the only one in a single node cluster, the check does \
                 not apply\n",
        ..Case::NONE
    },
    Case {
        line: "check_certificate_expiration --within 5 --unit days",
        asks: &[NAME, ("GET /api/health/checks/certificate-expiration/5/days", 200, "{}")],
        stdout: "Checking certificate expiration on node n@h ...\n\
                 No certificates are expiring within 5 days.\n",
        ..Case::NONE
    },
    Case {
        line: "check_certificate_expiration -q",
        asks: &[
            NAME,
            (
                "GET /api/health/checks/certificate-expiration/4/weeks",
                503,
                r#"{"reason":"Certificates expiring"}"#,
            ),
        ],
        stderr: "Error:\nCertificates expiring\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "restart_vhost -p v1",
        asks: &[NAME, ("GET /api/vhosts/v1?columns=name", 200, "{}")],
        stdout: "Trying to restart vhost 'v1' on node 'n@h' ...\n\
                 Vhost 'v1' is already running on node 'n@h'\n",
        ..Case::NONE
    },
    Case {
        line: "restart_vhost -p nope",
        asks: &[NAME, ("GET /api/vhosts/nope?columns=name", 404, "")],
        stdout: "Trying to restart vhost 'nope' on node 'n@h' ...\n",
        stderr: "Error:\nFailed to start vhost 'nope' on node 'n@h'. Reason: it does not exist\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "alarms",
        asks: &[NAME, WELL],
        stdout: "Asking node n@h to report any known resource alarms ...\n\
                 Node n@h reported no alarms, local or clusterwide\n",
        ..Case::NONE
    },
    Case {
        line: "alarms --formatter json",
        asks: &[NAME, ALARMED],
        stdout: "{\"global\":[],\"local\":[\"Memory alarm on node n@h\",\"Free disk space alarm on \
                 node n@h\"],\"message\":\"Node n@h reported alarms\",\"result\":\"ok\"}\n",
        ..Case::NONE
    },
    Case {
        line: "is_running",
        asks: &[NAME],
        stdout: "Asking node n@h for its status ...\n\
                 RabbitMQ on node n@h is fully booted and running\n",
        ..Case::NONE
    },
    Case {
        line: "is_booting -q",
        asks: &[NAME],
        stdout: "RabbitMQ on node n@h is fully booted (check with is_running), stopped or has not \
                 started booting yet\n",
        ..Case::NONE
    },
    Case {
        line: "list_unresponsive_queues -p vf",
        asks: &[("GET /api/vhosts/vf?columns=name", 200, "{}")],
        stdout: "Listing unresponsive queues for vhost vf ...\n",
        ..Case::NONE
    },
    Case {
        line: "list_unresponsive_queues -p vf nope",
        stderr: "Error (argument validation): Info key(s) nope are not supported\nArguments \
                 given:\n\tlist_unresponsive_queues -p vf nope",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "listeners",
        asks: &[
            NAME,
            (
                "GET /api/overview?columns=listeners",
                200,
                r#"{"listeners":[{"node":"n@h","protocol":"amqp","ip_address":"::","port":5672}]}"#,
            ),
        ],
        stdout: "Asking node n@h to report its protocol listeners ...\n\
                 Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1\n",
        ..Case::NONE
    },
    Case {
        line: "log_location -q",
        asks: &[NAME, ALARMED],
        stdout: "/var/log/l.log\n",
        ..Case::NONE
    },
    Case {
        line: "memory_breakdown --unit mb",
        asks: &[NAME, MEMORY],
        stdout: "Reporting memory breakdown on node n@h...\nqueues: 3.0 mb (75.0%)\n\
                 other: 1.0 mb (25.0%)\n",
        ..Case::NONE
    },
    Case {
        line: "node_health_check -q",
        asks: &[NAME, WELL],
        stdout: "Health check passed\n",
        ..Case::NONE
    },
    Case {
        line: "node_health_check -q",
        asks: &[NAME, ALARMED],
        stderr: "Error:\nhealth check failed. Message: Memory alarm on node n@h, Free disk space \
                 alarm on node n@h\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "server_version",
        asks: &[
            NAME,
            ("GET /api/overview?columns=rabbitmq_version", 200, r#"{"rabbitmq_version":"3.10.8"}"#),
        ],
        stdout: "Asking node n@h for its RabbitMQ version...\n3.10.8\n",
        ..Case::NONE
    },
    Case {
        line: "enable_feature_flag quorum_queue",
        asks: &[FLAGS],
        stdout: "Enabling feature flag \"quorum_queue\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "enable_feature_flag all",
        asks: &[FLAGS],
        stdout: "Enabling all feature flags ...\n",
        ..Case::NONE
    },
    Case {
        line: "enable_feature_flag nope",
        asks: &[FLAGS, NAME],
        stdout: "Enabling feature flag \"nope\" ...\n",
        stderr: "Error:\nThis feature flag is not supported by node n@h\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "wait",
        stderr: "Error (argument validation): \"No pid or pidfile specified\"\nArguments given:\n\
                 \twait",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "wait nopidfile --timeout 0",
        stdout: "Waiting for pid file 'nopidfile' to appear\n",
        stderr: "Error: operation wait on the broker at ./leveret-data/leveret.sock timed out. \
                 Timeout value used: 0\n",
        code: 75,
        ..Case::NONE
    },
    Case { line: "wait --pid 1 -q", asks: &[("GET /api/whoami", 503, ""), WHO, WHO], ..Case::NONE },
    Case {
        line: "enable rabbitmq_management rabbitmq_prometheus --offline",
        stdout: "Built in and always enabled: nothing to do.\n",
        ..Case::NONE
    },
    Case {
        line: "set rabbitmq_mqtt,rabbitmq_management",
        stderr: concat!(
            "Error:\nLeveret has no plugins, and nothing like rabbitmq_mqtt. Built in and always ",
            "enabled: rabbitmq_management, rabbitmq_management_agent, rabbitmq_prometheus, ",
            "rabbitmq_web_dispatch\n"
        ),
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "disable rabbitmq_management",
        stderr: "Error:\nrabbitmq_management is built in and cannot be disabled\n",
        code: 69,
        ..Case::NONE
    },
    Case { line: "disable rabbitmq_mqtt -q", ..Case::NONE },
    Case {
        line: "is_enabled rabbitmq_management",
        asks: &[NAME, WHO],
        stdout: "Asking node n@h if plugin rabbitmq_management is enabled...\n\
                 Plugin rabbitmq_management is enabled on node n@h\n",
        ..Case::NONE
    },
    Case {
        line: "is_enabled rabbitmq_mqtt -q",
        asks: &[NAME, WHO],
        stderr: "Error:\nPlugin rabbitmq_mqtt is not enabled on node n@h. Enabled plugins and \
                 dependencies: rabbitmq_management, rabbitmq_management_agent, \
                 rabbitmq_prometheus, rabbitmq_web_dispatch\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "eval 'rabbit:status().'",
        stderr: "Error:\n'eval' does nothing here: the broker is no Erlang program. 'top', \
                 'status' and the lists show what it does.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "-n n@h join_cluster rabbit@other --ram",
        stderr: "Error:\n'join_cluster' does nothing here: Leveret is one node, and there are no \
                 clusters to join or to leave.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "rotate_logs",
        stderr: "Error:\nThis command does not rotate logs anymore [deprecated]\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "help stop_app",
        stdout: "'stop_app' does nothing here: the broker is one process, which has no part that \
                 could be stopped. 'stop' ends it.\n",
        ..Case::NONE
    },
    Case {
        line: "list queues",
        asks: &[(
            "GET /api/queues?columns=destination%2Cmessages%2Cname%2Crouting_key%2Csource%2Cvhost",
            200,
            r#"[{"name":"b","messages":2,"vhost":"/"},{"name":"a","messages":1,"vhost":"/"}]"#,
        )],
        stdout: "name\tmessages\na\t1\nb\t2\n",
        ..Case::NONE
    },
    Case {
        line: "list queues -p v name message_stats.ack --formatter json",
        asks: &[(
            "GET /api/queues/v?columns=destination%2Cmessage_stats.ack%2Cname%2Crouting_key%2C\
             source%2Cvhost",
            200,
            r#"[{"name":"b","message_stats":{"ack":7}}]"#,
        )],
        stdout: "[\n{\"name\":\"b\",\"message_stats.ack\":7}\n]\n",
        ..Case::NONE
    },
    Case {
        line: "list users",
        asks: &[("GET /api/users", 200, r#"[{"name":"u","tags":["a"]}]"#)],
        stdout: "name\ttags\nu\t[a]\n",
        ..Case::NONE
    },
    Case {
        line: "list nonsense",
        stderr: "Error (argument validation): 'nonsense' is not one of bindings, channels, \
                 connections, consumers, exchanges, nodes, operator_policies, parameters, \
                 permissions, policies, queues, users, vhost_limits, vhosts\nArguments given:\n\
                 \tlist nonsense",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list",
        stderr: "Error (argument validation): not enough arguments.\nArguments given:\n\tlist",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "show overview -s",
        asks: &[(
            "GET /api/overview",
            200,
            concat!(
                r#"{"rabbitmq_version":"3.13.7","cluster_name":"c","queue_totals":{"messages":5},"#,
                r#""object_totals":{"queues":2}}"#
            ),
        )],
        stdout: "3.13.7\tc\t5\t2\n",
        ..Case::NONE
    },
    Case {
        line: "close connection 'name=a -> b'",
        asks: &[("DELETE /api/connections/a%20-%3E%20b", 204, "")],
        stdout: "connection closed\n",
        ..Case::NONE
    },
    Case {
        line: "purge queue name=q -p v -q",
        asks: &[
            ("DELETE /api/queues/v/q/contents", 404, ""),
            ("GET /api/vhosts/v?columns=name", 200, "{}"),
        ],
        stderr: "Error:\nnot_found\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "export -",
        asks: &[("GET /api/definitions", 200, "{}")],
        stdout: "{}",
        ..Case::NONE
    },
    Case {
        line: "import -q",
        stdin: "{}",
        asks: &[("POST /api/definitions {}", 204, "")],
        ..Case::NONE
    },
    Case {
        line: "declare queue name=q queue_type=quorum -q",
        asks: &[(
            r#"PUT /api/queues/%2F/q {"arguments":{"x-queue-type":"quorum"},"durable":true}"#,
            201,
            "",
        )],
        ..Case::NONE
    },
    Case {
        line: "declare user name=u password=p tags=administrator",
        asks: &[(r#"PUT /api/users/u {"password":"p","tags":"administrator"}"#, 201, "")],
        stdout: "user declared\n",
        ..Case::NONE
    },
    Case {
        line: "declare permission vhost=v user=u configure=.* write=.* read=",
        asks: &[(r#"PUT /api/permissions/v/u {"configure":".*","read":"","write":".*"}"#, 201, "")],
        stdout: "permission declared\n",
        ..Case::NONE
    },
    Case {
        line: r#"declare policy name=p pattern=^a 'definition={"max-length":1}' priority=3 -p v"#,
        asks: &[(
            r#"PUT /api/policies/v/p {"definition":{"max-length":1},"pattern":"^a","priority":3}"#,
            201,
            "",
        )],
        stdout: "policy declared\n",
        ..Case::NONE
    },
    Case {
        line: "declare policy name=p",
        stderr: "Error (argument validation): pattern=... is missing\nArguments given:\n\
                 \tdeclare policy name=p",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "delete vhost_limit vhost=v name=max-queues",
        asks: &[("DELETE /api/vhost-limits/v/max-queues", 204, "")],
        stdout: "vhost_limit deleted\n",
        ..Case::NONE
    },
];

/// Every verb that RabbitMQ 3.10.8's tools list in their help.
pub const RABBITMQ: &str = "
    autocomplete help version await_startup reset rotate_logs shutdown start_app stop stop_app wait
    await_online_nodes change_cluster_node_type cluster_status force_boot force_reset
    forget_cluster_node join_cluster rename_cluster_node update_cluster_nodes cancel_sync_queue
    sync_queue add_user authenticate_user change_password clear_password clear_user_limits
    delete_user list_user_limits list_users set_user_limits set_user_tags clear_permissions
    clear_topic_permissions list_permissions list_topic_permissions list_user_permissions
    list_user_topic_permissions list_vhosts set_permissions set_topic_permissions list_bindings
    list_channels list_ciphers list_connections list_consumers list_exchanges list_hashes
    list_node_auth_attempt_stats list_queues list_unresponsive_queues ping report schema_info status
    clear_global_parameter clear_parameter list_global_parameters list_parameters
    set_global_parameter set_parameter clear_operator_policy clear_policy list_operator_policies
    list_policies set_operator_policy set_policy add_vhost clear_vhost_limits delete_vhost
    list_vhost_limits restart_vhost set_vhost_limits set_vhost_tags trace_off trace_on decode encode
    environment set_cluster_name set_disk_free_limit set_log_level set_vm_memory_high_watermark
    export_definitions import_definitions enable_feature_flag list_feature_flags
    close_all_connections close_all_user_connections close_connection eval eval_file exec force_gc
    resume_listeners suspend_listeners delete_queue purge_queue hipe_compile node_health_check
    alarms check_alarms check_certificate_expiration check_if_node_is_mirror_sync_critical
    check_if_node_is_quorum_critical check_local_alarms check_port_connectivity check_port_listener
    check_protocol_listener check_running check_virtual_hosts cipher_suites consume_event_stream
    discover_peers erlang_version is_booting is_running list_network_interfaces listeners log_tail
    log_tail_stream maybe_stuck memory_breakdown observer quorum_status remote_shell
    runtime_thread_stats server_version stream_status tls_versions certificates
    command_line_arguments disable_auth_attempt_source_tracking enable_auth_attempt_source_tracking
    erlang_cookie_hash erlang_cookie_sources log_location os_env reset_node_auth_attempt_metrics
    resolve_hostname resolver_info reclaim_quorum_memory grow rebalance shrink add_member
    delete_member peek directories is_enabled disable enable list set await_online_quorum_plus_one
    await_online_synchronized_mirror drain post_upgrade revive";
