"""A real Celery application: workers in processes of their own, results over the broker."""

import datetime
import json
import os
import signal
import subprocess
import sys

import kombu
import pytest
from celery import chain, group

import celery_app

# A worker needs seconds to start and to find a lost broker again; both share two processors.
RESULT_TIMEOUT_S = 60


class Pipe:
    """A FIFO between a test and the tasks: lines from them or single bytes to them."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(path)
        # Open in both directions: no end has to wait for the other, and there is no end of file.
        self.stream = os.fdopen(os.open(path, os.O_RDWR), "r+b", buffering=0)

    def line(self):
        """The next line that a task told; the test's time limit ends the wait."""
        return self.stream.readline().decode().strip()

    def open_gate(self):
        """Lets one task go."""
        self.stream.write(b"!")


class Worker:
    """One `celery worker` in a process group of its own."""

    def __init__(self, log, settings, *options):
        self.node = f"{os.path.basename(log)}@localhost"
        environment = {
            **os.environ,
            celery_app.SETTINGS_VARIABLE: json.dumps(settings),
            "PYTHONPATH": os.path.dirname(__file__),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Celery refuses to run as root with pickle only; it says so for JSON as well.
            "C_FORCE_ROOT": "1",
        }
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "celery_app", "worker"),
                    *("--loglevel", "INFO", "--hostname", self.node),
                    *options,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self):
        """SIGKILL to the worker and its children, at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(RESULT_TIMEOUT_S)

    def ask_to_stop(self):
        """The warm shutdown: the running task is finished first."""
        self.process.send_signal(signal.SIGTERM)


class Setup:
    """One application with its queue, its workers and its pipes."""

    def __init__(self, uri, queue, directory, **settings):
        self.directory = directory
        self.queue = queue
        self.settings = {"broker_url": uri, "task_default_queue": queue, **settings}
        self.app = celery_app.create(self.settings)
        self.workers = []
        # Tasks that a failed test left behind would wait for a reader for ever.
        self.pipes = []

    def worker(self, *options):
        """Starts a worker; nobody has to wait for it, since the tasks do."""
        log = self.directory / f"{self.queue}.worker{len(self.workers)}"
        worker = Worker(str(log), self.settings, *options)
        self.workers.append(worker)
        return worker

    def task(self, name, *arguments):
        """The signature of one of the application's tasks."""
        return self.app.signature(f"celery_app.{name}", args=arguments)

    def pipe(self, name):
        """A new FIFO."""
        self.pipes.append(Pipe(self.directory / name))
        return self.pipes[-1]

    def ready(self):
        """How many tasks wait in the queue."""
        with self.app.connection_for_write() as connection:
            queue = kombu.Queue(self.queue)(connection.default_channel)
            return queue.queue_declare(passive=True).message_count

    def close(self, delete):
        """Ends the workers and deletes queue and exchange."""
        for worker in self.workers:
            worker.kill()
        if delete:
            with self.app.connection_for_write() as connection:
                kombu.Queue(self.queue)(connection.default_channel).delete()
                kombu.Exchange(self.queue)(connection.default_channel).delete()
        self.app.close()


SOLO = ("--pool=solo", "--without-mingle", "--without-gossip")
CHILD = ("--pool=prefork", "--concurrency=1", "--without-mingle", "--without-gossip")
# Without this the worker holds four tasks beside the one that it runs.
ONE_AT_A_TIME = {"task_acks_late": True, "worker_prefetch_multiplier": 1}


@pytest.fixture(scope="module")
def shared(uri, tmp_path_factory):
    """An application whose worker, with two child processes, serves several tests."""
    directory = tmp_path_factory.mktemp("celery")
    setup = Setup(uri, f"celery.{os.getpid()}", directory, worker_prefetch_multiplier=2)
    setup.worker("--pool=prefork", "--concurrency=2", "--task-events")
    yield setup
    setup.close(delete=True)


@pytest.fixture
def make(uri, name, tmp_path):
    """Makes applications with a queue of their own."""
    made = []

    def make_one(address=uri, **settings):
        made.append((Setup(address, name(f"q{len(made)}"), tmp_path, **settings), address == uri))
        return made[-1][0]

    yield make_one
    for setup, delete in made:
        setup.close(delete)


# Results.


def test_a_task_returns_its_result(shared):
    assert shared.task("add", 2, 3).delay().get(RESULT_TIMEOUT_S) == 5


def test_a_large_argument_and_result(shared):
    text = "x" * 400_000
    assert shared.task("add", text, "y").delay().get(RESULT_TIMEOUT_S) == text + "y"


def test_a_failure_is_a_result(shared):
    with pytest.raises(ValueError, match="because"):
        shared.task("fail", "because").delay().get(RESULT_TIMEOUT_S)


def test_many_results_of_a_group(shared):
    tasks = group((shared.task("add", number, 1) for number in range(100)), app=shared.app)
    assert tasks.delay().get(RESULT_TIMEOUT_S) == list(range(1, 101))


def test_a_chain_hands_its_results_on(shared):
    tasks = chain(
        shared.task("add", 1, 2), shared.task("add", 10), shared.task("add", 100), app=shared.app
    )
    result = tasks.delay()
    assert result.get(RESULT_TIMEOUT_S) == 113


def test_a_chain_stops_at_a_failure(shared):
    tasks = chain(shared.task("add", "a", "b"), shared.task("fail"), shared.task("add", "c"),
                  app=shared.app)
    with pytest.raises(ValueError, match="ab"):
        tasks.delay().get(RESULT_TIMEOUT_S)


def test_retries_with_countdown(shared):
    assert shared.task("flaky", 3, 0.2).delay().get(RESULT_TIMEOUT_S) == 3


def test_a_task_of_later_does_not_hold_up_those_of_now(shared):
    """More of them than the worker prefetches: it raises its prefetch count for each one."""
    pipe = shared.pipe("later")
    # Only a worker that runs can be held up.
    shared.task("add", 1, 1).delay().get(RESULT_TIMEOUT_S)
    eta = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    later = [
        shared.task("note", pipe.path, f"later {number}").apply_async(eta=eta)
        for number in range(10)
    ]
    shared.task("note", pipe.path, "now").delay()
    assert pipe.line() == "now"
    assert datetime.datetime.now(datetime.UTC) < eta
    found = sorted(pipe.line() for _ in later)
    assert datetime.datetime.now(datetime.UTC) >= eta
    assert found == sorted(f"later {number}" for number in range(10))
    for result in later:
        result.get(RESULT_TIMEOUT_S)


# What operators do: remote control and events, through fanout and topic exchanges.


def test_remote_control(shared):
    node = shared.workers[0].node
    shared.task("add", 1, 1).delay().get(RESULT_TIMEOUT_S)
    inspect = shared.app.control.inspect([node], timeout=RESULT_TIMEOUT_S, limit=1)
    statistics = inspect.stats()[node]
    assert statistics["broker"]["transport"] == "amqp"
    assert statistics["pool"]["max-concurrency"] == 2
    asked = {"destination": [node], "reply": True, "timeout": RESULT_TIMEOUT_S, "limit": 1}
    extra = f"{shared.queue}.extra"
    assert "ok" in shared.app.control.add_consumer(extra, **asked)[0][node]
    result = shared.task("add", 3, 4).apply_async(queue=extra)
    assert result.get(RESULT_TIMEOUT_S) == 7
    assert "ok" in shared.app.control.cancel_consumer(extra, **asked)[0][node]
    with shared.app.connection_for_write() as connection:
        kombu.Queue(extra)(connection.default_channel).delete()


def test_events(shared):
    with shared.app.connection_for_read() as connection:
        seen = []
        receiver = shared.app.events.Receiver(connection, handlers={"*": seen.append})
        with receiver.consumer_context() as (listening, _channel, _consumers):
            task = shared.task("add", 1, 1).delay()
            while ("task-succeeded", task.id) not in [(e["type"], e.get("uuid")) for e in seen]:
                listening.drain_events(timeout=RESULT_TIMEOUT_S)
    kinds = [event["type"] for event in seen if event.get("uuid") == task.id]
    assert kinds == ["task-received", "task-started", "task-succeeded"]


# Queues with arguments.


def test_priorities(make):
    setup = make(task_queue_max_priority=10, task_default_priority=3, **ONE_AT_A_TIME)
    pipe = setup.pipe("order")
    for priority in (1, 9, None, 5):
        setup.task("note", pipe.path, f"p{priority}").apply_async(priority=priority)
    setup.worker(*SOLO)
    assert [pipe.line() for _ in range(4)] == ["p9", "p5", "pNone", "p1"]


def test_rejected_tasks_go_to_the_dead_letter_exchange(make, uri, name):
    graves = name("dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves}
    setup = make(queue_arguments=arguments, task_acks_late=True)
    setup.worker(*SOLO)
    with kombu.Connection(uri) as connection:
        dead = kombu.Queue(graves)(connection.default_channel)
        dead.declare()
        task = setup.task("refuse").delay()
        seen = []
        with connection.Consumer([dead], on_message=seen.append, no_ack=True):
            while not seen:
                connection.drain_events(timeout=RESULT_TIMEOUT_S)
        assert seen[0].headers["id"] == task.id
        [death] = seen[0].headers["x-death"]
        assert (death["reason"], death["queue"]) == ("rejected", setup.queue)
        dead.delete()


def test_delayed_delivery_through_quorum_queues(make, uri):
    """Celery's own delay: 28 queues, each with a TTL of a power of two, dead-lettering onwards."""
    setup = make(
        task_default_queue_type="quorum",
        task_default_exchange=f"topic.{os.getpid()}",
        task_default_exchange_type="topic",
        task_default_routing_key=f"key.{os.getpid()}",
    )
    setup.worker("--pool=solo")
    pipe = setup.pipe("delayed")
    # The worker has bound its queue to the delayed exchange once it runs a task.
    setup.task("note", pipe.path, "now").delay()
    assert pipe.line() == "now"
    begin = datetime.datetime.now(datetime.UTC)
    setup.task("note", pipe.path, "later").apply_async(countdown=3)
    setup.task("note", pipe.path, "sooner").apply_async(countdown=1)
    setup.task("note", pipe.path, "at once").delay()
    assert [pipe.line() for _ in range(3)] == ["at once", "sooner", "later"]
    assert datetime.datetime.now(datetime.UTC) - begin >= datetime.timedelta(seconds=3)
    with kombu.Connection(uri) as connection:
        channel = connection.default_channel
        for level in range(28):
            kombu.Queue(f"celery_delayed_{level}")(channel).delete()
            kombu.Exchange(f"celery_delayed_{level}")(channel).delete()
        kombu.Exchange("celery_delayed_delivery")(channel).delete()
        kombu.Exchange(setup.app.conf.task_default_exchange)(channel).delete()


# What dies in the middle.


def test_a_task_of_a_killed_worker_runs_again(make):
    setup = make(**ONE_AT_A_TIME)
    started, gate = setup.pipe("started"), setup.pipe("gate")
    first = setup.worker(*SOLO)
    result = setup.task("hold", started.path, gate.path).delay()
    assert started.line() == f"{first.process.pid} False"
    first.kill()

    second = setup.worker(*SOLO)
    assert started.line() == f"{second.process.pid} True"
    gate.open_gate()
    assert result.get(RESULT_TIMEOUT_S) == "done"


def test_a_task_that_was_acked_early_does_not_run_again(make):
    setup = make(worker_prefetch_multiplier=1)
    started, gate = setup.pipe("started"), setup.pipe("gate")
    first = setup.worker(*CHILD)
    setup.task("hold", started.path, gate.path).delay()
    assert started.line().endswith(" False")
    # The worker says that it acked; what its loop put off is sent when it has gone round again,
    # which an answer proves: the first one may still come from the same round.
    inspect = setup.app.control.inspect([first.node], timeout=RESULT_TIMEOUT_S, limit=1)
    while not any(task["acknowledged"] for task in inspect.active()[first.node]):
        pass
    for _ in range(3):
        inspect.ping()
    setup.task("note", started.path, "the next").delay()
    first.kill()

    setup.worker(*CHILD)
    assert started.line() == "the next"
    assert setup.ready() == 0


def test_a_task_of_a_killed_child_process_runs_again(make):
    setup = make(task_reject_on_worker_lost=True, **ONE_AT_A_TIME)
    started, gate = setup.pipe("started"), setup.pipe("gate")
    setup.worker("--pool=prefork", "--concurrency=2", "--without-mingle", "--without-gossip")
    result = setup.task("hold", started.path, gate.path).delay()
    child, redelivered = started.line().split()
    assert redelivered == "False"
    os.kill(int(child), signal.SIGKILL)

    other, redelivered = started.line().split()
    assert (other != child, redelivered) == (True, "True")
    gate.open_gate()
    assert result.get(RESULT_TIMEOUT_S) == "done"


def test_a_worker_that_stops_finishes_its_task_and_gives_back_the_others(make):
    setup = make(worker_prefetch_multiplier=4)
    started, gate = setup.pipe("started"), setup.pipe("gate")
    worker = setup.worker(*CHILD)
    result = setup.task("hold", started.path, gate.path).delay()
    assert started.line().endswith(" False")
    for number in range(3):
        setup.task("note", started.path, f"note {number}").apply_async(countdown=3600)
    while setup.ready() > 0:
        pass  # The worker fetches them and keeps them until their time comes.
    worker.ask_to_stop()
    gate.open_gate()
    assert worker.process.wait(RESULT_TIMEOUT_S) == 0
    assert result.get(RESULT_TIMEOUT_S) == "done"
    assert setup.ready() == 3


def test_no_task_is_lost_when_the_broker_is_killed(own_broker, make):
    setup = make(own_broker.uri, **ONE_AT_A_TIME)
    done, started, gate = setup.pipe("done"), setup.pipe("started"), setup.pipe("gate")
    for number in range(30):
        setup.task("note", done.path, str(number)).delay()
    for _ in range(2):
        setup.task("hold", started.path, gate.path).delay()
    for number in range(30, 100):
        setup.task("note", done.path, str(number)).delay()
    setup.worker("--pool=prefork", "--concurrency=2")
    seen = [done.line() for _ in range(30)]
    # It has two tasks in hand, and nothing else. Before an answer leaves, acks are written.
    assert all(started.line().endswith(" False") for _ in range(2))
    assert setup.ready() == 70
    own_broker.kill()
    own_broker.start_again()
    for _ in range(4):
        gate.open_gate()

    # The same worker comes back for the rest, and the same program can send more.
    for number in range(100, 150):
        setup.task("note", done.path, str(number)).delay()
    expected = {str(number) for number in range(150)}
    while set(seen) != expected:
        seen.append(done.line())
    # What ran twice is at most what the worker had in hand when the broker died.
    assert len(seen) - len(expected) <= 4
    assert all(started.line().endswith(" True") for _ in range(2))
    # A task in hand at a kill runs again: its ack comes too late for the broker that began it.
    setup.task("hold", started.path, gate.path).delay()
    assert started.line().endswith(" False")
    own_broker.kill()
    own_broker.start_again()
    gate.open_gate()
    assert started.line().endswith(" True")
    gate.open_gate()
    # And results arrive as before.
    assert setup.task("add", 1, 2).delay().get(RESULT_TIMEOUT_S) == 3
