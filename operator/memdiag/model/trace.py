"""A trace: the samples of one container of one pod over its runs, with the kills.

Field values are what the kernel's files said: bytes, microseconds and plain counts. None is "not known", never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, dataclass_transform

if TYPE_CHECKING:  # a kill has victims, which are defined here
    from memdiag.model.kill import LimitHit

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _light(cls: type[_T]) -> type[_T]:
    """Make a dataclass that the type checker alone holds frozen: a frozen one takes five times as long to make.

    For what a verdict makes by the ten thousand.
    """
    return dataclass(slots=True)(cls)


OOM_KILLED = "OOMKilled"
"""The runtime's word for a container in which the kernel killed."""

Limit = int | Literal["max"] | None
"""A cgroup limit: bytes, "max" for none, None where it is not known."""


@_light
class Pressure:
    """One line of a PSI file: share of the last 10 s stalled (percent) and total stall time (microseconds)."""

    avg10: float | None = None
    total: int | None = None


@_light
class Level:
    """What the memory files of one cgroup (container, pod, ancestor) said at one instant."""

    current: int | None = None
    peak: int | None = None
    max: Limit = None
    swap_current: int | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    events_local: Mapping[str, int] = field(default_factory=dict)
    stat: Mapping[str, int] = field(default_factory=dict)
    pressure_some: Pressure | None = None
    pressure_full: Pressure | None = None
    cpu: Mapping[str, int] = field(default_factory=dict)
    pids: int | None = None


@_light
class Sample:
    """One instant of a run. `t` is Unix seconds; `pod`, `ancestors`, `node` and `net` are optional company."""

    t: float
    level: Level
    pod: Level | None = None
    ancestors: Mapping[str, Level] = field(default_factory=dict)
    node: Mapping[str, int] = field(default_factory=dict)
    net: Mapping[str, int] = field(default_factory=dict)

    @property
    def demand(self) -> int | None:
        """Memory that the kernel cannot simply drop, in bytes (see `demand_bytes`)."""
        return demand_bytes(self.level.stat, self.level.swap_current)


@dataclass(frozen=True, slots=True)
class Victim:
    """One task that the kernel killed. Sizes are bytes."""

    pid: int | None = None
    comm: str | None = None
    anon_rss: int | None = None
    file_rss: int | None = None
    shmem_rss: int | None = None
    pgtables: int | None = None
    oom_score_adj: int | None = None

    @property
    def rss(self) -> int | None:
        """Resident bytes of all three classes, None when none is known."""
        known = [part for part in (self.anon_rss, self.file_rss, self.shmem_rss) if part is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class TraceKill:
    """A kill inside a run that lives on."""

    t: float
    victims: tuple[Victim, ...] = ()
    kernel_log: tuple[str, ...] = ()
    limit_hit: LimitHit | None = None
    """Whose limit was hit, where the recorder knows it from more than is kept here."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: what the runtime said of it, and the last that the kernel said."""

    t: float
    exit_code: int | None = None
    reason: str | None = None
    level: Level = field(default_factory=Level)
    kernel_log: tuple[str, ...] = ()
    killed: bool | None = None
    """True when the kernel's OOM killer ended it, False when it certainly did not, None when not known."""
    limit_hit: LimitHit | None = None
    """Whose limit was hit, where the recorder knows it from more than is kept here."""


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a container: one container ID, from start to exit. `started` is None when nobody saw the start."""

    container_id: str | None = None
    started: float | None = None
    image: str | None = None
    revision: str | None = None
    samples: tuple[Sample, ...] = ()
    kills: tuple[TraceKill, ...] = ()
    end: RunEnd | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The runs of one container of one pod, oldest first, with what is known beside them."""

    runs: tuple[Run, ...]
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None
    workload_kind: str | None = None
    workload_name: str | None = None
    node: str | None = None
    limit_bytes: int | None = None
    request_bytes: int | None = None
    runtime: Mapping[str, float] = field(default_factory=dict)
    """Heap settings as the runtime spells them, such as `-Xmx` or `GOMEMLIMIT`: bytes, percent or a plain count."""


def ended_by_kill(run: Run) -> bool:
    """Say whether the kernel's OOM killer ended a run, as far as anybody saw; a kill inside it alone did not."""
    end = run.end
    if end is None or end.killed is not None:
        return end is not None and end.killed is True
    if end.reason == OOM_KILLED or end.kernel_log:
        return True
    after = end.level.events.get("oom_kill", 0)
    if not run.kills:
        return after > 0
    before = run.samples[-1].level.events.get("oom_kill") if run.samples else None
    return before is not None and after > before


def unreclaimable_kernel_bytes(stat: Mapping[str, int]) -> int | None:
    """Return the kernel memory of a cgroup that cannot be reclaimed, in bytes; None when its parts are not known.

    `kernel` (Linux 5.18 and newer) less reclaimable slab; before that the sum of the parts that memory.stat had.
    """
    if "kernel" in stat:
        return max(stat["kernel"] - stat.get("slab_reclaimable", 0), 0)
    parts = [stat[name] for name in ("kernel_stack", "pagetables", "percpu", "slab_unreclaimable") if name in stat]
    return sum(parts) if parts else None


def demand_bytes(stat: Mapping[str, int], swap_current: int | None) -> int | None:
    """Return what the kernel cannot simply drop, in bytes: anon + shmem + unreclaimable kernel + sock + swapped out.

    None when `anon` is not known. Any other part that is not known is left out: the caller names it as missing.
    """
    if "anon" not in stat:
        return None
    kernel = unreclaimable_kernel_bytes(stat) or 0
    return stat["anon"] + stat.get("shmem", 0) + kernel + stat.get("sock", 0) + (swap_current or 0)
