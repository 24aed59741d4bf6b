"""Limits for demand that is stationary but does not fit: by mechanism, from its peak, asymptote, noise or heap cap."""

from __future__ import annotations

from collections.abc import Callable

from memdiag.diagnosis.clamps import CLEAN_SECONDS, Wish, clamp, is_guaranteed
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.runtime import HEAP_SHARES, Runtime
from memdiag.diagnosis.saturation import Asymptote, asymptote_of
from memdiag.diagnosis.sizing import Sizing
from memdiag.diagnosis.words import duration, human_bytes, percent
from memdiag.model.quantity import MEBIBYTE, round_up
from memdiag.model.verdict import Mechanism

MARGIN = 1.15
"""What VPA and KRR also add to a peak that was seen whole."""
ESCALATION = 1.5
"""A demand that the limit cut off is only known to be larger: raise by half, then look again."""
NEXT_ESCALATION = 2.0
"""When a raise was not enough, twice is tried: sizing under failure usually doubles (Sizey, k-Segments)."""
_FARTHEST_ASYMPTOTE = 3.0
"""An asymptote beyond this many times the limit is a guess."""
_NO_LESS = 1.05
_EXCURSIONS = 2.0
"""Room above a noisy plateau, as a multiple of the excursion that hit the limit."""
_DEVIATIONS = 6.0
_BESIDE_HEAP = 0.25
_LEAST_BESIDE_HEAP = 64 * MEBIBYTE
"""What a runtime needs beside its heap where samples do not show more: class data, compiled code, stacks, buffers."""
_MUCH_LESS = 0.75
"""Share of the least limit that the usual level must stay below, for the request to be worth another number."""
_CALM = 0.05
"""Most that a plateau's spread may be, as a share of the limit."""
_FEWEST_OF_PLATEAU = 24
_NEAR_PLATEAU = 0.75
"""Level over the limit below which a plateau has room, so that it was something else that hit the limit."""


def margin(found: Features) -> float:
    """Return the factor from an expected peak to the limit; the workload's owner may have set it."""
    percents = found.surroundings.headroom_percent
    return MARGIN if percents is None else 1 + percents / 100


def _come_back(found: Features) -> str:
    return (
        f"After {duration(CLEAN_SECONDS)} without a kill set it to memory.peak + {percent(margin(found) - 1)}, if that "
        "is less."
    )


def escalate(found: Features, sized: Sizing) -> Wish:
    """Return the wish for a peak: as it was seen, or by steps where the limit cut it off."""
    more = margin(found)
    if sized.cut_at is None:
        what = "memory.peak" if (sized.missed_peak or 0) >= sized.highest else "demand"
        file = f", with {human_bytes(sized.needed_file)} of file pages that it needs" if sized.needed_file else ""
        basis = f"The highest {what} seen was {human_bytes(sized.seen)}{file}; {percent(more - 1)} are added."
        return Wish(more * sized.seen, 1.05 * sized.seen, max(more, 1.4) * sized.seen, basis)
    cut = sized.cut_at
    if not sized.cut_now:
        peak = max(sized.clean_peak or 0, sized.floor)
        basis = (
            f"It was killed at {human_bytes(cut)}; under the higher limit its memory.peak was {human_bytes(peak)}, to "
            f"which {percent(more - 1)} are added."
        )
        return Wish(more * peak, 1.05 * peak, max(more, 1.4) * peak, basis)
    again = sized.cut_limits >= 2
    factor = max(NEXT_ESCALATION if again else ESCALATION, more)
    basis = (
        f"Demand was cut off at the limit of {human_bytes(cut)}: memory.peak is censored there, and how much more was "
        f"wanted is not known (highest sample: {human_bytes(sized.highest)}). "
    )
    if again:
        basis += f"A raise was not enough before, so twice the limit this time. {_come_back(found)}"
    else:
        basis += f"Half as much again first; if that is hit too, twice that. {_come_back(found)}"
    wanted = max(factor * cut, more * sized.seen)
    return Wish(wanted, 1.25 * cut, max(NEXT_ESCALATION * factor / ESCALATION * cut, wanted), basis)


def _with_usual_request(found: Features, sized: Sizing, why: str) -> Wish:
    wish = escalate(found, sized)
    if sized.usual is None or sized.usual > _MUCH_LESS * wish.low:
        return wish
    stays = is_guaranteed(found)
    what = "the request stays equal to the limit (QoS class Guaranteed)" if stays else "enough for the request"
    basis = f"{wish.basis} {why} {human_bytes(sized.usual)}: {what}."
    return Wish(wish.limit, wish.low, wish.high, basis, request=sized.usual)


def _startup(found: Features, sized: Sizing) -> Wish:
    return _with_usual_request(found, sized, "Only the start needs that much; later 95 % of the time it is below")


def _burst(found: Features, sized: Sizing) -> Wish:
    return _with_usual_request(found, sized, "Between the bursts 95 % of the time it is below")


def _noisy_plateau(found: Features, sized: Sizing) -> Wish:
    """Size a plateau by its own noise: a few percent of room are enough where nothing else happens."""
    level, usual, cut = sized.median, sized.usual, sized.cut_at
    if level is None or usual is None or cut is None or not sized.cut_now or level < _NEAR_PLATEAU * cut:
        return escalate(found, sized)
    spread = max(sized.noise, (usual - level) / 1.645)  # the 95 % point of the normal law
    longest = max(len(one.points) for one in found.series)
    if spread > _CALM * cut or longest < _FEWEST_OF_PLATEAU:
        return escalate(found, sized)  # a way up is no plateau
    excursion = max(cut - level, 0)
    room = max(_EXCURSIONS * excursion, _DEVIATIONS * spread)
    wanted = max(level + room, _NO_LESS * cut)
    percents = found.surroundings.headroom_percent
    if percents is not None:
        wanted = max(cut * (1 + percents / 100), cut + 2 * spread)
    basis = (
        f"Demand stays at about {human_bytes(level)} with a spread of {human_bytes(spread)}; an excursion of "
        f"{human_bytes(excursion)} hit the limit of {human_bytes(cut)}. "
    )
    basis += f"{percents} % are added." if percents is not None else "Room for twice that excursion is enough."
    return Wish(wanted, max(cut + 2 * spread, 1.02 * cut), max(1.5 * cut, wanted), basis)


def _cut_asymptote(found: Features) -> Asymptote | None:
    """Return the asymptote of the killed life that saw most."""
    cut = [one for one in found.series if one.killed]
    longest = max(cut, key=lambda one: len(one.points), default=None)
    return None if longest is None else asymptote_of(longest.points)


def _filling(found: Features, sized: Sizing) -> Wish:
    cut, end = sized.cut_at, _cut_asymptote(found)
    if cut is None or not sized.cut_now:
        return escalate(found, sized)
    if found.pressure is not None and found.pressure.thrash and sized.needed_file:
        wish = escalate(found, sized)
        file = human_bytes(sized.needed_file)
        basis = f"Page cache that was dropped had to be read again: at least {file} of file pages are needed too. "
        return Wish(wish.limit, wish.low, wish.high, basis + wish.basis)
    if end is None or end.high is None or end.high > _FARTHEST_ASYMPTOTE * cut or end.level < sized.highest:
        wish = escalate(found, sized)
        return Wish(wish.limit, wish.low, wish.high, f"{wish.basis} Where it would come to rest is not clear yet.")
    more = margin(found)
    wanted = max(more * end.level, end.high, _NO_LESS * cut)
    basis = (
        f"It fills up ever more slowly and would come to rest at about {human_bytes(end.level)} (95 % range "
        f"{human_bytes(end.low)} to {human_bytes(end.high)}), beyond the limit of {human_bytes(cut)}; "
        f"{percent(more - 1)} are added. Or give what fills up a bound of its own. {_come_back(found)}"
    )
    return Wish(wanted, max(end.low, _NO_LESS * cut), max(more * end.high, wanted), basis)


def beside_heap(cap: int) -> int:
    """Return what a runtime needs beside a heap of this size at least, both in bytes."""
    return max(int(_BESIDE_HEAP * cap), _LEAST_BESIDE_HEAP)


def _heap(found: Features, sized: Sizing) -> Wish:
    """Size for the heap's cap and what the runtime needs beside it; a cap in percent grows with the limit."""
    facts, limit = found.runtime, sized.cut_at or found.limit
    if facts.heap_cap is None or limit is None or facts.cap_from is None or facts.cap_unknown:
        wish = escalate(found, sized)
        basis = f"How large the heap may become is not known: set its cap, with room beside it. {wish.basis}"
        return Wish(wish.limit, wish.low, wish.high, basis)
    cap = facts.heap_cap
    beside = max(sized.highest - cap, beside_heap(cap))
    wanted = max(cap + beside, _NO_LESS * limit)
    given = clamp(round_up(int(wanted)), found.surroundings).limit
    share = HEAP_SHARES.get(facts.runtime or Runtime.JVM, HEAP_SHARES[Runtime.JVM])
    basis = (
        f"The heap may grow to {human_bytes(cap)} ({facts.cap_from}), and code, stacks and buffers beside it need "
        f"about {human_bytes(beside)}: heap and these together are the limit. "
    )
    if given < cap + beside:
        basis += f"As no more than {human_bytes(given)} may be given, lower the heap's cap to {percent(share)} of it."
    elif "ercent" in facts.cap_from or facts.cap_from == "default":
        basis += (
            f"A higher limit alone raises this heap too: set its cap to {human_bytes(cap)}, or {percent(cap / given)} "
            "of the new limit, at the same time."
        )
    else:
        basis += f"Or lower {facts.cap_from} to {human_bytes(share * limit)} and keep {human_bytes(limit)}."
    return Wish(wanted, max(cap * _NO_LESS, _NO_LESS * limit), max(cap + 2 * beside, wanted), basis)


def _huge_pages(found: Features, sized: Sizing) -> Wish:
    wish = escalate(found, sized)
    basis = f"Transparent huge pages hold more than the program asked for: turn them off for it first. {wish.basis}"
    return Wish(wish.limit, wish.low, wish.high, basis)


WISHES: dict[Mechanism | None, Callable[[Features, Sizing], Wish]] = {
    Mechanism.STARTUP_PEAK: _startup,
    Mechanism.BURST: _burst,
    Mechanism.NO_HEADROOM: _noisy_plateau,
    Mechanism.CACHE_ABOVE_LIMIT: _filling,
    Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT: _heap,
    Mechanism.HUGE_PAGE_BLOAT: _huge_pages,
}
"""Mechanisms that want more than a peak with a margin."""
