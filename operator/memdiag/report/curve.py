"""The curve: what each run of a container held over its age, by kind of memory, beside limit, kills and advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from memdiag.model.trace import Level, Run, Trace, ended_by_kill, unreclaimable_kernel_bytes
from memdiag.model.verdict import Recommendation

MOST_RUNS = 40
"""Runs of one curve: the newest."""
MOST_POINTS = 240
"""Points of one run's curve: of more, each part's first, least, largest and last are kept."""

_SIGKILLED = 137
_EVICTED = "Evicted"


class Layer(StrEnum):
    """A kind of memory, stacked in this order; the last is what the kernel can drop, and no part of the demand."""

    ANON = "program (anonymous)"
    SHMEM = "tmpfs, shared"
    KERNEL = "kernel, sockets"
    SWAP = "swapped out"
    ALL = "all memory"
    CACHE = "page cache"


LAYERS: tuple[Layer, ...] = tuple(Layer)


class End(StrEnum):
    """How a run ended, for its mark and its row."""

    KILLED = "OOM-killed"
    SIGKILLED = "killed by SIGKILL, by whom is not known"
    EVICTED = "evicted"
    ENDED = "ended"
    ALIVE = "still running"


@dataclass(frozen=True, slots=True)
class Point:
    """One instant: seconds since the run's start, and the bytes of each layer in the order of LAYERS."""

    age: float
    layers: tuple[int, ...]
    limit: int | None
    """The limit then in force, bytes."""

    @property
    def demand(self) -> int:
        """Bytes of all layers but the page cache."""
        return sum(self.layers[:-1])

    @property
    def total(self) -> int:
        """Bytes of all layers."""
        return sum(self.layers)


@dataclass(frozen=True, slots=True)
class RunCurve:
    """One run. `started` is Unix seconds of the start, or of the first sample where nobody saw the start."""

    number: int
    """From 1, the oldest run's."""
    started: float | None
    start_seen: bool
    duration: float
    points: tuple[Point, ...]
    kills: tuple[float, ...]
    """Ages at which the kernel killed inside the run or ended it, seconds."""
    end: End
    exit_code: int | None
    peak: int | None
    """Highest demand seen, bytes; the kernel's own peak where there is no sample."""
    kernel_peak: int | None
    """memory.peak at the run's end, bytes, page cache included: what stood between two samples."""

    def held(self, age: float) -> int | None:
        """Return what was held when the kernel killed at that age, bytes: the samples before it, else the peak.

        The kill that ended the run came at the run's peak where the kernel counted one above the last samples.
        """
        before = [point.demand for point in self.points if point.age <= age + 0.5][-3:]
        if not before:
            return self.peak
        last = self.end is End.KILLED and age == self.kills[-1]
        return max([*before, self.kernel_peak or 0] if last else before)


@dataclass(frozen=True, slots=True)
class Curve:
    """All runs of one container of one pod, with what is drawn beside them. Sizes are bytes."""

    runs: tuple[RunCurve, ...]
    left_out: int
    """Older runs that are not drawn."""
    limit: int | None
    recommended: int | None
    allowed: tuple[int, int] | None
    """The range in which the recommended limit may lie."""
    stop_gap: int | None
    """A leak's temporary limit."""

    @property
    def kills(self) -> int:
        """Kills that are drawn."""
        return sum(len(run.kills) for run in self.runs)


def _layers(level: Level) -> tuple[int, ...] | None:
    """Return the bytes of each layer, None when nothing is known of the memory."""
    stat = level.stat
    if "anon" not in stat:
        return None if level.current is None else (0, 0, 0, 0, level.current, 0)
    shmem = stat.get("shmem", 0)
    kernel = (unreclaimable_kernel_bytes(stat) or 0) + stat.get("sock", 0)
    cache = max(stat.get("file", 0) - shmem, 0) + stat.get("slab_reclaimable", 0)
    return (stat["anon"], shmem, kernel, level.swap_current or 0, 0, cache)


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    if len(points) <= MOST_POINTS:
        return tuple(points)
    size = -(-len(points) // (MOST_POINTS // 4))
    kept: list[Point] = []
    for first in range(0, len(points), size):
        part = points[first : first + size]
        values = [point.demand for point in part]
        places = {0, values.index(min(values)), values.index(max(values)), len(part) - 1}
        kept += [part[place] for place in sorted(places)]
    return tuple(kept)


def _end(run: Run) -> End:
    end = run.end
    if end is None:
        return End.ALIVE
    if end.reason == _EVICTED:
        return End.EVICTED
    if ended_by_kill(run):
        return End.KILLED
    return End.SIGKILLED if end.exit_code == _SIGKILLED else End.ENDED


def _moments(run: Run) -> tuple[float, float] | None:
    """Return when a run began and was last heard of, Unix seconds; None when nothing has a time."""
    times = [sample.t for sample in run.samples] + [kill.t for kill in run.kills]
    times += [] if run.end is None else [run.end.t]
    times += [] if run.started is None else [run.started]
    return (min(times), max(times)) if times else None


def _point(age: float, level: Level, limit: int | None) -> Point | None:
    layers = _layers(level)
    if layers is None:
        return None
    now = level.max if isinstance(level.max, int) else None if level.max == "max" else limit
    return Point(max(age, 0.0), layers, now)


def _points(run: Run, began: float, limit: int | None) -> list[Point]:
    points = [point for sample in run.samples if (point := _point(sample.t - began, sample.level, limit)) is not None]
    last = None if run.end is None else _point(run.end.t - began, run.end.level, limit)
    # what a dead container's files still say is less than what it died of
    if last is not None and (not points or last.demand >= points[-1].demand):
        points.append(last)
    return points


def _run_curve(number: int, run: Run, limit: int | None) -> RunCurve | None:
    moments = _moments(run)
    if moments is None:
        return None
    began, last = moments
    points = _points(run, began, limit)
    end = _end(run)
    kills = [kill.t - began for kill in run.kills]
    if end is End.KILLED and run.end is not None and all(abs(run.end.t - began - age) > 1 for age in kills):
        kills.append(run.end.t - began)
    peaks = [point.demand for point in points]
    kernel_peak = None if run.end is None else run.end.level.peak
    return RunCurve(
        number=number,
        started=began,
        start_seen=run.started is not None,
        duration=last - began,
        points=_thinned(points),
        kills=tuple(sorted(kills)),
        end=end,
        exit_code=None if run.end is None else run.end.exit_code,
        peak=max(peaks) if peaks else kernel_peak,
        kernel_peak=kernel_peak,
    )


def _limit(trace: Trace, runs: Sequence[RunCurve]) -> int | None:
    """Return the newest run's limit as the kernel said it, else as the trace's header does; bytes."""
    for run in reversed(runs):
        if run.points:
            return run.points[-1].limit
        if trace.limit_bytes is not None:
            break  # an older run may have had another
    return trace.limit_bytes


def curve_of(trace: Trace, advice: Recommendation | None = None) -> Curve:
    """Return the curve of a trace's newest runs, with the recommendation's numbers where there is one."""
    found = [
        curve
        for number, run in enumerate(trace.runs, start=1)
        if (curve := _run_curve(number, run, trace.limit_bytes)) is not None
    ]
    runs = found[-MOST_RUNS:]
    gap = None if advice is None else advice.stop_gap
    return Curve(
        runs=tuple(runs),
        left_out=len(found) - len(runs),
        limit=_limit(trace, runs),
        recommended=None if advice is None else advice.limit_bytes,
        allowed=None if advice is None else advice.range_bytes,
        stop_gap=None if gap is None else gap.limit_bytes,
    )
