"""`memdiag record`: samples one cgroup into a trace until it is gone or empty."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from memdiag.kernel import klog, oomlog
from memdiag.kernel.files import parse_flat, parse_meminfo, parse_net_dev, parse_number
from memdiag.kernel.paths import contains, identify
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.model.kill import OomReport
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill
from memdiag.model.tracefile import header_line, kill_line, run_ended_line, run_started_line, sample_line

_SETTLE_SECONDS = 0.3
_GROUP_PATIENCE = 15
"""Settling times that a group kill is given to empty the cgroup."""
_MOST_LOG_LINES = 24


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.epilog = "example: memdiag record --cgroup /sys/fs/cgroup/system.slice/app.service -o app.jsonl"
    add = parser.add_argument
    add("--cgroup", required=True, metavar="PATH", help="the cgroup's folder, below the mount point of cgroup v2")
    add("--interval", type=interval, default=1.0, metavar="SECONDS", help="between two samples (default: 1)")
    add("-o", "--output", metavar="FILE", help="where the trace is written, never over a file (default: standard out)")
    add("--proc-root", default="/proc", help="where /proc is mounted (default: %(default)s)")


def interval(text: str) -> float:
    """Return seconds between two samples. Raises argparse.ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds from 0.01 to 3600")
    return value


def _root_of(path: Path) -> Path:
    """Return the highest folder above a cgroup that still is one."""
    root = path
    while (root.parent / "cgroup.procs").exists():
        root = root.parent
    return root


def below(path: Path, root: Path) -> tuple[str, bool]:
    """Return a cgroup's path below the root that is seen here, and whether that is the hierarchy's own.

    Within a cgroup namespace (a container) it is not: the kernel's log then has something before the path.
    """
    inner = path.relative_to(root).as_posix()
    return "/" if inner == "." else f"/{inner}", not (root / "cgroup.events").exists()  # only the true root has none


@dataclass(slots=True)
class Recorder:
    """Reads one cgroup and turns what it sees into the lines of a trace."""

    reader: CgroupReader
    path: str
    """The cgroup below the root of its hierarchy that is seen here."""
    proc_root: str
    log: klog.KernelLog
    clock: Callable[[], float] = time.time
    rooted: bool = True
    """That root is the hierarchy's own, so that the kernel's log names the cgroup by the same path."""
    kills: int | None = None
    """Kills that the cgroup had counted when it was read last, None before that."""

    @property
    def container_id(self) -> str | None:
        """The container ID that the path names, None when it names none."""
        identity = identify(self.path)
        return None if identity is None else identity.container_id

    def mark(self) -> None:
        """Count kills from now on: whoever starts the program marks before it, or a death at once goes unseen.

        Raises CgroupGoneError.
        """
        self.kills = self.reader.light().events.get("oom_kill", 0)
        self.log.read_new()

    def begin(self) -> Iterator[dict[str, Any]]:
        """Give the first lines. Raises CgroupGoneError."""
        yield header_line(Trace(runs=()))
        yield run_started_line(Run(container_id=self.container_id, started=None))
        if self.kills is None:
            self.mark()

    def net(self) -> dict[str, int]:
        """Return the network counters of the cgroup's first process, empty when there is none that can be read."""
        data = (self.reader.file("cgroup.procs") or b"").split(b"\n", 1)[0]
        pid = parse_number(data)
        if not pid:
            return {}
        try:
            return parse_net_dev(Path(self.proc_root, str(pid), "net/dev").read_bytes())
        except OSError:
            return {}

    def node(self) -> dict[str, int]:
        """Return /proc/meminfo (bytes) and the node's count of kills."""
        found: dict[str, int] = {}
        with contextlib.suppress(OSError):
            found.update(parse_meminfo(Path(self.proc_root, "meminfo").read_bytes()))
            found.update(parse_flat(Path(self.proc_root, "vmstat").read_bytes(), {"oom_kill", "pgmajfault"}))
        return found

    def sample(self) -> Sample:
        """Read the cgroup now. Raises CgroupGoneError."""
        return Sample(t=self.clock(), level=self.reader.full(), net=self.net(), node=self.node())

    def killed(self, level: Level) -> bool:
        """Return whether oom_kill rose since it was asked last."""
        before = self.kills or 0
        kills = level.events.get("oom_kill", before)
        rose, self.kills = kills > before, kills
        return rose

    def reports(self) -> list[OomReport] | None:
        """Return the kernel log's new kills in this cgroup, None when the log cannot be read."""
        new = self.log.read_new()
        if new.missing is not None:
            return None
        found = oomlog.parse(new.records)
        return [report for report in found if report.task_memcg and self._holds(report.task_memcg)]

    def _holds(self, named: str) -> bool:
        """Return whether a cgroup that the kernel's log names is this one or below it."""
        return contains(self.path, named) if self.rooted else f"{self.path}/" in f"{named}/"

    def living(self) -> bool:
        """Return whether processes live in the cgroup, True when that is not known."""
        try:
            return self.reader.populated() is not False
        except CgroupGoneError:
            return False

    def settle(self, wait: Callable[[float], bool]) -> list[OomReport] | None:
        """Return the kernel log's new kills, once the log and the end of the processes have followed the counter."""
        wait(_SETTLE_SECONDS)
        reports = self.reports()
        if any(report.group_kill for report in reports or ()):
            for _ in range(_GROUP_PATIENCE):
                if not self.living():
                    break
                wait(_SETTLE_SECONDS)
        return reports

    def end(self, level: Level, reports: list[OomReport] | None, *, counted: bool) -> dict[str, Any]:
        """Return the line that ends the run. `counted`: the counter rose just before the end."""
        lines = tuple(line for report in reports or () for line in report.lines)[:_MOST_LOG_LINES]
        killed = True if reports or counted else None if reports is None else False
        return run_ended_line(RunEnd(t=self.clock(), level=level, kernel_log=lines, killed=killed), self.container_id)

    def kill(self, reports: list[OomReport] | None) -> Iterator[dict[str, Any]]:
        """Give the lines of kills that the cgroup outlived; one without victims when the log said nothing."""
        for report in reports or ():
            yield kill_line(TraceKill(self.clock(), report.victims, report.lines), self.container_id)
        if not reports:
            yield kill_line(TraceKill(self.clock()), self.container_id)


def record(
    recorder: Recorder, write: Callable[[dict[str, Any]], None], interval: float, wait: Callable[[float], bool]
) -> int:
    """Sample until the cgroup is gone or empty, or `wait` returns True; returns the number of samples."""
    try:
        for line in recorder.begin():
            write(line)
    except CgroupGoneError:  # it went between the look whether it is there and the first reading: how is not known
        write(recorder.end(Level(), None, counted=False))
        return 0
    last, count = Level(), 0
    while True:
        try:
            sample = recorder.sample()
        except CgroupGoneError:
            write(recorder.end(last, recorder.reports(), counted=False))
            return count
        rose = recorder.killed(sample.level)
        reports = recorder.settle(wait) if rose else None
        if not recorder.living():
            # what stands in an empty cgroup is no demand of its program
            final = recorder.reports() if not rose else reports
            write(recorder.end(_with_events(last, sample), final, counted=rose))
            return count
        write(sample_line(sample))
        count += 1
        last = sample.level
        if rose:
            for line in recorder.kill(reports):
                write(line)
        if wait(interval):
            return count


def _with_events(before: Level, after: Sample) -> Level:
    """Return the last reading from before a kill with the counters and the peak of after it."""
    level = after.level
    return replace(before, events=level.events, events_local=level.events_local, peak=level.peak or before.peak)


def run(arguments: argparse.Namespace) -> int:
    """Record until the end. Returns 2 when the cgroup or the output cannot be used."""
    path = Path(arguments.cgroup).resolve()
    if not (path / "memory.current").exists():
        reason = "is no cgroup v2 with the memory controller on" if path.exists() else "does not exist"
        print(f"memdiag record: --cgroup {arguments.cgroup}: {reason} (it has no memory.current)", file=sys.stderr)
        return 2
    try:
        reader = CgroupReader(str(path))
        output = Path(arguments.output).open("x", encoding="utf-8") if arguments.output else None  # noqa: SIM115 - below
    except (OSError, CgroupGoneError) as error:
        print(f"memdiag record: {error}", file=sys.stderr)
        return 2
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    inner, rooted = below(path, _root_of(path))
    recorder = Recorder(reader, inner, arguments.proc_root, klog.KernelLog(), rooted=rooted)
    with output or contextlib.nullcontext(sys.stdout) as file:
        count = record(recorder, lambda line: _write(file, line), arguments.interval, stopped.wait)
    print(f"memdiag record: {count} samples of {arguments.cgroup}", file=sys.stderr)
    return 0


def _write(file: IO[str], line: dict[str, Any]) -> None:
    file.write(json.dumps(line, separators=(",", ":")) + "\n")
    file.flush()
