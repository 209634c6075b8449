"""RabbitMQ's own client of the HTTP API for Rust, which reads every answer with strict types.

The calls are in tests/tools, built by scripts/test; here is what they find.
"""

import contextlib
import os
import subprocess

import pytest

TOOLS = os.environ.get("LEVERET_TOOLS", "")
TOOL_TIMEOUT_S = 60

pytestmark = pytest.mark.skipif(
    not os.access(TOOLS, os.X_OK),
    reason="the Rust client's calls are not built: cargo build in tests/tools, see scripts/test",
)


def call(managed, task):
    """Has the calls made; none may have a fault."""
    node = managed.ask("GET", "overview")["node"]
    command = [TOOLS, task, managed.api, node, str(managed.port)]
    finished = subprocess.run(
        command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.fixture
def strict(managed):
    """A vhost with one of everything there can be."""
    put = lambda path, body: managed.ask("PUT", path, body)
    put("vhosts/strict", {"description": "d", "tags": "a,b", "default_queue_type": "classic"})
    put("permissions/strict/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    put("users/reader", {"password": "r", "tags": "monitoring,policymaker"})
    put("users/nobody", {"password": "n", "tags": ""})
    put("permissions/strict/reader", {"configure": "", "write": "", "read": ".*"})
    topics = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    put("topic-permissions/strict/reader", topics)
    rule = {"pattern": "^c", "definition": {"max-length": 50}, "apply-to": "queues", "priority": 2}
    put("policies/strict/short", rule)
    put("operator-policies/strict/capped", {**rule, "definition": {"max-length-bytes": 100000}})
    put("vhost-limits/strict/max-queues", {"value": 100})
    put("vhost-limits/strict/max-connections", {"value": 100})
    put("user-limits/reader/max-channels", {"value": 50})
    shovel = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
    put("parameters/shovel/strict/moved", {"value": shovel})
    put("global-parameters/cluster_tags", {"value": {"az": "here"}})
    yield
    for gone in ["global-parameters/cluster_tags", "vhosts/strict", "users/reader", "users/nobody"]:
        managed.ask("DELETE", gone)


def fill(connection):
    """Queues and exchanges of every kind; consumers, what they hold, and a transaction."""
    channel = connection.channel()
    arguments = {"x-max-priority": 3, "x-dead-letter-exchange": "fanout", "x-message-ttl": 600000}
    channel.queue_declare("classic", durable=True, arguments=arguments)
    channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("stream", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("lazy", durable=True, arguments={"x-queue-mode": "lazy"})
    channel.queue_declare("brief", auto_delete=True)
    channel.queue_declare("mine", exclusive=True)
    single = {"x-single-active-consumer": True, "x-expires": 600000}
    channel.queue_declare("single", durable=True, arguments=single)
    for kind in ["direct", "topic", "headers", "fanout"]:
        channel.exchange_declare(kind, kind, durable=True)
    channel.exchange_declare("inner", "topic", internal=True, auto_delete=True)
    channel.queue_bind("classic", "direct", "c")
    channel.queue_bind("quorum", "topic", "q.#")
    channel.queue_bind("lazy", "headers", "", {"x-match": "any", "n": 1})
    channel.queue_bind("brief", "fanout", "")
    channel.exchange_bind("fanout", "topic", "#")
    channel.exchange_bind("inner", "topic", "i")
    channel.confirm_delivery()
    for queue in ["classic", "quorum", "stream", "lazy", "brief", "mine", "single"]:
        for n in range(4):
            channel.basic_publish("", queue, f"body {n}".encode())
    channel.basic_publish("topic", "q.1", b"routed")
    channel.basic_publish("topic", "nowhere", b"not routed but to the fanout")
    taker = connection.channel()
    taker.basic_qos(prefetch_count=2)
    for queue in ["classic", "quorum", "stream", "brief", "mine", "single"]:
        arguments = {"x-stream-offset": "first"} if queue == "stream" else {"x-priority": 1}
        taker.basic_consume(queue, lambda *_: None, arguments=arguments)
    assert taker.basic_get("lazy")[0]
    careful = connection.channel()
    careful.tx_select()
    careful.basic_publish("", "lazy", b"not yet there")
    connection.process_data_events(0)


def test_every_reading_call_understands_its_answer(managed, strict):
    with managed.connect(vhost="strict") as connection:
        fill(connection)
        # What is told of connections and channels is gathered every few seconds.
        call(managed, "reads")


def test_every_writing_call_does_what_it_says(managed):
    for user in ["closed", "all-closed"]:
        managed.ask("PUT", f"users/{user}", {"password": "p", "tags": ""})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        managed.ask("PUT", f"permissions/%2F/{user}", everything)
    opened = [managed.connect(user, "p") for user in ["closed", "all-closed", "all-closed"]]
    call(managed, "writes")
    for connection in opened:
        with contextlib.suppress(Exception):
            connection.process_data_events(5)
        assert connection.is_closed
    left = {connection["user"] for connection in managed.ask("GET", "connections")}
    assert not left & {"closed", "all-closed"}
    for user in ["closed", "all-closed"]:
        managed.ask("DELETE", f"users/{user}")
