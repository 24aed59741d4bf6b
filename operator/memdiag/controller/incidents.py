"""Build incidents: a report or a container's status, joined with the pod and its workload. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from memdiag.controller.podbook import PastRun
from memdiag.controller.resolve import Resolved, by_status
from memdiag.controller.shares import in_words, shares_of
from memdiag.kube.fields import History, Victim
from memdiag.kube.kinds import API_VERSION, INCIDENT
from memdiag.kube.memory_incident import (
    LONGEST_STATUS_REASON,
    Kill,
    LateEvidence,
    MemoryIncidentSpec,
    MemoryInForce,
    PodReference,
    PodStatus,
    Source,
    WorkloadReference,
)
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import SIGKILLED, Container, Pod, Termination
from memdiag.kube.workload import Workload
from memdiag.model.history import History as Table
from memdiag.model.history import HistoryRun as TableRun
from memdiag.model.history import select
from memdiag.model.identity import UNKNOWN_CONTAINER_ID, diagnosis_name, incident_name
from memdiag.model.kill import KillKind, LimitHit
from memdiag.model.quantity import format_bytes, human_bytes
from memdiag.model.report import from_rfc3339, rfc3339

DIAGNOSIS_LABEL = "memdiag.dev/diagnosis"
RUN_LABEL = "memdiag.dev/run"
_OWN_POD = frozenset({LimitHit.CONTAINER, LimitHit.POD})


def run_label(container_id: str) -> str:
    """Return a container ID as a label value (at most 63 characters)."""
    return container_id[:63].strip("-_.")


def api_object(name: str, pod: Pod, diagnosis: str, spec: MemoryIncidentSpec) -> dict[str, Any]:
    """Return the whole MemoryIncident object."""
    return {
        "apiVersion": API_VERSION,
        "kind": INCIDENT.name,
        "metadata": {
            "name": name,
            "namespace": pod.namespace,
            "labels": {DIAGNOSIS_LABEL: diagnosis, RUN_LABEL: run_label(spec.container_id)},
        },
        "spec": spec.to_api(),
    }


def table(history: History) -> Table:
    """Return an object's history as the model's table. Raises ValueError on a time that is none."""
    return Table(
        tuple(
            TableRun(
                run.container_id,
                None if run.started_time is None else from_rfc3339(run.started_time),
                None if run.ended_time is None else from_rfc3339(run.ended_time),
                run.killed,
                run.peak,
            )
            for run in history.runs
        ),
        dict(history.columns),
    )


def own_history(history: History | None, container_ids: Collection[str]) -> History | None:
    """Return the runs of these container IDs only, None when there are none or the table is malformed."""
    if history is None:
        return None
    try:
        selected = select(table(history), container_ids)
    except ValueError:
        return None
    if selected is None:
        return None
    return History(
        runs=tuple(run for run in history.runs if run.container_id in container_ids), columns=dict(selected.columns)
    )


def _pods_limit(size: str, pod: Pod, container: Container | None) -> tuple[LimitHit, str]:
    if pod.limit is not None:
        return LimitHit.POD, f"The pod's cgroup reached the limit{size} that the pod sets for all its containers."
    if container is not None and container.limit is None:
        return LimitHit.POD, (
            f"The pod's cgroup reached its limit{size}, the sum of its containers' limits; container "
            f"{container.name} has no limit of its own."
        )
    return LimitHit.CONTAINER, (
        f"The pod's cgroup reached its limit{size}, the sum of its containers' limits, which is usually "
        "reached just before the container's own: in effect the container's own limit was hit."
    )


def limit_in_effect(report: MemoryReportSpec, pod: Pod, container: Container | None) -> tuple[LimitHit, str]:
    """Return whose limit was hit in effect, and the sentence that says why; `container` is the victim's, if known."""
    kill = report.kill
    size = "" if kill.limit_bytes is None else f" of {human_bytes(kill.limit_bytes)}"
    match kill.limit_hit:
        case LimitHit.POD:
            return _pods_limit(size, pod, container)
        case LimitHit.CONTAINER:
            return LimitHit.CONTAINER, f"The container's cgroup reached its limit{size}."
        case LimitHit.ANCESTOR:
            return LimitHit.ANCESTOR, (
                f"A cgroup above the pod reached its limit{size}: it was not the container's own limit that was hit."
            )
        case LimitHit.NODE:
            return LimitHit.NODE, "The node ran out of memory: it was not the container's own limit that was hit."
        case _:
            return LimitHit.UNKNOWN, "Neither the kernel log nor the counters told whose limit was hit."


def _victim_text(victim: Victim | None) -> tuple[str | None, str | None]:
    if victim is None:
        return None, None
    sizes = [
        size for size in (victim.anon_rss_bytes, victim.file_rss_bytes, victim.shmem_rss_bytes) if size is not None
    ]
    rss = f"{round(sum(sizes) / 2**20)}Mi" if sizes else None
    if victim.comm is None:
        return (None if victim.pid is None else f"pid {victim.pid}"), rss
    return (victim.comm if victim.pid is None else f"{victim.comm[:48]} ({victim.pid})"), rss


def _kernel_log(report: MemoryReportSpec) -> tuple[str, ...]:
    """Return the lines that may stand in a tenant's namespace: of a kill above the pod only what names the victim.

    The summary line's `cpuset` is the cgroup of the task that asked for memory, which may be another tenant's.
    """
    if report.kill.limit_hit in _OWN_POD:
        return report.kill.kernel_log
    return tuple(
        re.sub(r"\bcpuset=[^,]*", "cpuset=-", line)
        for line in report.kill.kernel_log
        if re.search(r"Killed process \d+|oom-kill:constraint=", line)
    )


def _kind(report: MemoryReportSpec, *, died: bool) -> KillKind:
    if report.fold is not None:
        return KillKind.SUMMARY
    return KillKind.CONTAINER_KILLED if died else KillKind.PROCESS_KILLED


def name_of(report: MemoryReportSpec, pod: Pod, container: str, *, died: bool) -> str:
    """Return an incident's name. The end of a container is one, that of a container nobody knows may be any's."""
    is_the_end = died and report.fold is None and report.container_id != UNKNOWN_CONTAINER_ID
    return incident_name(pod.name, container, pod.uid, report.container_id, None if is_the_end else report.ordinal)


def _kill(report: MemoryReportSpec, pod: Pod, resolved: Resolved, past: Mapping[str, PastRun], *, died: bool) -> Kill:
    kill = report.kill
    hit, explanation = limit_in_effect(report, pod, resolved.container)
    shares = shares_of(report, resolved.name, pod, past)
    victim, rss = _victim_text(kill.victims[0] if kill.victims else None)
    return Kill(
        time=kill.time,
        kind=_kind(report, died=died),
        fold=report.fold,
        container_died=None if report.fold is None else died,
        limit_hit=hit,
        limit_hit_cgroup=kill.limit_hit_cgroup if kill.limit_hit in _OWN_POD else None,
        explanation=f"{explanation} {in_words(shares, resolved.name)}".strip(),
        constraint=kill.constraint,
        group_kill=kill.group_kill,
        victims=kill.victims,
        victim_count=kill.victim_count,
        victim=victim,
        victim_rss=rss,
        usage_bytes=kill.usage_bytes,
        limit_bytes=kill.limit_bytes,
        shares=shares,
        tasks=kill.tasks,
        other_pods=kill.other_pods,
        kernel_log=_kernel_log(report),
        invoked_by=kill.invoked_by if kill.limit_hit in _OWN_POD else None,
    )


def _in_force(container: Container | None) -> MemoryInForce:
    if container is None:
        return MemoryInForce()
    return MemoryInForce(
        limit=None if container.limit is None else format_bytes(container.limit),
        request=None if container.request is None else format_bytes(container.request),
    )


def _heap_settings(container: Container | None) -> dict[str, str] | None:
    return {name: f"{value:.15g}" for name, value in container.heap} or None if container is not None else None


def _hidden(container: Container | None) -> tuple[str, ...]:
    """Return what the pod's spec does not show of the runtime's settings."""
    if container is None or not container.heap_hidden:
        return ()
    return ("heap settings: a part of the environment comes from a ConfigMap, a Secret or a field, and is not read",)


def common(pod: Pod, resolved: Resolved, workload: Workload, container_id: str) -> dict[str, Any]:
    """Return the fields of an incident's spec that follow from pod, container and workload."""
    container = resolved.container
    return {
        "pod": PodReference(name=pod.name, uid=pod.uid),
        "container": resolved.name,
        "container_role": None if container is None else container.role,
        "container_id": container_id,
        "restart_count": resolved.restarts,
        "workload": WorkloadReference(api_version=workload.api_version, kind=workload.kind, name=workload.name),
        "image": None if container is None else container.image,
        "revision": pod.revision,
        "limits": _in_force(container),
        "heap_settings": _heap_settings(container),
    }


def from_report(
    report: MemoryReportSpec,
    pod: Pod,
    resolved: Resolved,
    workload: Workload,
    past: dict[str, PastRun],
    *,
    died: bool,
) -> dict[str, Any]:
    """Return the incident of a kernel kill.

    `past` are remembered runs of the pod by container ID.
    """
    ids = {report.container_id} | {identity for identity, run in past.items() if run.container == resolved.name}
    if resolved.container is not None:
        ids.update(resolved.container.ids())
    history = own_history(report.history, ids)
    doubt = () if resolved.doubt is None else (resolved.doubt,)
    missing = [*report.missing, *doubt, *_hidden(resolved.container)]
    if report.history is not None and history is None:
        missing.append("history: the report's table had no readable run of this container")
    spec = MemoryIncidentSpec(
        **common(pod, resolved, workload, report.container_id),
        node=report.node,
        source=Source.KERNEL,
        kill=_kill(report, pod, resolved, past, died=died),
        memory=report.container,
        pod_memory=report.pod,
        ancestors=report.ancestors,
        node_memory=report.node_memory,
        processes=report.processes,
        history=history,
        missing=tuple(missing),
    )
    name = name_of(report, pod, resolved.name, died=died)
    return api_object(name, pod, diagnosis_name(workload.kind, workload.name, resolved.name), spec)


def from_status(pod: Pod, container: Container, end: Termination, workload: Workload, seen: float) -> dict[str, Any]:
    """Return the incident of a container that the API calls OOMKilled and of which no agent spoke.

    The runtime says OOMKilled whenever the kernel killed anything in the container: one that ended otherwise than by
    SIGKILL lost a process before. `seen` (Unix seconds) stands in for an end without a time.
    """
    died = end.exit_code in {None, SIGKILLED}
    resolved = Resolved(container.name, container, container.restarts_before(end.container_id), end)
    explanation = "Only the pod's status tells of this kill, and it does not say whose limit was hit."
    if not died:
        explanation = (
            f"The container ended with exit code {end.exit_code}, not by SIGKILL: the kernel killed another process in "
            f"it at a time that is not known. {explanation}"
        )
    spec = MemoryIncidentSpec(
        **common(pod, resolved, workload, end.container_id),
        node=pod.node,
        source=Source.POD_STATUS,
        kill=Kill(
            time=end.finished or rfc3339(seen),
            kind=KillKind.CONTAINER_KILLED if died else KillKind.PROCESS_KILLED,
            limit_hit=LimitHit.UNKNOWN,
            explanation=explanation,
        ),
        missing=(
            "kernel evidence: no agent reported this kill (no agent on the node, or it was down)",
            *_hidden(container),
        ),
    )
    # a process killed while the container lived is the first that an agent would report of the run
    name = incident_name(pod.name, container.name, pod.uid, end.container_id, None if died else 1)
    return api_object(name, pod, diagnosis_name(workload.kind, workload.name, container.name), spec)


def pod_status(end: Termination) -> dict[str, Any]:
    """Return a status with what the API says of the container's end."""
    reason = None if end.reason is None else end.reason[:LONGEST_STATUS_REASON]
    status = PodStatus(reason=reason, exit_code=end.exit_code, finished_time=end.finished)
    return {"status": {"podStatus": status.to_api()}}


def late_evidence(incident: dict[str, Any], report: MemoryReportSpec, pod: Pod) -> dict[str, Any] | None:
    """Return a status that adds the kernel's word to an incident that was made without it; None when it has it."""
    known = (incident.get("status") or {}).get("lateEvidence") or []
    if incident["spec"].get("source") != Source.POD_STATUS or known:
        return None
    found = by_status(report.container_id, pod, {})
    hit, explanation = limit_in_effect(report, pod, None if found is None else found.container)
    ids = {report.container_id}
    late = LateEvidence(
        source=Source.KERNEL,
        time=report.kill.time,
        statement=explanation,
        limit_hit=hit,
        limit_hit_cgroup=report.kill.limit_hit_cgroup if report.kill.limit_hit in _OWN_POD else None,
        constraint=report.kill.constraint,
        memory=report.container,
        history=own_history(report.history, ids),
    )
    return {"status": {"lateEvidence": [late.to_api()]}}
