"""Rules about the shape of each life: its floor, its last jump, its returns and its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.words import duration, human_bytes, percent

_SUDDEN = 0.06
"""Share of a life that is a moment."""


def floor(found: Features) -> Iterator[Observation]:
    """Tell whether the floor of demand rose most of the way to the limit, or stayed level."""
    if not found.shapes:
        return
    share = found.typical(lambda shape: shape.rise_share)
    base, end = found.typical(lambda shape: shape.base), found.typical(lambda shape: shape.floor_end)
    life = found.typical(lambda shape: shape.series.life)
    move = f"from {human_bytes(base)} to {human_bytes(end)} in {duration(life)}"
    if found.rising:
        text = f"Memory that never came back rose {move}, {percent(share)} of the way to the limit."
        # what killed is worth a word however small; of what lives on, a small rise leads nowhere yet
        killed = any(shape.series.killed for shape in found.shapes)
        size = 1.0 if killed else ramp(found.typical(lambda shape: shape.rise), 0.05, 0.15)
        yield Observation("floor_rises", size * (0.3 + 0.7 * found.straightness), share, 0.4, text)
    elif found.flat:
        text = f"Between its peaks demand stayed level: {move}."
        coarse = found.typical(lambda shape: shape.ascent) > 2 * _SUDDEN  # the way up may have been a late, quick leak
        strength = (0.4 if coarse else 1.0) * (1 - found.climb)
        yield Observation("floor_level", strength, share, 0.15, text)
        level = found.typical(lambda shape: shape.floor_end / shape.limit)
        text = f"Demand was level at {percent(level)} of the limit, with hardly any room above it."
        yield Observation("little_room", ramp(level, 0.75, 0.92), level, 0.75, text)
    else:
        text = f"The floor moved {move}, {percent(max(share, 0.0))} of the way to the limit: neither level nor most."
        trend, rise = found.typical(lambda shape: shape.trend), found.typical(lambda shape: shape.rise)
        climbs = ramp(trend, 0.4, 0.8) * ramp(share, 0.1, 0.4) * ramp(rise, 0.01, 0.03)
        yield Observation("floor_between", 1 - climbs, share, 0.4, text)
        text = f"The floor climbed all the time ({move}), under peaks that are higher."
        yield Observation("floor_climbs", climbs, trend, 0.4, text)


def wander(found: Features) -> Iterator[Observation]:
    """Tell of a rise that goes up and down on its way."""
    if not found.rising:
        return
    steady = found.typical(lambda shape: shape.steadiness)
    text = f"The rise wandered up and down: only {percent(steady)} of its moves led upwards in the end."
    yield Observation("wanders", ramp(steady, 0.7, 0.3), steady, 0.7, text)


def bend(found: Features) -> Iterator[Observation]:
    """Tell whether a rise slowed down within its life."""
    if not found.rising or all(shape.bend is None for shape in found.shapes):
        return
    value = found.typical(lambda shape: 1.0 if shape.bend is None else shape.bend)
    if found.slackening or found.perhaps_slackening:
        text = f"The rise slowed down: its second half brought {percent(max(value, 0.0))} of what the first did."
        yield Observation("slackens", 1.0 if found.slackening else 0.4, value, 0.65, text)
    else:
        text = f"The rise went on to the end: its second half brought {percent(value)} of what the first did."
        yield Observation("goes_on", ramp(value, 0.6, 0.9), value, 0.6, text)


def jump(found: Features) -> Iterator[Observation]:
    """Tell whether the last moment before the kill made most of the way to the limit at once."""
    if not any(shape.series.killed for shape in found.shapes):
        return
    share = found.typical(lambda shape: shape.jump_share)
    ascent = found.typical(lambda shape: shape.ascent)
    seen = found.typical(lambda shape: shape.ascent_samples)
    if ascent > 0.25 or (ascent > _SUDDEN and seen > 3):
        return
    seconds = found.typical(lambda shape: shape.ascent * shape.series.life)
    text = f"The last {duration(seconds)} before the kill made {percent(share)} of the way to the limit at once."
    part = 1.0 if ascent <= 2 * _SUDDEN else 0.5
    yield Observation("jump", part * ramp(share, 0.3, 0.7), share, 0.3, text)


def returns(found: Features) -> Iterator[Observation]:
    """Demand went up and came back, several times or by a great deal."""
    whole = [shape for shape in found.all_shapes if not shape.series.born_of_kill]
    own = 1 - found.accounted
    count = max((shape.returns for shape in whole), default=0)
    text = f"Demand rose by a tenth of the limit or more and came back {count} times in one life."
    yield Observation("returns", 0.0 if found.rising else own * ramp(count, 0, 3), count, 1, text)
    fallen = max((shape.fall for shape in whole), default=0.0)
    text = f"Within one life demand fell by {percent(fallen)} of its range without a restart: it can be given back."
    yield Observation("falls", own * ramp(fallen, 0.35, 0.8), fallen, 0.35, text)


def start(found: Features) -> Iterator[Observation]:
    """Tell of a start that needs more than what follows, which some lives survive."""
    starts = found.starts
    killed = sum(one.killed for one in found.series)
    if starts.died and killed:
        share = len(starts.died) / killed
        text = f"{len(starts.died)} of {killed} killed lives ended in their start, which other lives survived."
        yield Observation("dies_starting", ramp(share, 0.0, 0.6), share, 0.0, text, of_all=True)
    text = f"A life that got through its start needed {starts.peak_over_level:.1f} times as much there as ever after."
    ratio = starts.peak_over_level
    yield Observation("start_peak", ramp(ratio, 1.05, 1.3), ratio, 1.05, text, of_all=True)


def one_way_up(found: Features) -> Iterator[Observation]:
    """Every life is one single way up from nothing: it may never have finished starting."""
    if not found.rising or found.starts.typical is not None:
        return
    low = found.typical(lambda shape: shape.at_birth)
    text = f"Demand rose from {percent(max(low, 0.0))} of the limit without a rest, as a start does that needs more."
    yield Observation("one_way_up", ramp(low, 0.25, 0.05) * ramp(found.samples, 50, 15), low, 0.25, text)


RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (
    floor,
    wander,
    bend,
    jump,
    returns,
    start,
    one_way_up,
)
