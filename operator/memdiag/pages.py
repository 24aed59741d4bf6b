"""Pages for probes and scrapers over HTTP, by IPv4 and IPv6, whoever holds connections. Standard library only."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_CONNECTIONS = 32
"""At once. A thread for each is memory, and any pod may connect."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a path is answered with."""

    status: int
    content_type: str
    body: bytes


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


class PageServer:
    """Answers GET in threads of its own, so that a main thread that hangs is seen from outside."""

    def __init__(self, host: str, port: int, page: Callable[[str], Page]) -> None:
        """Listen on an address, on all of them without a host; `page` is given the path. Raises OSError."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                found = page(self.path.partition("?")[0])
                self.send_response(found.status)
                self.send_header("Content-Type", found.content_type)
                self.send_header("Content-Length", str(len(found.body)))
                self.end_headers()
                self.wfile.write(found.body)

            def log_message(self, *_: object) -> None:
                """Probes are not worth a line."""

        self._server = _Server(host, port, Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
