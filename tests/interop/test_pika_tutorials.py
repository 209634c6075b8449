"""The patterns that people learn from RabbitMQ's six tutorials, with pika."""

import subprocess
import sys
import uuid

import pika

from helpers import bodies, drain, expect_ready, pump_until, take


def test_hello_world(channel, name):
    queue = channel.queue_declare(name("hello"), auto_delete=True).method.queue
    channel.basic_publish("", queue, b"Hello World!")
    ((method, properties, body),) = take(channel, queue, 1, auto_ack=True)
    assert body == b"Hello World!"
    assert method.routing_key == queue
    assert method.exchange == ""
    assert not method.redelivered
    assert properties.headers is None


def test_work_queue_hands_one_task_at_a_time_to_each_worker(connect, durable_queue):
    boss = connect().channel()
    queue = durable_queue(boss)
    workers = [connect() for _ in range(2)]
    held = {0: [], 1: []}
    channels = []
    for number, connection in enumerate(workers):
        worker = connection.channel()
        worker.basic_qos(prefetch_count=1)

        def on_task(_channel, method, _properties, body, number=number):
            held[number].append((method.delivery_tag, body))

        worker.basic_consume(queue, on_task)
        channels.append(worker)

    persistent = pika.BasicProperties(delivery_mode=2)
    for task in range(6):
        boss.basic_publish("", queue, f"task {task}".encode(), persistent)

    done = []
    for _ in range(3):
        for number in (0, 1):
            pump_until(workers[number], lambda n=number: held[n])
            # prefetch 1: never a second task before the first is acked.
            assert len(held[number]) == 1
        for number in (0, 1):
            tag, body = held[number].pop()
            done.append(body)
            channels[number].basic_ack(tag)
    assert sorted(done) == [f"task {task}".encode() for task in range(6)]
    for connection in workers:
        connection.close()
    expect_ready(boss, queue, 0)


# Takes one task, says so and never acks it.
DYING_WORKER = """
import pika, sys
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.basic_qos(prefetch_count=1)
def on_task(channel, method, properties, body):
    print(body.decode(), f"redelivered={method.redelivered}", flush=True)
channel.basic_consume(sys.argv[2], on_task)
channel.start_consuming()
"""


def test_task_of_a_worker_killed_in_the_middle_goes_to_another(uri, connect, durable_queue):
    boss = connect().channel()
    queue = durable_queue(boss)
    boss.basic_publish("", queue, b"hard work", pika.BasicProperties(delivery_mode=2))

    dying = subprocess.Popen(
        [sys.executable, "-c", DYING_WORKER, uri, queue], stdout=subprocess.PIPE, text=True
    )
    assert dying.stdout.readline() == "hard work redelivered=False\n"
    dying.kill()
    dying.wait()

    heir = connect().channel()
    ((method, properties, body),) = take(heir, queue, 1)
    assert body == b"hard work"
    assert method.redelivered
    assert properties.delivery_mode == 2
    heir.basic_ack(method.delivery_tag)
    assert drain(heir, queue) == []


def test_publish_subscribe_copies_to_every_subscriber(connect, name):
    publisher = connect().channel()
    logs = name("logs")
    publisher.exchange_declare(logs, "fanout", auto_delete=True)
    subscribers = []
    for _ in range(3):
        subscriber = connect().channel()
        queue = subscriber.queue_declare("", exclusive=True).method.queue
        assert queue.startswith("amq.gen-")
        subscriber.queue_bind(queue, logs)
        subscribers.append((subscriber, queue))
    assert len({queue for _, queue in subscribers}) == 3

    sent = [f"log {number}".encode() for number in range(20)]
    for line in sent:
        publisher.basic_publish(logs, "ignored", line)
    for subscriber, queue in subscribers:
        assert bodies(take(subscriber, queue, 20, auto_ack=True)) == sent


def test_exclusive_queue_goes_with_its_connection(connect):
    owner = connect()
    queue = owner.channel().queue_declare("", exclusive=True).method.queue
    owner.close()
    other = connect().channel()
    try:
        other.queue_declare(queue, passive=True)
        raise AssertionError("the exclusive queue outlived its connection")
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404


def test_routing_by_severity(connect, name):
    publisher = connect().channel()
    logs = name("direct_logs")
    publisher.exchange_declare(logs, "direct", auto_delete=True)
    receiver = connect().channel()
    errors = receiver.queue_declare("", exclusive=True).method.queue
    receiver.queue_bind(errors, logs, "error")
    everything = receiver.queue_declare("", exclusive=True).method.queue
    for severity in ("info", "warning", "error"):
        receiver.queue_bind(everything, logs, severity)

    for severity in ("info", "error", "debug", "warning", "error"):
        publisher.basic_publish(logs, severity, severity.encode())
    expected = [b"info", b"error", b"warning", b"error"]
    assert bodies(take(receiver, everything, 4, auto_ack=True)) == expected
    assert bodies(take(receiver, errors, 2, auto_ack=True)) == [b"error", b"error"]
    assert drain(receiver, errors) == [] and drain(receiver, everything) == []

    receiver.queue_unbind(everything, logs, "info")
    publisher.basic_publish(logs, "info", b"nobody")
    publisher.basic_publish(logs, "warning", b"somebody")
    assert bodies(take(receiver, everything, 1, auto_ack=True)) == [b"somebody"]


def test_topics_with_star_and_hash(connect, name):
    publisher = connect().channel()
    animals = name("topic_logs")
    publisher.exchange_declare(animals, "topic", auto_delete=True)
    receiver = connect().channel()
    patterns = {
        "orange": ["*.orange.*"],
        "rabbits": ["*.*.rabbit", "lazy.#"],
        "all": ["#"],
        "pairs": ["*.*"],
        "ends": ["#.fox"],
    }
    queues = {}
    for label, keys in patterns.items():
        queue = receiver.queue_declare("", exclusive=True).method.queue
        for key in keys:
            receiver.queue_bind(queue, animals, key)
        queues[label] = queue

    expected = {label: [] for label in patterns}
    for key, labels in [
        ("quick.orange.rabbit", "orange rabbits all"),
        ("lazy.orange.elephant", "orange rabbits all"),
        ("quick.orange.fox", "orange all ends"),
        ("lazy.brown.fox", "rabbits all ends"),
        ("lazy.pink.rabbit", "rabbits all"),
        ("quick.brown.fox", "all ends"),
        ("orange", "all"),
        ("quick.orange.male.rabbit", "all"),
        ("lazy.orange.male.rabbit", "rabbits all"),
        ("lazy", "rabbits all"),
        ("fox", "all ends"),
        ("red.fox", "all pairs ends"),
        ("", "all"),
    ]:
        publisher.basic_publish(animals, key, key.encode())
        for label in labels.split():
            expected[label].append(key.encode())
    # The publisher's channel has been served up to here, hence everything is routed.
    publisher.exchange_declare(animals, passive=True)
    for label, queue in queues.items():
        assert drain(receiver, queue) == expected[label], label


def test_remote_procedure_call(connect, name):
    server_connection = connect()
    server = server_connection.channel()
    calls = server.queue_declare(name("rpc_queue"), exclusive=False, auto_delete=True).method.queue
    server.basic_qos(prefetch_count=1)

    def on_request(channel, method, properties, body):
        answer = str(int(body) ** 2).encode()
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, answer, reply)
        channel.basic_ack(method.delivery_tag)

    server.basic_consume(calls, on_request)

    client_connection = connect()
    client = client_connection.channel()
    replies = client.queue_declare("", exclusive=True).method.queue
    answers = {}

    def on_reply(_channel, _method, properties, body):
        answers[properties.correlation_id] = int(body)

    client.basic_consume(replies, on_reply, auto_ack=True)
    expected = {}
    for number in range(10):
        ident = uuid.uuid4().hex
        expected[ident] = number * number
        ask = pika.BasicProperties(reply_to=replies, correlation_id=ident)
        client.basic_publish("", calls, str(number).encode(), ask)
    while answers != expected:
        server_connection.process_data_events(time_limit=0.05)
        client_connection.process_data_events(time_limit=0.05)


def test_remote_procedure_call_with_direct_reply_to(connect, name):
    server = connect().channel()
    calls = server.queue_declare(name("rpc_queue"), auto_delete=True).method.queue
    client_connection = connect()
    client = client_connection.channel()
    answers = []
    client.basic_consume(
        "amq.rabbitmq.reply-to", lambda *delivery: answers.append(delivery), auto_ack=True
    )
    ask = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="c1")
    client.basic_publish("", calls, b"ping", ask)
    ((method, properties, body),) = take(server, calls, 1)
    assert body == b"ping"
    assert properties.reply_to.startswith("amq.rabbitmq.reply-to.")
    reply = pika.BasicProperties(correlation_id=properties.correlation_id)
    server.basic_publish("", properties.reply_to, b"pong", reply)
    server.basic_ack(method.delivery_tag)
    pump_until(client_connection, lambda: answers)
    _, _, properties, body = answers[0]
    assert (properties.correlation_id, body) == ("c1", b"pong")
