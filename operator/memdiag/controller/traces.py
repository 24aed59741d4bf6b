"""From the incidents of one workload's container to traces: one a pod, runs joined by container ID. Pure functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memdiag.controller.incidents import table
from memdiag.diagnosis.which_kill import EVICTED
from memdiag.kube import fields
from memdiag.kube.memory_incident import MemoryIncidentSpec, MemoryIncidentStatus, Source
from memdiag.model.history import decode
from memdiag.model.kill import KillKind, LimitHit
from memdiag.model.quantity import parse_bytes
from memdiag.model.report import from_rfc3339
from memdiag.model.runtime import SETTINGS
from memdiag.model.trace import Level, Limit, Pressure, Run, RunEnd, Trace, TraceKill, Victim

_SKEW = 60.0
"""Seconds that clocks of a cluster may differ."""
_FARTHEST = from_rfc3339("9999-01-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as the diagnosis reads it."""

    name: str
    time: float
    """Unix seconds of the kill, by its node's clock."""
    spec: MemoryIncidentSpec
    status: MemoryIncidentStatus
    created: float | None = None
    """Unix seconds of the incident, by the API server's clock."""

    @property
    def when(self) -> float:
        """Unix seconds by which kills of all nodes are put in order: none was after its incident.

        A node whose clock is a day ahead would else have the last word for a day.
        """
        return self.time if self.created is None or self.time <= self.created + _SKEW else self.created

    @property
    def limit_hit(self) -> LimitHit:
        """Whose limit was hit, by the kernel's word even when that came late."""
        if self.spec.kill.limit_hit is not LimitHit.UNKNOWN:
            return self.spec.kill.limit_hit
        return next((late.limit_hit for late in self.status.late_evidence if late.limit_hit), LimitHit.UNKNOWN)

    @property
    def kills(self) -> int:
        """How many kills it stands for."""
        fold = self.spec.kill.fold
        return 1 if fold is None else fold.count

    @property
    def ended_the_run(self) -> bool:
        """Say whether the container ended with it."""
        ends = {KillKind.CONTAINER_KILLED, KillKind.EVICTED}
        return self.spec.kill.kind in ends or self.spec.kill.container_died is True

    @property
    def kernel_spoke(self) -> bool:
        """Say whether the kernel is among the incident's witnesses."""
        return self.spec.source is Source.KERNEL or any(
            late.source is Source.KERNEL for late in self.status.late_evidence
        )


def read(item: Mapping[str, Any]) -> Incident:
    """Return an API object as an incident. Raises ValueError when it is none, or its time is before 1970 or too far."""
    spec = MemoryIncidentSpec.model_validate(item["spec"])
    status = MemoryIncidentStatus.model_validate(item.get("status") or {})
    moment = from_rfc3339(spec.kill.time)
    if not 0 <= moment < _FARTHEST:
        raise ValueError(f"no clock shows {spec.kill.time}")
    created = item["metadata"].get("creationTimestamp")
    return Incident(item["metadata"]["name"], moment, spec, status, None if created is None else from_rfc3339(created))


def _limit(text: str | None) -> Limit:
    if text is None or text == "max":
        return "max" if text else None
    return int(text)


def _pressure(pressure: fields.Pressure | None) -> Pressure | None:
    if pressure is None:
        return None
    return Pressure(None if pressure.avg10 is None else float(pressure.avg10), pressure.total_microseconds)


def level(found: fields.Level | None) -> Level:
    """Return an object's level as the model's; nothing known where there is none."""
    if found is None:
        return Level()
    usage = found.cpu_usage_microseconds
    return Level(
        current=found.current,
        peak=found.peak,
        max=_limit(found.max),
        swap_current=found.swap_current,
        events=found.events or {},
        events_local=found.events_local or {},
        stat=found.stat or {},
        pressure_some=_pressure(found.pressure_some),
        pressure_full=_pressure(found.pressure_full),
        cpu={} if usage is None else {"usage_usec": usage},
        pids=found.pids,
    )


def victims_of(incident: Incident) -> tuple[Victim, ...]:
    """Return the tasks that the kernel killed."""
    return tuple(
        Victim(
            pid=victim.pid,
            comm=victim.comm,
            anon_rss=victim.anon_rss_bytes,
            file_rss=victim.file_rss_bytes,
            shmem_rss=victim.shmem_rss_bytes,
            pgtables=victim.pgtables_bytes,
            oom_score_adj=victim.oom_score_adj,
        )
        for victim in incident.spec.kill.victims
    )


def _recorded(incidents: Iterable[Incident]) -> dict[str, Run]:
    """Return the runs of all histories by container ID, each in its most complete form."""
    runs: dict[str, Run] = {}
    for incident in incidents:
        histories = (incident.spec.history, *(late.history for late in incident.status.late_evidence))
        for history in histories:
            for run in [] if history is None else decode(table(history)):
                identity = run.container_id or ""
                if identity not in runs or len(run.samples) > len(runs[identity].samples):
                    runs[identity] = run
    return runs


def _told(incident: Incident) -> LimitHit | None:
    return None if incident.limit_hit is LimitHit.UNKNOWN else incident.limit_hit


def _end(incident: Incident) -> RunEnd:
    if incident.spec.kill.kind is KillKind.EVICTED:
        return RunEnd(t=incident.time, reason=EVICTED, killed=False)
    late = next((evidence.memory for evidence in incident.status.late_evidence if evidence.memory), None)
    said = incident.status.pod_status
    return RunEnd(
        t=incident.time,
        exit_code=None if said is None else said.exit_code,
        reason=None if said is None else said.reason,
        level=level(incident.spec.memory or late),
        kernel_log=incident.spec.kill.kernel_log,
        killed=True if incident.kernel_spoke else None,
        limit_hit=_told(incident),
    )


def _with_kill(run: Run, incident: Incident) -> Run:
    known = replace(run, image=incident.spec.image, revision=incident.spec.revision)
    if incident.ended_the_run:
        return replace(known, end=_end(incident))
    kill = TraceKill(incident.time, victims_of(incident), incident.spec.kill.kernel_log, _told(incident))
    return replace(known, kills=(*known.kills, kill))


def _began(run: Run) -> float:
    moments = [run.started, run.samples[0].t if run.samples else None, run.end.t if run.end else None]
    return min((moment for moment in moments if moment is not None), default=0.0)


def _bytes(quantity: str | None) -> int | None:
    return None if quantity is None else parse_bytes(quantity)


def _runtime(settings: Mapping[str, str] | None) -> dict[str, float]:
    """Return heap settings as numbers; what is none, or is of a name that is not known, is left out."""
    found: dict[str, float] = {}
    for name, text in (settings or {}).items():
        with contextlib.suppress(ValueError):
            if name in SETTINGS:
                found[name] = float(text)
    return found


def container_trace(
    runs: tuple[Run, ...],
    *,
    namespace: str,
    pod: str,
    container: str,
    workload: tuple[str, str],
    node: str,
    limit: int | None,
    request: int | None,
    heap: Mapping[str, float],
) -> Trace:
    """Return the trace of a living container: its runs, and what is known beside them. Sizes are bytes."""
    return Trace(
        runs=tuple(sorted(runs, key=_began)),
        namespace=namespace,
        pod=pod,
        container=container,
        workload_kind=workload[0],
        workload_name=workload[1],
        node=node,
        limit_bytes=limit,
        request_bytes=request,
        runtime=heap,
    )


def _trace(namespace: str, incidents: Sequence[Incident]) -> Trace:
    runs = _recorded(incidents)
    for incident in incidents:
        identity = incident.spec.container_id
        runs[identity] = _with_kill(runs.get(identity, Run(container_id=identity)), incident)
    last = incidents[-1].spec
    return Trace(
        runs=tuple(sorted(runs.values(), key=_began)),
        namespace=namespace,
        pod=last.pod.name,
        container=last.container,
        workload_kind=None if last.workload is None else last.workload.kind,
        workload_name=None if last.workload is None else last.workload.name,
        node=last.node,
        limit_bytes=_bytes(last.limits.limit),
        request_bytes=_bytes(last.limits.request),
        runtime=_runtime(last.heap_settings),
    )


def traces(namespace: str, incidents: Iterable[Incident]) -> list[Trace]:
    """Return one trace a pod, the most recently killed pod's first.

    Raises ValueError when a history is malformed.
    """
    pods: dict[str, list[Incident]] = {}
    for incident in sorted(incidents, key=lambda one: one.when):
        pods.setdefault(incident.spec.pod.uid, []).append(incident)
    newest_first = sorted(pods.values(), key=lambda group: group[-1].when, reverse=True)
    return [_trace(namespace, group) for group in newest_first]
