from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request

from memdiag.pages import MOST_CONNECTIONS, Page, PageServer


def _loopbacks() -> list[str]:
    """Return the loopback addresses that this machine has; that of IPv6 may be switched off."""
    found = ["127.0.0.1"]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as tried:
        tried.bind(("::1", 0))
        found.append("[::1]")
    return found


ADDRESSES = _loopbacks()


def test_held_connections_keep_no_probe_out_and_cost_no_thread_each() -> None:
    server = PageServer("127.0.0.1", 0, lambda path: Page(200, "text/plain", path.encode()))
    server.start()
    held: list[socket.socket] = []
    before = threading.active_count()
    try:
        for _ in range(3 * MOST_CONNECTIONS):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            held[-1].send(b"GET /healthz HTTP/1.1\r\n")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as answer:
            assert answer.status == 200
        assert held[0].recv(1) == b"", "the oldest was ended"
        limit = time.monotonic() + 10
        while threading.active_count() - before > MOST_CONNECTIONS and time.monotonic() < limit:
            time.sleep(0.02)
        assert threading.active_count() - before <= MOST_CONNECTIONS
    finally:
        for connection in held:
            connection.close()
        server.stop()


def test_it_is_heard_by_ipv4_and_ipv6() -> None:
    """In a cluster of IPv6 alone the kubelet has no other address to probe."""
    server = PageServer("", 0, lambda path: Page(200, "text/plain", path.encode()))
    server.start()
    try:
        for address in ADDRESSES:
            with urllib.request.urlopen(f"http://{address}:{server.port}/healthz", timeout=5) as answer:
                assert answer.read() == b"/healthz"
    finally:
        server.stop()
