"""Rules about restarts, revisions and replicas: what came back after a restart, and what went alike elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from memdiag.diagnosis.features import Features, is_rising
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.words import percent

_LARGER = 1.02
_FEWEST_POINTS = 6
_RISEN = 0.6
"""Least share of demand's changes that age or work explain where they count as a rise."""


def reset(found: Features) -> Iterator[Observation]:
    """Tell whether a restart made memory small again."""
    restarts = found.restarts
    if restarts is None or restarts.reset is None or found.flat:
        return
    share = restarts.reset
    text = f"A restart made memory small again: {percent(share)} of the rise was gone early in the next life."
    yield Observation("reset", ramp(share, 0.4, 0.8), share, 0.4, text)
    text = f"A restart did not help: early in the next life {percent(1 - share)} of the rise was back."
    yield Observation("not_reset", ramp(share, 0.6, 0.2), share, 0.6, text)


def next_lives(found: Features) -> Iterator[Observation]:
    """Tell whether the limit was reached sooner after a restart, or at much the same age."""
    restarts = found.restarts
    if restarts is None or restarts.quicker is None or found.flat:
        return
    ratio = restarts.quicker
    text = f"After a restart the limit was reached in {percent(ratio)} of the time that the first life took."
    yield Observation("sooner", ramp(ratio, 0.75, 0.35), ratio, 0.75, text)
    text = f"After a restart the limit was reached at much the same age ({percent(ratio)} of the first life)."
    yield Observation("same_age", min(ramp(ratio, 0.5, 0.8), ramp(ratio, 2.0, 1.3)), ratio, 0.5, text)


def one_life(found: Features) -> Iterator[Observation]:
    """Tell of a rise that no restart has tried."""
    functions = found.functions
    risen = found.rising or (functions is not None and functions.line.share >= _RISEN)
    if risen and found.restarts is None:
        text = "Only one life was seen: data that a restart brings back could have grown in the same way."
        yield Observation("one_life", 1.0, 1, 2, text)


def paces(found: Features) -> Iterator[Observation]:
    """Tell whether the lives rose at the same pace."""
    restarts = found.restarts
    if restarts is None or restarts.alike is None or not found.rising:
        return
    text = f"The lives rose at paces that agree to {percent(restarts.alike)}."
    yield Observation("same_pace", ramp(restarts.alike, 0.4, 0.8), restarts.alike, 0.4, text)
    yield Observation("other_pace", ramp(restarts.alike, 0.4, 0.1), restarts.alike, 0.4, text)


def start_levels(found: Features) -> Iterator[Observation]:
    """Each life began higher than the one before."""
    restarts = found.restarts
    if restarts is None or restarts.base_steps is None:
        return
    steps = restarts.base_steps
    text = f"Each life began higher than the one before: the start level rose {percent(steps)} of the way to the limit."
    yield Observation("start_levels", ramp(steps, 0.08, 0.4) if restarts.bases_rise else 0.0, steps, 0.08, text)


def held_more(found: Features) -> Iterator[Observation]:
    """Tell whether an earlier life was level above the present limit, under a larger one."""
    if found.limit is None:
        return
    strength, seen = 0.0, 0.0
    for one, start in zip(found.series, found.starts.ages, strict=True):
        ends = (*one.run.samples[:1], *one.run.samples[-1:])
        allowed = max((s.level.max for s in ends if isinstance(s.level.max, int)), default=0)
        held = [demand for age, demand in one.points if age >= max(start, one.life / 2)]
        if allowed <= _LARGER * found.limit or len(held) < _FEWEST_POINTS:
            continue
        quarter = len(held) // 4 + 1
        moved = abs(median(held[-quarter:]) - median(held[:quarter])) / found.limit
        level = median(held) / found.limit
        now = ramp(level, 0.85, 1.0) * ramp(moved, 0.15, 0.03)
        strength, seen = max((strength, seen), (now, level))
    text = f"An earlier life was level at {percent(seen)} of the present limit: the limit was lowered below the need."
    yield Observation("held_more", strength, seen, 0.85, text, of_all=True)


def revision(found: Features) -> Iterator[Observation]:
    """Tell whether the level stepped up with a new revision or image."""
    change = found.revision
    if change is None:
        return
    text = (
        f"Demand behind the start is {change.ratio:.1f} times what it was in the previous revision, and level in both."
    )
    strength = ramp(change.ratio, 1.1, 1.4) * (1 - found.climb)
    yield Observation("revision_step", strength if change.level else 0.0, change.ratio, 1.1, text, of_all=True)
    text = f"The previous revision did not rise like this one (level then: {percent(change.before)} of the limit)."
    yield Observation("revision_rise", found.climb if change.level else 1.0, change.before, None, text)


def replicas(found: Features) -> Iterator[Observation]:
    """Tell whether the other replicas rose alike."""
    if not found.siblings or not found.rising:
        return
    rising = sum(is_rising(s.trend, s.rise, s.rise_share) for s in found.siblings)
    share = rising / len(found.siblings)
    text = f"{rising} of {len(found.siblings)} other replicas rose in the same way."
    yield Observation("replicas_rise", ramp(share, 0.5, 1.0), share, 0.5, text)
    if len(found.siblings) >= 2:
        yield Observation("replicas_level", ramp(share, 0.5, 0.0), share, 0.5, text)


RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (
    reset,
    next_lives,
    one_life,
    paces,
    start_levels,
    held_more,
    revision,
    replicas,
)
