"""What others do: leak detectors on one series of demand. Each says leak or not; what is no leak is a low limit.

Ages and horizons are shares of the series where the rule has hours, so that minutes may stand for hours: a series
stands for twelve hours. Only Coroot's growth per hour is taken in real time, which is in its favour here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memdiag.model.trace import Run, Trace

_ALPHA_Z = 2.326347874
"""One-sided 0.01."""
_LAG_Z = 1.959963985
"""Two-sided 0.05: what Hamed and Rao call a significant lag."""
_MOST_POINTS = 200
_FEWEST_POINTS = 10
_R2 = 0.8
_PRECOG_R2 = 0.88


@dataclass(frozen=True, slots=True)
class Series:
    """Demand (bytes) against seconds, and the limit (bytes)."""

    t: tuple[float, ...]
    y: tuple[float, ...]
    limit: float


Detector = Callable[[Series], bool]


def series_of(run: Run, limit: int) -> Series:
    """Return the demand of a run, thinned evenly to some two hundred points."""
    points = [(sample.t, float(demand)) for sample in run.samples if (demand := sample.demand) is not None]
    points = points[:: len(points) // _MOST_POINTS + 1]
    return Series(tuple(t for t, _ in points), tuple(y for _, y in points), float(limit))


def longest(trace: Trace) -> Series:
    """Return the series of the run with the most samples."""
    run = max(trace.runs, key=lambda found: len(found.samples))
    return series_of(run, trace.limit_bytes or 0)


def _fit(t: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return intercept (at the last t), slope and R squared of least squares."""
    n = len(t)
    mt, my = sum(t) / n, sum(y) / n
    tt = sum((a - mt) ** 2 for a in t)
    ty = sum((a - mt) * (b - my) for a, b in zip(t, y, strict=True))
    yy = sum((b - my) ** 2 for b in y)
    slope = ty / tt if tt else 0.0
    return my + slope * (t[-1] - mt), slope, (ty * ty / (tt * yy) if tt and yy else 0.0)


def predict_linear(s: Series) -> bool:
    """Six hours of least squares, extrapolated by a day, exceed the limit."""
    half = len(s.t) // 2
    level, slope, _ = _fit(s.t[half:], s.y[half:])
    return level + slope * 2 * (s.t[-1] - s.t[0]) > s.limit


def least_squares(s: Series) -> bool:
    """Require a line over everything that rises and explains most of it."""
    _, slope, fit = _fit(s.t, s.y)
    return slope > 0 and fit >= _R2


def _mann_kendall(y: Sequence[float]) -> tuple[int, float]:
    """Return S and its variance with ties (Kendall 1975)."""
    n = len(y)
    s = sum((y[j] > y[i]) - (y[j] < y[i]) for i in range(n) for j in range(i + 1, n))
    counts: dict[float, int] = {}
    for value in y:
        counts[value] = counts.get(value, 0) + 1
    ties = sum(c * (c - 1) * (2 * c + 5) for c in counts.values())
    return s, (n * (n - 1) * (2 * n + 5) - ties) / 18


def _z(s: int, variance: float) -> float:
    return (s - (s > 0) + (s < 0)) / math.sqrt(variance) if variance > 0 else 0.0


def mann_kendall(s: Series) -> bool:
    """More pairs rise than chance allows."""
    return _z(*_mann_kendall(s.y)) > _ALPHA_Z


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks, i = [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            ranks[order[k]] = (i + j) / 2 + 1
        i = j + 1
    return ranks


def hamed_rao(s: Series) -> bool:
    """Mann-Kendall with the variance corrected for the significant autocorrelation of ranks (Hamed and Rao 1998)."""
    n = len(s.y)
    found, variance = _mann_kendall(s.y)
    _, slope, _ = _fit(s.t, s.y)
    ranks = _ranks([y - slope * t for t, y in zip(s.t, s.y, strict=True)])
    mean = sum(ranks) / n
    c0 = sum((r - mean) ** 2 for r in ranks)
    total = 0.0
    for lag in range(1, n - 2):
        rho = sum((ranks[i] - mean) * (ranks[i + lag] - mean) for i in range(n - lag)) / c0 if c0 else 0.0
        if abs(rho) > _LAG_Z / math.sqrt(n):
            total += (n - lag) * (n - lag - 1) * (n - lag - 2) * rho
    correction = 1 + 2 / (n * (n - 1) * (n - 2)) * total
    return _z(found, variance * max(correction, 1e-9)) > _ALPHA_Z


def backward_regression(s: Series) -> bool:
    """Windows grown from the end: one of half the series or more rises in a line and meets the limit in a week."""
    n, week = len(s.t), 14 * (s.t[-1] - s.t[0])
    for twelfths in range(6, 13):
        begin = n - max(_FEWEST_POINTS, n * twelfths // 12)
        level, slope, fit = _fit(s.t[max(begin, 0) :], s.y[max(begin, 0) :])
        if slope > 0 and fit > _PRECOG_R2 and level + slope * week > s.limit:
            return True
    return False


def coroot(s: Series) -> bool:
    """Split at drops by half, keep the longest part; it climbs to the end, and by 10 % of the limit an hour."""
    cuts = [0, *(i for i in range(1, len(s.y)) if s.y[i] < 0.5 * s.y[i - 1]), len(s.y)]
    low, high = max(pairwise(cuts), key=lambda part: part[1] - part[0])
    t, y = s.t[low:high], s.y[low:high]
    if len(t) < _FEWEST_POINTS or len(t) < len(s.t) / 3:
        return False
    _, slope, _ = _fit(t, y)
    tail = max(len(t) // 4, 5)
    _, last, _ = _fit(t[-tail:], y[-tail:])
    return slope > 0 and last >= 0.3 * slope and slope * 3600 >= 0.1 * s.limit


def never(_: Series) -> bool:
    """Every kill is a low limit."""
    return False


DETECTORS: dict[str, Detector] = {
    "predict_linear": predict_linear,
    "least squares, R2": least_squares,
    "Mann-Kendall": mann_kendall,
    "Hamed-Rao": hamed_rao,
    "backward regression": backward_regression,
    "Coroot's rule": coroot,
    "always underestimated": never,
}


def alarms(detector: Detector, series: Series) -> bool:
    """Return whether a detector says leak; a series that is too short for it is none."""
    return len(series.t) >= _FEWEST_POINTS and detector(series)
