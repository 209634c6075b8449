"""A Celery application as people write them, whose tasks tell the tests what they do.

A worker is started with `celery -A celery_app worker`; it reads its settings, which the test
chose, from the environment. The tests make the same application with `create`.
"""

import json
import os

import kombu
from celery import Celery, shared_task
from celery.exceptions import Reject

SETTINGS_VARIABLE = "LEVERET_CELERY"


def create(settings):
    """The application, with settings by Celery's own names, and its queue's arguments."""
    made = Celery("celery_app", set_as_current=False)
    made.conf.update(
        result_backend="rpc://",
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
    )
    arguments = settings.get("queue_arguments")
    made.conf.update({name: settings[name] for name in settings if name != "queue_arguments"})
    if arguments:
        queue = made.conf.task_default_queue
        made.conf.task_queues = [kombu.Queue(queue, routing_key=queue, queue_arguments=arguments)]
    return made


app = create(json.loads(os.environ.get(SETTINGS_VARIABLE, "{}")))


def tell(path, line):
    """Writes one line into a FIFO; lines this short never mix."""
    pipe = os.open(path, os.O_WRONLY)
    os.write(pipe, f"{line}\n".encode())
    os.close(pipe)


@shared_task
def add(first, second):
    """Adds or concatenates."""
    return first + second


@shared_task
def fail(text):
    """Raises."""
    raise ValueError(text)


@shared_task(bind=True, max_retries=5)
def flaky(self, failures, countdown):
    """Fails so many times, then returns how often it was tried again."""
    if self.request.retries < failures:
        raise self.retry(countdown=countdown)
    return self.request.retries


@shared_task
def note(path, text):
    """Tells that it ran."""
    tell(path, text)


@shared_task(bind=True)
def hold(self, started, gate):
    """Tells that it runs, in which process and whether again, and waits to be let go."""
    tell(started, f"{os.getpid()} {self.request.delivery_info['redelivered']}")
    pipe = os.open(gate, os.O_RDONLY)
    os.read(pipe, 1)
    os.close(pipe)
    return "done"


@shared_task
def refuse():
    """Wants nothing to do with its message."""
    raise Reject("no", requeue=False)
