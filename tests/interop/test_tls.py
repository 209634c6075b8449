"""Clients that no one here wrote speak TLS: pika, aio-pika, curl, openssl and RabbitMQ's for Java."""

import asyncio
import os
import pathlib
import shutil
import ssl
import subprocess

import aio_pika
import pika
import pika.credentials
import pika.exceptions
import pytest

from broker import Broker, free_port, own_binary, running

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is missing")

TOOL_TIMEOUT_S = 60
JARS = pathlib.Path("/usr/share/java")


def run(*words, **more):
    """Runs a program that has to succeed; what it said."""
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TOOL_TIMEOUT_S,
        check=False,
        **more,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}"
    return done.stdout


class Authority:
    """Makes certificates in a directory."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        self.certificate = directory / f"{name}.pem"
        run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", directory / f"{name}.key"),
            *("-out", self.certificate),
        )

    def issue(self, name, subject, usage, alternative="DNS:localhost"):
        """A certificate and its key: two paths."""
        request, key = self.directory / f"{name}.csr", self.directory / f"{name}.key"
        certificate, extensions = self.directory / f"{name}.pem", self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage={usage}\n")
        run(
            *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-utf8", "-multivalue-rdn"),
            *("-subj", subject, "-keyout", key, "-out", request),
        )
        run(
            *("openssl", "x509", "-req", "-in", request, "-CA", self.certificate),
            *("-CAkey", self.directory / f"{self.name}.key", "-CAcreateserial", "-days", "2"),
            *("-extfile", extensions, "-out", certificate),
        )
        return certificate, key


class Secret:
    """A broker with TLS, and what its clients need."""

    def __init__(self, broker, authority, client, port, https):
        self.broker, self.authority, self.client = broker, authority, client
        self.port, self.https = port, https

    def context(self, client=True):
        """What Python's clients want."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if client:
            context.load_cert_chain(*self.client)
        return context


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A broker at which `CN=a client,O=Shop` may log in with a certificate."""
    binary = own_binary()
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory, "authority")
    server = authority.issue("server", "/CN=broker", "serverAuth")
    client = authority.issue("client", "/O=Shop/CN=a client", "clientAuth")
    port, https, plain = free_port(), free_port(), free_port()
    settings = (
        f"listeners.ssl.default = {port}\nmanagement.ssl.port = {https}\n"
        f"ssl_options.certfile = {server[0]}\nssl_options.keyfile = {server[1]}\n"
        f"ssl_options.cacertfile = {authority.certificate}\nssl_options.verify = verify_peer\n"
    )
    with running(Broker(binary, str(directory / "data"), plain, settings)) as broker:
        broker.ask("PUT", "users/CN=a%20client,O=Shop", {"password_hash": "", "tags": ""})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        broker.ask("PUT", "permissions/%2F/CN=a%20client,O=Shop", everything)
        yield Secret(broker, authority, client, port, https)


@pytest.mark.parametrize("mechanism", ["PLAIN", "EXTERNAL"])
def test_pika(secret, name, mechanism):
    """A message there and back, and who it was is shown."""
    external, own = mechanism == "EXTERNAL", name("pika")
    credentials = (
        pika.credentials.ExternalCredentials() if external
        else pika.PlainCredentials("guest", "guest")
    )
    parameters = pika.ConnectionParameters(
        "localhost", secret.port, credentials=credentials,
        ssl_options=pika.SSLOptions(secret.context(external), "localhost"),
        client_properties={"connection_name": own},
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare(name("q"), exclusive=True).method.queue
        body = os.urandom(300_000)
        channel.basic_publish("", queue, body)
        assert channel.basic_get(queue, auto_ack=True)[2] == body
        shown = secret.broker.ask("GET", "connections")
        mine = next(one for one in shown if one["user_provided_name"] == own)
        assert mine["ssl"] and mine["ssl_protocol"] == "tlsv1.3"
        assert mine["auth_mechanism"] == mechanism
        assert mine["user"] == ("CN=a client,O=Shop" if external else "guest")
        assert mine["peer_cert_subject"] == ("CN=a client,O=Shop" if external else None)


def test_pika_of_a_stranger_is_refused(secret, tmp_path):
    """A certificate of somebody else's authority."""
    other = Authority(tmp_path, "other")
    context = secret.context(False)
    context.load_cert_chain(*other.issue("x", "/O=Shop/CN=a client", "clientAuth"))
    parameters = pika.ConnectionParameters(
        "localhost", secret.port, credentials=pika.credentials.ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "localhost"),
    )
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(parameters)
    # The others are served.
    with pika.BlockingConnection(pika.URLParameters(secret.broker.uri)) as connection:
        connection.channel()


@pytest.mark.parametrize("external", [False, True])
def test_aio_pika(secret, name, external):
    """A message there and back."""

    async def echo():
        login = "" if external else "guest:guest@"
        uri = f"amqps://{login}localhost:{secret.port}/"
        uri += "?auth=external" if external else ""
        connection = await aio_pika.connect(uri, ssl_context=secret.context(external))
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(name("q"), exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"hello"), queue.name)
            message = await queue.get()
            await message.ack()
            return message.body

    assert asyncio.run(echo()) == b"hello"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_curl_over_https(secret):
    """The HTTP API, in both versions of TLS."""
    for version in ["1.2", "1.3"]:
        said = run(
            *("curl", "-sS", "--fail", "--cacert", secret.authority.certificate, "-u", "guest:guest"),
            *(f"--tlsv{version}", "--tls-max", version, f"https://localhost:{secret.https}/api/whoami"),
        )
        assert '"guest"' in said
    with pytest.raises(AssertionError, match="certificate"):
        run("curl", "-sS", "--fail", f"https://localhost:{secret.https}/api/whoami")


def test_a_client_that_wants_to_renegotiate_is_declined(secret):
    """It gives up then, and nobody else notices."""
    client = subprocess.Popen(
        ["openssl", "s_client", "-tls1_2", "-connect", f"localhost:{secret.port}", "-CAfile",
         str(secret.authority.certificate)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    with client:
        client.stdin.write(b"R\n")
        client.stdin.flush()
        client.wait(TOOL_TIMEOUT_S)
    with pika.BlockingConnection(pika.URLParameters(secret.broker.uri)) as connection:
        connection.channel()
    secret.broker.ask("GET", "overview")
    said = "".join(secret.broker.output)
    assert "closed, TLS failed: it gave up (HandshakeFailure)" in said, said[-2000:]


@pytest.mark.skipif(
    not shutil.which("java") or not (JARS / "amqp-client.jar").exists(),
    reason="RabbitMQ's Java client is missing",
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "EXTERNAL"])
def test_java_client(secret, tmp_path, mechanism):
    """A message there and back with RabbitMQ's own client."""
    trust, keys = tmp_path / "trust.p12", tmp_path / "keys.p12"
    run("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file",
        secret.authority.certificate, "-keystore", trust, "-storepass", "secret", "-storetype",
        "PKCS12")
    certificate, key = secret.client
    run("openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", keys,
        "-passout", "pass:secret")
    jars = ":".join(str(JARS / f"{jar}.jar") for jar in ["amqp-client", "slf4j-api", "slf4j-nop"])
    source = pathlib.Path(__file__).with_name("TlsEcho.java")
    said = run("java", "-cp", jars, source, secret.port, trust, keys, mechanism)
    assert "echo: hello" in said, said
