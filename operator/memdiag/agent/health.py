"""Says over HTTP whether the agent is alive, from what it did last, never from its being there."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from memdiag.agent.spool import SpoolCounts

STALE_SAMPLE_SECONDS = 30.0
STUCK_DELIVERY_SECONDS = 120.0
LATE_REPORT_SECONDS = 60.0
MOST_CONNECTIONS = 32
"""At once. A thread for each is memory, and any pod may connect."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What health and metrics are made of. Ages in seconds; None for what never was."""

    last_sample: float | None
    oldest_report: float | None
    """The oldest report that waits for delivery."""
    last_delivery_turn: float | None
    """Since the delivery thread last showed life."""
    containers: int
    kernel_log: str | None = None
    """Why the kernel log cannot be read, None when it can."""
    last_delivery: float | None = None
    """Since the API server last took a report."""
    spool_reports: int = 0
    spool_bytes: int = 0
    dead_letters: int = 0
    spool: SpoolCounts = field(default_factory=SpoolCounts)
    kills: int = 0
    kills_late: int = 0
    kills_missed: int = 0
    kills_outside: int | None = None
    trends: int = 0
    watches_refused: int = 0
    overflows: int = 0


def alive(signals: Signals) -> bool:
    """Return whether both threads turn: a restart helps when they do not. An absent API server is no reason."""
    sampled = signals.last_sample is not None and signals.last_sample < STALE_SAMPLE_SECONDS
    delivering = signals.last_delivery_turn is None or signals.last_delivery_turn < STUCK_DELIVERY_SECONDS
    return sampled and delivering


def ready(signals: Signals) -> bool:
    """Return whether kills would reach the operator: alive, and no report waits for a minute."""
    late = signals.oldest_report is not None and signals.oldest_report > LATE_REPORT_SECONDS
    return alive(signals) and not late


def body_of(found: Signals) -> bytes:
    """Return what /healthz and /readyz say beside their status."""
    return json.dumps(
        {
            "lastSampleSeconds": found.last_sample,
            "lastDeliverySeconds": found.last_delivery,
            "oldestUndeliveredSeconds": found.oldest_report,
            "spoolReports": found.spool_reports,
            "spoolBytes": found.spool_bytes,
            "deadLetters": found.dead_letters,
            "killsMissed": found.kills_missed,
            "containers": found.containers,
            "kernelLog": found.kernel_log or "readable",
        }
    ).encode("ascii")


class _Server(ThreadingHTTPServer):
    """A newer connection ends the oldest of too many: nobody keeps probes out by holding connections."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        # a cluster may have IPv6 alone: without a host it is both
        both = not host and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[request] = None
            for oldest in list(self._connections)[:-MOST_CONNECTIONS]:
                del self._connections[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong; a client that went away, or was sent away, is worth no line."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Health:
    """Serves /healthz, /readyz and /metrics; a body of the first two says the signals."""

    def __init__(
        self, host: str, port: int, signals: Callable[[], Signals], metrics: Callable[[Signals], bytes], kind: str
    ) -> None:
        """Listen on an address; `metrics` makes what /metrics serves, of content type `kind`. Raises OSError."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                found = signals()
                path = self.path.partition("?")[0]
                judge = {"/healthz": alive, "/readyz": ready}.get(path)
                if path == "/metrics":
                    self._answer(200, kind, metrics(found))
                else:
                    status = 404 if judge is None else 200 if judge(found) else 503
                    self._answer(status, "application/json", body_of(found))

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes are not worth a line."""

        self._server = _Server(host, port, Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
