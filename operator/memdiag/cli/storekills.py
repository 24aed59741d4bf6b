"""OOM kills of two weeks as kube-state-metrics told them to a Prometheus: of pods that are gone, too."""

from __future__ import annotations

import re
from collections.abc import Sequence

from memdiag.cli.oomkills import Found, Look, entry
from memdiag.controller.longhistory import WINDOW
from memdiag.controller.prometheus import Prometheus
from memdiag.kube.workload import Workload

HOUR = 3600
_REASON = "kube_pod_container_status_last_terminated_reason"
_PODS_A_QUERY = 50
_HASH = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5,10}$")
"""What a Deployment adds to its own name for a ReplicaSet's."""
_SCHEDULED = re.compile(r"-[0-9]{8,10}$")
"""What a CronJob adds to its own name for a Job's."""
_GROUPS = {"StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1"}


def workload_of(kind: str, name: str, pod: str) -> Workload:
    """Return the workload of a pod that is gone, from its owner's kind and name, as the store has them."""
    if kind == "ReplicaSet" and _HASH.search(name):
        return Workload("apps/v1", "Deployment", _HASH.sub("", name), None)
    if kind == "Job" and _SCHEDULED.search(name):
        return Workload("batch/v1", "CronJob", _SCHEDULED.sub("", name), None)
    if kind in ("", "<none>", "Node"):
        return Workload("v1", "Pod", pod, None)
    return Workload(_GROUPS.get(kind, ""), kind, name, None)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _owners(store: Prometheus, pods: Sequence[tuple[str, str]], now: float) -> dict[tuple[str, str], Workload]:
    """Return the workloads of pods (namespace and name) that are gone. Raises StoreError."""
    found = {}
    for first in range(0, len(pods), _PODS_A_QUERY):
        part = pods[first : first + _PODS_A_QUERY]
        names = _quoted("|".join(sorted({re.escape(pod).replace(r"\-", "-") for _, pod in part})))
        query = f"last_over_time(kube_pod_owner{{pod=~{names}}}[{WINDOW:.0f}s])"
        for series in store.at(f"max by (namespace,pod,owner_kind,owner_name) ({query})", now):
            label = series.labels.get
            key = label("namespace", ""), label("pod", "")
            found[key] = workload_of(label("owner_kind", ""), label("owner_name", ""), key[1])
    return found


def _hours(store: Prometheus, namespace: str | None, now: float) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """Return the hours in which containers (namespace, pod, name) had last ended OOMKilled. Raises StoreError."""
    chosen = "" if namespace is None else f",namespace={_quoted(namespace)}"
    metric = f'{_REASON}{{reason="OOMKilled"{chosen}}}'
    query = f"max by (namespace,pod,container) (max_over_time({metric}[{HOUR}s])) == 1"
    found = {}
    for series in store.over(query, now - WINDOW, now, HOUR):
        key = tuple(series.labels.get(label, "") for label in ("namespace", "pod", "container"))
        if all(key):
            found[key[0], key[1], key[2]] = tuple(moment for moment, _ in series.points)
    return found


def silent(store: Prometheus, now: float) -> bool:
    """Say whether the store has nothing of kube-state-metrics. Raises StoreError."""
    return not store.at("count(kube_pod_container_status_restarts_total)", now)


def add(found: Found, store: Prometheus, seen: Look) -> None:
    """Add the kills that the store knows of. Raises StoreError, and ApiError where an owner cannot be read."""
    told = _hours(store, seen.target.namespace, seen.now)
    living = {(pod.namespace, pod.name): pod for pod in seen.book.living()}
    gone = sorted({(place, pod) for place, pod, _ in told if (place, pod) not in living})
    owners = _owners(store, gone, seen.now)
    for (place, name, container), hours in told.items():
        pod = living.get((place, name))
        workload = owners.get((place, name)) if pod is None else seen.workloads.of(pod)
        killed = entry(found, place, workload or Workload("v1", "Pod", name, None), container)
        killed.hours[name] = hours
        if pod is not None and not killed.alike:
            killed.alike = seen.book.alike(pod.uid)
            killed.pod_limit = pod.limit


def within(hours: Sequence[float], end: float, slack: float) -> bool:
    """Say whether a run that ended at that time (Unix seconds, give or take `slack`) was killed by what the hours tell.

    The hour of the end, or the one after it, must be among them.
    """
    return any(end <= hour <= end + 2 * HOUR + slack for hour in hours)
