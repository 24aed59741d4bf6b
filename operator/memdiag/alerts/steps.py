"""What people are to be told next: by comparing what is so with what they were told last. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memdiag.model.occasion import Occasion, Severity
from memdiag.model.verdict import Cause, Mechanism

CRITICAL_KILLS = 5
"""So many kills within an hour make a diagnosis critical."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class State:
    """What is so, or what people were told."""

    cause: Cause
    severity: Severity
    resolved: bool
    kills: int
    """Since memdiag was installed."""


def severity(cause: Cause, mechanism: Mechanism | None, kills: Iterable[tuple[float, int]]) -> Severity:
    """Return how loudly a diagnosis is announced. `kills` are the recent ones: Unix seconds, and how many each."""
    if cause is Cause.NOT_KERNEL_OOM:
        return Severity.INFO
    recent = list(kills)
    last = max((moment for moment, _ in recent), default=0.0)
    within = sum(count for moment, count in recent if last - moment <= _HOUR)
    node = mechanism is Mechanism.NODE_OVERCOMMIT
    return Severity.CRITICAL if node or within >= CRITICAL_KILLS else Severity.WARNING


def occasion(now: State, told: State | None) -> Occasion | None:
    """Return why a message is due, None when nothing is new but perhaps a count."""
    if told is None:
        return Occasion.KILLED if now.kills > 0 and not now.resolved else None
    if told.resolved:
        return Occasion.REOPENED if not now.resolved and now.kills > told.kills else None
    if now.resolved:
        return Occasion.RESOLVED
    if now.cause is not told.cause:
        return Occasion.CAUSE_CHANGED
    if now.severity.rank > told.severity.rank:
        return Occasion.ESCALATED
    return None


def counts_more(now: State, told: State | None) -> bool:
    """Say whether the first message counts fewer kills than there are."""
    return told is not None and now.kills > told.kills
