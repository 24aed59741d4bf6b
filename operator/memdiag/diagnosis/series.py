"""Series: the demand of each life of a container over its age, ready for features.

A life begins with a run or with a kill inside a run that lives on, and ends with the next kill or the run's end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from memdiag.diagnosis.which_kill import NEAR_LIMIT, UPSTREAM, Kill, limit_hit_in_log
from memdiag.model.kill import LimitHit
from memdiag.model.trace import Run, RunEnd, Sample, Trace, TraceKill, ended_by_kill

MOST_POINTS = 1000
"""Points of one life that features look at: of more, each part's first, least, largest and last are kept."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One life's demand. Ages are seconds since its start (or since the first sample where nobody saw the start)."""

    index: int
    run: Run
    """The run with the samples and kills of this life only."""
    begin: float
    life: float
    points: Points
    """Age and demand in bytes, in order."""
    killed: bool
    """The life ended at the container's limit, so its last demand is only known to be at least the limit."""
    ended: bool
    start_seen: bool
    whole: bool
    """Demand is the true one; False when memory.current had to stand in for it."""
    born_of_kill: bool = False
    """A kill inside the same run began it: what other processes hold was not given back."""

    @property
    def step(self) -> float:
        """Return the usual distance of two samples near the life's end, in seconds."""
        gaps = sorted(b[0] - a[0] for a, b in pairwise(self.points[-12:]))
        return gaps[len(gaps) // 2] if gaps else self.life

    @property
    def end(self) -> float:
        """Return when the life ended, Unix seconds."""
        return self.begin + self.life


def limit_of(trace: Trace) -> int | None:
    """Return the container's limit in bytes: what the kernel said in the newest run, else what the header says.

    What it said in an older run comes last: the limit may have been changed since.
    """
    for run in reversed(trace.runs):
        levels = [run.end.level] if run.end is not None else []
        said = next((one.max for one in (*levels, *(s.level for s in reversed(run.samples))) if one.max), None)
        if said is not None or trace.limit_bytes is not None:
            return said if isinstance(said, int) else trace.limit_bytes
    return trace.limit_bytes


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> Points:
    """Return at most `most` points that keep the curve's envelope: of each part its first, least, largest and last."""
    if len(points) <= most:
        return tuple(points)
    size = -(-len(points) // (most // 4))
    kept: list[tuple[float, float]] = []
    for first in range(0, len(points), size):
        part = points[first : first + size]
        values = [value for _, value in part]
        places = {0, values.index(min(values)), values.index(max(values)), len(part) - 1}
        kept += [part[place] for place in sorted(places)]
    return tuple(kept)


def _points(run: Run) -> tuple[list[tuple[float, float]], bool]:
    found: list[tuple[float, float]] = [(s.t, float(d)) for s in run.samples if (d := s.demand) is not None]
    if found or not run.samples:
        return found, True
    bare = [(s.t, float(s.level.current)) for s in run.samples if s.level.current is not None]
    return bare, False


def _elsewhere(told: TraceKill | RunEnd) -> bool:
    """Say whether a kill was for want of memory above the pod, as far as its own words tell."""
    hit = told.limit_hit if told.limit_hit not in (None, LimitHit.UNKNOWN) else limit_hit_in_log(told.kernel_log)
    return hit in UPSTREAM


def _beside_others(run: Run, limit: int | None) -> bool:
    """Say whether a run was far from its own limit all the time, so that others filled the pod's."""
    levels = [*(sample.level for sample in run.samples), *([run.end.level] if run.end is not None else [])]
    highest = max((size for one in levels for size in (one.current, one.peak) if size is not None), default=0)
    return limit is not None and 0 < highest < NEAR_LIMIT * limit


def _killed(run: Run, newest: bool, kill: Kill | None, limit: int | None) -> bool:
    """Say whether a run ended at its own limit, or at its pod's for what it held itself."""
    if run.end is None or kill is None or kill.kernel is False:
        return False
    if not (kill.ended if newest else ended_by_kill(run)):
        return False
    hit = kill.limit_hit if newest else run.end.limit_hit
    if hit is LimitHit.POD and _beside_others(run, limit):
        return False
    return hit not in UPSTREAM if newest else not _elsewhere(run.end)


def _kills_counted(sample: Sample) -> int | None:
    return sample.level.events_local.get("oom_kill", sample.level.events.get("oom_kill"))


def _seen_dead(samples: Sequence[Sample], kill: float) -> float:
    """Return when the run was first seen without what a kill took: the log is read later than the counter is."""
    before: int | None = None
    for sample in samples:
        count = _kills_counted(sample)
        if before is not None and count is not None and count > before:
            return sample.t
        before = count if count is not None else before
    return kill


def _lives(run: Run, first: float, last: float) -> Iterator[tuple[float, float, Run, TraceKill | None]]:
    """Yield begin, end and samples of each life of a run, and the kill inside the run that ended it."""
    begin, place = first, 0
    ended = run.end is not None
    for kill in run.kills:
        if begin < kill.t and (kill.t < last or not ended):
            until = bisect_right(run.samples, kill.t, lo=place, key=lambda sample: sample.t)
            end = _seen_dead(run.samples[place:until], kill.t)
            after = bisect_left(run.samples, end, lo=place, key=lambda sample: sample.t)
            if after > place:
                yield begin, end, replace(run, samples=run.samples[place:after], kills=()), kill
                begin, place = end, after
    if place < len(run.samples) or begin == first:
        yield begin, last, replace(run, samples=run.samples[place:], kills=()), None


def series_of(trace: Trace, kill: Kill | None) -> list[Series]:
    """Return the series of every life that has at least one usable sample or a known beginning and end."""
    found: list[Series] = []
    limit = limit_of(trace)
    for index, run in enumerate(trace.runs):
        times = [sample.t for sample in run.samples[:1] + run.samples[-1:]]
        first = run.started if run.started is not None else times[0] if times else None
        last = run.end.t if run.end is not None else times[-1] if times else None
        if first is None or last is None:
            continue
        first, last = min([first, *times]), max([last, *times])
        for begin, end, life, within in _lives(run, first, last):
            points, whole = _points(life)
            newest = kill is not None and kill.run == index
            found.append(
                Series(
                    index=len(found),
                    run=life,
                    begin=begin,
                    life=max(end - begin, 1e-3),
                    points=thinned(sorted((t - begin, demand) for t, demand in points)),  # a clock may be set back
                    killed=_killed(run, newest, kill, limit) if within is None else not _elsewhere(within),
                    ended=within is not None or run.end is not None,
                    start_seen=begin > first or run.started is not None,
                    whole=whole,
                    born_of_kill=begin > first,
                )
            )
    return found
