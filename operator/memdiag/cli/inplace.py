"""New limits for pods that run, through their `resize` subresource: no container is started anew for a raised limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memdiag.cli.target import Reached
from memdiag.controller.alertfacts import View
from memdiag.controller.diagnoser import Subject, subject_of
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import ApiError
from memdiag.kube.memory_incident import Role
from memdiag.kube.pods import Pod, project
from memdiag.model.quantity import format_bytes
from memdiag.report.words import printable

_RESIZABLE = {Role.REGULAR: "containers", Role.SIDECAR: "initContainers"}
"""Where each role stands in a pod; init containers that end and ephemeral ones cannot be resized."""
_LIVING = ("Pending", "Running")


@dataclass(frozen=True, slots=True)
class Resize:
    """One pod's resize; sizes are bytes, None where none is set."""

    pod: str
    before: int | None
    path: str
    patch: Mapping[str, Any]


def _resize(pod: Pod, item: Mapping[str, Any], container: str, limit: int, request: int | None) -> Resize | None:
    """Return what resizes a pod's container, None when it is as wanted, or cannot be."""
    own = next((one for one in pod.containers if one.name == container and one.role in _RESIZABLE), None)
    if own is None or pod.deleting or pod.phase not in _LIVING:
        return None
    guaranteed = (item.get("status") or {}).get("qosClass") == "Guaranteed"
    wanted = limit if guaranteed else request  # a resize may not change the pod's class
    if own.limit == limit and wanted in (None, own.request):
        return None
    resources: dict[str, Any] = {"limits": {"memory": format_bytes(limit)}}
    if wanted is not None:
        resources["requests"] = {"memory": format_bytes(wanted)}
    patch = {"spec": {_RESIZABLE[own.role]: [{"name": container, "resources": resources}]}}
    return Resize(pod.name, own.limit, f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/resize", patch)


def resizes(api: Reached, found: View, limit: int, request: int | None) -> list[Resize]:
    """Return the resizes that give a workload's running pods a limit (bytes). Raises ApiError."""
    subject, workloads = subject_of(found.item), Workloads(api)
    planned = []
    for page in api.pages(f"/api/v1/namespaces/{found.namespace}/pods"):
        for item in page.get("items") or ():
            pod = project(item)
            if any(one.name == subject.container for one in pod.containers):
                own = Subject(pod.namespace, workloads.of(pod), subject.container)
                resize = _resize(pod, item, subject.container, limit, request) if own.matches(found.spec) else None
                planned += [] if resize is None else [resize]
    return planned


def carried_out(api: Reached, planned: Sequence[Resize], limit: int) -> Iterator[tuple[bool, str]]:
    """Ask for each resize; yield whether the API server took it, and a line for people."""
    for resize in planned:
        try:
            api.strategic_patch(resize.path, resize.patch)
        except ApiError as error:
            yield False, f"pod {resize.pod}: not resized: {printable(str(error))}"
        else:
            yield True, f"pod {resize.pod}: memory limit {shown(resize.before)} → {shown(limit)}, asked of its node"


def shown(limit: int | None) -> str:
    """Return a limit in bytes as people write it."""
    return "none" if limit is None else format_bytes(limit)
