"""The API as second witness: how containers ended, kills that no agent reported, evictions, and repeated SIGKILLs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from memdiag.controller import evictions
from memdiag.controller.diagnoser import Diagnoser, Subject, incidents_of
from memdiag.controller.incidents import RUN_LABEL, from_status, pod_status, run_label
from memdiag.controller.installation import Installation
from memdiag.controller.metrics import Metrics, SuspectOutcome
from memdiag.controller.podbook import Ended
from memdiag.controller.sigkills import Repeated, Sigkills, is_suspect, trace_of
from memdiag.kube.api import AlreadyExistsError, Api, ApiError, NotFoundError
from memdiag.kube.kinds import INCIDENT
from memdiag.kube.memory_incident import Source
from memdiag.kube.pods import SIGKILLED, Pod, Termination
from memdiag.kube.workload import find_workload
from memdiag.model.kill import KillKind
from memdiag.model.report import from_rfc3339

_log = logging.getLogger(__name__)
_GRACE = 30.0
"""Seconds that an agent's report may take longer than the pod's status."""
_TICK = 1.0
_MOST_EXPECTED = 5_000
_MOST_KNOWN = 50_000
_OOM_KILLED = "OOMKilled"
_INCIDENTS_A_PAGE = "50"

_Record = Callable[[], tuple[Subject, dict[str, Any] | None] | None]
"""Writes an incident and returns its subject, with the incident when it is new; None when there is none to write."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """An incident that lacks the API's word on its container's end."""

    namespace: str
    name: str
    ended: bool
    """The container ended with the kill."""


class SecondWitness:
    """Belongs to the event loop, except for `load`, which blocks and comes first."""

    def __init__(
        self,
        api: Api,
        diagnoser: Diagnoser,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        grace: float = _GRACE,
        metrics: Metrics | None = None,
        installation: Installation | None = None,
        tick: float = _TICK,
        enabled: bool = True,
        agents: bool = True,
    ) -> None:
        self._api = api
        self._diagnoser = diagnoser
        self._clock = clock
        self._wall = wall
        self._grace = grace
        self._metrics = metrics or Metrics()
        self._installation = installation
        self._tick = tick
        self._enabled = enabled
        self._agents = agents
        self._expected: OrderedDict[str, _Expected] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._suspects: dict[str, tuple[Ended, float]] = {}
        self._sigkills = Sigkills(clock, wall, grace)
        self._evicted: OrderedDict[str, None] = OrderedDict()
        self._evictions: dict[str, tuple[Pod, float]] = {}
        self._ends: asyncio.Queue[tuple[str, str, Termination]] = asyncio.Queue()
        self.reported: Callable[[str], bool] = lambda _container_id: False
        """Says whether an agent's report of a run is under way."""

    def load(self) -> None:
        """Read the incidents that exist: those runs need no second one, and some still lack the API's word."""
        for page in self._api.pages(INCIDENT.path(), {"limit": _INCIDENTS_A_PAGE}):
            for item in page.get("items") or ():
                self._remember(item)
                if self._installation is not None:
                    self._installation.recall(item)
                if not (item.get("status") or {}).get("podStatus"):
                    self._expect(item)

    def expect(self, incident: Mapping[str, Any], end: Termination | None) -> None:
        """Wait for the API's word on an incident that was just written, or write down what is known."""
        self._remember(incident)
        self._expect(incident)
        if end is not None:
            self._fill(end)

    def knows(self, container_id: str) -> bool:
        """Say whether a run has an incident already. May be called from any thread."""
        return container_id in self._known

    def ended(self, end: Ended) -> None:
        """Take in a container's end."""
        self._fill(end.termination)
        died = end.termination
        if died.exit_code == SIGKILLED and died.reason != _OOM_KILLED:
            self._metrics.suspects.labels(SuspectOutcome.SEEN).inc()
        if not self._enabled:
            return
        if died.reason == _OOM_KILLED and died.container_id not in self._known:
            self._suspects.setdefault(died.container_id, (end, self._clock() + self._grace))
        elif self._agents and is_suspect(end):
            self._sigkills.add(end)

    def pod(self, pod: Pod) -> None:
        """Take in that a pod is being deleted, or was evicted."""
        if pod.deleting:
            self._sigkills.forget(pod.uid)
        if self._enabled and pod.eviction is not None and pod.uid not in self._evicted:
            self._evictions.setdefault(pod.uid, (pod, self._clock()))

    async def run(self) -> None:
        """Write what was seen, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_ends(), name="ends of containers")
            group.create_task(self._confirm_suspects(), name="kills that nobody reported")

    def _remember(self, incident: Mapping[str, Any]) -> None:
        spec = incident["spec"]
        if spec["kill"]["kind"] == KillKind.EVICTED:
            _keep(self._evicted, spec["pod"]["uid"])
        else:
            _keep(self._known, spec["containerID"])

    def _expect(self, incident: Mapping[str, Any]) -> None:
        spec, metadata = incident["spec"], incident["metadata"]
        kind, run = spec["kill"]["kind"], spec["containerID"]
        if kind == KillKind.EVICTED:
            return
        alone = spec["source"] == Source.POD_STATUS
        ended = kind == KillKind.CONTAINER_KILLED or bool(spec["kill"].get("containerDied")) or alone
        before = self._expected.get(run)
        if before is not None and before.ended and not ended:
            return
        self._expected[run] = _Expected(metadata["namespace"], metadata["name"], ended)
        while len(self._expected) > _MOST_EXPECTED:
            self._expected.popitem(last=False)

    def _fill(self, end: Termination) -> None:
        """Give an incident the API's word. On a kill that the container outlived it has one only as OOMKilled."""
        expected = self._expected.pop(end.container_id, None)
        if expected is not None and (expected.ended or end.reason == _OOM_KILLED):
            self._ends.put_nowait((expected.namespace, expected.name, end))

    async def _write_ends(self) -> None:
        while True:
            namespace, name, end = await self._ends.get()
            try:
                await asyncio.to_thread(self._api.patch, f"{INCIDENT.path(namespace, name)}/status", pod_status(end))
            except NotFoundError:
                continue
            except ApiError as error:
                _log.warning("end of incident %s/%s not written, trying again: %s", namespace, name, error)
                await asyncio.sleep(self._tick)
                self._ends.put_nowait((namespace, name, end))
            except Exception:  # noqa: BLE001  # one end that cannot be written must not stop the others
                _log.exception("end of incident %s/%s cannot be written, it is left", namespace, name)

    async def _confirm_suspects(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            for run, (end, due) in list(self._suspects.items()):
                if due > self._clock():
                    continue
                if run in self._known:
                    del self._suspects[run]
                elif self.reported(run):
                    self._suspects[run] = (end, self._clock() + self._grace)
                elif await self._written(end.pod, partial(self._record, end), end.termination):
                    del self._suspects[run]
                else:
                    self._suspects[run] = (end, self._clock() + self._grace)
            for uid, (pod, due) in list(self._evictions.items()):
                if due > self._clock():
                    continue
                if uid in self._evicted or await self._written(pod, partial(self._record_eviction, pod)):
                    del self._evictions[uid]
                    _keep(self._evicted, uid)
                else:
                    self._evictions[uid] = (pod, self._clock() + self._grace)
            await self._judge_sigkills()

    async def _judge_sigkills(self) -> None:
        kernel = self._sigkills.confirmed(lambda run: run in self._known or self.reported(run))
        self._metrics.suspects.labels(SuspectOutcome.KERNEL_KILL).inc(kernel)
        for found in self._sigkills.repeated():
            try:
                written = await asyncio.to_thread(self._diagnose_sigkills, found)
            except ApiError as error:
                _log.warning("repeated SIGKILL of pod %s not written: %s", found.pod.name, error)
                for end in found.ends:
                    self._sigkills.add(end)
                continue
            except Exception:  # noqa: BLE001  # one verdict that fails must not stop the others
                _log.exception("repeated SIGKILL of pod %s cannot be told, it is left", found.pod.name)
                continue
            if written:
                self._metrics.suspects.labels(SuspectOutcome.DIAGNOSED).inc(len(found.ends))

    def _diagnose_sigkills(self, found: Repeated) -> bool:
        """Write a diagnosis without an incident: nothing was killed for memory. Blocks."""
        pod = found.pod
        workload = find_workload(pod, self._api)
        subject = Subject(pod.namespace, workload, found.container.name)
        written = self._diagnoser.write_without_kill(subject, trace_of(found, pod.namespace, workload))
        if written:
            names = _names(pod.namespace, pod.name, subject.container)
            _log.info("container keeps ending with 137 without a kernel kill", extra=names)
        return written

    async def _written(self, pod: Pod, record: _Record, end: Termination | None = None) -> bool:
        """Record a kill and have it diagnosed; say False when that is to be tried again."""
        try:
            recorded = await asyncio.to_thread(record)
            if recorded is not None:
                subject, incident = recorded
                if incident is not None:
                    self.expect(incident, end)
                await self._diagnoser.request(subject)
        except NotFoundError:
            return True
        except ApiError as error:
            _log.warning("kill of pod %s not recorded, trying again: %s", pod.name, error)
            return False
        except Exception:  # noqa: BLE001  # one pod of which nothing can be told must not stop the others
            _log.exception("kill of pod %s cannot be recorded, it is left", pod.name)
        return True

    def _record(self, end: Ended) -> tuple[Subject, dict[str, Any] | None]:
        """Create the incident, None when one exists or the kill is older than what is kept. Blocks."""
        pod = end.pod
        workload = find_workload(pod, self._api)
        subject = Subject(pod.namespace, workload, end.container.name)
        if self._list(pod.namespace, f"{RUN_LABEL}={run_label(end.termination.container_id)}"):
            return subject, None
        body = from_status(pod, end.container, end.termination, workload, self._wall())
        return subject, self._create(subject, body)

    def _record_eviction(self, pod: Pod) -> tuple[Subject, dict[str, Any] | None] | None:
        """Create the incident of an evicted pod. Blocks."""
        workload = find_workload(pod, self._api)
        body = evictions.incident_of(pod, workload, self._wall())
        if body is None:
            return None
        subject = Subject(pod.namespace, workload, body["spec"]["container"])
        return subject, self._create(subject, body)

    def _create(self, subject: Subject, body: dict[str, Any]) -> dict[str, Any] | None:
        spec = body["spec"]
        kept = incidents_of(self._api, subject)
        moment = from_rfc3339(spec["kill"]["time"])
        oldest = min((incident.when for incident in kept), default=moment)
        if len(kept) >= self._diagnoser.keep and moment < oldest:
            return None
        if self._installation is not None:
            self._installation.mark(body)
        try:
            self._api.create(INCIDENT.path(subject.namespace), body)
        except AlreadyExistsError:
            return None
        if self._installation is not None:
            self._installation.count(body)
        self._metrics.incidents.labels(spec["kill"]["kind"], spec["kill"]["limitHit"]).inc()
        _log.info(
            "kill recorded by the pod's status alone",
            extra=_names(subject.namespace, spec["pod"]["name"], subject.container),
        )
        return body

    def _list(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        query = {"labelSelector": selector, "limit": _INCIDENTS_A_PAGE}
        return [item for page in self._api.pages(INCIDENT.path(namespace), query) for item in page.get("items") or ()]


def _keep(entries: OrderedDict[str, None], key: str) -> None:
    entries[key] = None
    while len(entries) > _MOST_KNOWN:
        entries.popitem(last=False)


def _names(namespace: str, pod: str, container: str) -> dict[str, str]:
    return {"k8s.namespace.name": namespace, "k8s.pod.name": pod, "k8s.container.name": container}
