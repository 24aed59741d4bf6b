"""From the IDs of a report to a container's name, role and limits: by the pod's status, or by elimination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memdiag.controller.podbook import PastRun
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import SIGKILLED, Container, Pod, Termination

UNKNOWN_CONTAINER = "unknown"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a report's container ID stands for."""

    name: str
    container: Container | None
    """None when nothing tells which container it was."""
    restarts: int | None
    termination: Termination | None
    doubt: str | None = None
    """How the name was found, when not by the pod's status."""


def by_status(container_id: str, pod: Pod, past: Mapping[str, PastRun]) -> Resolved | None:
    """Return the container that has or had the ID, None when no status named it so far."""
    for container in pod.containers:
        if container_id in container.ids():
            return Resolved(
                container.name,
                container,
                container.restarts_before(container_id),
                container.termination_of(container_id),
            )
    run = past.get(container_id)
    if run is None:
        return None
    now = next((container for container in pod.containers if container.name == run.container), None)
    return Resolved(run.container, now, run.restarts, run.termination)


def by_elimination(report: MemoryReportSpec, pod: Pod, *, patient: bool) -> Resolved | None:
    """Return the container that it can only have been: the pod's single one at once, others when waiting is over.

    `patient` says that the status may still show the ID, so only what is certain is answered. A run that no container
    can be told for gets the name "unknown": a kill is never lost for want of a name.
    """
    if len(pod.containers) == 1:
        only = pod.containers[0]
        return Resolved(only.name, only, None, None, "the pod's only container; its status did not show the ID yet")
    if patient:
        return None
    limit = report.container.max if report.container is not None else None
    alike = [container for container in pod.containers if container.limit is not None and str(container.limit) == limit]
    if len(alike) == 1:
        return Resolved(
            alike[0].name, alike[0], None, None, "container's name: taken from its limit, no status showed its ID"
        )
    return Resolved(
        UNKNOWN_CONTAINER,
        None,
        None,
        None,
        "container's name: no status of the pod showed its ID (the pod's sandbox, or a run older than the operator)",
    )


def died(report: MemoryReportSpec, resolved: Resolved) -> bool | None:
    """Return whether the container ended with the kill, None while neither the agent nor the status tells.

    One that ended otherwise than by SIGKILL lost a process and then ended by itself.
    """
    if report.kill.container_died is not None:
        return report.kill.container_died
    if resolved.termination is None:
        return None
    return resolved.termination.exit_code in {None, SIGKILLED}


def replaced(report: MemoryReportSpec, resolved: Resolved) -> bool:
    """Return whether the container's name has another run by now: all that is left to tell when nobody saw an end."""
    current = None if resolved.container is None else resolved.container.container_id
    return current is not None and current != report.container_id
