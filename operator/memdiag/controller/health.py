"""Liveness, readiness and metrics over HTTP, in a thread, so that a stuck event loop is seen from outside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from memdiag.controller.metrics import CONTENT_TYPE

Check = Callable[[], str | None]
"""Returns what is wrong, None when nothing is."""


class _Server(ThreadingHTTPServer):
    """Listens by IPv4 and IPv6: a cluster may have only one of them."""

    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class HealthServer:
    """Serves /healthz and /readyz: 200 `ok`, or 503 and what is wrong, one problem a line; and /metrics."""

    def __init__(
        self, port: int, live: Mapping[str, Check], ready: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        checks = {"/healthz": live, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                page = self.path.partition("?")[0]
                if page == "/metrics":
                    self._answer(200, CONTENT_TYPE, metrics())
                    return
                asked = checks.get(page)
                found = [] if asked is None else [(name, check()) for name, check in asked.items()]
                wrong = [f"{name}: {problem}" for name, problem in found if problem is not None]
                body = "\n".join(wrong or ["ok" if asked is not None else "no such page"]).encode() + b"\n"
                self._answer(404 if asked is None else 503 if wrong else 200, "text/plain; charset=utf-8", body)

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
                """Keep probes out of the log."""

        self._server = _Server(("", port), Handler)
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
