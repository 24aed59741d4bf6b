"""The API as second witness: it fills in how the container ended, and tells of OOM kills that no agent reported."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from memdiag.controller.diagnoser import Diagnoser, Subject
from memdiag.controller.incidents import DIAGNOSIS_LABEL, RUN_LABEL, from_status, pod_status, run_label
from memdiag.controller.kills import KEPT_INCIDENTS
from memdiag.controller.metrics import Metrics
from memdiag.controller.podbook import Ended
from memdiag.kube.api import AlreadyExistsError, Api, ApiError, NotFoundError
from memdiag.kube.kinds import INCIDENT
from memdiag.kube.pods import Termination
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
    ) -> None:
        self._api = api
        self._diagnoser = diagnoser
        self._clock = clock
        self._wall = wall
        self._grace = grace
        self._metrics = metrics or Metrics()
        self._expected: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._suspects: dict[str, tuple[Ended, float]] = {}
        self._ends: asyncio.Queue[tuple[str, str, Termination]] = asyncio.Queue()
        self.reported: Callable[[str], bool] = lambda _container_id: False
        """Says whether an agent's report of a run is under way."""

    def load(self) -> None:
        """Read the incidents that exist: those runs need no second one, and some still lack the API's word."""
        for page in self._api.pages(INCIDENT.path(), {"limit": _INCIDENTS_A_PAGE}):
            for item in page.get("items") or ():
                self._remember(item)
                if not (item.get("status") or {}).get("podStatus"):
                    self._expect(item)

    def expect(self, incident: Mapping[str, Any], end: Termination | None) -> None:
        """Wait for the API's word on an incident that was just written, or write down what is known."""
        self._remember(incident)
        self._expect(incident)
        if end is not None:
            self._fill(end)

    def ended(self, end: Ended) -> None:
        """Take in a container's end."""
        self._fill(end.termination)
        run = end.termination.container_id
        if end.termination.reason == _OOM_KILLED and run not in self._known:
            self._suspects.setdefault(run, (end, self._clock() + self._grace))

    async def run(self) -> None:
        """Write what was seen, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_ends(), name="ends of containers")
            group.create_task(self._confirm_suspects(), name="kills that nobody reported")

    def _remember(self, incident: Mapping[str, Any]) -> None:
        self._known[incident["spec"]["containerID"]] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _expect(self, incident: Mapping[str, Any]) -> None:
        spec, metadata = incident["spec"], incident["metadata"]
        if spec["kill"]["kind"] == KillKind.CONTAINER_KILLED:
            self._expected[spec["containerID"]] = (metadata["namespace"], metadata["name"])
            while len(self._expected) > _MOST_EXPECTED:
                self._expected.popitem(last=False)

    def _fill(self, end: Termination) -> None:
        place = self._expected.pop(end.container_id, None)
        if place is not None:
            self._ends.put_nowait((*place, end))

    async def _write_ends(self) -> None:
        while True:
            namespace, name, end = await self._ends.get()
            try:
                await asyncio.to_thread(self._api.patch, f"{INCIDENT.path(namespace, name)}/status", pod_status(end))
            except NotFoundError:
                continue
            except ApiError as error:
                _log.warning("end of incident %s/%s not written, trying again: %s", namespace, name, error)
                await asyncio.sleep(_TICK)
                self._ends.put_nowait((namespace, name, end))

    async def _confirm_suspects(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for run, (end, due) in list(self._suspects.items()):
                if due > self._clock():
                    continue
                if run in self._known:
                    del self._suspects[run]
                elif self.reported(run):
                    self._suspects[run] = (end, self._clock() + self._grace)
                else:
                    await self._confirm(run, end)

    async def _confirm(self, run: str, end: Ended) -> None:
        try:
            subject, incident = await asyncio.to_thread(self._record, end)
            if incident is not None:
                self.expect(incident, end.termination)
                await self._diagnoser.request(subject)
        except NotFoundError:
            pass
        except ApiError as error:
            _log.warning("kill of pod %s not recorded, trying again: %s", end.pod.name, error)
            self._suspects[run] = (end, self._clock() + self._grace)
            return
        self._suspects.pop(run, None)

    def _record(self, end: Ended) -> tuple[Subject, dict[str, Any] | None]:
        """Create the incident, None when one exists or the kill is older than what is kept. Blocks."""
        pod = end.pod
        workload = find_workload(pod, self._api)
        subject = Subject(pod.namespace, workload, end.container.name)
        if self._list(pod.namespace, f"{RUN_LABEL}={run_label(end.termination.container_id)}"):
            return subject, None
        kept = self._list(pod.namespace, f"{DIAGNOSIS_LABEL}={subject.name}")
        body = from_status(pod, end.container, end.termination, workload, self._wall())
        moment = from_rfc3339(body["spec"]["kill"]["time"])
        if len(kept) >= KEPT_INCIDENTS and moment < min(from_rfc3339(item["spec"]["kill"]["time"]) for item in kept):
            return subject, None
        try:
            self._api.create(INCIDENT.path(pod.namespace), body)
        except AlreadyExistsError:
            return subject, None
        kill = body["spec"]["kill"]
        self._metrics.incidents.labels(kill["kind"], kill["limitHit"]).inc()
        _log.info(
            "kill recorded by the pod's status alone", extra={"k8s.namespace.name": pod.namespace,
            "k8s.pod.name": pod.name, "k8s.container.name": end.container.name},
        )  # fmt: skip
        return subject, body

    def _list(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        query = {"labelSelector": selector, "limit": _INCIDENTS_A_PAGE}
        return [item for page in self._api.pages(INCIDENT.path(namespace), query) for item in page.get("items") or ()]
