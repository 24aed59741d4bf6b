"""The workload that a diagnosis is about: the container's place in it, its limit now, and how it is patched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memdiag.cli.target import Reached, Refused
from memdiag.controller.alertfacts import View
from memdiag.controller.diagnoses import TEMPLATES
from memdiag.kube.api import NotFoundError
from memdiag.kube.memory_incident import Role
from memdiag.model.quantity import parse_bytes

_PLURALS = {
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "CronJob": "cronjobs",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """A workload whose pod template can be changed. Sizes are bytes, None where none is set."""

    path: str
    role: Role
    limit: int | None
    request: int | None


def patchable(found: View) -> bool:
    """Say whether the owner has a pod template that may be changed."""
    return found.spec.target_ref.kind in TEMPLATES


def _bytes(resources: Mapping[str, Any], which: str) -> int | None:
    value = (resources.get(which) or {}).get("memory")
    return None if value is None else parse_bytes(str(value))


def owner_of(api: Reached, found: View) -> Owner:
    """Return the diagnosis's workload as it is now. Raises Refused when the container is no part of it, ApiError."""
    target = found.spec.target_ref
    path = f"/apis/{target.api_version}/namespaces/{found.namespace}/{_PLURALS[target.kind]}/{target.name}"
    try:
        template: Any = api.get(path)
    except NotFoundError:
        raise Refused(f"{target.kind} {target.name} is gone from namespace {found.namespace}") from None
    for word in TEMPLATES[target.kind]:
        template = template[word]
    for which in ("containers", "initContainers"):
        for container in template["spec"].get(which) or ():
            if container["name"] == found.spec.container:
                sidecar = container.get("restartPolicy") == "Always"
                role = Role.REGULAR if which == "containers" else Role.SIDECAR if sidecar else Role.INIT
                resources = container.get("resources") or {}
                return Owner(path, role, _bytes(resources, "limits"), _bytes(resources, "requests"))
    raise Refused(f"{target.kind} {target.name} has no container {found.spec.container} any more")
