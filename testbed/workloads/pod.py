"""Inside the quick kernel: one workload in its pod, restarted when it dies, recorded by memdiag's own recorder.

Usage: python -m testbed.workloads.pod WORK FAMILY SEED. Writes WORK/traces/FAMILY-SEED.jsonl.gz when its time is over.
"""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memdiag.cli.record import Recorder, record
from memdiag.kernel.files import parse_meminfo
from memdiag.kernel.klog import KernelLog
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.model.runtime import heap_settings
from memdiag.model.trace import Trace
from memdiag.model.tracefile import dump, header_line
from testbed.workloads import families, postgres
from testbed.workloads.client import Client
from testbed.workloads.plan import Plan
from testbed.workloads.thin import Thinner

CGROUPS = Path("/sys/fs/cgroup")
PROGRAMS = Path(__file__).resolve().parent / "programs"
_NEW_NETWORK = 0x40000000
_CONTROLLERS = "+memory +pids +cpu"
_SIGTERM_EXIT = 143
_GRACE_SECONDS = 4
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}


def words(plan: Plan, work: Path, parameters: Mapping[str, float], data: Path) -> list[str]:
    """Return the command of one run."""
    pairs = [f"{key}={value:.6g}" if key != "since" else f"{key}={value}" for key, value in parameters.items()]
    if plan.reads:
        pairs.append(f"file={work / 'large'}")
    commands = {
        "python": [sys.executable, "-I", "-S", *plan.options, str(PROGRAMS / "service.py"), plan.mode],
        "c": [str(work / "service"), plan.mode],
        "node": ["node", *plan.options, str(PROGRAMS / "service.js"), plan.mode],
        "java": ["java", *plan.options, "-Xshare:auto", "-cp", str(work), "Service", plan.mode],
    }
    if plan.program == "postgres":
        command = postgres.command(data, plan.options)
    elif plan.program == "redis":
        keeps = "yes" if plan.keeps_data else "no"
        settings = {"port": "7000", "save": "", "appendonly": keeps, "auto-aof-rewrite-percentage": "0", "dir": data}
        command = ["redis-server", *(str(word) for key, value in settings.items() for word in (f"--{key}", value))]
    else:
        command = [*commands[plan.program], *pairs]
    if plan.tmpfs:
        command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /media && exec "$0" "$@"', *command]
    return command


class Pod:
    """A pod of one container, in a network namespace and under cgroups of its own."""

    def __init__(self, work: Path, family: str, seed: int) -> None:
        self.work, self.family, self.seed = work, family, seed
        self.plan = families.plan(family, seed)
        self.data = work / "data" / f"{family}-{seed}"
        self.data.mkdir(parents=True, exist_ok=True)
        self.rng = random.Random(f"pod/{family}/{seed}")  # noqa: S311 - a workload, no secret
        self.uid = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        self.slice = CGROUPS / "kubepods" / f"tenant-{family}-{seed}"
        self.pod = self.slice / f"pod{self.uid}"
        self.lines: list[str] = []
        self.begin = 0.0

    def make(self) -> None:
        """Make the cgroups above the container, the network, and the disk where there is one."""
        self.pod.mkdir(parents=True, exist_ok=True)
        for folder in (CGROUPS / "kubepods", self.slice, self.pod):
            (folder / "cgroup.subtree_control").write_text(_CONTROLLERS)
        if self.plan.ancestor_limit is not None:
            (self.slice / "memory.max").write_text(str(self.plan.ancestor_limit))
            (self.slice / "memory.swap.max").write_text("0")
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "unshare: no network namespace")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        if self.plan.program == "postgres":
            self.data = postgres.mount(self.work, self.data)

    def start(self, cgroup: Path, command: list[str], *, protect: bool = False) -> subprocess.Popen[bytes]:
        """Start a command in a cgroup."""
        score = "-900" if protect else "0"
        script = f'echo $$ > "$0"/cgroup.procs && echo {score} > /proc/self/oom_score_adj && exec "$@"'
        log = (self.work / "logs" / f"{self.family}-{self.seed}.log").open("ab")
        with log:
            return subprocess.Popen(
                ["sh", "-c", script, str(cgroup), *command],
                stdin=subprocess.DEVNULL,
                stdout=log if self.plan.program == "redis" else subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **_ENVIRONMENT},
            )

    def neighbour(self) -> Path | None:
        """Start the protected neighbour where there is one; return its cgroup."""
        if not self.plan.neighbour:
            return None
        cgroup = CGROUPS / "neighbour" if self.plan.node_memory else self.slice / "neighbour"
        cgroup.mkdir()
        found = dict(self.plan.neighbour)
        if self.plan.node_memory:
            most = parse_meminfo(Path("/proc/meminfo").read_bytes())["MemAvailable"] - found.pop("leaves")
            found.update({"most": most, "each": most / found.pop("seconds") / 2})
        pairs = [f"{key}={value:.6g}" for key, value in found.items()]
        self.start(cgroup, [str(self.work / "service"), "hog", *pairs], protect=True)
        return cgroup

    def parameters(self, run: int) -> dict[str, float]:
        """Return what the program is told in this run."""
        chosen = self.plan.later if run and self.plan.later else self.plan.parameters
        found = {**chosen, "seed": float(self.seed), "run": float(run)}
        return {**found, "since": self.begin} if self.plan.calendar else found

    def run(self, number: int, deadline: float) -> None:
        """Start the container once and record it until it dies, is restarted by plan, or time is over."""
        identity = hashlib.sha256(f"{self.uid}/{number}".encode()).hexdigest()
        cgroup = self.pod / identity
        cgroup.mkdir()
        first = self.plan.limit_before if not number else None
        (cgroup / "memory.max").write_text(str(first or self.plan.limit))
        (cgroup / "memory.swap.max").write_text("0")
        (cgroup / "memory.oom.group").write_text(str(int(self.plan.group)))
        thinner = Thinner()
        reader = CgroupReader(str(cgroup))
        recorder = Recorder(reader, "/" + str(cgroup.relative_to(CGROUPS)), "/proc", KernelLog())
        recorder.mark()
        started = time.time()
        process = self.start(cgroup, words(self.plan, self.work, self.parameters(number), self.data))
        if self.plan.kill_after is not None:
            threading.Timer(self.plan.kill_after, process.kill).start()
        patience = (self.plan.rolled_out_after if not number else None) or self.plan.restart_every
        planned = started + patience if patience else deadline
        ended = False

        def write(line: dict[str, Any]) -> None:
            nonlocal ended
            if line["type"] == "header":
                return
            if line["type"] == "run_started":
                line = {**line, "t": round(started, 3), "image": self.family, "revision": self.revision(number)}
            if line["type"] == "run_ended":
                ended = True
                code = _exit_code(process)
                line = {**line, "exit_code": code}
            self.lines.append(dump(thinner.thin(line)))

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return time.time() >= min(planned, deadline)

        _until_populated(reader)
        record(recorder, write, 1.0, wait)
        if not ended and time.time() < deadline:
            level = reader.full()
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
            line = recorder.end(level, [], counted=False)
            self.lines.append(dump(thinner.thin({**line, "exit_code": _SIGTERM_EXIT})))
        self.empty(cgroup, reader)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)

    def revision(self, number: int) -> str:
        """Return the revision of a run's image."""
        return "2" if number and (self.plan.later or self.plan.limit_before) else "1"

    @staticmethod
    def empty(cgroup: Path, reader: CgroupReader) -> None:
        """Kill what is left in a cgroup and remove it."""
        with contextlib.suppress(OSError):
            (cgroup / "cgroup.kill").write_text("1")
        for _ in range(50):
            with contextlib.suppress(CgroupGoneError):
                if reader.populated():
                    time.sleep(0.1)
                    continue
            break
        reader.close()
        with contextlib.suppress(OSError):
            cgroup.rmdir()

    def record(self) -> None:
        """Record the whole trace."""
        self.make()
        self.begin = time.time()
        deadline = self.begin + self.plan.seconds
        trace = Trace(
            runs=(),
            namespace="workloads",
            pod=f"{self.family}-{self.seed}",
            container="app",
            workload_kind="Deployment",
            workload_name=self.family,
            node="quick-kernel",
            limit_bytes=self.plan.limit,
            request_bytes=self.plan.limit // 2,
            runtime=heap_settings(_ENVIRONMENT, words(self.plan, self.work, {}, self.data)),
        )
        self.lines.append(dump(header_line(trace)))
        neighbour, client = self.neighbour(), Client(self.plan, self.seed)
        for number in self.numbers(deadline):
            self.run(number, deadline)
            repair(self.data)
        client.stop()
        if neighbour is not None:
            (neighbour / "cgroup.kill").write_text("1")
        if self.plan.program == "postgres":
            postgres.unmount(self.data)
        target = self.work / "traces" / f"{self.family}-{self.seed}.jsonl.gz"
        partial = target.with_suffix(".partial")
        partial.write_bytes(gzip.compress("".join(self.lines).encode(), 9, mtime=0))
        partial.rename(target)

    def numbers(self, deadline: float) -> Iterator[int]:
        """Count the runs, with a short pause between two, or one that doubles, as the kubelet makes them."""
        number, pause = 0, 4.0
        while time.time() < deadline - 1:
            yield number
            number += 1
            if self.plan.backs_off and number > 1:
                pause = min(2 * pause, 30)
                time.sleep(pause)
            else:
                time.sleep(self.rng.uniform(1, 4))


def repair(data: Path) -> None:
    """Drop the last, perhaps half-written command of an append-only file; Redis cannot, hostfs lacks ftruncate."""
    for path in data.glob("appendonlydir/*.incr.aof"):
        text = path.read_bytes()
        path.unlink()
        path.write_bytes(text[: max(0, text.rfind(b"*3\r\n$3\r\nSET"))])


def _until_populated(reader: CgroupReader) -> None:
    for _ in range(100):
        if reader.populated():
            return
        time.sleep(0.02)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        code = process.wait(2)
    except subprocess.TimeoutExpired:
        return None
    return 128 - code if code < 0 else code


def main() -> None:
    """Read the command line and record."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Path("/proc/self/oom_score_adj").write_text("-1000")
    work, family, seed = sys.argv[1:4]
    Pod(Path(work), family, int(seed)).record()


if __name__ == "__main__":
    main()
