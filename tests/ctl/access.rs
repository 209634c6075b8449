//! Users, permissions and virtual hosts.

use crate::case::Case;

const USER: &str = concat!(
    r#"{"name":"u","password_hash":"aGFzaA==","#,
    r#""hashing_algorithm":"rabbit_password_hashing_sha256","tags":["a","b"],"#,
    r#""limits":{}}"#
);
const VHOST: &str = concat!(
    r#"{"name":"v","description":"d","tags":["a","b"],"#,
    r#""default_queue_type":"undefined","tracing":false}"#
);
const PERMISSIONS: &str = r#"[{"user":"u","vhost":"/","configure":".*","write":"a","read":""}]"#;
const TOPICS: &str = r#"[{"user":"u","vhost":"/","exchange":"amq.topic","write":"a","read":"b"}]"#;

pub const CASES: &[Case] = &[
    Case {
        line: "add_user u -q",
        stdin: "secret\nmore\n",
        asks: &[
            ("GET /api/users/u", 404, r#"{"error":"Object Not Found","reason":"Not Found"}"#),
            (r#"PUT /api/users/u {"password":"secret","tags":""}"#, 201, ""),
        ],
        ..Case::NONE
    },
    Case {
        line: "add_user u ''",
        asks: &[
            ("GET /api/users/u", 404, ""),
            (r#"PUT /api/users/u {"password_hash":"","tags":""}"#, 201, ""),
        ],
        stdout: "Adding user \"u\" ...\nDone. Don't forget to grant the user permissions to some \
                 virtual hosts! See 'leveretctl help set_permissions' to learn more.\n",
        ..Case::NONE
    },
    Case {
        line: "add_user u p",
        asks: &[("GET /api/users/u", 200, USER)],
        stdout: "Adding user \"u\" ...\n",
        stderr: "Error:\nUser \"u\" already exists\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "add_user u",
        stdout: "Adding user \"u\" ...\n",
        stderr: "Error:\nPassword is not provided via argument or stdin\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "add_user '' p -q",
        stderr: "Error (argument validation): Bad argument: user cannot be an empty string\n\
                 Arguments given:\n\tadd_user  p -q",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "change_password u -q",
        stderr: "Error:\nPassword is not provided via argument or stdin\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "authenticate_user u p",
        asks: &[("GET /api/whoami [Basic dTpw]", 200, r#"{"name":"u","tags":[]}"#)],
        stdout: "Authenticating user \"u\" ...\nSuccess\n",
        ..Case::NONE
    },
    // A broker that trusts whoever may open the socket has not looked at the password.
    Case {
        line: "authenticate_user u p -q",
        asks: &[("GET /api/whoami [Basic dTpw]", 200, r#"{"name":"owner","tags":[]}"#)],
        stderr: "Error:\nThe broker did not say who the user is, so nothing is known about \
                 them.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "authenticate_user u p -q",
        asks: &[(
            "GET /api/whoami [Basic dTpw]",
            401,
            r#"{"error":"not_authorised","reason":"Not management user"}"#,
        )],
        stdout: "Success\n",
        ..Case::NONE
    },
    Case {
        line: "authenticate_user u p",
        asks: &[(
            "GET /api/whoami [Basic dTpw]",
            401,
            r#"{"error":"not_authorized","reason":"Login failed"}"#,
        )],
        stdout: "Authenticating user \"u\" ...\n",
        stderr: "Error:\nError: failed to authenticate user \"u\"\n\
                 user 'u' - invalid credentials\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "change_password u p",
        asks: &[
            ("GET /api/users/u", 200, USER),
            (r#"PUT /api/users/u {"password":"p","tags":"a,b"}"#, 204, ""),
        ],
        stdout: "Changing password for user \"u\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "change_password u p",
        asks: &[("GET /api/users/u", 404, "")],
        stdout: "Changing password for user \"u\" ...\n",
        stderr: "Error:\nUser \"u\" does not exist\n",
        code: 67,
        ..Case::NONE
    },
    Case {
        line: "clear_password u",
        asks: &[
            ("GET /api/users/u", 200, USER),
            (r#"PUT /api/users/u {"password_hash":"","tags":"a,b"}"#, 204, ""),
        ],
        stdout: "Clearing password for user \"u\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "delete_user 'a/b c'",
        asks: &[("DELETE /api/users/a%2Fb%20c", 204, "")],
        stdout: "Deleting user \"a/b c\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "delete_user u",
        asks: &[("DELETE /api/users/u", 404, "")],
        stdout: "Deleting user \"u\" ...\n",
        stderr: "Error:\nUser \"u\" does not exist\n",
        code: 67,
        ..Case::NONE
    },
    Case {
        line: "hash_password p/w -q",
        asks: &[("GET /api/auth/hash_password/p%2Fw", 200, r#"{"ok":"aGFzaA=="}"#)],
        stdout: "aGFzaA==\n",
        ..Case::NONE
    },
    Case {
        line: "list_users",
        asks: &[(
            "GET /api/users",
            200,
            r#"[{"name":"u","tags":["a","b"]},{"name":"w","tags":[]}]"#,
        )],
        stdout: "Listing users ...\nuser\ttags\nu\t[a, b]\nw\t[]\n",
        ..Case::NONE
    },
    Case {
        line: "list_users --formatter json",
        asks: &[(
            "GET /api/users",
            200,
            r#"[{"name":"u","tags":["a","b"]},{"name":"w","tags":[]}]"#,
        )],
        stdout: "[\n{\"user\":\"u\",\"tags\":[\"a\",\"b\"]}\n,{\"user\":\"w\",\"tags\":[]}\n]\n",
        ..Case::NONE
    },
    Case {
        line: "list_users --formatter csv",
        asks: &[("GET /api/users", 200, r#"[{"name":"u","tags":["a"]}]"#)],
        stdout: "\"user\",\"tags\"\n\"u\",\"[a]\"\n",
        ..Case::NONE
    },
    Case {
        line: "set_user_tags u x y",
        asks: &[
            ("GET /api/users/u", 200, USER),
            (
                concat!(
                    r#"PUT /api/users/u "#,
                    r#"{"hashing_algorithm":"rabbit_password_hashing_sha256","#,
                    r#""password_hash":"aGFzaA==","tags":"x,y"}"#
                ),
                204,
                "",
            ),
        ],
        stdout: "Setting tags for user \"u\" to [x, y] ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_permissions -p v u .* a ''",
        asks: &[(r#"PUT /api/permissions/v/u {"configure":".*","read":"","write":"a"}"#, 201, "")],
        stdout: "Setting permissions for user \"u\" in vhost \"v\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "set_permissions u a b c",
        asks: &[
            (
                r#"PUT /api/permissions/%2F/u {"configure":"a","read":"c","write":"b"}"#,
                400,
                r#"{"error":"bad_request","reason":"vhost_or_user_not_found"}"#,
            ),
            ("GET /api/vhosts/%2F", 200, VHOST),
            ("GET /api/users/u", 404, ""),
        ],
        stdout: "Setting permissions for user \"u\" in vhost \"/\" ...\n",
        stderr: "Error:\nUser u does not exist\n",
        code: 67,
        ..Case::NONE
    },
    Case {
        line: "set_permissions -p nov u a b c",
        asks: &[
            (r#"PUT /api/permissions/nov/u {"configure":"a","read":"c","write":"b"}"#, 400, ""),
            ("GET /api/vhosts/nov", 404, ""),
        ],
        stdout: "Setting permissions for user \"u\" in vhost \"nov\" ...\n",
        stderr: "Error:\nVirtual host nov does not exist\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "clear_permissions u",
        asks: &[("DELETE /api/permissions/%2F/u", 204, "")],
        stdout: "Clearing permissions for user \"u\" in vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_permissions u",
        asks: &[
            ("DELETE /api/permissions/%2F/u", 404, ""),
            ("GET /api/users/u", 200, USER),
            ("GET /api/vhosts/%2F", 200, VHOST),
        ],
        stdout: "Clearing permissions for user \"u\" in vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "list_permissions",
        asks: &[("GET /api/vhosts/%2F/permissions", 200, PERMISSIONS)],
        stdout: "Listing permissions for vhost \"/\" ...\nuser\tconfigure\twrite\tread\n\
                 u\t.*\ta\t\n",
        ..Case::NONE
    },
    Case {
        line: "list_permissions -p nov",
        asks: &[
            ("GET /api/vhosts/nov/permissions", 404, ""),
            ("GET /api/vhosts/nov?columns=name", 404, ""),
        ],
        stdout: "Listing permissions for vhost \"nov\" ...\n",
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "list_permissions",
        asks: &[("GET /api/vhosts/%2F/permissions", 200, "[]")],
        stdout: "Listing permissions for vhost \"/\" ...\n\n",
        ..Case::NONE
    },
    Case {
        line: "list_user_permissions u",
        asks: &[("GET /api/users/u/permissions", 200, PERMISSIONS)],
        stdout: "Listing permissions for user \"u\" ...\nvhost\tconfigure\twrite\tread\n\
                 /\t.*\ta\t\n",
        ..Case::NONE
    },
    Case {
        line: "set_topic_permissions u amq.topic a b",
        asks: &[(
            r#"PUT /api/topic-permissions/%2F/u {"exchange":"amq.topic","read":"b","write":"a"}"#,
            201,
            "",
        )],
        stdout: "Setting topic permissions on \"amq.topic\" for user \"u\" in vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_topic_permissions u amq.topic",
        asks: &[("DELETE /api/topic-permissions/%2F/u/amq.topic", 204, "")],
        stdout: "Clearing topic permissions on \"amq.topic\" for user \"u\" in vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "clear_topic_permissions u",
        asks: &[("DELETE /api/topic-permissions/%2F/u", 204, "")],
        stdout: "Clearing topic permissions for user \"u\" in vhost \"/\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "list_topic_permissions",
        asks: &[("GET /api/vhosts/%2F/topic-permissions", 200, TOPICS)],
        stdout: "Listing topic permissions for vhost \"/\" ...\nuser\texchange\twrite\tread\n\
                 u\tamq.topic\ta\tb\n",
        ..Case::NONE
    },
    Case {
        line: "list_user_topic_permissions u",
        asks: &[("GET /api/users/u/topic-permissions", 200, TOPICS)],
        stdout: "Listing topic permissions for user \"u\" ...\n/\tamq.topic\ta\tb\n",
        ..Case::NONE
    },
    Case {
        line: "add_vhost v --description 'a vhost' --tags a,b --default-queue-type quorum",
        asks: &[(
            concat!(
                r#"PUT /api/vhosts/v {"default_queue_type":"quorum","#,
                r#""description":"a vhost","tags":"a,b"}"#
            ),
            201,
            "",
        )],
        stdout: "Adding vhost \"v\" ...\n",
        ..Case::NONE
    },
    Case {
        line: "add_vhost v --default-queue-type bogus -q",
        stderr: "Error:\ninvalid_queue_type\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "delete_vhost v",
        asks: &[("DELETE /api/vhosts/v", 404, "")],
        stdout: "Deleting vhost \"v\" ...\n",
        stderr: "Virtual host 'v' does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "list_vhosts name tracing tags cluster_state",
        asks: &[(
            "GET /api/vhosts",
            200,
            r#"[{"name":"/","tracing":true,"tags":["a"],"cluster_state":{"n@h":"running"}}]"#,
        )],
        stdout: "Listing vhosts ...\nname\ttracing\ttags\tcluster_state\n\
                 /\ttrue\t[a]\t[{n@h, running}]\n",
        ..Case::NONE
    },
    Case {
        line: "set_vhost_tags v x",
        asks: &[
            ("GET /api/vhosts/v", 200, VHOST),
            (r#"PUT /api/vhosts/v {"description":"d","tags":"x","tracing":false}"#, 204, ""),
        ],
        stdout: "Setting tags for virtual host \"v\" to [x] ...\n",
        ..Case::NONE
    },
    Case {
        line: "enable_vhost_protection_from_deletion v",
        asks: &[
            ("GET /api/vhosts/v", 200, VHOST),
            (
                concat!(
                    r#"PUT /api/vhosts/v {"description":"d","protected_from_deletion":true,"#,
                    r#""tags":"a,b","tracing":false}"#
                ),
                204,
                "",
            ),
        ],
        stdout: "Protecting virtual host \"v\" from deletion ...\n",
        ..Case::NONE
    },
    Case {
        line: "disable_vhost_protection_from_deletion no",
        asks: &[("GET /api/vhosts/no", 404, "")],
        stdout: "Letting virtual host \"no\" be deleted ...\n",
        stderr: "Error:\nVirtual host \"no\" does not exist\n",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "trace_on -p v",
        asks: &[
            ("GET /api/vhosts/v", 200, VHOST),
            (r#"PUT /api/vhosts/v {"description":"d","tags":"a,b","tracing":true}"#, 204, ""),
        ],
        stdout: "Starting tracing for vhost \"v\" ...\nTrace enabled for vhost v\n",
        ..Case::NONE
    },
    Case {
        line: "trace_off -p nov",
        asks: &[("GET /api/vhosts/nov", 404, "")],
        stdout: "Stopping tracing for vhost \"nov\" ...\n",
        stderr: "Virtual host 'nov' does not exist\n",
        code: 65,
        ..Case::NONE
    },
];
