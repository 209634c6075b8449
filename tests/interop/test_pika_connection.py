"""Connections with pika: heartbeats, many channels, large messages, many connections."""

import hashlib
import threading
import time

import pika
import pytest

from helpers import drain, fill, pump_until, take


@pytest.fixture
def queue(channel, name):
    return channel.queue_declare(name("q"), exclusive=True).method.queue


def test_connection_with_a_short_heartbeat_survives_idleness(connect, name):
    connection = connect(heartbeat=1)
    channel = connection.channel()
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    # Four intervals without a method in either direction: both sides live on heartbeats alone.
    until = time.monotonic() + 4.2
    while time.monotonic() < until:
        connection.process_data_events(time_limit=0.3)
    fill(channel, queue, 1)
    assert drain(channel, queue) == [b"m0"]


def test_broker_closes_a_connection_whose_heartbeats_stop(connect, name):
    connection = connect(heartbeat=1)
    queue = connection.channel().queue_declare(name("q"), exclusive=True).method.queue
    # Nobody serves `connection` any more; its exclusive queue tells when the broker gave it up.
    watching = connect()
    deadline = time.monotonic() + 20
    code = 405
    while code == 405:
        assert time.monotonic() < deadline, "the silent connection is still there"
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
            watching.channel().queue_declare(queue, passive=True)
        code = error.value.reply_code
    assert code == 404


def test_connection_without_heartbeats(connect, name):
    connection = connect(heartbeat=0)
    assert connection._impl.params.heartbeat == 0
    channel = connection.channel()
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    fill(channel, queue, 3)
    assert len(drain(channel, queue)) == 3


@pytest.mark.parametrize("size", [100 * 1024, 10 * 1024 * 1024])
@pytest.mark.parametrize("delivery_mode", [1, 2])
def test_large_message_comes_back_whole(channel, durable_queue, size, delivery_mode):
    queue = durable_queue(channel)
    block = hashlib.sha256(str(size).encode()).digest()
    body = (block * (size // len(block) + 1))[: size - 7]
    channel.confirm_delivery()
    properties = pika.BasicProperties(delivery_mode=delivery_mode, headers={"size": len(body)})
    channel.basic_publish("", queue, body, properties)
    channel.basic_publish("", queue, b"small one behind it", properties)
    ((method, got, arrived), (_, _, behind)) = take(channel, queue, 2, auto_ack=True)
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(body).digest()
    assert len(arrived) == got.headers["size"]
    assert behind == b"small one behind it"
    assert drain(channel, queue) == []


@pytest.mark.parametrize("frame_max", [4096, 8192, 131072])
def test_bodies_around_the_frame_size(connect, name, frame_max):
    channel = connect(frame_max=frame_max).channel()
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    for size in (frame_max - 9, frame_max - 8, frame_max - 7, 2 * (frame_max - 8), frame_max * 3):
        body = bytes(number % 251 for number in range(size))
        channel.basic_publish("", queue, body)
        ((_, _, arrived),) = take(channel, queue, 1, auto_ack=True)
        assert arrived == body, size


def test_many_channels_on_one_connection(connect, name):
    connection = connect()
    channels = [connection.channel() for _ in range(200)]
    queue = channels[0].queue_declare(name("q"), exclusive=True).method.queue
    got = []
    for channel in channels:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(
            queue, lambda c, method, _p, body: (got.append(body), c.basic_ack(method.delivery_tag))
        )
    for number, channel in enumerate(channels):
        channel.basic_publish("", queue, b"%d" % number)
    pump_until(connection, lambda: len(got) == 200)
    assert sorted(int(body) for body in got) == list(range(200))
    for channel in channels[1:]:
        channel.close()
    # Numbers of closed channels can be used again.
    assert [connection.channel().channel_number for _ in range(3)]


def test_many_connections(connect, name):
    connections = [connect() for _ in range(40)]
    first = connections[0].channel()
    queue = first.queue_declare(name("q"), auto_delete=True).method.queue
    for number, connection in enumerate(connections):
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"%d" % number)
    assert drain(first, queue) == [b"%d" % number for number in range(40)]
    first.queue_delete(queue)


def test_publishers_and_consumers_at_once(uri, connect, name):
    """Four publishers against four consumers: each message arrives once, each publisher's in order."""
    queue = name("q")
    holder = connect().channel()
    holder.queue_declare(queue)
    count, publishers = 1000, 4
    failures = []

    def publish(number):
        try:
            connection = pika.BlockingConnection(pika.URLParameters(uri))
            channel = connection.channel()
            for sequence in range(count):
                channel.basic_publish("", queue, b"%d %d" % (number, sequence))
            connection.close()
        except Exception as error:  # the main thread reports it
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(publishers)]
    for thread in threads:
        thread.start()
    consumers = [connect() for _ in range(4)]
    got = [[] for _ in consumers]
    for index, connection in enumerate(consumers):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=50)

        def on_message(channel, method, _properties, body, index=index):
            got[index].append(tuple(map(int, body.split())))
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, on_message)
    deadline = time.monotonic() + 60
    while sum(map(len, got)) < count * publishers and not failures:
        assert time.monotonic() < deadline, f"{sum(map(len, got))} messages arrived"
        for connection in consumers:
            connection.process_data_events(time_limit=0.01)
    for thread in threads:
        thread.join()
    assert not failures
    assert len({pair for some in got for pair in some}) == count * publishers
    for some in got:
        for number in range(publishers):
            mine = [sequence for publisher, sequence in some if publisher == number]
            assert mine == sorted(mine)
    holder.queue_delete(queue)


def test_channel_closed_by_the_client_returns_its_messages(connection, channel, queue):
    fill(channel, queue, 3)
    other = connection.channel()
    take(other, queue, 2)
    other.close()
    method, _, body = channel.basic_get(queue, auto_ack=True)
    assert (method.redelivered, body) == (True, b"m0")
    assert drain(channel, queue) == [b"m1", b"m2"]
