"""OOM kills that a cluster's pods still tell of, by the workload's container; nothing needs to be installed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from memdiag.cli.target import Target
from memdiag.controller import evictions
from memdiag.controller.diagnoser import Subject
from memdiag.controller.incidents import from_status, pod_status
from memdiag.controller.longhistory import WINDOW
from memdiag.controller.podbook import PodBook
from memdiag.controller.traces import Incident, read
from memdiag.controller.workloads import Workloads
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload

_OOM_KILLED = "OOMKilled"


@dataclass(slots=True)
class Killed:
    """One workload's container that was killed."""

    subject: Subject
    incidents: list[Incident] = field(default_factory=list)
    """What the pods' status tells, as the operator would write it down."""
    alike: tuple[str, ...] = ()
    """Living pods of the workload."""
    pod_limit: int | None = None
    """What the spec of a pod of it allows all its containers together, bytes."""
    hours: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By pod: ends (Unix seconds) of the hours in which a store says that its container had last ended OOMKilled."""


Found = dict[tuple[str, str], Killed]
"""By namespace and the name that the diagnosis would have."""


def entry(found: Found, namespace: str, workload: Workload, container: str) -> Killed:
    """Return what is found of a workload's container, added if it is new."""
    subject = Subject(namespace, workload, container)
    return found.setdefault((namespace, subject.name), Killed(subject))


@dataclass(frozen=True, slots=True)
class Look:
    """The pods of a target as they are now (Unix seconds)."""

    target: Target
    now: float
    book: PodBook
    workloads: Workloads


def look(target: Target, now: float, read: Callable[[int], None]) -> Look:
    """Read the pods of the target; `read` is told of how many each page was. Raises ApiError."""
    book = PodBook()
    path = "/api/v1/pods" if target.namespace is None else f"/api/v1/namespaces/{target.namespace}/pods"
    for page in target.api.pages(path):
        items = page.get("items") or ()
        for item in items:
            book.changed(item)
        read(len(items))
    return Look(target, now, book, Workloads(target.api))


def _incidents(pod: Pod, workload: Workload, now: float) -> Iterator[tuple[str, Incident]]:
    for container in pod.containers:
        for end in container.terminations:
            if end.reason == _OOM_KILLED:
                body = from_status(pod, container, end, workload, now)
                yield container.name, read({**body, **pod_status(end)})
    evicted = evictions.incident_of(pod, workload, now)
    if evicted is not None:
        incident = read(evicted)
        yield incident.spec.container, incident


def _tells(pod: Pod) -> bool:
    ends = (end.reason for container in pod.containers for end in container.terminations)
    return pod.eviction is not None or _OOM_KILLED in ends


def kills_of(seen: Look) -> Found:
    """Return the kills of the last two weeks of which the pods tell. Raises ApiError."""
    found: Found = {}
    for pod in seen.book.living():
        if not _tells(pod):
            continue
        workload = seen.workloads.of(pod)
        for container, incident in _incidents(pod, workload, seen.now):
            if incident.time >= seen.now - WINDOW:
                killed = entry(found, pod.namespace, workload, container)
                killed.incidents.append(incident)
                killed.alike = killed.alike or seen.book.alike(pod.uid)
                killed.pod_limit = pod.limit
    return found
