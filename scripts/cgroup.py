"""A memory cgroup of one's own, of version 2 or 1, below the one that this process is in."""

import os
import time

ROOT = "/sys/fs/cgroup"


class Unavailable(Exception):
    """There can be no such group here; the text says why."""


def make(name, limit_bytes):
    """A group with this limit for everything that it is charged, swap included."""
    with open("/proc/self/cgroup") as lines:
        fields = [line.rstrip("\n").split(":", 2) for line in lines]
    paths = {names: path for _, names, path in fields}
    first = next((names for names in paths if "memory" in names.split(",")), None)
    try:
        if first is not None:
            return V1(os.path.join(ROOT, "memory"), paths[first], name, limit_bytes)
        if "" in paths:
            return V2(ROOT, handing_on_memory(ROOT, paths[""]), name, limit_bytes)
    except OSError as error:
        raise Unavailable(f"{error.filename}: {error.strerror}") from error
    raise Unavailable("this kernel has no memory cgroups")


def directory(top, path, name):
    """Where a group of this name is, below the one at this path of a hierarchy."""
    above = os.path.join(top, path.strip("/"))
    # In a container the group is often mounted as the top, and the path is the one outside.
    return os.path.join(above if os.path.isdir(above) else top, name)


def handing_on_memory(top, path):
    """In version 2, a group may limit memory if the one above it hands that on, which one that has
    processes cannot: the path of the nearest that does, from this one upwards."""
    path = path.strip("/")
    while path and "memory" not in controllers(os.path.join(top, path)):
        path = os.path.dirname(path)
    return path


def controllers(directory):
    """What a group of version 2 hands on."""
    try:
        with open(os.path.join(directory, "cgroup.subtree_control")) as text:
            return text.read().split()
    except FileNotFoundError:
        return []


class Group:
    """What both versions have in common."""

    def __init__(self, top, path, name, limit_bytes):
        self.directory = directory(top, path, name)
        os.mkdir(self.directory)
        try:
            self.limit(limit_bytes)
        except OSError:
            self.remove()
            raise

    def write(self, file, text):
        with open(os.path.join(self.directory, file), "w") as out:
            out.write(str(text))

    def number(self, file, missing=0):
        try:
            with open(os.path.join(self.directory, file)) as text:
                return int(text.read())
        except (FileNotFoundError, ValueError):
            return missing

    def table(self, file):
        with open(os.path.join(self.directory, file)) as lines:
            return {key: int(number) for key, number in (line.split() for line in lines)}

    def enter(self):
        """Puts this process into it; for a child before it becomes another program."""
        self.write("cgroup.procs", os.getpid())

    def remove(self):
        """The kernel lets go of the last process a moment after its parent heard of the end."""
        for _ in range(100):
            try:
                return os.rmdir(self.directory)
            except FileNotFoundError:
                return None
            except OSError:
                time.sleep(0.05)
        return None


class V1(Group):
    """Version 1 charges sockets apart from the rest, and only where they have a limit."""

    def limit(self, limit_bytes):
        self.write("memory.kmem.tcp.limit_in_bytes", limit_bytes)
        self.write("memory.limit_in_bytes", limit_bytes)
        if os.path.exists(os.path.join(self.directory, "memory.memsw.limit_in_bytes")):
            self.write("memory.memsw.limit_in_bytes", limit_bytes)

    def sample(self):
        """Bytes of each kind, now."""
        stat = self.table("memory.stat")
        return dict(
            anon=stat["total_rss"],
            file=stat["total_cache"],
            kernel=self.number("memory.kmem.usage_in_bytes"),
            sockets=self.number("memory.kmem.tcp.usage_in_bytes"),
        )

    def peak(self):
        """The most bytes so far."""
        return self.number("memory.max_usage_in_bytes")

    def oom_kills(self):
        return self.table("memory.oom_control").get("oom_kill", 0)


class V2(Group):
    """Version 2 charges everything to one account."""

    def limit(self, limit_bytes):
        self.write("memory.max", limit_bytes)
        if os.path.exists(os.path.join(self.directory, "memory.swap.max")):
            self.write("memory.swap.max", 0)

    def sample(self):
        """Bytes of each kind, now."""
        stat = self.table("memory.stat")
        kernel = stat.get("kernel", stat.get("slab", 0) + stat.get("kernel_stack", 0))
        return dict(anon=stat["anon"], file=stat["file"], kernel=kernel, sockets=stat["sock"])

    def peak(self):
        """The most bytes so far."""
        return self.number("memory.peak")

    def oom_kills(self):
        return self.table("memory.events")["oom_kill"]
