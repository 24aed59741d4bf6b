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
from memdiag.diagnosis.settling import settle
from memdiag.diagnosis.weights import CANDIDATES, WEIGHTS, Weights
from memdiag.diagnosis.which_kill import EVICTED, Kill
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Cause, Diagnosis, Evidence, Suspicion

LEAST_CONFIDENCE = {Cause.LEAK: 0.72, Cause.GROWTH: 0.6, Cause.UNDERESTIMATED_LIMIT: 0.6}
"""Probability at which a cause is a verdict; below it the verdict is Inconclusive."""
LEAST_OF_FEW_SAMPLES = 0.85
"""The same for a leak that few samples saw: a start that nobody survives rises alike."""
LEAST_BESIDE_LARGE_HEAP = 0.92
"""The same for a leak where the runtime's heap may pass the limit: garbage that nobody had to collect rises alike."""
MOST_LEAK_BESIDE_LOW = {"few samples": 0.03, "heap above the limit": 0.1, "one life": 0.1, "several lives": 0.2}
"""A low limit is no verdict while a leak is likelier than this, by what was seen: more memory only hides a leak."""
MOST_CLIMB_BESIDE_LOW = 0.3
"""Nor while the floor climbs all the time under the peaks, by so much weight for a leak."""
MOST_ADDED_BESIDE_LOW = 0.15
"""Nor while age adds more than this share of the way to the limit to what load explains, and nothing bounds it."""
LEAST_SUSPICION = 0.5
"""Probability at which a living container is suspected of something."""

_MANY_SAMPLES = 24
_AT_THE_LIMIT = 0.9
_NEVER_SURER = 0.98
_COST_OF_A_DOUBT = 0.04
_BOUNDED = 1.0
"""Weight for a low limit from which a rise is known to come to rest."""
_UPSTREAM = (LimitHit.NODE, LimitHit.ANCESTOR)


@dataclass(frozen=True, slots=True)
class _Choice:
    cause: Cause
    confidence: float
    enough: bool


def _seen(found: Features) -> str:
    if found.samples < _MANY_SAMPLES:
        return "few samples"
    if found.runtime.cap_above_limit:
        return "heap above the limit"  # a leak inside such a heap looks like its garbage
    return "one life" if found.restarts is None else "several lives"


def _weight(evidence: Sequence[Evidence], name: str, cause: Cause) -> float:
    return math.fsum(e.weight for e in evidence if e.name == name and e.cause is cause)


def _choose(found: Features, evidence: Sequence[Evidence]) -> _Choice:
    """Return the likeliest cause, how likely it is, and whether that is enough for a verdict."""
    scores = {cause: math.fsum(e.weight for e in evidence if e.cause is cause) for cause in CANDIDATES}
    highest = max(scores.values())
    odds = {cause: math.exp(score - highest) for cause, score in scores.items()}
    chances = {cause: share / sum(odds.values()) for cause, share in odds.items()}
    first = max(CANDIDATES, key=lambda cause: chances[cause])
    doubts = (found.limit is None) + any(not one.whole for one in found.series)
    doubts += found.kill is not None and not found.kill.certain
    confidence = min(_NEVER_SURER, chances[first]) * (1 - _COST_OF_A_DOUBT * doubts)
    likely = chances[Cause.LEAK] > MOST_LEAK_BESIDE_LOW[_seen(found)]
    climbs = _weight(evidence, "floor_climbs", Cause.LEAK) >= MOST_CLIMB_BESIDE_LOW
    bounded = _weight(evidence, "comes_to_rest", Cause.UNDERESTIMATED_LIMIT) >= _BOUNDED
    adds = found.added_by_age > MOST_ADDED_BESIDE_LOW and not bounded
    hides = first is Cause.UNDERESTIMATED_LIMIT and (likely or climbs or adds)
    least = LEAST_CONFIDENCE[first]
    if first is Cause.LEAK and found.samples < _MANY_SAMPLES:
        least = max(least, LEAST_OF_FEW_SAMPLES)
    if first is Cause.LEAK and found.runtime.cap_above_limit:
        least = max(least, LEAST_BESIDE_LARGE_HEAP)
    return _Choice(first, confidence, confidence >= least and not hides)


def _of_the_kill(kill: Kill) -> tuple[Cause, float, Evidence] | None:
    """Return the verdict that the kill alone already gives, None when the container's own limit was hit."""
    if kill.evicted:
        cause, text = Cause.NODE_PRESSURE, "The kubelet evicted the pod: the node was short of memory."
        return cause, 0.9, Evidence("evicted", cause, EVICTED, None, 3.0, text)
    if kill.kernel is False:
        cause, text = Cause.NOT_KERNEL_OOM, f"There was no OOM kill behind exit code {kill.exit_code}: {kill.words}."
        return cause, 0.95, Evidence("kernel_kill", cause, "none", "an OOM kill", 3.0, text)
    if kill.limit_hit in _UPSTREAM:
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
    evidence = weigh(observe(found), weights)
    choice = _choose(found, evidence)
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
    evidence = weigh(observe(found), weights)
    choice = _choose(found, evidence)
    if not choice.enough or kill.kernel is None:
        return _verdict(found, Cause.INCONCLUSIVE, 1 - choice.confidence, evidence)
    return _verdict(found, choice.cause, choice.confidence, evidence)
