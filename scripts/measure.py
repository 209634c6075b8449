"""What scripts/bench and scripts/compare share: building, starting a broker on a temporary
directory, running leveret-bench and its relay, reading /proc. Python's standard library only."""

import atexit
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
CORES = sorted(os.sched_getaffinity(0))
BROKER_CORE = CORES[0]
LOAD_CORE = CORES[min(1, len(CORES) - 1)]


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    say(f"{os.path.basename(sys.argv[0])}: {text}")
    sys.exit(1)


def build(profile):
    """Builds the programs and says where they are."""
    say(f"== cargo build --profile {profile}")
    command = ["cargo", "build", "--quiet", "--profile", profile, "--bins"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        fail("the build failed")
    return os.path.join(TARGET, profile)


def pinned(core, command):
    return ["taskset", "-c", str(core)] + command


class Broker:
    """A leveret of our own, pinned to its core, on a temporary directory."""

    def __init__(self, programs, directory=None, tls=False):
        self.program = os.path.join(programs, "leveret")
        self.directory = tempfile.mkdtemp(prefix="leveret-bench-", dir=directory)
        self.certificate = os.path.join(self.directory, "server.pem") if tls else None
        atexit.register(self.remove)
        self.process = None

    def start(self):
        """Starts it; the seconds until it listens."""
        self.port = free_port()
        log = open(os.path.join(self.directory, "log"), "ab")
        command = [self.program, "--data-dir", os.path.join(self.directory, "data")]
        command += ["--port", str(self.port), "--management-port", "0", "--log-level", "warning"]
        if self.certificate:
            command += ["--config", self.with_tls()]
        began = time.monotonic()
        self.process = subprocess.Popen(pinned(BROKER_CORE, command), stdout=log, stderr=log)
        log.close()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return time.monotonic() - began
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - began > 300:
                with open(os.path.join(self.directory, "log")) as log:
                    fail(f"the broker does not start:\n{log.read()}")
            time.sleep(0.0005)

    def with_tls(self):
        """A configuration with a listener for TLS, whose certificate is made now."""
        self.tls_port, key = free_port(), self.certificate + ".key"
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", key, "-out", self.certificate],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if made.returncode != 0:
            fail(f"openssl makes no certificate: {made.stdout}")
        path = os.path.join(self.directory, "leveret.conf")
        with open(path, "w") as file:
            file.write(f"listeners.ssl.default = {self.tls_port}\n")
            file.write(f"ssl_options.certfile = {self.certificate}\nssl_options.keyfile = {key}\n")
        return path

    @property
    def tls_uri(self):
        return f"amqps://guest:guest@localhost:{self.tls_port}/%2F"

    @property
    def pid(self):
        return self.process.pid

    @property
    def uri(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            if self.process.wait(timeout=120) != 0:
                say(f"the broker ended with exit code {self.process.returncode}")
        self.process = None

    def files(self):
        """The files in its data directory."""
        for directory, _, names in os.walk(os.path.join(self.directory, "data")):
            yield from (os.path.join(directory, name) for name in names)

    def log_bytes(self):
        """Bytes of the files in its data directory."""
        return sum(os.path.getsize(name) for name in self.files())

    def read_log(self):
        """The seconds that one process needs to read all of them."""
        began, buffer = time.monotonic(), bytearray(1 << 20)
        for name in self.files():
            with open(name, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        return time.monotonic() - began

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def bench(programs, uri, arguments, pid=None):
    """Runs leveret-bench; its report, or a failure."""
    command = [os.path.join(programs, "leveret-bench"), "--uri", uri, "--json", "--quiet"]
    if pid:
        command += ["--broker-pid", str(pid)]
    command = pinned(LOAD_CORE, command + [str(a) for a in arguments])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        fail(f"no result from: {' '.join(command)}")
    report = json.loads(done.stdout)
    if done.returncode != 0:
        verdict = {k: v for k, v in report["verdict"].items() if v}
        fail(f"{' '.join(command)}: exit code {done.returncode}, {report['failures']}, {verdict}")
    return report


def relay(programs, in_bytes, out_bytes, copies, seconds, file=None):
    """What moving the same bytes costs without a broker."""
    serve, load = [in_bytes, out_bytes, copies], [in_bytes, copies, seconds]
    return json.loads(peers(programs, "relay", serve, file, load)[0])


def ping(programs, in_bytes, out_bytes, connections, seconds, file=None):
    """How fast one message in flight per connection is answered without a broker, once it was
    written to the file and synced, if there is one."""
    serve, load = [in_bytes, out_bytes, connections], [in_bytes, out_bytes, connections, seconds]
    return json.loads(peers(programs, "ping", serve, file, load)[1])


def peers(programs, what, serve, file, load):
    """Runs both ends of a relay or a ping, each on its core; what they print."""
    program = [os.path.join(programs, "leveret-bench"), what]
    serve = program + ["serve"] + [str(a) for a in serve] + ([file] if file else [])
    server = subprocess.Popen(pinned(BROKER_CORE, serve), stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().strip()
    load = program + ["load", port] + [str(a) for a in load]
    loaded = subprocess.run(pinned(LOAD_CORE, load), check=True, stdout=subprocess.PIPE, text=True)
    served = server.stdout.read()
    server.wait()
    if file:
        os.unlink(file)
    return served, loaded.stdout


def frame_bytes(size, persistent, exchange, key):
    """Bytes on the wire of one publish and of one delivery, as leveret-bench makes them."""
    content = (8 + 14 + int(persistent)) + (8 + size if size else 0)
    publish = 8 + 4 + 2 + 1 + len(exchange) + 1 + len(key) + 1
    deliver = 8 + 4 + 6 + 8 + 1 + 1 + len(exchange) + 1 + len(key)
    return publish + content, deliver + content


class LoopDisk:
    """An ext4 of its own on a loop device, whose counters say what really reaches the device: the
    kernel's bytes per process count whole folios of the page cache, however little of them is
    dirty. Root only."""

    def __init__(self, directory, mib=2048):
        self.home = tempfile.mkdtemp(prefix="leveret-disk-", dir=directory)
        atexit.register(self.remove)
        image, self.mount = os.path.join(self.home, "image"), os.path.join(self.home, "mount")
        os.mkdir(self.mount)
        with open(image, "wb") as file:
            file.truncate(mib << 20)
        run_quietly("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image)
        run_quietly("mount", "-o", "loop", image, self.mount)
        self.device = os.stat(self.mount).st_dev

    def written_bytes(self):
        """What was written to the device, all that is cached included."""
        subprocess.run(["sync", "-f", self.mount], check=True)
        name = f"{os.major(self.device)}:{os.minor(self.device)}"
        with open(f"/sys/dev/block/{name}/stat") as stat:
            return int(stat.read().split()[6]) * 512

    def remove(self):
        subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)


def run_quietly(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def loop_disk(directory):
    """A loop disk, or `None` where there cannot be one."""
    try:
        return LoopDisk(directory)
    except (OSError, subprocess.CalledProcessError):
        return None


def fdatasync_us(directory, rounds=400):
    """Median microseconds of an fdatasync after a 4 KiB write into an allocated file."""
    path = os.path.join(directory, "fdatasync-probe")
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    page = b"x" * 4096
    pages = 256
    for number in range(pages):
        os.pwrite(file, page, number * 4096)
    os.fsync(file)
    times = []
    for number in range(rounds):
        os.pwrite(file, page, number % pages * 4096)
        began = time.perf_counter()
        os.fdatasync(file)
        times.append((time.perf_counter() - began) * 1e6)
    os.close(file)
    os.unlink(path)
    return statistics.median(times)


def anonymous_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def cpu_seconds(pid):
    """CPU time of all threads of a process, from the scheduler's nanosecond counters."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


class Raw:
    """An AMQP connection of few words: for many idle ones, and for many declarations at once."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.wait(10, 10)
        plain = longstr(b"\0guest\0guest")
        self.send(0, 10, 11, longstr(b"") + shortstr(b"PLAIN") + plain + shortstr(b"en_US"))
        self.wait(10, 30)
        tune_ok = struct.pack(">HIH", 2047, 131072, 0)
        self.send(0, 10, 31, tune_ok)
        self.send(0, 10, 40, shortstr(b"/") + shortstr(b"") + b"\0")
        self.wait(10, 41)

    def open_channel(self):
        self.send(1, 20, 10, shortstr(b""))
        self.wait(20, 11)

    def send(self, channel, class_id, method_id, arguments):
        self.socket.sendall(method(channel, class_id, method_id, arguments))

    def wait(self, class_id, method_id):
        """Reads up to this method."""
        while True:
            while len(self.input) < 7:
                self.fill()
            kind, _, size = struct.unpack(">BHI", self.input[:7])
            while len(self.input) < size + 8:
                self.fill()
            payload, self.input = self.input[7 : 7 + size], self.input[size + 8 :]
            if kind == 1:
                found = struct.unpack(">HH", payload[:4])
                if found == (class_id, method_id):
                    return
                if found in ((10, 50), (20, 40)):
                    fail(f"the broker closed: {payload[4:]!r}")

    def fill(self):
        more = self.socket.recv(65536)
        if not more:
            fail("the broker closed the connection")
        self.input += more


def shortstr(text):
    return bytes([len(text)]) + text


def longstr(text):
    return struct.pack(">I", len(text)) + text


def method(channel, class_id, method_id, arguments):
    payload = struct.pack(">HH", class_id, method_id) + arguments
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def machine():
    """One line that says where the figures come from."""
    with open("/proc/cpuinfo") as info:
        models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    kernel = os.uname()
    model = models[0] if models else kernel.machine
    return f"{model}, {len(CORES)} cores, {kernel.sysname} {kernel.release}"
