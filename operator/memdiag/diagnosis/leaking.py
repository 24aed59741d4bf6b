"""Advice on a leak: no limit, but its pace, how long the present limit lasts, a stop-gap and when to restart."""

from __future__ import annotations

from statistics import median

from memdiag.diagnosis.clamps import clamp
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.sizing import CENSORED, hit_pods_limit, limits_in_force, size
from memdiag.diagnosis.words import duration, human_bytes, pace
from memdiag.model.quantity import round_up
from memdiag.model.verdict import Action, Recommendation, StopGap

_MOST_STOP_GAP = 2.0
"""Most that a stop-gap may be of the limit that the leak filled; a leak that filled a raised one gets no other."""
_WORTH_IT = 1.1
_RESTART_AT = 0.8
"""Share of the shortest life after which a restart is due."""


def _pace(found: Features) -> tuple[float, float, float] | None:
    """Return the leak's pace with its range, bytes a second."""
    rising = [shape for shape in found.shapes if shape.slope > 0]
    if not rising:
        return None
    slope = median(shape.slope for shape in rising)
    low = min(min(shape.slope_low, shape.slope) for shape in rising)
    high = max(max(shape.slope_high, shape.slope) for shape in rising)
    return max(low, 0.0), slope, high


def advise(found: Features) -> Recommendation:
    """Return the advice on a leak; sizes that it was given are never fed into a limit."""
    basis = "Memory rises with the program's age: any limit is only a delay. Find what is kept, and let it go."
    paces, limit = _pace(found), found.limit
    if limit is None or paces is None:
        return Recommendation(Action.FIX_LEAK, None, None, None, basis)
    low, slope, high = paces
    base = median(shape.base for shape in found.shapes)
    if hit_pods_limit(found):
        life = median(shape.series.life for shape in found.shapes)
        basis += (
            f" It rises by {pace(slope)}, and its pod's limit was reached about {duration(life)} after its start: "
            f"until it is fixed, restart it every {duration(_RESTART_AT * life)}."
        )
        return Recommendation(Action.FIX_LEAK, None, None, None, basis)
    limits = limits_in_force(found)
    filled = [shape.series for shape in found.shapes if shape.series.killed]
    # a life that filled another limit does not tell how long this one lasts
    lives = [one.life for one in filled if CENSORED * limit <= (limits[one.index] or 0) <= limit / CENSORED]
    life = median(lives) if lives else max(limit - base, 0.0) / slope
    spread = f" ({pace(low)} to {pace(high)})" if high > 1.2 * low > 0 else ""
    basis += (
        f" It rises by {pace(slope)}{spread}, so {human_bytes(limit)} lasts about {duration(life)} from each start: "
        f"until it is fixed, restart it every {duration(_RESTART_AT * min(lives, default=life))}."
    )
    sized = size(found)
    if sized.cut_limits >= 2:
        first = human_bytes(sized.first_cut_at or 0)
        basis += f" Its limit was raised from {first} before, and the leak filled that too: not again."
        return Recommendation(Action.FIX_LEAK, None, None, None, basis)
    if sized.cut_at is not None and not sized.cut_now:
        basis += f" The limit was raised from {human_bytes(sized.cut_at)} since: that is stop-gap enough."
        return Recommendation(Action.FIX_LEAK, None, None, None, basis)
    wanted = round_up(int(min(limit + max(limit - base, 0.0), _MOST_STOP_GAP * limit)))
    clamped = clamp(wanted, found.surroundings)
    if clamped.limit < _WORTH_IT * limit:
        return Recommendation(Action.FIX_LEAK, None, None, None, basis, clamps=clamped.clamps)
    stop_gap = StopGap(clamped.limit, round(life + (clamped.limit - limit) / slope, 1))
    return Recommendation(Action.FIX_LEAK, None, None, None, basis, stop_gap, clamped.clamps)
