"""The verdict: first which kill it was, then which cause the evidence supports, or that it supports none."""

from __future__ import annotations

from collections.abc import Sequence

from memdiag.diagnosis import recommendation, summary
from memdiag.diagnosis.advice import next_steps
from memdiag.diagnosis.causes import MECHANISMS
from memdiag.diagnosis.evidence import CANDIDATES, missing, weigh
from memdiag.diagnosis.features import Features, measure
from memdiag.diagnosis.numbers import logistic
from memdiag.diagnosis.settling import settle
from memdiag.diagnosis.which_kill import Kill
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Cause, Diagnosis, Evidence, Suspicion

LEAST_SCORE = 1.2
LEAST_MARGIN = 1.0
"""Log-odds by which a cause must stand out, and be ahead of the next: below it the verdict is Inconclusive."""

_STEEPNESS = 0.8
_COST_OF_A_GAP = 0.03
_NEVER_SURER = 0.97
_UPSTREAM = (LimitHit.NODE, LimitHit.ANCESTOR)


def _choose(evidence: Sequence[Evidence], gaps: int) -> tuple[Cause, float, bool]:
    """Return the cause that is ahead, its confidence, and whether that is enough for a verdict."""
    scores = {cause: sum(e.weight for e in evidence if e.cause is cause) for cause in CANDIDATES}
    first, second = sorted(scores, key=lambda cause: -scores[cause])[:2]
    margin = scores[first] - max(scores[second], 0.0)
    confidence = logistic(_STEEPNESS * margin) * (1 - _COST_OF_A_GAP * gaps)
    enough = scores[first] >= LEAST_SCORE and margin >= LEAST_MARGIN
    return first, max(0.0, min(_NEVER_SURER, confidence)), enough


def _of_the_kill(kill: Kill) -> tuple[Cause, float, Evidence] | None:
    """Return the verdict that the kill alone already gives, None when the container's own limit was hit."""
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


def _without_kill(found: Features) -> Diagnosis:
    evidence = weigh(found) if found.shapes else ()
    gaps = missing(found)
    cause, confidence, enough = _choose(evidence, len(gaps))
    near = found.limit is not None and found.highest >= 0.8 * found.limit
    worrying = enough and (cause is not Cause.UNDERESTIMATED_LIMIT or near)
    suspicion = Suspicion(cause, MECHANISMS[cause](found), round(confidence, 3)) if worrying else None
    return Diagnosis(
        cause=None,
        mechanism=None,
        confidence=0.0,
        summary=summary.no_kill(found, suspicion),
        evidence=evidence,
        missing=gaps,
        recommendation=recommendation.no_kill(found),
        forecast=recommendation.forecast(found),
        suspicion=suspicion,
        next_steps=() if suspicion is None else next_steps(found, suspicion.cause, suspicion.mechanism),
        would_settle=() if suspicion is None else settle(found, None, confidence),
    )


def diagnose(
    trace: Trace,
    siblings: Sequence[Trace] = (),
    *,
    limit_hit: LimitHit | None = None,
    surroundings: Surroundings | None = None,
) -> Diagnosis:
    """Return why the newest kill of a trace happened and what to do about it.

    `siblings` are traces of other replicas of the same workload and container; `limit_hit` is whose limit was hit,
    where the caller knows it from the kernel's report; `surroundings` bound the recommendation. A trace without a kill
    has cause None, and a suspicion when its shape suggests a cause.
    """
    found = measure(trace, siblings, limit_hit, surroundings or Surroundings())
    kill = found.kill
    if kill is None:
        return _without_kill(found)
    known = _of_the_kill(kill)
    if known is not None:
        cause, confidence, piece = known
        return _verdict(found, cause, confidence, [piece])
    evidence = weigh(found) if found.shapes else ()
    cause, confidence, enough = _choose(evidence, len(missing(found)))
    if not enough or kill.kernel is None:
        doubt = 1 - confidence if evidence else 1.0
        return _verdict(found, Cause.INCONCLUSIVE, doubt, evidence)
    return _verdict(found, cause, confidence, evidence)
