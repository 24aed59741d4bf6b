"""Series: the demand of each run over its age, ready for shape features."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from memdiag.diagnosis.which_kill import Kill
from memdiag.model.kill import LimitHit
from memdiag.model.trace import Run, Trace


@dataclass(frozen=True, slots=True)
class Series:
    """One run's demand. Ages are seconds since the start (or since the first sample where nobody saw the start)."""

    index: int
    run: Run
    begin: float
    life: float
    points: tuple[tuple[float, float], ...]
    """Age and demand in bytes, in order."""
    killed: bool
    """The run ended at the container's limit, so its last demand is only known to be at least the limit."""
    ended: bool
    start_seen: bool
    whole: bool
    """Demand is the true one; False when memory.current had to stand in for it."""

    @property
    def step(self) -> float:
        """Return the usual distance of two samples near the run's end, in seconds."""
        gaps = sorted(b[0] - a[0] for a, b in pairwise(self.points[-12:]))
        return gaps[len(gaps) // 2] if gaps else self.life


def limit_of(trace: Trace) -> int | None:
    """Return the container's limit in bytes: the newest that the kernel said, else what the trace's header says."""
    for run in reversed(trace.runs):
        for sample in reversed(run.samples):
            if isinstance(sample.level.max, int):
                return sample.level.max
            if sample.level.max == "max":
                return trace.limit_bytes
    return trace.limit_bytes


def _points(run: Run) -> tuple[list[tuple[float, float]], bool]:
    found: list[tuple[float, float]] = [(s.t, float(d)) for s in run.samples if (d := s.demand) is not None]
    if found or not run.samples:
        return found, True
    bare = [(s.t, float(s.level.current)) for s in run.samples if s.level.current is not None]
    return bare, False


def _killed(run: Run, newest: bool, kill: Kill | None) -> bool:
    """Say whether a run ended at its own limit."""
    if run.end is None or kill is None or kill.kernel is False:
        return False
    if newest:
        return kill.limit_hit in (LimitHit.CONTAINER, LimitHit.POD, LimitHit.UNKNOWN)
    return run.end.killed is True or bool(
        run.end.level.events.get("oom_kill") or run.end.reason == "OOMKilled" or run.end.kernel_log
    )


def series_of(trace: Trace, kill: Kill | None) -> list[Series]:
    """Return the series of every run that has at least one usable sample or a known beginning and end."""
    found: list[Series] = []
    for index, run in enumerate(trace.runs):
        points, whole = _points(run)
        first = run.started if run.started is not None else points[0][0] if points else None
        last = run.end.t if run.end is not None else points[-1][0] if points else None
        if first is None or last is None:
            continue
        first = min(first, points[0][0]) if points else first
        last = max(last, points[-1][0]) if points else last
        found.append(
            Series(
                index=index,
                run=run,
                begin=first,
                life=max(last - first, 1e-3),
                points=tuple((t - first, demand) for t, demand in points),
                killed=_killed(run, kill is not None and kill.run == index, kill),
                ended=run.end is not None,
                start_seen=run.started is not None,
                whole=whole,
            )
        )
    return found
