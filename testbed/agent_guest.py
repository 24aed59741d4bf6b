"""Parts for programs that run inside the quick kernel beside the real agent: an API stand-in, cgroups, eaters."""

from __future__ import annotations

import http.client
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path("/sys/fs/cgroup")
MIB = 2**20
_PATH = "/apis/memdiag.dev/v1alpha1/namespaces/memdiag/memoryreports"
_TOKEN = "secret-token"  # noqa: S105 - of the stand-in
_TOKEN_FILE = Path("/run/token")


class Api:
    """Stands in for the API server: the status codes of a create, nothing else of it."""

    def __init__(self) -> None:
        self.reports: dict[str, dict[str, Any]] = {}
        self.arrived: dict[str, float] = {}
        self.requests: list[tuple[int, str]] = []
        self.refuse = 1
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = api.take(self.path, self.headers["Authorization"], body)
                answer = json.dumps({"kind": "Status", "message": f"stand-in says {status}"}).encode()
                self.send_response(status)
                if status == 503:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, authorization: str, body: bytes) -> int:
        """Return the status of a create."""
        if path != _PATH:
            return 404
        if authorization != f"Bearer {_TOKEN}":
            return 401
        if self.refuse:
            self.refuse -= 1
            return 503
        report = json.loads(body)
        name = report["metadata"]["name"]
        self.requests.append((len(body), name))
        if name in self.reports:
            return 409
        self.reports[name] = report
        self.arrived[name] = time.time()
        return 201


def make(path: str, **files: str) -> str:
    """Make a cgroup with all that is above it; `memory__max="4M"` writes its memory.max. Returns the path."""
    folder = ROOT / path.strip("/")
    for parent in [*reversed(folder.relative_to(ROOT).parents), folder.relative_to(ROOT)]:
        (ROOT / parent).mkdir(exist_ok=True)
        if parent != folder.relative_to(ROOT):
            (ROOT / parent / "cgroup.subtree_control").write_text("+memory +pids")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return path


def eat(mib: float = 400, pause: float = 0.0) -> None:
    """Take memory a quarter MiB at a time, for good."""
    kept: list[mmap.mmap] = []
    while len(kept) < mib * 4:
        piece = mmap.mmap(-1, MIB // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        piece.write(b"x" * (MIB // 4))
        kept.append(piece)
        time.sleep(pause)
    time.sleep(1000)


def start(path: str, job: Callable[[], object]) -> int:
    """Do a job in a process of its own in a cgroup; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            (ROOT / path.strip("/") / "cgroup.procs").write_text("0")
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            job()
        finally:
            os._exit(0)
    return pid


def end(pid: int) -> None:
    """Wait until a process that was started is no more."""
    os.waitpid(pid, 0)


def remove(path: str) -> None:
    """Remove a cgroup as soon as that is possible."""
    for _ in range(200):
        try:
            (ROOT / path.strip("/")).rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


class AgentProcess:
    """The real agent, delivering to the stand-in."""

    def __init__(self, work: Path, api: Api, before: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        """Prepare it: `before` is the command that runs it, `options` are its own beside the usual ones."""
        self.words = [
            *before,
            *(sys.executable, "-m", "memdiag", "agent", "--state-dir", "/run/state", "--node", "quick-kernel"),
            *("--namespace", "memdiag", "--api-server", f"http://127.0.0.1:{api.server.server_address[1]}"),
            *("--token-file", str(_TOKEN_FILE), "--health-host", "127.0.0.1", "--health-port", "8082", *options),
        ]
        _TOKEN_FILE.write_text(_TOKEN + "\n")
        self.log = (work / "agent.log").open("a")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is healthy. Raises TimeoutError."""
        self.process = subprocess.Popen(self.words, stderr=self.log, stdout=self.log)
        wait("the agent is ready", lambda: self.health("/healthz") == 200, 60)

    def health(self, path: str) -> int:
        """Return the status of its /healthz or /readyz, 0 where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", 8082, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def kill(self, number: int) -> int:
        """Send it a signal and return its exit status."""
        self.running.send_signal(number)
        return self.running.wait(30)

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """Its process. Raises RuntimeError before it was started."""
        if self.process is None:
            raise RuntimeError("the agent was not started")
        return self.process

    def memory(self) -> dict[str, int]:
        """Return its resident memory, KiB."""
        lines = Path(f"/proc/{self.running.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "RssAnon"))}


def wait(what: str, ready: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so. Raises TimeoutError that says what."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)
