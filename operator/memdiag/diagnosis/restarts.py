"""What restarts tell: whether a new run begins low again, and whether it goes the way of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from memdiag.diagnosis.numbers import interpolate
from memdiag.diagnosis.series import Series
from memdiag.diagnosis.shape import Shape
from memdiag.diagnosis.starts import Starts

_EARLY = 0.2
"""Share of the earlier run's life after which the later run's level is compared."""
_ENOUGH_SAMPLES = 12
_ALIKE = 0.12
"""Share of the limit within which a program's starts end."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """Features over consecutive runs, oldest first."""

    pairs: int
    reset: float | None
    """How much of a run's rise was gone early in a later one, at an age that is early for the longest run before:
    1 all, 0 nothing (median)."""
    quicker: float | None
    """Life of the later killed runs (median) over that of the first one."""
    alike: float | None
    """Ratio of the slopes of neighbouring runs, the smaller over the larger (median); 1 is the same slope."""
    base_steps: float | None
    """Share of the way to the limit by which the start level rose, first run to last."""
    bases_rise: bool
    """Every run began higher than the one before."""


def _level_early(later: Series, limit: float, age: float) -> float | None:
    """Return the later life's demand at that age; a life killed before had reached the limit."""
    if not later.points:
        return limit if later.killed and later.life <= age else None
    if later.life <= age:
        if later.killed:
            return limit
        return later.points[-1][1] if later.life >= age / 2 else None
    return interpolate(later.points, age)


def _begins(series: Sequence[Series], starts: Starts, limit: float) -> dict[int, float]:
    """Return by life's index the age at which its start was over, 0 where the lives' starts do not end alike."""
    ends = {one.index: min(age, one.life / 2) for one, age in zip(series, starts.ages, strict=True)}
    levels = [interpolate(one.points, ends[one.index]) for one in series if len(one.points) >= _ENOUGH_SAMPLES]
    alike = bool(levels) and max(levels) - min(levels) <= _ALIKE * limit  # else it is load that rose, not a start
    return ends if alike else dict.fromkeys(ends, 0.0)


def restarts_of(series: Sequence[Series], shapes: Sequence[Shape], starts: Starts, limit: float) -> Restarts | None:
    """Return what the restarts between these lives tell, None when there was none.

    Lives are compared from the end of their starts on: how long a program starts depends on the node, not on itself.
    """
    by_index = {shape.series.index: shape for shape in shapes}
    begins = _begins(series, starts, limit)
    resets: list[float] = []
    alike: list[float] = []
    pairs = 0
    reference: Series | None = None
    for earlier, later in pairwise(series):
        if not earlier.ended:
            continue
        pairs += 1
        before, after = by_index.get(earlier.index), by_index.get(later.index)
        if before is not None and (reference is None or earlier.life > reference.life):
            reference = earlier
        if reference is not None:
            top = limit if reference.killed else reference.points[-1][1]
            begin = begins[reference.index]
            early = _EARLY * (reference.life - begin)
            level = _level_early(later, limit, begins[later.index] + early)
            start = interpolate(reference.points, begin + early)
            if level is not None and top - start > 0.05 * limit:
                resets.append((top - level) / (top - start))
        if before is not None and after is not None:
            low, high = sorted((before.slope, after.slope))
            if low > 0 or (high > 0 and after.samples >= _ENOUGH_SAMPLES and later.life >= earlier.life / 2):
                alike.append(max(low, 0.0) / high)
    if not pairs:
        return None
    lives = [one.life - begins[one.index] for one in series if one.killed]
    bases = [shape.base for shape in shapes if shape.samples >= 8]
    steps = (bases[-1] - bases[0]) / max(limit - bases[0], 0.01 * limit) if len(bases) >= 2 else None
    return Restarts(
        pairs=pairs,
        reset=median(resets) if resets else None,
        quicker=median(lives[1:]) / lives[0] if len(lives) >= 2 else None,
        alike=median(alike) if alike else None,
        base_steps=steps,
        bases_rise=len(bases) >= 3 and all(a < b for a, b in pairwise(bases)),
    )
