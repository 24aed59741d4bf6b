"""`memdiag explain`: read kernel log text and say whom the kernel killed, and whose limit was hit."""

from __future__ import annotations

import argparse
import gzip
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any

from memdiag.cli.source import opened
from memdiag.kernel.logtext import LONGEST_LINE, LogText
from memdiag.kernel.oomlog import OomParser, limit_hit
from memdiag.kernel.paths import container_id_of, identify
from memdiag.model.kill import Constraint, LimitHit, OomReport, Task
from memdiag.model.quantity import human_bytes
from memdiag.model.report import printable
from memdiag.model.trace import Victim

MOST_SHOWN = 10
LONGEST_SHOWN = 5000

_EXAMPLE = """
The log may be dmesg's with or without human times, talosctl's, journalctl's, a /dev/kmsg dump, a syslog file or bare
text; .gz is read as well. For example:

  dmesg | memdiag explain -
  journalctl -k | memdiag explain -
  journalctl -k -o short-iso --since -1d | memdiag explain - -o json | jq -r '[.time, .pod_uid, .limit_hit] | @tsv'
  memdiag explain /var/log/kern.log.2.gz

json has a time where the log has year and zone (journalctl -o short-iso, dmesg --time-format iso), and uptime_seconds
where it has seconds since boot (dmesg, /dev/kmsg, journalctl -o short-monotonic); what the log does not tell is null.

Exit status: 0 the log was read, whether it holds a kill or not; 2 it could not be used.
"""

_NOT_TEXT = {
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it first (zstdcat FILE | memdiag explain -)",
    b"\xfd7zXZ\0": "packed with xz: unpack it first (xzcat FILE | memdiag explain -)",
    b"LPKSHHRH": "a journal file, not text: let journalctl read it (journalctl -k --file=FILE | memdiag explain -)",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
}
_SPEAKS = re.compile(rb"Killed process \d|Kill process \d|invoked oom-killer:|oom-kill:constraint=")
_PAGE_FACTORS = (1, 4, 16)
"""Page sizes that Linux has on Kubernetes nodes (4, 16 and 64 KiB), as multiples of the one that was assumed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.add_argument("log", metavar="FILE", help="kernel log text; - is the standard input")
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        help="table is for people; json is one object a kill, one a line",
    )


class _UnusableError(Exception):
    """The input is no kernel log; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Which pod and container a kill struck, and whose limit was hit, as far as the log tells."""

    pod_uid: str | None
    container_id: str | None
    limit_hit: LimitHit


def whose(report: OomReport) -> Whose:
    """Return the pod, the container and the limit that a report names."""
    path = report.task_memcg or report.oom_memcg or ""
    identity = identify(path)
    if identity is not None:
        pod, container = identity.pod_uid, identity.container_id
    else:
        pod, container = None, next((found for part in path.split("/") if (found := container_id_of(part))), None)
    hit = limit_hit(report)
    if pod is None and container is not None and container in (report.oom_memcg or ""):
        hit = LimitHit.CONTAINER  # of a container engine without Kubernetes
    return Whose(pod, container, hit)


def to_object(report: OomReport) -> dict[str, Any]:
    """Return the documented JSON object of one kill."""
    found = whose(report)
    return {
        "time": None if report.stamp is None else report.stamp.wall,
        "uptime_seconds": report.time,
        "constraint": None if report.constraint is None else report.constraint.value,
        "limit_hit": found.limit_hit.value,
        "oom_memcg": report.oom_memcg,
        "task_memcg": report.task_memcg,
        "pod_uid": found.pod_uid,
        "container_id": found.container_id,
        "group_kill": report.group_kill,
        "victims": [
            {
                "pid": victim.pid,
                "comm": victim.comm,
                "anon_rss_bytes": victim.anon_rss,
                "file_rss_bytes": victim.file_rss,
                "shmem_rss_bytes": victim.shmem_rss,
                "pgtables_bytes": victim.pgtables,
                "oom_score_adj": victim.oom_score_adj,
            }
            for victim in report.victims
        ],
        "usage_bytes": report.usage_bytes,
        "limit_bytes": report.limit_bytes,
        "invoked_by": report.invoked_by,
    }


def _when(report: OomReport) -> str:
    stamp = report.stamp
    since_boot = "" if report.time is None else f"{report.time:.2f} seconds after boot"
    if stamp is not None and stamp.wall is not None:
        return f"{stamp.wall} ({since_boot})" if since_boot else stamp.wall
    if stamp is not None and stamp.written is not None:
        clock = f"{stamp.written} by the node's clock"
        return f"{clock} ({since_boot})" if since_boot else clock
    return since_boot or "at a time that the log does not tell"


def _limit_text(report: OomReport, found: Whose) -> str:
    """Return in a sentence or two whose limit was hit."""
    used = ""
    if report.usage_bytes is not None and report.limit_bytes is not None:
        used = f": {human_bytes(report.usage_bytes)} used of {human_bytes(report.limit_bytes)}"
    numa = report.constraint in (Constraint.CPUSET, Constraint.MEMORY_POLICY)
    place = "the NUMA nodes that the allocating task may use" if numa else "the machine itself"
    in_cgroup = any("Memory cgroup out of memory" in line for line in report.lines)
    above = (
        f"a cgroup above the pod{used}. A higher limit of the container would not have helped."
        if found.pod_uid is not None
        else f"the limit of a cgroup that is no pod's{used}."
    )
    words = {
        LimitHit.CONTAINER: f"its own memory limit{used}.",
        LimitHit.POD: f"the limit that its containers share{used}. The victim need not be the one that grew.",
        LimitHit.ANCESTOR: above,
        LimitHit.NODE: f"{place} ran out of memory. No container's limit was hit.",
        LimitHit.UNKNOWN: "but some cgroup's (the container's, the pod's or one above), not the node's memory."
        if in_cgroup
        else "the log does not tell.",
    }
    return f"{found.limit_hit.value}, {words[found.limit_hit]}"


def _victim_text(victim: Victim) -> str:
    parts = [
        f"{name} {human_bytes(size)}"
        for name, size in (("anon", victim.anon_rss), ("files", victim.file_rss), ("shmem", victim.shmem_rss))
        if size is not None
    ]
    text = f"{victim.comm} (pid {victim.pid})"
    text += f", {human_bytes(victim.rss)} resident ({', '.join(parts)})" if victim.rss is not None else ", size unknown"
    if victim.pgtables is not None:
        text += f", page tables {human_bytes(victim.pgtables)}"
    return text if victim.oom_score_adj is None else f"{text}, oom_score_adj {victim.oom_score_adj}"


def _memory_text(report: OomReport) -> Iterator[str]:
    """Yield what the cgroup's memory was, the largest part first: parts of memory.stat that do not overlap."""
    stat = report.stat
    kernel = stat.get("kernel")
    if kernel is None:
        kernel = sum(stat.get(key, 0) for key in ("kernel_stack", "pagetables", "percpu", "vmalloc", "slab"))
    # on cgroup v1 newer kernels print its own names: total_* with the cgroups below, as the limit has them
    one = {name: stat.get(f"total_{name}", stat.get(name, 0)) for name in ("rss", "cache", "shmem")}
    shmem = one["shmem"]
    parts = {
        "anon: heaps, stacks and other private memory": stat.get("anon", one["rss"]),
        "shmem: tmpfs (emptyDir in memory, /dev/shm) and shared memory": shmem,
        "file: page cache of files": max(stat.get("file", one["cache"]) - shmem, 0),
        "kernel: page tables, stacks, slab": kernel,
        "sock: network buffers": stat.get("sock", 0),
    }
    whole = report.usage_bytes or sum(parts.values())
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        if size > 0:
            yield f"{human_bytes(size):>9}  {min(100 * size / whole, 100):3.0f} %  {name}"


def page_factor(report: OomReport) -> int:
    """Return by what the table's sizes must be multiplied: the node's page size over the assumed one.

    The table counts pages and a victim's own line kB, so a victim in both tells the size of a page.
    """
    resident = {task.pid: task.rss for task in report.tasks}
    for victim in report.victims:
        pages = None if victim.pid is None else resident.get(victim.pid)
        if pages and victim.rss:
            ratio = victim.rss / pages
            return min(_PAGE_FACTORS, key=lambda factor: abs(math.log(ratio / factor)))
    return 1


def _tasks_text(report: OomReport) -> Iterator[str]:
    """Yield the task table, the largest task first."""
    factor = page_factor(report)
    killed = {victim.pid for victim in report.victims}

    def size(task: Task) -> int:
        return factor * (task.rss or 0)

    tasks = sorted(report.tasks, key=size, reverse=True)
    for task in tasks[:MOST_SHOWN]:
        swap = f", {human_bytes(factor * task.swap)} swapped out" if task.swap else ""
        end = ", killed" if task.pid in killed else ""
        yield f"{human_bytes(size(task)):>9}  {task.comm} (pid {task.pid}){swap}{end}"
    if rest := tasks[MOST_SHOWN:]:
        yield f"{human_bytes(sum(map(size, rest))):>9}  {len(rest)} more"


def _facts(report: OomReport, found: Whose) -> Iterator[tuple[str, str]]:
    yield "Limit hit", _limit_text(report, found)
    if report.oom_memcg is not None:
        yield "of cgroup", report.oom_memcg
    if report.task_memcg is not None and report.task_memcg != report.oom_memcg:
        yield "Victim in", report.task_memcg
    if report.oom_memcg is None and report.task_memcg is None:
        yield "Pod", "unknown"
    else:
        yield "Pod UID", found.pod_uid or "none, the cgroup is no pod's"
        if found.container_id is not None or found.pod_uid is not None:
            yield "Container", found.container_id or "unknown"
    for victim in report.victims[:MOST_SHOWN]:
        yield "Killed", _victim_text(victim)
    if len(report.victims) > MOST_SHOWN:
        yield "Killed", f"and {len(report.victims) - MOST_SHOWN} more"
    if report.group_kill:
        yield "Group kill", "memory.oom.group is set, so every process of the cgroup was killed"
    if report.invoked_by is not None:
        yield "Allocating", f"{report.invoked_by} asked for the memory that was not there"


def to_text(number: int, report: OomReport) -> str:
    """Return one kill for people."""
    found = whose(report)
    first = report.victims[0]
    more = f" and {len(report.victims) - 1} more" if len(report.victims) > 1 else ""
    lines = [f"Kill {number}: {first.comm} (pid {first.pid}){more}, {_when(report)}"]
    lines += [f"  {name + ':':<12}{value}" for name, value in _facts(report, found)]
    if report.stat:
        lines += ["  Memory of the cgroup whose limit was hit:", *(f"    {line}" for line in _memory_text(report))]
    if report.tasks:
        lines += [f"  Resident memory of {len(report.tasks)} tasks:" if len(report.tasks) > 1 else "  Resident memory:"]
        lines += [f"    {line}" for line in _tasks_text(report)]
    elif report.invoked_by is None and report.oom_memcg is None:
        lines += [
            "  The kernel's own report of this kill is not in the log: its rate limit (10 reports in 5 seconds)",
            "  swallowed it, or the log is cut or filtered. What it would have told is unknown.",
        ]
    return "\n".join(printable(line, LONGEST_SHOWN) for line in lines)


def _lines(stream: BufferedIOBase) -> Iterator[bytes]:
    """Yield lines, cut where they are longer than any kernel's."""
    while line := stream.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)


@dataclass(slots=True)
class _Log:
    """What was read so far."""

    text: LogText = field(default_factory=LogText)
    speaking: int = 0
    """Lines that speak of the OOM killer, wherever in them."""


def _read(name: str, log: _Log) -> Iterator[OomReport]:
    """Yield each kill once its report is complete, the last one too when reading fails. Raises _UnusableError."""
    parser = OomParser()
    problem: str | None = None
    try:
        with opened(name) as stream:
            for line in _lines(stream):
                if log.text.lines == 0:
                    problem = next((why for magic, why in _NOT_TEXT.items() if line.startswith(magic)), None)
                    if problem is not None:
                        raise _UnusableError(problem)
                log.speaking += _SPEAKS.search(line) is not None
                for record, stamp in log.text.split(line):
                    parser.feed(record, stamp)
                yield from parser.take()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = f"broken gzip: {error}"
    except OSError as error:
        problem = error.strerror or str(error)
    yield from parser.finish()
    if problem is not None:
        raise _UnusableError(problem)


def _without_kill(log: _Log) -> str:
    """Return what a log without a kill was. Raises _UnusableError when it was no log at all."""
    text = log.text
    if text.lines == 0:
        raise _UnusableError("nothing in it. May you read the kernel log here? Try sudo dmesg, or sudo journalctl -k")
    if text.binary and not text.recognised:
        raise _UnusableError("not text: give the output of dmesg or journalctl -k")
    counted = f"{text.lines} line{'s' if text.lines > 1 else ''} read"
    if not text.kernel:
        return f"{counted}, none of them the kernel's (journalctl needs -k)."
    if log.speaking:
        speak = "1 of them speaks" if log.speaking == 1 else f"{log.speaking} of them speak"
        return (
            f"{counted}, and {speak} of the OOM killer. Either lines do not begin as dmesg, journalctl -k or a syslog "
            "daemon write them: give those as they stand. Or the kernel's line `Killed process` is not among them: it "
            "was filtered out or cut off, or nobody was killed."
        )
    if not text.recognised:
        return f"{counted}, none of them with a time or level as a kernel log's lines have: is it one?"
    return f"{counted}."


def run(arguments: argparse.Namespace) -> int:
    """Explain every kill in the log, and return the exit status."""
    name = "standard input" if arguments.log == "-" else printable(arguments.log, LONGEST_SHOWN)
    as_json = arguments.output == "json"
    log = _Log()
    count = 0
    try:
        for count, report in enumerate(_read(arguments.log, log), 1):
            if as_json:
                print(json.dumps(to_object(report)), flush=True)
            else:
                print(("\n" if count > 1 else "") + to_text(count, report), flush=True)
        if not count:
            print(f"No OOM kill in {name}: {_without_kill(log)}", file=sys.stderr if as_json else sys.stdout)
    except _UnusableError as error:
        print(f"memdiag explain: {name}: {error}", file=sys.stderr)
        return 2
    return 0
