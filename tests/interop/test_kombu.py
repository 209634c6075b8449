"""The same broker through kombu (over py-amqp), the messaging library below Celery."""

import socket
import threading

import kombu
import pytest
from amqp.exceptions import MessageNacked, NotFound, PreconditionFailed
from kombu.common import Broadcast
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.simple import SimpleQueue

EVENT_TIMEOUT_S = 15
CONFIRMS = {"confirm_publish": True}


@pytest.fixture
def open_kombu(uri):
    """Opens kombu connections, closed at the end."""
    opened = []

    def open_one(address=uri, **options):
        connection = kombu.Connection(address, **options)
        connection.connect()
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.release()


@pytest.fixture
def kombu_connection(open_kombu):
    """One kombu connection whose publishes wait for their confirms."""
    return open_kombu(transport_options=CONFIRMS)


@pytest.fixture
def declare(kombu_connection, name):
    """Declares queues (durable unless told otherwise), deleted at the end."""
    made = []

    def declare_one(part="q", **options):
        queue = kombu.Queue(name(part), **options)(kombu_connection.default_channel)
        queue.declare()
        made.append(queue)
        return queue

    yield declare_one
    for queue in made:
        queue(kombu_connection.channel()).delete()


def publish(connection, queue, bodies, **options):
    """Publishes to one queue through the default exchange, on a channel of its own."""
    with connection.channel() as channel:
        producer = kombu.Producer(channel)
        for body in bodies:
            producer.publish(body, routing_key=queue.name, **options)


def consume(connection, queue, count, channel=None, each=None, **options):
    """The next `count` messages of a consumer that is cancelled afterwards."""
    seen = []

    def on_message(message):
        seen.append(message)
        if each:
            each(message)

    consumer = kombu.Consumer(
        channel or connection.channel(), [queue], on_message=on_message, **options
    )
    with consumer:
        while len(seen) < count:
            connection.drain_events(timeout=EVENT_TIMEOUT_S)
    return seen


def payloads(messages):
    """What the messages say, decoded."""
    return [message.payload for message in messages]


def drain(queue):
    """Gets and acks everything that is ready."""
    found = []
    while (message := queue.get(no_ack=True)) is not None:
        found.append(message.payload)
    return found


# The simple interface.


def test_simple_queue(kombu_connection, name):
    simple = kombu_connection.SimpleQueue(name("q"))
    for number in range(5):
        simple.put({"number": number}, priority=number)
    assert simple.qsize() == 5
    first = simple.get(timeout=EVENT_TIMEOUT_S)
    assert first.payload == {"number": 0}
    first.ack()
    again = simple.get(timeout=EVENT_TIMEOUT_S)
    again.requeue()
    # The consumer holds 2, 3 and 4 already, so that what went back comes after them.
    rest = [simple.get(timeout=EVENT_TIMEOUT_S) for _ in range(4)]
    assert [message.payload["number"] for message in rest] == [2, 3, 4, 1]
    assert [message.delivery_info["redelivered"] for message in rest] == [False] * 3 + [True]
    rest.pop().reject()
    for message in rest:
        message.ack()
    with pytest.raises(SimpleQueue.Empty):
        simple.get_nowait()
    assert simple.qsize() == 0
    simple.close()
    simple.queue.delete()


def test_simple_queue_clear(kombu_connection, name):
    with kombu_connection.SimpleQueue(name("q")) as simple:
        for number in range(7):
            simple.put(number)
        assert simple.clear() == 7
        assert simple.qsize() == 0
    simple.queue.delete()


def test_simple_buffer_is_gone_with_its_consumer(kombu_connection, open_kombu, name):
    buffer = kombu_connection.SimpleBuffer(name("b"))
    buffer.put("a")
    buffer.put("b")
    assert buffer.get(timeout=EVENT_TIMEOUT_S).payload == "a"
    assert buffer.get(timeout=EVENT_TIMEOUT_S).payload == "b"
    buffer.close()
    with pytest.raises(NotFound):
        kombu.Queue(name("b"))(open_kombu().default_channel).queue_declare(passive=True)


# Producers.


def test_publish_with_confirms_and_consume(kombu_connection, declare):
    queue = declare()
    publish(kombu_connection, queue, range(50))
    assert queue.queue_declare(passive=True).message_count == 50
    assert payloads(consume(kombu_connection, queue, 50, no_ack=True)) == list(range(50))


def test_a_refused_publish_is_nacked(kombu_connection, declare):
    queue = declare(max_length=2, queue_arguments={"x-overflow": "reject-publish"})
    publish(kombu_connection, queue, ["a", "b"])
    with pytest.raises(MessageNacked):
        publish(kombu_connection, queue, ["c"])
    assert drain(queue) == ["a", "b"]


@pytest.mark.parametrize("confirms", [CONFIRMS, {}])
def test_a_mandatory_unroutable_message_comes_back(open_kombu, name, confirms):
    connection = open_kombu(transport_options=confirms)
    returned = []

    def on_return(_error, _exchange, _routing_key, message):
        returned.append(message.body)

    producer = kombu.Producer(connection.default_channel, on_return=on_return)
    producer.publish("lost", routing_key=name("nowhere"), mandatory=True)
    while not returned:
        connection.drain_events(timeout=EVENT_TIMEOUT_S)
    assert returned == ["lost"]


def test_properties_serializers_and_compression(kombu_connection, declare):
    queue = declare()
    content = {"text": "Größe", "list": [1, 2.5, None, True]}
    for serializer, compression in (("json", None), ("pickle", "zlib"), ("json", "bzip2")):
        publish(
            kombu_connection, queue, [content],
            serializer=serializer, compression=compression, correlation_id="c", message_id="m",
            reply_to="r", priority=4, headers={"n": 2**40, "t": {"a": [1]}, "b": False},
            timestamp=1_714_979_289,
        )
        message = queue.get(accept=["json", "pickle"])
        assert message.payload == content
        assert (message.properties["correlation_id"], message.properties["reply_to"]) == ("c", "r")
        assert message.properties["priority"] == 4
        assert message.properties["delivery_mode"] == 2
        assert message.properties["timestamp"] == 1_714_979_289
        assert message.headers["n"] == 2**40 and message.headers["t"] == {"a": [1]}
        message.ack()


def test_a_large_message(kombu_connection, declare):
    queue = declare()
    body = bytes(range(256)) * 20_000
    publish(kombu_connection, queue, [body])
    message = queue.get()
    assert bytes(message.body) == body
    message.ack()


def test_publish_declares_what_it_needs(kombu_connection, name):
    exchange = kombu.Exchange(name("x"), "topic", durable=False)
    queue = kombu.Queue(name("q"), exchange, "a.#", durable=False)
    producer = kombu_connection.Producer(exchange=exchange)
    producer.publish("found", routing_key="a.b", declare=[queue])
    bound = queue(kombu_connection.default_channel)
    assert drain(bound) == ["found"]
    bound.delete()
    exchange(kombu_connection.default_channel).delete()


def test_a_publish_is_retried_until_the_broker_is_back(own_broker, open_kombu):
    connection = open_kombu(own_broker.uri, transport_options=CONFIRMS)
    queue = kombu.Queue("work")
    producer = kombu.Producer(connection)
    producer.publish("before", routing_key="work", declare=[queue])
    own_broker.kill()

    failures = []
    producer.publish(
        "after",
        routing_key="work",
        retry=True,
        retry_policy={
            "max_retries": 20,
            "interval_start": 0,
            "interval_step": 0.2,
            # The first failed attempt brings the broker back.
            "errback": lambda error, _interval: failures.append(error)
            or (len(failures) == 1 and own_broker.start_again()),
        },
    )
    assert failures
    assert drain(queue(connection.default_channel)) == ["before", "after"]


# Consumers.


def test_priorities(kombu_connection, declare):
    queue = declare(max_priority=10)
    for priority in (1, 9, 5, 9, 0, 255):
        publish(kombu_connection, queue, [f"p{priority}"], priority=priority)
    taken = payloads(consume(kombu_connection, queue, 6, no_ack=True, prefetch_count=1))
    # 255 counts as 10, the queue's highest.
    assert taken == ["p255", "p9", "p9", "p5", "p1", "p0"]


def test_prefetch_requeue_and_reject(kombu_connection, declare):
    queue = declare()
    publish(kombu_connection, queue, range(4))
    channel = kombu_connection.channel()
    held = consume(kombu_connection, queue, 2, channel, prefetch_count=2)
    # The consumer is cancelled; what it holds stays with the channel.
    assert payloads(held) == [0, 1]
    assert queue.queue_declare(passive=True).message_count == 2
    held[0].requeue()
    held[1].reject()
    assert payloads(consume(kombu_connection, queue, 3, no_ack=True)) == [0, 2, 3]
    channel.close()
    assert drain(queue) == []


def test_ack_of_all_before(kombu_connection, declare):
    queue = declare()
    publish(kombu_connection, queue, range(10))
    channel = kombu_connection.channel()
    held = consume(kombu_connection, queue, 10, channel)
    held[6].ack(multiple=True)
    channel.close()
    assert drain(queue) == [7, 8, 9]


def test_a_closed_channel_gives_back_its_messages(kombu_connection, declare):
    queue = declare()
    publish(kombu_connection, queue, range(3))
    channel = kombu_connection.channel()
    consume(kombu_connection, queue, 3, channel)
    assert queue.get() is None
    channel.close()
    messages = consume(kombu_connection, queue, 3, no_ack=True)
    assert payloads(messages) == [0, 1, 2]
    assert all(message.delivery_info["redelivered"] for message in messages)


def test_a_recovered_channel_delivers_again(kombu_connection, declare):
    queue = declare()
    publish(kombu_connection, queue, ["a", "b"])
    channel = kombu_connection.channel()
    seen = []
    consumer = kombu.Consumer(channel, [queue], on_message=seen.append)
    consumer.consume()
    while len(seen) < 2:
        kombu_connection.drain_events(timeout=EVENT_TIMEOUT_S)
    consumer.recover(requeue=True)
    while len(seen) < 4:
        kombu_connection.drain_events(timeout=EVENT_TIMEOUT_S)
    assert payloads(seen) == ["a", "b", "a", "b"]
    channel.close()


def test_consumer_priority(kombu_connection, declare):
    """The consumer with the higher priority gets everything while it has credit."""
    queue = declare()
    high = kombu.Queue(queue.name, consumer_arguments={"x-priority": 10}, no_declare=True)
    low = kombu.Queue(queue.name, consumer_arguments={"x-priority": -1}, no_declare=True)
    seen = []
    with kombu.Consumer(
        kombu_connection.channel(), [low], no_ack=True,
        on_message=lambda message: seen.append(("low", message.payload)),
    ), kombu.Consumer(
        kombu_connection.channel(), [high], prefetch_count=3,
        on_message=lambda message: seen.append(("high", message.payload)),
    ):
        publish(kombu_connection, queue, range(5))
        while len(seen) < 5:
            kombu_connection.drain_events(timeout=EVENT_TIMEOUT_S)
    assert sorted(seen) == [("high", 0), ("high", 1), ("high", 2), ("low", 3), ("low", 4)]


def test_a_deleted_queue_cancels_its_consumer(kombu_connection, open_kombu, name):
    queue = kombu.Queue(name("q"))
    consumer = kombu.Consumer(kombu_connection.channel(), [queue])
    consumer.consume()
    queue(open_kombu().default_channel).delete()
    with pytest.raises(kombu_connection.connection_errors + kombu_connection.channel_errors):
        kombu_connection.drain_events(timeout=EVENT_TIMEOUT_S)


# Exchanges, bindings and queue options.


def test_topic_and_exchange_bindings(kombu_connection, declare, name):
    channel = kombu_connection.default_channel
    source = kombu.Exchange(name("source"), "topic")(channel)
    middle = kombu.Exchange(name("middle"), "fanout")(channel)
    source.declare()
    middle.declare()
    middle.bind_to(source, "a.*")
    queue = declare(exchange=middle)
    producer = kombu.Producer(channel, exchange=source)
    for key in ("a.b", "b.b", "a.b.c", "a."):
        producer.publish(key, routing_key=key)
    assert drain(queue) == ["a.b", "a."]
    middle.unbind_from(source, "a.*")
    producer.publish("none", routing_key="a.b")
    assert drain(queue) == []
    source.delete()
    middle.delete()


def test_headers_exchange(kombu_connection, declare, name):
    exchange = kombu.Exchange(name("x"), "headers")(kombu_connection.default_channel)
    exchange.declare()
    both = declare("all", exchange=exchange,
                   binding_arguments={"x-match": "all", "a": 1, "b": "x"})
    any_of = declare("any", exchange=exchange,
                     binding_arguments={"x-match": "any", "a": 1, "b": "x"})
    producer = kombu.Producer(kombu_connection.default_channel, exchange=exchange)
    for headers in ({"a": 1, "b": "x"}, {"a": 1}, {"b": "y"}, {"c": 1}):
        producer.publish(sorted(headers), headers=headers)
    assert drain(both) == [["a", "b"]]
    assert drain(any_of) == [["a", "b"], ["a"]]
    exchange.delete()


def test_broadcast_reaches_everyone(kombu_connection, open_kombu, name):
    seen = []
    exchange = name("all")
    consumers = []
    for number in range(3):
        connection = open_kombu()
        queue = Broadcast(exchange)
        consumer = kombu.Consumer(
            connection.channel(), [queue], no_ack=True,
            on_message=lambda message, number=number: seen.append((number, message.payload)),
        )
        consumer.consume()
        consumers.append(connection)
    kombu_connection.Producer(exchange=kombu.Exchange(exchange, "fanout")).publish("hello")
    for connection in consumers:
        connection.drain_events(timeout=EVENT_TIMEOUT_S)
    assert sorted(seen) == [(0, "hello"), (1, "hello"), (2, "hello")]
    kombu.Exchange(exchange, "fanout")(kombu_connection.default_channel).delete()


def test_expired_messages_go_to_the_dead_letter_exchange(kombu_connection, declare, name):
    channel = kombu_connection.default_channel
    exchange = kombu.Exchange(name("dlx"), "fanout")(channel)
    exchange.declare()
    graves = declare("dead", exchange=exchange)
    queue = declare(queue_arguments={"x-dead-letter-exchange": exchange.name})
    publish(kombu_connection, queue, ["short"], expiration=0.05)
    [dead] = consume(kombu_connection, graves, 1, no_ack=True)
    assert dead.payload == "short"
    death = dead.headers["x-death"][0]
    assert (death["reason"], death["queue"], death["count"]) == ("expired", queue.name, 1)
    assert death["original-expiration"] == "50"
    assert "expiration" not in dead.properties
    exchange.delete()


def test_queue_options(kombu_connection, declare):
    options = {"message_ttl": 60.0, "expires": 60.0, "max_length_bytes": 1000}
    queue = declare(max_length=2, **options)
    publish(kombu_connection, queue, range(5))
    assert drain(queue) == [3, 4]
    other = kombu.Queue(queue.name, max_length=3, **options)(kombu_connection.channel())
    with pytest.raises(PreconditionFailed) as error:
        other.queue_declare()
    assert "inequivalent arg 'x-max-length'" in str(error.value)


def test_an_expiring_queue_goes_away(kombu_connection, open_kombu, declare, name):
    queue = kombu.Queue(name("unused"), expires=0.1)(kombu_connection.default_channel)
    queue.declare()
    # The broker is also the clock: this message dies after the other queue's time is up.
    graves = declare("dead")
    slow = declare(
        "slow",
        message_ttl=0.5,
        queue_arguments={
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": graves.name,
        },
    )
    publish(kombu_connection, slow, ["tick"])
    consume(kombu_connection, graves, 1, no_ack=True)
    with pytest.raises(NotFound):
        queue(open_kombu().default_channel).queue_declare(passive=True)


# Programs built on kombu.


class Server(ConsumerProducerMixin):
    """Answers each request on the queue that it names."""

    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.ready = threading.Event()

    def get_consumers(self, consumer_class, _channel):
        """Called again after each reconnect."""
        return [consumer_class([self.queue], on_message=self.on_request, prefetch_count=1)]

    def on_consume_ready(self, _connection, _channel, _consumers, **_options):
        """The consumer is there."""
        self.ready.set()

    def on_request(self, message):
        """Doubles the number in the request."""
        self.producer.publish(
            message.payload * 2,
            exchange="",
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
        )
        message.ack()
        if message.payload == 0:
            self.should_stop = True


@pytest.mark.parametrize("reply_to", ["exclusive queue", "amq.rabbitmq.reply-to"])
def test_remote_calls(uri, open_kombu, declare, name, reply_to):
    server = Server(kombu.Connection(uri), declare())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = open_kombu()
    if reply_to == "exclusive queue":
        replies = kombu.Queue(name("replies"), exclusive=True, auto_delete=True)
    else:
        replies = kombu.Queue(reply_to, no_declare=True)
    answers = {}
    with kombu.Consumer(
        client.default_channel, [replies], no_ack=True,
        on_message=lambda m: answers.update({m.properties["correlation_id"]: m.payload}),
    ):
        producer = kombu.Producer(client.default_channel)
        for number in (3, 21, 0):
            producer.publish(number, routing_key=server.queue.name, reply_to=replies.name,
                             correlation_id=str(number))
        while len(answers) < 3:
            client.drain_events(timeout=EVENT_TIMEOUT_S)
    assert answers == {"3": 6, "21": 42, "0": 0}
    thread.join(EVENT_TIMEOUT_S)
    assert not thread.is_alive()


class Collector(ConsumerMixin):
    """Collects numbers, and reconnects by itself when the connection is lost."""

    def __init__(self, connection, queue, last):
        self.connection = connection
        self.queue = queue
        self.last = last
        self.seen = []
        self.started = threading.Semaphore(0)

    def get_consumers(self, consumer_class, _channel):
        """Called again after each reconnect."""
        return [consumer_class([self.queue], on_message=self.on_message)]

    def on_consume_ready(self, _connection, _channel, _consumers, **_options):
        """The consumer is there, once more."""
        self.started.release()

    def on_message(self, message):
        """Acks and remembers."""
        message.ack()
        self.seen.append(message.payload)
        if message.payload == self.last:
            self.should_stop = True


def test_a_consumer_program_survives_a_kill_of_the_broker(own_broker):
    queue = kombu.Queue("work")
    collector = Collector(kombu.Connection(own_broker.uri, heartbeat=5), queue, last=19)
    thread = threading.Thread(target=collector.run, daemon=True)
    thread.start()
    assert collector.started.acquire(timeout=EVENT_TIMEOUT_S)
    with kombu.Connection(own_broker.uri, transport_options=CONFIRMS) as connection:
        publish(connection, queue, range(10))
    own_broker.kill()
    own_broker.start_again()
    assert collector.started.acquire(timeout=60)
    with kombu.Connection(own_broker.uri, transport_options=CONFIRMS) as connection:
        publish(connection, queue, range(10, 20))
    thread.join(EVENT_TIMEOUT_S)
    assert not thread.is_alive()
    # An ack that the kill overtook brings its message back; none may be missing.
    assert sorted(set(collector.seen)) == list(range(20))


# Heartbeats.


def test_heartbeats_keep_an_idle_connection(open_kombu):
    connection = open_kombu(heartbeat=1)
    # Three intervals without any other traffic than heartbeats.
    for _ in range(12):
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.25)
        connection.heartbeat_check(rate=2)
    assert connection.default_channel.queue_declare(exclusive=True).message_count == 0


def test_without_heartbeats_the_broker_closes_the_connection(open_kombu):
    connection = open_kombu(heartbeat=1)
    with pytest.raises(connection.connection_errors) as error:
        while True:
            connection.drain_events(timeout=EVENT_TIMEOUT_S)
    # The broker's own heartbeats kept coming, so that the wait itself did not end it.
    assert not isinstance(error.value, socket.timeout)
