"""Debian's nagios-plugins-rabbitmq: every check, where all is well and where it is not."""

import shutil
import subprocess

import pytest

TOOL_TIMEOUT_S = 30
OK, WARNING, CRITICAL, UNKNOWN = range(4)

pytestmark = pytest.mark.skipif(
    not shutil.which("check_rabbitmq_aliveness"),
    reason="the checks are missing; they are Debian's package nagios-plugins-rabbitmq",
)


@pytest.fixture
def check(managed):
    """Runs a check, which has to end with this code; what it said."""

    def run(name, *options, code=OK, port=None):
        finished = subprocess.run(
            [
                *(f"check_rabbitmq_{name}", "-H", "127.0.0.1", "-u", "guest", "-p", "guest"),
                *("--port", str(port or managed.management_port), *options),
            ],
            capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True,
        )
        said = finished.stdout + finished.stderr
        assert finished.returncode == code, f"{name} {options}: {finished.returncode} {said}"
        return said

    return run


@pytest.fixture
def node(managed):
    """The options that name the broker's node to the checks of a node."""
    return ("-n", managed.ask("GET", "overview")["node"].split("@")[1])


@pytest.fixture
def busy(managed):
    """A connection with a queue of five messages, two of them unacknowledged."""
    with managed.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("busy")
        channel.confirm_delivery()
        for n in range(5):
            channel.basic_publish("", "busy", b"m")
        channel.basic_get("busy")
        channel.basic_get("busy")
        yield connection
        channel.queue_delete("busy")


def test_a_broker_that_lives_is_alive_and_another_is_not(check):
    assert "vhost: /" in check("aliveness")
    assert "Not found: nope" in check("aliveness", "--vhost", "nope", code=UNKNOWN)
    # Where nobody listens.
    check("aliveness", port=1, code=CRITICAL)


def test_who_gives_a_wrong_password_is_told(managed):
    command = ["check_rabbitmq_aliveness", "-H", "127.0.0.1", "-u", "guest", "-p", "wrong"]
    command += ["--port", str(managed.management_port)]
    finished = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert finished.returncode == UNKNOWN
    assert "Access refused" in finished.stdout


def test_the_node_has_enough_of_everything(check, node):
    said = check("server", *node)
    for resource in ["Memory", "Process", "FD", "Sockets"]:
        assert resource in said
    check("server", *node, "-w", "0,0,0,0", "-c", "100,100,100,100", code=WARNING)
    check("server", *node, "-w", "0,0,0,0", "-c", "0,0,0,0", code=CRITICAL)
    assert "Not found" in check("server", "-n", "nobody", code=UNKNOWN)


def test_there_is_no_partition(check, node):
    check("partition", *node)


def test_there_is_memory_and_disk_until_there_is_not(check, node, managed):
    check("watermark", *node)
    limits = managed.ask("GET", "leveret/settings")
    watermark = "vm_memory_high_watermark"
    managed.ask("PUT", "leveret/settings", {watermark: {"absolute": 0}})
    check("watermark", *node, code=CRITICAL)
    managed.ask("PUT", "leveret/settings", {watermark: limits[watermark]})
    check("watermark", *node)


def test_all_messages_are_counted(check, busy):
    said = check("overview", "-w", "100,100,100", "-c", "200,200,200")
    assert "messages=5;" in said and "messages_ready=3;" in said
    assert "messages_unacknowledged=2;" in said
    check("overview", "-w", "4,100,100", "-c", "200,200,200", code=WARNING)
    check("overview", "-w", "1,1,1", "-c", "100,2,100", code=CRITICAL)
    check("overview", "-w", "1,1,1", "-c", "100,100,1", code=CRITICAL)


def test_a_queues_messages_and_consumers_are_counted(check, busy):
    said = check("queue", "--queue", "busy", "-w", "9,9,9,9", "-c", "10,10,10,10")
    assert "messages=5;" in said and "messages_ready=3;" in said
    assert "messages_unacknowledged=2;" in said and "consumers=0;" in said
    check("queue", "--queue", "busy", "-w", "4,9,9,9", "-c", "10,10,10,10", code=WARNING)
    check("queue", "--queue", "busy", "-w", "1,1,1,9", "-c", "4,10,10,10", code=CRITICAL)
    check("queue", "--queue", "nope", "-w", "4", "-c", "5", code=CRITICAL)


def test_connections_are_counted(check, busy):
    said = check("connections")
    assert "connections=1;" in said
    check("connections", "-w", "0", "-c", "10", code=WARNING)
    check("connections", "-w", "0", "-c", "0", code=CRITICAL)


def test_objects_are_counted(check, busy, managed):
    said = check("objects")
    count = {kind: len(managed.ask("GET", kind)) for kind in ["vhosts", "exchanges", "queues"]}
    # The check takes the last index for the number.
    for kind, number in {**count, "channels": 1}.items():
        name = kind.removesuffix("s")
        assert f"{name}={number - 1};" in said or f"{name}={number};" in said, (kind, number, said)


def test_there_are_no_shovels_to_be_well(check):
    # As at a RabbitMQ without that plugin.
    assert "404 Not Found" in check("shovels", code=CRITICAL)
