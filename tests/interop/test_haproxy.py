"""Debian's haproxy in front of the broker, with the PROXY protocol in both versions."""

import contextlib
import shutil
import socket
import subprocess
import time

import pika
import pytest

from broker import Broker, free_port, own_binary

# haproxy connects from there, clients from 127.0.0.1.
PROXY = "127.0.0.5"
STARTS_WITHIN_S = 20

WAYS = {
    "send-proxy": "send-proxy check-send-proxy",
    "send-proxy-v2": "send-proxy-v2 check-send-proxy",
    "with-options": "send-proxy-v2 proxy-v2-options unique-id,crc32c check-send-proxy",
}

CONFIGURATION = """
global
    maxconn 100
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""

SECTION = """
listen {name}
    bind 127.0.0.1:{port}
    mode {mode}
    unique-id-format %{{+X}}o%ci:%cp
    server broker 127.0.0.1:{to} source {proxy} {way} check inter 200ms
"""

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is missing")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A broker, and the ports of haproxy in front of it, by the way in which it speaks of others."""
    binary = own_binary()
    home = tmp_path_factory.mktemp("haproxy")
    settings = "proxy_protocol = true\nmanagement.tcp.proxy_protocol = true\n"
    settings += f"proxy_protocol.trusted.1 = {PROXY}\n"
    broker = Broker(binary, str(home / "data"), free_port(), settings).start()
    ports = {name: free_port() for name in [*WAYS, "api"]}
    sections = [
        SECTION.format(name=name, port=ports[name], mode="tcp", to=broker.port, proxy=PROXY, way=way)
        for name, way in WAYS.items()
    ]
    sections.append(
        SECTION.format(name="api", port=ports["api"], mode="http", to=broker.management_port,
                       proxy=PROXY, way=WAYS["send-proxy-v2"])
    )
    path = home / "haproxy.cfg"
    path.write_text(CONFIGURATION + "".join(sections), encoding="utf-8")
    with open(home / "haproxy.log", "w", encoding="utf-8") as log:
        haproxy = subprocess.Popen(["haproxy", "-f", path], stdout=log, stderr=log)
    try:
        for port in ports.values():
            wait_for(port)
        # Operators come through it, too.
        broker.management_port = ports["api"]
        yield broker, ports
    finally:
        haproxy.terminate()
        haproxy.wait(STARTS_WITHIN_S)
        code = broker.stop()
    assert code == 0, "".join(broker.output[-40:])
    assert not [line for line in broker.output if "refused" in line], "a health check was refused"


def wait_for(port):
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < until, f"nobody listens at {port}"


@pytest.mark.parametrize("way", WAYS)
def test_a_client_behind_haproxy_has_its_own_address(proxied, way):
    broker, ports = proxied
    parameters = pika.ConnectionParameters("127.0.0.1", ports[way])
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"x" * 100_000)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"x" * 100_000
    (shown,) = broker.ask("GET", "connections")
    assert (shown["peer_host"], shown["port"]) == ("127.0.0.1", ports[way])
    assert shown["name"] == f"127.0.0.1:{shown['peer_port']} -> 127.0.0.1:{ports[way]}"
    connection.close()


def test_who_comes_past_haproxy_is_not_let_in(proxied):
    broker, _ = proxied
    with socket.create_connection(("127.0.0.1", broker.port)) as bare:
        bare.settimeout(10)
        with contextlib.suppress(ConnectionError):
            bare.sendall(b"AMQP\0\0\x09\x01")
            assert bare.recv(1) == b""
    # That was meant, and is no health check.
    broker.await_line("not among the proxies")
    broker.output[:] = [line for line in broker.output if "not among the proxies" not in line]
