"""Evidence: what the rules observed, weighed for and against each cause; and what was missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from memdiag.diagnosis import rules_class, rules_function, rules_restart, rules_runtime, rules_shape
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.rules_function import LEVEL_LOAD
from memdiag.diagnosis.weights import CANDIDATES, Weights
from memdiag.model.verdict import Evidence

_FEW_SAMPLES = 4
_FULL_SAMPLES = 20
_LEAST_WEIGHT = 0.02

RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (
    *rules_function.RULES,
    *rules_shape.RULES,
    *rules_restart.RULES,
    *rules_runtime.RULES,
    *rules_class.RULES,
)


def observe(found: Features) -> tuple[Observation, ...]:
    """Return what every rule saw; few samples make it weaker."""
    if not found.shapes:
        return ()
    killed = ramp(found.samples, _FEW_SAMPLES, _FULL_SAMPLES)
    longest = ramp(max(shape.samples for shape in found.all_shapes), _FEW_SAMPLES, _FULL_SAMPLES)
    observed = (
        replace(seen, strength=seen.strength * (longest if seen.of_all else killed))
        for rule in RULES
        for seen in rule(found)
    )
    return tuple(seen for seen in observed if seen.strength > 0)


def weigh(observations: Iterable[Observation], weights: Weights) -> tuple[Evidence, ...]:
    """Return one piece of evidence for each cause that an observation speaks for or against, strongest first."""
    pieces: list[Evidence] = []
    for seen in observations:
        value = round(seen.value, 4) if isinstance(seen.value, float) else seen.value
        for cause, weight in zip(CANDIDATES, weights[seen.name], strict=True):
            counted = round(seen.strength * weight, 3)
            if abs(counted) >= _LEAST_WEIGHT:
                pieces.append(Evidence(seen.name, cause, value, seen.threshold, counted, seen.statement))
    return tuple(sorted(pieces, key=lambda piece: -abs(piece.weight)))


def missing(found: Features) -> tuple[str, ...]:
    """Return what was not known and would have helped, each with what would settle it."""
    load = found.load
    together = load is not None and load.grew > LEVEL_LOAD and abs(load.collinear) >= 0.85
    few = f"more samples: the longest run has {found.samples}, and {_FULL_SAMPLES} make a shape"
    gaps: tuple[tuple[bool, str], ...] = (
        (found.limit is None and not found.limitless, "the container's memory limit"),
        (
            found.kill is not None and not found.kill.certain,
            "whose limit was hit, as the kernel's log or memory.events of the pod would tell",
        ),
        (
            not found.all_shapes,
            "samples of memory before the kill: the run was too short or not watched; the next run will tell",
        ),
        (bool(found.all_shapes) and found.samples < _FULL_SAMPLES, few),
        (
            any(not one.whole for one in found.series),
            "memory.stat: memory.current stood in for demand and may hold page cache",
        ),
        (
            bool(found.all_shapes) and load is None,
            "load: cpu.stat or network counters would tell growth of load from growth with age",
        ),
        (
            found.runtime.cap_unknown,
            "the heap settings of the runtime: a heap that may grow beyond the limit fills it as well",
        ),
        (
            found.rising and found.restarts is None,
            "a second run: whether a restart makes memory small again tells a leak from growth",
        ),
        (
            found.rising and together and found.restarts is None,
            "a time in which load falls: so far load and age rose together",
        ),
        (bool(found.shapes) and not found.shapes[-1].series.start_seen, "the start of the run"),
    )
    return tuple(text for absent, text in gaps if absent)
