"""Runs inside the quick kernel: makes pods, runs the real agent beside them, kills real processes, keeps the reports.

Usage: guest.py WORK. Writes WORK/result.json. It allocates in forked children, so that a kill costs no start-up.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path("/sys/fs/cgroup")
MIB = 2**20
SYSTEMD_POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
CGROUPFS_POD = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
NAMES = ("single", "group", "child", "pod_limit", "sub_second", "hostile", "down", "sub_cgroup")
IDS = {name: f"{index + 1:064x}" for index, name in enumerate(NAMES)}
STORM = 14


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
        assert path == "/apis/memdiag.dev/v1alpha1/namespaces/memdiag/memoryreports", path
        assert authorization == "Bearer secret-token"
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
    os.waitpid(pid, 0)


def remove(path: str) -> None:
    for _ in range(200):
        try:
            (ROOT / path.strip("/")).rmdir()
        except OSError:
            time.sleep(0.02)
        else:
            return


def family(count: int, job: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(count):
            if os.fork() == 0:
                time.sleep(1000)
        job()

    return work


def living_parent() -> None:
    """Outlive a child that is killed, as a server outlives its worker."""
    worker = os.fork()
    if worker == 0:
        eat()
    os.waitpid(worker, 0)
    time.sleep(1000)


def renamed(name: bytes, job: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
        job()

    return work


class AgentProcess:
    def __init__(self, work: Path, api: Api) -> None:
        self.words = [
            *(sys.executable, "-m", "memdiag", "agent", "--state-dir", "/run/state", "--node", "quick-kernel"),
            *("--namespace", "memdiag", "--api-server", f"http://127.0.0.1:{api.server.server_address[1]}"),
            *("--token-file", "/run/token", "--health-host", "127.0.0.1", "--health-port", "8082"),
        ]
        self.log = (work / "agent.log").open("a")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.words, stderr=self.log, stdout=self.log)
        wait("the agent is ready", lambda: self.health("/healthz") == 200, 60)

    def health(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", 8082, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def kill(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def memory(self) -> dict[str, int]:
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "RssAnon"))}


def wait(what: str, ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


SLICE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + SYSTEMD_POD.replace("-", "_") + ".slice"
PLAIN = f"/kubepods/besteffort/pod{CGROUPFS_POD}"


def scope(name: str) -> str:
    return f"{SLICE}/cri-containerd-{IDS[name]}.scope"


class Scenes:
    """The kills, each waited for until its report has arrived."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.count = 0
        self.parent = 0

    def told(self, more: int = 1) -> None:
        self.count += more
        wait(f"{self.count} reports", lambda: len(self.api.reports) >= self.count, 20)

    def dies(self, path: str, job: Callable[[], object], *, at_once: bool = False) -> None:
        end(start(path, job))
        if at_once:
            remove(path)
        self.told()
        remove(path)

    def containers(self) -> None:
        self.dies(make(scope("single"), memory__max="64M"), lambda: eat(pause=0.02))
        path = make(scope("group"), memory__max="16M", memory__oom__group="1")
        self.dies(path, family(3, lambda: eat(pause=0.005)))
        path = make(f"{PLAIN}/{IDS['child']}", memory__max="16M", memory__oom__group="0")
        self.parent = start(path, living_parent)
        self.told()
        limit = ROOT / SLICE.strip("/") / "memory.max"
        limit.write_text("24M")
        self.dies(make(scope("pod_limit"), memory__max="64M"), lambda: eat(pause=0.005))
        limit.write_text("max")
        self.dies(make(scope("sub_second"), memory__max="4M"), eat, at_once=True)
        self.dies(make(scope("hostile"), memory__max="4M"), renamed(b"a),pid=7 \n\x1b(b", eat))
        self.dies(make(f"{PLAIN}/crio-{IDS['sub_cgroup']}/container", memory__max="8M"), eat)

    def storm(self) -> None:
        """Kill more in a moment than the log has reports for, each a container of its own."""
        time.sleep(5.2)
        paths = [make(f"{PLAIN}/{0x1000 + index:064x}", memory__max="4M") for index in range(STORM)]
        time.sleep(1.2)
        for pid in [start(path, eat) for path in paths]:
            end(pid)
        self.told(STORM)
        for path in paths:
            remove(path)

    def absence(self, agent: AgentProcess) -> None:
        """Kill one while the agent is dead, after the rate limit's window."""
        agent.kill(signal.SIGKILL)
        time.sleep(5.2)
        path = make(scope("down"), memory__max="8M")
        end(start(path, eat))
        remove(path)
        agent.start()
        self.told()
        time.sleep(2)


def main(work: Path) -> None:
    Path("/run/token").write_text("secret-token\n")
    make(f"{SLICE}/x")
    make(f"{PLAIN}/x")
    api = Api()
    agent = AgentProcess(work, api)
    agent.start()
    scenes = Scenes(api)
    scenes.containers()
    scenes.storm()
    memory = agent.memory()
    scenes.absence(agent)
    ready = agent.health("/readyz")
    stopped = agent.kill(signal.SIGTERM)
    agent.start()
    time.sleep(1)
    agent.kill(signal.SIGTERM)
    os.kill(scenes.parent, signal.SIGKILL)
    end(scenes.parent)
    result = {
        "reports": list(api.reports.values()),
        "arrived": api.arrived,
        "requests": api.requests,
        "memory": memory,
        "ready": ready,
        "stopped": stopped,
        "dead_letters": [path.name for path in Path("/run/state/dead-letter").iterdir()],
        "spooled": [path.name for path in Path("/run/state/spool").iterdir()],
    }
    (work / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
