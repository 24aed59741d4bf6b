"""Clamps: from the size that the evidence asks for to a limit and request that may be set, and who held them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.sizing import Sizing
from memdiag.diagnosis.words import duration, human_bytes, name, percent
from memdiag.model.quantity import MEBIBYTE, round_down, round_up
from memdiag.model.surroundings import Bound, Surroundings
from memdiag.model.verdict import Action, Recommendation

NO_NEWS = 0.1
"""A limit that differs less from the present one is not worth a restart."""
CLEAN_SECONDS = 7 * 86400.0
"""A week has seen every weekday: until then no limit goes down again."""
_MOST_BOUNDS = 16
_TO_TRY = 1.5


@dataclass(frozen=True, slots=True)
class Wish:
    """What the evidence asks for, before anybody clamps it: bytes and the words for them."""

    limit: float
    low: float
    high: float
    basis: str
    request: int | None = None
    """Level that the request should cover; None leaves the request as it is."""


@dataclass(frozen=True, slots=True)
class Clamped:
    """A limit that may be set, and who made it so."""

    limit: int
    clamps: tuple[str, ...]
    most: int | None
    """The least of all upper bounds."""


def _known(surroundings: Surroundings) -> tuple[Bound, ...]:
    return surroundings.bounds[:_MOST_BOUNDS]


def _whole(count: int) -> int:
    """Return somebody's own upper bound as a quantity to write: whole MiB as it is, else rounded down."""
    return count if count % MEBIBYTE == 0 or count < MEBIBYTE else round_down(count)


def clamp(limit: int, surroundings: Surroundings) -> Clamped:
    """Return a limit within everybody's bounds; an upper bound wins over a lower one."""
    clamps: list[str] = []
    bounds = _known(surroundings)
    lower = max((b for b in bounds if b.least is not None), key=lambda b: b.least or 0, default=None)
    upper = min((b for b in bounds if b.most is not None), key=lambda b: b.most or 0, default=None)
    if lower is not None and lower.least is not None and limit < lower.least:
        raised = round_up(lower.least)
        least = human_bytes(lower.least)
        words = f"Raised from {human_bytes(limit)} to {human_bytes(raised)}"
        clamps.append(f"{words}: {name(lower.source)} allows no less than {least}.")
        limit = raised
    most = None if upper is None or upper.most is None else _whole(upper.most)
    if upper is not None and most is not None and limit > most:
        clamps.append(
            f"Held down from {human_bytes(limit)} to {human_bytes(most)}: {name(upper.source)} allows no more."
        )
        limit = most
    return Clamped(limit, tuple(clamps), most)


def for_a_time(found: Features) -> int | None:
    """Return half as much again as the present limit; None where that is not known or bounds allow hardly more."""
    if found.limit is None:
        return None
    limit = clamp(round_up(int(_TO_TRY * found.limit)), found.surroundings).limit
    return limit if limit >= (1 + NO_NEWS) * found.limit else None


def is_guaranteed(found: Features) -> bool:
    """Say whether request and limit are equal, so that the QoS class hangs on their staying so."""
    request = found.trace.request_bytes
    return request is not None and request in (found.trace.limit_bytes, found.limit)


def request_for(found: Features, limit: int, wanted: int | None) -> tuple[int | None, tuple[str, ...]]:
    """Return the request to go with a limit, and who clamped it: equal stays equal, and never above the limit.

    None when the present request is not known.
    """
    present = found.trace.request_bytes
    if present is None:
        return None, ()
    if is_guaranteed(found):
        return limit, ()
    request = min(present if wanted is None else round_up(wanted), limit)
    ratios = [b for b in _known(found.surroundings) if b.most_ratio is not None and b.most_ratio >= 1]
    strictest = min(ratios, key=lambda b: b.most_ratio or 0, default=None)
    if strictest is None or strictest.most_ratio is None or limit <= strictest.most_ratio * request:
        return request, ()
    least = min(round_up(-int(-limit // strictest.most_ratio)), limit)
    text = (
        f"Request raised from {human_bytes(request)} to {human_bytes(least)}: {name(strictest.source)} allows a limit "
        f"of at most {strictest.most_ratio:.2g} times the request."
    )
    return least, (text,)


def _others(surroundings: Surroundings) -> list[str]:
    """Return who would undo or be moved by a new limit."""
    found: list[str] = []
    if surroundings.limit_owner is not None:
        owner = name(surroundings.limit_owner)
        found.append(f"{owner} sets this limit and would overwrite what is set by hand: change it there.")
    if surroundings.scales_on_memory is not None:
        found.append(
            f"HorizontalPodAutoscaler {name(surroundings.scales_on_memory)} scales on this container's memory: it "
            "compares use with the request, so a new request or level of use changes the number of replicas."
        )
    return found


def _too_low(sized: Sizing, limit: int, clamped: bool) -> list[str]:
    if not clamped or limit >= sized.floor:
        return []
    text = (
        f"{human_bytes(limit)} is less than the demand of {human_bytes(sized.floor)} that was seen: the container "
        "will be killed again unless the bound is raised or its demand falls."
    )
    return [text]


def keep(found: Features, basis: str, *, clamps: Sequence[str] = (), warnings: Sequence[str] = ()) -> Recommendation:
    """Return the advice to leave the limit as it is."""
    return Recommendation(
        Action.KEEP_LIMIT, found.limit, None, None, basis, clamps=tuple(clamps), warnings=tuple(warnings)
    )


def _set(found: Features, sized: Sizing, wish: Wish, clamped: Clamped, action: Action) -> Recommendation:
    limit = clamped.limit
    request, ratio = request_for(found, limit, wish.request)
    low, high = round_up(max(int(wish.low), sized.floor)), round_up(max(int(wish.high), sized.floor))
    if clamped.most is not None:
        low, high = min(low, clamped.most), min(high, clamped.most)
    return Recommendation(
        action,
        limit,
        request,
        (min(low, limit), max(high, limit)),
        wish.basis,
        clamps=clamped.clamps + ratio,
        warnings=(*_too_low(sized, limit, bool(clamped.clamps)), *_others(found.surroundings)),
    )


def settle(found: Features, sized: Sizing, wish: Wish) -> Recommendation:
    """Return the wish as a recommendation: rounded, never below what was seen, clamped, and only when it is news."""
    wanted = round_up(max(int(wish.limit), sized.floor))
    clamped = clamp(wanted, found.surroundings)
    present = found.limit
    if present is None:
        return _set(found, sized, wish, clamped, Action.RAISE_LIMIT)
    if clamped.limit < wanted and clamped.limit <= present and sized.floor >= min(clamped.limit, present):
        basis = f"{wish.basis} The present limit of {human_bytes(present)} cannot be raised."
        warnings = (*_too_low(sized, clamped.limit, True), *_others(found.surroundings))
        return keep(found, basis, clamps=clamped.clamps, warnings=warnings)
    if not sized.cut_now and abs(clamped.limit - present) <= NO_NEWS * present:
        basis = (
            f"{wish.basis} That is {human_bytes(clamped.limit)}, within {percent(NO_NEWS)} of the present limit of "
            f"{human_bytes(present)}, which holds: no need to change it."
        )
        return keep(found, basis, clamps=clamped.clamps)
    if clamped.limit >= present:
        return _set(found, sized, wish, clamped, Action.RAISE_LIMIT)
    if sized.clean_seconds < CLEAN_SECONDS:
        basis = (
            f"{wish.basis} The present limit of {human_bytes(present)} has held for {duration(sized.clean_seconds)}; "
            f"after {duration(CLEAN_SECONDS)} without a kill it can come down to {human_bytes(clamped.limit)}."
        )
        return keep(found, basis, clamps=clamped.clamps)
    return _set(found, sized, wish, clamped, Action.LOWER_LIMIT)
