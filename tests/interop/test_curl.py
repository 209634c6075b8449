"""Lines that RabbitMQ's documentation gives for curl, as they stand there but for the port.

From its HTTP API reference and the guides about management, vhosts, users, limits, definitions,
policies, parameters, shovels, monitoring and passwords. `| jq` only makes answers prettier.
"""

import json
import shutil
import subprocess

import pika.exceptions
import pytest

TOOL_TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")

GET = 'curl -sL -u guest:guest -H "Accept: application/json" http://127.0.0.1:15672/api/'

# What the reference has for lists and single things, and what it says that the answer is.
READS = {
    "overview": lambda shown: {"cluster_name", "contexts", "exchange_types", "listeners", "node",
                               "management_version", "object_totals", "queue_totals",
                               "rabbitmq_version", "rates_mode"} <= shown.keys(),
    "cluster-name": lambda shown: shown["name"],
    "nodes": lambda shown: {"disk_free", "disk_free_alarm", "disk_free_limit", "mem_used",
                            "mem_alarm", "mem_limit", "name", "os_pid", "partitions", "proc_total",
                            "proc_used", "run_queue", "running", "type", "uptime", "processors",
                            } <= shown[0].keys(),
    "nodes/rabbit@hostname": lambda shown: shown["running"],
    "nodes/rabbit@hostname/memory": lambda shown: shown["memory"]["total"]["rss"] > 0,
    "definitions": lambda shown: {"users", "vhosts", "permissions", "topic_permissions",
                                  "parameters", "global_parameters", "policies", "queues",
                                  "exchanges", "bindings"} <= shown.keys(),
    "definitions/%2F": lambda shown: "users" not in shown and "queues" in shown,
    "feature-flags": lambda shown: isinstance(shown, list),
    "connections": lambda shown: isinstance(shown, list),
    "connections/username/guest": lambda shown: isinstance(shown, list),
    "channels": lambda shown: isinstance(shown, list),
    "consumers": lambda shown: isinstance(shown, list),
    "exchanges": lambda shown: "amq.topic" in [exchange["name"] for exchange in shown],
    "queues": lambda shown: isinstance(shown, list),
    "queues/%2F": lambda shown: isinstance(shown, list),
    "bindings/%2F": lambda shown: isinstance(shown, list),
    "vhosts": lambda shown: "/" in [vhost["name"] for vhost in shown],
    "users": lambda shown: "guest" in [user["name"] for user in shown],
    "permissions": lambda shown: any(found["user"] == "guest" for found in shown),
    "parameters": lambda shown: isinstance(shown, list),
    "global-parameters": lambda shown: isinstance(shown, list),
    "global-parameters/cluster_name": lambda shown: shown["name"] == "cluster_name",
    "policies": lambda shown: isinstance(shown, list),
    "policies/%2F": lambda shown: isinstance(shown, list),
    "operator-policies": lambda shown: isinstance(shown, list),
    "operator-policies/%2F": lambda shown: isinstance(shown, list),
    "vhost-limits": lambda shown: isinstance(shown, list),
    "vhost-limits/%2F": lambda shown: isinstance(shown, list),
    "health/checks/alarms": lambda shown: shown["status"] == "ok",
    "health/checks/local-alarms": lambda shown: shown["status"] == "ok",
    "health/checks/virtual-hosts": lambda shown: shown["status"] == "ok",
    "health/checks/node-is-quorum-critical": lambda shown: shown["status"] == "ok",
    "health/checks/is-in-service": lambda shown: shown["status"] == "ok",
    "health/checks/below-node-connection-limit": lambda shown: shown["status"] == "ok",
    "health/checks/ready-to-serve-clients": lambda shown: shown["status"] == "ok",
    "health/checks/protocol-listener/amqp": lambda shown: shown["status"] == "ok",
    "health/checks/certificate-expiration/2/months": lambda shown: shown["status"] == "ok",
    "users/without-permissions": lambda shown: isinstance(shown, list),
    "user-limits": lambda shown: isinstance(shown, list),
    "topic-permissions": lambda shown: isinstance(shown, list),
    "extensions": lambda shown: isinstance(shown, list),
    "whoami": lambda shown: shown["name"] == "guest",
    "auth": lambda shown: not shown["oauth_enabled"],
    "auth/hash_password/secret": lambda shown: shown["ok"],
    "queues?page=1&page_size=50": lambda shown: shown["page_size"] == 50 and "items" in shown,
    "exchanges?page=1&page_size=100&name=%5Eamq&use_regex=true&pagination=true":
        lambda shown: all(exchange["name"].startswith("amq.") for exchange in shown["items"]),
    "queues?disable_stats=true&enable_queue_totals=true": lambda shown: isinstance(shown, list),
}

# Lines that change something, with what they answer, in their order; `-i` has a status line.
CHANGES = [
    # The examples of the reference since its first edition.
    ("curl -i -u guest:guest http://localhost:15672/api/vhosts", "200 OK"),
    ('curl -i -u guest:guest "http://localhost:15672/api/channels?sort=message_stats.publish_details'
     '.rate&sort_reverse=true&columns=name,message_stats.publish_details.rate,'
     'message_stats.deliver_get_details.rate"', "200 OK"),
    ('curl -i -u guest:guest -H "content-type:application/json" '
     "-XPUT http://localhost:15672/api/vhosts/foo", "201 Created"),
    ('curl -i -u guest:guest -H "content-type:application/json" '
     """-XPUT -d'{"type":"direct","durable":true}' """
     "http://localhost:15672/api/exchanges/%2F/my-new-exchange", "201 Created"),
    ('curl -i -u guest:guest -H "content-type:application/json" '
     "-XDELETE http://localhost:15672/api/exchanges/%2F/my-new-exchange", "204 No Content"),
    # Vhosts and their limits.
    ('curl -u guest:guest -i -X PUT http://localhost:15672/api/vhosts/qa1 '
     '-H "content-type: application/json" --data-raw \'{"description": "QA environment 1", '
     '"tags": "qa,project-a", "default_queue_type": "quorum"}\'', "201 Created"),
    ("curl -4u 'guest:guest' -i -H 'content-type:application/json' -X PUT "
     "localhost:15672/api/vhost-limits/qa1/max-connections -d '{\"value\": 50}'", "204 No Content"),
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/vhost-limits/qa1/max-queues "
     '-H "content-type: application/json" -d @- <<EOF\n{\n  "value": 1024\n}\nEOF',
     "204 No Content"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/vhost-limits/qa1/max-queues",
     "204 No Content"),
    ("curl -i -u guest:guest -X POST http://localhost:15672/api/vhosts/qa1/deletion/protection",
     "204 No Content"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/vhosts/qa1",
     "412 Precondition Failed"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/vhosts/qa1/deletion/protection",
     "204 No Content"),
    # Users, permissions and their limits.
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/users/user1 "
     '-H "content-type: application/json" -d \'{"password":"secret","tags":"administrator"}\'',
     "201 Created"),
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/permissions/qa1/user1 "
     """-H "content-type: application/json" -d '{"configure":".*","write":".*","read":".*"}'""",
     "201 Created"),
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/topic-permissions/qa1/user1 "
     '-H "content-type: application/json" '
     """-d '{"exchange":"amq.topic","write":"^a","read":".*","configure":".*"}'""", "201 Created"),
    ("curl -v -i -u guest:guest -X PUT http://localhost:15672/api/user-limits/user1/max-connections "
     '-H "content-type: application/json" -d @- <<EOF\n{\n  "value": 20\n}\nEOF',
     "204 No Content"),
    ("curl -4u 'guest:guest' -i -H 'content-type:application/json' -X PUT "
     "localhost:15672/api/user-limits/user1/max-channels -d '{\"value\": 100}'", "204 No Content"),
    # Queues, bindings and messages.
    ('curl -i -u guest:guest -H "content-type:application/json" '
     """-XPUT -d'{"auto_delete":false,"durable":true,"arguments":{}}' """
     "http://localhost:15672/api/queues/%2F/orders", "201 Created"),
    ('curl -i -u guest:guest -H "content-type:application/json" '
     """-XPOST -d'{"routing_key":"orders"}' """
     "http://localhost:15672/api/bindings/%2F/e/amq.direct/q/orders", "location: orders/orders"),
    ('curl -i -u guest:guest -H "content-type:application/json" -XPOST '
     """-d'{"properties":{},"routing_key":"orders","payload":"my body",\
"payload_encoding":"string"}' """
     "http://localhost:15672/api/exchanges/%2F/amq.direct/publish", '{"routed":true}'),
    ('curl -i -u guest:guest -H "content-type:application/json" -XPOST '
     """-d'{"count":5,"ackmode":"ack_requeue_true","encoding":"auto","truncate":50000}' """
     "http://localhost:15672/api/queues/%2F/orders/get", '"payload":"my body"'),
    ("curl -i -u guest:guest -XDELETE http://localhost:15672/api/queues/%2F/orders/contents",
     "204 No Content"),
    ("curl -i -u guest:guest -XDELETE 'http://localhost:15672/api/queues/%2F/orders?if-empty=true'",
     "204 No Content"),
    # Policies and parameters.
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/policies/%2F/federate-me "
     '-H "content-type: application/json" -d \'{"pattern": "^amq\\\\.", "definition": '
     '{"federation-upstream-set": "all"}, "priority": 1, "apply-to": "exchanges"}\'',
     "201 Created"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/policies/%2F/federate-me",
     "204 No Content"),
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/operator-policies/%2F/transient-ttl "
     '-H "content-type: application/json" -d \'{"pattern": "^amq\\\\.", "definition": '
     '{"expires": 1800000}, "priority": 1, "apply-to": "queues"}\'', "201 Created"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/operator-policies/%2F/transient-ttl",
     "204 No Content"),
    ("curl -v -i -u guest:guest -X PUT http://localhost:15672/api/parameters/shovel/%2f/my-shovel "
     '-H "content-type: application/json" -d @- <<EOF\n{\n  "value": {\n    "src-protocol": '
     '"amqp091",\n    "src-uri": "amqp://localhost",\n    "src-queue": "source-queue",\n    '
     '"dest-protocol": "amqp091",\n    "dest-uri": "amqp://localhost",\n    "dest-queue": '
     '"destination-queue"\n  }\n}\nEOF', "201 Created"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/parameters/shovel/%2f/my-shovel",
     "204 No Content"),
    ('curl -sL -i -u guest:guest -X PUT -H "Accept: application/json" -H "Content-Type: '
     'application/json" http://127.0.0.1:15672/api/global-parameters/cluster_tags --data '
     """'{"value": {"region": "ca-central-1", "environment": "production"}, "name": \
"cluster_tags"}'""", "201 Created"),
    ('curl -sL -i -u guest:guest -X DELETE -H "Accept: application/json" '
     "http://127.0.0.1:15672/api/global-parameters/cluster_tags", "204 No Content"),
    # Definitions, to a file and back.
    ("curl -u guest:guest -X GET http://localhost:15672/api/definitions > definitions.file.json", ""),
    ('curl -i -u guest:guest -H "Content-Type: application/json" -X POST -T definitions.file.json '
     "http://localhost:15672/api/definitions", "204 No Content"),
    ("curl -i -u guest:guest -F file=@definitions.file.json "
     "http://localhost:15672/api/definitions", "204 No Content"),
    ("curl -i -4u 'guest:guest' -XPOST localhost:15672/api/rebalance/queues/", "204 No Content"),
    # And the end of it.
    *((f"curl -i -u guest:guest -X PUT http://localhost:15672/api/users/{user} "
       '-H "content-type: application/json" -d \'{"password":"secret","tags":""}\'', "201 Created")
      for user in ["user2", "user3"]),
    ("curl -i -u guest:guest -X POST http://localhost:15672/api/users/bulk-delete "
     """-H "content-type: application/json" -d '{"users" : ["user1", "user2", "user3"]}'""",
     "204 No Content"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/vhosts/qa1", "204 No Content"),
    ("curl -i -u guest:guest -X DELETE http://localhost:15672/api/vhosts/foo", "204 No Content"),
    # Who is not let in, what is not there, and what is wrong.
    ("curl -i -u guest:wrong http://localhost:15672/api/overview", "401 Unauthorized"),
    ("curl -i -u guest:guest http://localhost:15672/api/vhosts/nope", "404 Not Found"),
    ("curl -i -u guest:guest http://localhost:15672/api/health/checks/port-listener/1",
     "503 Service Unavailable"),
    ("curl -i -u guest:guest -X PUT http://localhost:15672/api/permissions/%2F/guest "
     """-H "content-type: application/json" -d '{"configure":".*"}'""", "400 Bad Request"),
]


@pytest.fixture
def shell(managed, tmp_path):
    """Runs a line with this broker's port and node; what it printed."""
    node = managed.ask("GET", "overview")["node"]

    def run(line):
        line = line.replace("15672", str(managed.management_port))
        line = line.replace("rabbit@hostname", node)
        finished = subprocess.run(
            ["bash", "-c", line], capture_output=True, timeout=TOOL_TIMEOUT_S, check=False,
            text=True, cwd=tmp_path,
        )
        assert finished.returncode == 0, f"{line}: {finished.stderr}"
        return finished.stdout

    return run


@pytest.mark.parametrize("path", READS)
def test_what_is_asked_for_is_answered(shell, path):
    said = shell(f"{GET}'{path}'")
    assert READS[path](json.loads(said)), said


def test_what_is_to_change_changes(shell):
    wrong = []
    for line, wanted in CHANGES:
        said = shell(line)
        if wanted.lower() not in said.lower():
            wrong.append(f"{line}\n  no {wanted} in: {said}")
    assert not wrong, "\n".join(wrong)


def test_a_connection_is_closed_with_its_name_escaped(shell, managed):
    with managed.connect() as connection:
        connection.channel()
        (found,) = managed.ask("GET", "connections")
        escaped = found["name"].replace(":", "%3A").replace(" ", "%20").replace(">", "%3E")
        shown = json.loads(shell(f"{GET}connections/{escaped}"))
        assert shown["user"] == "guest"
        channels = json.loads(shell(f"{GET}connections/{escaped}/channels"))
        assert [channel["number"] for channel in channels] == [1]
        shell(
            'curl -sL -u guest:guest -X DELETE -H "Accept: application/json" '
            f"http://127.0.0.1:15672/api/connections/{escaped}"
        )
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            connection.process_data_events(10)
