"""From a pod to the workload that people know by name: Deployment, CronJob, StatefulSet, DaemonSet, or what owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memdiag.kube.api import Api, NotFoundError
from memdiag.kube.pods import Owner, Pod, controller_of


@dataclass(frozen=True, slots=True)
class Workload:
    """The top-level owner of a pod, or the pod itself."""

    api_version: str
    kind: str
    name: str
    uid: str | None
    """None when the owner is gone: nothing may then be owned by it."""


_OWNING_KINDS: Mapping[tuple[str, str], str] = {("apps", "ReplicaSet"): "replicasets", ("batch", "Job"): "jobs"}
"""Kinds between a pod and its workload, with the resource that is read to get past them."""
_SHORT_LIVED = frozenset({"Pod", "Job"})


def may_own(workload: Workload) -> bool:
    """Say whether a diagnosis may be owned by the workload: it lives, and outlives the pods that are killed."""
    return workload.uid is not None and workload.kind not in _SHORT_LIVED


def find_workload(pod: Pod, api: Api) -> Workload:
    """Return the pod's workload, reading at most one object: its ReplicaSet or Job.

    Raises ApiError when the API server cannot be asked. An owner that is gone is no error: what its name says is used.
    """
    if pod.owner is None:
        return Workload("v1", "Pod", pod.name, pod.api_uid)
    owner = pod.owner
    group = owner.api_version.rpartition("/")[0]
    resource = _OWNING_KINDS.get((group, owner.kind))
    if resource is None:
        return _as_workload(owner)
    try:
        found = api.get(f"/apis/{owner.api_version}/namespaces/{pod.namespace}/{resource}/{owner.name}")
    except NotFoundError:
        return _guessed(owner, pod.revision)
    metadata = found["metadata"]
    if metadata.get("uid") != owner.uid:
        return _guessed(owner, pod.revision)
    above = controller_of(metadata)
    return _as_workload(owner) if above is None else _as_workload(above)


def _as_workload(owner: Owner) -> Workload:
    return Workload(owner.api_version, owner.kind, owner.name, owner.uid)


def _guessed(owner: Owner, revision: str | None) -> Workload:
    """Return the workload of an owner that is gone: a Deployment names ReplicaSets after itself and the revision."""
    if owner.kind == "ReplicaSet" and revision and owner.name.endswith(f"-{revision}"):
        return Workload("apps/v1", "Deployment", owner.name[: -len(revision) - 1], None)
    return Workload(owner.api_version, owner.kind, owner.name, None)
