//! Policies, parameters, limits and settings.

use crate::case::Case;

const POLICY: &str = concat!(
    r#"[{"vhost":"/","name":"p","pattern":"^q","apply-to":"all","#,
    r#""definition":{"max-length":1},"priority":3}]"#
);
const NODE: (&str, u16, &str) = ("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#);
const LIMITS: &str = r#"[{"vhost":"v","value":{"max-connections":5,"max-queues":10}}]"#;
const USER_LIMITS: &str = r#"[{"user":"u","value":{"max-channels":10,"max-connections":5}}]"#;

pub const CASES: &[Case] = &[
    Case {
        line: r#"set_policy p ^q '{"max-length":1}' --priority 3 --apply-to queues"#,
        asks: &[(
            concat!(
                r#"PUT /api/policies/%2F/p {"apply-to":"queues","#,
                r#""definition":{"max-length":1},"pattern":"^q","priority":3}"#
            ),
            201,
            "",
        )],
        stdout: "Setting policy \"p\" for pattern \"^q\" to \"{\"max-length\":1}\" with priority \
                 \"3\" for vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: r#"set_policy p ^q '{"bogus":1}' -q"#,
        asks: &[(
            concat!(
                r#"PUT /api/policies/%2F/p {"apply-to":"all","definition":{"bogus":1},"#,
                r#""pattern":"^q","priority":0}"#
            ),
            400,
            concat!(
                r#"{"error":"bad_request","#,
                r#""reason":"Validation failed\n\n[{&lt;&lt;\"bogus\"&gt;&gt;,"#,
                r#"1}] are not recognised policy settings\n"}"#
            ),
        )],
        stderr: "Error:\nValidation failed\n\n[{<<\"bogus\">>,1}] are not recognised policy \
                 settings\n\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "set_policy p ^q nojson -q",
        stderr: "Error:\nJSON decoding error. Reason: expected ident at line 1 column 2\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: r#"set_operator_policy p ^q '{"max-length":1}' -q"#,
        asks: &[(
            concat!(
                r#"PUT /api/operator-policies/%2F/p {"apply-to":"all","#,
                r#""definition":{"max-length":1},"pattern":"^q","priority":0}"#
            ),
            201,
            "",
        )],
        ..Case::NONE
    },
    Case {
        line: "list_policies",
        asks: &[("GET /api/policies/%2F", 200, POLICY)],
        stdout: "Listing policies for vhost \"/\" ...\n\
                 vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
                 /\tp\t^q\tall\t{\"max-length\":1}\t3\n",
        ..Case::NONE
    },
    Case {
        line: "list_operator_policies --formatter json",
        asks: &[("GET /api/operator-policies/%2F", 200, POLICY)],
        stdout: "[\n{\"vhost\":\"/\",\"name\":\"p\",\"pattern\":\"^q\",\"apply-to\":\"all\",\
                 \"definition\":\"{\\\"max-length\\\":1}\",\"priority\":3}\n]\n",
        ..Case::NONE
    },
    Case {
        line: "clear_policy p",
        asks: &[("DELETE /api/policies/%2F/p", 204, "")],
        stdout: "Clearing policy \"p\" on vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_operator_policy p",
        asks: &[("DELETE /api/operator-policies/%2F/p", 404, "")],
        stdout: "Clearing operator policy \"p\" on vhost \"/\" ...\n",
        stderr: "Error:\nParameter does not exist\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: r#"set_parameter shovel s '{"a":[1]}'"#,
        asks: &[(r#"PUT /api/parameters/shovel/%2F/s {"value":{"a":[1]}}"#, 201, "")],
        stdout: "Setting runtime parameter \"s\" for component \"shovel\" to \"{\"a\":[1]}\" in \
                 vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_parameter shovel s -q",
        asks: &[("DELETE /api/parameters/shovel/%2F/s", 204, "")],
        ..Case::NONE
    },
    Case {
        line: "list_parameters -p v",
        asks: &[(
            "GET /api/parameters",
            200,
            concat!(
                r#"[{"vhost":"/","component":"c","name":"m","value":1},{"vhost":"v","#,
                r#""component":"c","name":"n","value":{"a":1}}]"#
            ),
        )],
        stdout: "Listing runtime parameters for vhost \"v\" ...\ncomponent\tname\tvalue\n\
                 c\tn\t{\"a\":1}\n",
        ..Case::NONE
    },
    Case {
        line: "list_parameters -p nov -q",
        asks: &[("GET /api/parameters", 200, "[]"), ("GET /api/vhosts/nov?columns=name", 404, "")],
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: r#"set_global_parameter g '"text"'"#,
        asks: &[(r#"PUT /api/global-parameters/g {"value":"text"}"#, 201, "")],
        stdout: "Setting global runtime parameter \"g\" to \"\"text\"\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_global_parameter g -q",
        asks: &[("DELETE /api/global-parameters/g", 404, "")],
        stderr: "Error:\nParameter does not exist\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "list_global_parameters -s",
        asks: &[("GET /api/global-parameters", 200, r#"[{"name":"g","value":"text"}]"#)],
        stdout: "g\t\"text\"\n",
        ..Case::NONE
    },
    Case {
        line: r#"set_vhost_limits '{"max-queues":11}' -p v"#,
        asks: &[
            ("GET /api/vhost-limits/v", 200, LIMITS),
            (r#"PUT /api/vhost-limits/v/max-queues {"value":11}"#, 204, ""),
            ("DELETE /api/vhost-limits/v/max-connections", 204, ""),
        ],
        stdout: "Setting vhost limits to \"{\"max-queues\":11}\" for vhost \"v\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "list_vhost_limits -p v",
        asks: &[("GET /api/vhost-limits/v", 200, LIMITS)],
        stdout: "Listing limits for vhost \"v\" ...\n{\"max-connections\":5,\"max-queues\":10}\n",
        ..Case::NONE
    },
    Case {
        line: "list_vhost_limits --global",
        asks: &[("GET /api/vhost-limits", 200, LIMITS)],
        stdout: "Listing limits for all vhosts ...\nvhost\tlimits\n\
                 v\t{\"max-connections\":5,\"max-queues\":10}\n",
        ..Case::NONE
    },
    Case {
        line: "clear_vhost_limits -p v",
        asks: &[
            ("GET /api/vhost-limits/v", 200, LIMITS),
            ("DELETE /api/vhost-limits/v/max-connections", 204, ""),
            ("DELETE /api/vhost-limits/v/max-queues", 204, ""),
        ],
        stdout: "Clearing vhost \"v\" limits ...\n",
        ..Case::NONE
    },
    Case {
        line: r#"set_user_limits u '{"max-channels":7}' -q"#,
        asks: &[
            ("GET /api/user-limits/u", 200, "[]"),
            (r#"PUT /api/user-limits/u/max-channels {"value":7}"#, 204, ""),
        ],
        ..Case::NONE
    },
    Case {
        line: "list_user_limits --user u",
        asks: &[("GET /api/user-limits/u", 200, USER_LIMITS)],
        stdout: "Listing limits for user \"u\" ...\n{\"max-channels\":10,\"max-connections\":5}\n",
        ..Case::NONE
    },
    Case {
        line: "list_user_limits --global -q",
        asks: &[("GET /api/user-limits", 200, USER_LIMITS)],
        stdout: "user\tlimits\nu\t{\"max-channels\":10,\"max-connections\":5}\n",
        ..Case::NONE
    },
    Case {
        line: "clear_user_limits u all",
        asks: &[
            ("GET /api/user-limits/u", 200, USER_LIMITS),
            ("DELETE /api/user-limits/u/max-channels", 204, ""),
            ("DELETE /api/user-limits/u/max-connections", 204, ""),
        ],
        stdout: "Clearing all limits for user \"u\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_user_limits u max-channels",
        asks: &[
            ("GET /api/user-limits/u", 200, USER_LIMITS),
            ("DELETE /api/user-limits/u/max-channels", 204, ""),
        ],
        stdout: "Clearing \"max-channels\" limit for user \"u\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_cluster_name 'my cluster'",
        asks: &[(r#"PUT /api/cluster-name {"name":"my cluster"}"#, 204, "")],
        stdout: "Setting cluster name to my cluster ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_vm_memory_high_watermark 0.5",
        asks: &[
            NODE,
            (r#"PUT /api/leveret/settings {"vm_memory_high_watermark":{"relative":0.5}}"#, 204, ""),
        ],
        stdout: "Setting memory threshold on n@h to 0.5 ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_vm_memory_high_watermark absolute 1GB",
        asks: &[
            NODE,
            (
                r#"PUT /api/leveret/settings {"vm_memory_high_watermark":{"absolute":1000000000}}"#,
                204,
                "",
            ),
        ],
        stdout: "Setting memory threshold on n@h to 1GB bytes ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_vm_memory_high_watermark 1.5",
        stderr: "Error (argument validation): Bad argument: The threshold should be a fraction \
                 between 0.0 and 1.0\nArguments given:\n\tset_vm_memory_high_watermark 1.5",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "set_disk_free_limit 50MB",
        asks: &[
            NODE,
            (r#"PUT /api/leveret/settings {"disk_free_limit":{"absolute":50000000}}"#, 204, ""),
        ],
        stdout: "Setting disk free limit on n@h to 50MB bytes ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_disk_free_limit mem_relative 1.5 -q",
        asks: &[
            NODE,
            (r#"PUT /api/leveret/settings {"disk_free_limit":{"relative":1.5}}"#, 204, ""),
        ],
        ..Case::NONE
    },
    Case {
        line: "set_log_level debug",
        asks: &[(r#"PUT /api/leveret/settings {"log_level":"debug"}"#, 204, "")],
        stdout: "Setting log level to \"debug\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_log_level bogus",
        stderr: "Error:\nlevel bogus is not supported. Try one of debug, info, warning, error, \
                 critical, none\n",
        code: 69,
        ..Case::NONE
    },
];
