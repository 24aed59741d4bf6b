"""The recommendation: what to do about the limit, by cause, with its basis in words and its range."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.shape import Shape
from memdiag.diagnosis.words import duration, human_bytes, percent
from memdiag.model.quantity import round_up
from memdiag.model.verdict import Action, Cause, Forecast, Recommendation, StopGap

MARGIN = 1.15
"""What VPA and KRR also add to a peak that was seen whole."""
ESCALATION = 1.5
"""A demand that the limit cut off is only known to be larger: raise by half, then look again."""
MOST_RAISE = 2.0


def _nothing(action: Action, basis: str, limit: int | None = None) -> Recommendation:
    return Recommendation(action, limit, None, None, basis)


def _request(found: Features, limit: int) -> int | None:
    """Return the request to go with a new limit: equal stays equal, so that the QoS class stays."""
    request = found.trace.request_bytes
    return limit if request is not None and request == found.trace.limit_bytes else request


def _raise(found: Features, wanted: float, low: float, high: float, basis: str) -> Recommendation:
    least = max(found.highest, found.limit or 0)
    limit = round_up(max(int(wanted), least))
    span = (round_up(max(int(low), least)), round_up(max(int(high), limit)))
    return Recommendation(Action.RAISE_LIMIT, limit, _request(found, limit), span, basis)


def _low(found: Features) -> Recommendation:
    if found.limit is None:
        return _nothing(Action.NONE, "The limit is not known, so no number can be given.")
    limit, highest = found.limit, found.highest
    if any(shape.series.killed for shape in found.all_shapes):
        basis = (
            f"Demand was cut off at the limit of {human_bytes(limit)}, so how much more it wanted is not known "
            f"(highest seen: {human_bytes(highest)}). Half as much again, then watch the real peak."
        )
        wanted = max(ESCALATION * limit, MARGIN * highest)
        return _raise(found, wanted, max(1.25 * limit, MARGIN * highest), max(MOST_RAISE * limit, wanted), basis)
    basis = f"The highest demand seen was {human_bytes(highest)}; {percent(MARGIN - 1)} are added for safety."
    return _raise(found, MARGIN * highest, 1.05 * highest, 1.4 * highest, basis)


def _growth(found: Features) -> Recommendation:
    if found.limit is None or not found.shapes:
        return _nothing(Action.NONE, "The limit or the growth is not known, so no number can be given.")
    base = min(shape.base for shape in found.all_shapes)
    seen = found.series[-1].begin + found.series[-1].life - found.series[0].begin
    first = min(found.all_shapes, key=lambda shape: shape.series.begin)
    reached = first.series.life if first.series.killed else seen
    wanted = min(found.limit + (found.limit - base), MOST_RAISE * found.limit)
    basis = (
        f"Demand grew from {human_bytes(base)} to the limit of {human_bytes(found.limit)} in {duration(reached)}; this "
        f"limit holds for about {duration(reached)} more at that pace. Bound the load of each replica, or add some."
    )
    return _raise(found, wanted, 1.25 * found.limit, 3 * found.limit, basis)


def _leak(found: Features) -> Recommendation:
    basis = "Memory rises with the program's age: any limit is only a delay. Find what is kept, and let it go."
    limit, slope = found.limit, _slope(found.shapes)
    if limit is None or slope is None:
        return _nothing(Action.FIX_LEAK, basis)
    base = median(shape.base for shape in found.shapes)
    gap = round_up(int(min(limit + (limit - base), MOST_RAISE * limit)))
    uptime = median(s.series.life if s.series.killed else (limit - s.base) / slope for s in found.shapes)
    stop_gap = StopGap(gap, round(uptime + (gap - limit) / slope, 1))
    return Recommendation(Action.FIX_LEAK, None, None, None, basis, stop_gap)


def _node(_: Features) -> Recommendation:
    return _nothing(
        Action.MOVE_OR_ADD_MEMORY,
        "Not this container's own limit was hit: give the node or the group above it more memory, or move pods away.",
    )


def _not_ours(_: Features) -> Recommendation:
    return _nothing(Action.NONE, "The kernel's OOM killer did not do this, so the memory limit is not to blame.")


def _keep(found: Features) -> Recommendation:
    basis = "The evidence does not tell a leak from a real need, and raising a leak's limit only hides it."
    if found.limit is None:
        return _nothing(Action.NONE, basis)
    return _nothing(Action.KEEP_LIMIT, basis, found.limit)


ADVICE: dict[Cause, Callable[[Features], Recommendation]] = {
    Cause.LEAK: _leak,
    Cause.GROWTH: _growth,
    Cause.UNDERESTIMATED_LIMIT: _low,
    Cause.NODE_PRESSURE: _node,
    Cause.NOT_KERNEL_OOM: _not_ours,
    Cause.INCONCLUSIVE: _keep,
}


def no_kill(found: Features) -> Recommendation:
    """Return the advice where nothing was killed."""
    return _nothing(Action.NONE, "Nothing was killed.", found.limit)


def _slope(shapes: tuple[Shape, ...]) -> float | None:
    slopes = [shape.slope for shape in shapes if shape.slope > 0]
    return median(slopes) if slopes else None


def forecast(found: Features) -> Forecast | None:
    """Return when a run that is alive and rising reaches the limit, None where there is no such run."""
    shape = found.all_shapes[-1] if found.all_shapes else None
    if shape is None or found.limit is None or shape.series.ended or shape.slope <= 0 or shape.trend < 0.5:
        return None
    if shape.rise < 0.02:
        return None
    left = max(found.limit - shape.points_end, 0.0)
    return Forecast(
        seconds_to_limit=round(left / shape.slope, 1),
        low=round(left / shape.slope_high, 1) if shape.slope_high > 0 else None,
        high=round(left / shape.slope_low, 1) if shape.slope_low > 0 else None,
    )
