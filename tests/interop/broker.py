"""The broker as a child process: started on a free port, killed, started again on the same data."""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import pika
import pytest

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 30
ANSWER_TIMEOUT_S = 30
SAYS_WITHIN_S = 30
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


def free_port():
    """A port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def own_binary():
    """The binary, for a test that starts, changes or kills a broker; skips it where there is none."""
    if os.environ.get("LEVERET_URI") or not os.environ.get("LEVERET_BIN"):
        pytest.skip("needs a broker of its own (LEVERET_BIN without LEVERET_URI)")
    return os.environ["LEVERET_BIN"]


@contextlib.contextmanager
def running(broker):
    """A broker from its start to its end, which has to be an orderly one."""
    broker.start()
    yield broker
    code = broker.stop()
    assert code == 0, f"the broker ended with {code}:\n" + "".join(broker.output[-40:])


class Broker:
    """One broker process with its own data directory; `uri` is valid while it runs."""

    def __init__(self, binary, data_dir, management_port=0, settings=""):
        self.binary = binary
        self.settings = settings
        self.data_dir = data_dir
        self.management_port = management_port
        self.port = None
        self.process = None
        self.output = []
        self.news = threading.Condition()

    @property
    def uri(self):
        """Where it listens, as guest on the vhost `/`."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def api(self):
        """Where its HTTP API is, if it has a port."""
        return f"http://127.0.0.1:{self.management_port}/api"

    def connect(self, user="guest", password="guest", vhost="/"):
        """A pika connection to it."""
        credentials = pika.PlainCredentials(user, password)
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, vhost, credentials)
        return pika.BlockingConnection(parameters)

    def ask(self, method, path, body=None, code=None, user="guest:guest"):
        """What the HTTP API answers: JSON, or nothing; any success, or this code."""
        request = urllib.request.Request(f"{self.api}/{path}", method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read()
        well = status == code if code else 200 <= status < 300
        assert well, f"{method} {path}: {status} {text}"
        return json.loads(text) if text else None

    def start(self, port=0):
        """Starts the process and returns when it said that it is listening; 0 is any free port."""
        # Metrics have a fixed port of their own otherwise, which another broker may have.
        settings = pathlib.Path(self.data_dir + ".conf")
        settings.write_text("prometheus.tcp.port = 0\n" + self.settings, encoding="utf-8")
        self.process = subprocess.Popen(
            [
                *(self.binary, "--port", str(port), "--data-dir", self.data_dir),
                *("--management-port", str(self.management_port), "--config", str(settings)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        self.port = None
        listening = threading.Event()
        # The pipe has to be read for as long as the broker lives, or a full pipe would stop it.
        threading.Thread(target=self._read, args=(self.process, listening), daemon=True).start()
        if not listening.wait(START_TIMEOUT_S) or self.port is None:
            self.kill()
            said = "".join(self.output[-40:])
            raise RuntimeError(f"{self.binary} never said 'listening on'; it said:\n{said}")
        return self

    def await_line(self, words, after=0):
        """Returns once it said this, in a line behind so many."""
        with self.news:
            said = self.news.wait_for(
                lambda: any(words in line for line in self.output[after:]), SAYS_WITHIN_S
            )
            assert said, f"{words!r} is not in {self.output[after:]}"

    def start_again(self):
        """Starts it on the port that it had, where its clients look for it."""
        return self.start(self.port)

    def kill(self):
        """Ends it as a power cut would, as far as the process is concerned: SIGKILL."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self):
        """Asks it to stop (SIGTERM) and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def _read(self, process, listening):
        for line in process.stdout:
            with self.news:
                self.output.append(line)
                self.news.notify_all()
            found = LISTENING.search(line)
            if found and not listening.is_set():
                self.port = int(found.group(1))
                listening.set()
        listening.set()
