"""Whether a diagnosis is resolved: its workload changed since the last kill and then lived on quietly. Pure functions.

The condition `Resolved` is False from a kill on, Unknown once nothing of the workload runs as the killed container did
(another limit, image or revision), True after enough hours without a kill, and False again with the next kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memdiag.controller.metrics import Resolution
from memdiag.kube.memory_diagnosis import Condition, ConditionStatus, Kills
from memdiag.kube.pods import Container, Pod
from memdiag.model.quantity import format_bytes
from memdiag.model.report import from_rfc3339, rfc3339

RESOLVED = "Resolved"
KILLED = "Killed"
CHANGED = "WorkloadChanged"
QUIET = "QuietSinceChange"
_ENDED = ("Failed",)


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be changed about a container; None where there is none, or it is not known any more."""

    limit: str | None
    image: str | None
    revision: str | None


def facts_of(pod: Pod, container: Container) -> Facts:
    """Return how a container runs now."""
    limit = None if container.limit is None else format_bytes(container.limit)
    return Facts(limit, container.image, pod.revision)


def counts(pod: Pod) -> bool:
    """Say whether a pod tells how its workload runs now: one that is being ended or failed does not."""
    return not pod.deleting and pod.phase not in _ENDED


def change(killed: Facts, pods: Sequence[Pod], container: str) -> str | None:
    """Return what changed since the kill, None while any pod's container runs as the killed one did, or none runs."""
    if not pods:
        return None
    said: dict[str, None] = {}
    for pod in pods:
        own = next((one for one in pod.containers if one.name == container), None)
        if own is None:
            said["the container is no part of the pods any more"] = None
            continue
        differences = _differences(killed, facts_of(pod, own))
        if not differences:
            return None
        said.update(dict.fromkeys(differences))
    return ", ".join(said)


def _differences(killed: Facts, now: Facts) -> list[str]:
    found = []
    if killed.limit != now.limit:
        found.append(f"limit {killed.limit or 'none'} → {now.limit or 'none'}")
    if killed.image is not None and killed.image != now.image:
        found.append(f"image {killed.image} → {now.image}")
    if killed.revision is not None and killed.revision != now.revision:
        found.append(f"revision {killed.revision} → {now.revision or 'none'}")
    return found


def after_kills(before: Condition | None, kills: Kills) -> tuple[str, ConditionStatus, str, str]:
    """Return type, status, reason and message of the condition when a diagnosis is written."""
    if kills.total == 0 or kills.last_time is None:
        return RESOLVED, ConditionStatus.UNKNOWN, "NoKill", "There is nothing to resolve."
    if before is not None and before.reason in (CHANGED, QUIET):
        if from_rfc3339(kills.last_time) <= from_rfc3339(before.last_transition_time):
            return RESOLVED, before.status, before.reason, before.message
        if before.status is ConditionStatus.TRUE:
            return RESOLVED, ConditionStatus.FALSE, KILLED, "Killed again after it was resolved."
    message = "The container was killed and nothing shows it was mended."
    return RESOLVED, ConditionStatus.FALSE, KILLED, message


def reopened(before: Sequence[Condition], after: Sequence[Condition]) -> bool:
    """Say whether a resolved diagnosis became an open one."""
    was, now = of(before), of(after)
    return was is not None and was.status is ConditionStatus.TRUE and now is not None and now.status is not was.status


def of(conditions: Sequence[Condition]) -> Condition | None:
    """Return the condition, None when there is none."""
    return next((one for one in conditions if one.type == RESOLVED), None)


def advance(
    before: Condition, changed: str | None, *, last_kill: float, quiet: float, now: float
) -> tuple[Condition, Resolution] | None:
    """Return the next condition and how it changed, None when it stays.

    `changed` is what `change` found in pods that live; times are Unix seconds, `quiet` is seconds.
    """
    if before.reason == KILLED and changed is not None:
        text = f"Changed since the last kill: {changed}. Resolved after {quiet / 3600:g} hours without a kill."
        return _turned(before, ConditionStatus.UNKNOWN, CHANGED, text, now), Resolution.CHANGED
    if before.reason != CHANGED:
        return None
    if changed is None:
        text = "The container was killed, and what had been changed since then is as it was again."
        return _turned(before, ConditionStatus.FALSE, KILLED, text, now), Resolution.UNDONE
    if now - max(from_rfc3339(before.last_transition_time), last_kill) >= quiet:
        text = f"No kill for {quiet / 3600:g} hours since it changed: {changed}."
        return _turned(before, ConditionStatus.TRUE, QUIET, text, now), Resolution.RESOLVED
    return None


def _turned(before: Condition, status: ConditionStatus, reason: str, message: str, now: float) -> Condition:
    update = {"status": status, "reason": reason, "message": message[:1024], "last_transition_time": rfc3339(now)}
    return before.model_copy(update=update)
