//! The broker as a process, checks of it, and definitions.

use crate::case::Case;

const NAME: (&str, u16, &str) = ("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#);
const OVERVIEW: &str = r#"{"node":"n@h","cluster_name":"c","product_name":"Leveret",
    "rabbitmq_version":"3.13.0","object_totals":{"connections":1,"queues":2},
    "listeners":[{"node":"n@h","protocol":"amqp","ip_address":"::","port":5672},
                 {"node":"n@h","protocol":"http","ip_address":"127.0.0.1","port":15672}]}"#;
const STATE: &str = r#"{"os_pid":"42","uptime":195123,"db_dir":"/data",
    "config_files":["/etc/l.conf"],
    "log_files":[],"mem_used":136543210,"mem_limit":1000000000,"mem_alarm":true,
    "mem_calculation_strategy":"rss","fd_used":8,"fd_total":100,"sockets_used":1,
    "sockets_total":90,"disk_free":5000000000,"disk_free_limit":50000000,
    "disk_free_alarm":false}"#;
/// A text that two cases print.
macro_rules! status {
    () => {
        "\
Runtime\n\nOS PID: 42\nUptime (seconds): 195\nLeveret version: 3.13.0\nNode name: n@h\n
Data directory\n\nNode data directory: /data\n
Config files\n\n * /etc/l.conf\n
Alarms\n\nMemory alarm on node n@h\n
Memory\n
Total memory used: 0.1365 gb\nCalculation strategy: rss\nMemory high watermark: 1.0 gb\n
File Descriptors\n\nTotal: 8, limit: 100\nSockets: 1, limit: 90\n
Free Disk Space\n\nLow free disk space watermark: 0.05 gb\nFree disk space: 5.0 gb\n
Totals\n\nConnection count: 1\nQueue count: 2\nVirtual host count: 1\n
Listeners\n\nInterface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
Interface: 127.0.0.1, port: 15672, protocol: http, purpose: HTTP API\n"
    };
}

const STATUS: &str = status!();
const REPORT: &str = concat!(status!(), "\n");
const CLUSTER: &str = "\
Cluster status of node n@h ...
Basics\n\nCluster name: c\n
Disk Nodes\n\nn@h\n
Running Nodes\n\nn@h\n
Versions\n\nn@h: Leveret 3.13.0\n
Maintenance status\n\nNode: n@h, status: not under maintenance\n
Alarms\n\nMemory alarm on node n@h\n
Network Partitions\n\n(none)\n
Listeners\n\nNode: n@h, interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1
Node: n@h, interface: 127.0.0.1, port: 15672, protocol: http, purpose: HTTP API\n
Feature flags\n\nFlag: quorum_queue, state: enabled\n";
const REPORT_BEGIN: (&str, u16, &str) = ("GET /api/vhosts?columns=name", 200, r#"[{"name":"v"}]"#);

pub const CASES: &[Case] = &[
    Case {
        line: "status -q",
        asks: &[
            NAME,
            ("GET /api/overview", 200, OVERVIEW),
            ("GET /api/nodes/n%40h", 200, STATE),
            ("GET /api/vhosts?columns=name", 200, r#"[{"name":"/"}]"#),
        ],
        stdout: STATUS,
        ..Case::NONE
    },
    Case {
        line: "cluster_status",
        asks: &[
            NAME,
            ("GET /api/overview", 200, OVERVIEW),
            ("GET /api/nodes/n%40h", 200, STATE),
            ("GET /api/feature-flags", 200, r#"[{"name":"quorum_queue","state":"enabled"}]"#),
        ],
        stdout: CLUSTER,
        ..Case::NONE
    },
    Case {
        line: "cluster_status --formatter json",
        asks: &[
            NAME,
            ("GET /api/overview", 200, r#"{"cluster_name":"c","rabbitmq_version":"3.13.0"}"#),
            ("GET /api/nodes/n%40h", 200, r#"{"mem_alarm":true}"#),
            ("GET /api/feature-flags", 200, "[]"),
        ],
        stdout: "{\"alarms\":[\"memory\"],\"cluster_name\":\"c\",\"disk_nodes\":[\"n@h\"],\
                 \"feature_flags\":[],\"listeners\":{\"n@h\":[]},\
                 \"maintenance_status\":{\"n@h\":\"not under maintenance\"},\"partitions\":{},\
                 \"ram_nodes\":[],\"running_nodes\":[\"n@h\"],\"versions\":{\"n@h\":\
                 {\"rabbitmq_name\":\"RabbitMQ\",\"rabbitmq_version\":\"3.13.0\"}}}\n",
        ..Case::NONE
    },
    Case {
        line: "ping -q",
        asks: &[("GET /api/whoami", 200, "{}")],
        stdout: "Ping succeeded\n",
        ..Case::NONE
    },
    Case {
        line: "await_startup",
        asks: &[
            ("GET /api/whoami", 503, ""),
            ("GET /api/whoami", 200, "{}"),
            ("GET /api/whoami", 200, "{}"),
        ],
        ..Case::NONE
    },
    Case {
        line: "environment",
        asks: &[
            NAME,
            (
                "GET /api/leveret/settings",
                200,
                r#"{"disk_free_limit":{"absolute":1},"log_level":"info"}"#,
            ),
        ],
        stdout: "Application environment of node n@h ...\nname\tvalue\n\
                 disk_free_limit\t{\"absolute\":1}\nlog_level\t\"info\"\n",
        ..Case::NONE
    },
    Case {
        line: "report -s",
        asks: &[
            NAME,
            REPORT_BEGIN,
            NAME,
            ("GET /api/overview", 200, OVERVIEW),
            ("GET /api/nodes/n%40h", 200, STATE),
            ("GET /api/vhosts?columns=name", 200, r#"[{"name":"v"}]"#),
            NAME,
            ("GET /api/overview", 200, "{}"),
            ("GET /api/nodes/n%40h", 200, "{}"),
            ("GET /api/feature-flags", 500, ""),
        ],
        stdout: REPORT,
        stderr: "Error:\nthe broker answered with status 500\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "shutdown -q",
        asks: &[NAME, ("POST /api/leveret/stop", 403, r#"{"reason":"not you"}"#)],
        stderr: "Error:\nnot you\n",
        code: 77,
        ..Case::NONE
    },
    Case {
        line: "stop",
        asks: &[NAME, ("POST /api/leveret/stop", 204, "")],
        stdout: "Stopping and halting node n@h ...\n",
        ..Case::NONE
    },
    Case {
        line: "stop -n other@h -q",
        asks: &[NAME],
        stderr: "Error: unable to perform an operation on node 'other@h'. The broker at \
                 ./leveret-data/leveret.sock is the node 'n@h', and there is no other one. Leave \
                 --node away, or choose the broker with --data-dir or --uri.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "check_running",
        asks: &[NAME, ("GET /api/whoami", 200, "{}")],
        stdout: "Checking if RabbitMQ is running on node n@h ...\n\
                 RabbitMQ on node n@h is fully booted and running\n",
        ..Case::NONE
    },
    Case {
        line: "check_local_alarms",
        asks: &[NAME, ("GET /api/health/checks/local-alarms", 200, r#"{"status":"ok"}"#)],
        stdout: "Asking node n@h to report any local resource alarms ...\n\
                 Node n@h reported no local alarms\n",
        ..Case::NONE
    },
    Case {
        line: "check_alarms",
        asks: &[
            NAME,
            (
                "GET /api/health/checks/alarms",
                503,
                concat!(
                    r#"{"status":"failed","reason":"There are alarms in effect in the "#,
                    r#"cluster","alarms":[{"node":"n@h","resource":"memory"},{"node":"n@h","#,
                    r#""resource":"disk space"}]}"#
                ),
            ),
        ],
        stdout: "Asking node n@h to report any local resource alarms ...\n",
        stderr: "Memory alarm on node n@h\nFree disk space alarm on node n@h\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "check_port_listener 1",
        asks: &[
            NAME,
            (
                "GET /api/health/checks/port-listener/1",
                503,
                concat!(
                    r#"{"status":"failed","reason":"No active listener","missing":1,"#,
                    r#""ports":[46673,5672]}"#
                ),
            ),
        ],
        stdout: "Asking node n@h if there's an active listener on port 1 ...\n",
        stderr: "No listener for port 1 is active on node n@h. Found listeners that use the \
                 following ports: 5672, 46673\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "check_port_listener x",
        stderr: "Error (argument validation): Bad argument: Argument must be a positive integer\n\
                 Arguments given:\n\tcheck_port_listener x",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "check_protocol_listener amqps -q",
        asks: &[
            NAME,
            (
                "GET /api/health/checks/protocol-listener/amqps",
                503,
                concat!(
                    r#"{"status":"failed","reason":"No active listener","missing":"amqp/ssl","#,
                    r#""protocols":["http","amqp"]}"#
                ),
            ),
        ],
        stderr: "Error:\nNo listener for protocol amqp/ssl is active on node n@h. Found listeners \
                 for the following protocols: amqp, http\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "check_virtual_hosts -q",
        asks: &[NAME, ("GET /api/health/checks/virtual-hosts", 200, r#"{"status":"ok"}"#)],
        stdout: "Node n@h reported all vhosts as running\n",
        ..Case::NONE
    },
    Case {
        line: "check_port_connectivity -q",
        asks: &[NAME, ("GET /api/overview?columns=listeners", 200, r#"{"listeners":[]}"#)],
        stdout: "Successfully connected to ports  on node n@h.\n",
        ..Case::NONE
    },
    Case {
        line: "export_definitions -",
        asks: &[("GET /api/definitions", 200, "{\"users\":[]}")],
        stdout: "{\"users\":[]}",
        ..Case::NONE
    },
    Case {
        line: "export_definitions defs.json -p v",
        asks: &[("GET /api/definitions/v", 200, "{}")],
        stdout: "Exporting definitions in JSON to a file at \"defs.json\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "export_definitions nowhere/x",
        stderr: "Error (argument validation): Bad argument: Directory nowhere does not exist\n\
                 Arguments given:\n\texport_definitions nowhere/x",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "import_definitions",
        stdin: r#"{"users": []}"#,
        asks: &[(r#"POST /api/definitions {"users": []}"#, 204, "")],
        stdout: "Importing definitions in JSON from standard input ...\n\
                 Successfully imported definitions.\n",
        ..Case::NONE
    },
    Case {
        line: "import_definitions - -q",
        stdin: "{bad",
        stderr: "Error:\nFailed to deserialise input (format: JSON) (error: key must be a string \
                 at line 1 column 2)\n",
        code: 65,
        ..Case::NONE
    },
];
