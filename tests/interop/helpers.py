"""What several tests do with a pika channel."""

import time

EVENT_TIMEOUT_S = 15


def take(channel, queue, count, **options):
    """The next `count` deliveries of a consumer on `queue`, as (method, properties, body).

    The consumer is cancelled afterwards; with manual acks the messages stay unacked.
    """
    taken = []
    for delivery in channel.consume(queue, inactivity_timeout=EVENT_TIMEOUT_S, **options):
        if delivery[0] is None:
            break
        taken.append(delivery)
        if len(taken) == count:
            break
    channel.cancel()
    assert len(taken) == count, f"{len(taken)} deliveries instead of {count}"
    return taken


def bodies(deliveries):
    """The bodies of what `take` returned."""
    return [body for _, _, body in deliveries]


def pump_until(connection, done):
    """Lets pika work on events until `done()` is true."""
    deadline = time.monotonic() + EVENT_TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        connection.process_data_events(time_limit=0.2)


def ready(channel, queue):
    """The number of ready messages, as a passive declare reports it."""
    return channel.queue_declare(queue, passive=True).method.message_count


def expect_ready(channel, queue, count):
    """Waits for `count` ready messages.

    RabbitMQ lets a declare overtake the publishes and acks before it, so the first answer may be
    early there.
    """
    deadline = time.monotonic() + EVENT_TIMEOUT_S
    while (found := ready(channel, queue)) != count:
        assert time.monotonic() < deadline, f"{found} ready messages instead of {count}"


def fill(channel, queue, count):
    """Publishes `count` numbered messages; they are in the queue on return."""
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    sent = [f"m{number}".encode() for number in range(count)]
    for body in sent:
        publisher.basic_publish("", queue, body)
    publisher.close()
    return sent


def drain(channel, queue):
    """Takes and acks everything that is ready, by basic.get; the bodies in order."""
    found = []
    while True:
        _, _, body = channel.basic_get(queue, auto_ack=True)
        if body is None:
            return found
        found.append(body)
