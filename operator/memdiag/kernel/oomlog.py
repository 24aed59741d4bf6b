"""OOM kills in the kernel log: records in, one `OomReport` a kill out, for Linux 5.4 to 7.2.

The kernel prints reports one after another under a lock (mm/oom_kill.c: oom_lock), other records may stand between.
A report that the kernel's rate limit swallowed leaves its `Killed process` lines only. Sizes come in pages in the task
table and in kB elsewhere; all leave here as bytes. Saved logs may be older: what Linux 4.x printed otherwise is read,
too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from memdiag.kernel.klog import Record, escape
from memdiag.kernel.paths import PathLevel, level_of
from memdiag.model.kill import Constraint, LimitHit, OomReport, Stamp, Task
from memdiag.model.trace import Victim

MOST_REPORTS = 4096
"""Kills that are kept, the newest, until they are taken."""
MOST_VICTIMS = 4096
MOST_TASKS = 8192
MOST_LINES = 12
LONGEST_LINE = 896
"""An `oom-kill:` line with two cgroup paths of a nested node (kind) fits; the kernel itself ends a line at 1024."""
LONGEST_TEXT = 4096
LONGEST_COMM = 64
LONGEST_CGROUP = 4096

_GROUP_GAP_SECONDS = 2.0
_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)
_KIB = 1024
_UNLIMITED = 2**62
_INVOKED = re.compile(r"(.*) invoked oom-killer: ")
_USAGE = re.compile(r"memory: usage (\d{1,19})kB, limit (\d{1,19})kB")
_SWAP = re.compile(r"swap: usage \d")
_STATS = re.compile(r"Memory cgroup stats for .*:$")
_STAT = re.compile(r"([a-z][a-z0-9_]{1,47}) (\d{1,19})$")
_TABLE = re.compile(r"\[ *pid *\] .*\bname$")
_ROW = re.compile(r"\[ *(\d{1,10})\] +(.*)$")
_SUMMARY = re.compile(r"oom-kill:constraint=(CONSTRAINT_[A-Z_]+),")
_KILLED = re.compile(r"(?:(?:Memory cgroup out of memory|Out of memory[^:]*): )?Killed process (\d{1,10}) \((.*)$")
_CHOSEN_BEFORE_5_1 = re.compile(r"(Memory cgroup out of memory|Out of memory[^:]*): Kill process \d+ \(")
_LIMIT_BEFORE_5_0 = re.compile(r"Task in (/.*) killed as a result of limit of (/.*)$")
_SIZES = re.compile(
    r"\) total-vm:\d{1,19}kB, anon-rss:(\d{1,19})kB, file-rss:(\d{1,19})kB"
    r"(?:, shmem-rss:(\d{1,19})kB)?"
    r"(?:, UID:\d{1,10})?(?:,? pgtables:(\d{1,19})(?:kB)?)?(?:,? oom_score_adj:(-?\d{1,5}))?"
)
_SKIPPED = re.compile(r"(?:Memory cgroup out of memory|Out of memory[^:]*): OOM victim \d+ .*is already exiting")
_GROUP = re.compile(r"Tasks in (.*) are going to be killed due to memory\.oom\.group set")
_CONSTRAINTS = {
    "CONSTRAINT_NONE": Constraint.NONE,
    "CONSTRAINT_MEMCG": Constraint.MEMCG,
    "CONSTRAINT_CPUSET": Constraint.CPUSET,
    "CONSTRAINT_MEMORY_POLICY": Constraint.MEMORY_POLICY,
}


@dataclass(slots=True)
class _Open:
    """A report that is still being read."""

    invoked_by: str | None = None
    time: float | None = None
    stamp: Stamp | None = None
    constraint: Constraint | None = None
    oom_memcg: str | None = None
    task_memcg: str | None = None
    summary: bool = False
    group: bool = False
    header: list[str] = field(default_factory=list)
    in_stats: bool = False
    stat: dict[str, int] = field(default_factory=dict)
    usage: int | None = None
    limit: int | None = None
    tasks: dict[int, Task] = field(default_factory=dict)
    victims: dict[int, Victim] = field(default_factory=dict)
    last: float | None = None
    lines: list[str] = field(default_factory=list)
    kill_events: int = 0
    cut: tuple[int, str] | None = None
    """PID and the line so far of a victim whose name holds a line feed: it goes on in the next record."""

    def keep(self, text: str) -> None:
        if len(self.lines) < MOST_LINES:
            self.lines.append(text[:LONGEST_LINE])

    def close(self) -> OomReport | None:
        """Return the kill, None when the kernel killed nobody (or its line is not there yet)."""
        if not self.victims:
            return None
        return OomReport(
            time=self.time,
            constraint=self.constraint,
            oom_memcg=self.oom_memcg,
            task_memcg=self.task_memcg,
            group_kill=self.group,
            victims=tuple(self.victims.values()),
            tasks=tuple(self.tasks.values()),
            usage_bytes=self.usage,
            limit_bytes=self.limit,
            invoked_by=self.invoked_by,
            lines=tuple(self.lines),
            stat=self.stat,
            kill_events=self.kill_events,
            stamp=self.stamp,
        )


def _comm(text: str) -> str:
    return escape(text)[:LONGEST_COMM]


def _kib(text: str | None) -> int | None:
    return None if text is None else int(text) * _KIB


def _victim(pid: int, rest: str) -> Victim:
    """Read `comm) total-vm:…`; the sizes are looked for from the right, for a comm may hold anything."""
    sizes = None
    start = rest.rfind(") total-vm:")
    if start >= 0:
        sizes = _SIZES.match(rest, start)
    if sizes is None:
        return Victim(pid=pid, comm=_comm(rest.rpartition(")")[0] or rest))
    anon, file, shmem, pgtables, adjustment = sizes.groups()
    in_bytes = pgtables is not None and not rest[sizes.start(4) :].startswith(f"{pgtables}kB")
    return Victim(
        pid=pid,
        comm=_comm(rest[:start]),
        anon_rss=_kib(anon),
        file_rss=_kib(file),
        shmem_rss=_kib(shmem),
        pgtables=int(pgtables) if in_bytes and pgtables is not None else _kib(pgtables),
        oom_score_adj=None if adjustment is None else int(adjustment),
    )


def _complete(report: _Open, cut: tuple[int, str], text: str) -> None:
    """Read the record behind a victim's line that a line feed in its name cut off."""
    pid, rest = cut[0], f"{cut[1]}\n{text}"
    name = escape(rest.rpartition(") total-vm:")[0] or rest)
    if len(name) > LONGEST_COMM:
        report.cut = None
    elif ") total-vm:" in text:
        report.cut, report.victims[pid] = None, _victim(pid, rest)
    else:
        report.cut = pid, rest


def _between(text: str, key: str, ends: tuple[str, ...]) -> str | None:
    start = text.find(key)
    if start < 0:
        return None
    start += len(key)
    stops = [stop for end in ends if (stop := text.find(end, start)) >= 0]
    return escape(text[start : min(stops) if stops else len(text)])[:LONGEST_CGROUP]


def _read_summary(report: _Open, text: str, constraint: str) -> None:
    # The victim's name may hold commas and look like a key: cut it off from the right, then read from the left.
    head = text[: text.rfind(",pid=")] if ",pid=" in text else text
    task = head.find(",task=", max(head.find(",task_memcg="), 0))
    head = head[:task] if task >= 0 else head
    report.constraint = _CONSTRAINTS.get(constraint)
    report.oom_memcg = _between(head, ",oom_memcg=", (",task_memcg=", ",task="))
    report.task_memcg = _between(head, ",task_memcg=", (",task=",))
    report.summary = True


def _read_limit(report: _Open, text: str) -> bool:
    """Read a record about the limit and its use; return whether this is one."""
    if usage := _USAGE.match(text):
        report.usage = int(usage.group(1)) * _KIB
        limit = int(usage.group(2)) * _KIB
        report.limit = limit if limit < _UNLIMITED else None
    elif before := _LIMIT_BEFORE_5_0.match(text):
        report.constraint = Constraint.MEMCG
        report.task_memcg, report.oom_memcg = (escape(path)[:LONGEST_CGROUP] for path in before.groups())
    elif not _SWAP.match(text):
        return False
    report.keep(text)
    return True


def _read_row(report: _Open, text: str, page_size: int) -> None:
    row = _ROW.match(text)
    if row is None or len(report.tasks) >= MOST_TASKS:
        return
    names = report.header[1:-1]
    words = row.group(2).split(None, len(names))
    if len(words) < len(names) or not all(
        word.lstrip("-").isdigit() and len(word) < 20 for word in words[: len(names)]
    ):
        return
    values = dict(zip(names, (int(word) for word in words), strict=False))
    pid = int(row.group(1))
    # A space between the last number and the name belongs to the layout, further ones to the name.
    comm = words[len(names)] if len(words) > len(names) else ""

    def pages(name: str) -> int | None:
        return values[name] * page_size if name in values else None

    report.tasks[pid] = Task(
        pid=pid,
        comm=_comm(comm),
        rss=pages("rss"),
        total_vm=pages("total_vm"),
        swap=pages("swapents"),
        pgtables=values.get("pgtables_bytes"),
        oom_score_adj=values.get("oom_score_adj"),
    )


class OomParser:
    """Reads records one by one; `take` and `finish` return the kills in the log's order."""

    def __init__(self, page_size: int = 4096) -> None:
        self._page_size = page_size
        self._open: _Open | None = None
        self._kills: list[OomReport] = []

    def _close(self) -> None:
        kill = self._open.close() if self._open is not None else None
        if kill is not None:
            self._kills.append(kill)
            del self._kills[:-MOST_REPORTS]
        self._open = None

    def _killed(self, record: Record, stamp: Stamp | None, text: str, pid: int, rest: str) -> None:
        report = self._open
        clock = record.time if record.time is not None or stamp is None else stamp.clock
        if report is not None and report.victims and not self._same_kill(report, pid, clock):
            self._close()
            report = None
        if report is None:
            report = self._open = _Open()
        if not report.victims:
            report.time, report.stamp = record.time, stamp
        report.last = clock
        report.kill_events += 1
        report.in_stats, report.header, report.cut = False, [], None
        if pid not in report.victims and len(report.victims) < MOST_VICTIMS:
            report.victims[pid] = _victim(pid, rest)
            if ") total-vm:" not in rest:
                report.cut = pid, rest
        report.keep(text)

    @staticmethod
    def _same_kill(report: _Open, pid: int, clock: float | None) -> bool:
        """Return whether a further victim belongs to this report: a member of its group, or the first one again."""
        if clock is not None and report.last is not None and abs(clock - report.last) > _GROUP_GAP_SECONDS:
            return False
        if pid in report.victims:
            return True
        return report.group and (not report.tasks or pid in report.tasks)

    def feed(self, record: Record, stamp: Stamp | None = None) -> None:
        """Read the next record, with its line's date and time in a saved log."""
        text = record.text[:LONGEST_TEXT]
        if killed := _KILLED.match(text):
            self._killed(record, stamp, text, int(killed.group(1)), killed.group(2))
        elif invoked := _INVOKED.match(text):
            self._close()
            self._open = _Open(invoked_by=_comm(invoked.group(1)))
            self._open.keep(text)
        elif summary := _SUMMARY.match(text):
            if self._open is None or self._open.summary or self._open.victims:
                self._close()
                self._open = _Open()
            _read_summary(self._open, text, summary.group(1))
            self._open.in_stats, self._open.header = False, []
            self._open.keep(text)
        elif chosen := _CHOSEN_BEFORE_5_1.match(text):
            if self._open is None or self._open.victims:
                self._close()
                self._open = _Open()
            in_cgroup = chosen.group(1).startswith("Memory cgroup")
            self._open.constraint = self._open.constraint or (Constraint.MEMCG if in_cgroup else Constraint.NONE)
            self._open.in_stats, self._open.header = False, []
            self._open.keep(text)
        elif _SKIPPED.match(text):
            if self._open is not None and not self._open.victims:
                self._open = None
        elif self._open is not None:
            self._detail(self._open, text)

    def _detail(self, report: _Open, text: str) -> None:
        """Read a record that says something only within a report."""
        if group := _GROUP.match(text):
            if report.victims:
                report.group = True
                report.task_memcg = report.task_memcg or escape(group.group(1))[:LONGEST_CGROUP]
                report.keep(text)
        elif report.cut is not None:
            _complete(report, report.cut, text)
        elif report.victims or report.summary or _read_limit(report, text):
            return
        elif _STATS.match(text):
            report.in_stats = True
        elif _TABLE.match(text):
            report.header = text.replace("[", " ").replace("]", " ").split()
            report.in_stats = False
        elif report.header:
            _read_row(report, text, self._page_size)
        elif report.in_stats and (stat := _STAT.match(text)) and len(report.stat) < 128:
            report.stat[stat.group(1)] = int(stat.group(2))

    def take(self) -> list[OomReport]:
        """Return the kills whose reports are complete, each once."""
        taken, self._kills = self._kills, []
        return taken

    def finish(self) -> list[OomReport]:
        """Close the last report and return every kill that was not taken."""
        self._close()
        return self.take()


def parse(records: Iterable[Record], page_size: int = 4096) -> list[OomReport]:
    """Return the newest kills in these records, in the log's order. `page_size` is the node's, in bytes."""
    parser = OomParser(page_size)
    for record in records:
        parser.feed(record)
    return parser.finish()


_WHOSE = {
    PathLevel.CONTAINER: LimitHit.CONTAINER,
    PathLevel.POD: LimitHit.POD,
    PathLevel.ANCESTOR: LimitHit.ANCESTOR,
    PathLevel.ROOT: LimitHit.NODE,
}


def limit_hit(report: OomReport) -> LimitHit:
    """Return whose limit was hit as far as the log says it: Unknown where its report was swallowed."""
    if report.oom_memcg is not None:
        return _WHOSE[level_of(report.oom_memcg)]
    node_wide = report.constraint not in (None, Constraint.MEMCG)
    if node_wide or any(line.startswith("Out of memory") for line in report.lines):
        return LimitHit.NODE
    return LimitHit.UNKNOWN
