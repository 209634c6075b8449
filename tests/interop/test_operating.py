"""What operators type: leveretctl, also by the name rabbitmqctl."""

import json
import os
import pathlib
import subprocess

import pika
import pytest

TOOL_TIMEOUT_S = 30


@pytest.fixture
def broker(managed):
    """A broker whose HTTP API has a port."""
    return managed


def run(command, code=0):
    """Runs a tool to its end, which has to be this one; what it said."""
    finished = subprocess.run(
        command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True
    )
    assert finished.returncode == code, f"{command}: {finished.stdout}{finished.stderr}"
    return finished.stdout if code == 0 else finished.stdout + finished.stderr


@pytest.fixture
def ctl(broker):
    """Runs leveretctl over the Unix socket."""
    program = str(pathlib.Path(os.environ["LEVERET_BIN"]).with_name("leveretctl"))
    return lambda *words, code=0: run([program, "--data-dir", broker.data_dir, *words], code)


def test_a_user_who_is_added_may_do_what_is_granted(broker, ctl):
    ctl("add_vhost", "orders")
    ctl("add_user", "ann", "secret")
    ctl("set_permissions", "-p", "orders", "ann", "^ann", ".*", ".*")
    assert "ann\t[]" in ctl("list_users")
    assert ctl("-q", "list_permissions", "-p", "orders") == (
        "user\tconfigure\twrite\tread\nann\t^ann\t.*\t.*\n"
    )
    with broker.connect("ann", "secret", "orders") as connection:
        channel = connection.channel()
        channel.queue_declare("ann.queue", durable=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.queue_declare("bob.queue")
        assert refused.value.reply_code == 403
    assert "Success" in ctl("authenticate_user", "ann", "secret")
    ctl("authenticate_user", "ann", "wrong", code=65)
    ctl("delete_user", "ann")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        broker.connect("ann", "secret", "orders")
    ctl("delete_vhost", "orders")
    assert "orders" not in ctl("list_vhosts")


def test_queues_are_shown_as_rabbitmqctl_shows_them(broker, ctl, tmp_path):
    ctl("set_policy", "short", "^shown", '{"max-length": 3}', "--apply-to", "queues")
    with broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("shown", durable=True)
        channel.confirm_delivery()
        for _ in range(5):
            channel.basic_publish("", "shown", b"m")
        assert channel.basic_get("shown")[0]
        columns = ["name", "messages_ready", "messages_unacknowledged", "policy"]
        assert "shown\t2\t1\tshort\n" in ctl("-q", "list_queues", *columns)
        assert "guest" in ctl("-q", "list_connections", "user")
    by_rabbits_name = tmp_path / "rabbitmqctl"
    by_rabbits_name.symlink_to(pathlib.Path(os.environ["LEVERET_BIN"]).with_name("leveretctl"))
    command = [str(by_rabbits_name), "--data-dir", broker.data_dir, "list_queues", "name", "messages"]
    shown = run([*command, "--formatter", "json", "-q"])
    assert {"name": "shown", "messages": 3} in json.loads(shown)
    ctl("purge_queue", "shown")
    ctl("delete_queue", "shown")
    ctl("clear_policy", "short")
    ctl("list_nonsense", code=64)


def test_definitions_move_from_one_broker_to_another(broker, ctl, tmp_path):
    file = tmp_path / "definitions.json"
    ctl("declare", "queue", "name=moves", "durable=true")
    ctl("export_definitions", str(file))
    ctl("delete_queue", "moves")
    ctl("import_definitions", str(file))
    assert "moves" in ctl("-q", "list_queues", "name")
    ctl("delete_queue", "moves")
