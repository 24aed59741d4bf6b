"""Memory per unit of load: what a busy CPU or a thousand packets a second cost, and how much load the limit bears."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.numbers import interpolate
from memdiag.diagnosis.series import Series
from memdiag.diagnosis.words import human_bytes
from memdiag.model.trace import Sample

_PARTS = 24
_FEWEST_ROWS = 6
_UNITS: tuple[tuple[Callable[[Sample], int | None], tuple[tuple[float, str], ...]], ...] = (
    (lambda sample: sample.net.get("rx_packets"), ((1000.0, "1,000 packets a second"), (1.0, "packet a second"))),
    (lambda sample: sample.level.cpu.get("usage_usec"), ((1e6, "busy CPU"), (1e4, "percent of a CPU"))),
)
"""Counters of load, the better one first, with units for it: what one is in the counter's own units a second. The first
that was seen at all is taken."""
_MOST_READ = 480
_LEAST_VARIED = 0.01
"""Standard deviation of the load over its mean, from which on it says something about demand."""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


@dataclass(frozen=True, slots=True)
class PerUnit:
    """Demand = base + each · load, by least squares. Sizes are bytes, load is in `unit`."""

    unit: str
    base: float
    each: float
    highest: float
    """Highest load that was seen."""

    def borne(self, limit: float) -> float:
        """Return the load at which demand reaches a limit, 0 where the limit is not even enough for none."""
        return max((limit - self.base) / self.each, 0.0)

    def words(self, limit: float) -> str:
        """Return it as a sentence."""
        return (
            f"It needs about {human_bytes(max(self.base, 0))} and {human_bytes(self.each)} for each {self.unit}, so "
            f"{human_bytes(limit)} bears {_number(self.borne(limit))} of these (highest seen: {_number(self.highest)})."
        )


def _rows(series: Series, read: Callable[[Sample], int | None]) -> list[tuple[float, float]]:
    """Return load and mean demand of each part of a life, its first part left out: that is the program's start."""
    samples = series.run.samples
    chosen = samples[:: len(samples) // _MOST_READ + 1]
    counter = [(s.t - series.begin, float(value)) for s in chosen if (value := read(s)) is not None]
    if len(counter) < _FEWEST_ROWS or len(series.points) < _FEWEST_ROWS:
        return []
    begin, end = counter[0][0], counter[-1][0]
    count = min(_PARTS, len(counter) // 2, len(series.points) // 2)
    width = (end - begin) / count
    if width <= 0:
        return []
    inside: list[list[float]] = [[] for _ in range(count)]
    for age, demand in series.points:
        if begin <= age <= end:
            inside[min(int((age - begin) / width), count - 1)].append(demand)
    at = [interpolate(counter, begin + width * place) for place in range(count + 1)]
    later = (place for place in range(1, count) if inside[place])
    return [((at[place + 1] - at[place]) / width, fmean(inside[place])) for place in later]


def _line(rows: Sequence[tuple[float, float]], unit: str) -> PerUnit | None:
    if len(rows) < _FEWEST_ROWS:
        return None
    mean_load, mean_demand = fmean(load for load, _ in rows), fmean(demand for _, demand in rows)
    spread = math.fsum((load - mean_load) ** 2 for load, _ in rows)
    if mean_load <= 0 or spread <= (_LEAST_VARIED * mean_load) ** 2 * len(rows):
        return None
    each = math.fsum((load - mean_load) * (demand - mean_demand) for load, demand in rows) / spread
    return None if each <= 0 else PerUnit(unit, mean_demand - each * mean_load, each, max(load for load, _ in rows))


def per_unit_of(found: Features) -> PerUnit | None:
    """Return what a unit of load costs, None where load was not recorded or demand does not rise with it."""
    for read, units in _UNITS:
        rows = [row for one in found.series for row in _rows(one, read)]
        highest = max((load for load, _ in rows), default=0.0)
        scale, unit = next((pair for pair in units if highest >= pair[0]), units[-1])
        line = _line([(load / scale, demand) for load, demand in rows], unit)
        if line is not None:
            return line
    return None
