"""The verdict: first which kill it was, then which cause the evidence supports, or that it supports none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memdiag.diagnosis import recommendation, summary
from memdiag.diagnosis.advice import next_steps
from memdiag.diagnosis.causes import MECHANISMS
from memdiag.diagnosis.evidence import missing, observe, weigh
from memdiag.diagnosis.features import Features, measure
from memdiag.diagnosis.hiding import MANY_SAMPLES, may_hide_leak
from memdiag.diagnosis.settling import settle
from memdiag.diagnosis.sizing import hit_pods_limit
from memdiag.diagnosis.weights import CANDIDATES, WEIGHTS, Weights
from memdiag.diagnosis.which_kill import EVICTED, UPSTREAM, Kill
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Cause, Diagnosis, Evidence, Suspicion

LEAST_CONFIDENCE = {Cause.LEAK: 0.75, Cause.GROWTH: 0.6, Cause.UNDERESTIMATED_LIMIT: 0.6}
"""Probability at which a cause is a verdict; below it the verdict is Inconclusive."""
LEAST_OF_FEW_SAMPLES = 0.85
"""The same for a leak that few samples saw: a start that nobody survives rises alike."""
LEAST_BESIDE_LARGE_HEAP = {"told": 0.95, "default": 0.92}
"""The same for a leak where the heap may pass the limit, as it was told or by default: garbage rises alike."""
LEAST_SUSPICION = 0.5
"""Probability at which a living container is suspected of something."""

_AT_THE_LIMIT = 0.9
_NEVER_SURER = 0.98
_COST_OF_A_DOUBT = 0.04


@dataclass(frozen=True, slots=True)
class _Choice:
    cause: Cause
    confidence: float
    enough: bool


def _least(found: Features, cause: Cause) -> float:
    """Return how likely a cause must be to be a verdict."""
    least = LEAST_CONFIDENCE[cause]
    if cause is not Cause.LEAK:
        return least
    if found.samples < MANY_SAMPLES:
        least = LEAST_OF_FEW_SAMPLES
    if found.runtime.cap_above_limit:
        least = LEAST_BESIDE_LARGE_HEAP["told" if found.runtime.cap_told else "default"]
    return least


def _of_no_limit(found: Features) -> bool:
    """Say whether no limit is known to have been hit that is too low for what this container holds."""
    unknown = found.limitless and found.kill is not None and found.kill.limit_hit is LimitHit.UNKNOWN
    return unknown or (found.limit is not None and hit_pods_limit(found))


def _choose(found: Features, weights: Weights) -> tuple[_Choice, tuple[Evidence, ...]]:
    """Return the likeliest cause, how likely it is and whether that is enough for a verdict; and the evidence."""
    observed = observe(found)
    evidence = weigh(observed, weights)
    scores = {cause: math.fsum(e.weight for e in evidence if e.cause is cause) for cause in CANDIDATES}
    highest = max(scores.values())
    odds = {cause: math.exp(score - highest) for cause, score in scores.items()}
    chances = {cause: share / sum(odds.values()) for cause, share in odds.items()}
    first = max(CANDIDATES, key=lambda cause: chances[cause])
    doubts = (found.limit is None) + any(not one.whole for one in found.series)
    doubts += found.kill is not None and not found.kill.certain
    confidence = min(_NEVER_SURER, chances[first]) * (1 - _COST_OF_A_DOUBT * doubts)
    enough = confidence >= _least(found, first)
    if enough and first is Cause.UNDERESTIMATED_LIMIT:
        enough = not may_hide_leak(found, {one.name: one.strength for one in observed}, chances[Cause.LEAK])
        enough = enough and not _of_no_limit(found)
    return _Choice(first, confidence, enough), evidence


def _of_the_kill(kill: Kill) -> tuple[Cause, float, Evidence] | None:
    """Return the verdict that the kill alone already gives, None when the container's own limit was hit."""
    if kill.evicted:
        cause, text = Cause.NODE_PRESSURE, "The kubelet evicted the pod: the node was short of memory."
        return cause, 0.9, Evidence("evicted", cause, EVICTED, None, 3.0, text)
    if kill.kernel is False:
        cause, text = Cause.NOT_KERNEL_OOM, f"There was no OOM kill behind exit code {kill.exit_code}: {kill.words}."
        return cause, 0.95, Evidence("kernel_kill", cause, "none", "an OOM kill", 3.0, text)
    if kill.limit_hit in UPSTREAM:
        cause = Cause.NODE_PRESSURE
        where = "the node" if kill.limit_hit is LimitHit.NODE else "a cgroup above the pod"
        text = f"The limit that was hit is that of {where}, by {kill.words}."
        weight = 3.0 if kill.certain else 1.2
        return (
            cause,
            0.95 if kill.certain else 0.7,
            Evidence("limit_hit", cause, kill.limit_hit.value, None, weight, text),
        )
    return None


def _verdict(found: Features, cause: Cause, confidence: float, evidence: Sequence[Evidence]) -> Diagnosis:
    advice = recommendation.ADVICE[cause](found)
    mechanism = MECHANISMS[cause](found)
    return Diagnosis(
        cause=cause,
        mechanism=mechanism,
        confidence=round(confidence, 3),
        summary=summary.SENTENCES[cause](found, advice),
        evidence=tuple(evidence),
        missing=missing(found),
        recommendation=advice,
        forecast=recommendation.forecast(found),
        next_steps=next_steps(found, cause, mechanism),
        would_settle=settle(found, cause, confidence),
    )


def _without_kill(found: Features, weights: Weights) -> Diagnosis:
    choice, evidence = _choose(found, weights)
    pressed = found.pressure is not None and bool(found.pressure.limit_hits or found.pressure.thrash)
    at_limit = found.limit is not None and found.highest >= _AT_THE_LIMIT * found.limit and pressed
    worrying = choice.confidence >= LEAST_SUSPICION and (choice.cause is not Cause.UNDERESTIMATED_LIMIT or at_limit)
    suspicion = (
        Suspicion(choice.cause, MECHANISMS[choice.cause](found), round(choice.confidence, 3)) if worrying else None
    )
    advice = recommendation.no_kill(found, suspected=suspicion is not None)
    return Diagnosis(
        cause=None,
        mechanism=None,
        confidence=0.0,
        summary=summary.no_kill(found, suspicion, advice),
        evidence=evidence,
        missing=missing(found),
        recommendation=advice,
        forecast=recommendation.forecast(found),
        suspicion=suspicion,
        next_steps=() if suspicion is None else next_steps(found, suspicion.cause, suspicion.mechanism),
        would_settle=() if suspicion is None else settle(found, None, choice.confidence),
    )


def diagnose(
    trace: Trace,
    siblings: Sequence[Trace] = (),
    *,
    limit_hit: LimitHit | None = None,
    surroundings: Surroundings | None = None,
    weights: Weights = WEIGHTS,
) -> Diagnosis:
    """Return why the newest kill of a trace happened and what to do about it.

    `siblings` are traces of other replicas of the same workload and container; `limit_hit` is whose limit was hit,
    where the caller knows it from the kernel's report; `surroundings` bound the recommendation. `weights`
    are the fitted ones unless somebody measures how well others do. A trace without a kill has cause None, and a
    suspicion when its shape suggests a cause.
    """
    found = measure(trace, siblings, limit_hit, surroundings or Surroundings())
    kill = found.kill
    if kill is None:
        return _without_kill(found, weights)
    known = _of_the_kill(kill)
    if known is not None:
        cause, confidence, piece = known
        return _verdict(found, cause, confidence, [piece])
    choice, evidence = _choose(found, weights)
    if not choice.enough or kill.kernel is None:
        return _verdict(found, Cause.INCONCLUSIVE, 1 - choice.confidence, evidence)
    return _verdict(found, choice.cause, choice.confidence, evidence)
