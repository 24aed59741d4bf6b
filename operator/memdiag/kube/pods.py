"""What the operator keeps of a pod: a slim frozen projection, so that 20,000 of them fit in little memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from memdiag.kube.fields import MOST_HEAP_SETTINGS
from memdiag.kube.memory_incident import LONGEST_IMAGE, Role
from memdiag.model.quantity import parse_bytes
from memdiag.model.runtime import heap_settings, holds_heap_settings

SIGKILLED = 137
"""Exit code of a container that SIGKILL ended."""
_EVICTED = "Evicted"
_LOW_ON_MEMORY = "low on resource: memory"
_MIRROR = "kubernetes.io/config.mirror"
_OWNER = re.compile(
    r"(?=[^ ]{1,127} )[a-z0-9.-]+(/[a-z0-9]+)? [A-Za-z][A-Za-z0-9]{0,62} [A-Za-z0-9][A-Za-z0-9._:-]{0,252}"
)
"""apiVersion, kind and name of what can exist: an ownerReference holds whatever the pod's author wrote."""
_REVISION_LABELS = ("pod-template-hash", "controller-revision-hash", "rollouts-pod-template-hash")


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller that an ownerReference names."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Termination:
    """The end of one run, as the API says it."""

    container_id: str
    reason: str | None
    exit_code: int | None
    finished: str | None
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod. Sizes are bytes, None where none is set."""

    name: str
    role: Role
    image: str | None
    limit: int | None
    request: int | None
    container_id: str | None
    """The ID of the current run, or of the last one when none runs."""
    restart_count: int | None
    terminations: tuple[Termination, ...]
    """At most two: of the current run and of the one before."""
    heap: tuple[tuple[str, float], ...] = ()
    """Heap settings by name, parsed from literal words of the pod's spec; the words themselves are not kept."""
    heap_hidden: bool = False
    """A part of the environment comes from elsewhere (a ConfigMap, a Secret): settings may stand there."""

    def ids(self) -> Iterator[str]:
        """Yield every container ID that the status names."""
        if self.container_id:
            yield self.container_id
        for termination in self.terminations:
            if termination.container_id and termination.container_id != self.container_id:
                yield termination.container_id

    def termination_of(self, container_id: str) -> Termination | None:
        """Return the end of that run, None when the status does not have it."""
        return next((end for end in self.terminations if end.container_id == container_id), None)

    def restarts_before(self, container_id: str) -> int | None:
        """Return the restarts before that run, None when the status does not say."""
        if self.restart_count is None:
            return None
        if container_id == self.container_id:
            return self.restart_count
        return self.restart_count - 1 if self.restart_count and container_id in self.ids() else None


@dataclass(frozen=True, slots=True)
class Eviction:
    """The kubelet's word on a pod that it ended for the node's memory."""

    message: str
    time: str | None
    """RFC 3339; None when the pod's status names no time."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod."""

    uid: str
    """The UID that the kubelet names the pod's cgroup by: a static pod's is not that of its mirror in the API."""
    name: str
    namespace: str
    node: str | None
    phase: str | None
    owner: Owner | None
    api_uid: str
    revision: str | None
    limit: int | None
    """The pod's own limit (spec.resources), bytes; None when its cgroup's limit is made of its containers'."""
    containers: tuple[Container, ...]
    deleting: bool = False
    """Somebody asked for its deletion: its containers are being ended."""
    eviction: Eviction | None = None
    """Set when the kubelet ended the pod because the node ran short of memory."""


def runtime_id(text: str | None) -> str | None:
    """Return a container ID without the runtime's scheme: `containerd://abc` is `abc`."""
    return text.rsplit("/", 1)[-1] or None if text else None


def _memory(resources: Mapping[str, Any] | None, which: str) -> int | None:
    value = ((resources or {}).get(which) or {}).get("memory")
    try:
        return None if value is None else parse_bytes(str(value))
    except ValueError:
        return None


def _in_force(status: Mapping[str, Any], spec: Mapping[str, Any], which: str) -> int | None:
    """Return the value of the status, which knows of resizes, else that of the spec."""
    actual = status.get("resources")
    return _memory(actual if actual and actual.get(which) is not None else spec.get("resources"), which)


def _terminations(status: Mapping[str, Any]) -> Iterator[Termination]:
    for key in ("state", "lastState"):
        end = (status.get(key) or {}).get("terminated")
        identity = runtime_id(end.get("containerID")) if end else None
        if end and identity:
            reason = end.get("reason")
            yield Termination(identity, intern(reason) if reason else None, end.get("exitCode"), end.get("finishedAt"))


def _heap(spec: Mapping[str, Any]) -> tuple[tuple[tuple[str, float], ...], bool]:
    """Return a container's heap settings as far as its spec shows them, and whether some of it is hidden."""
    entries = spec.get("env") or ()
    env = {str(entry["name"]): str(entry["value"]) for entry in entries if entry.get("value") is not None}
    args = [str(word) for key in ("command", "args") for word in spec.get(key) or ()]
    elsewhere = (name for entry in entries if entry.get("valueFrom") for name in (str(entry["name"]),))
    hidden = bool(spec.get("envFrom")) or any(holds_heap_settings(name) for name in elsewhere)
    found = heap_settings(env, args) if env or args else {}
    return tuple((intern(name), value) for name, value in sorted(found.items())[:MOST_HEAP_SETTINGS]), hidden


def _container(spec: Mapping[str, Any], status: Mapping[str, Any], role: Role) -> Container:
    image = spec.get("image")
    heap, hidden = _heap(spec)
    return Container(
        name=intern(spec["name"]),
        role=role,
        image=intern(image[:LONGEST_IMAGE]) if image else None,
        limit=_in_force(status, spec, "limits"),
        request=_in_force(status, spec, "requests"),
        container_id=runtime_id(status.get("containerID")),
        restart_count=status.get("restartCount"),
        terminations=tuple(_terminations(status)),
        heap=heap,
        heap_hidden=hidden,
    )


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Container]:
    for spec_key, status_key, role in (
        ("containers", "containerStatuses", Role.REGULAR),
        ("initContainers", "initContainerStatuses", Role.INIT),
        ("ephemeralContainers", "ephemeralContainerStatuses", Role.EPHEMERAL),
    ):
        statuses = {entry.get("name"): entry for entry in status.get(status_key) or ()}
        for entry in spec.get(spec_key) or ():
            sidecar = role is Role.INIT and entry.get("restartPolicy") == "Always"
            yield _container(entry, statuses.get(entry["name"], {}), Role.SIDECAR if sidecar else role)


def controller_of(metadata: Mapping[str, Any]) -> Owner | None:
    """Return the owner that controls an object, None when none does, or by words that name nothing."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            version, kind, name = reference["apiVersion"], reference["kind"], reference["name"]
            if _OWNER.fullmatch(f"{version} {kind} {name}") is None:
                return None
            return Owner(intern(version), intern(kind), intern(name), reference["uid"])
    return None


def _eviction(status: Mapping[str, Any]) -> Eviction | None:
    """Return the eviction for memory; one for disk or process IDs, or a pod that was never let in, is none."""
    message = str(status.get("message") or "")
    if status.get("reason") != _EVICTED or _LOW_ON_MEMORY not in message:
        return None
    ends = [end.finished for entry in status.get("containerStatuses") or () for end in _terminations(entry)]
    asked = [
        condition.get("lastTransitionTime")
        for condition in status.get("conditions") or ()
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
    ]
    times = [moment for moment in (*ends, *asked) if moment]
    return Eviction(message[:1024], max(times) if times else None)


def project(pod: Mapping[str, Any]) -> Pod:
    """Return the projection of a pod as the API gives it. Raises KeyError when it is none."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    labels = metadata.get("labels") or {}
    owner = controller_of(metadata)
    return Pod(
        uid=(metadata.get("annotations") or {}).get(_MIRROR) or metadata["uid"],
        name=metadata["name"],
        namespace=intern(metadata["namespace"]),
        node=intern(spec["nodeName"]) if spec.get("nodeName") else None,
        phase=intern(status["phase"]) if status.get("phase") else None,
        owner=None if owner is not None and owner.kind == "Node" else owner,
        api_uid=metadata["uid"],
        revision=next((labels[name] for name in _REVISION_LABELS if name in labels), None),
        limit=_memory(spec.get("resources"), "limits"),
        containers=tuple(_containers(spec, status)),
        deleting=metadata.get("deletionTimestamp") is not None,
        eviction=_eviction(status),
    )
