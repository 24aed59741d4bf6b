"""Revisions: how the newest revision's demand compares with that of the one before, as a control of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from memdiag.diagnosis.series import Series
from memdiag.diagnosis.shape import Shape
from memdiag.diagnosis.starts import Starts

_FEWEST_SAMPLES = 6
_LEVEL_RISE = 0.15
"""Most that the floor of a level life moves, as a share of the limit."""


@dataclass(frozen=True, slots=True)
class Revision:
    """The step from one revision to the next."""

    ratio: float
    """Usual demand behind the start in the newest revision over that in the one before."""
    before: float
    """Usual demand of the one before, share of the limit."""
    level: bool
    """Demand was level within the lives of both revisions; False when it was level before and rises now."""


def _usual(series: Series, start: float) -> float | None:
    points = [demand for age, demand in series.points if age >= start]
    return median(points) if len(points) >= _FEWEST_SAMPLES else None


def revision_of(series: Sequence[Series], shapes: Sequence[Shape], starts: Starts, limit: float) -> Revision | None:
    """Return how the newest revision differs from the one before, None where there is no such pair or it is unclear."""
    names = [one.run.revision or one.run.image for one in series]
    known = [name for name in dict.fromkeys(names) if name is not None]
    if len(known) < 2:
        return None
    by_index = {shape.series.index: shape for shape in shapes}
    levels: list[float] = []
    rises: list[float] = []
    for name in known[-2:]:
        chosen = [
            (level, by_index[place].rise)
            for place, one in enumerate(series)
            if names[place] == name and place not in starts.died and place in by_index
            for level in [_usual(one, starts.ages[place])]
            if level is not None
        ]
        if not chosen and levels and any(one.killed and names[place] == name for place, one in enumerate(series)):
            chosen = [(limit, 0.0)]  # it never got through its start below the limit
        if not chosen:
            return None
        levels.append(median(level for level, _ in chosen))
        rises.append(median(rise for _, rise in chosen))
    if levels[0] <= 0 or rises[0] > _LEVEL_RISE:
        return None
    return Revision(levels[1] / levels[0], levels[0] / limit, rises[1] <= _LEVEL_RISE)
