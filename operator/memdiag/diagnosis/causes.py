"""The table of causes: what each says in short, and which mechanism the features name."""

from __future__ import annotations

from collections.abc import Callable

from memdiag.diagnosis.features import Features
from memdiag.model.kill import LimitHit
from memdiag.model.verdict import Cause, Mechanism

_HIGH_LEVEL = 0.8


def _leak(found: Features) -> Mechanism | None:
    return found.composition.leak if found.composition is not None else None


def _growth(found: Features) -> Mechanism | None:
    load = found.load
    if load is not None and load.with_load >= 0.5 and load.grew >= 1.2:
        return Mechanism.LOAD_GROWTH
    if found.restarts is not None and found.restarts.bases_rise:
        return Mechanism.DATA_GROWTH
    return Mechanism.LOAD_GROWTH if load is not None and load.grew >= 1.5 else None


def _low(found: Features) -> Mechanism | None:
    if not found.shapes or found.limit is None:
        return None
    if any(shape.startup_peak >= 1.15 and shape.peak >= 0.8 * found.limit for shape in found.all_shapes):
        return Mechanism.STARTUP_PEAK
    if found.rising and found.slackening:
        return Mechanism.CACHE_ABOVE_LIMIT
    level = found.typical(lambda shape: shape.floor_end / shape.limit)
    if level < _HIGH_LEVEL:
        return Mechanism.BURST
    return Mechanism.NO_HEADROOM if level < 0.95 else Mechanism.STEADY_ABOVE_LIMIT


def _node(found: Features) -> Mechanism | None:
    whose = found.kill.limit_hit if found.kill is not None else None
    if whose is LimitHit.ANCESTOR:
        return Mechanism.ANCESTOR_LIMIT
    return Mechanism.NODE_OVERCOMMIT if whose is LimitHit.NODE and found.kill and found.kill.certain else None


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
