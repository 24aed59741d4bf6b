"""Measure one process from outside, and the way of a kill by what the API server wrote down of it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.operator.populate import NAMESPACE
from memdiag.kube.api import HttpApi, connect
from memdiag.kube.kinds import REPORT
from testbed.control_plane import ControlPlane, free_port
from testbed.shell import TestbedError, tail

_TICKS = os.sysconf("SC_CLK_TCK")
_BOTH = ("requestReceivedTimestamp", "stageTimestamp")
_WAY = (("create", "memoryreports"), ("create", "memoryincidents"), ("update", "memorydiagnoses"))
STEPS = ("seen and resolved", "incident written", "evidence read, judged", "verdict written")


@dataclass(frozen=True)
class Usage:
    """What a process needs: bytes of RSS now and at most, seconds of CPU time."""

    rss: int
    peak: int
    cpu: float


class Running:
    """A process on one core."""

    def __init__(self, words: Sequence[str], log: Path, core: int) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, *words], stdout=out, stderr=subprocess.STDOUT
            )

    def usage(self) -> Usage:
        """Return what it needs by now."""
        folder = Path("/proc", str(self._process.pid))
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        rss, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return Usage(rss, peak, (int(fields[11]) + int(fields[12])) / _TICKS)

    def until(self, what: str, true: Callable[[], bool], seconds: float, pause: float = 0.05) -> float:
        """Wait for something and return how long it took. Raises TestbedError when it does not come."""
        began = time.monotonic()
        while not true():
            if self._process.poll() is not None or time.monotonic() - began > seconds:
                raise TestbedError(f"{what}: not within {seconds:.0f} s; {self.log} ends:\n{tail(self.log)}")
            time.sleep(pause)
        return time.monotonic() - began

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait(30)


class Operator(Running):
    """memdiag's operator."""

    def __init__(self, kubeconfig: Path, log: Path, core: int) -> None:
        self._port = free_port()
        words = ["-m", "memdiag", "operator", "--namespace", NAMESPACE, "--health-port", str(self._port)]
        super().__init__([*words, "--kubeconfig", str(kubeconfig)], log, core)

    def ready(self) -> bool:
        """Say whether it calls itself ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def reports_left(plane: ControlPlane) -> Callable[[], int]:
    """Return the question how many reports there are, cheap to ask."""
    api = HttpApi(connect(plane.kubeconfig))

    def count() -> int:
        found = api.get(REPORT.path(NAMESPACE), {"limit": "1"})
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    return count


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Ways:
    """Follows the audit log: when each step of a kill was done."""

    def __init__(self, plane: ControlPlane) -> None:
        self._log = plane.audit_log.open("rb")
        self._log.seek(0, os.SEEK_END)
        self._rest = b""

    def _events(self) -> Iterator[dict[str, Any]]:
        self._rest += self._log.read()
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            if event["responseStatus"].get("code", 0) < 300:
                yield event

    def next(self, seconds: float = 30.0) -> tuple[float, ...]:
        """Return how long each of STEPS took for the kill that was just reported. Raises TestbedError."""
        way: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while len(way) < len(_WAY):
            for event in self._events():
                where = event["objectRef"]
                if len(way) < len(_WAY) and _WAY[len(way)] == (event["verb"], where["resource"]):
                    way.append(event)
            if time.monotonic() > deadline:
                raise TestbedError(f"no verdict within {seconds:.0f} s")
            time.sleep(0.005)
        reported, incident, verdict = way
        times = [
            _moment(reported["stageTimestamp"]),
            *(
                _moment(one[when])
                for one in (incident, verdict)
                for when in ("requestReceivedTimestamp", "stageTimestamp")
            ),
        ]
        return tuple(later - earlier for earlier, later in itertools.pairwise(times))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies, an observed one."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def shares(ways: Sequence[tuple[float, ...]]) -> list[float]:
    """Return the mean share of each step."""
    whole = sum(map(sum, ways))
    return [sum(step) / whole for step in zip(*ways, strict=True)]
