"""Beside load: what age adds to a demand that load already explains, over all lives at once.

A single function is not enough for a program that leaks a little under requests that each need memory for a while:
neither age nor load explains much alone. Both are therefore taken out of each other (Frisch and Waugh 1933): demand and
age each lose what load explains of them, and the line through what is left is the trend that load cannot explain.
Neighbouring parts of a life resemble each other, so their number counts for less when the error is told (the effective
sample size of an AR(1) series, (1 - r) / (1 + r), Bayley and Hammersley 1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

_FEWEST = 8
_MOST_ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Trend:
    """What demand gains over a life beside load, in bytes, and its standard error."""

    rise: float
    error: float

    @property
    def sure(self) -> float:
        """Return how many standard errors the rise is from nothing."""
        return self.rise / self.error


def _without(values: Sequence[float], cause: Sequence[float] | None) -> list[float]:
    """Return what is left of values when their mean and what the cause explains in a line are taken out."""
    mean = fmean(values)
    if cause is None:
        return [value - mean for value in values]
    around = fmean(cause)
    xx = math.fsum((x - around) ** 2 for x in cause)
    xy = math.fsum((x - around) * (y - mean) for x, y in zip(cause, values, strict=True))
    slope = xy / xx if xx > 1e-12 * around * around * len(cause) else 0.0
    return [y - mean - slope * (x - around) for x, y in zip(cause, values, strict=True)]


def _alike(left: Sequence[float], lives: Sequence[int]) -> float:
    """Return the correlation of neighbours within a life."""
    whole = math.fsum(value * value for value in left)
    pairs = [(a, b) for a, b, one, other in zip(left, left[1:], lives, lives[1:], strict=False) if one == other]
    if whole <= 0 or not pairs:
        return 0.0
    return max(0.0, min(_MOST_ALIKE, math.fsum(a * b for a, b in pairs) / whole * len(left) / len(pairs)))


def trend_beside_load(
    ages: Sequence[float], demand: Sequence[float], load: Sequence[float] | None, lives: Sequence[int], life: float
) -> Trend | None:
    """Return the trend with age, in bytes over `life` seconds; None with few points or where age is one with load.

    One value a part of a life: age in seconds, demand in bytes, load in any unit (None: not known), which life it is.
    """
    count = len(ages)
    if count < _FEWEST:
        return None
    xs, ys = _without(ages, load), _without(demand, load)
    xx, all_xx = math.fsum(x * x for x in xs), math.fsum(x * x for x in _without(ages, None))
    if xx <= 0.1 * all_xx or all_xx <= 0 or max(demand) <= 0:
        return None
    slope = math.fsum(x * y for x, y in zip(xs, ys, strict=True)) / xx
    left = [y - slope * x for x, y in zip(xs, ys, strict=True)]
    alike = _alike(left, lives)
    freedom = max(1.0, (count - 2 - (load is not None)) * (1 - alike) / (1 + alike))
    variance = math.fsum(value * value for value in left) / count
    error = math.sqrt(variance / freedom * count / xx)
    # what a page or two make is no measure of how exact a program is
    return Trend(slope * life, max(error * life, 1e-3 * max(demand)))
