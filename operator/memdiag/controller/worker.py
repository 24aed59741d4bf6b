"""From reports to incidents: a queue keyed by report, patient with what is not known yet, never losing a kill."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memdiag.controller import forecasts, incidents, resolve
from memdiag.controller.diagnoser import Diagnoser, Subject
from memdiag.controller.installation import Installation
from memdiag.controller.metrics import Metrics, ReportOutcome
from memdiag.controller.podbook import PodBook
from memdiag.controller.secondwitness import SecondWitness
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import AlreadyExistsError, Api, ApiError, NotFoundError, TransientError
from memdiag.kube.kinds import INCIDENT, REPORT
from memdiag.kube.memory_incident import Source
from memdiag.kube.memory_report import MemoryReportSpec, ReportSpec, TrendReportSpec
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload
from memdiag.model.identity import incident_key
from memdiag.model.report import from_rfc3339

_log = logging.getLogger(__name__)
_UNDER_WAY = 1_000
"""Reports whose incident may wait for its diagnosis: in a storm many incidents of a workload are diagnosed at once."""
_AT_ONCE = 8
"""Reports of which incidents are written, or which are deleted, at the same time."""
_PATIENCE = 30.0
"""Seconds for which the pod's status may still show a container ID, or its end."""
_LOOK_AGAIN = 1.0
_UNRESOLVED = 600.0
"""Seconds after which a report that cannot be resolved is tried slowly."""
_SLOWLY = 300.0
_NO_SUCH_POD = 24 * 3600.0
"""Seconds after which a report of a pod that the API does not show is given up: it went while no operator looked."""
_LONGEST_PAUSE = 15.0
_MANY, _WITHIN = 20, 2.0
"""So many reports within so many seconds, or so many without an incident yet, are more than there can be verdicts."""


_Recorded = tuple[ReportOutcome, Subject | None, str | None]
"""What became of a report, what is to be diagnosed, and the incident that the diagnosis is to count."""


@dataclass(slots=True)
class _Item:
    """One report on its way."""

    namespace: str
    packed: bytes
    """Its spec; as objects it would take six times as much, and in a storm there are thousands."""
    trend: bool
    """It tells of a trend, not of a kill."""
    pod_uid: str
    container_id: str
    made: float
    """Unix seconds."""
    since: float
    due: float
    attempts: int = 0
    recorded: _Recorded | None = None
    """Set once its incident is written: what the pod's status shows later makes no other kill of it."""
    failing: bool = False
    """The last attempt failed, unlike one that waits for what is not known yet."""
    timer: asyncio.TimerHandle | None = None
    warned: bool = False

    def spec(self) -> Any:
        """Return the report's spec."""
        return json.loads(zlib.decompress(self.packed))


class _NotYetError(Exception):
    """Something is not known yet; `after` seconds later, or when the pod changes, it may be."""

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message)
        self.after = after


class Worker:
    """Takes reports in with `put` and works them off with `run`. All methods belong to the event loop."""

    def __init__(
        self,
        api: Api,
        book: PodBook,
        diagnoser: Diagnoser,
        witness: SecondWitness,
        *,
        synced: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
        chosen: Callable[[str], bool] = lambda _namespace: True,
        installation: Installation | None = None,
        workloads: Workloads | None = None,
    ) -> None:
        self._api = api
        self._book = book
        self._diagnoser = diagnoser
        self._witness = witness
        self._synced = synced
        self._clock = clock
        self._wall = wall
        self._metrics = metrics or Metrics()
        self._chosen = chosen
        self._installation = installation
        self._items: dict[str, _Item] = {}
        # of every pod's change and every suspect it is asked: after an outage thousands of reports wait
        self._of_pod: dict[str, set[str]] = {}
        self._of_run: Counter[str] = Counter()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._arrived: deque[float] = deque(maxlen=_MANY)
        self._unrecorded = 0
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._workloads = workloads or Workloads(api, clock)

    def put(self, report: Mapping[str, Any]) -> None:
        """Take in a report object; one that is under way already is not taken twice."""
        name, spec = report["metadata"]["name"], report["spec"]
        if name not in self._items:
            now, packed = self._clock(), zlib.compress(json.dumps(spec).encode(), 1)
            made = report["metadata"].get("creationTimestamp")
            self._items[name] = _Item(
                namespace=report["metadata"]["namespace"],
                packed=packed,
                trend=forecasts.is_trend(spec),
                pod_uid=spec["podUID"],
                container_id=spec["containerID"],
                made=self._wall() if made is None else from_rfc3339(made),
                since=now,
                due=now,
            )
            self._of_pod.setdefault(spec["podUID"], set()).add(name)
            self._of_run[spec["containerID"]] += not self._items[name].trend
            self._queue.put_nowait(name)
            self._arrived.append(now)

    def pouring(self) -> bool:
        """Say whether reports come in faster than each can have a verdict of its own."""
        fast = len(self._arrived) == _MANY and self._clock() - self._arrived[0] < _WITHIN
        return fast or self._unrecorded >= _MANY

    def drop(self, name: str) -> None:
        """Forget a report that was deleted."""
        item = self._items.get(name)
        if item is not None and item.timer is not None:
            item.timer.cancel()
            self._forget(name, item)

    def pod_changed(self, uid: str) -> None:
        """Try the reports again that wait for this pod."""
        for name in self._of_pod.get(uid, ()):
            item = self._items[name]
            if item.timer is not None:
                item.timer.cancel()
                self._due(name)

    def expects(self, container_id: str) -> bool:
        """Say whether a report of a kill of that run is under way."""
        return self._of_run[container_id] > 0

    def queue_age(self) -> float:
        """Return for how many seconds the longest due report has been waiting for a consumer, 0 when none is."""
        now = self._clock()
        return max((now - item.due for item in list(self._items.values()) if item.timer is None), default=0.0)

    def oldest_age(self) -> float:
        """Return the same, or for how many seconds the oldest report has been there that fails again and again."""
        now = self._clock()
        failing = max((now - item.since for item in list(self._items.values()) if item.failing), default=0.0)
        return max(self.queue_age(), failing)

    def depth(self) -> int:
        """Return how many reports are under way."""
        return len(self._items)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(_UNDER_WAY):
                group.create_task(self._consume(), name=f"reports {number}")

    async def _consume(self) -> None:
        while True:
            name = await self._queue.get()
            item = self._items.get(name)
            if item is None:
                continue
            try:
                await self._handle(name, item)
            except _NotYetError as wait:
                item.failing = False
                self._later(name, item, wait.after, str(wait))
            except ApiError as error:
                item.failing = True
                after = error.retry_after if isinstance(error, TransientError) else None
                pause = after if after is not None else min(0.25 * 2**item.attempts, _LONGEST_PAUSE)
                self._later(name, item, pause, str(error))
            except Exception as error:  # noqa: BLE001  # one unreadable report must not stop the others; it is kept
                item.failing = True
                _log.exception("report %s cannot be worked off, it is kept", name)
                self._later(name, item, _SLOWLY, str(error))
            else:
                self._forget(name, item)

    def _forget(self, name: str, item: _Item) -> None:
        if self._items.pop(name, None) is None:
            return
        names = self._of_pod[item.pod_uid]
        names.discard(name)
        if not names:
            del self._of_pod[item.pod_uid]
        self._of_run[item.container_id] -= not item.trend
        if not self._of_run[item.container_id]:
            del self._of_run[item.container_id]

    def _later(self, name: str, item: _Item, pause: float, why: str) -> None:
        item.attempts += 1
        if self._clock() - item.since > _UNRESOLVED:
            pause = _SLOWLY
            if not item.warned:
                item.warned = True
                _log.warning(
                    "report %s is still not an incident; it is kept and tried every %d s: %s", name, _SLOWLY, why,
                    extra={"k8s.pod.uid": item.pod_uid},
                )  # fmt: skip
        item.timer = asyncio.get_running_loop().call_later(pause, self._due, name)

    def _due(self, name: str) -> None:
        item = self._items.get(name)
        if item is not None:
            item.timer = None
            item.due = self._clock()
            self._queue.put_nowait(name)

    async def _handle(self, name: str, item: _Item) -> None:
        if not self._synced():
            raise _NotYetError("the list of pods is not complete yet", 0.2)
        if item.recorded is None:
            self._unrecorded += 1
            try:
                async with self._slots:
                    item.recorded = await (self._forecast(name, item) if item.trend else self._record(name, item))
            finally:
                self._unrecorded -= 1
        if item.recorded is None:
            return
        outcome, subject, incident = item.recorded
        if subject is not None:
            await self._diagnoser.request(subject, incident)
        async with self._slots:
            await self._discard(name, item, outcome)

    async def _record(self, name: str, item: _Item) -> _Recorded | None:
        """Write the incident; return what is to be done about it, None when all is done."""
        report = MemoryReportSpec.model_validate(item.spec())
        pod = await self._pod_of(name, item, report)
        if pod is None:
            return None
        resolved, died = self._resolve(report, pod, patient=self._clock() - item.since < _PATIENCE)
        past = dict(self._book.past_runs(pod.uid))
        again = self._witness.knows(report.container_id)

        def write() -> tuple[dict[str, Any], Workload, ReportOutcome, bool]:
            """Build the incident and deliver it. Blocks."""
            workload = self._workloads.of(pod)
            body = incidents.from_report(report, pod, resolved, workload, past, died=died)
            if again:
                body["metadata"]["name"] = self._told_before(body, report, pod)
            return body, workload, *self._deliver(body, report, pod)

        try:
            body, workload, outcome, enough = await asyncio.to_thread(write)
        except NotFoundError as error:
            _log.warning("kill of %s/%s has no place any more: %s", pod.namespace, pod.name, error)
            return ReportOutcome.NAMESPACE_GONE, None, None
        self._witness.expect(body, resolved.termination)
        incident = str(body["metadata"]["name"])
        return outcome, Subject(pod.namespace, workload, resolved.name), incident if enough else None

    async def _pod_of(self, name: str, item: _Item, report: ReportSpec) -> Pod | None:
        """Return the pod that a report is about; None when the report was discarded for what it names."""
        pod = self._book.find(report.pod_uid)
        if pod is None and self._wall() - item.made > _NO_SUCH_POD:
            _log.warning(
                "report %s is given up: the API shows no pod %s any more; its container %s had a kill, number %d",
                name, report.pod_uid, report.container_id, report.ordinal,
                extra={"k8s.pod.uid": report.pod_uid, "k8s.node.name": report.node},
            )  # fmt: skip
            await self._discard(name, item, ReportOutcome.POD_GONE)
            return None
        if pod is None:
            raise _NotYetError(f"pod {report.pod_uid} is not known", min(0.5 * 2**item.attempts, _LONGEST_PAUSE))
        if not self._chosen(pod.namespace):
            await self._discard(name, item, ReportOutcome.DESELECTED)
            return None
        if pod.node is not None and pod.node != report.node:
            # the admission policy binds a report to its author's node, not to the pods that it names
            _log.warning(
                "report %s is refused: it names a pod of node %s and comes from node %s", name, pod.node, report.node,
                extra={"k8s.pod.uid": pod.uid, "k8s.node.name": report.node},
            )  # fmt: skip
            await self._discard(name, item, ReportOutcome.REFUSED)
            return None
        return pod

    async def _forecast(self, name: str, item: _Item) -> _Recorded | None:
        """Write a forecast; a trend whose time is over, or that the verdict does not see, is only counted."""
        report = TrendReportSpec.model_validate(item.spec())
        if forecasts.over(report, time.time()):
            return ReportOutcome.STALE, None, None
        pod = await self._pod_of(name, item, report)
        if pod is None:
            return None
        found = forecasts.resolved(report, pod, self._book.past_runs(pod.uid))
        if found is None:
            raise _NotYetError(f"no status of pod {pod.name} shows container {report.container_id}", _LOOK_AGAIN)
        workload = await asyncio.to_thread(self._workloads.of, pod)
        trace = forecasts.trace_of(report, pod, found, workload)
        told = False
        if trace is not None:
            subject = Subject(pod.namespace, workload, found.name)
            told = await asyncio.to_thread(
                self._diagnoser.write_forecast, subject, trace, forecasts.in_force(found.container), pod
            )
        return ReportOutcome.FORECAST if told else ReportOutcome.NO_ALARM, None, None

    async def _discard(self, name: str, item: _Item, outcome: ReportOutcome) -> None:
        await asyncio.to_thread(self._api.delete, REPORT.path(item.namespace, name))
        self._metrics.reports.labels(outcome).inc()

    def _resolve(self, report: MemoryReportSpec, pod: Pod, *, patient: bool) -> tuple[resolve.Resolved, bool]:
        resolved = resolve.by_status(report.container_id, pod, self._book.past_runs(pod.uid))
        if resolved is None:
            resolved = resolve.by_elimination(report, pod, patient=patient)
        if resolved is None:
            raise _NotYetError(f"no status of pod {pod.name} shows container {report.container_id}", _LOOK_AGAIN)
        died = resolve.died(report, resolved)
        if died is None and patient:
            raise _NotYetError(f"whether container {resolved.name} of pod {pod.name} ended is not known", _LOOK_AGAIN)
        return resolved, resolve.replaced(report, resolved) if died is None else died

    def _told_before(self, body: Mapping[str, Any], report: MemoryReportSpec, pod: Pod) -> str:
        """Return the name of the kill's incident: an operator before may have known less of its container. Blocks."""
        name = str(body["metadata"]["name"])
        lived_on = incidents.name_of(report, pod, body["spec"]["container"], died=False)
        same = {incident_key(name), incident_key(lived_on)}
        query = {"labelSelector": f"{incidents.RUN_LABEL}={incidents.run_label(report.container_id)}"}
        for page in self._api.pages(INCIDENT.path(pod.namespace), query):
            for item in page.get("items") or ():
                if incident_key(item["metadata"]["name"]) in same:
                    return str(item["metadata"]["name"])
        return name

    def _deliver(self, body: dict[str, Any], report: MemoryReportSpec, pod: Pod) -> tuple[ReportOutcome, bool]:
        """Create the incident; when it exists and lacks the kernel's word, add that.

        Return also whether a verdict that counts the incident has judged all that this report tells.
        """
        metadata = body["metadata"]
        if self._installation is not None:
            self._installation.mark(body)
        try:
            self._api.create(INCIDENT.path(metadata["namespace"]), body)
            _log.info(
                "kill recorded as incident %s", metadata["name"],
                extra={
                    "k8s.namespace.name": pod.namespace, "k8s.pod.name": pod.name, "k8s.pod.uid": pod.uid,
                    "k8s.container.name": body["spec"]["container"], "k8s.node.name": report.node,
                },
            )  # fmt: skip
        except AlreadyExistsError:
            path = INCIDENT.path(metadata["namespace"], metadata["name"])
            there = self._api.get(path)
            late = incidents.late_evidence(there, report, pod)
            if late is not None:
                self._api.patch(f"{path}/status", late)
            return ReportOutcome.KNOWN, there["spec"]["source"] == Source.KERNEL
        kill = body["spec"]["kill"]
        self._metrics.incidents.labels(kill["kind"], kill["limitHit"]).inc()
        if self._installation is not None:
            self._installation.count(body)
        return ReportOutcome.INCIDENT, True
