//! Wrong command lines, brokers that refuse, and what the program says about itself.

use crate::case::Case;

pub const CASES: &[Case] = &[
    Case {
        line: "list_queus",
        stderr: "\nCommand 'list_queus' not found. \nDid you mean 'list_queues'? \n\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "frobnicate",
        stderr: "\nCommand 'frobnicate' not found. \n\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "help nosuch",
        stderr: "Error:\n\nCommand 'nosuch' not found.\n",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "add_user",
        stderr: "Error (argument validation): not enough arguments.\nArguments given:\n\tadd_user",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_users extra",
        stderr: "Error (argument validation): too many arguments.\n\
                 Arguments given:\n\tlist_users extra",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_queues name bogus foo",
        stderr: "Error (argument validation): Info key(s) bogus,foo are not supported\n\
                 Arguments given:\n\tlist_queues name bogus foo",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_queues --bogus",
        stderr: "Error (argument validation): Invalid options for this command:\n--bogus : \n\
                 Arguments given:\n\tlist_queues --bogus",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_queues -x",
        stderr: "Error (argument validation): Invalid options for this command:\n-x : \n\
                 Arguments given:\n\tlist_queues -x",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "set_policy p q {} --priority x",
        stderr: "Error (argument validation): Invalid options for this command:\n--priority : x\n\
                 Arguments given:\n\tset_policy p q {} --priority x",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_users --formatter bogus",
        stderr: "Error (argument validation): Invalid options for this command:\n\
                 --formatter : bogus\nArguments given:\n\tlist_users --formatter bogus",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_users --online",
        stderr: "Error (argument validation): Invalid options for this command:\n--online : \n\
                 Arguments given:\n\tlist_users --online",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_users --uri amqp://h",
        stderr: "Error (argument validation): Invalid --uri: the URI begins with http:// or \
                 https://\n\
                 Arguments given:\n\tlist_users --uri amqp://h",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "list_users --data-dir nowhere -q",
        stderr: "Error: unable to connect to the broker at nowhere/leveret.sock: No such file or \
                 directory (os error 2). Is it running there? Choose a broker with --data-dir or \
                 --uri.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "list_users -t 0 -q",
        stderr: "Error: operation list_users on the broker at ./leveret-data/leveret.sock timed \
                 out. Timeout value used: 0\n",
        code: 75,
        ..Case::NONE
    },
    Case {
        line: "list_users -n other@h -q",
        asks: &[("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#)],
        stderr: "Error: unable to perform an operation on node 'other@h'. The broker at \
                 ./leveret-data/leveret.sock is the node 'n@h', and there is no other one. Leave \
                 --node away, or choose the broker with --data-dir or --uri.\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "list_users -n n@h -s",
        asks: &[
            ("GET /api/overview?columns=node", 200, r#"{"node":"n@h"}"#),
            ("GET /api/users", 200, r#"[{"name":"u","tags":[]}]"#),
        ],
        stdout: "u\t[]\n",
        ..Case::NONE
    },
    Case {
        line: "list_users -q",
        asks: &[(
            "GET /api/users",
            401,
            r#"{"error":"not_authorised","reason":"Not administrator user"}"#,
        )],
        stderr: "Error:\nNot administrator user\n",
        code: 77,
        ..Case::NONE
    },
    Case {
        line: "list_users -q",
        asks: &[("GET /api/users", 500, "")],
        stderr: "Error:\nthe broker answered with status 500\n",
        code: 70,
        ..Case::NONE
    },
    Case {
        line: "list_users -q",
        asks: &[("GET /api/users", 200, "<html>")],
        stderr: "Error:\nthe broker's answer is not JSON\n",
        code: 70,
        ..Case::NONE
    },
    Case { line: "version", stdout: concat!(env!("CARGO_PKG_VERSION"), "\n"), ..Case::NONE },
    Case { line: "--version", stdout: concat!(env!("CARGO_PKG_VERSION"), "\n"), ..Case::NONE },
    Case {
        line: "completion csh",
        stderr: "Error (argument validation): Bad argument: the shell is bash, zsh or fish\n\
                 Arguments given:\n\tcompletion csh",
        code: 65,
        ..Case::NONE
    },
];
