"""Small robust statistics, enough for a verdict and without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean


def kendall_tau(values: Sequence[float]) -> float:
    """Return how steadily values rise in their order: 1 always, 0 no trend, -1 always falling (Kendall 1938, tau-a)."""
    count = len(values)
    if count < 2:
        return 0.0
    score = 0
    for i, first in enumerate(values):
        for second in values[i + 1 :]:
            score += (second > first) - (second < first)
    return 2 * score / (count * (count - 1))


def theil_sen(points: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Return the median of all pairwise slopes with their lower and upper quartile (Theil 1950, Sen 1968)."""
    slopes = sorted(
        (y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :] if x2 != x1
    )
    if not slopes:
        return None
    last = len(slopes) - 1
    return slopes[round(last / 2)], slopes[round(last / 4)], slopes[round(3 * last / 4)]


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Pearson's r, None where a side does not vary."""
    mean_x, mean_y = fmean(xs), fmean(ys)
    dx, dy = [x - mean_x for x in xs], [y - mean_y for y in ys]
    norm = math.sqrt(math.fsum(x * x for x in dx) * math.fsum(y * y for y in dy))
    if norm <= 1e-9 * (abs(mean_x) + 1e-9) * (abs(mean_y) + 1e-9):
        return None
    return max(-1.0, min(1.0, math.fsum(x * y for x, y in zip(dx, dy, strict=True)) / norm))


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value at x of the line through points in rising order of x, the ends prolonged flat."""
    if x <= points[0][0]:
        return points[0][1]
    low, high = 0, len(points) - 1
    if x >= points[high][0]:
        return points[high][1]
    while high - low > 1:
        middle = (low + high) // 2
        if points[middle][0] <= x:
            low = middle
        else:
            high = middle
    (x1, y1), (x2, y2) = points[low], points[high]
    return y1 if x2 <= x1 else y1 + (y2 - y1) * (x - x1) / (x2 - x1)
