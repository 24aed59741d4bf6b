"""Diagnoses of a cluster, with their incidents, and how one is shown: the same finding as of a trace that was read."""

from __future__ import annotations

from collections.abc import Sequence

from memdiag.cli.target import Refused, Target
from memdiag.controller import diagnoser, resolution
from memdiag.controller.alertfacts import View, view
from memdiag.controller.diagnoser import subject_of
from memdiag.controller.traces import Incident, traces, victims_of
from memdiag.kube.api import NotFoundError
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.kube.memory_diagnosis import ConditionStatus, MemoryDiagnosisStatus
from memdiag.kube.memory_diagnosis import Recommendation as Advice
from memdiag.model import verdict
from memdiag.model.kill import KillKind, Task
from memdiag.model.process import Process
from memdiag.model.quantity import parse_bytes
from memdiag.model.report import from_rfc3339
from memdiag.report.finding import Finding, Killed, LastKill

_KILLED = {
    KillKind.CONTAINER_KILLED: "the container",
    KillKind.PROCESS_KILLED: "a process; the container lived on",
    KillKind.EVICTED: "the pod was evicted",
    KillKind.SUMMARY: "several, summed up",
}


def diagnoses(target: Target, selector: str | None = None) -> list[View]:
    """Return the diagnoses of the target's namespace, or of all. Raises ApiError."""
    query = {} if selector is None else {"labelSelector": selector}
    pages = target.api.pages(DIAGNOSIS.path(target.namespace), query)
    return [view(item) for page in pages for item in page.get("items") or ()]


def diagnosis(target: Target, name: str) -> View:
    """Return one diagnosis. Raises Refused when there is none of that name, ApiError."""
    try:
        return view(target.api.get(DIAGNOSIS.path(target.namespace, name)))
    except NotFoundError:
        names = [one.name for one in diagnoses(target)]
    some = f"; there are: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else " nor any other"
    raise Refused(f"no diagnosis {name} in {target.where}{some}")


def incidents_of(target: Target, found: View) -> list[Incident]:
    """Return the incidents that are kept of a diagnosis's container, oldest first. Raises ApiError."""
    return sorted(diagnoser.incidents_of(target.api, subject_of(found.item)), key=lambda one: one.when)


def _bytes(quantity: str | None) -> int | None:
    return None if quantity is None else parse_bytes(quantity)


def _recommendation(found: Advice | None) -> verdict.Recommendation:
    if found is None:
        return verdict.Recommendation(verdict.Action.NONE, None, None, None, "There is no verdict yet.")
    gap = found.stop_gap
    return verdict.Recommendation(
        action=found.action,
        limit_bytes=_bytes(found.limit),
        request_bytes=_bytes(found.request),
        range_bytes=None if found.range is None else (parse_bytes(found.range.low), parse_bytes(found.range.high)),
        basis=found.basis,
        stop_gap=None if gap is None else verdict.StopGap(parse_bytes(gap.limit), gap.uptime_seconds),
        clamps=found.clamps,
        warnings=found.warnings,
    )


def _forecast(status: MemoryDiagnosisStatus, now: float) -> verdict.Forecast | None:
    """Return what is foreseen from now on; None when the time has passed."""
    found = status.forecast
    if found is None or from_rfc3339(found.reaches_limit_time) <= now:
        return None
    return verdict.Forecast(
        seconds_to_limit=from_rfc3339(found.reaches_limit_time) - now,
        low=None if found.earliest_time is None else max(from_rfc3339(found.earliest_time) - now, 0.0),
        high=None if found.latest_time is None else from_rfc3339(found.latest_time) - now,
    )


def _verdict(status: MemoryDiagnosisStatus, now: float) -> verdict.Diagnosis:
    doubt = status.suspicion
    return verdict.Diagnosis(
        cause=status.cause,
        mechanism=status.mechanism,
        confidence=(status.confidence_percent or 0) / 100,
        summary=status.summary or "No kill of this container is known yet.",
        evidence=tuple(
            verdict.Evidence(one.name, one.for_, one.value, one.threshold, float(one.weight), one.statement)
            for one in status.evidence
        ),
        missing=status.missing,
        recommendation=_recommendation(status.recommendation),
        forecast=_forecast(status, now),
        suspicion=None
        if doubt is None
        else verdict.Suspicion(doubt.cause, doubt.mechanism, doubt.confidence_percent / 100),
        next_steps=status.next_steps,
        would_settle=status.would_settle,
    )


def _last_kill(incidents: Sequence[Incident]) -> LastKill:
    """Return the newest kill of which the kernel told, else the newest."""
    if not incidents:
        return LastKill()
    last = next((one for one in reversed(incidents) if one.kernel_spoke), incidents[-1])
    kill = last.spec.kill
    return LastKill(
        time=last.time,
        pod=last.spec.pod.name,
        node=last.spec.node,
        limit_hit=last.limit_hit.value,
        explanation=kill.explanation,
        victims=victims_of(last),
        tasks=tuple(
            Task(
                task.pid,
                task.comm or "",
                rss=task.rss_bytes,
                swap=task.swap_bytes,
                pgtables=task.pgtables_bytes,
                oom_score_adj=task.oom_score_adj,
            )
            for task in kill.tasks
        ),
        processes=tuple(
            Process(
                one.pid,
                one.comm or "",
                rss=one.rss_bytes,
                swap=one.swap_bytes,
                threads=one.threads,
                grew=one.grew_bytes,
                over=one.over_seconds,
            )
            for one in (() if last.spec.processes is None else last.spec.processes.largest)
        ),
        others=None if kill.other_pods is None else (kill.other_pods.tasks, kill.other_pods.rss_bytes),
        kernel_log=kill.kernel_log,
    )


def finding_of(found: View, incidents: Sequence[Incident], now: float) -> Finding:
    """Return how a diagnosis is shown; `now` is Unix seconds. Raises ValueError on a malformed history."""
    status, kills, target = found.status, found.status.kills, found.spec.target_ref
    advice = status.recommendation
    resolved = resolution.of(status.conditions)
    patch = None if advice is None else advice.patch
    return Finding(
        name=found.name,
        diagnosis=_verdict(status, now),
        traces=tuple(traces(found.namespace, incidents)),
        namespace=found.namespace,
        workload_kind=target.kind,
        workload_name=target.name,
        container=found.spec.container,
        limit=_bytes(status.limit),
        request=_bytes(status.request),
        kills_total=None if kills is None else kills.total,
        last_kill_time=found.last_kill,
        recent=tuple(
            Killed(from_rfc3339(kill.time), kill.pod, _KILLED[kill.kind], kill.count or 1)
            for kill in (() if kills is None else kills.recent)
        ),
        last_kill=_last_kill(incidents),
        patch=patch,
        apply_command=None if patch is None else f"kubectl memdiag apply {found.name} -n {found.namespace} --yes",
        muted_until=found.muted_until,
        resolved=resolved.message if resolved is not None and resolved.status is ConditionStatus.TRUE else None,
    )
