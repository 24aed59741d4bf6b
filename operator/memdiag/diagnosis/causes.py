"""The table of causes: which mechanism the features name for each; None where they name none, which is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from memdiag.diagnosis.arenas import retained_in_arenas
from memdiag.diagnosis.composition import Class
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.functions import COMES_TO_REST
from memdiag.diagnosis.series import Series
from memdiag.diagnosis.stationary import MARGIN
from memdiag.model.kill import LimitHit
from memdiag.model.verdict import Cause, Mechanism

_FULL = 0.95
_EXPLAINS = 0.5
_STRAIGHT = 0.7
_RESTS = 0.85
"""Least shares of demand's variance that a function explains when it names the mechanism."""
_STEP = 1.1
"""Least growth, of a level or of load, that counts as one."""
_MUCH_MORE_LOAD = 1.5
_LEVEL_LOAD = 1.3
_KEPT = 0.5
"""Share of a rise: a restart that takes away less than this leaves what the data needs."""
_FEWEST_POINTS = 3
_SEVERAL = 2
"""One life that ended early may have met a burst; several are a start."""
_HUGE = 0.5
_COLLAPSED = 0.25


def _leak(found: Features) -> Mechanism | None:
    parts = found.composition
    if parts is None:
        return None
    if parts.leak is not Mechanism.HEAP_LEAK:
        return parts.leak
    outside = found.runtime.outside_heap(parts.level, max(parts.growth.get(Class.ANON, 0), 0))
    if outside:
        return Mechanism.OFF_HEAP_LEAK
    if retained_in_arenas(found):
        return Mechanism.FRAGMENTATION
    if found.runtime.cap_unknown or (outside is None and found.runtime.heap_cap is not None):
        return None  # inside or outside the heap: the cap would tell, and it is not known or too near
    return Mechanism.HEAP_LEAK


def _level_until(series: Series, start: float, age: float) -> float | None:
    points = [demand for at, demand in series.points if start <= at <= age]
    return median(points) if len(points) >= _FEWEST_POINTS else None


def _stepped(found: Features) -> bool:
    """Say whether demand at equal age is higher in the newest revision by much more than it moved within a revision."""
    names = [one.run.revision or one.run.image for one in found.series]
    known = [name for name in dict.fromkeys(names) if name is not None]
    if len(known) < 2:
        return False
    old, new = ([place for place, name in enumerate(names) if name == wanted] for wanted in known[-2:])
    age = min(max(found.series[place].life for place in places) for places in (old, new))
    levels = [
        [level for place in places if (level := _level_until(found.series[place], found.starts.ages[place], age))]
        for places in (old, new)
    ]
    if not all(levels):
        return False
    before, after = (median(part) for part in levels)
    return after >= _STEP * before and max(part[-1] - part[0] for part in levels) <= (after - before) / 2


def _by_load(found: Features) -> float:
    return found.functions.load.share if found.functions is not None and found.functions.load is not None else 0.0


def _growth(found: Features) -> Mechanism | None:
    if _stepped(found):
        return Mechanism.VERSION_REGRESSION
    load, functions, restarts = found.load, found.functions, found.restarts
    more = load.grew if load is not None else None
    by_load = _by_load(found) if more is None or more >= _STEP else 0.0
    by_calendar = functions.calendar.share if functions is not None and functions.calendar is not None else 0.0
    if max(by_load, by_calendar) >= _EXPLAINS:
        return Mechanism.LOAD_GROWTH if by_load > by_calendar else Mechanism.DATA_GROWTH
    if more is not None and more >= _MUCH_MORE_LOAD:
        return Mechanism.LOAD_GROWTH
    if restarts is None or (more is not None and more > _LEVEL_LOAD):
        return None
    kept = restarts.reset is not None and restarts.reset < _KEPT
    once_fitted = not found.series[0].killed and more is not None
    return Mechanism.DATA_GROWTH if kept or once_fitted or restarts.bases_rise else None


def _told_to(found: Features) -> bool:
    return found.runtime.cap_above_limit and found.runtime.cap_told


def _seen_above(found: Features) -> bool:
    """Say whether a life under a larger limit usually needed more than the present one allows."""
    levels = (_level_until(one, start, one.life) for one, start in zip(found.series, found.starts.ages, strict=True))
    return any(level is not None and level > (found.limit or math.inf) for level in levels)


def _starts(found: Features) -> bool:
    """Say whether lives end in their start, or need more there than ever after.

    Where demand is stationary and does not come to rest, a straight way up from birth to the kill can only be a start.
    """
    killed, died = sum(one.killed for one in found.series), len(found.starts.died)
    if died >= _SEVERAL and 2 * died > killed:
        return True
    by_load = _by_load(found)
    if found.starts.peak_over_level > 0 and by_load < _EXPLAINS:
        return True
    if found.functions is None or not killed or any(run.kills for run in found.trace.runs):
        return False
    return found.rising and found.functions.line.share >= max(_STRAIGHT, by_load)


def _may_fill_heap(found: Features) -> bool:
    return found.runtime.cap_above_limit and found.rising


def _bloated(found: Features) -> bool:
    parts = found.composition
    if parts is None or parts.huge_share is None or parts.collapsed_share is None:
        return False
    return parts.huge_share >= _HUGE and parts.collapsed_share >= _COLLAPSED


def _fills(found: Features) -> bool:
    functions = found.functions
    if functions is None or functions.resting.parameter < COMES_TO_REST:
        return False
    return functions.resting.share >= max(_RESTS, _by_load(found))


def _level(found: Features) -> float:
    return found.typical(lambda shape: shape.floor_end / shape.limit)


_LOW: tuple[tuple[Callable[[Features], bool], Mechanism], ...] = (
    (_told_to, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT),
    (_seen_above, Mechanism.STEADY_ABOVE_LIMIT),
    (_fills, Mechanism.CACHE_ABOVE_LIMIT),
    (_starts, Mechanism.STARTUP_PEAK),
    (_may_fill_heap, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT),
    (_bloated, Mechanism.HUGE_PAGE_BLOAT),
    (lambda found: found.rising and found.slackening, Mechanism.CACHE_ABOVE_LIMIT),
    (lambda found: _level(found) >= _FULL, Mechanism.STEADY_ABOVE_LIMIT),
    (lambda found: _level(found) >= 1 / MARGIN, Mechanism.NO_HEADROOM),
    (lambda _: True, Mechanism.BURST),
)
"""The first that holds names the mechanism of a limit that is too low."""


def _low(found: Features) -> Mechanism | None:
    if not found.shapes or found.limit is None:
        return None
    return next(mechanism for holds, mechanism in _LOW if holds(found))


def _node(found: Features) -> Mechanism | None:
    kill = found.kill
    if kill is None:
        return None
    if kill.evicted:
        return Mechanism.EVICTION
    if kill.limit_hit is LimitHit.ANCESTOR:
        return Mechanism.ANCESTOR_LIMIT
    return Mechanism.NODE_OVERCOMMIT if kill.limit_hit is LimitHit.NODE else None


def _none(_: Features) -> Mechanism | None:
    return None


def _external(_: Features) -> Mechanism | None:
    return Mechanism.EXTERNAL_SIGKILL


MECHANISMS: dict[Cause, Callable[[Features], Mechanism | None]] = {
    Cause.LEAK: _leak,
    Cause.GROWTH: _growth,
    Cause.UNDERESTIMATED_LIMIT: _low,
    Cause.NODE_PRESSURE: _node,
    Cause.NOT_KERNEL_OOM: _external,
    Cause.INCONCLUSIVE: _none,
}
