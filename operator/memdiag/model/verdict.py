"""The verdict: cause, mechanism, evidence, recommendation and forecast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a container was killed."""

    LEAK = "Leak"
    GROWTH = "Growth"
    UNDERESTIMATED_LIMIT = "UnderestimatedLimit"
    NODE_PRESSURE = "NodePressure"
    NOT_KERNEL_OOM = "NotKernelOOM"
    INCONCLUSIVE = "Inconclusive"


class Mechanism(StrEnum):
    """The finer kind of a cause: a closed list."""

    HEAP_LEAK = "HeapLeak"
    OFF_HEAP_LEAK = "OffHeapLeak"
    THREAD_LEAK = "ThreadLeak"
    PROCESS_LEAK = "ProcessLeak"
    KERNEL_OBJECT_LEAK = "KernelObjectLeak"
    TMPFS_FILL = "TmpfsFill"
    FRAGMENTATION = "Fragmentation"
    LOAD_GROWTH = "LoadGrowth"
    DATA_GROWTH = "DataGrowth"
    VERSION_REGRESSION = "VersionRegression"
    STEADY_ABOVE_LIMIT = "SteadyAboveLimit"
    STARTUP_PEAK = "StartupPeak"
    BURST = "Burst"
    CACHE_ABOVE_LIMIT = "CacheAboveLimit"
    RUNTIME_HEAP_EXCEEDS_LIMIT = "RuntimeHeapExceedsLimit"
    HUGE_PAGE_BLOAT = "HugePageBloat"
    NO_HEADROOM = "NoHeadroom"
    NODE_OVERCOMMIT = "NodeOvercommit"
    ANCESTOR_LIMIT = "AncestorLimit"
    EVICTION = "Eviction"
    EXTERNAL_SIGKILL = "ExternalSigkill"


class Action(StrEnum):
    """What to do about the limit."""

    RAISE_LIMIT = "RaiseLimit"
    FIX_LEAK = "FixLeak"
    LOWER_LIMIT = "LowerLimit"
    KEEP_LIMIT = "KeepLimit"
    MOVE_OR_ADD_MEMORY = "MoveOrAddMemory"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured statement for (weight > 0) or against (weight < 0) a cause, in one sentence."""

    name: str
    cause: Cause
    value: float | str | None
    threshold: float | str | None
    weight: float
    statement: str


@dataclass(frozen=True, slots=True)
class StopGap:
    """A temporary limit for a leak, and the uptime from start to kill that it buys."""

    limit_bytes: int
    uptime_seconds: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the limit and request should be, from which basis; sizes in bytes, None where nothing is advised."""

    action: Action
    limit_bytes: int | None
    request_bytes: int | None
    range_bytes: tuple[int, int] | None
    basis: str
    stop_gap: StopGap | None = None
    clamps: tuple[str, ...] = ()
    """Who held a value down or up, a sentence each."""
    warnings: tuple[str, ...] = ()
    """What would undo this advice, or what it does not cover, a sentence each."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds from the last sample until demand reaches the limit, with its 95 % range.

    0 is "it has been reached"; None is "not known" or, for `high`, "perhaps never".
    """

    seconds_to_limit: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What the shape of a trace without a kill suggests."""

    cause: Cause
    mechanism: Mechanism | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict on one trace. `cause` is None when the trace has no kill."""

    cause: Cause | None
    mechanism: Mechanism | None
    confidence: float
    summary: str
    evidence: tuple[Evidence, ...]
    missing: tuple[str, ...]
    recommendation: Recommendation
    forecast: Forecast | None = None
    suspicion: Suspicion | None = None
    next_steps: tuple[str, ...] = ()
    """What to do next about this mechanism in this runtime, a sentence or two each, the most telling first."""
    would_settle: tuple[str, ...] = ()
    """What to watch or to try so that the verdict becomes surer; empty for a sure one."""
