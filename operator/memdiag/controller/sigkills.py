"""Containers of living pods that keep ending with 137 though no kernel kill is behind it.

One such end is only a suspect: a pod that ignores SIGTERM ends with 137 on every roll-out. Only a pod that nobody
deletes, with several ends in an hour, is worth a word, most often about a liveness probe that fails.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from memdiag.controller.podbook import Ended
from memdiag.kube.pods import SIGKILLED, Container, Pod
from memdiag.kube.workload import Workload
from memdiag.model.report import from_rfc3339
from memdiag.model.trace import Run, RunEnd, Trace

TIMES = 3
WITHIN = 3600.0
_MOST_CONTAINERS = 5_000
_MOST_RUNS = 8


@dataclass(frozen=True, slots=True)
class _Seen:
    end: Ended
    at: float
    """Clock of the operator, for the grace in which an agent may still report a kernel kill."""
    ended: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A container that was killed again and again, its ends oldest first."""

    pod: Pod
    container: Container
    ends: tuple[Ended, ...]
    times: tuple[float, ...]


def is_suspect(end: Ended) -> bool:
    """Say whether a container's end is a SIGKILL of which the API does not say that it was for memory."""
    died = end.termination
    asked_for = end.pod.deleting or end.pod.eviction is not None
    return died.exit_code == SIGKILLED and died.reason != "OOMKilled" and not asked_for


class Sigkills:
    """Remembers suspects; belongs to the event loop. Bounded: the containers that were quiet longest are forgotten."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float], grace: float) -> None:
        self._clock = clock
        self._wall = wall
        self._grace = grace
        self._containers: OrderedDict[tuple[str, str], dict[str, _Seen]] = OrderedDict()

    def add(self, end: Ended) -> None:
        """Take in a suspect."""
        key = (end.pod.uid, end.container.name)
        runs = self._containers.pop(key, {})
        finished = end.termination.finished
        moment = self._wall() if finished is None else from_rfc3339(finished)
        runs.setdefault(end.termination.container_id, _Seen(end, self._clock(), moment))
        while len(runs) > _MOST_RUNS:
            runs.pop(next(iter(runs)))
        self._containers[key] = runs
        while len(self._containers) > _MOST_CONTAINERS:
            self._containers.popitem(last=False)

    def forget(self, pod_uid: str) -> None:
        """Forget a pod that is being ended on purpose."""
        for key in [key for key in self._containers if key[0] == pod_uid]:
            del self._containers[key]

    def confirmed(self, explained: Callable[[str], bool]) -> int:
        """Drop the ends that turned out to be kernel kills; return how many."""
        dropped = 0
        for key, runs in list(self._containers.items()):
            kernel = [run for run in runs if explained(run)]
            for run in kernel:
                del runs[run]
            dropped += len(kernel)
            if not runs:
                del self._containers[key]
        return dropped

    def repeated(self) -> list[Repeated]:
        """Return the containers with enough ends, each past its grace, and begin counting them anew."""
        due, now, wall = [], self._clock(), self._wall()
        for key, runs in list(self._containers.items()):
            settled = [seen for seen in runs.values() if seen.at + self._grace <= now]
            recent = sorted((seen for seen in settled if seen.ended > wall - WITHIN), key=lambda seen: seen.ended)
            if len(recent) >= TIMES:
                last = recent[-1].end
                ends, times = tuple(seen.end for seen in recent), tuple(seen.ended for seen in recent)
                due.append(Repeated(last.pod, last.container, ends, times))
                del self._containers[key]
            elif settled and max(seen.ended for seen in settled) < wall - WITHIN and len(settled) == len(runs):
                del self._containers[key]
        return due


def trace_of(found: Repeated, namespace: str, workload: Workload) -> Trace:
    """Return the trace that says what is known: ends with 137 behind which the kernel's counters show no kill."""
    runs = tuple(
        Run(
            container_id=end.termination.container_id,
            image=end.container.image,
            revision=end.pod.revision,
            end=RunEnd(t=moment, exit_code=end.termination.exit_code, reason=end.termination.reason, killed=False),
        )
        for end, moment in zip(found.ends, found.times, strict=True)
    )
    return Trace(
        runs=runs,
        namespace=namespace,
        pod=found.pod.name,
        container=found.container.name,
        workload_kind=workload.kind,
        workload_name=workload.name,
        node=found.pod.node,
        limit_bytes=found.container.limit,
        request_bytes=found.container.request,
    )
