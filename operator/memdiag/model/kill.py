"""One OOM kill as the kernel told it, in its log or by its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from memdiag.model.trace import Victim


class Constraint(StrEnum):
    """Why the kernel's OOM killer ran (the `constraint=` of its log line)."""

    MEMCG = "Memcg"
    NONE = "None"
    CPUSET = "Cpuset"
    MEMORY_POLICY = "MemoryPolicy"


class LimitHit(StrEnum):
    """Whose limit was hit."""

    CONTAINER = "Container"
    POD = "Pod"
    ANCESTOR = "Ancestor"
    NODE = "Node"
    UNKNOWN = "Unknown"


class KillKind(StrEnum):
    """What an incident is a record of."""

    CONTAINER_KILLED = "ContainerKilled"
    PROCESS_KILLED = "ProcessKilled"
    EVICTED = "Evicted"
    SUMMARY = "Summary"


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the kernel's task table at the kill. Sizes are bytes."""

    pid: int
    comm: str
    rss: int | None = None
    total_vm: int | None = None
    swap: int | None = None
    pgtables: int | None = None
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a line of a saved log was written, as far as its text says."""

    wall: str | None = None
    """RFC 3339 in UTC; None where the text names no year or no zone."""
    written: str | None = None
    """The line's own date and time as they stand there."""
    clock: float | None = None
    """Seconds from an origin of the log's own: only differences between near lines mean anything."""


@dataclass(frozen=True, slots=True)
class OomReport:
    """One OOM kill in the kernel log. Everything but the victims may be None: the log is rate-limited."""

    time: float | None
    """Seconds since boot, from the record's own time stamp."""
    constraint: Constraint | None
    oom_memcg: str | None
    """The cgroup whose limit was hit; None for a node-wide kill or when the report was swallowed."""
    task_memcg: str | None
    """The victim's cgroup."""
    group_kill: bool
    victims: tuple[Victim, ...]
    tasks: tuple[Task, ...] = ()
    usage_bytes: int | None = None
    limit_bytes: int | None = None
    invoked_by: str | None = None
    lines: tuple[str, ...] = ()
    """The report's own lines, bounded, control bytes escaped."""
    stat: Mapping[str, int] = field(default_factory=dict)
    """memory.stat of the cgroup whose limit was hit, as the kernel printed it at the kill (bytes and counts)."""
    kill_events: int | None = None
    """`Killed process` lines: by how much this kill raised the cgroup's oom_kill counter (a group's first victim can
    count twice). None when the log did not say."""
    stamp: Stamp | None = None
    """The line's date and time in a saved log; None for a log read from the kernel."""
