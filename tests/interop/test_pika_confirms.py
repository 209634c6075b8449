"""Publisher confirms with pika: the blocking adapter and the asynchronous one."""

import pika
import pytest

from helpers import drain, expect_ready

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def test_blocking_publisher_waits_for_each_confirm(channel, durable_queue):
    queue = durable_queue(channel)
    channel.confirm_delivery()
    sent = [f"message {number}".encode() for number in range(50)]
    for body in sent:
        channel.basic_publish("", queue, body, PERSISTENT, mandatory=True)
    expect_ready(channel, queue, 50)
    assert drain(channel, queue) == sent


def test_mandatory_unroutable_message_comes_back(channel):
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as error:
        channel.basic_publish("amq.direct", "nobody.bound.this", b"lost", mandatory=True)
    (returned,) = error.value.messages
    assert returned.method.reply_code == 312
    assert returned.method.reply_text == "NO_ROUTE"
    assert returned.method.exchange == "amq.direct"
    assert returned.method.routing_key == "nobody.bound.this"
    assert returned.body == b"lost"
    # Not mandatory: confirmed and gone.
    channel.basic_publish("amq.direct", "nobody.bound.this", b"lost")
    assert channel.is_open


def test_mandatory_routable_message_does_not_come_back(channel, name):
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"kept", mandatory=True)
    assert drain(channel, queue) == [b"kept"]


def test_refused_message_is_nacked(channel, name):
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = channel.queue_declare(name("q"), exclusive=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"first")
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", queue, b"second")
    assert drain(channel, queue) == [b"first"]


def test_publish_to_missing_exchange_closes_the_channel(channel):
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        channel.basic_publish("no such exchange", "key", b"lost")
    assert error.value.reply_code == 404
    assert error.value.reply_text == "NOT_FOUND - no exchange 'no such exchange' in vhost '/'"


class AsyncPublisher:
    """Publishes `count` messages with SelectConnection and notes what the broker confirms."""

    def __init__(self, uri, queue, count, body, mandatory_unroutable_every=0):
        self.queue = queue
        self.count = count
        self.body = body
        self.every = mandatory_unroutable_every
        self.acked = set()
        self.nacked = set()
        self.returned = []
        self.events = []
        self.highest = 0
        self.failure = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(uri),
            on_open_callback=self.on_open,
            on_open_error_callback=self.on_failure,
            on_close_callback=self.on_close,
        )

    def run(self):
        """Runs until everything is answered and the connection is closed."""
        self.connection.ioloop.start()
        if self.failure:
            raise self.failure

    def on_failure(self, _connection, error):
        self.failure = error
        self.connection.ioloop.stop()

    def on_close(self, _connection, reason):
        if not isinstance(reason, pika.exceptions.ConnectionClosedByClient):
            self.failure = reason
        self.connection.ioloop.stop()

    def on_open(self, connection):
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel):
        self.channel = channel
        channel.add_on_return_callback(self.on_return)
        channel.add_on_close_callback(self.on_channel_closed)
        channel.confirm_delivery(self.on_confirm, callback=self.on_select_ok)

    def on_channel_closed(self, _channel, reason):
        if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            self.failure = reason
            self.connection.close()

    def on_select_ok(self, _frame):
        for number in range(1, self.count + 1):
            lost = self.every and number % self.every == 0
            key = "nobody bound this" if lost else self.queue
            self.channel.basic_publish(
                "amq.direct" if lost else "",
                key,
                self.body(number),
                pika.BasicProperties(delivery_mode=2, message_id=str(number)),
                mandatory=True,
            )

    def on_return(self, _channel, _method, properties, _body):
        number = int(properties.message_id)
        self.returned.append(number)
        assert number not in self.acked, "the return came after the confirm"

    def on_confirm(self, frame):
        method = frame.method
        low = self.highest + 1 if method.multiple else method.delivery_tag
        tags = set(range(low, method.delivery_tag + 1)) - self.acked - self.nacked
        target = self.acked if isinstance(method, pika.spec.Basic.Ack) else self.nacked
        assert tags, f"{method} answers nothing that is open"
        target |= tags
        while self.highest + 1 in self.acked or self.highest + 1 in self.nacked:
            self.highest += 1
        if len(self.acked) + len(self.nacked) == self.count:
            self.connection.close()


def test_asynchronous_publisher_gets_every_confirm(uri, channel, durable_queue):
    queue = durable_queue(channel)
    publisher = AsyncPublisher(uri, queue, 2000, lambda number: str(number).encode())
    publisher.run()
    assert publisher.acked == set(range(1, 2001))
    assert not publisher.nacked and not publisher.returned
    assert drain(channel, queue) == [str(number).encode() for number in range(1, 2001)]


def test_asynchronous_publisher_gets_returns_before_confirms(uri, channel, durable_queue):
    queue = durable_queue(channel)
    publisher = AsyncPublisher(uri, queue, 200, lambda number: str(number).encode(), 10)
    publisher.run()
    assert publisher.acked == set(range(1, 201))
    assert publisher.returned == list(range(10, 201, 10))
    expected = [str(number).encode() for number in range(1, 201) if number % 10]
    assert drain(channel, queue) == expected
