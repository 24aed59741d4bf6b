"""The client against a server of its own: pages of large objects."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from memdiag.kube.api import HttpApi

COUNT, SMALL = 60, 20


class Lists(BaseHTTPRequestHandler):
    """Lists objects of half a megabyte, the last ones small."""

    asked: list[int] = []  # noqa: RUF012  # one server a test

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        begin, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        end = min(begin + limit, COUNT)
        self.asked.append(limit)
        items = [{"n": n, "text": "x" * (2**19 if n < COUNT - SMALL else 1)} for n in range(begin, end)]
        body = json.dumps({"metadata": {"continue": str(end) if end < COUNT else ""}, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """Serve lists."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Lists) as found:
        found.daemon_threads = True
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def test_a_page_that_is_too_long_is_asked_for_in_smaller_ones(server: str) -> None:
    configuration = client.Configuration()
    configuration.host = server
    configuration.retries = False
    Lists.asked = []
    pages = list(HttpApi(client.ApiClient(configuration)).pages("/api/v1/pods"))
    assert [item["n"] for page in pages for item in page["items"]] == list(range(COUNT))
    assert Lists.asked[:3] == [100, 25, 6]
    assert max(len(page["items"]) for page in pages[:3]) <= 16
    assert Lists.asked[-1] > 12, "and small objects come in large pages again"
