"""Where the broker under test is, and what every test gets from it.

`LEVERET_URI` names a broker that runs already; otherwise `LEVERET_BIN` is started once for the
whole run, on a free port and a temporary data directory.
"""

import contextlib
import os
import re
import signal
import uuid

import pika
import pytest

from broker import Broker, free_port, own_binary, running

TEST_TIMEOUT_S = 90


@pytest.fixture(autouse=True)
def _time_limit():
    """No test may hang: the alarm interrupts whatever the main thread waits for."""

    def expired(_signal, _frame):
        raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def uri(tmp_path_factory):
    """The address of the broker under test."""
    if given := os.environ.get("LEVERET_URI"):
        yield given
        return
    binary = os.environ.get("LEVERET_BIN")
    if not binary:
        pytest.exit("set LEVERET_URI (a running broker) or LEVERET_BIN (the binary)", returncode=2)
    with running(Broker(binary, str(tmp_path_factory.mktemp("data")))) as broker:
        yield broker.uri


@pytest.fixture(scope="session")
def managed(tmp_path_factory):
    """A broker whose HTTP API has a port, for the tools that talk to it."""
    binary, data = own_binary(), str(tmp_path_factory.mktemp("data"))
    with running(Broker(binary, data, management_port=free_port())) as broker:
        yield broker


@pytest.fixture
def own_broker(tmp_path):
    """A broker of the test's own, to be killed; only where the binary is known."""
    broker = Broker(own_binary(), str(tmp_path / "data")).start()
    yield broker
    broker.kill()


@pytest.fixture
def connect(uri):
    """Opens pika connections; those still open at the end are closed."""
    opened = []

    def open_one(**changes):
        parameters = pika.URLParameters(uri)
        parameters.blocked_connection_timeout = 30
        for name, value in changes.items():
            setattr(parameters, name, value)
        connection = pika.BlockingConnection(parameters)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        if connection.is_open:
            # The broker may have closed it meanwhile, as some tests want it to.
            with contextlib.suppress(pika.exceptions.AMQPConnectionError):
                connection.close()


@pytest.fixture
def connection(connect):
    """One pika connection."""
    return connect()


@pytest.fixture
def channel(connection):
    """One pika channel."""
    return connection.channel()


@pytest.fixture
def name(request):
    """Makes names that no other test and no earlier run used."""
    # rabbitpy refuses brackets in names, though the broker would not.
    stem = re.sub(r"[^\w.-]", "_", request.node.name.removeprefix("test_"))[:60]
    run = uuid.uuid4().hex[:8]

    def make(part):
        return f"{stem}.{run}.{part}"

    return make


@pytest.fixture
def durable_queue(connect, name):
    """Declares durable queues and deletes them at the end."""
    made = []

    def declare(channel, part="queue", **options):
        queue = name(part)
        made.append(queue)
        channel.queue_declare(queue, durable=True, **options)
        return queue

    yield declare
    if made:
        cleaner = connect().channel()
        for queue in made:
            cleaner.queue_delete(queue)
