"""Sizing: what limits are sized from. Highest demand, the usual level, and what the limits in force cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.series import Series
from memdiag.diagnosis.which_kill import NEAR_LIMIT
from memdiag.model.kill import LimitHit
from memdiag.model.trace import Run

CENSORED = 0.985
"""Share of the limit in force at which a memory.peak says no more than that the limit was reached: the kernel charges
in batches and may kill a little below it."""
_MISSED = 1.02
"""memory.peak over the highest memory.current sampled, from which on the samples missed the peak."""
_SAME_LIMIT = 1.05
_MOST_READ = 4000
_START = 0.1
"""Share of a life that is its start, which says nothing about the usual level."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """What was asked of memory, in bytes and seconds. None is "not known"."""

    highest: int
    """Highest demand sampled, over all runs and the replicas."""
    needed_file: int
    """File pages that the program could not do without."""
    missed_peak: int | None
    """Highest memory.peak of a run whose samples missed its peak and whose limit did not cut it off."""
    peak: int | None
    """Highest memory.peak, cut off or not; it counts page cache."""
    cut_at: int | None
    """Highest limit in force at which a run was killed: its demand was at least that."""
    first_cut_at: int | None
    """The limit in force at the first kill that was seen."""
    cut_limits: int
    """How many limits it was killed at that were each higher than those before: more than one is a raise that was not
    enough."""
    cut_now: bool
    """The limit at which a run was killed is the present one, or a higher one."""
    clean_seconds: float
    """Time seen since the newest kill, or since the beginning where there was none."""
    clean_peak: int | None
    """Highest memory.peak (or memory.current) of that time."""
    usual: int | None
    """Level that demand stayed below for 95 % of the time, starts left out; None without samples."""
    median: int | None
    noise: float
    """Robust standard deviation of demand from one sample to the next, over the usual part of the lives."""

    @property
    def seen(self) -> int:
        """Return the highest demand that was really seen, with the file pages that it needs."""
        return max(self.highest + self.needed_file, self.missed_peak or 0)

    @property
    def floor(self) -> int:
        """Return the least that a limit may be by what was seen: a kill shows a demand of at least its limit."""
        return max(self.seen, self.cut_at or 0)


def _limit_in_force(run: Run, otherwise: int | None) -> int | None:
    """Return the limit at the end of a life in bytes: in-place resizing may have changed it. None is none."""
    levels = [run.end.level] if run.end is not None and not run.samples else []
    for level in (*levels, *(sample.level for sample in reversed(run.samples))):
        if isinstance(level.max, int):
            return level.max
        if level.max == "max":
            return None
    return otherwise


def limits_in_force(found: Features) -> list[int | None]:
    """Return the limit at the end of each life: where its own samples do not say, that of the life before.

    The newest life has the present one then.
    """
    last = found.trace.limit_bytes if found.trace.limit_bytes is not None else found.limit
    limits: list[int | None] = []
    for place, one in enumerate(found.series, 1):
        last = _limit_in_force(one.run, found.limit if place == len(found.series) else last)
        limits.append(last)
    return limits


def limit_at_kill(found: Features) -> int | None:
    """Return the limit in force at the newest kill in bytes, where none was seen the present one; None is not known."""
    limits = limits_in_force(found)
    return next((limits[one.index] for one in reversed(found.series) if one.killed), found.limit)


def _peak(run: Run) -> int | None:
    levels = [run.end.level] if run.end is not None else []
    levels += [sample.level for sample in run.samples[-1:]]
    return max((level.peak for level in levels if level.peak is not None), default=None)


def _current(run: Run) -> int | None:
    return max((s.level.current for s in run.samples if s.level.current is not None), default=None)


def _reached(series: Series) -> int | None:
    """Return how far a life got, page cache included."""
    peaks = [_peak(series.run), _current(series.run), *(int(demand) for _, demand in series.points[-1:])]
    return max((peak for peak in peaks if peak is not None), default=None)


def _missed(run: Run, limit: int | None) -> int | None:
    peak, current = _peak(run), _current(run)
    if peak is None or (limit is not None and peak >= CENSORED * limit):
        return None
    return peak if current is None or peak > _MISSED * current else None


def _usual(series: Sequence[Series]) -> tuple[list[tuple[float, float]], float]:
    """Return (demand, seconds) of the lives without their starts, and the noise from one sample to the next."""
    total = sum(len(one.points) for one in series)
    every = total // _MOST_READ + 1
    held: list[tuple[float, float]] = []
    steps: list[float] = []
    for one in series:
        later = [point for point in one.points if point[0] >= _START * one.life][::every]
        for (begin, demand), (end, following) in pairwise(later):
            held.append((demand, end - begin))
            steps.append(abs(following - demand))
    steps.sort()
    # the difference of two independent errors spreads by the root of two; 1.4826 is the normal law's MAD factor
    return held, steps[len(steps) // 2] * 1.4826 / 2**0.5 if steps else 0.0


def _level_for(held: Sequence[tuple[float, float]], share: float) -> int | None:
    ordered = sorted(held)
    whole = sum(seconds for _, seconds in ordered)
    passed = 0.0
    for demand, seconds in ordered:
        passed += seconds
        if passed >= share * whole:
            return int(demand)
    return None


def _since(found: Features, last: int) -> tuple[float, int | None]:
    """Return for how long lives were seen behind the newest kill, and their highest peak."""
    later = found.series[last + 1 :]
    outlived = found.series[last].run.container_id if last >= 0 else None
    peaks = [_current(one.run) for one in later]
    # memory.peak of a run that outlived a kill still holds that kill
    peaks += [_peak(one.run) for one in later if outlived is None or one.run.container_id != outlived]
    return sum(one.life for one in later), max((peak for peak in peaks if peak), default=None)


def hit_pods_limit(found: Features) -> bool:
    """Say whether it was the pod's limit that was hit, while the container was far from its own or has none."""
    if found.kill is None or found.kill.limit_hit is not LimitHit.POD:
        return False
    if found.limit is None:
        return found.limitless
    had = max((_reached(one) or 0 for one in found.series), default=0)
    return 0 < max(had, found.highest) < NEAR_LIMIT * found.limit


def _raised(limits: Sequence[int]) -> int:
    """Return how many of these limits, in their order, were higher than all before."""
    count, last = 0, 0
    for limit in limits:
        if limit > _SAME_LIMIT * last:
            count, last = count + 1, limit
    return count


def size(found: Features) -> Sizing:
    """Return what limits are sized from."""
    limits = limits_in_force(found)
    cut = [place for place, one in enumerate(found.series) if one.killed]
    cut_limits = [limit for place in cut if (limit := limits[place] or _reached(found.series[place])) is not None]
    cut_at = max(cut_limits, default=None)
    held, noise = _usual(found.series)
    demands = [demand for one in found.series for _, demand in one.points] + [one.peak for one in found.siblings]
    missed = [
        value for one, limit in zip(found.series, limits, strict=True) if (value := _missed(one.run, limit)) is not None
    ]
    peaks = [value for one in found.series if (value := _peak(one.run)) is not None]
    clean_seconds, clean_peak = _since(found, cut[-1] if cut else -1)
    return Sizing(
        highest=int(max(demands, default=0)),
        needed_file=(found.pressure.cache_needed or 0) if found.pressure is not None else 0,
        missed_peak=max(missed, default=None),
        peak=max(peaks, default=None),
        cut_at=cut_at,
        first_cut_at=cut_limits[0] if cut_limits else None,
        cut_limits=_raised(cut_limits),
        cut_now=bool(cut) and (found.limit is None or cut_at is None or cut_at >= CENSORED * found.limit),
        clean_seconds=clean_seconds,
        clean_peak=clean_peak,
        usual=_level_for(held, 0.95),
        median=_level_for(held, 0.5),
        noise=noise,
    )
