"""Do the programs in docs/getting-started.md do what it says? They are taken out of it and run."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from broker import Broker, free_port, own_binary, running

TOP = pathlib.Path(__file__).parents[2]
DOCUMENT = TOP / "docs" / "getting-started.md"
PINNED = pathlib.Path(__file__).parent / "getting_started"
# Go compiles its library the first time.
PROGRAM_TIMEOUT_S = 60
BODY = b"Hello, Leveret"

GO_SOURCES = pathlib.Path("/usr/share/gocode")
GO_CLIENT = GO_SOURCES / "src" / "github.com" / "rabbitmq" / "amqp091-go"
JAVA_CLIENT = pathlib.Path("/usr/share/java/amqp-client.jar")
PHP_CLIENT = pathlib.Path("/usr/share/php/PhpAmqpLib/autoload.php")
NODE_PACKAGES = pathlib.Path(os.environ.get("LEVERET_GETTING_STARTED", PINNED)) / "node_modules"

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = ["Python", "Go", "Node", "Java", "PHP"]


def section(heading):
    """The text below a heading of the document, up to the next."""
    parts = re.split(r"^## (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


class Program:
    """What the document says of one language."""

    def __init__(self, language):
        text = section(language)
        blocks = FENCED.findall(text)
        assert [kind for kind, _ in blocks[::2]] == ["sh", "sh"], f"{language}: install, run"
        assert len(blocks) == 4, f"{language}: how to install, a program, how to run it, its output"
        (_, self.install), (_, self.source), (_, self.command), (_, self.output) = blocks
        self.file = re.search(r"^`(\S+)`:$", text, re.MULTILINE)[1]
        assert self.command.split()[-1] == self.file, f"{language}: it runs another file"

    def at(self, port):
        """The program for a broker at another port than the usual one."""
        assert self.source.count("5672") == 1, "one port is in it"
        return self.source.replace("5672", str(port))


def missing(language):
    """Why the program cannot be run here; nothing if it can."""
    program, client = {
        "Python": ("python3", TOP),
        "Go": ("go", GO_CLIENT),
        "Node": ("node", NODE_PACKAGES / "amqplib"),
        "Java": ("java", JAVA_CLIENT),
        "PHP": ("php", PHP_CLIENT),
    }[language]
    if not shutil.which(program):
        return f"{program} is missing"
    return None if client.exists() else f"the client for {language} is missing"


def prepare(directory):
    """Puts the clients where the documented commands find them; the environment for that."""
    if NODE_PACKAGES.exists():
        (directory / "node_modules").symlink_to(NODE_PACKAGES)
    # Debian has php-amqplib without composer.
    vendor = directory / "vendor"
    vendor.mkdir()
    (vendor / "autoload.php").write_text(f"<?php require '{PHP_CLIENT}';\n", encoding="utf-8")
    # The same for Go, without modules.
    go = {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOFLAGS": ""}
    # This Python is the one that has pika.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **go, "PATH": path}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A broker that shows what is published and delivered."""
    binary, data = own_binary(), str(tmp_path_factory.mktemp("data"))
    with running(Broker(binary, data, management_port=free_port())) as broker:
        broker.ask("PUT", "vhosts/%2F", {"tracing": True})
        yield broker


def run(program, broker, directory):
    """Runs it by its documented command."""
    (directory / program.file).write_text(program.at(broker.port), encoding="utf-8")
    return subprocess.run(
        ["sh", "-c", program.command],
        cwd=directory,
        env=prepare(directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
    )


def runnable(language):
    """The program, or a skipped test."""
    program = Program(language)
    if reason := missing(language):
        pytest.skip(reason)
    return program


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_prints_what_the_document_says(traced, tmp_path, language):
    """A persistent message there and back, acknowledged."""
    program = runnable(language)
    connection = traced.connect()
    channel = connection.channel()
    seen = channel.queue_declare("", exclusive=True).method.queue
    for event in ("publish.#", "deliver.#"):
        channel.queue_bind(seen, "amq.rabbitmq.trace", event)

    done = run(program, traced, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == program.output
    events = {}
    while (found := channel.basic_get(seen, auto_ack=True))[0]:
        method, properties, body = found
        events[method.routing_key] = body
        assert properties.headers["properties"]["delivery_mode"] == 2, "it is not persistent"
    assert events == {"publish.": BODY, "deliver.hello": BODY}
    # Durable and not auto-delete, or this would be refused; and acknowledged, or it would be back.
    left = channel.queue_declare("hello", durable=True).method
    assert (left.message_count, left.consumer_count) == (0, 0)
    connection.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_does_not_say_confirmed_of_a_message_that_is_refused(traced, tmp_path, language):
    """The queue is full before the first message, so that the broker's answer is a nack."""
    program = runnable(language)
    definition = {"max-length": 0, "overflow": "reject-publish"}
    full = {"pattern": "^hello$", "apply-to": "queues", "definition": definition}
    traced.ask("PUT", "policies/%2F/full", full)
    try:
        done = run(program, traced, tmp_path)
    finally:
        traced.ask("DELETE", "policies/%2F/full")
    assert done.returncode != 0
    assert done.stdout == "", done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_installed_is_what_was_tried(language):
    """The command names the client that this test runs with."""
    client = {
        "Python": "pip install pika",
        "Go": "go get github.com/rabbitmq/amqp091-go",
        "Node": "npm install amqplib",
        "Java": "librabbitmq-client-java",
        "PHP": "composer require php-amqplib/php-amqplib",
    }[language]
    install = Program(language).install
    assert client in install
    assert install.count("\n") == 1, "one command"


def test_the_pinned_versions_are_those_that_the_document_names():
    """npm's and pip's; Debian's are its own."""
    named = section("Tried with")
    requirements = PINNED.with_name("requirements.txt").read_text(encoding="utf-8")
    pika = re.search(r"^pika==(\S+)$", requirements, re.MULTILINE)[1]
    packages = json.loads((PINNED / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    amqplib = packages["node_modules/amqplib"]["version"]
    assert f"| pika {pika} |" in named
    assert f"| amqplib {amqplib} |" in named


def test_the_queue_that_is_left_is_shown_as_the_document_says(traced):
    """`leveretctl list_queues`, with the document's columns."""
    leveretctl = pathlib.Path(os.environ["LEVERET_BIN"]).with_name("leveretctl")
    if not leveretctl.exists():
        pytest.skip("leveretctl is not beside the broker")
    connection = traced.connect()
    connection.channel().queue_declare("hello", durable=True)
    connection.close()
    (_, command), (_, output) = FENCED.findall(section("What is left"))
    words = command.partition(" -- ")[2].split()
    done = subprocess.run(
        [leveretctl, "--data-dir", traced.data_dir, *words],
        capture_output=True,
        text=True,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, output), done.stderr


def test_the_readme_has_the_same_first_program():
    """README.md begins with the one in Python."""
    shown = dict(FENCED.findall((TOP / "README.md").read_text(encoding="utf-8")))
    assert shown["python"] == Program("Python").source
