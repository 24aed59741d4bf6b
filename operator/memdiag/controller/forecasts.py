"""From an agent's trend report to a forecast on the diagnosis: nothing was killed yet, so there is no incident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memdiag.controller import diagnoses, incidents
from memdiag.controller.podbook import PastRun
from memdiag.controller.resolve import Resolved, by_status
from memdiag.controller.traces import container_trace
from memdiag.kube.memory_diagnosis import Forecast, Kills, MemoryDiagnosisSpec, MemoryDiagnosisStatus, Suspicion
from memdiag.kube.memory_report import TrendReportSpec
from memdiag.kube.pods import Container, Pod
from memdiag.kube.workload import Workload
from memdiag.model.history import decode
from memdiag.model.quantity import format_bytes
from memdiag.model.report import from_rfc3339, rfc3339
from memdiag.model.trace import Trace
from memdiag.model.verdict import Diagnosis

FARTHEST = 2 * 3600.0
"""The agent says an hour; the verdict's own forecast must say no more than twice that."""

_NEVER = 100 * 365 * 86400.0


def resolved(report: TrendReportSpec, pod: Pod, past: Mapping[str, PastRun]) -> Resolved | None:
    """Return the container that a trend is of, None while the pod's status does not show its ID."""
    return by_status(report.container_id, pod, past)


def over(report: TrendReportSpec, now: float) -> bool:
    """Return whether the time that a trend speaks of has passed."""
    return now > from_rfc3339(report.trend.time) + report.trend.seconds_to_limit


def trace_of(report: TrendReportSpec, pod: Pod, found: Resolved, workload: Workload) -> Trace | None:
    """Return the living container's trace, None where the report's history cannot be read."""
    ids = {report.container_id} | (set() if found.container is None else set(found.container.ids()))
    history = incidents.own_history(report.history, ids)
    if history is None:
        return None
    container = found.container
    return container_trace(
        tuple(decode(incidents.table(history))),
        namespace=pod.namespace,
        pod=pod.name,
        container=found.name,
        workload=(workload.kind, workload.name),
        node=report.node,
        limit=report.trend.limit_bytes,
        request=None if container is None else container.request,
        heap={} if container is None else dict(container.heap),
    )


def in_force(container: Container | None) -> tuple[str | None, str | None]:
    """Return limit and request of a container as quantities."""
    if container is None:
        return None, None
    limit, request = container.limit, container.request
    return None if limit is None else format_bytes(limit), None if request is None else format_bytes(request)


def _time(made: float, ahead: float | None) -> str | None:
    return None if ahead is None or ahead > _NEVER else rfc3339(made + ahead)


def forecast_of(found: Diagnosis, pod: str, made: float) -> Forecast | None:
    """Return the verdict's forecast as the diagnosis holds it, None when it raises no alarm.

    `made` is the time of the last sample.
    """
    ahead = found.forecast
    if ahead is None or ahead.seconds_to_limit is None or ahead.seconds_to_limit > FARTHEST:
        return None
    return Forecast(
        time=rfc3339(made),
        pod=pod,
        reaches_limit_time=rfc3339(made + ahead.seconds_to_limit),
        earliest_time=_time(made, ahead.low),
        latest_time=_time(made, ahead.high),
    )


def status(
    before: MemoryDiagnosisStatus,
    spec: MemoryDiagnosisSpec,
    found: Diagnosis,
    forecast: Forecast,
    limits: tuple[str | None, str | None],
    *,
    generation: int | None,
    now: float,
) -> MemoryDiagnosisStatus:
    """Return the status with the forecast. Where kills were counted their verdict stays: it was made of more."""
    if before.kills is not None and before.kills.total:
        return before.model_copy(update={"forecast": forecast, "observed_generation": generation})
    suspected = found.suspicion
    made = diagnoses.status(
        before,
        spec,
        generation=generation,
        incidents=(),
        kills=before.kills or Kills(),
        found=found,
        now=now,
    )
    return made.model_copy(
        update={
            "forecast": forecast,
            "limit": limits[0],
            "request": limits[1],
            "confidence_percent": None if found.cause is None else made.confidence_percent,
            "suspicion": None
            if suspected is None
            else Suspicion(
                cause=suspected.cause,
                mechanism=suspected.mechanism,
                confidence_percent=round(suspected.confidence * 100),
            ),
        }
    )


def is_trend(spec: Mapping[str, Any]) -> bool:
    """Return whether a report's spec tells of a trend and not of a kill."""
    return "trend" in spec
