"""Evidence: each rule turns features into weighed sentences for or against a cause; one function a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memdiag.diagnosis.features import Features, is_rising
from memdiag.diagnosis.words import duration, human_bytes, percent
from memdiag.model.verdict import Cause, Evidence

LEAK, GROWTH, LOW = Cause.LEAK, Cause.GROWTH, Cause.UNDERESTIMATED_LIMIT
CANDIDATES = (LEAK, GROWTH, LOW)
"""The causes that shape, load and restarts tell apart, once it is known that the container's own limit was hit."""

_FULL_SAMPLES = 12
_CPU_IS_WEAKER = 0.7
_LEVEL_LOAD = 1.3
_SUDDEN = 0.06
"""Share of a life that is a moment."""


def _several(
    name: str, value: float | str | None, threshold: float | str | None, statement: str, **weights: float
) -> Iterator[Evidence]:
    causes = {"leak": LEAK, "growth": GROWTH, "low": LOW}
    for key, weight in weights.items():
        if weight:
            rounded = round(value, 4) if isinstance(value, float) else value
            yield Evidence(name, causes[key], rounded, threshold, round(weight, 3), statement)


def _floor(found: Features) -> Iterator[Evidence]:
    if not found.shapes:
        return
    share = found.typical(lambda shape: shape.rise_share)
    base, end = found.typical(lambda shape: shape.base), found.typical(lambda shape: shape.floor_end)
    life = found.typical(lambda shape: shape.series.life)
    sure = found.straightness
    move = f"from {human_bytes(base)} to {human_bytes(end)} in {duration(life)}"
    if found.rising:
        text = f"Memory that never came back rose {move}, {percent(share)} of the way to the limit."
        low = 0.0 if found.slackening else -0.5 if found.perhaps_slackening else -2.2
        yield from _several("floor_rise", share, 0.4, text, leak=0.4 + 1.2 * sure, low=low)
    elif found.flat:
        text = f"Between its peaks, demand stayed level: {move}."
        coarse = found.typical(lambda shape: shape.ascent) > 2 * _SUDDEN  # the way up may have been a late, quick leak
        low, leak = (0.4, -0.8) if coarse else (1.0, -2.5)
        yield from _several("floor_rise", share, 0.15, text, low=low, leak=leak, growth=-1.0)
    else:
        text = f"The floor moved {move}, {percent(max(share, 0.0))} of the way to the limit: neither level nor most."
        yield from _several("floor_rise", share, 0.4, text, low=-0.8 if share >= 0.25 else 0.0, leak=0.3 * sure - 0.5)


def _steadiness(found: Features) -> Iterator[Evidence]:
    if not found.rising:
        return
    steady = found.typical(lambda shape: shape.steadiness)
    if steady < 0.5:
        text = f"The rise wandered up and down: only {percent(steady)} of its moves led upwards in the end."
        yield from _several("steadiness", steady, 0.5, text, leak=-1.2)
    elif found.typical(lambda shape: 1.0 if shape.bend is None else shape.bend) >= 0.65 and steady >= 0.8:
        text = f"The rise was as steady at the end as at the beginning ({percent(steady)} of all moves went up)."
        yield from _several("steadiness", steady, 0.8, text, leak=0.6)


def _slackening(found: Features) -> Iterator[Evidence]:
    if found.rising and found.slackening:
        bend = found.typical(lambda shape: 1.0 if shape.bend is None else shape.bend)
        text = f"The rise was coming to rest: its second half brought {percent(max(bend, 0.0))} of what the first did."
        yield from _several("slackening", bend, 0.4, text, low=2.0, leak=-1.6, growth=-0.8)
    elif found.rising and found.perhaps_slackening:
        bend = found.typical(lambda shape: 1.0 if shape.bend is None else shape.bend)
        text = (
            f"The rise slowed down: its second half brought {percent(max(bend, 0.0))} of the first; it may have an end."
        )
        yield from _several("slackening", bend, 0.65, text, low=0.6, leak=-1.0)


def _jump(found: Features) -> Iterator[Evidence]:
    killed = [shape for shape in found.shapes if shape.series.killed]
    if not killed:
        return
    share = found.typical(lambda shape: shape.jump_share)
    ascent = found.typical(lambda shape: shape.ascent)
    seen = found.typical(lambda shape: shape.ascent_samples)
    if share < 0.5 or ascent > 0.25 or (ascent > _SUDDEN and seen > 3):
        return
    seconds = found.typical(lambda shape: shape.ascent * shape.series.life)
    text = f"The last {duration(seconds)} before the kill made {percent(share)} of the way to the limit at once."
    part = (0.4 if found.rising else 1.0) * (1.0 if ascent <= 2 * _SUDDEN else 0.35)
    yield from _several("jump", share, 0.5, text, low=1.8 * part, leak=-1.3 * part, growth=-0.8 * part)


def _returns(found: Features) -> Iterator[Evidence]:
    # where a kill inside the run took a process away, the return is the kill's doing
    count = max((shape.returns for shape in found.shapes if not shape.series.run.kills), default=0)
    if count >= 2 and not found.rising:
        text = f"Demand rose by a tenth of the limit or more and came back {count} times in one run."
        yield from _several("returns", count, 2, text, low=0.8 if found.flat else 0.3, leak=-0.6)


def _startup(found: Features) -> Iterator[Evidence]:
    if found.limit is None:
        return
    survived = [s for s in found.all_shapes if s.startup_peak >= 1.15 and s.peak >= 0.8 * found.limit]
    if survived:
        peak = max(shape.startup_peak for shape in survived)
        text = f"A run that got through its start needed {peak:.1f} times as much memory there as ever after."
        yield from _several("startup_peak", peak, 1.15, text, low=1.6, leak=-0.8)


def _one_way_up(found: Features) -> Iterator[Evidence]:
    if found.perhaps_starting:
        text = f"Demand rose from nothing without a rest ({found.samples} samples), as a start does that needs more."
        yield from _several("one_way_up", found.samples, 25, text, leak=-2.0, low=0.4)


def _reset(found: Features) -> Iterator[Evidence]:
    restarts = found.restarts
    if restarts is None or restarts.reset is None or not found.shapes:
        return
    share = restarts.reset
    if share >= 0.6:
        text = f"A restart made memory small again: {percent(share)} of the rise was gone early in the next run."
        # a leak that starts anew takes its time anew: a much shorter next life is no repetition
        alike = (restarts.alike is None or restarts.alike >= 0.4) and (restarts.quicker or 1.0) > 0.4
        yield from _several("reset", share, 0.6, text, leak=1.0 if found.unbounded and alike else 0.0, growth=-1.6)
    elif share <= 0.35 and not found.flat:
        text = f"A restart did not help: early in the next run {percent(1 - share)} of the rise was back."
        yield from _several("reset", share, 0.35, text, growth=2.3, leak=-2.3)


def _quicker(found: Features) -> Iterator[Evidence]:
    restarts = found.restarts
    if restarts is None or restarts.quicker is None or found.flat or not found.shapes:
        return
    ratio = restarts.quicker
    if ratio < 0.6:
        text = f"After a restart the limit was reached in {percent(ratio)} of the time that the first run took."
        sure = ratio <= 0.4
        yield from _several("next_life", ratio, 0.6, text, growth=0.8 if sure else 0.4, leak=-1.6 if sure else -0.8)
    elif 0.6 <= ratio <= 1.7 and found.rising:
        text = f"After a restart the limit was reached at much the same age ({percent(ratio)} of the first run)."
        yield from _several("next_life", ratio, 0.6, text, leak=0.2 if found.unbounded else 0.0, growth=-0.3)


def _one_run(found: Features) -> Iterator[Evidence]:
    if found.unbounded and found.restarts is None:
        text = "Only one run was seen: data that a restart brings back could have grown in the same way."
        yield from _several("one_run", 1, 2, text, leak=-1.0)


def _alike(found: Features) -> Iterator[Evidence]:
    restarts = found.restarts
    if restarts is None or restarts.alike is None or not found.unbounded:
        return
    if restarts.alike < 0.4 and (found.load is None or found.load.grew <= _LEVEL_LOAD):
        text = f"The runs rose at very different paces (slopes alike to {percent(restarts.alike)} only)."
        yield from _several("same_pace", restarts.alike, 0.4, text, leak=-1.5)
    elif restarts.alike >= 0.6 and (restarts.reset or 0.0) >= 0.6:
        text = f"Every run rose at much the same pace (slopes alike to {percent(restarts.alike)})."
        yield from _several("same_pace", restarts.alike, 0.6, text, leak=0.4)


def _start_levels(found: Features) -> Iterator[Evidence]:
    restarts = found.restarts
    if restarts is None or restarts.base_steps is None:
        return
    steps = restarts.base_steps
    if (restarts.bases_rise and steps >= 0.1) or steps >= 0.5:
        text = (
            f"Each run began higher than the one before: the start level rose {percent(steps)} of the way to the limit."
        )
        yield from _several("start_level", steps, 0.1, text, growth=2.6, leak=-1.5, low=-1.6)


def _load(found: Features) -> Iterator[Evidence]:
    load = found.load
    if load is None:
        if found.rising and found.restarts is None:
            text = "Load was not recorded, so ever more work could have made the same rise."
            yield from _several("load", None, None, text, growth=1.0)
        return
    part = _CPU_IS_WEAKER if load.signal == "CPU time" else 1.0
    level = 1 / _LEVEL_LOAD <= load.grew <= _LEVEL_LOAD
    follows = load.with_load >= 0.6 and load.load_share >= 0.4 and abs(load.collinear) < 0.93
    if follows and load.age_share <= 0.5 and not level and not found.flat:
        text = (
            f"Demand went up and down with load ({load.signal}; correlation {load.with_load:.2f} at equal age), "
            f"which grew {load.grew:.1f} times."
        )
        grown = 1.0 if found.rising else 0.4  # peaks of load make peaks of demand; growth lifts its floor too
        growth, low = 2.6 * part * grown, -0.8 * part if found.rising else 0.0
        yield from _several("load", load.with_load, 0.6, text, growth=growth, leak=-2.0 * part, low=low)
    elif found.rising and level and load.with_load < 0.5 and abs(load.collinear) <= 0.6:
        text = f"Load ({load.signal}) stayed level while memory rose: {load.grew:.1f} times the load of the beginning."
        kept = found.restarts is not None and found.restarts.reset is not None and found.restarts.reset < 0.5
        aged = 0.0 if kept or not found.unbounded else 1.5 * part * max(0.2, found.straightness)
        yield from _several("load", load.grew, _LEVEL_LOAD, text, leak=aged, growth=0.0 if kept else -2.0 * part)
    elif found.unbounded and load.with_age >= 0.7 and load.with_load < 0.3 and load.varies >= 0.15:
        text = (
            f"Demand followed age, not load ({load.signal}): correlations {load.with_age:.2f} and {load.with_load:.2f}."
        )
        yield from _several("load", load.with_age, 0.7, text, leak=1.5 * part * found.straightness, growth=-1.5 * part)
    elif found.rising and load.grew > _LEVEL_LOAD and abs(load.collinear) >= 0.85:
        text = f"Load ({load.signal}) rose together with age, so this run cannot tell one from the other."
        yield from _several("load", abs(load.collinear), 0.85, text, growth=1.5 * part)
    elif follows and not found.rising:
        text = f"Peaks of demand went with peaks of load ({load.signal}), which come and go."
        yield from _several("load", load.with_load, 0.6, text, low=0.5)


def _runtime_cap(found: Features) -> Iterator[Evidence]:
    load = found.load
    if load is None or load.signal != "CPU time" or not found.flat or not found.shapes:
        return
    if load.grew >= 2.0 and found.typical(lambda shape: shape.base / shape.limit) >= 0.75:
        text = (
            f"CPU time climbed {load.grew:.1f} times while memory stayed level near the limit, as before a full heap."
        )
        yield from _several("runtime_cap", load.grew, 2.0, text, low=-1.5, leak=1.0)


def _siblings(found: Features) -> Iterator[Evidence]:
    if not found.siblings or not found.rising:
        return
    rising = sum(is_rising(s.trend, s.rise, s.rise_share) for s in found.siblings)
    share = rising / len(found.siblings)
    text = f"{rising} of {len(found.siblings)} other replicas rose in the same way."
    if share >= 0.75:
        yield from _several("replicas", share, 0.75, text, leak=0.7, low=-0.3)
    elif share <= 0.25 and len(found.siblings) >= 2:
        yield from _several("replicas", share, 0.25, text, leak=-0.7)


RULES: tuple[Callable[[Features], Iterator[Evidence]], ...] = (
    _floor,
    _steadiness,
    _slackening,
    _jump,
    _returns,
    _startup,
    _one_way_up,
    _reset,
    _quicker,
    _one_run,
    _alike,
    _start_levels,
    _load,
    _runtime_cap,
    _siblings,
)


def weigh(found: Features) -> tuple[Evidence, ...]:
    """Return the evidence of every rule, strongest first; few samples make all of it weaker."""
    trust = max(0.0, min(1.0, (found.samples - 2) / (_FULL_SAMPLES - 2)))
    pieces = [
        Evidence(e.name, e.cause, e.value, e.threshold, round(e.weight * trust, 3), e.statement)
        for rule in RULES
        for e in rule(found)
    ]
    return tuple(sorted((e for e in pieces if e.weight), key=lambda e: -abs(e.weight)))


def missing(found: Features) -> tuple[str, ...]:
    """Return what was not known and would have helped, each with what would settle it."""
    gaps: list[str] = []
    if found.limit is None:
        gaps.append("the container's memory limit")
    if found.kill is not None and not found.kill.certain:
        gaps.append("whose limit was hit, as the kernel's log or memory.events of the pod would tell")
    if not found.all_shapes:
        gaps.append("samples of memory before the kill: the run was too short or not watched; the next run will tell")
    elif found.samples < _FULL_SAMPLES:
        gaps.append(f"more samples: the longest run has {found.samples}, and {_FULL_SAMPLES} make a shape")
    if any(not one.whole for one in found.series):
        gaps.append("memory.stat: memory.current stood in for demand and may hold page cache")
    if found.all_shapes and found.load is None:
        gaps.append("load: cpu.stat or network counters would tell growth of load from growth with age")
    if found.rising and found.restarts is None:
        gaps.append("a second run: whether a restart makes memory small again tells a leak from growth")
    load = found.load
    if found.rising and load and load.grew > _LEVEL_LOAD and abs(load.collinear) >= 0.85 and found.restarts is None:
        gaps.append("a time in which load falls: so far load and age rose together")
    if found.shapes and not found.shapes[-1].series.start_seen:
        gaps.append("the start of the run")
    return tuple(gaps)
