"""Forecast: when demand reaches the limit, and how high it will be at a horizon, each with its range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.sizing import limits_in_force
from memdiag.model.verdict import Forecast

LONGEST_HORIZON = 14 * 86400.0
FARTHEST = 2.0
"""No forecast goes further than this many times what was seen."""
_PARTS = 24
_FEWEST = 6
_LEAST_GROWN = 0.05
_Z_95 = 1.645
"""One-sided 95 % point of the normal law."""
_Z_975 = 1.96
_LEAST_TREND = 0.5
_LEAST_RISE = 0.02
_SAME_LIMIT = 1.02


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through the highest demand of each part of the calendar. Times are Unix seconds, sizes bytes."""

    begin: float
    end: float
    """The end of what the line was fitted to: the first kill at the limit, or the last sample."""
    now: float
    """The last that was seen."""
    reached: float | None
    """When the limit in force was first reached, None when it was not."""
    slope: float
    spread: float
    """Standard error of a part about the line."""
    centre: float
    mean: float
    count: int
    sxx: float

    @property
    def horizon(self) -> float:
        """Return how far ahead a forecast may look, in seconds."""
        return min(LONGEST_HORIZON, FARTHEST * (self.end - self.begin))

    @property
    def rises(self) -> bool:
        """Return whether the line rises by a twentieth of its level, and more surely than by chance (95 %)."""
        grown = self.slope * (self.end - self.begin)
        return grown >= _LEAST_GROWN * self.mean and self.slope * math.sqrt(self.sxx) >= 2 * self.spread

    def at(self, t: float) -> float:
        """Return the line at a time."""
        return self.mean + self.slope * (t - self.centre)

    def upper(self, t: float) -> float:
        """Return the one-sided 95 % bound of a single part's highest demand at a time.

        Prediction interval of the least-squares line; Student's t by its expansion about the normal law
        (Abramowitz and Stegun 26.7.5). Errors that hang together make the true bound higher.
        """
        free = max(self.count - 2, 1)
        student = _Z_95 + (_Z_95**3 + _Z_95) / (4 * free)
        return self.at(t) + student * self.spread * math.sqrt(1 + 1 / self.count + (t - self.centre) ** 2 / self.sxx)

    def lasts(self, size: float) -> float | None:
        """Return the seconds from now until the bound reaches a size, None when not within the horizon."""
        first, last = self.now, self.now + self.horizon
        if self.upper(last) < size:
            return None
        for _ in range(40):
            middle = (first + last) / 2
            first, last = (middle, last) if self.upper(middle) < size else (first, middle)
        return last - self.now


def _uncut(found: Features) -> tuple[list[tuple[float, float]], float | None]:
    """Return calendar time and demand without what a limit held down, and when the limit was first reached.

    Behind a kill, only a life with a higher limit says something new of how high demand goes.
    """
    held: int | None = None
    reached: float | None = None
    kept: list[tuple[float, float]] = []
    for one, limit in zip(found.series, limits_in_force(found), strict=True):
        if held is not None and (limit is None or limit <= _SAME_LIMIT * held):
            continue
        kept += [(one.begin + age, demand) for age, demand in one.points]
        held, reached = None, None
        if one.killed and limit is not None:
            held, reached = limit, one.begin + one.life
            kept.append((reached, float(limit)))
    return kept, reached


def _highest(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    begin, span = points[0][0], points[-1][0] - points[0][0]
    best: dict[int, tuple[float, float]] = {}
    for t, demand in points:
        place = min(int((t - begin) / span * _PARTS), _PARTS - 1)
        if place not in best or demand > best[place][1]:
            best[place] = (t, demand)
    parts = [best[place] for place in sorted(best)]
    return parts[1:] if len(parts) > _FEWEST else parts  # the first part holds the program's start


def trend_of(found: Features) -> Trend | None:
    """Return how the highest demand went over the calendar, None where too little is known."""
    points, reached = _uncut(found)
    if len(points) < _FEWEST or points[-1][0] <= points[0][0]:
        return None
    parts = _highest(points)
    count = len(parts)
    if count < _FEWEST:
        return None
    centre, mean = fmean(t for t, _ in parts), fmean(demand for _, demand in parts)
    sxx = math.fsum((t - centre) ** 2 for t, _ in parts)
    slope = math.fsum((t - centre) * (demand - mean) for t, demand in parts) / sxx
    errors = math.fsum((demand - mean - slope * (t - centre)) ** 2 for t, demand in parts)
    last = max(one.begin + one.life for one in found.series)
    return Trend(
        begin=points[0][0],
        end=points[-1][0],
        now=last,
        reached=reached,
        slope=slope,
        spread=math.sqrt(errors / (count - 2)),
        centre=centre,
        mean=mean,
        count=count,
        sxx=sxx,
    )


def slope_interval(points: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Return the median of all pairwise slopes with its 95 % range (Sen 1968, by the variance of Kendall's S)."""
    slopes = sorted((y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :] if x2 > x1)
    if not slopes:
        return None
    count, last = len(points), len(slopes) - 1
    half = _Z_975 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    low, high = max(0, math.floor(last / 2 - half)), min(last, math.ceil(last / 2 + half))
    return slopes[low], slopes[round(last / 2)], slopes[high]


def forecast(found: Features) -> Forecast | None:
    """Return when a run that is alive and rising reaches the limit, None where there is no such run."""
    shape = found.all_shapes[-1] if found.all_shapes else None
    if shape is None or found.limit is None or shape.series.ended:
        return None
    if shape.trend < _LEAST_TREND or shape.rise < _LEAST_RISE:
        return None
    started = next((place for place, (_, demand) in enumerate(shape.floor) if demand >= shape.base), 0)
    slopes = slope_interval(shape.floor[started:])
    if slopes is None or slopes[1] <= 0:
        return None
    low, middle, high = slopes
    left = max(found.limit - shape.points_end, 0.0)
    return Forecast(
        seconds_to_limit=round(left / middle, 1),
        low=round(left / high, 1),
        high=round(left / low, 1) if low > 0 else None,
    )
