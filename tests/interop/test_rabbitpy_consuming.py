"""The ways to consume that a book on RabbitMQ teaches with rabbitpy, each with what it promises."""

import pytest
import rabbitpy
from rabbitpy import exceptions

from rabbits import channel, drain, publish, queue, rabbit  # noqa: F401 (fixtures)


def take(queue, count, **options):
    """The next messages of a consumer, which is cancelled afterwards."""
    taken = []
    for message in queue.consume(**options):
        taken.append(message)
        if len(taken) == count:
            break
    return taken


def bodies(messages):
    """What the messages carry."""
    return [message.body for message in messages]


def named(channel, queue):
    """The same queue through another channel: rabbitpy wants one consumer per channel."""
    return rabbitpy.Queue(channel, queue.name)


def exists(rabbit, name):
    """Whether there is a queue; asked on a channel of its own, which a 404 closes."""
    asking = rabbit.channel()
    try:
        rabbitpy.Queue(asking, name).declare(passive=True)
    except exceptions.AMQPNotFound:
        return False
    asking.close()
    return True


@pytest.fixture
def graves(channel, name):
    """A queue behind a dead-letter exchange, whose name is the queue's."""
    exchange = rabbitpy.FanoutExchange(channel, name("dead"))
    exchange.declare()
    queue = rabbitpy.Queue(channel, name("dead"))
    queue.declare()
    queue.bind(exchange)
    yield queue
    queue.delete()
    exchange.delete()


# Getting and consuming.


def test_polling_with_get(rabbit, queue):
    """Each get is a question and an answer; the answer says how much is left, or nothing."""
    sent = publish(rabbit, queue, 5)
    found = []
    while len(queue) > 0:
        message = queue.get()
        assert message.routing_key == queue.name
        found.append(message.body)
        message.ack()
    assert found == sent
    assert queue.get() is None


def test_a_consumer_is_sent_what_comes(rabbit, queue):
    consuming = named(rabbit.channel(), queue)
    arrived = []
    publish(rabbit, queue, 1)
    for message in consuming.consume():
        arrived.append(message.body)
        message.ack()
        if len(arrived) == 4:
            break
        # The next one is published while the consumer waits.
        publish(rabbit, queue, 1)
    assert arrived == [b"m0"] * 4
    assert queue.declare(passive=True) == (0, 0)


def test_iterating_over_a_queue(rabbit, queue):
    sent = publish(rabbit, queue, 3)
    found = []
    for message in named(rabbit.channel(), queue):
        found.append(message.body)
        message.ack()
        if len(found) == 3:
            break
    assert found == sent


def test_a_consumer_that_ends_gives_back_what_it_did_not_ack(rabbit, queue):
    sent = publish(rabbit, queue, 4)
    working = rabbit.channel()
    for message in take(named(working, queue), 2):
        message.ack()
    working.close()
    found = [queue.get() for _ in range(2)]
    assert bodies(found) == sent[2:]
    assert all(message.redelivered for message in found)


def test_consuming_without_acks(rabbit, queue):
    """Faster and without a safety net: what was sent counts as done."""
    sent = publish(rabbit, queue, 20)
    working = rabbit.channel()
    assert bodies(take(named(working, queue), 20, no_ack=True)) == sent
    working.close()
    assert queue.declare(passive=True) == (0, 0)


def test_prefetch_leaves_the_rest_to_others(rabbit, queue):
    sent = publish(rabbit, queue, 30)
    slow, fast = rabbit.channel(), rabbit.channel()
    slow.prefetch_count(10)
    held = take(named(slow, queue), 10)
    assert bodies(held) == sent[:10]
    others = take(named(fast, queue), 20, prefetch=20)
    assert bodies(others) == sent[10:]
    for message in held + others:
        message.ack()
    assert len(queue) == 0


def test_one_ack_for_many(rabbit, queue):
    publish(rabbit, queue, 25)
    working = rabbit.channel()
    working.prefetch_count(10)
    unacked = 0
    for number, message in enumerate(named(working, queue).consume(), start=1):
        unacked += 1
        if unacked == 10:
            message.ack(all_previous=True)
            unacked = 0
        if number == 25:
            break
    working.close()
    # The last five were never covered by an ack.
    assert drain(queue) == [b"m%d" % number for number in range(20, 25)]


def test_consumer_priorities(rabbit, queue):
    """The consumer of the higher priority gets everything while it may hold more."""
    low, high = rabbit.channel(), rabbit.channel()
    # A generator subscribes when its first message is asked for.
    publish(rabbit, queue, 1)
    second = named(high, queue).consume(priority=10, prefetch=3)
    next(second).ack()
    publish(rabbit, queue, 4)
    first = named(low, queue).consume(priority=-10)
    assert next(first).body == b"m3"
    assert bodies([next(second) for _ in range(3)]) == [b"m0", b"m1", b"m2"]
    first.close()
    second.close()


# Acks in transactions.


def test_acks_in_a_transaction(rabbit, queue):
    sent = publish(rabbit, queue, 4)
    working = rabbit.channel()
    transaction = rabbitpy.Tx(working)
    transaction.select()
    source = named(working, queue)
    for number in range(4):
        message = source.get()
        assert message.body == sent[number]
        message.ack()
        if number == 1:
            transaction.commit()
    transaction.rollback()
    working.close()
    assert drain(queue) == sent[2:]


def test_a_transaction_without_commit_is_none(rabbit, queue):
    sent = publish(rabbit, queue, 2)
    working = rabbit.channel()
    rabbitpy.Tx(working).select()
    source = named(working, queue)
    for _ in range(2):
        source.get().ack()
    rabbitpy.Message(working, "never").publish("", queue.name)
    working.close()
    assert drain(queue) == sent


# Saying no.


def test_reject_and_requeue(rabbit, queue):
    """A rejected message comes back with the mark that it was here before."""
    publish(rabbit, queue, 1)
    working = rabbit.channel()
    rounds = []
    for message in named(working, queue).consume():
        rounds.append(message.redelivered)
        if len(rounds) == 3:
            message.ack()
            break
        message.reject(requeue=True)
    assert rounds == [False, True, True]
    working.close()
    assert drain(queue) == []


def test_nack_of_many(rabbit, queue):
    sent = publish(rabbit, queue, 10)
    working = rabbit.channel()
    held = take(named(working, queue), 10)
    held[4].nack(requeue=True, all_previous=True)
    held[9].nack(requeue=False, all_previous=True)
    working.close()
    assert drain(queue) == sent[:5]


def test_rejected_messages_go_to_the_dead_letter_exchange(rabbit, channel, name, graves):
    queue = rabbitpy.Queue(channel, name("q"), dead_letter_exchange=graves.name)
    queue.declare()
    publish(rabbit, queue, 2)
    queue.get().reject(requeue=False)
    queue.get().ack()
    dead = graves.get()
    assert (dead.body, dead.routing_key, dead.exchange) == (b"m0", queue.name, graves.name)
    [death] = dead.properties["headers"]["x-death"]
    assert (death["reason"], death["queue"], death["count"]) == ("rejected", queue.name, 1)
    assert (death["exchange"], death["routing-keys"]) == ("", [queue.name])
    dead.ack()
    assert graves.get() is None
    queue.delete()


def test_a_dead_letter_key_of_ones_own(rabbit, channel, name):
    graves = rabbitpy.Queue(channel, name("dead"))
    graves.declare()
    exchange = rabbitpy.DirectExchange(channel, name("x"))
    exchange.declare()
    graves.bind(exchange, "rejected")
    queue = rabbitpy.Queue(
        channel, name("q"), dead_letter_exchange=exchange.name, dead_letter_routing_key="rejected"
    )
    queue.declare()
    publish(rabbit, queue, 1)
    queue.get().nack(requeue=False)
    dead = graves.get()
    assert (dead.body, dead.routing_key) == (b"m0", "rejected")
    dead.ack()
    for made in (queue, graves, exchange):
        made.delete()


# Queues of all kinds.


def test_an_auto_delete_queue_goes_with_its_last_consumer(rabbit, name):
    declaring, one, two = rabbit.channel(), rabbit.channel(), rabbit.channel()
    queue = rabbitpy.Queue(declaring, name("q"), auto_delete=True)
    queue.declare()
    publish(rabbit, queue, 2)
    first = named(one, queue).consume(prefetch=1)
    second = named(two, queue).consume(prefetch=1)
    assert (next(first).body, next(second).body) == (b"m0", b"m1")
    first.close()
    assert exists(rabbit, queue.name)
    second.close()
    assert not exists(rabbit, queue.name)


def test_an_exclusive_queue_belongs_to_its_connection(uri, rabbit, name):
    with rabbitpy.Connection(uri + "?heartbeat=10") as owner:
        queue = rabbitpy.Queue(owner.channel(), name("q"), exclusive=True)
        queue.declare()
        publish(owner, queue, 1)
        for attempt in (
            lambda channel: rabbitpy.Queue(channel, queue.name).declare(passive=True),
            lambda channel: rabbitpy.Queue(channel, queue.name).delete(),
            lambda channel: rabbitpy.Queue(channel, queue.name).get(),
        ):
            with pytest.raises(exceptions.AMQPResourceLocked):
                attempt(rabbit.channel())
        assert bodies(take(named(owner.channel(), queue), 1, no_ack=True)) == [b"m0"]
    assert not exists(rabbit, queue.name)


def test_an_expiring_queue_goes_when_nobody_uses_it(rabbit, channel, name, graves):
    used = rabbitpy.Queue(channel, name("used"), expires=1000)
    used.declare()
    publish(rabbit, used, 1)
    consuming = used.consume(no_ack=True)
    next(consuming)
    unused = rabbitpy.Queue(rabbit.channel(), name("unused"), expires=100)
    # Looking whether a queue is gone would be a use, so another one tells the time: it lets go of
    # its message when both have had more than theirs.
    unused.declare()
    slow = rabbitpy.Queue(
        rabbit.channel(), name("slow"), message_ttl=1500, dead_letter_exchange=graves.name
    )
    slow.declare()
    publish(rabbit, slow, 1)
    take(named(rabbit.channel(), graves), 1, no_ack=True)
    assert not exists(rabbit, unused.name)
    # A consumer is a use.
    assert exists(rabbit, used.name)
    consuming.close()
    slow.delete()


def test_messages_of_a_queue_expire(rabbit, channel, name, graves):
    queue = rabbitpy.Queue(
        channel, name("q"), message_ttl=100, dead_letter_exchange=graves.name
    )
    queue.declare()
    sent = publish(rabbit, queue, 3)
    dead = take(graves, 3, no_ack=True)
    assert bodies(dead) == sent
    assert {m.properties["headers"]["x-death"][0]["reason"] for m in dead} == {"expired"}
    assert queue.declare(passive=True) == (0, 0)
    queue.delete()


def test_a_message_brings_its_own_expiration(rabbit, channel, name, graves):
    queue = rabbitpy.Queue(
        channel, name("q"), message_ttl=60_000, dead_letter_exchange=graves.name
    )
    queue.declare()
    working = rabbit.channel()
    working.enable_publisher_confirms()
    rabbitpy.Message(working, "short", {"expiration": "100"}).publish("", queue.name)
    rabbitpy.Message(working, "long", {"expiration": "3600000"}).publish("", queue.name)
    [dead] = take(graves, 1, no_ack=True)
    assert dead.body == b"short"
    [death] = dead.properties["headers"]["x-death"]
    assert (death["reason"], death["original-expiration"]) == ("expired", "100")
    assert not dead.properties.get("expiration")
    message = queue.get()
    assert message.body == b"long"
    assert message.properties["expiration"] == "3600000"
    message.ack()
    queue.delete()


def test_a_queue_of_limited_length_drops_from_its_head(rabbit, channel, name, graves):
    queue = rabbitpy.Queue(
        channel, name("q"), max_length=5, dead_letter_exchange=graves.name
    )
    queue.declare()
    sent = publish(rabbit, queue, 8)
    assert len(queue) == 5
    assert drain(queue) == sent[3:]
    dead = take(graves, 3, no_ack=True)
    assert bodies(dead) == sent[:3]
    assert dead[0].properties["headers"]["x-death"][0]["reason"] == "maxlen"
    queue.delete()


def test_arguments_that_do_not_fit_together(rabbit, name):
    with pytest.raises(exceptions.AMQPPreconditionFailed):
        rabbitpy.Queue(rabbit.channel(), name("q"), arguments={"x-expires": 0}).declare()
    with pytest.raises(exceptions.AMQPPreconditionFailed):
        rabbitpy.Queue(rabbit.channel(), name("q"), dead_letter_routing_key="k").declare()
    assert not exists(rabbit, name("q"))
