"""Healthy but oversized: when a container that was never killed may be told a lower limit, and how low."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

from memdiag.diagnosis.clamps import CLEAN_SECONDS, Wish, settle
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.sizing import Sizing, size
from memdiag.diagnosis.stationary import margin
from memdiag.diagnosis.words import duration, human_bytes, percent
from memdiag.model.verdict import Action, Recommendation

_MOST_READ = 2000
FEWEST_WAVES = 3
_FAR_BELOW = 0.6
"""Share of the limit that the peak with its margin must stay below."""
_PARTS = 200
_SETTLED = 0.1
"""Most that the floor of demand may have risen, as a share of its peak, where nothing grows."""


def waves(found: Features) -> int:
    """Return how often use went above its mean by a fifth and below it by a fifth again: CPU time, else demand."""
    best = 0
    for one in found.series:
        samples = one.run.samples[:: len(one.run.samples) // _MOST_READ + 1]
        busy = [(s.t, s.level.cpu["usage_usec"]) for s in samples if "usage_usec" in s.level.cpu]
        rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(busy) if b[0] > a[0]]
        width = max(len(rates) // _PARTS, 1)
        smooth = [fmean(rates[first : first + width]) for first in range(0, len(rates) - width + 1, width)]
        best = max(best, _crossings(smooth), _crossings([demand for _, demand in one.points]))
    return best


def _crossings(values: list[float]) -> int:
    if not values:
        return 0
    mean, count, above = sum(values) / len(values), 0, False
    for value in values:
        if not above and value > 1.2 * mean:
            above = True
        elif above and value < 0.8 * mean:
            above, count = False, count + 1
    return count


def _rises(found: Features, sized: Sizing) -> bool:
    return any(shape.rise * shape.limit > _SETTLED * sized.highest for shape in found.all_shapes)


def advise(found: Features) -> Recommendation | None:
    """Return a lower limit, None where too little was seen, memory.peak is not known or the limit is well chosen.

    memory.peak counts page cache: a container whose cache filled the limit is never told a lower one.
    """
    sized = size(found)
    if found.limit is None or sized.peak is None:
        return None
    if sized.clean_seconds < CLEAN_SECONDS or waves(found) < FEWEST_WAVES or _rises(found, sized):
        return None
    peak, more = max(sized.peak, sized.clean_peak or 0, sized.floor), margin(found)
    if more * peak > _FAR_BELOW * found.limit:
        return None
    seen = sum(len(one.run.samples) for one in found.series)
    basis = (
        f"In {duration(sized.clean_seconds)} and {seen} samples with several waves of load nothing was killed, and "
        f"memory.peak, page cache included, never went above {human_bytes(peak)}, {percent(peak / found.limit)} of the "
        f"limit; {percent(more - 1)} are added."
    )
    wish = Wish(more * peak, more * peak, max(2 * peak, more * peak), basis)
    advice = settle(found, sized, wish)
    return advice if advice.action is Action.LOWER_LIMIT else None
