"""From a MemoryDiagnosis and its newest incident to what an alert is about. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memdiag.alerts.message import Advice, Facts
from memdiag.alerts.steps import State, severity
from memdiag.controller import resolution
from memdiag.controller.traces import Incident
from memdiag.kube.alert import Alert, AlertTold
from memdiag.kube.memory_diagnosis import ConditionStatus, MemoryDiagnosisSpec, MemoryDiagnosisStatus, status_of
from memdiag.model.kill import KillKind
from memdiag.model.report import from_rfc3339
from memdiag.model.verdict import Action


@dataclass(frozen=True, slots=True)
class View:
    """A diagnosis as the alerts read it."""

    namespace: str
    name: str
    uid: str
    item: dict[str, Any]
    spec: MemoryDiagnosisSpec
    status: MemoryDiagnosisStatus

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.namespace, self.name

    @property
    def alert(self) -> Alert:
        """What people were told so far."""
        return self.status.alert or Alert()

    @property
    def last_kill(self) -> float | None:
        """Unix seconds."""
        kills = self.status.kills
        return None if kills is None or kills.last_time is None else from_rfc3339(kills.last_time)

    @property
    def muted_until(self) -> float | None:
        """Unix seconds; None when its owner did not ask for quiet, or not in a way that can be read."""
        if self.spec.muted_until is None:
            return None
        try:
            return from_rfc3339(self.spec.muted_until)
        except ValueError:
            return None


def view(item: Mapping[str, Any]) -> View:
    """Return an API object as alerts read it. Raises ValueError when it is none."""
    metadata = item["metadata"]
    return View(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata.get("uid", "")),
        item=dict(item),
        spec=MemoryDiagnosisSpec.model_validate(item["spec"]),
        status=status_of(item),
    )


def state(found: View) -> State | None:
    """Return what is so, None when there is no verdict. Kills from before the installation do not count."""
    status, kills = found.status, found.status.kills
    if status.cause is None or kills is None:
        return None
    recent = ((from_rfc3339(kill.time), kill.count or 1) for kill in kills.recent)
    resolved = resolution.of(status.conditions)
    return State(
        cause=status.cause,
        severity=severity(status.cause, status.mechanism, recent),
        resolved=resolved is not None and resolved.status is ConditionStatus.TRUE,
        kills=max(kills.total - kills.before_install, 0),
    )


def told(found: View) -> State | None:
    """Return what people were told last."""
    last = found.alert.told
    return None if last is None else State(last.cause, last.severity, last.resolved, last.kills)


def as_told(now: State) -> AlertTold:
    """Return what is so as the object keeps it once it was told."""
    return AlertTold(cause=now.cause, severity=now.severity, resolved=now.resolved, kills=now.kills)


def facts(found: View, now: State, incident: Incident | None, cluster: str | None) -> Facts:
    """Return what a message may tell; without the newest incident it tells less."""
    status, target = found.status, found.spec.target_ref
    for_cause = [one for one in status.evidence if one.for_ is status.cause and float(one.weight) > 0]
    strongest = max(for_cause, key=lambda one: float(one.weight), default=None)
    recent = status.kills.recent if status.kills is not None else ()
    kill = None if incident is None else incident.spec.kill
    resolved = resolution.of(status.conditions)
    return Facts(
        namespace=found.namespace,
        workload_kind=target.kind,
        workload=target.name,
        container=found.spec.container,
        diagnosis=found.name,
        cause=now.cause,
        confidence_percent=status.confidence_percent or 0,
        severity=now.severity,
        kills=now.kills,
        cluster=cluster,
        mechanism=status.mechanism,
        evidence=status.summary if strongest is None else strongest.statement,
        limit=status.limit,
        advice=_advice(status),
        last_kill=found.last_kill,
        pod=recent[0].pod if recent else None,
        node=None if incident is None else incident.spec.node,
        victim=None if kill is None else kill.victim,
        victim_rss=None if kill is None else kill.victim_rss,
        limit_hit=None if incident is None else incident.limit_hit,
        evicted=bool(recent) and recent[0].kind is KillKind.EVICTED,
        resolved=now.resolved,
        resolution=None if resolved is None else resolved.message,
    )


def _advice(status: MemoryDiagnosisStatus) -> Advice:
    found = status.recommendation
    if found is None:
        return Advice()
    changes = found.action in {Action.RAISE_LIMIT, Action.LOWER_LIMIT}
    return Advice(
        action=found.action,
        limit=found.limit if changes else None,
        low=None if found.range is None else found.range.low,
        high=None if found.range is None else found.range.high,
        stop_gap=None if found.stop_gap is None else found.stop_gap.limit,
        stop_gap_seconds=None if found.stop_gap is None else float(found.stop_gap.uptime_seconds),
        patch=found.patch,
        next_step=status.next_steps[0] if status.next_steps else None,
        would_settle=status.would_settle[0] if status.would_settle else None,
    )
