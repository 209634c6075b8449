"""Do the commands in the guides do what the guides say? They are taken out of the documents and run,
with other ports and directories, without root: `sudo` and systemd are stood in for."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import time

import pika
import pytest

from broker import Broker, free_port
from helpers import EVENT_TIMEOUT_S, bodies, drain, pump_until, ready, take

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ["moving.md", "operating.md", "security.md", "performance.md"]
COMMAND_TIMEOUT_S = 60
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is run below: a block is known by its document and by words that no other one has.
RUN = {
    "export": ("moving.md", "> definitions.json"),
    "beside": ("moving.md", "leveret --config leveret.conf"),
    "import": ("moving.md", "import_definitions definitions.json"),
    "shovel.py": ("moving.md", "import pika"),
    "shovel": ("moving.md", "python3 shovel.py amqp://guest:guest@127.0.0.1:5672"),
    "back": ("moving.md", "export_definitions back.json"),
    "alarms": ("operating.md", "leveretctl check_local_alarms"),
    "limits": ("operating.md", "leveretctl set_disk_free_limit"),
    "backup": ("operating.md", "cp -a /var/lib/leveret /backup"),
    "second leg": ("operating.md", "export_definitions /backup"),
    "restore": ("operating.md", "mv /var/lib/leveret"),
    "try": ("operating.md", "/tmp/leveret-try"),
    "listeners": ("security.md", "leveretctl listeners"),
    "users": ("security.md", "leveretctl set_topic_permissions"),
    "passwords": ("security.md", "leveretctl hash_password"),
    "load": ("performance.md", "leveret-bench --persistent"),
}
# What is not, and why.
NOT_RUN = {
    ("moving.md", "rabbitmqctl set_parameter shovel"): "needs RabbitMQ and its plugin",
    ("operating.md", "apt-get install"): "needs root: scripts/package try-deb",
    ("performance.md", "scripts/bench --short"): "builds and measures for minutes",
    ("performance.md", "scripts/bench --turns"): "builds and measures for minutes",
    ("performance.md", "scripts/compare"): "builds and measures for minutes",
}

pytestmark = [
    pytest.mark.skipif(
        bool(os.environ.get("LEVERET_URI")) or not os.environ.get("LEVERET_BIN"),
        reason="needs brokers of its own (LEVERET_BIN without LEVERET_URI)",
    ),
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is missing"),
]


def fenced(document):
    """The blocks of a document that are programs: language and text."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return [block for block in FENCE.findall(text) if block[0] in ("sh", "python")]


def block(document, words):
    """The one block of a document that has these words."""
    found = [text for _, text in fenced(document) if words in text]
    assert len(found) == 1, f"{document} has {len(found)} blocks with {words!r}"
    return found[0]


def put(text, changes):
    """The text with other ports and paths; each of the old ones has to be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in:\n{text}"
        text = text.replace(old, str(new))
    return text


def publish(channel, queue, count):
    """Publishes numbered messages that survive a restart; they are on disk on return."""
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    sent = [f"m{number}".encode() for number in range(count)]
    for body in sent:
        publisher.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
    publisher.close()
    return sent


class Machine:
    """A directory that commands run in, and brokers whose programs they find."""

    def __init__(self, directory):
        self.directory = directory
        self.brokers = []
        programs = directory / "programs"
        programs.mkdir()
        for name, text in {
            "sudo": 'exec "$@"',
            "python3": f'exec {shlex.quote(sys.executable)} "$@"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        built = pathlib.Path(os.environ["LEVERET_BIN"]).resolve().parent
        self.environment = dict(os.environ, PATH=f"{programs}:{built}:{os.environ['PATH']}")

    def broker(self, name="leveret-data", settings=""):
        """A broker in this directory; by this name leveretctl finds it without being told."""
        data = str(self.directory / name)
        broker = Broker(os.environ["LEVERET_BIN"], data, free_port(), settings).start()
        self.brokers.append(broker)
        return broker

    def sh(self, text, code=0):
        """Runs commands as bash does, stopping at the first that fails; what they printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode} of:\n{text}\n{done.stdout}"
        return done.stdout

    def steps(self, text, acts):
        """Runs commands, but calls for some lines a function in place of what they say."""
        for line in acts:
            assert line in text.splitlines(), f"{line!r} is not in:\n{text}"
        waiting = []
        for line in [*text.splitlines(), None]:
            if line is not None and line not in acts:
                waiting.append(line)
                continue
            if waiting:
                self.sh("\n".join(waiting))
                waiting.clear()
            if line is not None:
                acts[line]()

    def starts(self, text):
        """Runs commands the last of which is a broker; what it says when it listens, then stops."""
        process = subprocess.Popen(
            ["bash", "-euc", text.rstrip().replace("\nleveret ", "\nexec leveret ")],
            cwd=self.directory,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said = next((line for line in process.stderr if "listening on" in line), "")
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=COMMAND_TIMEOUT_S)
        assert process.returncode == 0
        return said


@pytest.fixture
def machine(tmp_path):
    """A directory with programs; its brokers are gone at the end."""
    machine = Machine(tmp_path)
    yield machine
    for broker in machine.brokers:
        broker.kill()


def test_every_command_in_the_guides_is_run_or_has_its_reason():
    known = [*RUN.values(), *NOT_RUN]
    for document in GUIDES:
        for _, text in fenced(document):
            names = [words for where, words in known if where == document and words in text]
            assert len(names) == 1, f"{document}: {names} know\n{text}"
    for document, words in known:
        block(document, words)


# Moving.


def at(broker, port):
    """The ports of a guide, to be replaced by those of a broker."""
    return {f"127.0.0.1:{port}": f"127.0.0.1:{broker.port}"}


def shovel(machine, old, new, name="shovel"):
    """The command that moves the queue `orders`."""
    (machine.directory / "shovel.py").write_text(block(*RUN["shovel.py"]), encoding="utf-8")
    return put(block(*RUN[name]), at(old, 5672) | at(new, 5673))


def test_definitions_come_out_of_one_broker_and_into_another(machine):
    old, new = machine.broker("old"), machine.broker()
    machine.sh("leveretctl --data-dir old add_user shop secret; leveretctl --data-dir old add_vhost v")
    machine.sh("leveretctl --data-dir old set_permissions -p v shop '^a' '^b' '^c'")
    with old.connect() as connection:
        connection.channel().queue_declare("orders", durable=True, arguments={"x-max-length": 7})
    machine.sh(put(block(*RUN["export"]), {"15672": old.management_port}))
    mode = (machine.directory / "definitions.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    said = machine.sh(put(block(*RUN["import"]), {"15673": new.management_port}))
    assert '"dry_run":true' in said.replace(" ", "")
    with new.connect("shop", "secret", "v"), new.connect() as connection:
        connection.channel().queue_declare("orders", durable=True, arguments={"x-max-length": 7})
    assert "shop\t^a\t^b\t^c" in machine.sh("leveretctl -q list_permissions -p v")


@pytest.mark.parametrize("version", ["3.10", "3.13", "4.1"])
def test_what_rabbitmq_exported_is_taken_in(machine, version):
    new = machine.broker()
    recorded = ROOT / "tests" / "management" / f"rabbitmq-{version}.json"
    shutil.copy(recorded, machine.directory / "definitions.json")
    command = put(block(*RUN["import"]), {"15673": new.management_port})
    assert "Successfully imported definitions" in machine.sh(command)


def test_a_broker_starts_beside_another_one(machine):
    ports = {"15693": free_port(), "15673": free_port(), "5673": free_port()}
    said = machine.starts(put(block(*RUN["beside"]), ports))
    for port in ports.values():
        assert f"127.0.0.1:{port}" in said


def test_the_shovel_moves_all_messages_in_order_with_their_properties(machine):
    old, new = machine.broker("old"), machine.broker("new")
    with old.connect() as source, new.connect() as target:
        taking, putting = target.channel(), source.channel()
        for channel in (taking, putting):
            channel.queue_declare("orders", durable=True)
            channel.queue_declare("copies", durable=True)
        headers = {"kind": "invoice", "deep": {"list": [1, "two"]}, "CC": ["copies"]}
        full = pika.BasicProperties(
            *("text/plain", "utf-8", headers, 2, 3, "c1", "reply", "3600000", "m1", 1700000000),
            *("type", None, "app"),
        )
        putting.confirm_delivery()
        putting.basic_publish("", "orders", b"first", full)
        sent = [b"first", *publish(putting, "orders", 50)]
        assert "51 messages moved" in machine.sh(shovel(machine, old, new))
        assert ready(putting, "orders") == 0
        # What was routed to two queues there is not doubled here.
        assert ready(taking, "copies") == 0
        moved = take(taking, "orders", 51, auto_ack=True)
        assert bodies(moved) == sent
        del headers["CC"]
        arrived = moved[0][1]
        assert arrived.headers == headers
        assert arrived.__dict__ == dict(full.__dict__, headers=headers)


def test_a_shovel_that_is_killed_loses_nothing(machine):
    old, new = machine.broker("old"), machine.broker("new")
    kills = 4
    with old.connect() as source, new.connect() as target:
        there, here = source.channel(), target.channel()
        there.queue_declare("orders", durable=True)
        here.queue_declare("orders", durable=True)
        sent = publish(there, "orders", 1000)
        command = shovel(machine, old, new)
        for _ in range(kills):
            before = ready(here, "orders")
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=machine.directory, env=machine.environment
            )
            deadline = time.monotonic() + EVENT_TIMEOUT_S
            while ready(here, "orders") < before + 20:
                assert time.monotonic() < deadline, "nothing is moved"
            process.kill()
            process.wait()
        assert 0 < ready(there, "orders") < 1000, "it was to be killed half-way"
        machine.sh(command)
        assert ready(there, "orders") == 0
        arrived = drain(here, "orders")
        assert set(arrived) == set(sent)
        assert len(arrived) <= len(sent) + kills


@pytest.mark.parametrize("arguments", [None, {"x-max-length": 3, "x-overflow": "reject-publish"}])
def test_what_the_target_does_not_take_stays_where_it_was(machine, arguments):
    old, new = machine.broker("old"), machine.broker("new")
    with old.connect() as source, new.connect() as target:
        there = source.channel()
        there.queue_declare("orders", durable=True)
        sent = publish(there, "orders", 10)
        if arguments:
            target.channel().queue_declare("orders", durable=True, arguments=arguments)
        machine.sh(shovel(machine, old, new), code=1)
        taken = 3 if arguments else 0
        pump_until(source, lambda: ready(there, "orders") == 10 - taken)
        assert drain(there, "orders") == sent[taken:]


def test_the_way_back_is_the_same(machine):
    old, new = machine.broker("old"), machine.broker()
    with new.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("orders", durable=True)
        sent = publish(channel, "orders", 20)
    (machine.directory / "shovel.py").write_text(block(*RUN["shovel.py"]), encoding="utf-8")
    command = put(
        block(*RUN["back"]),
        {"127.0.0.1:15672": f"127.0.0.1:{old.management_port}"} | at(old, 5672) | at(new, 5673),
    )
    assert "20 messages moved" in machine.sh(command)
    with old.connect() as connection:
        assert drain(connection.channel(), "orders") == sent


# Operating.


def test_an_alarm_is_seen_and_its_limits_can_be_moved(machine):
    broker = machine.broker()
    commands = block(*RUN["alarms"])
    machine.sh(commands)
    machine.sh("leveretctl set_vm_memory_high_watermark 0")
    assert "Memory alarm" in machine.sh("leveretctl alarms")
    parameters = pika.URLParameters(broker.uri)
    # If the alarm were not to end, neither would the connection's close.
    parameters.blocked_connection_timeout = 15
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_declare("orders")
        blocked = []
        connection.add_on_connection_blocked_callback(lambda *_: blocked.append(1))
        channel.basic_publish("", "orders", b"waits")
        pump_until(connection, lambda: blocked)
        # The second command says that there is an alarm by its exit code; the others go on.
        machine.sh(commands, code=69)
        assert "block" in machine.sh("leveretctl -q list_connections user state")
        machine.sh(block(*RUN["limits"]))
        pump_until(connection, lambda: ready(channel, "orders") == 1)
    machine.sh(commands)


def test_a_backup_is_made_tried_and_restored(machine):
    broker = machine.broker()
    (machine.directory / "backup").mkdir()
    paths = {
        "/var/lib/leveret": machine.directory / "leveret-data",
        "/backup": machine.directory / "backup",
    }
    acts = {
        "sudo systemctl stop leveret": broker.stop,
        "sudo systemctl start leveret": broker.start,
    }
    with broker.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("orders", durable=True)
        sent = publish(channel, "orders", 30)
    machine.steps(put(block(*RUN["backup"]), paths), acts)
    only = {"/backup": paths["/backup"]}
    machine.sh(put(block(*RUN["second leg"]), only))
    file = machine.directory / "backup" / "definitions.json"
    assert '"orders"' in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with broker.connect() as connection:
        assert drain(connection.channel(), "orders") == sent
    copy = {"/tmp/leveret-try": machine.directory / "leveret-try"}
    said = machine.starts(put(put(block(*RUN["try"]), only), copy))
    assert "1 queues and 30 messages" in said or "1 queue and 30 messages" in said
    machine.steps(put(block(*RUN["restore"]), paths), acts)
    with broker.connect() as connection:
        assert drain(connection.channel(), "orders") == sent


# Security.


def test_users_get_what_they_are_granted_and_guest_is_gone(machine):
    broker = machine.broker()
    assert f"port: {broker.port}" in machine.sh(block(*RUN["listeners"]))
    machine.sh(block(*RUN["users"]))
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        broker.connect()
    with broker.connect("shop", "a long password") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("shop.orders", durable=True)
        channel.basic_publish("", "shop.orders", b"m", mandatory=True)
        assert drain(channel, "shop.orders") == [b"m"]
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.queue_declare("orders")
        assert refused.value.reply_code == 403
    machine.sh("leveretctl set_permissions -p / shop '^shop' '.*' '^shop'")
    with broker.connect("shop", "a long password") as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", "shop.new", b"m")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.basic_publish("amq.topic", "office.new", b"m")
        assert refused.value.reply_code == 403


def test_passwords_come_from_files(machine):
    machine.broker()
    (machine.directory / "password.txt").write_text("long and random\n", encoding="utf-8")
    machine.sh(block(*RUN["passwords"]))
    assert "Success" in machine.sh("leveretctl authenticate_user clerk 'long and random'")


# Installing.


def reload(broker, expected):
    """Has the broker read its configuration again, as systemd does, until its log says this."""
    pathlib.Path(broker.data_dir + ".conf").write_text(
        "prometheus.tcp.port = 0\n" + broker.settings, encoding="utf-8"
    )
    before = len(broker.output)
    broker.process.send_signal(signal.SIGHUP)
    broker.await_line(expected, before)


def test_the_commands_that_install_end_with_tls_and_a_user(machine):
    broker = machine.broker()
    etc, port = machine.directory / "etc", free_port()
    etc.mkdir()
    configuration = etc / "leveret.conf"
    configuration.write_text("# Leveret's configuration\n", encoding="utf-8")

    def restart():
        broker.settings = configuration.read_text(encoding="utf-8")
        # A reload would not be enough, and says so.
        reload(broker, "restart the broker for what changed of listeners.ssl")
        assert broker.stop() == 0
        broker.start()

    commands = put(
        block("install.md", "sudo apt-get install"),
        {"/etc/leveret": etc, "0.0.0.0:5671": f"127.0.0.1:{port}", "-g leveret ": ""},
    )
    assert sum(line.startswith(("sudo ", "openssl ")) for line in commands.splitlines()) == 5
    package = "sudo apt-get install -y openssl ./leveret_0.1.0-1_amd64.deb"
    machine.steps(commands, {package: lambda: None, "sudo systemctl restart leveret": restart})
    assert stat.S_IMODE((etc / "tls.pem").stat().st_mode) == 0o640
    look = put(
        block("install.md", "openssl s_client"),
        {"/etc/leveret": etc, "127.0.0.1:5671": f"127.0.0.1:{port}"},
    )
    said = machine.sh(look)
    assert f"port: {port}, protocol: amqp/ssl" in said
    assert "Verification: OK" in said and "Verified peername: mq.example.org" in said
    public = machine.directory / "mq.pem"
    # OpenSSL takes a CA's certificate for a server's, and rustls does not.
    assert "CA:FALSE" in machine.sh("openssl x509 -in mq.pem -noout -ext basicConstraints")
    assert "PRIVATE" not in public.read_text(encoding="utf-8")
    trusting = ssl.create_default_context(cafile=public)
    parameters = pika.ConnectionParameters(
        host="127.0.0.1",
        port=port,
        credentials=pika.PlainCredentials("shop", "a long password"),
        ssl_options=pika.SSLOptions(trusting, "mq.example.org"),
    )
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().queue_declare("orders", durable=True)
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        broker.connect()
    # A new certificate takes a reload, and no restart.
    certificate = commands[commands.index("openssl req") : commands.index("sudo tee")]
    machine.sh(certificate)
    reload(broker, "new connections get it")
    old = public.read_text(encoding="utf-8")
    assert "Verification: OK" in machine.sh(look)
    assert public.read_text(encoding="utf-8") != old


# Performance.


def test_the_load_finds_nothing_lost(machine):
    broker = machine.broker()
    if not shutil.which("leveret-bench", path=machine.environment["PATH"]):
        pytest.skip("leveret-bench is not beside the broker")
    changes = {"leveret-bench": f"leveret-bench --uri {broker.uri}", "--seconds 10": "--seconds 1"}
    machine.sh(put(block(*RUN["load"]), changes))
