"""RabbitMQ's rabbitmqadmin, the one in Python, command by command and format by format."""

import json
import os
import re
import subprocess

import pika.exceptions
import pytest

RABBITMQADMIN = os.environ.get("RABBITMQADMIN", "")
TOOL_TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(
    not os.access(RABBITMQADMIN, os.X_OK),
    reason="rabbitmqadmin is missing; it is in Debian's package rabbitmq-server",
)

# All that it says it can do: each has to be in a test here.
LISTS = [
    "connections", "channels", "consumers", "exchanges", "queues", "bindings", "users", "vhosts",
    "permissions", "nodes", "parameters", "policies", "operator_policies", "vhost_limits",
]
MAKES = [
    "exchange", "queue", "binding", "vhost", "user", "permission", "parameter", "policy",
    "operator_policy", "vhost_limit",
]


@pytest.fixture(scope="module")
def admin(managed):
    """Runs it, to this exit code; what it said."""

    def run(*words, code=0, stdin=None):
        command = ["python3", RABBITMQADMIN, "--port", str(managed.management_port), *words]
        finished = subprocess.run(
            command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True,
            input=stdin,
        )
        said = finished.stdout + finished.stderr
        assert finished.returncode == code, f"{words}: {finished.returncode}: {said}"
        return said

    return run


@pytest.fixture(scope="module")
def made(admin):
    """A vhost with one of everything that it declares, for all tests in their order."""
    admin("declare", "vhost", "name=adm")
    admin("declare", "user", "name=ann", "password=p", "tags=management")
    for user in ["ann", "guest"]:
        rights = ["configure=.*", "write=.*", "read=.*"]
        admin("declare", "permission", "vhost=adm", f"user={user}", *rights)
    of_v = "--vhost=adm"
    admin(of_v, "declare", "exchange", "name=e", "type=topic", "internal=false", "durable=true")
    admin(of_v, "declare", "exchange", "name=f", "type=fanout", "auto_delete=false")
    admin(of_v, "declare", "queue", "name=q", "durable=true", 'arguments={"x-max-length": 9}')
    admin(of_v, "declare", "queue", "name=r", "queue_type=quorum")
    admin(of_v, "declare", "queue", "name=s", "auto_delete=false", "durable=false")
    admin(of_v, "declare", "binding", "source=e", "destination=q", "routing_key=a.#")
    admin(of_v, "declare", "binding", "source=e", "destination=f", "destination_type=exchange")
    admin(of_v, "declare", "binding", "source=f", "destination=r", 'arguments={"n": 1}')
    definition = 'definition={"expires": 99000}'
    admin(of_v, "declare", "policy", "name=p", "pattern=^s", definition, "priority=4", "apply-to=queues")
    admin(of_v, "declare", "operator_policy", "name=o", "pattern=^q", definition, "apply-to=queues")
    shovel = {"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://", "dest-queue": "r"}
    admin(of_v, "declare", "parameter", "component=shovel", "name=h", f"value={json.dumps(shovel)}")
    admin("declare", "vhost_limit", "vhost=adm", "name=max-queues", "value=50")
    yield of_v
    admin("delete", "vhost", "name=adm")
    admin("delete", "user", "name=ann")


def table(said):
    """The rows of a table, the names of its columns first."""
    lines = [line for line in said.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_what_it_lists_is_there(admin, made, managed):
    said = admin("help", "subcommands")
    assert re.findall(r"^  list (\w+)", said, re.M) == LISTS
    assert re.findall(r"^  declare (\w+)", said, re.M) == MAKES
    assert re.findall(r"^  delete (\w+)", said, re.M) == MAKES
    with managed.connect("ann", "p", "adm") as connection:
        channel = connection.channel()
        channel.basic_consume("q", lambda *_: None, consumer_tag="taker")
        for kind, shown in {
            "connections": "ann", "channels": "ann", "consumers": "taker", "exchanges": "topic",
            "queues": "q", "bindings": "a.#", "users": "ann", "vhosts": "adm",
            "permissions": "ann", "nodes": "disc", "parameters": "shovel", "policies": "99000",
            "operator_policies": "99000", "vhost_limits": "50",
        }.items():
            said = admin(made, "list", kind)
            assert any(shown in cell for row in table(said)[1:] for cell in row), (kind, said)
        (name,) = json.loads(admin("-f", "raw_json", "list", "connections", "name"))
        admin("close", "connection", f"name={name['name']}")
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
            connection.process_data_events(10)
    assert admin("list", "connections").strip() in ("", "No items")
    overview = table(admin("show", "overview"))
    assert overview[0] == [
        "rabbitmq_version", "cluster_name", "queue_totals.messages", "object_totals.queues",
    ]
    assert len(overview) == 2 and all(overview[1])
    assert table(admin("show", "overview", "node", "product_name"))[1][1] == "RabbitMQ"


def test_every_format_shows_the_same(admin, made):
    columns = ["name", "durable", "arguments.x-max-length", "arguments.x-queue-type"]
    shown = lambda kind: admin(made, "-f", kind, "-S", "name", "list", "queues", *columns)
    assert table(shown("table")) == [
        columns, ["q", "True", "9", ""], ["r", "True", "", "quorum"], ["s", "False", "", ""],
    ]
    expected = [
        {"name": "q", "durable": True, "arguments": {"x-max-length": 9}},
        {"name": "r", "durable": True, "arguments": {"x-queue-type": "quorum"}},
        {"name": "s", "durable": False},
    ]
    assert [
        {key: value for key, value in queue.items() if value != {}}
        for queue in json.loads(shown("raw_json"))
    ] == expected
    assert json.loads(shown("pretty_json")) == json.loads(shown("raw_json"))
    lines = shown("tsv").splitlines()
    assert [line.split("\t")[:3] for line in lines] == [
        columns[:3], ["q", "True", "9"], ["r", "True", ""], ["s", "False", ""],
    ]
    assert 'name="q" durable="True" arguments.x-max-length="9"' in shown("kvp")
    assert re.search(r"name: q\n +durable: True\n", shown("long"))
    assert set(admin(made, "-f", "bash", "list", "queues").split()) == {"q", "r", "s"}
    assert "complete" in admin("--bash-completion")


def test_lists_are_sorted_and_cut_as_asked(admin, made, managed):
    names = lambda *options: [
        row[0] for row in table(admin(made, *options, "list", "queues", "name", "type"))[1:]
    ]
    assert names("--sort=name") == ["q", "r", "s"]
    assert names("-S", "name", "-R") == ["s", "r", "q"]
    assert names("--sort=type", "--sort-reverse")[0] == "r"
    with managed.connect(vhost="adm") as connection:
        connection.channel().basic_consume("s", lambda *_: None)
        deep = lambda depth: table(admin(made, "-d", depth, "list", "consumers"))[0]
        assert "consumer_tag" in deep("1") and "queue.name" not in deep("1")
        assert "queue.name" in deep("2")


def test_messages_go_in_and_come_out(admin, made, tmp_path):
    for n in range(3):
        said = admin(made, "publish", "exchange=e", "routing_key=a.b", f"payload=body {n}")
        assert "Message published" in said
    assert "NOT routed" in admin(made, "publish", "exchange=e", "routing_key=nowhere", "payload=x")
    sent = 'properties={"delivery_mode": 2, "headers": {"n": 1}}'
    admin(made, "publish", "routing_key=q", "payload=aGVsbG8=", "payload_encoding=base64", sent)
    admin(made, "publish", "routing_key=q", stdin="from a pipe")
    rows = table(admin(made, "get", "queue=q", "count=9", "ackmode=ack_requeue_true"))
    payload = rows[0].index("payload")
    assert [row[payload] for row in rows[1:]] == [
        "body 0", "body 1", "body 2", "hello", "from a pipe",
    ]
    assert rows[1][rows[0].index("routing_key")] == "a.b"
    file = tmp_path / "payload"
    admin(made, "get", "queue=q", f"payload_file={file}", "ackmode=ack_requeue_false")
    assert file.read_text() == "body 0"
    got = json.loads(
        admin(made, "-f", "raw_json", "get", "queue=q", "ackmode=reject_requeue_false",
              "encoding=base64")
    )
    assert got[0]["payload"] == "Ym9keSAx" and got[0]["redelivered"]
    admin(made, "purge", "queue", "name=q")
    assert admin(made, "get", "queue=q").strip() == "No items"
    admin(made, "get", "queue=nope", code=1)


def test_definitions_move(admin, made, tmp_path):
    file = tmp_path / "all.json"
    admin("export", str(file))
    whole = json.loads(file.read_text())
    assert {"q", "r"} <= {queue["name"] for queue in whole["queues"]}
    admin(made, "delete", "queue", "name=r")
    admin("import", str(file))
    assert "r" in admin(made, "list", "queues")
    of_vhost = tmp_path / "vhost.json"
    admin(made, "export", str(of_vhost))
    assert "vhost" not in json.loads(of_vhost.read_text())["queues"][0]
    admin(made, "delete", "exchange", "name=f")
    admin(made, "import", str(of_vhost))
    assert "f" in [row[0] for row in table(admin(made, "list", "exchanges"))]


def test_what_is_deleted_is_gone(admin, made):
    for words in [
        ["vhost_limit", "vhost=adm", "name=max-queues"],
        ["parameter", "component=shovel", "name=h"],
        ["operator_policy", "name=o"],
        ["policy", "name=p"],
        ["binding", "source=e", "destination_type=queue", "destination=q", "properties_key=a.%23"],
        ["binding", "source=e", "destination_type=exchange", "destination=f"],
        ["queue", "name=q"],
        ["exchange", "name=e"],
        ["permission", "vhost=adm", "user=ann"],
    ]:
        admin(made, "delete", *words)
        if words[0] != "vhost_limit":
            assert "Not found" in admin(made, "delete", *words, code=1)
    said = admin(made, "list", "bindings") + admin(made, "list", "policies")
    assert "a.#" not in said and "99000" not in said
    assert "vhost_or_user_not_found" in admin(
        "declare", "permission", "vhost=nope", "user=ann", "configure=", "write=", "read=", code=1
    )
    assert "Access refused" in admin("-u", "ann", "-p", "wrong", "list", "queues", code=1)
