"""Starts: how long a program takes to start, which lives got through it, and which died in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from memdiag.diagnosis.series import Points, Series

_FEWEST_POINTS = 8
_END_SHARE = 0.05
_END_STEPS = 2.5
_WITHIN = 0.4
_STEEPER = 5.0
_PARTS = 30
_BENT = 2.5
_MUCH_BETTER = 0.45
"""A less steep first rise is a start too, where two lines leave less than half as much unexplained as one curve."""
_LEAST_RISE = 0.03
_DROP = 0.15
_LASTS = 2.5
_AS_STEEP = 0.35
"""A life that is over within so many starts, and rose all the way at least so steeply as they did, was only a start."""
_NEAR_LIMIT = 0.75
_MUCH_LESS = 1.15


@dataclass(frozen=True, slots=True)
class Starts:
    """What is known of the starts of a container's lives."""

    ages: tuple[float, ...]
    """Age in seconds at which each life's start was over: where its curve bends, or the typical age; 0 if unknown."""
    typical: float | None
    """Median over the lives whose curve bends, seconds; None when most have no bend."""
    died: frozenset[int]
    """Places of the killed lives that ended in their start, by the measure of those that got through theirs."""
    peak_over_level: float
    """Demand at the highest start near the limit over the highest that the same life needed afterwards, 0 if none."""


def before_end(series: Series) -> Points:
    """Return the points before a kill's last jump, which is a matter of its own."""
    if not series.killed:
        return series.points
    window = max(_END_SHARE * series.life, _END_STEPS * series.step)
    return tuple(point for point in series.points if point[0] <= series.life - window)


def _parts(points: Points) -> Points:
    """Return the mean point of each of a number of equal stretches of time."""
    first, span = points[0][0], points[-1][0] - points[0][0]
    parts: dict[int, list[tuple[float, float]]] = {}
    for age, demand in points:
        parts.setdefault(min(int((age - first) / span * _PARTS), _PARTS - 1), []).append((age, demand))
    return tuple((fmean(a for a, _ in part), fmean(d for _, d in part)) for _, part in sorted(parts.items()))


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and residual sum of squares of the least-squares line."""
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    xx = math.fsum((x - mean_x) ** 2 for x, _ in points)
    xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in points)
    yy = math.fsum((y - mean_y) ** 2 for _, y in points)
    slope = xy / xx if xx > 0 else 0.0
    return slope, max(yy - slope * xy, 0.0)


def _broken(points: Points, limit: float) -> float:
    """Return where two straight lines meet, if they fit much better than one curve that comes to rest; else 0."""
    parts = _parts(points)
    if len(parts) < _FEWEST_POINTS:
        return 0.0
    first, span = parts[0][0], parts[-1][0] - parts[0][0]
    places = range(2, int(_WITHIN * len(parts)) + 1)
    found = [(*_line(parts[: place + 1]), *_line(parts[place:]), parts[place][0]) for place in places]
    before, left, after, right, age = min(found, key=lambda one: one[1] + one[3])
    curve = min(
        _line([(1 - math.exp(-bend * (x - first) / span), y) for x, y in parts])[1] for bend in (0.25, 1, 2, 3, 4.5, 7)
    )
    bent = before >= _BENT * max(after, 0.01 * limit / span)
    return age if bent and left + right <= _MUCH_BETTER * curve else 0.0


def _start_of(points: Points, limit: float) -> float:
    """Return the age of the knee behind a first rise that is much steeper than all that follows, 0 without one."""
    if len(points) < _FEWEST_POINTS:
        return 0.0
    first, last = points[0], points[-1]
    span = last[0] - first[0]
    if span <= 0:
        return 0.0
    chord = (last[1] - first[1]) / span
    early = [point for point in points[1:] if point[0] - first[0] <= _WITHIN * span]
    if not early:
        return 0.0
    knee = max(early, key=lambda point: point[1] - first[1] - chord * (point[0] - first[0]))
    rise = knee[1] - first[1]
    after = max((last[1] - knee[1]) / (last[0] - knee[0]), 0.01 * limit / span)
    before = rise / max(knee[0] - first[0], 1e-9)
    if rise < _LEAST_RISE * limit or before < _STEEPER * after:
        return _broken(points, limit)
    later = [point for point in points if point[0] > knee[0]]
    level = median(demand for _, demand in later)
    if knee[1] - level < _DROP * limit:
        return knee[0]
    return next((age for age, demand in later if demand <= (knee[1] + level) / 2), knee[0])


def _peak_over_level(points: Points, start: float, limit: float) -> float:
    peak = max((demand for age, demand in points if age <= start), default=0.0)
    level = max((demand for age, demand in points if age > start), default=0.0)
    return peak / level if level and peak >= _NEAR_LIMIT * limit and peak >= _MUCH_LESS * level else 0.0


def _pace(points: Points, until: float) -> float:
    """Return the mean rise from birth to an age, bytes a second."""
    reached = [point for point in points if point[0] <= until]
    return (reached[-1][1] - points[0][1]) / max(until - points[0][0], 1e-9) if reached else 0.0


def starts_of(series: Sequence[Series], limit: float) -> Starts:
    """Return what the lives tell of their starts; `limit` in bytes is the scale of what counts as a rise."""
    found = [_start_of(before_end(one), limit) for one in series]
    known = [age for age in found if age > 0]
    if not known:
        return Starts((0.0,) * len(series), None, frozenset(), 0.0)
    typical = median(known)
    pace = median(_pace(one.points, age) for one, age in zip(series, found, strict=True) if age > 0)
    died = frozenset(
        place
        for place, (one, age) in enumerate(zip(series, found, strict=True))
        if one.killed
        and not age
        and one.life <= _LASTS * max(known)
        and (len(one.points) < 2 or _pace(one.points, one.life) >= _AS_STEEP * pace)
    )
    others = [one for place, one in enumerate(series) if place not in died and len(one.points) >= _FEWEST_POINTS]
    if 2 * len(known) < len(others):  # a bend in a few lives only is no start
        return Starts((0.0,) * len(series), None, frozenset(), 0.0)
    peaks = (_peak_over_level(one.points, age, limit) for one, age in zip(series, found, strict=True) if age > 0)
    return Starts(tuple(age or typical for age in found), typical, died, max(peaks, default=0.0))
