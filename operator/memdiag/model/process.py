"""One process of a container as /proc showed it, and how it came to be so large."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Sizes are bytes; None is what this kernel does not print or the reader may not see."""

    pid: int
    """In the node's own pid namespace."""
    comm: str
    """The task's name as the kernel keeps it, control bytes escaped; never its arguments."""
    rss: int | None = None
    anon: int | None = None
    shmem: int | None = None
    swap: int | None = None
    pss: int | None = None
    """Its proportional share of what it maps (smaps_rollup): pages that N processes map count as 1/N."""
    threads: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    oom_score: int | None = None
    """What the kernel would choose its victim by, 0 to 2000."""
    oom_score_adj: int | None = None
    grew: int | None = None
    """By how much `rss` changed since it was first seen."""
    over: float | None = None
    """Seconds since it was first seen."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The largest processes of a container at one moment (Unix seconds), the largest first."""

    time: float
    count: int
    """How many the container had; more than are listed where the list is cut."""
    largest: tuple[Process, ...]
    missing: tuple[str, ...] = ()
