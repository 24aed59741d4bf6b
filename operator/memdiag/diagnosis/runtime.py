"""The runtime: which language or server it is, how large its heap may become, and what follows for the limit.

Where the defaults come from:

- HotSpot (`Arguments::set_heap_size`): a quarter of the memory it sees (MaxRAMPercentage=25), at least 124.8 MiB
  (`ScaleForWordSize(96*M)`); where MinRAMPercentage=50 of that memory is less than this, just that, whatever
  MaxRAMPercentage says. -Xmx comes before both.
- V8 as Node.js configures it (`Heap::HeapSizeFromPhysicalMemory`): half of the container's memory for the old
  generation, at least 256 MiB, at most 2 GiB (4 GiB from 15 GiB on); so below 512 MiB it is larger than half.
- .NET (documentation of the garbage collector's settings): 75 % of the container's limit, at least 20 MiB.
- Go has no cap by default, and GOMEMLIMIT is a soft one: live memory beyond it is not refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from memdiag.model.trace import Trace

_MIB = 2**20
HOTSPOT_LEAST = int(96 * 1.3 * _MIB)
"""Bytes: where half of the memory is less, HotSpot reads MinRAMPercentage instead of MaxRAMPercentage."""
_V8_LEAST, _V8_MOST, _V8_MOST_LARGE, _V8_LARGE = 256 * _MIB, 2**31, 2**32, 15 * 2**30
_DOTNET_LEAST = 20 * _MIB
_MOST_LINES = 64
_ABOVE = 0.95
"""A heap this near to the limit passes it with what the runtime needs beside it: code, stacks, class data."""


class Runtime(StrEnum):
    """A runtime or server whose way with memory is known, as people call it."""

    JVM = "JVM"
    GO = "Go"
    NODE = "Node.js"
    DOTNET = ".NET"
    PYTHON = "Python"
    RUBY = "Ruby"
    PHP = "PHP"
    ERLANG = "Erlang"
    REDIS = "Redis"
    POSTGRES = "PostgreSQL"


_COMMS: tuple[tuple[re.Pattern[str], Runtime], ...] = tuple(
    (re.compile(pattern), runtime)
    for pattern, runtime in (
        (r"java$|jsvc|tomcat", Runtime.JVM),
        (r"(node-)?MainThread$|node(js)?$", Runtime.NODE),
        (r"dotnet$|\.NET ", Runtime.DOTNET),
        (r"python|pypy|gunicorn|uvicorn|celery|uwsgi", Runtime.PYTHON),
        (r"ruby|puma|unicorn|sidekiq|rails", Runtime.RUBY),
        (r"php", Runtime.PHP),
        (r"beam(\.smp)?$", Runtime.ERLANG),
        (r"(redis|valkey|keydb)-", Runtime.REDIS),
        (r"postgres|postmaster", Runtime.POSTGRES),
    )
)
"""What the kernel's name of a killed task begins with. A program in Go, C, C++ or Rust has a name of its own."""
_SETTINGS: tuple[tuple[tuple[str, ...], Runtime], ...] = (
    (("-Xm", "-XX:", "-Xss"), Runtime.JVM),
    (("--max-old-space", "--max-semi-space"), Runtime.NODE),
    (("DOTNET_",), Runtime.DOTNET),
    (("GOMEMLIMIT", "GOGC"), Runtime.GO),
    (("maxmemory",), Runtime.REDIS),
    (("shared_buffers", "work_mem", "maintenance_work_mem", "max_connections"), Runtime.POSTGRES),
)
_KILLED = re.compile(r"Killed process \d{1,10}(?:, UID \d{1,10},)? \((.{0,64}?)\),? (?:total-vm|UID|uid|anon-rss)")
_KILLED_CUT = re.compile(r"Killed process \d{1,10}(?:, UID \d{1,10},)? \((.{1,64}?)\)")

SETTING_OF_CAP: Mapping[Runtime, str] = {
    Runtime.JVM: "-Xmx or -XX:MaxRAMPercentage",
    Runtime.NODE: "--max-old-space-size",
    Runtime.DOTNET: "DOTNET_GCHeapHardLimit",
}
"""The runtimes that hold their heap below a cap of its own, with the setting."""
HEAP_SHARES: Mapping[Runtime, float] = {Runtime.JVM: 0.7, Runtime.NODE: 0.75, Runtime.DOTNET: 0.7}
"""Share of the limit for their heap: class data, compiled code, stacks and buffers need the rest."""


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """What is known of the runtime. `heap_cap` is bytes; None where the runtime has no cap or it is not known."""

    runtime: Runtime | None = None
    comm: str | None = None
    """The kernel's name of the task that it killed last."""
    heap_cap: int | None = None
    cap_from: str | None = None
    """The setting that gives the cap, or "default"."""
    limit: int | None = None
    """The container's limit, bytes."""
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def cap_unknown(self) -> bool:
        """Return whether this runtime has a cap that nobody told.

        A default counts as told, but for a JVM of which no setting is visible: its image sets one more often than not.
        """
        hidden = self.runtime is Runtime.JVM and self.cap_from == "default" and not self.settings
        return self.runtime in SETTING_OF_CAP and (self.heap_cap is None or hidden)

    @property
    def cap_above_limit(self) -> bool:
        """Return whether the heap alone may pass the limit: the kernel kills before the collector has to work."""
        known = self.heap_cap is not None and self.limit is not None and not self.cap_unknown
        return known and (self.heap_cap or 0) >= _ABOVE * (self.limit or 0)

    @property
    def cap_told(self) -> bool:
        """Return whether somebody set the cap, rather than the runtime's own default."""
        return self.cap_from not in (None, "default")

    def outside_heap(self, level: int, grown: int) -> bool | None:
        """Say whether what grew is mostly outside the heap; None when the cap does not tell.

        `level` is the anonymous memory at the end and `grown` by how much it rose, bytes. A capped heap brings at most
        its cap of either, so what is beyond it is certainly not heap.
        """
        if self.runtime not in SETTING_OF_CAP or self.cap_unknown or self.heap_cap is None:
            return None
        if 2 * max(grown - self.heap_cap, 0) >= grown or 2 * self.heap_cap <= level:
            return True
        return False if self.heap_cap >= level else None


def _log_lines(trace: Trace) -> Iterable[str]:
    for run in reversed(trace.runs):
        if run.end is not None:
            yield from reversed(run.end.kernel_log[-_MOST_LINES:])
        for kill in reversed(run.kills[-_MOST_LINES:]):
            yield from reversed(kill.kernel_log[-_MOST_LINES:])


def _last_victim(trace: Trace) -> str | None:
    """Return the kernel's name of the task killed last: of the recorded victims, else of the kernel log's lines."""
    for line in _log_lines(trace):
        found = _KILLED.search(line) or _KILLED_CUT.search(line)
        if found is not None:
            return found[1]
    victims = (kill.victims for run in reversed(trace.runs) for kill in reversed(run.kills))
    return next((comm for group in victims for one in group if (comm := one.comm)), None)


def _which(comm: str | None, settings: Mapping[str, float]) -> Runtime | None:
    by_name = next((runtime for pattern, runtime in _COMMS if comm and pattern.match(comm)), None)
    if by_name is not None:
        return by_name
    told = (runtime for starts, runtime in _SETTINGS if any(name.startswith(starts) for name in settings))
    return next(told, None)


def _jvm_cap(settings: Mapping[str, float], limit: int | None) -> tuple[int | None, str | None]:
    if "-Xmx" in settings:
        return int(settings["-Xmx"]), "-Xmx"
    memory = settings.get("-XX:MaxRAM", limit)
    if memory is None:
        return None, None
    small = memory * settings.get("-XX:MinRAMPercentage", 50.0) / 100
    name = next((key for key in ("-XX:MaxRAMPercentage", "-XX:MaxRAM") if key in settings), "default")
    if small < HOTSPOT_LEAST:
        return int(small), name
    return int(max(memory * settings.get("-XX:MaxRAMPercentage", 25.0) / 100, HOTSPOT_LEAST)), name


def _node_cap(settings: Mapping[str, float], limit: int | None) -> tuple[int | None, str | None]:
    if "--max-old-space-size" in settings:
        return int(settings["--max-old-space-size"]), "--max-old-space-size"
    if limit is None:
        return None, None
    if "--max-old-space-size-percentage" in settings:
        share = settings["--max-old-space-size-percentage"] / 100
        return int(limit * share), "--max-old-space-size-percentage"
    most = _V8_MOST_LARGE if limit >= _V8_LARGE else _V8_MOST
    return max(min(limit // 2, most), _V8_LEAST), "default"


def _dotnet_cap(settings: Mapping[str, float], limit: int | None) -> tuple[int | None, str | None]:
    if "DOTNET_GCHeapHardLimit" in settings:
        return int(settings["DOTNET_GCHeapHardLimit"]), "DOTNET_GCHeapHardLimit"
    if limit is None:
        return None, None
    percent = settings.get("DOTNET_GCHeapHardLimitPercent")
    if percent is not None:
        return int(limit * percent / 100), "DOTNET_GCHeapHardLimitPercent"
    return max(limit * 3 // 4, _DOTNET_LEAST), "default"


_CAPS = {Runtime.JVM: _jvm_cap, Runtime.NODE: _node_cap, Runtime.DOTNET: _dotnet_cap}


def runtime_of(trace: Trace, limit: int | None) -> RuntimeFacts:
    """Return what is known of a trace's runtime; `limit` is the container's, in bytes."""
    comm = _last_victim(trace)
    runtime = _which(comm, trace.runtime)
    read = _CAPS.get(runtime) if runtime is not None else None
    cap, source = read(trace.runtime, limit) if read is not None else (None, None)
    return RuntimeFacts(runtime, comm, cap, source, limit, trace.runtime)
