"""Exchanges and bindings with pika."""

import pika
import pytest

from helpers import drain


@pytest.fixture
def queues(channel, name):
    """Makes exclusive queues."""
    return lambda part: channel.queue_declare(name(part), exclusive=True).method.queue


@pytest.fixture
def exchanges(channel, name):
    """Makes exchanges and deletes them at the end."""
    made = []

    def declare(part, kind, **options):
        made.append(name(part))
        channel.exchange_declare(made[-1], kind, **options)
        return made[-1]

    yield declare
    if channel.is_open:
        for exchange in made:
            channel.exchange_delete(exchange)


def test_exchange_to_exchange_bindings(channel, exchanges, queues):
    source = exchanges("source", "topic")
    middle = exchanges("middle", "fanout")
    end = exchanges("end", "direct")
    channel.exchange_bind(middle, source, "a.#")
    channel.exchange_bind(end, middle)
    by_key, everything = queues("by_key"), queues("everything")
    channel.queue_bind(by_key, end, "a.b")
    channel.queue_bind(everything, middle)
    for key in ("a.b", "a.c", "b.a"):
        channel.basic_publish(source, key, key.encode())
    assert drain(channel, everything) == [b"a.b", b"a.c"]
    assert drain(channel, by_key) == [b"a.b"]

    channel.exchange_unbind(middle, source, "a.#")
    channel.basic_publish(source, "a.b", b"nobody")
    assert drain(channel, everything) == []


def test_cycle_of_exchanges_gives_one_copy(channel, exchanges, queues):
    one, two = exchanges("one", "fanout"), exchanges("two", "fanout")
    channel.exchange_bind(one, two)
    channel.exchange_bind(two, one)
    queue = queues("q")
    channel.queue_bind(queue, one)
    channel.queue_bind(queue, two)
    channel.basic_publish(one, "", b"once")
    assert drain(channel, queue) == [b"once"]


def test_headers_exchange(channel, exchanges, queues):
    exchange = exchanges("h", "headers")
    every, some = queues("all"), queues("any")
    wanted = {"format": "pdf", "pages": 3}
    channel.queue_bind(every, exchange, arguments={"x-match": "all", **wanted})
    channel.queue_bind(some, exchange, arguments={"x-match": "any", **wanted})
    for body, headers in [
        (b"both", {"format": "pdf", "pages": 3, "more": True}),
        (b"format", {"format": "pdf", "pages": 4}),
        (b"pages", {"pages": 3}),
        (b"type", {"pages": "3"}),
        (b"none", {}),
    ]:
        channel.basic_publish(exchange, "", body, pika.BasicProperties(headers=headers))
    channel.basic_publish(exchange, "", b"no headers at all")
    assert drain(channel, every) == [b"both"]
    assert drain(channel, some) == [b"both", b"format", b"pages"]


def test_two_bindings_to_one_queue_give_one_copy(channel, exchanges, queues):
    exchange = exchanges("t", "topic")
    queue = queues("q")
    for key in ("a.*", "#.b", "a.b"):
        channel.queue_bind(queue, exchange, key)
    channel.basic_publish(exchange, "a.b", b"once")
    assert drain(channel, queue) == [b"once"]


def test_alternate_exchange_takes_what_is_unroutable(channel, exchanges, queues):
    other = exchanges("other", "fanout")
    exchange = exchanges("d", "direct", arguments={"alternate-exchange": other})
    routed, rest = queues("routed"), queues("rest")
    channel.queue_bind(routed, exchange, "known")
    channel.queue_bind(rest, other)
    channel.confirm_delivery()
    channel.basic_publish(exchange, "known", b"1", mandatory=True)
    channel.basic_publish(exchange, "unknown", b"2", mandatory=True)
    assert drain(channel, routed) == [b"1"]
    assert drain(channel, rest) == [b"2"]


def test_cc_and_bcc_headers(channel, queues):
    to, copy, blind = queues("to"), queues("cc"), queues("bcc")
    properties = pika.BasicProperties(headers={"CC": [copy], "BCC": [blind]})
    channel.basic_publish("", to, b"letter", properties)
    for queue in (to, copy, blind):
        _, got, body = channel.basic_get(queue, auto_ack=True)
        assert body == b"letter"
        assert got.headers == {"CC": [copy]}


def test_predeclared_exchanges_are_there(channel):
    for exchange, kind in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ]:
        channel.exchange_declare(exchange, kind, durable=True)
        channel.exchange_declare(exchange, passive=True)


def test_dead_letter_exchange_gets_what_is_rejected(channel, exchanges, queues):
    exchange = exchanges("dlx", "fanout")
    graves = queues("graves")
    channel.queue_bind(graves, exchange)
    arguments = {"x-dead-letter-exchange": exchange}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.basic_publish("", queue, b"refused")
    channel.basic_reject(channel.basic_get(queue)[0].delivery_tag, requeue=False)
    for method, properties, body in channel.consume(graves, auto_ack=True, inactivity_timeout=15):
        assert body == b"refused"
        assert method.exchange == exchange
        (death,) = properties.headers["x-death"]
        assert death["reason"] == "rejected"
        assert death["queue"] == queue
        assert death["count"] == 1
        break
    channel.cancel()


def test_expired_messages_are_dead_lettered(channel, exchanges, queues):
    exchange = exchanges("dlx", "fanout")
    graves = queues("graves")
    channel.queue_bind(graves, exchange)
    arguments = {"x-dead-letter-exchange": exchange, "x-message-ttl": 50}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.basic_publish("", queue, b"late")
    for _, properties, body in channel.consume(graves, auto_ack=True, inactivity_timeout=15):
        assert body == b"late"
        assert properties.headers["x-death"][0]["reason"] == "expired"
        break
    channel.cancel()
    assert drain(channel, queue) == []
