"""The one periodic loop over what is kept: resolution, retention, the life of diagnoses without owner, lost counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memdiag.controller import resolution
from memdiag.controller.diagnoser import Diagnoser, Subject, labelled, subject_of
from memdiag.controller.incidents import DIAGNOSIS_LABEL
from memdiag.controller.metrics import Metrics, Retention
from memdiag.controller.options import Keep
from memdiag.controller.retention import Stub, surplus
from memdiag.controller.traces import read
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import Api, ApiError, ConflictError, NotFoundError, PermanentError, TransientError
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT
from memdiag.kube.memory_diagnosis import (
    Condition,
    MemoryDiagnosisSpec,
    MemoryDiagnosisStatus,
    TargetReference,
    status_of,
)
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload
from memdiag.model.identity import diagnosis_name
from memdiag.model.report import from_rfc3339

_log = logging.getLogger(__name__)
PAUSE = 120.0
"""Seconds between two passes."""
LIFE = 14 * 24 * 3600.0
"""Seconds after its last kill for which a diagnosis is kept that no workload owns."""
_LOST = 60.0
"""Seconds after which an incident that no diagnosis counts was lost by whoever was to ask for that."""
_NOBODYS = 3600.0
"""Seconds after which an incident without diagnosis is nobody's: a user deleted the diagnosis, or its owner is gone."""
_A_PAGE = "50"


@dataclass(frozen=True, slots=True)
class _Outlived:
    """A diagnosis that nobody needs any more."""

    namespace: str
    name: str
    version: str
    counted: tuple[str, ...]
    """Names of its incidents."""


@dataclass(slots=True)
class _Seen:
    """What one pass learned of all diagnoses, kept small."""

    counted: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and name of every incident that a diagnosis counts."""
    labels: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and label of every diagnosis."""
    outlived: list[_Outlived] = field(default_factory=list)
    changed: list[Subject] = field(default_factory=list)
    """Diagnoses whose spec a user changed and nobody judged since: the API server failed when it was to be done."""


class Upkeep:
    """Belongs to the event loop; each pass blocks in a thread."""

    def __init__(
        self,
        api: Api,
        diagnoser: Diagnoser,
        workloads: Workloads,
        pods: Callable[[], Sequence[Pod]],
        metrics: Metrics,
        *,
        keep: Keep,
        quiet_hours: float,
        wall: Callable[[], float] = time.time,
        pause: float = PAUSE,
    ) -> None:
        self._api = api
        self._diagnoser = diagnoser
        self._workloads = workloads
        self._pods = pods
        self._metrics = metrics
        self._keep = keep
        self._quiet = quiet_hours * 3600
        self._wall = wall
        self._pause = pause
        self._first = True

    async def run(self) -> None:
        """Look after what is kept, until cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                for subject in await asyncio.to_thread(self.once):
                    await self._count(subject)
            except ApiError as error:
                _log.warning("upkeep broke off, it begins anew in %.0f s: %s", self._pause, error)
            except Exception:  # noqa: BLE001  # what is kept can wait; kills are told meanwhile
                _log.exception("upkeep failed, it begins anew in %.0f s", self._pause)

    async def _count(self, subject: Subject) -> None:
        """Have a subject diagnosed anew, with the incidents that nobody counted. Raises TransientError."""
        try:
            await self._diagnoser.request(subject)
        except TransientError:
            raise
        except Exception:  # noqa: BLE001  # one diagnosis that cannot be written must not stop the others
            _log.exception("diagnosis %s/%s cannot be written", subject.namespace, subject.name)

    def once(self) -> list[Subject]:
        """Do one pass; return what lost incidents and changed specs are about, to be diagnosed.

        Blocks; raises ApiError.
        """
        seen = self._look_at_diagnoses()
        incidents = [_stub(item) for page in self._api.metadata(INCIDENT.path()) for item in page.get("items") or ()]
        self._forget(seen, incidents)
        self._prune(seen, incidents)
        lost = self._lost(seen, incidents)
        self._first = False
        return [*lost, *(subject for subject in seen.changed if subject not in lost)]

    def _look_at_diagnoses(self) -> _Seen:
        seen, now = _Seen(), self._wall()
        spaces: dict[str, list[Pod]] = defaultdict(list)
        for pod in self._pods():
            if resolution.counts(pod):
                spaces[pod.namespace].append(pod)
        for page in self._api.pages(DIAGNOSIS.path(), {"limit": _A_PAGE}):
            for item in page.get("items") or ():
                try:
                    self._look_at(item, seen, spaces, now)
                except ValueError as error:
                    _log.warning("diagnosis %s cannot be read: %s", item["metadata"]["name"], error)
                except PermanentError as error:
                    _log.warning("diagnosis %s is left as it is: %s", item["metadata"]["name"], error)
        return seen

    def _look_at(self, item: dict[str, Any], seen: _Seen, spaces: Mapping[str, Sequence[Pod]], now: float) -> None:
        metadata, spec = item["metadata"], MemoryDiagnosisSpec.model_validate(item["spec"])
        namespace = str(metadata["namespace"])
        seen.labels.add((namespace, diagnosis_name(spec.target_ref.kind, spec.target_ref.name, spec.container)))
        status = status_of(item)
        counted = () if status.kills is None else status.kills.counted
        seen.counted.update((namespace, name) for name in counted)
        if _outlived(metadata, status, now):
            version = str(metadata["resourceVersion"])
            seen.outlived.append(_Outlived(namespace, str(metadata["name"]), version, counted))
        else:
            if status.observed_generation != metadata.get("generation"):
                seen.changed.append(subject_of(item))
            self._resolve(item, spec, status, spaces.get(namespace, ()))

    def _resolve(
        self, item: dict[str, Any], spec: MemoryDiagnosisSpec, status: MemoryDiagnosisStatus, pods: Sequence[Pod]
    ) -> None:
        before = resolution.of(status.conditions)
        kills = status.kills
        if before is None or kills is None or kills.last_time is None:
            return
        if before.reason not in (resolution.KILLED, resolution.CHANGED):
            return
        own = [pod for pod in pods if self._belongs(pod, spec.target_ref)]
        if not own:
            return
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        newest = kills.recent[0].incident if kills.recent else None
        killed = self._killed(namespace, newest)
        changed = resolution.change(killed or resolution.Facts(status.limit, None, None), own, spec.container)
        if killed is None and changed is None and before.reason == resolution.CHANGED:
            changed = "how it ran before is not kept any more"
        last = from_rfc3339(kills.last_time)
        turned = resolution.advance(before, changed, last_kill=last, quiet=self._quiet, now=self._wall())
        if turned is None:
            return
        condition, how = turned
        after = status.model_copy(update={"conditions": _with(status.conditions, condition)})
        try:
            self._api.replace(f"{DIAGNOSIS.path(namespace, name)}/status", {**item, "status": after.to_api()})
        except (ConflictError, NotFoundError) as error:
            _log.info("diagnosis changed meanwhile, the next pass looks again: %s", error)
            return
        self._metrics.resolutions.labels(how).inc()
        _log.info("%s", condition.message, extra={"k8s.namespace.name": namespace, "k8s.object.name": name})

    def _belongs(self, pod: Pod, target: TargetReference) -> bool:
        """Say whether a pod is of that workload; only pods whose owner's name fits are looked up."""
        name = pod.name if pod.owner is None else pod.owner.name
        if name != target.name and not name.startswith(f"{target.name}-"):
            return False
        return _is(self._workloads.of(pod), target)

    def _killed(self, namespace: str, newest: str | None) -> resolution.Facts | None:
        """Return how the container ran that was killed last, None when its incident is not kept any more."""
        if newest is None:
            return None
        try:
            spec = read(self._api.get(INCIDENT.path(namespace, newest))).spec
        except (NotFoundError, ValueError):
            return None
        return resolution.Facts(spec.limits.limit, spec.image, spec.revision)

    def _forget(self, seen: _Seen, incidents: list[Stub]) -> None:
        """Delete outlived diagnoses with their incidents, which `incidents` then lacks."""
        for old in seen.outlived:
            if not self._delete(DIAGNOSIS.path(old.namespace, old.name), Retention.AGE, old.version):
                continue
            for one in [one for one in incidents if one.namespace == old.namespace and one.name in old.counted]:
                self._delete(INCIDENT.path(one.namespace, one.name), Retention.AGE)
                incidents.remove(one)

    def _delete(self, path: str, bound: Retention, version: str | None = None) -> bool:
        """Delete an object, and say False when it is kept: it changed, or somebody's policy does not let it go."""
        try:
            self._api.delete(path, version)
        except (ConflictError, PermanentError) as error:
            _log.warning("not deleted: %s", error)
            return False
        self._metrics.retention.labels(bound).inc()
        return True

    def _prune(self, seen: _Seen, incidents: list[Stub]) -> None:
        old = self._wall() - _NOBODYS
        settled = frozenset(
            one
            for one in incidents
            if (one.namespace, one.name) in seen.counted
            or ((one.namespace, one.diagnosis) not in seen.labels and one.created < old)
        )
        for one, bound in list(surplus(incidents, self._keep, settled)):
            self._delete(INCIDENT.path(one.namespace, one.name), bound)

    def _lost(self, seen: _Seen, incidents: Sequence[Stub]) -> list[Subject]:
        """Return the subjects of incidents that nobody counted: the operator ended between writing and counting them.

        A diagnosis that a user deleted is not brought back by its old incidents: those without one are asked for after
        a start only, and when they are young.
        """
        now = self._wall()
        found: dict[tuple[str, str], Subject] = {}
        for one in incidents:
            key = (one.namespace, one.diagnosis)
            if key in found or (one.namespace, one.name) in seen.counted or now - one.created < _LOST:
                continue
            if key not in seen.labels and not (self._first and now - one.created < _NOBODYS):
                continue
            subject = self._subject(one)
            if subject is not None:
                found[key] = subject
        return list(found.values())

    def _subject(self, one: Stub) -> Subject | None:
        try:
            spec = read(self._api.get(INCIDENT.path(one.namespace, one.name))).spec
        except (NotFoundError, ValueError):
            return None
        if spec.workload is None:
            return None
        workload = Workload(spec.workload.api_version, spec.workload.kind, spec.workload.name, None)
        return Subject(one.namespace, workload, spec.container)


def _stub(item: Mapping[str, Any]) -> Stub:
    metadata = item["metadata"]
    return Stub(
        str(metadata["namespace"]),
        str(metadata["name"]),
        str((metadata.get("labels") or {}).get(DIAGNOSIS_LABEL, "")),
        from_rfc3339(metadata["creationTimestamp"]),
    )


def _outlived(metadata: Mapping[str, Any], status: MemoryDiagnosisStatus, now: float) -> bool:
    """Say whether a diagnosis that memdiag made has neither an owner nor a recent kill."""
    if metadata.get("ownerReferences") or not labelled(metadata):
        return False
    last = from_rfc3339(metadata["creationTimestamp"])
    if status.kills is not None and status.kills.last_time is not None:
        last = max(last, from_rfc3339(status.kills.last_time))
    return last < now - LIFE


def _is(workload: Workload, target: TargetReference) -> bool:
    groups = (workload.api_version.rpartition("/")[0], target.api_version.rpartition("/")[0])
    return groups[0] == groups[1] and (workload.kind, workload.name) == (target.kind, target.name)


def _with(conditions: Sequence[Condition], new: Condition) -> tuple[Condition, ...]:
    return tuple(new if one.type == new.type else one for one in conditions)
