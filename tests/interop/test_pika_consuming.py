"""Taking messages with pika: get, consume, ack, reject, nack, recover, prefetch, transactions."""

import pika
import pytest

from helpers import EVENT_TIMEOUT_S, bodies, drain, expect_ready, fill, pump_until, take


@pytest.fixture
def queue(channel, name):
    return channel.queue_declare(name("q"), exclusive=True).method.queue


def test_get_counts_down_and_then_is_empty(channel, queue):
    fill(channel, queue, 3)
    for left in (2, 1, 0):
        method, _, body = channel.basic_get(queue)
        assert method.message_count == left
        assert method.delivery_tag == 3 - left
        assert body == f"m{2 - left}".encode()
        channel.basic_ack(method.delivery_tag)
    assert channel.basic_get(queue) == (None, None, None)


def test_properties_come_back_as_they_were_sent(channel, queue):
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="identity",
        headers={
            "text": "ä €",
            "true": True,
            "small": -5,
            "large": 2**40,
            "none": None,
            "list": [1, "two", {"three": 3}],
            "table": {"nested": {"deep": "yes"}},
            "bytes": b"\x00\xff",
        },
        delivery_mode=1,
        priority=7,
        correlation_id="corr",
        reply_to="somewhere",
        expiration="60000",
        message_id="id-1",
        timestamp=1700000000,
        type="kind",
        user_id="guest",
        app_id="interop",
        cluster_id="c",
    )
    channel.basic_publish("", queue, b"body", sent)
    _, got, _ = channel.basic_get(queue, auto_ack=True)
    assert got == sent


def test_empty_message(channel, queue):
    channel.basic_publish("", queue, b"")
    method, _, body = channel.basic_get(queue, auto_ack=True)
    assert method is not None
    assert body == b""


def test_ack_multiple_settles_everything_before(channel, queue):
    fill(channel, queue, 5)
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(5)]
    channel.basic_ack(tags[2], multiple=True)
    channel.basic_nack(0, multiple=True, requeue=True)
    assert drain(channel, queue) == [b"m3", b"m4"]


def test_reject_with_requeue_puts_the_message_back_in_its_place(channel, queue):
    fill(channel, queue, 4)
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(3)]
    channel.basic_reject(tags[1], requeue=True)
    method, _, body = channel.basic_get(queue)
    assert (method.redelivered, body) == (True, b"m1")
    channel.basic_reject(tags[0], requeue=True)
    channel.basic_reject(tags[2], requeue=True)
    channel.basic_reject(method.delivery_tag, requeue=True)
    assert drain(channel, queue) == [b"m0", b"m1", b"m2", b"m3"]


def test_reject_without_requeue_drops(channel, queue):
    fill(channel, queue, 2)
    channel.basic_reject(channel.basic_get(queue)[0].delivery_tag, requeue=False)
    assert drain(channel, queue) == [b"m1"]


def test_nack_multiple_requeues_in_order(channel, queue):
    sent = fill(channel, queue, 10)
    last = [channel.basic_get(queue)[0].delivery_tag for _ in range(10)][-1]
    channel.basic_nack(last, multiple=True, requeue=True)
    method, _, body = channel.basic_get(queue)
    assert (method.redelivered, body) == (True, b"m0")
    channel.basic_nack(method.delivery_tag, requeue=True)
    assert drain(channel, queue) == sent


def test_recover_redelivers_what_is_unacked(channel, queue):
    fill(channel, queue, 3)
    taken = take(channel, queue, 3)
    channel.basic_ack(taken[1][0].delivery_tag)
    channel.basic_recover(requeue=True)
    again = take(channel, queue, 2, auto_ack=True)
    assert bodies(again) == [b"m0", b"m2"]
    assert all(method.redelivered for method, _, _ in again)


def test_unknown_delivery_tag_closes_the_channel(channel, queue):
    fill(channel, queue, 1)
    method, _, _ = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    channel.basic_ack(method.delivery_tag)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        channel.queue_declare(queue, passive=True)
    assert error.value.reply_code == 406
    assert error.value.reply_text == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_prefetch_of_the_consumer(connection, channel, queue):
    fill(channel, queue, 10)
    channel.basic_qos(prefetch_count=3)
    got = []
    channel.basic_consume(queue, lambda _channel, method, _properties, body: got.append(method))
    pump_until(connection, lambda: len(got) >= 3)
    # A round trip: anything beyond the prefetch would have come before its answer.
    expect_ready(channel, queue, 7)
    assert len(got) == 3
    channel.basic_ack(got[0].delivery_tag)
    pump_until(connection, lambda: len(got) >= 4)
    expect_ready(channel, queue, 6)
    channel.basic_ack(got[3].delivery_tag, multiple=True)
    pump_until(connection, lambda: len(got) >= 7)
    expect_ready(channel, queue, 3)


def test_global_prefetch_is_shared_by_the_consumers_of_the_channel(connection, channel, name):
    queues = [channel.queue_declare(name(part), exclusive=True).method.queue for part in "ab"]
    for queue in queues:
        fill(channel, queue, 5)
    channel.basic_qos(prefetch_count=4, global_qos=True)
    got = []
    for queue in queues:
        channel.basic_consume(queue, lambda _channel, method, _p, body: got.append(method))
    pump_until(connection, lambda: len(got) >= 4)
    # A round trip to each queue: whatever came beyond the prefetch would be here.
    for queue in queues:
        assert channel.queue_declare(queue, passive=True).method.consumer_count == 1
    assert len(got) == 4
    channel.basic_ack(0, multiple=True)
    pump_until(connection, lambda: len(got) >= 8)
    assert sum(len(drain(channel, queue)) for queue in queues) == 2
    assert len(got) == 8


def test_consumers_take_turns(connect, channel, name):
    queue = channel.queue_declare(name("q"), auto_delete=True).method.queue
    got = {0: [], 1: [], 2: []}
    connections = [connect() for _ in got]
    for number, connection in enumerate(connections):
        connection.channel().basic_consume(
            queue, lambda _c, _m, _p, body, n=number: got[n].append(body), auto_ack=True
        )
    for number in range(30):
        channel.basic_publish("", queue, b"%d" % number)
    for number, connection in enumerate(connections):
        pump_until(connection, lambda n=number: len(got[n]) == 10)
    assert sorted(int(body) for some in got.values() for body in some) == list(range(30))


def test_cancel_keeps_the_rest_in_the_queue(connection, channel, queue):
    channel.basic_qos(prefetch_count=1)
    got = []
    tag = channel.basic_consume(queue, lambda _c, method, _p, body: got.append((method, body)))
    sent = [b"a", b"b", b"c"]
    for body in sent:
        channel.basic_publish("", queue, body)
    pump_until(connection, lambda: got)
    channel.basic_cancel(tag)
    method, body = got[0]
    channel.basic_ack(method.delivery_tag)
    assert [body] + drain(channel, queue) == sent


def test_consumer_is_told_when_its_queue_is_deleted(connect, name):
    queue = name("q")
    owner = connect().channel()
    owner.queue_declare(queue)
    watching = connect()
    watcher = watching.channel()
    cancelled = []
    watcher.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    tag = watcher.basic_consume(queue, lambda *_delivery: None)
    owner.queue_delete(queue)
    pump_until(watching, lambda: cancelled)
    assert cancelled == [tag]
    assert watcher.is_open


def test_consume_generator_ends_when_the_queue_is_deleted(connect, name):
    queue = name("q")
    owner = connect().channel()
    owner.queue_declare(queue)
    owner.basic_publish("", queue, b"one")
    consumer = connect().channel()
    seen = []
    for _, _, body in consumer.consume(queue, auto_ack=True, inactivity_timeout=EVENT_TIMEOUT_S):
        seen.append(body)
        if body is None:
            break
        owner.queue_delete(queue)
    assert seen == [b"one"]


def test_transaction_commits_publishes_and_acks_together(connect, name):
    queue = name("q")
    watcher = connect().channel()
    watcher.queue_declare(queue, auto_delete=True)
    watcher.basic_publish("", queue, b"before")
    worker = connect().channel()
    worker.tx_select()
    method, _, _ = worker.basic_get(queue)
    worker.basic_publish("", queue, b"one")
    worker.basic_publish("", queue, b"two")
    worker.basic_ack(method.delivery_tag)
    # A round trip through the queue: what was not held back would be there by now.
    assert worker.basic_get(queue)[0] is None
    assert watcher.basic_get(queue)[0] is None
    worker.tx_commit()
    expect_ready(watcher, queue, 2)
    worker.close()
    assert drain(watcher, queue) == [b"one", b"two"]
    watcher.queue_delete(queue)


def test_rollback_drops_publishes_and_keeps_deliveries_outstanding(connect, name):
    queue = name("q")
    watcher = connect().channel()
    watcher.queue_declare(queue)
    watcher.basic_publish("", queue, b"before")
    worker = connect().channel()
    worker.tx_select()
    method, _, _ = worker.basic_get(queue)
    worker.basic_publish("", queue, b"never")
    worker.basic_ack(method.delivery_tag)
    worker.tx_rollback()
    worker.tx_commit()
    assert watcher.basic_get(queue)[0] is None
    worker.close()
    method, _, body = watcher.basic_get(queue, auto_ack=True)
    assert (method.redelivered, body) == (True, b"before")
    assert drain(watcher, queue) == []
    watcher.queue_delete(queue)
