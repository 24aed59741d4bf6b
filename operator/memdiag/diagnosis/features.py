"""Features: everything measured of a trace, gathered once, that evidence, recommendation and summary speak of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from memdiag.diagnosis.composition import Composition, composition_of
from memdiag.diagnosis.functions import Functions, functions_of
from memdiag.diagnosis.load import Load, load_of, signal_of
from memdiag.diagnosis.observation import ramp
from memdiag.diagnosis.pressure import MemoryPressure, pressure_of
from memdiag.diagnosis.restarts import Restarts, restarts_of
from memdiag.diagnosis.revisions import Revision, revision_of
from memdiag.diagnosis.runtime import RuntimeFacts, runtime_of
from memdiag.diagnosis.series import Series, limit_of, series_of
from memdiag.diagnosis.shape import Shape, shape_of
from memdiag.diagnosis.starts import Starts, starts_of
from memdiag.diagnosis.which_kill import Kill, find_kill
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace

_ENOUGH_SAMPLES = 12
_RISING_TREND = 0.5
_RISING_SHARE = 0.4
_FLAT_SHARE = 0.15
_LEAST_RISE = 0.05
_FLAT_RISE = 0.03
_SURELY = (0.4, 0.75)
_SAME_BEND = 0.2
_PERHAPS = (0.65, 0.85)
"""Most that the second half of a rise, and each of its quarters, may bring of what the one before did."""
_LOAD_HELD = 0.8
"""A rise that slackens because load fell to less than this does not count as coming to rest."""
SURELY_RISES = (2.5, 6.0)
"""Standard errors from which a trend beside load is one, and at which it surely is."""
_WORTH_A_RISE = (0.1, 0.3)
"""Share of the way to the limit from which such a trend counts."""
_LEAST_WAY = 0.1
"""Share of the limit that the way to it is at least, where demand is compared with it."""
_LOADS_DOING = (0.7, 0.95)
"""Share of demand's changes that load explains, from which its ups and downs begin to be load's doing and fully are."""


@dataclass(frozen=True, slots=True)
class Features:
    """What was measured. Sizes are bytes; `shapes` are the runs that had enough samples, oldest first."""

    trace: Trace
    surroundings: Surroundings
    kill: Kill | None
    limit: int | None
    series: tuple[Series, ...]
    all_shapes: tuple[Shape, ...]
    shapes: tuple[Shape, ...]
    """The runs that verdicts rest on: those that ended at the limit, where there are any."""
    restarts: Restarts | None
    load: Load | None
    functions: Functions | None
    starts: Starts
    revision: Revision | None
    composition: Composition | None
    pressure: MemoryPressure | None
    """Of the newest run that verdicts rest on."""
    runtime: RuntimeFacts
    siblings: tuple[Shape, ...] = ()
    """One shape for each sibling trace that had a run long enough."""

    def typical(self, read: Callable[[Shape], float]) -> float:
        """Return the median of a feature over the runs that verdicts rest on."""
        return median(read(shape) for shape in self.shapes)

    @property
    def limitless(self) -> bool:
        """Return whether the kernel says that the container has no limit of its own, and nothing says otherwise."""
        said = (sample.level.max for run in reversed(self.trace.runs) for sample in reversed(run.samples))
        return self.limit is None and next((limit for limit in said if limit is not None), None) == "max"

    @property
    def scale(self) -> float:
        """Return what sizes are shares of: the limit, else the highest demand; bytes."""
        return float(self.limit or max((shape.peak for shape in self.all_shapes), default=0.0) or 1.0)

    @property
    def samples(self) -> int:
        """Return the samples of the longest run that verdicts rest on."""
        return max((shape.samples for shape in self.shapes), default=0)

    @property
    def rising(self) -> bool:
        """Return whether the floor of demand rose most of the way to the limit."""
        return bool(self.shapes) and is_rising(
            self.typical(lambda shape: shape.trend),
            self.typical(lambda shape: shape.rise),
            self.typical(lambda shape: shape.rise_share),
        )

    @property
    def flat(self) -> bool:
        """Return whether the floor of demand stayed where it was."""
        if not self.shapes:
            return False
        rise, trend = self.typical(lambda shape: shape.rise), self.typical(lambda shape: shape.trend)
        share = self.typical(lambda shape: shape.rise_share)
        return (share < _FLAT_SHARE and rise < 2 * _LEAST_RISE) or (rise < _FLAT_RISE and trend < _RISING_TREND)

    @property
    def slackening(self) -> bool:
        """Return whether the rise was coming to rest before the limit stopped it."""
        if self.load is not None and self.load.grew < _LOAD_HELD:
            return False
        return 2 * sum(is_slackening(shape) for shape in self.shapes) > len(self.shapes)

    @property
    def perhaps_slackening(self) -> bool:
        """Return whether the rise slowed down, but not so much that it must have come to rest."""
        if self.load is not None and self.load.grew < _LOAD_HELD:
            return False
        return 2 * sum(is_slackening(shape, _PERHAPS) for shape in self.shapes) > len(self.shapes)

    def way(self, functions: Functions) -> float:
        """Return the bytes from the lowest floor to the limit, a tenth of the limit at least."""
        return max(self.scale - functions.lowest, _LEAST_WAY * self.scale)

    @property
    def climb(self) -> float:
        """Return how sure it is, from 0 to 1, that age adds a rise worth the name to what load explains."""
        functions = self.functions
        trend = None if functions is None else functions.beside_load
        if functions is None or trend is None:
            return 0.0
        return ramp(trend.sure, *SURELY_RISES) * ramp(trend.rise / self.way(functions), *_WORTH_A_RISE)

    @property
    def added_by_age(self) -> float:
        """Return what age adds over a life to what load explains, as a share of the way.

        0 where that may be chance, or is too little of the limit to be called a rise.
        """
        functions = self.functions
        trend = None if functions is None else functions.beside_load
        if functions is None or trend is None or trend.sure < SURELY_RISES[0]:
            return 0.0
        return trend.rise / self.way(functions) if trend.rise >= _LEAST_RISE * self.scale else 0.0

    @property
    def accounted(self) -> float:
        """Return how sure it is, from 0 to 1, that what comes back of demand was load's, which tells no more."""
        load = None if self.functions is None else self.functions.load
        return max(self.climb, 0.0 if load is None else ramp(load.share, *_LOADS_DOING))

    @property
    def straightness(self) -> float:
        """Return how sure the rise is one single way up: 0 for a walk, 1 for a line."""
        if not self.shapes:
            return 0.0
        return max(0.0, min(1.0, (self.typical(lambda shape: shape.steadiness) - 0.5) / 0.4))

    @property
    def highest(self) -> int:
        """Return the highest demand that was seen, bytes; a kill at the limit is not counted as one."""
        return int(max((shape.peak for shape in self.all_shapes), default=0))


def is_rising(trend: float, rise: float, share: float) -> bool:
    """Say whether a floor of this trend, rise (share of the limit) and share of the way is a rise."""
    return trend >= _RISING_TREND and rise >= _LEAST_RISE and share >= _RISING_SHARE


def is_slackening(shape: Shape, most: tuple[float, float] = _SURELY) -> bool:
    """Say whether a run's rise slowed down in its second half, and from quarter to quarter went on to slow down."""
    if shape.bend is None or shape.bend > most[0]:
        return False
    early, late = shape.early_bend, shape.late_bend
    if most is _SURELY and early is not None and late is not None and late > early + _SAME_BEND:
        return False  # what comes to rest slackens by the same factor all the way; a line behind a start does not
    return all(bend is None or bend <= most[1] for bend in (early, late))


def _shapes(series: Sequence[Series], limit: int | None) -> tuple[Shape, ...]:
    peaks = [demand for one in series for _, demand in one.points]
    scale = limit or (max(peaks) if peaks else 0)
    if scale <= 0:
        return ()
    return tuple(shape for one in series if (shape := shape_of(one, scale)) is not None)


def _weighty(shapes: Sequence[Shape], *, killed: bool) -> tuple[Shape, ...]:
    chosen = [shape for shape in shapes if shape.series.killed] if killed else list(shapes)
    most = max((shape.samples for shape in chosen), default=0)
    # a run cut short is mostly its own start: it does not speak for those that lived
    enough = [shape for shape in chosen if shape.samples >= max(_ENOUGH_SAMPLES, most / 2)]
    return tuple(enough or sorted(chosen, key=lambda shape: shape.samples)[-1:])


def measure(
    trace: Trace, siblings: Sequence[Trace], limit_hit: LimitHit | None, surroundings: Surroundings
) -> Features:
    """Return everything that a verdict on this trace may speak of."""
    limit = limit_of(trace)
    kill = find_kill(trace, limit, limit_hit)
    series = series_of(trace, kill)
    all_shapes = _shapes(series, limit)
    shapes = _weighty(all_shapes, killed=any(shape.series.killed for shape in all_shapes))
    signal = signal_of(series)
    scale = limit or max((shape.peak for shape in all_shapes), default=0.0)
    starts = starts_of(series, scale or 1.0)
    others: list[Shape] = []
    for sibling in siblings:
        its_limit = limit_of(sibling)
        its_kill = find_kill(sibling, its_limit, None)
        its_shapes = _shapes(series_of(sibling, its_kill), its_limit)
        others += sorted(its_shapes, key=lambda shape: shape.samples)[-1:]
    return Features(
        trace=trace,
        surroundings=surroundings,
        kill=kill,
        limit=limit,
        series=tuple(series),
        all_shapes=all_shapes,
        shapes=shapes,
        restarts=restarts_of(series, all_shapes, starts, scale) if scale else None,
        load=load_of(series, signal),
        starts=starts,
        revision=revision_of(series, all_shapes, starts, scale) if scale else None,
        functions=functions_of(series, signal.counters if signal else [None] * len(series), starts),
        composition=composition_of([shape.series.run.samples for shape in shapes]),
        pressure=pressure_of(shapes[-1].series.run) if shapes else None,
        runtime=runtime_of(trace, limit),
        siblings=tuple(other for other in others if other.samples >= _ENOUGH_SAMPLES),
    )
