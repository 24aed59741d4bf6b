"""Limits for demand that grows with load or with the calendar: room until a stated horizon, and when it is used up."""

from __future__ import annotations

from collections.abc import Callable

from memdiag.diagnosis.clamps import Wish
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.forecast import Trend, trend_of
from memdiag.diagnosis.per_unit import per_unit_of
from memdiag.diagnosis.sizing import Sizing
from memdiag.diagnosis.stationary import escalate, margin
from memdiag.diagnosis.words import day, duration, human_bytes, pace
from memdiag.model.verdict import Mechanism

_MOST_RAISE = 2.0
"""No forecast raises a limit to more than this many times what was seen in one step."""
_LEAST_RAISE = 1.1
_LEAST_ROOM = 0.05
"""Share of the horizon below which the room that a limit has is not worth a word."""


def _when(trend: Trend, limit: int) -> str:
    """Return when the present limit was or will be reached."""
    if trend.reached is not None:
        date = day(trend.reached)
        after = f"{duration(trend.reached - trend.begin)} after the first sample"
        return f"The limit of {human_bytes(limit)} was reached {after}{'' if date is None else f', on {date}'}."
    left = max(limit - trend.at(trend.now), 0.0) / trend.slope
    if left > trend.horizon:
        return f"The limit of {human_bytes(limit)} is not reached within {duration(trend.horizon)}."
    date = day(trend.now + left)
    return f"The limit of {human_bytes(limit)} is reached in {duration(left)}{'' if date is None else f', on {date}'}."


def _until_horizon(found: Features, sized: Sizing, trend: Trend) -> Wish:
    floor = max(sized.floor, 1)
    horizon = trend.now + trend.horizon
    bound = max(trend.upper(horizon), trend.at(horizon))
    wanted = max(bound, _LEAST_RAISE * floor)
    if found.surroundings.headroom_percent is not None:
        wanted = max(margin(found) * trend.at(horizon), floor)
    capped = min(wanted, _MOST_RAISE * floor)
    held = trend.lasts(capped)
    if held is None or capped == wanted:
        room = f"The new one has room for {duration(trend.horizon)} (upper 95 % bound of the line)."
    else:
        lasts = "" if held < _LEAST_ROOM * trend.horizon else f" and has room for {duration(held)}"
        room = f"The new one is twice the demand seen{lasts}: more is not given at once."
    basis = f"Demand grew by {pace(trend.slope)} over {duration(trend.end - trend.begin)}."
    if found.limit is not None:
        basis += f" {_when(trend, found.limit)}"
    basis += f" {room}"
    return Wish(capped, max(_LEAST_RAISE * floor, trend.at(trend.now)), max(bound, 1.25 * capped), basis)


def by_calendar(found: Features, sized: Sizing) -> Wish:
    """Return the wish for growing demand: the upper bound of its forecast, else by steps."""
    trend = trend_of(found)
    return escalate(found, sized) if trend is None or not trend.rises else _until_horizon(found, sized, trend)


def _by_load(found: Features, sized: Sizing) -> Wish:
    wish, per_unit = by_calendar(found, sized), per_unit_of(found)
    if per_unit is None:
        return wish
    basis = f"{wish.basis} {per_unit.words(found.limit or wish.limit)} Bound the load of each replica, or add replicas."
    return Wish(wish.limit, wish.low, wish.high, basis)


def _by_version(found: Features, sized: Sizing) -> Wish:
    """Return the wish for a new version's need: a step is no trend, and nothing says that it goes on."""
    wish = escalate(found, sized)
    basis = f"The present version needs more than the one before: go back, or find what it added. {wish.basis}"
    return Wish(wish.limit, wish.low, wish.high, basis)


GROWING: dict[Mechanism | None, Callable[[Features, Sizing], Wish]] = {
    Mechanism.LOAD_GROWTH: _by_load,
    Mechanism.VERSION_REGRESSION: _by_version,
}
"""Mechanisms for which the calendar is not all there is to say."""
