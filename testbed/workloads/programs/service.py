"""A small service on UDP whose use of memory is known: `service.py MODE key=value...`.

Sizes are bytes, times seconds. It answers each datagram after it did what its mode says. Randomness is seeded by `seed`
and `run`.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable

MIB = 2**20
PORT = 7000
SCRATCH = "/media"
POPULATED = 2**18
"""Bytes from which a buffer is a mapping of its own, as malloc's are."""

Buffer = bytes | mmap.mmap
Do = Callable[[], None]
"""What a mode does for one request, or at each tick."""


class Service:
    """The parts that modes share: parameters, random numbers, what is kept and what is held for a while."""

    def __init__(self, parameters: dict[str, float]) -> None:
        self.of = parameters
        self.rng = random.Random(f"{parameters.get('seed', 0)}/{parameters.get('run', 0)}")  # noqa: S311 - no secret
        self.kept: list[object] = [filled(self.get("base"))]
        self.held: list[tuple[float, Buffer]] = []

    def get(self, name: str, default: float = 0.0) -> float:
        """Return a parameter."""
        return self.of.get(name, default)

    def some(self, name: str) -> int:
        """Return a size drawn around a parameter."""
        return int(self.get(name) * self.rng.uniform(0.5, 1.5))

    def keep(self) -> None:
        """Keep a part of a request for good."""
        self.kept.append(filled(self.some("each")))

    def hold(self, size: float, seconds: float) -> None:
        """Hold a buffer for a while."""
        self.held.append((time.monotonic() + seconds, filled(size)))

    def answer(self) -> None:
        """Need a little (`request`) for a moment, beside what the mode is about."""
        if self.get("request"):
            self.hold(self.some("request"), self.get("hold", 1.0))

    def release(self) -> None:
        """Drop what was held long enough."""
        now = time.monotonic()
        self.held = [(until, buffer) for until, buffer in self.held if until > now]


def filled(size: float) -> Buffer:
    """Return so many bytes that are really in memory.

    A page fault costs some hundred times more in User-Mode Linux than on a machine; populated pages cost little.
    """
    if size < POPULATED:
        return b"x" * int(size)
    return mmap.mmap(-1, int(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)


def nothing() -> None:
    """Do nothing."""


def keep(s: Service) -> tuple[Do, Do]:
    """Keep a part of every request; now and then (`chance`) hold something `large` for a second."""

    def request() -> None:
        s.answer()
        if s.get("each"):
            s.keep()
        if s.rng.random() < s.get("chance"):
            s.hold(s.some("large"), 1.0)

    return request, s.release


def by_time(s: Service) -> tuple[Do, Do]:
    """Keep something at every tick, whatever is asked."""
    return nothing, s.keep


def warmup(s: Service) -> tuple[Do, Do]:
    """Approach `each` bytes ever more slowly, within about `seconds`."""
    grown = 0.0

    def tick() -> None:
        nonlocal grown
        s.release()
        more = (s.get("each") - grown) * 0.5 / s.get("seconds")
        s.kept.append(filled(more))
        grown += more

    return s.answer, tick


def fragments(s: Service) -> tuple[Do, Do]:
    """Cut buffers that stand side by side to their first bytes: the holes between are too small for any later one."""

    def request() -> None:
        buffers = [bytearray(filled(s.get("each"))) for _ in range(int(s.get("count")))]
        for buffer in buffers:
            del buffer[1000:]
        s.kept.extend(buffers)

    return request, nothing


def processes(s: Service) -> tuple[Do, Do]:
    """Leave helper processes that never end; spawned, as a fork in a full cgroup is a User-Mode Linux's end."""

    def request() -> None:
        for _ in range(int(s.get("each"))):
            with contextlib.suppress(OSError):
                os.posix_spawn("/bin/sleep", ["sleep", "infinity"], os.environ)

    return request, nothing


def sockets(s: Service) -> tuple[Do, Do]:
    """Leave connected sockets with unread bytes in them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (2**20, 2**20))

    def request() -> None:
        for _ in range(int(s.get("each"))):
            ends = socket.socketpair()
            ends[0].send(filled(4000))
            s.kept.append(ends)

    return request, nothing


def steps(s: Service) -> tuple[Do, Do]:
    """Keep the large result of every n-th request."""
    count = 0

    def request() -> None:
        nonlocal count
        count += 1
        if count % int(s.get("every")) == 0:
            s.keep()

    return request, nothing


def collector(s: Service) -> tuple[Do, Do]:
    """Make garbage in cycles, collected every n requests; keep `each` as well where that is not 0."""
    gc.disable()
    count = 0

    def request() -> None:
        nonlocal count
        count += 1
        circle: list[object] = [filled(s.some("garbage"))]
        circle.append(circle)
        if s.get("each"):
            s.keep()
        if count % int(s.get("every")) == 0:
            gc.collect()

    return request, nothing


def sessions(s: Service) -> tuple[Do, Do]:
    """Hold a buffer for each request for a while."""
    return lambda: s.hold(s.some("each"), s.get("hold")), s.release


def tmpfs(s: Service) -> tuple[Do, Do]:
    """Leave a scratch file for each request."""
    count = 0

    def request() -> None:
        nonlocal count
        count += 1
        with open(f"{SCRATCH}/{count}", "wb") as file:  # noqa: PTH123 - pathlib costs memory
            file.write(filled(s.some("each")))

    return request, nothing


def cache(s: Service) -> tuple[Do, Do]:
    """Keep the answer to each of a bounded set of keys."""
    answers: dict[int, Buffer] = {}

    def request() -> None:
        key = s.rng.randrange(int(s.get("keys")))
        if key not in answers:
            answers[key] = filled(s.get("each"))

    s.kept.append(answers)
    return request, nothing


def startup(s: Service) -> tuple[Do, Do]:
    """Build something large in the course of `seconds`, then serve from `each`."""
    parts: list[Buffer] = []
    peak, count = s.get("peak") * s.rng.uniform(0.92, 1.08), int(s.get("seconds") / 0.1)
    for _ in range(count):
        parts.append(filled(peak / count))
        time.sleep(0.1)
    time.sleep(1)
    parts.clear()
    s.kept.append(filled(s.get("each")))
    return lambda: s.hold(s.get("each") / 50, 1.0), s.release


def data(s: Service) -> tuple[Do, Do]:
    """Hold a data set that grows by the calendar: `each` bytes a second since `since`."""
    rows: list[Buffer] = []
    row = 64 * 1024

    def load() -> None:
        due = s.get("each") * (time.time() - s.get("since"))
        while len(rows) * row < due:
            rows.append(filled(row))

    def tick() -> None:
        s.release()
        load()

    load()
    return lambda: s.hold(s.get("request"), 0.5), tick


def jobs(s: Service) -> tuple[Do, Do]:
    """Let a worker process do the work: it keeps `each` of a job, and some jobs need `large` for a second."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    child = [0, -1]

    def start() -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write)
            s.rng.seed(os.getpid())
            request, _ = keep(s)
            while os.read(read, 1):
                s.release()
                request()
                time.sleep(0.01)
            os._exit(0)
        os.close(read)
        child[:] = [pid, write]

    def request() -> None:
        if os.waitpid(child[0], os.WNOHANG)[0]:
            os.close(child[1])
            time.sleep(1)
            start()
        with contextlib.suppress(BrokenPipeError):
            os.write(child[1], b"j")

    start()
    return request, nothing


MODES: dict[str, Callable[[Service], tuple[Do, Do]]] = {
    "keep": keep,
    "time": by_time,
    "warmup": warmup,
    "fragments": fragments,
    "processes": processes,
    "sockets": sockets,
    "steps": steps,
    "collector": collector,
    "sessions": sessions,
    "tmpfs": tmpfs,
    "cache": cache,
    "startup": startup,
    "data": data,
    "jobs": jobs,
}


def serve(request: Do, tick: Do) -> None:
    """Answer datagrams for ever, with a tick each half second; one at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", PORT))
        server.settimeout(0.25)
        last = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                text, client = server.recvfrom(2048)
                request()
                server.sendto(text, client)
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                tick()


def main() -> None:
    """Read the command line and serve."""
    parameters = {key: float(value) for key, _, value in (word.partition("=") for word in sys.argv[2:])}
    service = Service(parameters)
    serve(*MODES[sys.argv[1]](service))


main()
