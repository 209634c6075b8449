"""What pika reports when the broker refuses: the code, the text, and what stays open."""

import pika
import pytest

CLOSED = pika.exceptions.ChannelClosedByBroker


def refused(error, code, text):
    """Checks a channel error's code and the beginning of its text."""
    assert error.value.reply_code == code
    assert error.value.reply_text.startswith(text), error.value.reply_text


def test_passive_declare_of_a_missing_queue(connection, channel):
    with pytest.raises(CLOSED) as error:
        channel.queue_declare("no such queue", passive=True)
    refused(error, 404, "NOT_FOUND - no queue 'no such queue' in vhost '/'")
    assert connection.is_open
    connection.channel().queue_declare("", exclusive=True)


def test_passive_declare_of_a_missing_exchange(channel):
    with pytest.raises(CLOSED) as error:
        channel.exchange_declare("no such exchange", passive=True)
    refused(error, 404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'")


def test_consuming_from_a_missing_queue(channel):
    with pytest.raises(CLOSED) as error:
        channel.basic_consume("no such queue", lambda *_: None)
    refused(error, 404, "NOT_FOUND - no queue 'no such queue' in vhost '/'")


def test_binding_to_a_missing_exchange(channel, name):
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    with pytest.raises(CLOSED) as error:
        channel.queue_bind(queue, "no such exchange", "key")
    refused(error, 404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'")


def test_queue_declared_again_with_another_durability(connection, channel, name):
    queue = name("q")
    channel.queue_declare(queue, durable=False)
    with pytest.raises(CLOSED) as error:
        channel.queue_declare(queue, durable=True)
    refused(
        error,
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': "
        "received 'true' but current is 'false'",
    )
    connection.channel().queue_delete(queue)


def test_queue_declared_again_with_another_argument(connection, channel, name):
    queue = name("q")
    channel.queue_declare(queue)
    with pytest.raises(CLOSED) as error:
        channel.queue_declare(queue, arguments={"x-max-length": 3})
    refused(
        error,
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/'",
    )
    connection.channel().queue_delete(queue)


def test_exchange_declared_again_with_another_type(connection, channel, name):
    exchange = name("x")
    channel.exchange_declare(exchange, "direct")
    with pytest.raises(CLOSED) as error:
        channel.exchange_declare(exchange, "fanout")
    refused(
        error,
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': "
        "received 'fanout' but current is 'direct'",
    )
    connection.channel().exchange_delete(exchange)


def test_deleting_an_exchange_in_use(connection, channel, name):
    exchange = name("x")
    channel.exchange_declare(exchange, "direct")
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, "key")
    with pytest.raises(CLOSED) as error:
        channel.exchange_delete(exchange, if_unused=True)
    refused(error, 406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use")
    connection.channel().exchange_delete(exchange)


def test_deleting_a_queue_that_is_not_empty(connection, channel, name):
    queue = name("q")
    channel.queue_declare(queue)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"content")
    with pytest.raises(CLOSED) as error:
        channel.queue_delete(queue, if_empty=True)
    refused(error, 406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty")
    connection.channel().queue_delete(queue)


def test_exclusive_queue_of_another_connection(connect, name):
    queue = name("q")
    owner = connect().channel()
    owner.queue_declare(queue, exclusive=True)
    text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}'"
    other = connect()
    for attempt in (
        lambda channel: channel.queue_declare(queue, passive=True),
        lambda channel: channel.queue_declare(queue),
        lambda channel: channel.basic_get(queue),
        lambda channel: channel.basic_consume(queue, lambda *_: None),
        lambda channel: channel.queue_purge(queue),
        lambda channel: channel.queue_delete(queue),
        lambda channel: channel.queue_bind(queue, "amq.direct", "key"),
    ):
        with pytest.raises(CLOSED) as error:
            attempt(other.channel())
        refused(error, 405, text)
    assert owner.queue_declare(queue, passive=True).method.message_count == 0


def test_exclusive_consumer_locks_the_queue(connect, name):
    queue = name("q")
    one = connect().channel()
    one.queue_declare(queue, auto_delete=True)
    one.basic_consume(queue, lambda *_: None, exclusive=True)
    with pytest.raises(CLOSED) as error:
        connect().channel().basic_consume(queue, lambda *_: None)
    refused(error, 403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use")


def test_names_beginning_with_amq_are_reserved(connection):
    with pytest.raises(CLOSED) as error:
        connection.channel().queue_declare("amq.mine")
    refused(error, 403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
    with pytest.raises(CLOSED) as error:
        connection.channel().exchange_declare("amq.mine", "direct")
    refused(
        error, 403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    )


def test_wrong_password(connect):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as error:
        connect(credentials=pika.PlainCredentials("guest", "wrong"))
    assert "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN." in str(
        error.value
    )


def test_missing_vhost(connect):
    with pytest.raises(pika.exceptions.AMQPConnectionError) as error:
        connect(virtual_host="no such vhost")
    assert "no such vhost" in str(error.value)


def test_immediate_is_not_implemented(connection, channel, name):
    queue = channel.queue_declare(name("q"), exclusive=True).method.queue
    publish = pika.spec.Basic.Publish(exchange="", routing_key=queue, immediate=True)
    channel._impl._send_method(publish, (pika.BasicProperties(), b"now"))
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as error:
        channel.queue_declare(queue, passive=True)
    assert error.value.reply_code == 540
    assert not connection.is_open


def test_confirm_and_transaction_exclude_each_other(connection):
    channel = connection.channel()
    channel.tx_select()
    with pytest.raises(CLOSED) as error:
        channel.confirm_delivery()
    refused(error, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(CLOSED) as error:
        channel.tx_select()
    refused(error, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
