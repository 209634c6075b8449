//! Does each format look like rabbitmqctl's? What rabbitmqctl 3.10.8 printed about the same
//! objects, in our order.

use crate::case::Case;

const POLICIES: (&str, u16, &str) = (
    "GET /api/policies/vf",
    200,
    concat!(
        r#"[{"vhost":"vf","name":"ttl","pattern":"^c\\.","apply-to":"queues","#,
        r#""definition":{"max-length":1000,"message-ttl":600000},"priority":1}]"#
    ),
);
const USERS: (&str, u16, &str) = (
    "GET /api/users",
    200,
    r#"[{"name":"noperm","tags":["management"]},{"name":"notag","tags":[]}]"#,
);
const QUEUES: (&str, u16, &str) = (
    "GET /api/queues/vf?columns=arguments%2Cconsumer_utilisation%2Cdurable%2Cmessages%2Cname%2C\
     owner_pid%2Cowner_pid_details.name%2Cpolicy%2Cstate",
    200,
    concat!(
        r#"[{"name":"s.stream","messages":647,"durable":true,"arguments":{"#,
        r#""x-max-length-bytes":5000000000,"x-queue-type":"stream"},"state":"running"},"#,
        r#"{"name":"c.lazy","messages":0,"durable":true,"arguments":{"x-queue-mode":"lazy"},"#,
        r#""policy":"ttl","consumer_utilisation":0,"state":"running"}]"#
    ),
);

pub const CASES: &[Case] = &[
    Case {
        line: "list_policies -p vf",
        asks: &[POLICIES],
        stdout: "Listing policies for vhost \"vf\" ...\n\
                 vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
                 vf\tttl\t^c\\.\tqueues\t{\"max-length\":1000,\"message-ttl\":600000}\t1\n",
        ..Case::NONE
    },
    Case {
        line: "list_policies -p vf --no-table-headers -q",
        asks: &[POLICIES],
        stdout: "vf\tttl\t^c\\.\tqueues\t{\"max-length\":1000,\"message-ttl\":600000}\t1\n",
        ..Case::NONE
    },
    Case {
        line: "list_policies -p vf -q --formatter csv",
        asks: &[POLICIES],
        stdout: "\"vhost\",\"name\",\"pattern\",\"apply-to\",\"definition\",\"priority\"\n\
                 \"vf\",\"ttl\",\"^c\\.\",\"queues\",\
                 \"{\"\"max-length\"\":1000,\"\"message-ttl\"\":600000}\",\"1\"\n",
        ..Case::NONE
    },
    Case {
        line: "list_policies -p vf -q --formatter json",
        asks: &[POLICIES],
        stdout: "[\n{\"vhost\":\"vf\",\"name\":\"ttl\",\"pattern\":\"^c\\\\.\",\
                 \"apply-to\":\"queues\",\
                 \"definition\":\"{\\\"max-length\\\":1000,\\\"message-ttl\\\":600000}\",\
                 \"priority\":1}\n]\n",
        ..Case::NONE
    },
    Case {
        line: "list_policies -p vf --formatter erlang -q",
        asks: &[POLICIES],
        stdout: "\
[[{vhost,<<\"vf\">>},
  {name,<<\"ttl\">>},
  {pattern,<<\"^c\\\\.\">>},
  {'apply-to',<<\"queues\">>},
  {definition,<<\"{\\\"max-length\\\":1000,\\\"message-ttl\\\":600000}\">>},
  {priority,1}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_users --formatter erlang",
        asks: &[USERS],
        stdout: "Listing users ...\n[[{user,<<\"noperm\">>},{tags,[management]}],\
                 [{user,<<\"notag\">>},{tags,[]}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_users --formatter csv -q",
        asks: &[USERS],
        stdout: "\"user\",\"tags\"\n\"noperm\",\"[management]\"\n\"notag\",\"[]\"\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p vf -q name messages durable arguments policy consumer_utilisation \
               owner_pid --formatter erlang",
        asks: &[QUEUES],
        stdout: "\
[[{name,<<\"c.lazy\">>},
  {messages,0},
  {durable,true},
  {arguments,[{<<\"x-queue-mode\">>,longstr,<<\"lazy\">>}]},
  {policy,<<\"ttl\">>},
  {consumer_utilisation,0},
  {owner_pid,''}],
 [{name,<<\"s.stream\">>},
  {messages,647},
  {durable,true},
  {arguments,[{<<\"x-max-length-bytes\">>,long,5000000000},
              {<<\"x-queue-type\">>,longstr,<<\"stream\">>}]},
  {policy,''},
  {consumer_utilisation,''},
  {owner_pid,''}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p other --formatter erlang -q",
        asks: &[("GET /api/queues/other?columns=messages%2Cname%2Cstate", 200, "[]")],
        stdout: "[]\n",
        ..Case::NONE
    },
    Case {
        line: "list_exchanges -p vf -q --formatter erlang name type durable arguments",
        asks: &[(
            "GET /api/exchanges/vf",
            200,
            concat!(
                r#"[{"name":"","type":"direct","durable":true,"arguments":{}},"#,
                r#"{"name":"x.topic","type":"topic","durable":true,"#,
                r#""arguments":{"alternate-exchange":"x.direct"}}]"#
            ),
        )],
        stdout: "\
[[{name,<<>>},{type,direct},{durable,true},{arguments,[]}],
 [{name,<<\"x.topic\">>},
  {type,topic},
  {durable,true},
  {arguments,[{<<\"alternate-exchange\">>,longstr,<<\"x.direct\">>}]}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_bindings -p vf -q --formatter erlang",
        asks: &[(
            "GET /api/bindings/vf",
            200,
            concat!(
                r#"[{"source":"x.topic","destination":"x.direct","destination_type":"exchange","#,
                r#""routing_key":"e.#","arguments":{}}]"#
            ),
        )],
        stdout: "\
[[{source_name,<<\"x.topic\">>},
  {source_kind,exchange},
  {destination_name,<<\"x.direct\">>},
  {destination_kind,exchange},
  {routing_key,<<\"e.#\">>},
  {arguments,[]}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_vhosts --formatter erlang name tags description tracing -q",
        asks: &[(
            "GET /api/vhosts",
            200,
            concat!(
                r#"[{"name":"/","tags":[],"description":"Default virtual host","tracing":false},"#,
                r#"{"name":"vf","tags":["a","b"],"description":"facts vhost","tracing":false}]"#
            ),
        )],
        stdout: "\
[[{name,<<\"/\">>},
  {tags,[]},
  {description,<<\"Default virtual host\">>},
  {tracing,false}],
 [{name,<<\"vf\">>},
  {tags,[a,b]},
  {description,<<\"facts vhost\">>},
  {tracing,false}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_permissions -p vf -q --formatter erlang",
        asks: &[(
            "GET /api/vhosts/vf/permissions",
            200,
            r#"[{"user":"guest","configure":".*","write":".*","read":".*","vhost":"vf"}]"#,
        )],
        stdout: "[[{user,<<\"guest\">>},{configure,<<\".*\">>},{write,<<\".*\">>},\
                 {read,<<\".*\">>}]]\n",
        ..Case::NONE
    },
    Case {
        line: "list_feature_flags -q --formatter erlang",
        asks: &[(
            "GET /api/feature-flags",
            200,
            concat!(
                r#"[{"name":"quorum_queue","state":"enabled"},"#,
                r#"{"name":"user_limits","state":"enabled"}]"#
            ),
        )],
        stdout: "[[{name,quorum_queue},{state,enabled}],[{name,user_limits},{state,enabled}]]\n",
        ..Case::NONE
    },
    Case {
        line: "ping -q --formatter erlang",
        asks: &[("GET /api/whoami", 200, "{}")],
        stdout: "<<\"Ping succeeded\">>\n",
        ..Case::NONE
    },
    Case {
        line: "delete_user zz --formatter erlang",
        asks: &[("DELETE /api/users/zz", 204, "")],
        stdout: "Deleting user \"zz\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p vf -s --local name state",
        asks: &[(
            "GET /api/queues/vf?columns=name%2Cstate",
            200,
            r#"[{"name":"c.idle","state":"running"},{"name":"c.down","state":"down"}]"#,
        )],
        stdout: "c.down\tdown\nc.idle\trunning\n",
        ..Case::NONE
    },
    Case {
        line: "list_queues -p vf -q -t 5 --offline name",
        asks: &[(
            "GET /api/queues/vf?columns=name%2Cstate",
            200,
            r#"[{"name":"c.idle","state":"running"}]"#,
        )],
        ..Case::NONE
    },
    Case {
        line: "list_queues -p vf -s --formatter csv name",
        asks: &[(
            "GET /api/queues/vf?columns=name%2Cstate",
            200,
            r#"[{"name":"a\"b\n","state":"running"}]"#,
        )],
        stdout: "\"name\"\n\"a\"\"b\n\"\n",
        ..Case::NONE
    },
];
