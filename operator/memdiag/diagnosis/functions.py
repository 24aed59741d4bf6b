"""Functions: how well age, work done, present load and the calendar each explain demand, over all lives at once.

The words of the causes are about functions: a leak is a function of age or of work done so far, growth one of load or
of calendar time, and a bounded cache one that comes to rest. Each is fitted with the same coefficients for all lives
(least squares, two coefficients), so that what a restart resets and what it does not is part of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from memdiag.diagnosis.beside import Trend, trend_beside_load
from memdiag.diagnosis.load import Counter
from memdiag.diagnosis.numbers import interpolate
from memdiag.diagnosis.series import Series
from memdiag.diagnosis.starts import Starts, before_end

MOST_LIVES = 12
_PARTS = 16
_FEWEST_POINTS = 8
_FEWEST_ROWS = 5
_BENDS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0)
"""Curvatures k of 1 - exp(-k x), x from 0 to 1: 0.25 is nearly a line, 12 a step at the beginning."""
COMES_TO_REST = 1.5
"""Least curvature that counts as coming to rest: the last tenth of the way brings a quarter of what the first did."""
_MEMORIES = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""How long work is remembered, as shares of the longest life: 0 is the load of the moment."""
_LEAST_REST = 0.004
"""Share of the variance that is never explained: sampling alone leaves as much."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How much of demand's variance a function explains (R², 0 where it rises the wrong way), and its parameter."""

    share: float
    parameter: float = 0.0

    @property
    def rest(self) -> float:
        """Return the share that stays unexplained."""
        return max(1.0 - self.share, _LEAST_REST)


@dataclass(frozen=True, slots=True)
class Functions:
    """The fits. None where the function cannot be told apart or its input is not known."""

    rows: int
    lives: int
    lowest: float
    """The lowest floor that was fitted, bytes."""
    span: float
    """Highest less lowest floor that was fitted, bytes."""
    age: Fit
    work: Fit | None
    resting_age: Fit
    """Coming to rest with age, 1 - exp(-k age)."""
    resting_work: Fit | None
    load: Fit | None
    """Following load, or the work of a short while; the parameter is that while as a share of the longest life."""
    calendar: Fit | None
    """Rising by the calendar right through the restarts; None with one life."""
    beside_load: Trend | None
    """What age adds to load within the newest revision, over its longest life; None where that cannot be told apart."""

    @property
    def line(self) -> Fit:
        """Return the better of age and work: what a leak follows."""
        return self.age if self.work is None or self.age.share >= self.work.share else self.work

    @property
    def resting(self) -> Fit:
        """Return the better of the functions that come to rest."""
        other = self.resting_work
        return self.resting_age if other is None or self.resting_age.share >= other.share else other

    @property
    def by_work(self) -> bool:
        """Return whether work explains demand better than age."""
        return self.work is not None and self.work.share > self.age.share


@dataclass(frozen=True, slots=True)
class _Row:
    life: int
    t: float
    age: float
    low: float
    mean: float
    work: float | None
    rate: float | None


def _rows(place: int, series: Series, counter: Counter | None, start: float) -> list[_Row]:
    points = tuple(point for point in before_end(series) if point[0] >= start)
    if len(points) < _FEWEST_POINTS:
        return []
    first, last = points[0][0], points[-1][0]
    count = min(_PARTS, max(6, len(points) // 2))
    width = (last - first) / count
    if width <= 0:
        return []
    parts: list[list[float]] = [[] for _ in range(count)]
    for age, demand in points:
        parts[min(int((age - first) / width), count - 1)].append(demand)
    found: list[_Row] = []
    skip = 0 if start else 1  # the first part of a life is the program's start where no knee tells when it ended
    for part in range(skip, count):
        if not parts[part]:
            continue
        low, high = first + part * width, first + (part + 1) * width
        age = (low + high) / 2
        work = rate = None
        if counter is not None:
            work = interpolate(counter, age) - counter[0][1]
            rate = (interpolate(counter, high) - interpolate(counter, low)) / width
        found.append(_Row(place, series.begin + age, age, min(parts[part]), fmean(parts[part]), work, rate))
    return found


def _share(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return R² of the least-squares line, 0 where it falls or where x does not vary."""
    mean_x, mean_y = fmean(xs), fmean(ys)
    xx = yy = xy = 0.0
    for x, y in zip(xs, ys, strict=True):
        dx, dy = x - mean_x, y - mean_y
        xx += dx * dx
        yy += dy * dy
        xy += dx * dy
    scale = max(abs(x) for x in xs)
    if xy <= 0 or yy <= 0 or xx <= 1e-12 * scale * scale * len(xs):
        return 0.0
    return min(1.0, xy * xy / (xx * yy))


def _resting(xs: Sequence[float], ys: Sequence[float]) -> Fit:
    most = max(xs)
    if most <= 0:
        return Fit(0.0)
    fits = (Fit(_share([1 - math.exp(-bend * x / most) for x in xs], ys), bend) for bend in _BENDS)
    return max(fits, key=lambda fit: fit.share)


def _best(functions: dict[float, Callable[[_Row], float]], rows: Sequence[_Row]) -> Fit:
    fits = (
        Fit(max(_share(xs, [row.low for row in rows]), _share(xs, [row.mean for row in rows])), parameter)
        for parameter, read in functions.items()
        for xs in [[read(row) for row in rows]]
    )
    return max(fits, key=lambda fit: fit.share)


Read = Callable[[_Row], float]


def _remembered(counters: Sequence[Counter | None], seconds: float) -> Read:
    """Return what reads a row's load, or the work of so many seconds before it."""

    def read(row: _Row) -> float:
        counter = counters[row.life]
        if counter is None or not seconds:
            return row.rate or 0.0
        return interpolate(counter, row.age) - interpolate(counter, row.age - seconds)

    return read


def _loaded(rows: Sequence[_Row], counters: Sequence[Counter | None], longest: float) -> Fit | None:
    known = [row for row in rows if row.rate is not None]
    if len(known) < _FEWEST_ROWS:
        return None
    return _best({share: _remembered(counters, share * longest) for share in _MEMORIES}, known)


def _beside(rows: Sequence[_Row], counters: Sequence[Counter | None], load: Fit | None, longest: float) -> Trend | None:
    known = rows if load is None else [row for row in rows if row.rate is not None]
    if not known:
        return None
    ages, means, lives = [row.age for row in known], [row.mean for row in known], [row.life for row in known]
    life = max(ages) - min(ages)
    if load is None:
        return trend_beside_load(ages, means, None, lives, life)
    # work that is remembered for long is one with age; the load of the moment is not
    for memory in dict.fromkeys((load.parameter, 0.0)):
        read = _remembered(counters, memory * longest)
        trend = trend_beside_load(ages, means, [read(row) for row in known], lives, life)
        if trend is not None:
            return trend
    return None


def functions_of(series: Sequence[Series], counters: Sequence[Counter | None], starts: Starts) -> Functions | None:
    """Return the fits over the newest lives that got through their start, None when they have too few samples.

    `counters` are of the same signal of load, one a life (age in seconds, value), None where it is not known.
    """
    first = max(0, len(series) - MOST_LIVES)
    chosen = [(place, one) for place, one in enumerate(series) if place >= first and place not in starts.died]
    rows = [row for place, one in chosen for row in _rows(place, one, counters[place], starts.ages[place])]
    if len(rows) < _FEWEST_ROWS:
        return None
    lows = [row.low for row in rows]
    ages = [row.age for row in rows]
    lives = len({row.life for row in rows})
    worked = [row for row in rows if row.work is not None]
    works = [row.work or 0.0 for row in worked] if 2 * len(worked) > len(rows) else []
    worked_lows = [row.low for row in worked]
    origin = rows[0].t
    longest = max(one.life for _, one in chosen)
    names = [one.run.revision or one.run.image for one in series]
    load = _loaded(rows, counters, longest)
    return Functions(
        rows=len(rows),
        lives=lives,
        lowest=min(lows),
        span=max(lows) - min(lows),
        age=Fit(_share(ages, lows)),
        work=Fit(_share(works, worked_lows)) if works else None,
        resting_age=_resting(ages, lows),
        resting_work=_resting(works, worked_lows) if works else None,
        load=load,
        calendar=Fit(_share([row.t - origin for row in rows], lows)) if lives >= 2 else None,
        beside_load=_beside([row for row in rows if names[row.life] == names[-1]], counters, load, longest),
    )
