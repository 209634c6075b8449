"""What was confirmed is there after the process was killed: the promise, seen from outside."""

import pika
import pytest

from helpers import drain

PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Publisher:
    """Publishes without waiting and notes which numbers the broker confirmed."""

    def __init__(self, uri, queue, stop_after):
        self.confirmed = set()
        self.queue = queue
        self.sent = 0
        self.stop_after = stop_after
        self.on_enough = None
        self.lost = False
        self.connection = pika.SelectConnection(
            pika.URLParameters(uri), on_open_callback=self.on_open, on_close_callback=self.on_close
        )

    def run(self, on_enough):
        """Runs until the connection is lost; calls `on_enough` once enough is confirmed."""
        self.on_enough = on_enough
        self.connection.ioloop.start()

    def on_open(self, connection):
        connection.channel(on_open_callback=self.on_channel)

    def on_channel(self, channel):
        self.channel = channel
        channel.confirm_delivery(self.on_confirm, callback=lambda _frame: self.publish_more())

    def on_close(self, connection, _reason):
        self.lost = True
        connection.ioloop.stop()

    def publish_more(self):
        while not self.lost and self.sent - len(self.confirmed) < 500:
            self.sent += 1
            self.channel.basic_publish("", self.queue, b"%d" % self.sent, PERSISTENT)

    def on_confirm(self, frame):
        method = frame.method
        assert isinstance(method, pika.spec.Basic.Ack)
        if method.multiple:
            low = method.delivery_tag
            while low > 1 and low - 1 not in self.confirmed:
                low -= 1
            self.confirmed.update(range(low, method.delivery_tag + 1))
        else:
            self.confirmed.add(method.delivery_tag)
        if self.on_enough and len(self.confirmed) >= self.stop_after:
            enough, self.on_enough = self.on_enough, None
            enough()
        self.publish_more()


@pytest.mark.parametrize("stop_after", [1, 1000, 5000])
def test_confirmed_messages_survive_a_kill_in_order(own_broker, stop_after):
    setup = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    setup.channel().queue_declare("work", durable=True)
    setup.close()

    publisher = Publisher(own_broker.uri, "work", stop_after)
    publisher.run(own_broker.kill)
    assert publisher.lost and len(publisher.confirmed) >= stop_after

    own_broker.start()
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    found = [int(body) for body in drain(connection.channel(), "work")]
    connection.close()
    missing = publisher.confirmed - set(found)
    assert not missing, f"{len(missing)} confirmed messages are gone, first {min(missing)}"
    # Nothing that was never sent, nothing twice, all of it in the order of publishing.
    assert found == sorted(set(found))
    assert found[-1] <= publisher.sent


def test_what_was_acked_before_a_clean_stop_stays_away(own_broker):
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.confirm_delivery()
    for number in range(100):
        channel.basic_publish("", "work", b"%d" % number, PERSISTENT)
        channel.basic_publish("", "work", b"transient %d" % number)
    for _ in range(100):
        channel.basic_ack(channel.basic_get("work")[0].delivery_tag)
    connection.close()
    assert own_broker.stop() == 0

    own_broker.start()
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    found = drain(connection.channel(), "work")
    connection.close()
    assert found == [b"%d" % number for number in range(50, 100)]


def test_definitions_survive_a_kill(own_broker):
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    channel = connection.channel()
    channel.exchange_declare("lasting", "topic", durable=True)
    channel.exchange_declare("passing", "topic", durable=False)
    channel.queue_declare("lasting", durable=True, arguments={"x-max-length": 5})
    channel.queue_declare("passing", durable=False)
    channel.queue_bind("lasting", "lasting", "a.#")
    own_broker.kill()

    own_broker.start()
    connection = pika.BlockingConnection(pika.URLParameters(own_broker.uri))
    channel = connection.channel()
    channel.exchange_declare("lasting", "topic", durable=True)
    channel.queue_declare("lasting", durable=True, arguments={"x-max-length": 5})
    channel.basic_publish("lasting", "a.b", b"routed")
    assert drain(channel, "lasting") == [b"routed"]
    for declare in ("exchange_declare", "queue_declare"):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
            getattr(connection.channel(), declare)("passing", passive=True)
        assert error.value.reply_code == 404
    connection.close()
