"""The same broker through rabbitpy, a client with an I/O thread of its own."""

import pytest
import rabbitpy
from rabbitpy import exceptions

from rabbits import channel, drain, publish, queue, rabbit  # noqa: F401 (fixtures)


def test_server_properties_name_the_capabilities(rabbit):
    for capability in (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ):
        assert rabbit.capabilities[capability] is True, capability


def test_publish_with_confirm_and_get(rabbit, channel, queue):
    sent = publish(rabbit, queue, 10)
    assert len(queue) == 10
    for body in sent:
        message = queue.get()
        assert message.body == body
        assert message.properties["delivery_mode"] == 2
        assert not message.redelivered
        message.ack()
    assert queue.get() is None


def test_properties_survive(channel, queue):
    properties = {
        "content_type": "text/plain",
        "headers": {"number": 5, "text": "x", "flag": True, "list": [1, 2], "table": {"a": "b"}},
        "priority": 3,
        "correlation_id": "c",
        "message_id": "m",
        "app_id": "interop",
    }
    rabbitpy.Message(channel, "Übergröße", dict(properties)).publish("", queue.name)
    message = queue.get()
    assert message.body.decode() == "Übergröße"
    for key, value in properties.items():
        assert message.properties[key] == value, key
    message.ack()


def test_exchange_and_binding(channel, name, queue):
    exchange = rabbitpy.TopicExchange(channel, name("x"))
    exchange.declare()
    queue.bind(exchange, "a.*")
    for key in ("a.b", "b.a", "a.c"):
        rabbitpy.Message(channel, key).publish(exchange, key)
    assert drain(queue) == [b"a.b", b"a.c"]
    queue.unbind(exchange, "a.*")
    rabbitpy.Message(channel, "none").publish(exchange, "a.b")
    assert drain(queue) == []
    exchange.delete()


def test_consume_and_ack_all_previous(rabbit, queue):
    sent = publish(rabbit, queue, 20)
    consuming = rabbit.channel()
    seen = []
    for message in rabbitpy.Queue(consuming, queue.name).consume(prefetch=20):
        seen.append(message.body)
        if len(seen) == 20:
            message.ack(all_previous=True)
            break
    assert seen == sent
    consuming.close()
    assert drain(queue) == []


def test_consume_without_acks(rabbit, queue):
    sent = publish(rabbit, queue, 5)
    consuming = rabbit.channel()
    seen = []
    for message in rabbitpy.Queue(consuming, queue.name).consume(no_ack=True):
        seen.append(message.body)
        if len(seen) == 5:
            break
    assert seen == sent
    consuming.close()
    assert drain(queue) == []


def test_reject_with_and_without_requeue(rabbit, queue):
    publish(rabbit, queue, 3)
    queue.get().reject(requeue=False)
    again = queue.get()
    assert again.body == b"m1"
    again.reject(requeue=True)
    message = queue.get()
    assert (message.redelivered, message.body) == (True, b"m1")
    message.nack(requeue=True)
    assert drain(queue) == [b"m1", b"m2"]


def test_unacked_messages_come_back_when_the_channel_closes(rabbit, queue):
    publish(rabbit, queue, 2)
    other = rabbit.channel()
    assert rabbitpy.Queue(other, queue.name).get().body == b"m0"
    other.close()
    message = queue.get()
    assert (message.redelivered, message.body) == (True, b"m0")
    message.ack()
    assert drain(queue) == [b"m1"]


def test_transaction_commit(rabbit, queue):
    working = rabbit.channel()
    with rabbitpy.Tx(working):
        rabbitpy.Message(working, "in the transaction").publish("", queue.name)
        assert rabbitpy.Queue(working, queue.name).get() is None
    assert drain(queue) == [b"in the transaction"]


def test_transaction_rollback(rabbit, queue):
    working = rabbit.channel()
    transaction = rabbitpy.Tx(working)
    transaction.select()
    rabbitpy.Message(working, "never").publish("", queue.name)
    transaction.rollback()
    assert drain(queue) == []


def test_mandatory_unroutable_message_comes_back(rabbit):
    channel = rabbit.channel()
    with pytest.raises(exceptions.MessageReturnedException) as error:
        rabbitpy.Message(channel, "lost").publish("amq.direct", "nobody bound this", mandatory=True)
        # The return is raised at the next wait for the broker.
        rabbitpy.Queue(channel, "", exclusive=True).declare()
    assert "312" in str(error.value) or "NO_ROUTE" in str(error.value)


def test_missing_queue_is_not_found(rabbit):
    channel = rabbit.channel()
    with pytest.raises(exceptions.AMQPNotFound):
        rabbitpy.Queue(channel, "no such queue").declare(passive=True)


def test_inequivalent_arguments_are_refused(rabbit, queue):
    channel = rabbit.channel()
    with pytest.raises(exceptions.AMQPPreconditionFailed):
        rabbitpy.Queue(channel, queue.name, durable=False).declare()


@pytest.mark.parametrize("size", [1, 131064, 131065, 131072, 300_000, 2_000_000])
def test_body_sizes(rabbit, queue, size):
    """rabbitpy fills frames to frame_max without counting the 8 bytes around the payload."""
    body = bytes(number % 251 for number in range(size))
    channel = rabbit.channel()
    channel.enable_publisher_confirms()
    assert rabbitpy.Message(channel, body).publish("", queue.name)
    message = queue.get()
    assert message.body == body
    message.ack()


def test_the_simple_interface(uri, name):
    queue = name("simple")
    address = uri + "?heartbeat=10"
    rabbitpy.create_queue(address, queue)
    rabbitpy.publish(address, routing_key=queue, body="simple", confirm=True)
    message = rabbitpy.get(address, queue)
    assert message.body == b"simple"
    rabbitpy.delete_queue(address, queue)
