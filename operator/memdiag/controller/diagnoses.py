"""From a verdict to the status of a MemoryDiagnosis. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from memdiag.controller import resolution
from memdiag.controller.traces import Incident
from memdiag.kube.memory_diagnosis import (
    LONGEST_PATCH,
    MOST_CLAMPS,
    MOST_EVIDENCE,
    MOST_MISSING,
    MOST_STEPS,
    MOST_WARNINGS,
    Condition,
    ConditionStatus,
    Evidence,
    Kills,
    MemoryDiagnosisSpec,
    MemoryDiagnosisStatus,
    Range,
    Recommendation,
    StopGap,
)
from memdiag.kube.memory_incident import Role
from memdiag.model import verdict
from memdiag.model.quantity import format_bytes
from memdiag.model.report import rfc3339
from memdiag.model.verdict import Action, Cause

_OLD = " The last kill is older than memdiag's installation."
TEMPLATES: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where a workload keeps its pod template; a Job's cannot be changed."""
_WORDS = {
    Action.FIX_LEAK: "fix leak",
    Action.KEEP_LIMIT: "keep",
    Action.MOVE_OR_ADD_MEMORY: "add node memory",
    Action.NONE: "-",
}


def _number(value: float | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else value[:64]
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**63 else f"{value:.6g}"


def _quantity(count: int | None) -> str | None:
    return None if count is None else format_bytes(count)


def merge_patch(
    spec: MemoryDiagnosisSpec, role: Role | None, limit: int | None, request: int | None
) -> dict[str, Any] | None:
    """Return the strategic merge patch of the workload that sets the limit, None where there is none to give."""
    way = TEMPLATES.get(spec.target_ref.kind)
    if way is None or limit is None or role is Role.EPHEMERAL:
        return None
    resources: dict[str, Any] = {"limits": {"memory": format_bytes(limit)}}
    if request is not None:
        resources["requests"] = {"memory": format_bytes(request)}
    which = "initContainers" if role in {Role.INIT, Role.SIDECAR} else "containers"
    patch: dict[str, Any] = {"spec": {which: [{"name": spec.container, "resources": resources}]}}
    for word in reversed(way):
        patch = {word: patch}
    return patch


def recommendation(advice: verdict.Recommendation, spec: MemoryDiagnosisSpec, role: Role | None) -> Recommendation:
    """Return the verdict's advice as the object holds it."""
    patch = None
    if advice.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT}:
        patch = merge_patch(spec, role, advice.limit_bytes, advice.request_bytes)
    text = None if patch is None else json.dumps(patch, separators=(",", ":"))
    return Recommendation(
        action=advice.action,
        limit=_quantity(advice.limit_bytes),
        request=_quantity(advice.request_bytes),
        range=None
        if advice.range_bytes is None
        else Range(low=format_bytes(advice.range_bytes[0]), high=format_bytes(advice.range_bytes[1])),
        basis=advice.basis[:512],
        stop_gap=None
        if advice.stop_gap is None
        else StopGap(
            limit=format_bytes(advice.stop_gap.limit_bytes), uptime_seconds=round(advice.stop_gap.uptime_seconds)
        ),
        clamps=tuple(sentence[:512] for sentence in advice.clamps[:MOST_CLAMPS]),
        warnings=tuple(sentence[:512] for sentence in advice.warnings[:MOST_WARNINGS]),
        patch=text if text is not None and len(text) <= LONGEST_PATCH else None,
    )


def recommended(advice: verdict.Recommendation) -> str:
    """Return the text of the RECOMMENDED column."""
    if advice.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT} and advice.limit_bytes is not None:
        return format_bytes(advice.limit_bytes)
    return _WORDS.get(advice.action, "-")


def conditions(
    before: Sequence[Condition], found: verdict.Diagnosis | None, kills: Kills, generation: int | None, now: float
) -> tuple[Condition, ...]:
    """Return the four conditions; one whose status stays keeps the time of its last change."""
    settled = found is not None and found.cause not in {None, Cause.INCONCLUSIVE}
    missing = () if found is None else found.missing
    alerted = next((old for old in before if old.type == "Alerted"), None)
    wanted = [
        ("Diagnosed", ConditionStatus.TRUE, str(found.cause), found.summary)
        if found is not None and settled
        else (
            "Diagnosed",
            ConditionStatus.FALSE,
            "NoKill" if found is None or found.cause is None else "Inconclusive",
            "No kill of this container is known yet." if found is None else found.summary,
        ),
        ("EvidenceComplete", ConditionStatus.UNKNOWN, "NoKill", "There is no kill to have evidence of.")
        if found is None
        else ("EvidenceComplete", ConditionStatus.FALSE, "EvidenceMissing", "Missing: " + "; ".join(missing))
        if missing
        else ("EvidenceComplete", ConditionStatus.TRUE, "AllSeen", "All evidence that the verdict asks for was seen."),
        ("Alerted", alerted.status, alerted.reason, alerted.message)
        if alerted is not None
        else ("Alerted", ConditionStatus.FALSE, "NotSent", "No alert was sent."),
        resolution.after_kills(resolution.of(before), kills),
    ]
    times = {(old.type, old.status): old.last_transition_time for old in before}
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:1024],
            last_transition_time=times.get((kind, status), rfc3339(now)),
            observed_generation=generation,
        )
        for kind, status, reason, message in wanted
    )


def status(
    before: MemoryDiagnosisStatus,
    spec: MemoryDiagnosisSpec,
    *,
    generation: int | None,
    incidents: Sequence[Incident],
    kills: Kills,
    found: verdict.Diagnosis | None,
    now: float,
) -> MemoryDiagnosisStatus:
    """Return the status that says the verdict; without one (no incident is left or was ever made) the old one stays."""
    if found is None:
        kept = (
            before.conditions
            if before.cause is not None
            else conditions(before.conditions, None, kills, generation, now)
        )
        return before.model_copy(update={"observed_generation": generation, "kills": kills, "conditions": kept})
    newest = max(incidents, key=lambda incident: incident.when).spec if incidents else None
    old = newest is not None and newest.found_before_install
    summary = found.summary[: 1024 - len(_OLD)] + _OLD if old else found.summary
    return MemoryDiagnosisStatus(
        observed_generation=generation,
        kills=kills,
        alert=before.alert,
        conditions=conditions(before.conditions, found, kills, generation, now),
        cause=found.cause,
        mechanism=found.mechanism,
        confidence_percent=round(found.confidence * 100),
        summary=summary[:1024],
        evidence=tuple(
            Evidence.model_validate(
                {
                    "name": one.name[:63],
                    "for": one.cause,
                    "value": _number(one.value),
                    "threshold": _number(one.threshold),
                    "weight": _number(one.weight),
                    "statement": one.statement[:512],
                }
            )
            for one in found.evidence[:MOST_EVIDENCE]
        ),
        missing=tuple(text[:512] for text in found.missing[:MOST_MISSING]),
        next_steps=tuple(text[:512] for text in found.next_steps[:MOST_STEPS]),
        would_settle=tuple(text[:512] for text in found.would_settle[:MOST_STEPS]),
        limit=None if newest is None else newest.limits.limit,
        request=None if newest is None else newest.limits.request,
        recommended=recommended(found.recommendation),
        recommendation=recommendation(found.recommendation, spec, None if newest is None else newest.container_role),
        forecast=before.forecast if before.kills is not None and before.kills.total == kills.total else None,
    )
