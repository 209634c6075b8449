"""What the tests with rabbitpy share: fixtures, and what they do with a queue."""

import pytest
import rabbitpy


@pytest.fixture
def rabbit(uri):
    """One rabbitpy connection."""
    with rabbitpy.Connection(uri + "?heartbeat=10") as connection:
        yield connection


@pytest.fixture
def channel(rabbit):
    """One rabbitpy channel."""
    return rabbit.channel()


@pytest.fixture
def queue(channel, name):
    """A durable queue, deleted at the end."""
    queue = rabbitpy.Queue(channel, name("q"), durable=True)
    queue.declare()
    yield queue
    if channel.open:
        queue.delete()


def publish(rabbit, queue, count):
    """Publishes `count` numbered messages with confirms."""
    channel = rabbit.channel()
    channel.enable_publisher_confirms()
    sent = [b"m%d" % number for number in range(count)]
    for body in sent:
        message = rabbitpy.Message(channel, body, {"delivery_mode": 2})
        assert message.publish("", queue.name, mandatory=True)
    channel.close()
    return sent


def drain(queue):
    """Gets everything that is ready."""
    found = []
    while (message := queue.get(acknowledge=False)) is not None:
        found.append(message.body)
    return found
