"""The pods that the watch shows, and for a while the names behind container IDs and pods that are gone."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from memdiag.kube.pods import Container, Pod, Termination, project

KEPT_SECONDS = 2 * 3600.0
_MOST_GONE_PODS = 5_000
_MOST_RESTARTED_PODS = 10_000
_MOST_PAST_RUNS = 32
"""Runs remembered of one pod."""
_LIVING = ("Pending", "Running")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that a pod's status no longer shows."""

    container: str
    restarts: int | None
    termination: Termination | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A container's end that was seen for the first time."""

    pod: Pod
    container: Container
    termination: Termination


class PodBook:
    """Filled by the watching thread, read by the event loop: every method takes the lock for a moment."""

    def __init__(
        self, tell: Callable[[Pod, list[Ended]], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._living: dict[str, Pod] = {}
        self._api_uids: dict[str, str] = {}
        self._gone: OrderedDict[str, tuple[Pod, float]] = OrderedDict()
        self._past: OrderedDict[str, tuple[dict[str, PastRun], float]] = OrderedDict()

    def changed(self, item: Mapping[str, Any]) -> None:
        """Take in a pod that is there."""
        pod = project(item)
        with self._lock:
            before = self._living.get(pod.uid)
            if _claims(pod, before or self._gone.get(pod.uid, (None,))[0]):
                pod, before = replace(pod, uid=pod.api_uid), self._living.get(pod.api_uid)
            elif before is not None and _claims(before, pod):
                before = None
            self._living[pod.uid] = pod
            self._api_uids[pod.api_uid] = pod.uid
            self._gone.pop(pod.uid, None)
            if before is not None:
                self._remember_runs(before, pod)
            ended = list(_newly_ended(before, pod))
        if self._tell is not None:
            self._tell(pod, ended)

    def removed(self, item: Mapping[str, Any]) -> None:
        """Take in a pod's last state and remember it as gone."""
        self.changed(item)
        self._bury([item["metadata"]["uid"]])

    def listed(self, uids: set[str]) -> None:
        """Remember every pod as gone that a whole list did not show."""
        with self._lock:
            missing = [api_uid for api_uid in self._api_uids if api_uid not in uids]
        self._bury(missing)

    def find(self, uid: str) -> Pod | None:
        """Return the pod, living or gone a while ago."""
        with self._lock:
            living = self._living.get(uid)
            if living is not None:
                return living
            gone = self._gone.get(uid)
            return None if gone is None else gone[0]

    def lives(self, uid: str) -> bool:
        """Say whether the pod was there when the watch last said something of it."""
        with self._lock:
            return uid in self._living

    def living(self) -> list[Pod]:
        """Return all pods that are there."""
        with self._lock:
            return list(self._living.values())

    def alike(self, uid: str) -> tuple[str, ...]:
        """Return the names of the living pods that have the same controller as this one, itself included."""
        pod = self.find(uid)
        if pod is None or pod.owner is None:
            return ()
        mine = pod.owner.uid
        alike = (one for one in self.living() if one.owner is not None and one.owner.uid == mine)
        return tuple(one.name for one in alike if one.phase in _LIVING)

    def limit(self, uid: str) -> int | None:
        """Return what a pod's spec allows all its containers together, in bytes; None where it does not say."""
        pod = self.find(uid)
        return None if pod is None else pod.limit

    def past_runs(self, pod_uid: str) -> Mapping[str, PastRun]:
        """Return the remembered runs of a pod by container ID, those that its status shows left out."""
        with self._lock:
            return dict(self._past.get(pod_uid, ({}, 0.0))[0])

    def __len__(self) -> int:
        return len(self._living)

    def _bury(self, api_uids: list[str]) -> None:
        now = self._clock()
        with self._lock:
            for api_uid in api_uids:
                uid = self._api_uids.pop(api_uid, None)
                pod = None if uid is None else self._living.get(uid)
                if pod is not None and pod.api_uid == api_uid:
                    del self._living[pod.uid]
                    self._gone[pod.uid] = (pod, now)
            _forget(self._gone, _MOST_GONE_PODS, lambda entry: entry[1] < now - KEPT_SECONDS)

    def _remember_runs(self, before: Pod, after: Pod) -> None:
        now = self._clock()
        shown = {identity for container in after.containers for identity in container.ids()}
        vanished = {
            identity: PastRun(container.name, container.restarts_before(identity), container.termination_of(identity))
            for container in before.containers
            for identity in container.ids()
            if identity not in shown
        }
        if vanished:
            runs = {**self._past.pop(after.uid, ({}, 0.0))[0], **vanished}
            self._past[after.uid] = (dict(list(runs.items())[-_MOST_PAST_RUNS:]), now)
        _forget(self._past, _MOST_RESTARTED_PODS, lambda entry: entry[1] < now - KEPT_SECONDS)


def _claims(pod: Pod, real: Pod | None) -> bool:
    """Say whether a pod calls itself the mirror of one that is no static pod: anybody can write that annotation."""
    return pod.uid != pod.api_uid and real is not None and real.uid == real.api_uid


def _newly_ended(before: Pod | None, after: Pod) -> Iterator[Ended]:
    known = {end for container in before.containers for end in container.terminations} if before else set()
    for container in after.containers:
        for end in container.terminations:
            if end not in known:
                yield Ended(after, container, end)


def _forget(entries: OrderedDict[str, _V], most: int, old: Callable[[_V], bool]) -> None:
    while entries and (len(entries) > most or old(next(iter(entries.values())))):
        entries.popitem(last=False)
