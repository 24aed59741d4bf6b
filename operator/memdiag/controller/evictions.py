"""Pods that the kubelet ended because their node ran short of memory: an incident of the container that used most."""

from __future__ import annotations

import re
from typing import Any

from memdiag.controller.incidents import api_object, common
from memdiag.controller.resolve import Resolved
from memdiag.kube.memory_incident import Kill, MemoryIncidentSpec, Source
from memdiag.kube.pods import Container, Pod
from memdiag.kube.workload import Workload
from memdiag.model.identity import diagnosis_name, incident_name
from memdiag.model.kill import KillKind, LimitHit
from memdiag.model.quantity import human_bytes, parse_bytes
from memdiag.model.report import printable, rfc3339

_USE = re.compile(r"Container (\S+) was using ([0-9][0-9.]*[A-Za-z]*), request is ([0-9][0-9.]*[A-Za-z]*)")
_IDENTITY = "evicted"
"""Stands where the container's ID does: a pod is evicted once, whatever its containers are called by then."""


def _bytes(text: str) -> int | None:
    try:
        return parse_bytes(text)
    except ValueError:
        return None


def usage(message: str) -> dict[str, tuple[int, int | None]]:
    """Return use and request in bytes of each container that the kubelet's message names."""
    found = {}
    for name, used, requested in _USE.findall(message):
        size = _bytes(used.rstrip("."))
        if size is not None:
            found[name] = (size, _bytes(requested.rstrip(".")))
    return found


def _blamed(pod: Pod, used: dict[str, tuple[int, int | None]]) -> tuple[Container | None, str | None]:
    """Return the container that used most, and how it was found when the kubelet does not say."""
    named = [container for container in pod.containers if container.name in used]
    if named:
        return max(named, key=lambda container: used[container.name][0]), None
    if len(pod.containers) == 1:
        return pod.containers[0], None
    first = pod.containers[0] if pod.containers else None
    return first, "container's use: the kubelet's message names no container; the pod's first one stands for it"


def incident_of(pod: Pod, workload: Workload, seen: float) -> dict[str, Any] | None:
    """Return the incident of an evicted pod, None when it was not evicted or has no container.

    `seen` (Unix seconds) stands in for an eviction without a time.
    """
    if pod.eviction is None:
        return None
    used = usage(pod.eviction.message)
    container, doubt = _blamed(pod, used)
    if container is None:
        return None
    size, request = used.get(container.name, (None, None))
    over = "" if request is None or size is None else f", its request is {human_bytes(request)}"
    use = "" if size is None else f" Container {container.name} was using {human_bytes(size)}{over}."
    missing = [] if doubt is None else [doubt]
    resolved = Resolved(container.name, container, container.restart_count, None)
    spec = MemoryIncidentSpec(
        **common(pod, resolved, workload, container.container_id or ""),
        node=pod.node,
        source=Source.POD_STATUS,
        kill=Kill(
            time=pod.eviction.time or rfc3339(seen),
            kind=KillKind.EVICTED,
            limit_hit=LimitHit.NODE,
            explanation=printable(
                f"The node ran short of memory and its kubelet evicted the pod: no limit of the pod was hit.{use}", 512
            ),
            usage_bytes=size,
        ),
        missing=tuple(missing),
    )
    name = incident_name(pod.name, container.name, pod.uid, _IDENTITY, None)
    return api_object(name, pod, diagnosis_name(workload.kind, workload.name, container.name), spec)
