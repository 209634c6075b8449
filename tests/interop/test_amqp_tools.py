"""librabbitmq's command-line tools (Debian's amqp-tools), the C client that scripts are made of."""

import re
import shutil
import subprocess

import pytest

TOOL_TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(
    shutil.which("amqp-publish") is None,
    reason="librabbitmq's tools are missing; install them with: apt-get install amqp-tools",
)


@pytest.fixture
def tool(uri):
    """Runs a tool to its end; it has to succeed unless `fails` is set."""

    def run(tool_name, *arguments, text=b"", fails=False):
        finished = subprocess.run(
            [f"amqp-{tool_name}", f"--url={uri}", *arguments],
            input=text,
            capture_output=True,
            timeout=TOOL_TIMEOUT_S,
            check=False,
        )
        assert (finished.returncode != 0) == fails, finished.stderr.decode()
        return finished

    return run


@pytest.fixture
def queue(tool, name):
    """A durable queue, declared and deleted by the tools."""
    made = name("q")
    assert tool("declare-queue", "--durable", f"--queue={made}").stdout.decode().strip() == made
    yield made
    tool("delete-queue", f"--queue={made}")


@pytest.fixture
def consumer(uri):
    """Starts `amqp-consume` in the background; it is ended with the test."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            ["amqp-consume", f"--url={uri}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get_all(uri, queue):
    """Gets until the queue is empty, which the tool tells by its exit code."""
    found = []
    while True:
        finished = subprocess.run(tool_command(uri, queue), capture_output=True, check=False)
        if finished.returncode == 2:
            return found
        assert finished.returncode == 0, finished.stderr.decode()
        found.append(finished.stdout)


def tool_command(uri, queue):
    """`amqp-get` for one message."""
    return ["amqp-get", f"--url={uri}", f"--queue={queue}"]


def test_publish_and_get(tool, uri, queue):
    for body in ("one", "two"):
        tool("publish", f"--routing-key={queue}", f"--body={body}")
    tool("publish", f"--routing-key={queue}", "--persistent", text=b"from standard input")
    assert get_all(uri, queue) == [b"one", b"two", b"from standard input"]
    assert get_all(uri, queue) == []


def test_one_message_per_line(tool, uri, queue):
    tool("publish", f"--routing-key={queue}", "--line-buffered", text=b"a\nb\nc\n")
    assert [body.strip() for body in get_all(uri, queue)] == [b"a", b"b", b"c"]


def test_a_large_message_over_many_frames(tool, uri, queue):
    body = bytes(range(256)) * 8_000
    tool("publish", f"--routing-key={queue}", text=body)
    assert get_all(uri, queue) == [body]


def test_properties_and_headers(tool, queue, channel):
    tool(
        "publish", f"--routing-key={queue}", "--body=x", "--persistent",
        "--content-type=text/plain", "--content-encoding=identity", "--reply-to=somewhere",
        "--header", "colour: green", "--header", "size: 5",
    )
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    assert (method.routing_key, method.redelivered, body) == (queue, False, b"x")
    assert (properties.content_type, properties.content_encoding) == ("text/plain", "identity")
    assert (properties.reply_to, properties.delivery_mode) == ("somewhere", 2)
    assert properties.headers == {"colour": "green", "size": "5"}


def test_consume_counts_and_stops(tool, uri, queue, consumer):
    for number in range(5):
        tool("publish", f"--routing-key={queue}", f"--body=m{number}\n")
    process = consumer(f"--queue={queue}", "--count=3", "--prefetch-count=1", "cat")
    output, _ = process.communicate(timeout=TOOL_TIMEOUT_S)
    assert (process.returncode, output) == (0, b"m0\nm1\nm2\n")
    assert get_all(uri, queue) == [b"m3\n", b"m4\n"]


def test_what_a_failing_command_got_is_not_acked(tool, uri, queue, consumer):
    tool("publish", f"--routing-key={queue}", "--body=precious")
    process = consumer(f"--queue={queue}", "--count=1", "false")
    process.communicate(timeout=TOOL_TIMEOUT_S)
    assert get_all(uri, queue) == [b"precious"]


def test_consume_without_acks(tool, uri, queue, consumer):
    tool("publish", f"--routing-key={queue}", "--body=a\n")
    process = consumer(f"--queue={queue}", "--no-ack", "--count=1", "cat")
    output, _ = process.communicate(timeout=TOOL_TIMEOUT_S)
    assert output == b"a\n"
    assert get_all(uri, queue) == []


def test_a_waiting_consumer_gets_what_comes(tool, queue, consumer):
    process = consumer(f"--queue={queue}", "cat")
    for body in (b"first\n", b"second\n"):
        tool("publish", f"--routing-key={queue}", text=body)
        assert process.stdout.readline() == body


def server_named(process):
    """The name of the broker's choice, which the tool tells first."""
    told = process.stderr.readline().decode()
    return re.search(r"amq\.gen-[\w-]+", told).group()


def test_consume_from_an_exchange(tool, channel, consumer):
    process = consumer("--exchange=amq.topic", "--routing-key=tools.#", "cat")
    made = server_named(process)
    # The tool tells the name before it binds.
    while channel.queue_declare(made, passive=True).method.consumer_count == 0:
        pass
    tool("publish", "--exchange=amq.topic", "--routing-key=tool.a", "--body=no\n")
    tool("publish", "--exchange=amq.topic", "--routing-key=tools.a.b", "--body=yes\n")
    assert process.stdout.readline() == b"yes\n"


def test_an_exclusive_queue_is_its_connections_own(tool, consumer):
    process = consumer("--exclusive", "--exchange=amq.topic", "--routing-key=mine", "cat")
    finished = tool("get", f"--queue={server_named(process)}", fails=True)
    assert b"RESOURCE_LOCKED" in finished.stderr


def test_server_named_queue(tool, uri):
    made = tool("declare-queue", "--queue=").stdout.decode().strip()
    assert made.startswith("amq.gen-")
    tool("publish", f"--routing-key={made}", "--body=x")
    assert get_all(uri, made) == [b"x"]
    tool("delete-queue", f"--queue={made}")


def test_delete_only_if_empty_or_unused(tool, consumer, name):
    made = name("q")
    tool("declare-queue", f"--queue={made}")
    tool("publish", f"--routing-key={made}", "--body=1\n")
    finished = tool("delete-queue", "--if-empty", f"--queue={made}", fails=True)
    assert b"PRECONDITION_FAILED" in finished.stderr and b"not empty" in finished.stderr
    process = consumer(f"--queue={made}", "cat")
    assert process.stdout.readline() == b"1\n"
    finished = tool("delete-queue", "--if-unused", f"--queue={made}", fails=True)
    assert b"PRECONDITION_FAILED" in finished.stderr and b"in use" in finished.stderr
    # It prints how many messages went with the queue.
    assert tool("delete-queue", f"--queue={made}").stdout.decode().strip() == "0"


def test_refusals_name_the_reason(tool, uri, name):
    finished = tool("get", f"--queue={name('missing')}", fails=True)
    assert b"NOT_FOUND - no queue" in finished.stderr
    finished = tool("publish", "--exchange=", "--body=x", f"--routing-key={name('missing')}")
    assert finished.stderr == b""
    wrong = uri.replace("guest:guest@", "guest:wrong@")
    finished = subprocess.run(
        ["amqp-get", f"--url={wrong}", "--queue=q"],
        capture_output=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 1
    assert b"403" in finished.stderr or b"ACCESS_REFUSED" in finished.stderr
