//! Queues, exchanges, bindings, connections, channels, consumers and messages.

use crate::case::Case;

const QUEUES: &str = r#"[
    {"name":"q2","messages":0,"state":"down","arguments":{}},
    {"name":"q1","messages":5,"state":"running",
     "arguments":{"x-message-ttl":60000,"x-queue-type":"classic"}}]"#;
const CONNECTIONS: &str = r#"[
    {"name":"127.0.0.1:1 -> 127.0.0.1:2","user":"guest","peer_host":"127.0.0.1","peer_port":1,
     "state":"running","protocol":"AMQP 0-9-1","ssl":false,"ssl_cipher":null,
     "client_properties":{"product":"P","capabilities":{"basic.nack":true}}},
    {"name":"127.0.0.1:3 -> 127.0.0.1:2","user":"guest","peer_host":"127.0.0.1","peer_port":3,
     "state":"running","protocol":"AMQP 0-9-1","ssl":false,"ssl_cipher":null,
     "client_properties":{}}]"#;
const CONSUMERS: &str = r#"[{"arguments":{"x-priority":5},"ack_required":true,"active":true,
    "activity_status":"up","channel_details":{"name":"c (1)"},"consumer_tag":"t","exclusive":false,
    "prefetch_count":2,"queue":{"name":"q1","vhost":"/"}}]"#;

pub const CASES: &[Case] = &[
    Case {
        line: "list_queues",
        asks: &[("GET /api/queues/%2F?columns=messages%2Cname%2Cstate", 200, QUEUES)],
        stdout: "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\n\
                 q1\t5\nq2\t0\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p v -t 5 name,arguments --online",
        asks: &[("GET /api/queues/v?columns=arguments%2Cname%2Cstate", 200, QUEUES)],
        stdout: "Timeout: 5.0 seconds ...\nListing queues for vhost v ...\nname\targuments\n\
                 q1\t[{\"x-message-ttl\",60000},{\"x-queue-type\",\"classic\"}]\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues --offline -s name",
        asks: &[("GET /api/queues/%2F?columns=name%2Cstate", 200, QUEUES)],
        stdout: "q2\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues --local name arguments --formatter json",
        asks: &[("GET /api/queues/%2F?columns=arguments%2Cname%2Cstate", 200, QUEUES)],
        stdout: "[\n{\"name\":\"q1\",\"arguments\":[[\"x-message-ttl\",\"signedint\",60000],\
                 [\"x-queue-type\",\"longstr\",\"classic\"]]}\n,{\"name\":\"q2\",\"arguments\":[]}\
                 \n]\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p nov -q",
        asks: &[
            ("GET /api/queues/nov?columns=messages%2Cname%2Cstate", 404, ""),
            ("GET /api/vhosts/nov?columns=name", 404, ""),
        ],
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "delete_queue q1 --if-empty -u",
        asks: &[
            ("GET /api/queues/%2F/q1", 200, r#"{"messages_ready":3}"#),
            ("DELETE /api/queues/%2F/q1?if-empty=true&if-unused=true", 204, ""),
        ],
        stdout: "Deleting queue 'q1' on vhost '/' if queue is empty and if queue is unused ...\n\
                 Queue was successfully deleted with 3 ready messages\n",
        ..Case::NONE
    },
    Case {
        line: "delete_queue q1 -e -q",
        asks: &[
            ("GET /api/queues/%2F/q1", 200, r#"{"messages_ready":3}"#),
            (
                "DELETE /api/queues/%2F/q1?if-empty=true",
                400,
                r#"{"error":"bad_request","reason":"queue 'q1' in vhost '/' not empty"}"#,
            ),
        ],
        stderr: "Error:\nQueue is not empty\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "delete_queue no -q",
        asks: &[("GET /api/queues/%2F/no", 404, "")],
        stderr: "Error:\nQueue not found\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "purge_queue 'a/b'",
        asks: &[("DELETE /api/queues/%2F/a%2Fb/contents", 204, "")],
        stdout: "Purging queue 'a/b' in vhost '/' ...\n",
        ..Case::NONE
    },
    Case {
        line: "purge_queue q -p nov -q",
        asks: &[("DELETE /api/queues/nov/q/contents", 404, "")],
        stderr: "Error:\nnot_found\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "list_exchanges -q",
        asks: &[(
            "GET /api/exchanges/%2F",
            200,
            r#"[{"name":"","type":"direct"},{"name":"amq.topic","type":"topic"}]"#,
        )],
        stdout: "name\ttype\n\tdirect\namq.topic\ttopic\n",
        ..Case::NONE
    },
    Case {
        line: "list_bindings",
        asks: &[(
            "GET /api/bindings/%2F",
            200,
            concat!(
                r#"[{"source":"x","vhost":"/","destination":"q","#,
                r#""destination_type":"queue","routing_key":"a.b","arguments":{"k":"v"},"#,
                r#""properties_key":"a.b~1"}]"#
            ),
        )],
        stdout: "Listing bindings for vhost /...\nsource_name\tsource_kind\tdestination_name\t\
                 destination_kind\trouting_key\targuments\n\
                 x\texchange\tq\tqueue\ta.b\t[{\"k\",\"v\"}]\n",
        ..Case::NONE
    },
    Case {
        line: "list_connections",
        asks: &[("GET /api/connections", 200, CONNECTIONS)],
        stdout: "Listing connections ...\nuser\tpeer_host\tpeer_port\tstate\n\
                 guest\t127.0.0.1\t1\trunning\nguest\t127.0.0.1\t3\trunning\n",
        ..Case::NONE
    },
    Case {
        line: "list_connections pid protocol ssl_cipher client_properties -s",
        asks: &[("GET /api/connections", 200, CONNECTIONS)],
        stdout: "127.0.0.1:1 -> 127.0.0.1:2\t{0,9,1}\t\t[{\"capabilities\",\
                 [{\"basic.nack\",true}]},{\"product\",\"P\"}]\n\
                 127.0.0.1:3 -> 127.0.0.1:2\t{0,9,1}\t\t[]\n",
        ..Case::NONE
    },
    Case {
        line: "list_channels -s name connection confirm",
        asks: &[(
            "GET /api/channels",
            200,
            r#"[{"name":"c (1)","connection_details":{"name":"c"},"confirm":true}]"#,
        )],
        stdout: "c (1)\tc\ttrue\n",
        ..Case::NONE
    },
    Case {
        line: "list_consumers",
        asks: &[("GET /api/consumers/%2F", 200, CONSUMERS)],
        stdout: "Listing consumers in vhost / ...\nqueue_name\tchannel_pid\tconsumer_tag\t\
                 ack_required\tprefetch_count\tactive\targuments\n\
                 q1\tc (1)\tt\ttrue\t2\ttrue\t[{\"x-priority\",5}]\n",
        ..Case::NONE
    },
    Case {
        line: "list_feature_flags",
        asks: &[("GET /api/feature-flags", 200, r#"[{"name":"quorum_queue","state":"enabled"}]"#)],
        stdout: "Listing feature flags ...\nname\tstate\nquorum_queue\tenabled\n",
        ..Case::NONE
    },
    Case {
        line: "close_connection '127.0.0.1:1 -> 127.0.0.1:2' 'because of this'",
        asks: &[(
            "DELETE /api/connections/127.0.0.1%3A1%20-%3E%20127.0.0.1%3A2 [because of this]",
            204,
            "",
        )],
        stdout: "Closing connection 127.0.0.1:1 -> 127.0.0.1:2, reason: because of this...\n",
        ..Case::NONE
    },
    Case {
        line: "close_connection '' why -q",
        stderr: "Error (argument validation): Bad argument: a name cannot be an empty string\n\
                 Arguments given:\n\tclose_connection  why -q",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "close_connection c why -q",
        asks: &[("DELETE /api/connections/c [why]", 404, "")],
        stderr: "Error:\nThere is no connection 'c'. See 'list_connections pid'.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "close_all_connections -p v why",
        asks: &[
            ("GET /api/vhosts/v/connections?columns=name", 200, r#"[{"name":"a"},{"name":"b"}]"#),
            ("DELETE /api/connections/a [why]", 404, ""),
            ("DELETE /api/connections/b [why]", 204, ""),
        ],
        stdout: "Closing all connections in vhost v, reason: why...\nClosed 1 connections\n",
        ..Case::NONE
    },
    Case {
        line: "close_all_connections --global --limit 1 why",
        asks: &[
            ("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#),
            ("GET /api/connections?columns=name", 200, r#"[{"name":"a"},{"name":"b"}]"#),
            ("DELETE /api/connections/a [why]", 204, ""),
        ],
        stdout: "Closing all connections to node n@h (across all vhosts), reason: why...\n\
                 Closed 1 connections\n",
        ..Case::NONE
    },
    Case {
        line: "close_all_user_connections u why",
        asks: &[
            ("GET /api/connections/username/u?columns=name", 200, r#"[{"name":"a"}]"#),
            ("DELETE /api/connections/a [why]", 204, ""),
        ],
        stdout: "Closing connections of user u, reason: why...\n",
        ..Case::NONE
    },
    Case {
        line: r#"declare queue name=q durable=false 'arguments={"x-max-length":1}'"#,
        asks: &[(
            r#"PUT /api/queues/%2F/q {"arguments":{"x-max-length":1},"durable":false}"#,
            201,
            "",
        )],
        stdout: "queue declared\n",
        ..Case::NONE
    },
    Case {
        line: "declare exchange name=x type=topic internal=true",
        asks: &[(
            r#"PUT /api/exchanges/%2F/x {"durable":true,"internal":true,"type":"topic"}"#,
            201,
            "",
        )],
        stdout: "exchange declared\n",
        ..Case::NONE
    },
    Case {
        line: "declare binding source=x destination=q routing_key=a.b",
        asks: &[(r#"POST /api/bindings/%2F/e/x/q/q {"routing_key":"a.b"}"#, 201, "")],
        stdout: "binding declared\n",
        ..Case::NONE
    },
    Case {
        line: "declare binding source=x destination=y destination_type=exchange -p nov -q",
        asks: &[
            (r#"POST /api/bindings/nov/e/x/e/y {"routing_key":""}"#, 404, ""),
            ("GET /api/vhosts/nov?columns=name", 404, ""),
        ],
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "declare exchange name=x",
        stderr: "Error (argument validation): type=... is missing\nArguments given:\n\
                 \tdeclare exchange name=x",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "declare queue name=q durble=false",
        stderr: "Error (argument validation): 'durble=false' is not name=value with one of the \
                 names name, durable, auto_delete, queue_type, arguments\nArguments given:\n\
                 \tdeclare queue name=q durble=false",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "delete binding source=x destination=q properties_key=a.b",
        asks: &[("DELETE /api/bindings/%2F/e/x/q/q/a.b", 204, "")],
        stdout: "binding deleted\n",
        ..Case::NONE
    },
    Case {
        line: "delete exchange name=x",
        asks: &[("DELETE /api/exchanges/%2F/x", 204, "")],
        stdout: "exchange deleted\n",
        ..Case::NONE
    },
    Case {
        line: "publish routing_key=k",
        stdin: "from\nhere",
        asks: &[(
            concat!(
                r#"POST /api/exchanges/%2F/amq.default/publish {"payload":"from\nhere","#,
                r#""payload_encoding":"string","properties":{},"routing_key":"k"}"#
            ),
            200,
            r#"{"routed":true}"#,
        )],
        stdout: "Message published\n",
        ..Case::NONE
    },
    Case {
        line: r#"publish routing_key=k exchange=x payload=a=b 'properties={"delivery_mode":2}'"#,
        asks: &[(
            concat!(
                r#"POST /api/exchanges/%2F/x/publish {"payload":"a=b","#,
                r#""payload_encoding":"string","properties":{"delivery_mode":2},"#,
                r#""routing_key":"k"}"#
            ),
            200,
            r#"{"routed":false}"#,
        )],
        stdout: "Message published but NOT routed\n",
        ..Case::NONE
    },
    Case {
        line: "get queue=q count=2",
        asks: &[(
            concat!(
                r#"POST /api/queues/%2F/q/get {"ackmode":"ack_requeue_true","count":2,"#,
                r#""encoding":"auto"}"#
            ),
            200,
            concat!(
                r#"[{"payload_bytes":1,"redelivered":false,"exchange":"","#,
                r#""routing_key":"q","message_count":2,"properties":[],"payload":"x","#,
                r#""payload_encoding":"string"}]"#
            ),
        )],
        stdout: "routing_key\texchange\tmessage_count\tpayload\tpayload_bytes\tpayload_encoding\t\
                 properties\tredelivered\nq\t\t2\tx\t1\tstring\t[]\tfalse\n",
        ..Case::NONE
    },
];
