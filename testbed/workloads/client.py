"""Asks a workload for what its plan says, from its own network: datagrams, SET to Redis, SQL to PostgreSQL."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

from testbed.workloads import postgres
from testbed.workloads.plan import Plan

PORT = 7000
_TICK = 0.25


class Client:
    """Sends a plan's requests from when it was made on, whether or not anybody answers."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan = plan
        self._rng = random.Random(f"client/{seed}")  # noqa: S311 - load, no secret
        self._begin = time.monotonic()
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self._sent = 0
        self._session = plan.program in ("redis", "postgres")
        self._queries = postgres.requests(plan.mode, plan.parameters, self._rng)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(max(0.0, self._begin + turn * _TICK - time.monotonic())):
            for _ in range(self._plan.load.requests(turn * _TICK, self._rng)):
                self._request()
            self._drain()
            turn += 1

    def _connected(self) -> socket.socket:
        if self._socket is None:
            kind = socket.SOCK_STREAM if self._session else socket.SOCK_DGRAM
            found = socket.socket(socket.AF_INET, kind)
            try:
                found.connect(("127.0.0.1", PORT))
            except OSError:
                found.close()
                raise
            if self._plan.program == "postgres":
                found.sendall(postgres.greeting())
            found.setblocking(False)
            self._socket = found
        return self._socket

    def _request(self) -> None:
        self._sent += 1
        try:
            self._connected().send(self._words())
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()

    def _words(self) -> bytes:
        if not self._session:
            return b"request"
        if self._plan.program == "postgres":
            return next(self._queries)
        keys = self._plan.parameters.get("keys")
        key = f"{self._rng.randrange(int(keys)) if keys else self._sent:012d}".encode()
        each = self._plan.parameters["each"]
        size = int(each if keys else each * self._rng.uniform(0.5, 1.5))
        return b"*3\r\n$3\r\nSET\r\n$12\r\n%s\r\n$%d\r\n%s\r\n" % (key, size, b"x" * size)

    def _drain(self) -> None:
        if self._socket is None:
            return
        try:
            while self._socket.recv(65536):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        if self._session:
            self._disconnect()

    def _disconnect(self) -> None:
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.close()
        self._socket = None
