"""Says over HTTP whether the agent is alive, from what it did last, never from its being there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALE_SAMPLE_SECONDS = 30.0
STUCK_DELIVERY_SECONDS = 120.0
LATE_REPORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Signals:
    """Ages in seconds; None for what never was."""

    last_sample: float | None
    oldest_report: float | None
    """The oldest report that waits for delivery."""
    last_delivery_turn: float | None
    """Since the delivery thread last showed life."""
    containers: int
    kernel_log: str | None = None
    """Why the kernel log cannot be read, None when it can."""


def alive(signals: Signals) -> bool:
    """Return whether both threads turn: a restart helps when they do not. An absent API server is no reason."""
    sampled = signals.last_sample is not None and signals.last_sample < STALE_SAMPLE_SECONDS
    delivering = signals.last_delivery_turn is None or signals.last_delivery_turn < STUCK_DELIVERY_SECONDS
    return sampled and delivering


def ready(signals: Signals) -> bool:
    """Return whether kills would reach the operator: alive, and no report waits for a minute."""
    late = signals.oldest_report is not None and signals.oldest_report > LATE_REPORT_SECONDS
    return alive(signals) and not late


class Health:
    """Serves /healthz and /readyz; the body says the signals."""

    def __init__(self, host: str, port: int, signals: Callable[[], Signals]) -> None:
        """Listen on an address. Raises OSError when it is taken."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                judge = {"/healthz": alive, "/readyz": ready}.get(self.path)
                found = signals()
                status = 404 if judge is None else 200 if judge(found) else 503
                body = json.dumps(
                    {
                        "lastSampleSeconds": found.last_sample,
                        "oldestUndeliveredSeconds": found.oldest_report,
                        "containers": found.containers,
                        "kernelLog": found.kernel_log or "readable",
                    }
                ).encode("ascii")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes are not worth a line."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
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
