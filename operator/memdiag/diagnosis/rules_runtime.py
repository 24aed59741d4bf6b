"""Rules about the runtime: a heap that may be larger than the limit, one that is capped below it, one that is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memdiag.diagnosis.features import Features
from memdiag.diagnosis.load import CPU_TIME
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.runtime import Runtime
from memdiag.diagnosis.words import human_bytes

_FILL_THEIR_HEAP = (Runtime.JVM, Runtime.DOTNET)
"""Runtimes that collect late while their heap may still grow: garbage alone fills what they are allowed."""


def heap(found: Features) -> Iterator[Observation]:
    """Tell whether garbage alone could have filled the limit, by what the heap is allowed."""
    facts = found.runtime
    if not found.rising or facts.runtime not in _FILL_THEIR_HEAP:
        return
    name, cap = facts.runtime.value, facts.heap_cap
    if facts.cap_unknown or cap is None:
        text = (
            f"The heap settings of the {name} are not known: a heap larger than the limit fills it with garbage alone."
        )
        yield Observation("heap_unknown", 1.0, name, None, text)
    elif facts.cap_above_limit:
        text = f"The {name} may let its heap grow to {human_bytes(cap)}: garbage alone fills the limit."
        yield Observation("heap_above_limit", 1.0, cap, found.limit, text)
    else:
        text = (
            f"The heap of the {name} is capped at {human_bytes(cap)}, below the limit: what rose beyond is outside it."
        )
        yield Observation("heap_below_limit", ramp(cap / found.scale, 0.9, 0.6), cap, found.limit, text)


def runtime_cap(found: Features) -> Iterator[Observation]:
    """Memory stands level near the limit while CPU time climbs: a full heap that its collector fights for."""
    load = found.load
    if load is None or load.signal != CPU_TIME or not found.flat or not found.shapes:
        return
    near = found.typical(lambda shape: shape.base / shape.limit)
    text = f"CPU time climbed {load.grew:.1f} times while memory stayed level near the limit, as before a full heap."
    yield Observation("runtime_cap", ramp(load.grew, 1.6, 3.0) * ramp(near, 0.65, 0.8), load.grew, 1.6, text)


RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (heap, runtime_cap)
