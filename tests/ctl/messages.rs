//! Messages that are looked at, moved, copied, deleted and taken back.

use crate::case::Case;

const SEEN: &str = r#"[
    {"position":4,"id":"17","age_ms":900,"redelivered":false,"exchange":"x","routing_key":"k",
     "payload_bytes":5,"payload":"hello","payload_encoding":"string","properties":[]}]"#;

pub const CASES: &[Case] = &[
    Case {
        line: "browse_queue q -q",
        asks: &[("GET /api/queues/%2F/q/browse", 200, SEEN)],
        stdout: "position\tid\tage_ms\tredelivered\texchange\trouting_key\tpayload_bytes\t\
                 payload\n\
                 4\t17\t900\tfalse\tx\tk\t5\thello\n",
        ..Case::NONE
    },
    Case {
        line: "browse_queue q -p v -s --count 3 --last --contains 'a b' --header n:1",
        asks: &[(
            "GET /api/queues/v/q/browse?count=3&contains=a%20b&header=n%3A1&last=true",
            200,
            SEEN,
        )],
        stdout: "4\t17\t900\tfalse\tx\tk\t5\thello\n",
        ..Case::NONE
    },
    Case {
        line: "move_messages 'a/b' --all --to-origin",
        asks: &[(
            r#"POST /api/queues/%2F/a%2Fb/messages/move {"all":true,"to":"origin"}"#,
            200,
            r#"{"moved":7,"missing":0,"unroutable":1,"skipped":2,"reasons":{"no_origin":2}}"#,
        )],
        stdout: "Moving messages of queue 'a/b' in vhost '/' to where they came from ...\n\
                 7 moved, 0 missing, 1 unroutable, 2 skipped (no_origin: 2)\n",
        ..Case::NONE
    },
    Case {
        line: "copy_messages q --count 5 --to-exchange x --routing-key ''",
        asks: &[(
            concat!(
                "POST /api/queues/%2F/q/messages/copy ",
                r#"{"count":5,"to":{"exchange":"x","routing_key":""}}"#
            ),
            200,
            r#"{"copied":5,"missing":0,"unroutable":0,"skipped":0,"reasons":{}}"#,
        )],
        stdout: "Copying messages of queue 'q' in vhost '/' to exchange 'x' ...\n\
                 5 copied, 0 missing, 0 unroutable, 0 skipped\n",
        ..Case::NONE
    },
    Case {
        line: "move_messages q --ids '1, 2,,3' --to-queue t -q",
        asks: &[(
            r#"POST /api/queues/%2F/q/messages/move {"ids":["1","2","3"],"to":{"queue":"t"}}"#,
            404,
            r#"{"error":"not_found","reason":"no queue 't' in vhost '/'"}"#,
        )],
        stderr: "Error:\nno queue 't' in vhost '/'\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "move_messages q --all",
        stderr: "Error (argument validation): exactly one of --to-queue, --to-exchange (with or \
                 without --routing-key) and --to-origin has to be there\n\
                 Arguments given:\n\tmove_messages q --all",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "move_messages q --all --to-queue ''",
        stderr: "Error (argument validation): --to-queue has to be a name\n\
                 Arguments given:\n\tmove_messages q --all --to-queue ",
        code: 65,
        ..Case::NONE
    },
    Case {
        line: "move_messages q --all --count 3 --to-queue t",
        stderr: "Error (argument validation): exactly one of --ids, --count and --all has to be \
                 there\n\
                 Arguments given:\n\tmove_messages q --all --count 3 --to-queue t",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "delete_messages q --ids 5",
        asks: &[(
            r#"POST /api/queues/%2F/q/messages/delete {"ids":["5"]}"#,
            200,
            r#"{"deleted":1,"missing":0}"#,
        )],
        stdout: "Deleting messages of queue 'q' in vhost '/' ...\n1 deleted, 0 missing\n",
        ..Case::NONE
    },
    Case {
        line: "delete_messages q",
        stderr: "Error (argument validation): --ids has to say which messages are deleted\n\
                 Arguments given:\n\tdelete_messages q",
        code: 64,
        ..Case::NONE
    },
    Case {
        line: "requeue_unacked q --consumer-tag t --channel 'c (1)'",
        asks: &[(
            r#"POST /api/queues/%2F/q/messages/requeue {"channel":"c (1)","consumer_tag":"t"}"#,
            200,
            r#"{"requeued":250}"#,
        )],
        stdout: "Putting back to queue 'q' in vhost '/' what its consumer 't' on channel \
                 'c (1)' has ...\n250 requeued\n",
        ..Case::NONE
    },
    Case {
        line: "requeue_unacked q --all -q",
        asks: &[(
            r#"POST /api/queues/%2F/q/messages/requeue {"all_unacked":true}"#,
            400,
            r#"{"error":"bad_request","reason":"the queue is deleted with its last consumer"}"#,
        )],
        stderr: "Error:\nthe queue is deleted with its last consumer\n",
        code: 69,
        ..Case::NONE
    },
    Case {
        line: "requeue_unacked q --channel c",
        stderr: "Error (argument validation): either --consumer-tag and --channel, or --all has to \
                 be there\n\
                 Arguments given:\n\trequeue_unacked q --channel c",
        code: 64,
        ..Case::NONE
    },
];
