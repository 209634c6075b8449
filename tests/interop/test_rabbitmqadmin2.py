"""RabbitMQ's newer rabbitmqadmin, the one in Rust, command by command.

`RABBITMQADMIN2` names it. scripts/test builds it.
"""

import os
import signal
import subprocess

import pika.exceptions
import pytest

RABBITMQADMIN2 = os.environ.get("RABBITMQADMIN2", "")
TOOL_TIMEOUT_S = 30
LONG_TIMEOUT_S = 600

pytestmark = pytest.mark.skipif(
    not os.access(RABBITMQADMIN2, os.X_OK),
    reason="rabbitmqadmin 2 is missing; scripts/test builds it",
)

# Commands in their order, and what their output has to have in it. NODE, PORT and FILE are filled
# in. What reads shovels and federation links asks plugins, of which there are none here.
OVERALL = [
    ("show overview", "RabbitMQ"),
    ("show churn", "connection"),
    ("auth_attempts stats --node NODE", "amqp"),
    ("show endpoint", "127.0.0.1"),
    ("show memory_breakdown_in_bytes --node NODE", "Total"),
    ("show memory_breakdown_in_percent --node NODE", "%"),
    ("nodes list", "NODE"),
    ("nodes memory_breakdown_in_bytes --node NODE", "Total"),
    ("nodes memory_breakdown_in_percent --node NODE", "%"),
    ("list nodes", "NODE"),
    ("plugins list_all", ""),
    ("plugins list_on_node --node NODE", ""),
    ("feature_flags list", ""),
    ("feature_flags enable_all", ""),
    ("list feature_flags", ""),
    ("deprecated_features list", ""),
    ("deprecated_features list_used", ""),
    ("list deprecated_features", ""),
    ("list deprecated_features_in_use", ""),
    ("health_check local_alarms", ""),
    ("health_check cluster_wide_alarms", ""),
    ("health_check node_is_quorum_critical", ""),
    ("health_check port_listener --port PORT", ""),
    ("health_check protocol_listener --protocol amqp", ""),
    ("rebalance queues", ""),
    ("queues rebalance", ""),
    ("passwords salt_and_hash secret", ""),
    ('global_parameters set --name site --value {"at":7}', ""),
    ("global_parameters list", "site"),
    ("global_parameters clear --name site", ""),
]
MAKING = [
    ("vhosts declare --name adm2 --description told --default-queue-type classic", ""),
    ("declare vhost --name adm2-more", ""),
    ("vhosts list", "told"),
    ("list vhosts", "adm2-more"),
    ("vhosts enable_deletion_protection --name adm2-more", ""),
    ("!vhosts delete --name adm2-more", "protected"),
    ("vhosts disable_deletion_protection --name adm2-more", ""),
    ("declare user --name ann --password secret --tags management", ""),
    ("users declare --name bob --password secret", ""),
    ("users list", "ann"),
    ("list users --page 1 --page-size 50", "bob"),
    ("permissions declare --username guest --configure .* --read .* --write .*", ""),
    ("declare permissions --username ann --configure ^a --read .* --write .*", ""),
    ("permissions list", "^a"),
    ("list permissions", "ann"),
    ("users permissions", "ann"),
    ("declare queue --name q1 --type classic --durable true", ""),
    ("queues declare --name q2 --type quorum --durable true --auto-delete false", ""),
    ('queues declare --name q3 --type classic --arguments {"x-max-length":9}', ""),
    ("declare stream --name s1 --expiration 1D", ""),
    ("streams declare --name s2 --expiration 1D --max-length-bytes 1000000", ""),
    ("declare exchange --name x1 --type topic --durable true", ""),
    ("exchanges declare --name x2 --type fanout", ""),
    ("declare binding --source x1 --destination-type queue --destination q1 --routing-key a.#", ""),
    ("bindings declare --source x1 --destination-type queue --destination q2 --routing-key b", ""),
    ("exchanges bind --source x1 --destination-type exchange --destination x2 --routing-key e", ""),
    ("bindings list", "a.#"),
    ("list bindings", "x2"),
    ("list queues", "q1"),
    ("queues list --columns name,queue_type", "quorum"),
    ("queues show --name q2", "quorum"),
    ("streams list", "s1"),
    ("streams show --name s2", "s2"),
    ("list exchanges", "x1"),
    ("exchanges list", "topic"),
    ("publish message --exchange x1 --routing-key a.b --payload told", ""),
    ('publish message -e x1 -k a.c -m more -p {"delivery_mode":2}', ""),
    ("get messages --queue q1 --count 5 --ack-mode ack_requeue_true", "told"),
    ("purge queue --name q1", ""),
    ("queues purge --name q2", ""),
]
RULES = [
    ('declare policy --name p1 --pattern ^q --apply-to queues --priority 3 '
     '--definition {"max-length":100,"expires":900000}', ""),
    ('policies declare --name p2 --pattern ^x --apply-to exchanges '
     '--definition {"alternate-exchange":"x2"}', ""),
    ("list policies", "p1"),
    ("policies list", "p2"),
    ("policies list_in", "p1"),
    ("policies list_in --apply-to exchanges", "p2"),
    ("policies list_conflicting", ""),
    ("policies list_conflicting_in", ""),
    ("policies list_matching_object --name q1 --type queues", "p1"),
    ("policies update_definition --name p1 --definition-key max-length --new-value 50", ""),
    ("policies update_definitions_of_all --definition-key max-length --new-value 40", ""),
    ("policies update_definitions_of_all_in --definition-key max-length --new-value 30", ""),
    ('policies patch --name p1 --definition {"message-ttl":70000}', ""),
    ("policies list", "70000"),
    ("policies delete_definition_keys --name p1 --definition-keys message-ttl", ""),
    ("policies delete_definition_keys_from_all_in --definition-keys max-length", ""),
    ('policies declare_override --name p1 --override-name p3 --definition {"max-length":5}', ""),
    ('policies declare_blanket --name p4 --apply-to queues --definition {"max-length":77}', ""),
    ("policies delete_definition_keys_from_all --definition-keys alternate-exchange", ""),
    ("policies delete --name p3", ""),
    ("delete policy --name p4", ""),
    ('declare operator_policy --name o1 --pattern ^q --apply-to queues '
     '--definition {"max-length":9,"expires":900000}', ""),
    ('operator_policies declare --name o2 --pattern ^s --apply-to queues '
     '--definition {"max-length-bytes":900}', ""),
    ("list operator_policies", "o1"),
    ("operator_policies list", "o2"),
    ("operator_policies list_in", "o1"),
    ("operator_policies list_matching_object --name q1 --type queues", "o1"),
    ("operator_policies update_definition --name o1 --definition-key max-length --new-value 8", ""),
    ("operator_policies update_definitions_of_all_in --definition-key max-length --new-value 7", ""),
    ('operator_policies patch --name o1 --definition {"message-ttl":60000}', ""),
    ("operator_policies delete_definition_keys --name o1 --definition-keys message-ttl", ""),
    ("operator_policies delete_definition_keys_from_all_in --definition-keys max-length", ""),
    ("operator_policies delete --name o2", ""),
    ("delete operator_policy --name o1", ""),
    ("declare vhost_limit --name max-queues --value 50", ""),
    ("vhost_limits declare --name max-connections --value 60", ""),
    ("list vhost_limits", "max-queues"),
    ("vhost_limits list", "60"),
    ("vhost_limits delete --name max-connections", ""),
    ("delete vhost_limit --name max-queues", ""),
    ("declare user_limit --username ann --name max-channels --value 50", ""),
    ("user_limits declare --username ann --name max-connections --value 60", ""),
    ("list user_limits --username ann", "max-channels"),
    ("user_limits list", "60"),
    ("users limits --username ann", "50"),
    ("user_limits delete --username ann --name max-channels", ""),
    ("delete user_limit --username ann --name max-connections", ""),
    ('declare parameter --component federation-upstream --name u1 --value {"uri":"amqp://"}', ""),
    ('parameters set --component federation-upstream --name u2 --value {"uri":"amqp://"}', ""),
    ("list parameters --component federation-upstream", "u1"),
    ("parameters list --component federation-upstream", "u2"),
    ("parameters list_in --component federation-upstream", "u1"),
    ("parameters list_all", "u2"),
    ("parameters clear --component federation-upstream --name u2", ""),
    ("delete parameter --component federation-upstream --name u1", ""),
    ("federation declare_upstream --name f1 --uri amqp://", ""),
    ("federation declare_upstream_for_exchanges --name f2 --uri amqp://", ""),
    ("federation declare_upstream_for_queues --name f3 --uri amqp://", ""),
    ("federation list_all_upstreams", "f2"),
    ("federation delete_upstream --name f1", ""),
    ("federation delete_upstream --name f2", ""),
    ("federation delete_upstream --name f3", ""),
    ("shovels declare_amqp091 --name h1 --source-uri amqp:// --destination-uri amqp:// "
     "--source-queue q1 --destination-queue q2", ""),
    ("delete shovel --name h1", ""),
]
CONNECTIONS = [
    ("list connections", "ann"),
    ("connections list", "ann"),
    ("list user_connections --username ann", "ann"),
    ("connections list_of_user --username ann", "ann"),
    ("users connections --username ann", "ann"),
    ("list channels", "adm2"),
    ("channels list", "adm2"),
    ("list consumers", "q1"),
]
MOVING = [
    ("definitions export --file FILE.cluster", ""),
    ("definitions export --stdout", "q1"),
    ("definitions export_from_vhost --file FILE.vhost", ""),
    ("definitions export_from_vhost --stdout", "x1"),
    ("queues delete --name q1", ""),
    ("definitions import_into_vhost --file FILE.vhost", ""),
    ("queues show --name q1", "q1"),
    ("exchanges delete --name x2", ""),
    ("definitions import --file FILE.cluster", ""),
    ("list exchanges", "x2"),
]
ENDING = [
    ("exchanges unbind --source x1 --destination-type exchange --destination x2 --routing-key e", ""),
    ("bindings delete --source x1 --destination-type queue --destination q2 --routing-key b", ""),
    ("delete binding --source x1 --destination-type queue --destination q1 --routing-key a.#", ""),
    ("delete queue --name q1", ""),
    ("delete queue --name q1 --idempotently", ""),
    ("!delete queue --name q1", ""),
    ("queues delete_multiple --name-pattern ^q --approve", ""),
    ("delete stream --name s1", ""),
    ("streams delete --name s2", ""),
    ("delete exchange --name x1", ""),
    ("exchanges delete --name x2", ""),
    ("permissions delete --username ann", ""),
    ("delete permissions --username guest", ""),
    ("delete user --name ann", ""),
    ("users delete --name bob", ""),
    ("vhosts delete --name adm2", ""),
    ("vhosts delete_multiple --name-pattern ^adm2 --approve", ""),
]


def admin(managed, line, file):
    """Runs a command of the lists; `!` before it: it has to fail. What it said."""
    node = managed.ask("GET", "overview")["node"]
    fails, line = line.startswith("!"), line.removeprefix("!")
    words = [
        word.replace("NODE", node).replace("PORT", str(managed.port)).replace("FILE", str(file))
        for word in line.split(" ")
    ]
    command = [RABBITMQADMIN2, "--non-interactive", "--base-uri", managed.api.removesuffix("/api"),
               "-u", "guest", "-p", "guest", "--vhost", "adm2", *words]
    finished = subprocess.run(
        command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True
    )
    said = finished.stdout + finished.stderr
    assert (finished.returncode != 0) == fails, f"{line}: {finished.returncode}: {said}"
    return said, node


def test_every_command_works(managed, tmp_path):
    # A hundred and fifty programs take longer than one test usually may.
    signal.alarm(LONG_TIMEOUT_S)
    wrong = []

    def run_all(commands):
        for line, wanted in commands:
            try:
                said, node = admin(managed, line, tmp_path / "definitions")
                if wanted.replace("NODE", node) not in said:
                    wrong.append(f"{line}: no {wanted} in: {said}")
            except AssertionError as fault:
                wrong.append(str(fault))

    for commands in [OVERALL, MAKING, RULES]:
        run_all(commands)
    connection = managed.connect("ann", "secret", "adm2")
    connection.channel().basic_consume("q1", lambda *_: None)
    run_all(CONNECTIONS)
    name = managed.ask("GET", "connections")[0]["name"]
    command = ["close", "connection", "--name", name]
    subprocess.run([RABBITMQADMIN2, "--base-uri", managed.api.removesuffix("/api"), "-u", "guest",
                    "-p", "guest", *command], check=True, timeout=TOOL_TIMEOUT_S)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(10)
    connection = managed.connect("ann", "secret", "adm2")
    run_all([("close user_connections --username ann", "")])
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        connection.process_data_events(10)
    for commands in [MOVING, ENDING]:
        run_all(commands)
    assert not wrong, "\n".join(wrong)
