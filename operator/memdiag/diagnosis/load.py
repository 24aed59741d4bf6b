"""Load: what the program had to do, by the best signal that was recorded, and how it went over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev

from memdiag.diagnosis.numbers import correlation, interpolate
from memdiag.diagnosis.series import Series
from memdiag.model.trace import Sample

_MOST_BINS = 24
_MOST_READ = 480
"""Counters only ever rise, so that a part of a long run needs no more readings than this over the whole."""
_FEWEST_ROWS = 6
_LEAST_LOAD = 0.15
_LONG_ENOUGH = 0.25
_FEWEST_READINGS = 6

CPU_TIME = "CPU time"
_SIGNALS: tuple[tuple[str, Callable[[Sample], int | None], float], ...] = (
    ("network packets", lambda sample: sample.net.get("rx_packets"), 60.0),
    (CPU_TIME, lambda sample: sample.level.cpu.get("usage_usec"), 20000.0),
)
"""Load signals and the least of each that a life must hold on average to be more than stray noise; the better signal
first: CPU may also climb because memory did (garbage collection, reclaim)."""

Counter = tuple[tuple[float, float], ...]
"""Age in seconds and value of a signal that only ever rises."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The load of every life by one signal, None for a life in which it is not known."""

    name: str
    counters: tuple[Counter | None, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """How load went, over all lives that were long enough."""

    signal: str
    varies: float
    """Standard deviation of the load over its mean."""
    grew: float
    """Load at the end of what was seen over that at its beginning, by the straight line through all of it."""
    collinear: float
    """Correlation of load and age: near 1 nobody can tell them apart."""


@dataclass(frozen=True, slots=True)
class _Row:
    t: float
    width: float
    """Seconds that the row stands for."""
    age: float
    load: float


def _counter(series: Series, read: Callable[[Sample], int | None]) -> Counter | None:
    samples = series.run.samples
    every = len(samples) // _MOST_READ + 1
    chosen = samples[::every] if every == 1 else (*samples[::every], samples[-1])
    found = tuple((s.t - series.begin, float(value)) for s in chosen if (value := read(s)) is not None)
    return found if len(found) >= _FEWEST_READINGS else None


def signal_of(series: Sequence[Series]) -> Signal | None:
    """Return the best signal of load that was recorded, None when there is none."""
    for name, read, least in _SIGNALS:
        counters = tuple(_counter(one, read) for one in series)
        known = [counter for counter in counters if counter is not None]
        counted = sum(counter[-1][1] - counter[0][1] for counter in known)
        if known and counted >= least * len(known):
            return Signal(name, counters)
    return None


def _rows(series: Series, counter: Counter | None) -> list[_Row]:
    if counter is None or len(series.points) < _FEWEST_READINGS:
        return []
    first, last = counter[0][0], counter[-1][0]
    count = min(_MOST_BINS, max(len(counter) // 3, min(len(counter) // 2, 8)))
    width = (last - first) / count
    if width <= 0:
        return []
    edges = [first + width * place for place in range(count + 1)]
    at = [interpolate(counter, edge) for edge in edges]
    rows: list[_Row] = []
    for place, (low, high) in enumerate(pairwise(at)):
        if place and high >= low:  # the first part of a life is the program's start, not its load
            age = (edges[place] + edges[place + 1]) / 2
            rows.append(_Row(series.begin + age, width, age, (high - low) / width))
    return rows


def _fit(rows: Sequence[_Row], signal: str) -> Load | None:
    loads = [row.load for row in rows]
    mean = fmean(loads)
    if mean <= 0:
        return None
    times = [row.t for row in rows]
    whole = math.fsum(row.width for row in rows)
    middle = math.fsum(row.width * row.t for row in rows) / whole
    level = math.fsum(row.width * row.load for row in rows) / whole
    spread = math.fsum(row.width * (row.t - middle) ** 2 for row in rows)
    pace = math.fsum(row.width * (row.t - middle) * (row.load - level) for row in rows) / spread if spread > 0 else 0.0
    begin, end = level + pace * (min(times) - middle), level + pace * (max(times) - middle)
    grew = max(end, _LEAST_LOAD * mean) / max(begin, _LEAST_LOAD * mean)
    return Load(
        signal=signal,
        varies=pstdev(loads) / mean,
        grew=grew,
        collinear=correlation(loads, [row.age for row in rows]) or 0.0,
    )


def load_of(series: Sequence[Series], signal: Signal | None) -> Load | None:
    """Return how a signal of load went, None when that is not known."""
    if signal is None:
        return None
    longest = max(one.life for one in series)
    rows = [
        row
        for one, counter in zip(series, signal.counters, strict=True)
        if one.life >= _LONG_ENOUGH * longest  # load takes its time to come back after a restart
        for row in _rows(one, counter)
    ]
    return _fit(rows, signal.name) if len(rows) >= _FEWEST_ROWS else None
