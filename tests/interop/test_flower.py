"""Celery Flower's broker tab, which reads the HTTP API."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from broker import free_port

START_TIMEOUT_S = 30


def page(port, path):
    """A page of Flower's; `None` as long as it does not listen."""
    with contextlib.suppress(urllib.error.URLError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return answer.read().decode()
    return None


@pytest.fixture
def flower(managed, tmp_path):
    """Flower, on a vhost of the broker; yields what reads its pages."""
    port = free_port()

    @contextlib.contextmanager
    def start(vhost):
        broker = f"amqp://guest:guest@127.0.0.1:{managed.port}/{vhost}"
        api = managed.api.replace("//", "//guest:guest@") + "/"
        log = (tmp_path / "flower.log").open("w+")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", f"--broker={broker}", "flower"),
                *("--address=127.0.0.1", f"--port={port}", f"--broker-api={api}"),
            ],
            stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path,
            env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while page(port, "broker") is None:
                assert process.poll() is None and time.monotonic() < deadline, log.read()
                time.sleep(0.1)
            yield lambda path: page(port, path)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_TIMEOUT_S)
            log.close()

    return start


def figures(shown, queue):
    """What the table says of a queue: messages, unacknowledged, ready, consumers, idle since."""
    row = re.search(rf'<tr id="{queue}">(.*?)</tr>', shown, re.DOTALL)
    assert row, shown
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row.group(1), re.DOTALL)
    assert cells[0].strip() == queue
    return [cell.strip() for cell in cells[1:]]


@pytest.mark.parametrize("vhost", ["/", "flowers"])
def test_the_broker_tab_shows_a_queues_figures(managed, flower, vhost):
    if vhost != "/":
        managed.ask("PUT", f"vhosts/{vhost}")
        granted = {"configure": ".*", "write": ".*", "read": ".*"}
        managed.ask("PUT", f"permissions/{vhost}/guest", granted)
    with managed.connect(vhost=vhost) as connection:
        channel = connection.channel()
        channel.queue_declare("celery", durable=True)
        channel.confirm_delivery()
        for n in range(7):
            channel.basic_publish("", "celery", f"{n}".encode())
        channel.basic_qos(prefetch_count=2)
        channel.basic_consume("celery", lambda *_: None)
        connection.process_data_events(0)
        # A queue that is not Celery's is not its business.
        channel.queue_declare("other", durable=True)
        with flower(vhost) as read:
            shown = read("broker")
            messages, unacked, ready, consumers, _ = figures(shown, "celery")
            assert (messages, unacked, ready, consumers) == ("7", "2", "5", "1")
            assert 'id="other"' not in shown
        channel.queue_delete("celery")
        channel.queue_delete("other")
    if vhost != "/":
        managed.ask("DELETE", f"vhosts/{vhost}")
