"""Shape features of one run's demand, free of time: ages are shares of its life, sizes shares of the limit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from memdiag.diagnosis.numbers import kendall_tau, theil_sen
from memdiag.diagnosis.series import Series

FEWEST_SAMPLES = 4
_MOST_BINS = 12
_END_SHARE = 0.05
_END_STEPS = 2.5
_EXCURSION = 0.1
_LEAST_WAY = 0.25
_LEAST_SPAN = 1e-6
"""Seconds between first and last sample below which a life has no shape: times are Unix seconds in binary64."""
_START_SHARES = (0.2, 0.35, 0.5)
"""Shares of a life within which a program may still be starting, tried in this order."""
_LEVEL = 0.08
_LEVEL_WAY = 0.25
"""Share of the limit, and of what was left of the way to it, within which a floor is level."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Features of one run; shares are of the way from `base` to the limit unless said otherwise."""

    series: Series
    limit: float
    base: float
    """Demand once the program had started, bytes: the floor behind its start."""
    floor_end: float
    """The floor near the end, before the last jump, bytes."""
    peak: float
    """Highest demand seen, bytes; a kill at the limit is a demand of at least the limit, and is not in here."""
    floor: tuple[tuple[float, float], ...]
    """Lower envelope: age and least demand of each part of the life."""
    rise: float
    """Rise of the floor as a share of the limit."""
    rise_share: float
    """Rise of the floor as a share of the way to the limit."""
    trend: float
    """Kendall's tau of the floor, -1 to 1."""
    steadiness: float
    """Net rise of the floor over the sum of all its moves: 1 is a straight way up, 0 a walk that leads nowhere."""
    bend: float | None
    """Rise of the floor in the second half of the life over that in the first: 1 is a line, 0 has come to rest."""
    late_bend: float | None
    """The same for the last quarter over the third: below 1 the slackening goes on until the end."""
    early_bend: float | None
    """The same for the third quarter over the second."""
    jump_share: float
    """Share of the way to the limit that lies between the level of the last fifth of the life and the kill."""
    ascent: float
    """Share of the life since demand was last near its base: how long the final way up took."""
    ascent_samples: int
    """How many samples saw the final way up."""
    returns: int
    """How often demand rose by a tenth of the limit above its floor and came back."""
    fall: float
    """Largest fall behind the start from a peak to a later low, share of the way to the limit."""
    slope: float
    """Rise of the floor, bytes a second (Theil-Sen)."""
    at_birth: float
    """The line of the floor at age 0, share of the limit: a program that serves has a size of its own by then."""
    slope_low: float
    slope_high: float

    @property
    def points_end(self) -> float:
        """Return the last demand seen, bytes."""
        return self.series.points[-1][1]

    @property
    def samples(self) -> int:
        """Return the count of samples behind these features."""
        return len(self.series.points)


def _bins(points: tuple[tuple[float, float], ...], life: float, count: int) -> list[tuple[float, float]]:
    least: dict[int, tuple[float, float]] = {}
    for age, demand in points:
        place = min(int(age / life * count), count - 1)
        if place not in least or demand < least[place][1]:
            least[place] = (age, demand)
    return [least[place] for place in sorted(least)]


def _started(floor: list[tuple[float, float]], span: float, limit: float) -> list[tuple[float, float]]:
    """Return the floor without the program's start, which is longer where everything behind it is level."""
    for share in _START_SHARES:
        later = [point for point in floor[1:] if point[0] >= share * span]
        levels = [demand for _, demand in later]
        if len(later) < 4:
            break
        low, high = min(levels), max(levels)
        if high - low <= min(_LEVEL * limit, _LEVEL_WAY * (limit - low)):
            return later
    return floor[1:] if len(floor) >= 5 else floor


def _returns(points: tuple[tuple[float, float], ...], limit: float) -> int:
    low = high = points[0][1]
    count = 0
    for _, demand in points:
        low = min(low, demand)
        high = max(high, demand)
        if high - low >= _EXCURSION * limit and demand <= low + (high - low) / 4:
            count += 1
            low = high = demand
    return count


def _fall(points: tuple[tuple[float, float], ...]) -> float:
    high = fall = 0.0
    for _, demand in points:
        high = max(high, demand)
        fall = max(fall, high - demand)
    return fall


def _bends(floor: list[tuple[float, float]], limit: float) -> tuple[float | None, float | None, float | None]:
    if len(floor) < 5:
        return None, None, None
    begin, end = floor[0][0], floor[-1][0]
    quarter = max((end - begin) / 4, 1e-9)
    parts: list[list[float]] = [[], [], [], []]
    for age, demand in floor:
        parts[min(int((age - begin) / quarter), 3)].append(demand)
    if not all(parts):
        return None, None, None
    a, b, c, d = (fmean(part) for part in parts)
    first, second = (b - a) + (c - b) / 2, (d - c) + (c - b) / 2
    bend = None if first <= 0.02 * limit else second / first
    late = None if c - b <= 0.01 * limit else (d - c) / (c - b)
    early = None if b - a <= 0.01 * limit else (c - b) / (b - a)
    return bend, early, late


def shape_of(series: Series, limit: float) -> Shape | None:
    """Return a run's features, None when it has too few samples for any."""
    points, life = series.points, series.life
    if len(points) < FEWEST_SAMPLES:
        return None
    window = max(_END_SHARE * life, _END_STEPS * series.step) if series.killed else 0.0
    before = tuple(point for point in points if point[0] <= life - window)
    if len(before) < 3:
        before = points[:-1] if series.killed else points
    span = before[-1][0]
    if span < _LEAST_SPAN:
        return None  # every sample bears much the same time
    floor = _bins(before, span, max(3, min(_MOST_BINS, max(len(before) // 3, min(len(before) // 2, 8)))))
    started = _started(floor, span, limit)
    ages = [age for age, _ in started]
    values = [demand for _, demand in started]
    base = values[0]
    floor_end = min(values[-2:]) if len(values) >= 7 else values[-1]
    end = limit if series.killed else points[-1][1]
    way = max(end - base, 0.01 * limit)
    moves = sum(abs(b - a) for a, b in pairwise(values))
    slope = theil_sen(list(zip(ages, values, strict=True))) or (0.0, 0.0, 0.0)
    bend, early_bend, late_bend = _bends(started, limit)
    ordinary = median(demand for age, demand in before if age >= 0.8 * span)
    low_age = max((age for age, demand in points if demand <= base + 0.15 * way), default=0.0)
    return Shape(
        series=series,
        limit=limit,
        base=base,
        floor_end=floor_end,
        peak=max(demand for _, demand in points),
        floor=tuple(floor),
        rise=(floor_end - base) / limit,
        rise_share=(floor_end - base) / way,
        trend=kendall_tau(values),
        steadiness=max(values[-1] - base, 0.0) / moves if moves > 0 else 0.0,
        bend=bend,
        late_bend=late_bend,
        early_bend=early_bend,
        jump_share=max(end - ordinary, 0.0) / way if series.killed else 0.0,
        ascent=(life - low_age) / life,
        ascent_samples=sum(age > low_age for age, _ in points),
        returns=_returns(tuple(point for point in points if point[0] >= started[0][0]), limit),
        fall=_fall(tuple(point for point in points if point[0] >= started[0][0])) / max(way, _LEAST_WAY * limit),
        slope=slope[0],
        at_birth=median(demand - slope[0] * age for age, demand in started) / limit,
        slope_low=slope[1],
        slope_high=slope[2],
    )
