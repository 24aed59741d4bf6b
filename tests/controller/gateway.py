"""A way to the API server on which things go wrong: requests are held, lost, answered by somebody else, or changed."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from testbed.control_plane import ControlPlane

_HANDED_ON = ("Accept", "Authorization", "Content-Type")
_TIMEOUT = 600.0


@dataclass
class Fault:
    """What goes wrong with the next requests of a method to a collection that are about `subject`."""

    method: str
    collection: str
    """The resource's plural, or PLURAL/STATUS."""
    subject: str
    """What path or body contain."""
    answered: bool = False
    """It goes wrong after the API server did what it was asked, and before the answer is handed on."""
    act: Callable[[], None] = lambda: None
    """What happens then; the request waits for it."""
    lost: bool = False
    """Afterwards the connection is closed without an answer."""
    status: int | None = None
    """Afterwards this is the answer, in place of the API server's."""
    expired: bool = False
    """The resource version that it asks from is made the oldest there ever was."""
    times: int = 1
    taken: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)
    """How often it went wrong by now."""

    def reached(self) -> bool:
        """Say whether it went wrong at least once."""
        return self.seen > 0

    def fits(self, method: str, path: str, body: bytes) -> bool:
        """Say whether this request is meant."""
        plural, _, part = self.collection.partition("/")
        line = path.partition("?")[0]
        return (
            method == self.method
            and f"/{plural}" in line
            and line.endswith("/status") == (part == "status")
            and (self.subject in path or self.subject.encode() in body)
        )


class Gateway:
    """Listens on loopback without TLS; `kubeconfig` leads through it."""

    def __init__(self, plane: ControlPlane) -> None:
        where = urlsplit(yaml.safe_load(plane.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
        self.upstream = (str(where.hostname), int(where.port or 443))
        self.context = ssl.create_default_context(cafile=str(plane.folder / "pki" / "ca.crt"))
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._streams: set[http.client.HTTPSConnection] = set()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"gateway": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def kubeconfig(self, direct: Path, target: Path) -> Path:
        """Write a kubeconfig that leads through the gateway, with the credentials of another."""
        found = yaml.safe_load(direct.read_text())
        found["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        target.write_text(yaml.safe_dump(found))
        return target

    def arm(self, *faults: Fault) -> None:
        """Let these go wrong, each as often as it says."""
        with self._lock:
            self._faults += faults

    def cut(self) -> None:
        """End every watch that runs."""
        with self._lock:
            for stream in self._streams:
                if stream.sock is not None:
                    with contextlib.suppress(OSError):
                        stream.sock.shutdown(2)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def fault(self, method: str, path: str, body: bytes) -> Fault | None:
        """Return what goes wrong with this request, which counts as one time."""
        with self._lock:
            for one in self._faults:
                if one.taken < one.times and one.fits(method, path, body):
                    one.taken += 1
                    return one
        return None

    @contextlib.contextmanager
    def streaming(self, connection: http.client.HTTPSConnection) -> Any:
        """Let `cut` know of a watch while it runs."""
        with self._lock:
            self._streams.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: callers are killed in the middle of what they ask."""


class _LostError(Exception):
    """The caller is to get no answer."""


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.gateway.fault(self.command, self.path, body)
        try:
            self._answer(fault, body)
        except (_LostError, OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815  # the base class names them so

    def _answer(self, fault: Fault | None, body: bytes) -> None:
        if fault is not None and not fault.answered:
            self._go_wrong(fault)
            if fault.status is not None:
                return
        path = self.path
        if fault is not None and fault.expired:
            path = re.sub(r"resourceVersion=\d+", "resourceVersion=1", path)
        connection = http.client.HTTPSConnection(*self.gateway.upstream, context=self.gateway.context, timeout=_TIMEOUT)
        try:
            headers = {name: self.headers[name] for name in _HANDED_ON if name in self.headers}
            connection.request(self.command, path, body or None, headers)
            answer = connection.getresponse()
            if "watch=true" in path and answer.status == 200:
                with self.gateway.streaming(connection):
                    self._stream(answer)
                return
            text = answer.read()
            if fault is not None and fault.answered:
                self._go_wrong(fault)
            self._send(answer.status, text, {"Content-Type": answer.headers["Content-Type"] or "application/json"})
        finally:
            connection.close()

    def _go_wrong(self, fault: Fault) -> None:
        fault.seen += 1
        fault.act()
        if fault.lost:
            raise _LostError
        if fault.status is not None:
            reason = {"kind": "Status", "status": "Failure", "message": "the test says so", "code": fault.status}
            self._send(fault.status, json.dumps(reason).encode(), {"Retry-After": "1"})

    def _send(self, status: int, text: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _stream(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := answer.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""
