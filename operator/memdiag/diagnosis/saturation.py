"""Saturation: where a rise that slows down would have come to rest, had the limit not stopped it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

_BENDS = tuple(0.25 * 1.2**power for power in range(25))
"""Curvatures k of 1 - exp(-k x), x from 0 to 1 over what was seen: 0.25 is nearly a line, 20 a step at the start."""
_FEWEST = 8
_PARTS = 32
_F_95 = 4.2
"""95 % point of the F distribution with 1 and about 30 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Asymptote:
    """Level at which a rise comes to rest, bytes, with its 95 % range; `high` None: perhaps it never does."""

    level: float
    low: float
    high: float | None


def _means(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = len(points) // _PARTS + 1
    parts = (points[first : first + size] for first in range(0, len(points), size))
    return [(fmean(x for x, _ in part), fmean(y for _, y in part)) for part in parts]


def _line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float] | None:
    """Return intercept, slope and the sum of squared errors of the least-squares line."""
    mx, my = fmean(xs), fmean(ys)
    xx = math.fsum((x - mx) ** 2 for x in xs)
    if xx <= 1e-12:
        return None
    slope = math.fsum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / xx
    start = my - slope * mx
    return start, slope, math.fsum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))


def asymptote_of(points: Sequence[tuple[float, float]]) -> Asymptote | None:
    """Return where y = a + b (1 - exp(-k x)) comes to rest, None where the points are too few or do not rise.

    The range is that of all curvatures k whose fit is not worse than the best at the 95 % level of the F test (profile
    likelihood; Bates and Watts 1988). Errors that hang together make the true range wider.
    """
    means = _means(points)
    if len(means) < _FEWEST or means[-1][0] <= means[0][0]:
        return None
    first, span = means[0][0], means[-1][0] - means[0][0]
    ages = [(x - first) / span for x, _ in means]
    values = [y for _, y in means]
    fits: list[tuple[float, float, float]] = []
    for bend in _BENDS:
        line = _line([1 - math.exp(-bend * age) for age in ages], values)
        if line is not None and line[1] > 0:
            fits.append((line[2], bend, line[0] + line[1]))
    if not fits:
        return None
    least, _, level = min(fits)
    rise = max(values) - min(values)
    allowed = max(least, (1e-3 * rise) ** 2) * (1 + _F_95 / (len(means) - 3))
    near = [(bend, end) for errors, bend, end in fits if errors <= allowed]
    ends = [end for _, end in near]
    straight = any(bend == _BENDS[0] for bend, _ in near)
    return Asymptote(level, min(ends), None if straight else max(ends))
