"""Rules about functions: whether demand follows age, work, load or the calendar, and whether it comes to rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from memdiag.diagnosis.features import SURELY_RISES, Features
from memdiag.diagnosis.functions import COMES_TO_REST, Fit, Functions
from memdiag.diagnosis.load import CPU_TIME, Load
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.words import human_bytes, percent

LEVEL_LOAD = 1.3
"""Times by which load may rise or fall and still count as level."""
_CPU_IS_WEAKER = 0.5
_GROWN = (1.15, 1.5)
"""Times by which load has grown hardly and for certain."""
_SURE = 1.5
"""Natural logarithm of the ratio of unexplained variances at which one function is surely the better one."""
_LEAST_SPAN = (0.1, 0.4)
"""Range of demand, as a share of the way to the limit, at which it begins to be worth explaining and fully is."""
_STIR = (0.01, 0.03)
"""The same as a share of the limit: nothing below it is worth a word."""
_HARDLY_A_RISE = (0.25, 0.08)
"""Share of the limit below which the most that the trend may be is next to nothing."""


def _better(one: Fit, than: Fit) -> float:
    """Return how much better a fit is: the logarithm of the ratio of what each leaves unexplained."""
    return math.log(than.rest / one.rest)


def _worth(found: Features, functions: Functions) -> float:
    return ramp(functions.span / found.way(functions), *_LEAST_SPAN) * ramp(functions.span / found.scale, *_STIR)


def _trusted(load: Load) -> float:
    """Return how much a signal of load is worth: making memory takes CPU time, whoever asked for it."""
    return _CPU_IS_WEAKER if load.signal == CPU_TIME else 1.0


def _lives(functions: Functions) -> str:
    return "one life" if functions.lives == 1 else f"{functions.lives} lives taken together"


def follows_age(found: Features) -> Iterator[Observation]:
    """Demand is a function of age or of the work done so far."""
    functions = found.functions
    if functions is None:
        return
    line = functions.line
    what = "the work done so far" if functions.by_work else "its age"
    text = f"Demand goes with {what}, which explains {percent(line.share)} of its changes over {_lives(functions)}."
    yield Observation("follows_age", ramp(line.share, 0.5, 0.95) * _worth(found, functions), line.share, 0.5, text)


def comes_to_rest(found: Features) -> Iterator[Observation]:
    """Tell whether the rise slackens towards a bound, even against the work done."""
    functions = found.functions
    if functions is None:
        return
    resting, line = functions.resting, functions.line
    gain = _better(resting, line)
    if resting.parameter >= COMES_TO_REST and resting.share >= 0.6:
        text = (
            f"The rise was coming to rest: a curve with a bound leaves {percent(resting.rest)} unexplained, "
            f"a straight rise {percent(line.rest)}."
        )
        # in one life alone a slow start in front of a straight rise bends the same way
        alone = 0.5 if functions.lives == 1 else 1.0
        strength = alone * ramp(gain, 0.1, _SURE) * _worth(found, functions)
        yield Observation("comes_to_rest", strength, gain, 0.1, text)
    elif line.share >= 0.6:
        text = f"The rise showed no sign of an end ({percent(line.share)} explained by a straight rise)."
        strength = ramp(resting.parameter, COMES_TO_REST, 0.5) * ramp(line.share, 0.6, 0.9) * _worth(found, functions)
        yield Observation("no_end", strength, resting.parameter, COMES_TO_REST, text)


def follows_load(found: Features) -> Iterator[Observation]:
    """Demand is a function of present load, or of the work of a short while."""
    functions, load = found.functions, found.load
    if functions is None or functions.load is None or load is None:
        return
    fit, other = functions.load, max(functions.line, functions.resting, key=lambda one: one.share)
    gain = _better(fit, other)
    if gain > 0:
        text = (
            f"Demand went up and down with load ({load.signal}), which explains {percent(fit.share)} of its changes, "
            f"age or work so far {percent(other.share)}; load grew {load.grew:.1f} times."
        )
        strength = ramp(gain, 0.0, _SURE) * ramp(fit.share, 0.3, 0.7) * _worth(found, functions) * _trusted(load)
        grown = ramp(load.grew, *_GROWN)
        yield Observation("follows_growing_load", strength * grown, fit.share, 0.3, text)
        yield Observation("follows_level_load", strength * (1 - grown), fit.share, 0.3, text)
    else:
        text = (
            f"Demand followed {'work so far' if functions.by_work else 'age'}, not load ({load.signal}): they explain "
            f"{percent(functions.line.share)} and {percent(fit.share)} of its changes."
        )
        varied = ramp(load.varies, 0.05, 0.25) * ramp(functions.line.share, 0.4, 0.8) * _trusted(load)
        yield Observation("age_not_load", ramp(-gain, 0.2, _SURE) * varied * _worth(found, functions), -gain, 0.2, text)


def follows_calendar(found: Features) -> Iterator[Observation]:
    """Demand is a function of calendar time: restarts do not reset it."""
    functions = found.functions
    if functions is None or functions.calendar is None:
        return
    fit, other = functions.calendar, max(functions.line, functions.resting, key=lambda one: one.share)
    text = (
        f"Demand rose by the calendar, right through {functions.lives} lives: that explains {percent(fit.share)} of "
        f"its changes, age or work since the start {percent(other.share)}."
    )
    strength = ramp(_better(fit, other), 0.1, _SURE) * ramp(fit.share, 0.4, 0.8) * _worth(found, functions)
    yield Observation("follows_calendar", strength, fit.share, 0.4, text)


def beside_load(found: Features) -> Iterator[Observation]:
    """Tell what age adds where load is taken into account, and how sure that is."""
    trend = None if found.functions is None else found.functions.beside_load
    if found.functions is None or trend is None:
        return
    moved = f"{human_bytes(abs(trend.rise))} over a life, {abs(trend.sure):.1f} standard errors"
    text = f"Beside what load explains, demand {'rose' if trend.rise > 0 else 'fell'} with age by {moved}."
    yield Observation("rises_beside_load", found.climb, trend.sure, SURELY_RISES[0], text)
    most = (trend.rise + 2 * trend.error) / found.scale
    text = f"Beside what load explains, demand rose with age by no more than {percent(max(most, 0.0))} of the limit."
    strength = ramp(trend.sure, SURELY_RISES[0], 1.0) * ramp(most, *_HARDLY_A_RISE)
    yield Observation("level_beside_load", strength, most, _HARDLY_A_RISE[0], text)


def stays_level(found: Features) -> Iterator[Observation]:
    """Behind its start demand hardly moves."""
    functions = found.functions
    if functions is None:
        return
    share = functions.span / found.scale
    text = f"Behind its start the floor of demand moved by {human_bytes(functions.span)} only."
    moved = ramp(functions.line.share, 0.5, 0.9) * _worth(found, functions)
    yield Observation("stays_level", ramp(share, 0.2, 0.04) * (1 - moved), share, 0.2, text)


def follows_nothing(found: Features) -> Iterator[Observation]:
    """Demand moves, and no function explains it."""
    functions = found.functions
    if functions is None:
        return
    best = max(
        fit.share for fit in (functions.line, functions.resting, functions.load, functions.calendar) if fit is not None
    )
    text = f"Demand moved, but neither age, work, load nor the calendar explains more than {percent(best)} of it."
    # two together may explain what neither does alone
    strength = ramp(best, 0.6, 0.25) * ramp(functions.span / found.scale, 0.08, 0.25) * (1 - found.climb)
    yield Observation("follows_nothing", strength, best, 0.6, text)


def load_level(found: Features) -> Iterator[Observation]:
    """Memory rose while load stayed where it was, or load rose with it, or nobody knows."""
    if not found.rising:
        return
    load = found.load
    if load is None:
        text = "Load was not recorded, so ever more work could have made the same rise."
        yield Observation("load_unknown", 1.0, None, None, text)
        return
    text = f"Load ({load.signal}) was {load.grew:.1f} times that of the beginning while memory rose."
    apart = abs(math.log(max(load.grew, 0.05)) / math.log(LEVEL_LOAD))
    kept = found.restarts is not None and found.restarts.reset is not None and found.restarts.reset < 0.5
    level = 0.0 if kept else ramp(apart, 1.6, 0.5) * _trusted(load)
    yield Observation("load_level", level, load.grew, LEVEL_LOAD, text)
    if load.grew > LEVEL_LOAD:
        text = f"Load ({load.signal}) rose together with age ({load.grew:.1f} times): they cannot be told apart."
        strength = ramp(abs(load.collinear), 0.7, 0.95) * ramp(load.grew, LEVEL_LOAD, 2.0)
        yield Observation("load_rose_with_age", strength, load.collinear, 0.7, text)


RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (
    follows_age,
    comes_to_rest,
    follows_load,
    follows_calendar,
    beside_load,
    stays_level,
    follows_nothing,
    load_level,
)
