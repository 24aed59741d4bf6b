"""Diagnose a workload's container and write its MemoryDiagnosis: one write at a time, requests meanwhile joined."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memdiag.controller import diagnoses, forecasts, resolution
from memdiag.controller.incidents import DIAGNOSIS_LABEL
from memdiag.controller.kills import KEPT_INCIDENTS, counted, tally
from memdiag.controller.longhistory import Question
from memdiag.controller.surroundings import Place
from memdiag.controller.traces import Incident, read, traces
from memdiag.kube.api import AlreadyExistsError, Api, ConflictError, NotFoundError, PermanentError, TransientError
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS, INCIDENT
from memdiag.kube.memory_diagnosis import (
    Kills,
    MemoryDiagnosisSpec,
    MemoryDiagnosisStatus,
    TargetReference,
    status_of,
)
from memdiag.kube.memory_incident import WorkloadReference
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload, may_own
from memdiag.model.identity import diagnosis_name, second_diagnosis_name
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Cause, Diagnosis, Recommendation

_log = logging.getLogger(__name__)
_ATTEMPTS = 8
_AT_ONCE = 4
"""Diagnoses written at the same time; what is asked for of one that waits meanwhile is part of it."""
_LATELY = 30.0
"""Seconds for which a workload's next diagnosis waits for more of its kills, as long as reports pour in."""
_LOOK_AGAIN = 0.25
_INCIDENTS_A_PAGE = "50"
"""An incident is up to 76 KiB: pages stay below 4 MiB."""

_MANAGED = {"app.kubernetes.io/managed-by": "memdiag"}
"""On diagnoses that memdiag made, not on those that a user made."""

Verdict = Callable[[Trace, Sequence[Trace], LimitHit | None, Surroundings], Diagnosis]
"""From the trace of the pod killed last, its siblings', whose limit was hit and what bounds it, to a verdict."""
Around = Callable[[Place, int | None], tuple[Surroundings, tuple[str, ...]]]
"""From a container and its owner's wish for headroom (percent) to its surroundings, and what of them is missing."""

History = Callable[[Sequence[Trace], Question], tuple[list[Trace], tuple[str, ...]]]
"""From traces to the same with what a long-term store knows of the workload, and what is missing of that."""


_Turn = tuple[set[str | None], asyncio.Task[None]]
"""The incidents that a diagnosis to come is asked for, None among them for one in any case; and its task."""


def no_history(traces: Sequence[Trace], _question: Question) -> tuple[list[Trace], tuple[str, ...]]:
    """Return the traces as they are."""
    return list(traces), ()


def _only_headroom(_place: Place, headroom_percent: int | None) -> tuple[Surroundings, tuple[str, ...]]:
    return Surroundings(headroom_percent), ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What one diagnosis is about."""

    namespace: str
    workload: Workload
    container: str

    @property
    def name(self) -> str:
        """The diagnosis's own name as a rule, and the label of its incidents."""
        return diagnosis_name(self.workload.kind, self.workload.name, self.container)

    @property
    def second_name(self) -> str:
        """The diagnosis's name where that of another subject reads alike."""
        return second_diagnosis_name(self.workload.kind, self.workload.name, self.container)

    def matches(self, spec: MemoryDiagnosisSpec) -> bool:
        """Say whether a diagnosis is about this: a user may have made it, or changed what it is about."""
        return self._is(spec.target_ref, spec.container)

    def has(self, incident: Incident) -> bool:
        """Say whether an incident is of this: the label of another may read alike."""
        of = incident.spec.workload
        return incident.spec.container == self.container if of is None else self._is(of, incident.spec.container)

    def _is(self, other: TargetReference | WorkloadReference, container: str) -> bool:
        mine = self.workload
        groups = (other.api_version.rpartition("/")[0], mine.api_version.rpartition("/")[0])
        return groups[0] == groups[1] and (other.kind, other.name, container) == (mine.kind, mine.name, self.container)


@dataclass(frozen=True, slots=True)
class Written:
    """A diagnosis that has just been written because of kills."""

    subject: Subject
    name: str
    uid: str
    status: MemoryDiagnosisStatus
    incidents: tuple[Incident, ...]
    """All that are kept."""
    fresh: tuple[Incident, ...]
    """Those that this write counted."""
    reopened: bool = False
    """It was resolved before these kills."""


def labelled(metadata: Mapping[str, Any]) -> bool:
    """Say whether a diagnosis's metadata tell that memdiag made it."""
    return _MANAGED.items() <= (metadata.get("labels") or {}).items()


def subject_of(item: dict[str, Any]) -> Subject:
    """Return what a MemoryDiagnosis object is about. Raises ValueError when it does not say."""
    spec = MemoryDiagnosisSpec.model_validate(item["spec"])
    target = spec.target_ref
    return Subject(
        item["metadata"]["namespace"], Workload(target.api_version, target.kind, target.name, None), spec.container
    )


def incidents_of(api: Api, subject: Subject) -> list[Incident]:
    """Return the incidents that are kept of a diagnosis; one that cannot be read is left out. Raises ApiError."""
    query = {"labelSelector": f"{DIAGNOSIS_LABEL}={subject.name}", "limit": _INCIDENTS_A_PAGE}
    incidents = []
    for page in api.pages(INCIDENT.path(subject.namespace), query):
        for item in page.get("items") or ():
            try:
                incidents.append(read(item))
            except ValueError as error:
                _log.warning("incident %s cannot be read: %s", item["metadata"]["name"], error)
    return [incident for incident in incidents if subject.has(incident)]


class Diagnoser:
    """Writes diagnoses. Requests for a subject that come while one is being written are answered by the next write."""

    def __init__(
        self,
        api: Api,
        verdict: Verdict,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[Written], None] = lambda _written: None,
        deleted: Callable[[], None] = lambda: None,
        keep: int = KEPT_INCIDENTS,
        around: Around = _only_headroom,
        alike: Callable[[str], tuple[str, ...]] = lambda _pod_uid: (),
        pod_limit: Callable[[str], int | None] = lambda _pod_uid: None,
        history: History = no_history,
    ) -> None:
        self._api = api
        self._verdict = verdict
        self._wall = wall
        self._clock = clock
        self._told = told
        self._deleted = deleted
        self._around = around
        self._alike = alike
        self._pod_limit = pod_limit
        self._history = history
        self.keep = keep
        """Incidents kept of one workload's container."""
        self.pouring: Callable[[], bool] = lambda: False
        """Says whether reports come in faster than each can have a verdict of its own."""
        self._began: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._next: dict[tuple[str, str], _Turn] = {}
        self._turns: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        # one at a time: traces take tens of megabytes, and more cores would not help
        self._judging = threading.Lock()

    async def request(self, subject: Subject, incident: str | None = None) -> None:
        """Return when a diagnosis that counts this incident has been written; without one, when one that began now has.

        Raises ApiError when the API server does not take it.
        """
        key = (subject.namespace, subject.name)
        turn = self._next.get(key)
        if turn is None:
            asked: set[str | None] = set()
            task = asyncio.create_task(self._turn(key, subject, asked), name=f"diagnose {subject.name}")
            self._turns.add(task)
            task.add_done_callback(self._turns.discard)
            turn = self._next[key] = asked, task
        turn[0].add(incident)
        await asyncio.shield(turn[1])

    async def _turn(self, key: tuple[str, str], subject: Subject, asked: set[str | None]) -> None:
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                for _ in range(round(_LATELY / _LOOK_AGAIN)):
                    if None in asked or not self.pouring() or not self._was_lately(key):
                        break
                    await asyncio.sleep(_LOOK_AGAIN)
                async with self._slots:
                    self._next.pop(key, None)
                    self._begin(key)
                    await asyncio.to_thread(self.write, subject, asked)
        finally:
            if self._next.get(key) is None and not lock.locked():
                self._locks.pop(key, None)

    def _was_lately(self, key: tuple[str, str]) -> bool:
        return self._clock() - self._began.get(key, float("-inf")) < _LATELY

    def _begin(self, key: tuple[str, str]) -> None:
        self._began[key] = self._clock()
        self._began.move_to_end(key)
        while not self._was_lately(next(iter(self._began))):
            self._began.popitem(last=False)

    async def close(self) -> None:
        """Begin no more; what is being written in a thread is written to its end."""
        turns = list(self._turns)
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    def write(self, subject: Subject, asked: Collection[str | None] = ()) -> None:
        """Diagnose and write, until every incident is counted. Blocks; raises ApiError.

        Nothing is judged when only incidents are `asked` for, by name, and a verdict has counted them already: in a
        storm most were, by the verdict before.
        """
        named = {name for name in asked if name is not None}
        settled = len(named) == len(asked) > 0
        for _ in range(_ATTEMPTS):
            found = self._find(subject)
            if settled and found is not None and _counts(found, named):
                self._delete_surplus(subject, found)
                return
            incidents = incidents_of(self._api, subject)
            if found is None and not incidents:
                return
            try:
                if found is None:
                    found = self._create(subject)
                if self._update(subject, found, incidents) == 0:
                    return
            except (ConflictError, AlreadyExistsError, NotFoundError) as error:
                _log.info("diagnosis changed meanwhile, reading it again: %s", error)
        raise TransientError(f"diagnosis {subject.namespace}/{subject.name} kept changing while it was written")

    def write_without_kill(self, subject: Subject, trace: Trace) -> bool:
        """Write what a trace without any kernel kill says; say False when there are kills, which say more.

        Blocks; raises ApiError.
        """
        for _ in range(_ATTEMPTS):
            try:
                found = self._find(subject) or self._create(subject)
                before = status_of(found)
                if before.kills is not None and before.kills.total:
                    return False
                spec = MemoryDiagnosisSpec.model_validate(found["spec"])
                status = diagnoses.status(
                    before,
                    spec,
                    generation=found["metadata"].get("generation"),
                    incidents=(),
                    kills=before.kills or Kills(),
                    found=self._said(subject, spec.headroom_percent, trace, (), None),
                    now=self._wall(),
                )
                self._api.replace(
                    f"{DIAGNOSIS.path(subject.namespace, found['metadata']['name'])}/status",
                    {**found, "status": status.to_api()},
                )
            except (ConflictError, AlreadyExistsError, NotFoundError) as error:
                _log.info("diagnosis changed meanwhile, reading it again: %s", error)
            else:
                return True
        raise TransientError(f"diagnosis {subject.namespace}/{subject.name} kept changing while it was written")

    def write_forecast(self, subject: Subject, trace: Trace, limits: tuple[str | None, str | None], pod: Pod) -> bool:
        """Write when a living container reaches its limit; say False when the verdict does not see that it does.

        Blocks; raises ApiError.
        """
        made = max((run.samples[-1].t for run in trace.runs if run.samples), default=self._wall())
        for _ in range(_ATTEMPTS):
            found = self._find(subject)
            headroom = None if found is None else MemoryDiagnosisSpec.model_validate(found["spec"]).headroom_percent
            said = self._said(subject, headroom, trace, (), None, pod_uid=pod.uid)
            forecast = forecasts.forecast_of(said, pod.name, made)
            if forecast is None:
                return False
            try:
                found = found or self._create(subject)
                status = forecasts.status(
                    status_of(found),
                    MemoryDiagnosisSpec.model_validate(found["spec"]),
                    said,
                    forecast,
                    limits,
                    generation=found["metadata"].get("generation"),
                    now=self._wall(),
                )
                path = DIAGNOSIS.path(subject.namespace, found["metadata"]["name"])
                self._api.replace(f"{path}/status", {**found, "status": status.to_api()})
            except (ConflictError, AlreadyExistsError, NotFoundError) as error:
                _log.info("diagnosis changed meanwhile, reading it again: %s", error)
            else:
                return True
        raise TransientError(f"diagnosis {subject.namespace}/{subject.name} kept changing while it was written")

    def _find(self, subject: Subject) -> dict[str, Any] | None:
        """Return the subject's diagnosis: the one of its own name, else one of another name that is about it."""
        try:
            own = self._api.get(DIAGNOSIS.path(subject.namespace, subject.name))
        except NotFoundError:
            pass
        else:
            if _is_about(own, subject):
                return own
        for page in self._api.pages(DIAGNOSIS.path(subject.namespace)):
            for item in page.get("items") or ():
                if _is_about(item, subject):
                    return dict(item)
        return None

    def _create(self, subject: Subject) -> dict[str, Any]:
        workload = subject.workload
        spec = MemoryDiagnosisSpec(
            target_ref=TargetReference(api_version=workload.api_version, kind=workload.kind, name=workload.name),
            container=subject.container,
        )
        metadata = {"namespace": subject.namespace, "labels": _MANAGED, **_owned_by(workload)}
        body = {"apiVersion": API_VERSION, "kind": DIAGNOSIS.name, "spec": spec.to_api()}
        path = DIAGNOSIS.path(subject.namespace)
        try:
            made = self._api.create(path, {**body, "metadata": {"name": subject.name, **metadata}})
        except AlreadyExistsError:
            if _is_about(self._api.get(f"{path}/{subject.name}"), subject):
                raise
            made = self._api.create(path, {**body, "metadata": {"name": subject.second_name, **metadata}})
        return {**body, "metadata": made["metadata"]}

    def _update(self, subject: Subject, found: dict[str, Any], incidents: list[Incident]) -> int:
        """Write the status and delete what is beyond retention; return how many incidents are not counted yet."""
        metadata = found["metadata"]
        path = DIAGNOSIS.path(subject.namespace, metadata["name"])
        if not metadata.get("ownerReferences") and may_own(subject.workload):
            found = self._api.patch(path, {"metadata": _owned_by(subject.workload)})
        spec = MemoryDiagnosisSpec.model_validate(found["spec"])
        before = status_of(found)
        account = tally(before.kills or Kills(), incidents, self.keep)
        status = diagnoses.status(
            before,
            spec,
            generation=found["metadata"].get("generation"),
            incidents=incidents,
            kills=account.kills,
            found=self._judged(subject, spec, incidents),
            now=self._wall(),
        )
        if status.to_api() != (found.get("status") or {}):
            self._api.replace(f"{path}/status", {**found, "status": status.to_api()})
        newly = set(account.kills.counted).difference(() if before.kills is None else before.kills.counted)
        fresh = tuple(incident for incident in incidents if incident.name in newly)
        if fresh:
            reopened = resolution.reopened(before.conditions, status.conditions)
            self._told(Written(subject, metadata["name"], metadata["uid"], status, tuple(incidents), fresh, reopened))
        self._delete(subject, account.expendable)
        return account.uncounted

    def _delete_surplus(self, subject: Subject, found: dict[str, Any]) -> None:
        """Delete what an operator counted and did not come to delete before it ended."""
        kills = status_of(found).kills or Kills()
        if len(kills.counted) > self.keep:
            mine = [incident for incident in incidents_of(self._api, subject) if incident.name in kills.counted]
            self._delete(subject, tally(kills, mine, self.keep).expendable)

    def _delete(self, subject: Subject, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._api.delete(INCIDENT.path(subject.namespace, name))
            except PermanentError as error:
                # somebody's policy: the count is written, and the next verdict asks again
                _log.warning("incident beyond those that are kept is not deleted: %s", error)
            else:
                self._deleted()

    def _said(
        self,
        subject: Subject,
        headroom_percent: int | None,
        trace: Trace,
        others: Sequence[Trace],
        hit: LimitHit | None,
        *,
        pod_uid: str | None = None,
    ) -> Diagnosis:
        place = Place(
            subject.namespace,
            subject.workload,
            subject.container,
            trace.node,
            trace.limit_bytes,
            alike=() if pod_uid is None else self._alike(pod_uid),
            pod_limit=None if pod_uid is None else self._pod_limit(pod_uid),
        )
        surroundings, missing = self._around(place, headroom_percent)
        found = self._verdict(trace, others, hit, surroundings)
        return replace(found, missing=(*found.missing, *missing))

    def _judged(self, subject: Subject, spec: MemoryDiagnosisSpec, incidents: list[Incident]) -> Diagnosis | None:
        if not incidents:
            return None
        with self._judging:
            return self._judge(subject, spec, incidents)

    def _judge(self, subject: Subject, spec: MemoryDiagnosisSpec, incidents: list[Incident]) -> Diagnosis:
        try:
            last = max(incidents, key=lambda incident: incident.when)
            hit = None if last.limit_hit is LimitHit.UNKNOWN else last.limit_hit
            pod_uid, workload = last.spec.pod.uid, subject.workload
            replicas = len(self._alike(pod_uid))
            question = Question(subject.namespace, workload.kind, workload.name, subject.container, replicas)
            (first, *others), missing = self._history(traces(subject.namespace, incidents), question)
            found = self._said(subject, spec.headroom_percent, first, others, hit, pod_uid=pod_uid)
            return replace(found, missing=(*found.missing, *missing))
        except Exception as error:  # noqa: BLE001  # one verdict that fails must not stop the count or other verdicts
            _log.exception("no verdict on %s/%s", subject.namespace, subject.name)
            return _failed(error)


def _is_about(item: Mapping[str, Any], subject: Subject) -> bool:
    try:
        return subject.matches(MemoryDiagnosisSpec.model_validate(item["spec"]))
    except ValueError:
        return False


def _counts(item: Mapping[str, Any], names: Collection[str]) -> bool:
    """Say whether a diagnosis counts all of these incidents."""
    kills = status_of(item).kills
    return kills is not None and all(counted(kills, name) for name in names)


def _failed(error: Exception) -> Diagnosis:
    """Return the verdict that says that there is none."""
    return Diagnosis(
        cause=Cause.INCONCLUSIVE,
        mechanism=None,
        confidence=0.0,
        summary="The evidence could not be judged: memdiag failed on it (its log says how).",
        evidence=(),
        missing=(f"verdict: {type(error).__name__} in memdiag",),
        recommendation=Recommendation(Action.NONE, None, None, None, "no verdict, no recommendation"),
    )


def _owned_by(workload: Workload) -> dict[str, Any]:
    """Return the ownerReferences of a diagnosis: garbage goes with its workload, which is not controlled by it."""
    if not may_own(workload):
        return {}
    reference = {
        "apiVersion": workload.api_version,
        "kind": workload.kind,
        "name": workload.name,
        "uid": workload.uid,
    }
    return {"ownerReferences": [reference]}
