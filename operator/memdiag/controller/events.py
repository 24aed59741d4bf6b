"""Kubernetes Events of diagnosed kills: one series a diagnosis and object, counted from the kills, bounded a minute.

An Event's name follows from the diagnosis and the object that it is about, and its count from the kills that are
known: writing it twice changes nothing, also after a restart, and what waits is overwritten by what is newer.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memdiag.controller.diagnoser import Written
from memdiag.controller.metrics import EventOutcome, Metrics
from memdiag.controller.traces import Incident
from memdiag.kube.api import AlreadyExistsError, Api, ApiError, NotFoundError, TransientError
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS
from memdiag.kube.memory_diagnosis import MemoryDiagnosisStatus
from memdiag.model.kill import KillKind

LONGEST_NOTE = 1024
"""The API server's own bound of an Event's message."""
REASON = "OOMDiagnosed"
REASON_EVICTED = "MemoryEvictionDiagnosed"
COMPONENT = "memdiag"
REPORTING_CONTROLLER = "memdiag.dev/operator"
_MOST_COUNTED = 2**31 - 1
_PER_MINUTE = 60
_AT_ONCE = 30
_MOST_WAITING = 1_000
_ATTEMPTS = 5
_PAUSE = 1.0

_log = logging.getLogger(__name__)


def note(container: str, diagnosis: str, status: MemoryDiagnosisStatus, *, evicted: bool) -> str:
    """Return cause, confidence and recommendation in at most 1,024 characters."""
    what = "was evicted for the node's memory" if evicted else "was OOM-killed"
    mechanism = "" if status.mechanism is None else f" ({status.mechanism})"
    advice = status.recommended or "-"
    now = "" if status.limit is None else f" (limit now {status.limit})"
    head = (
        f"Container {container} {what}: {status.cause}{mechanism}, confidence {status.confidence_percent or 0} %. "
        f"Recommended: {advice}{now}."
    )
    tail = f" Details: kubectl describe memorydiagnosis {diagnosis}"
    room = LONGEST_NOTE - len(head) - len(tail) - 1
    said = "".join(sign for sign in status.summary or "" if sign.isprintable())
    return f"{head} {said[:room]}{tail}" if room > 0 else (head + tail)[:LONGEST_NOTE]


def event_name(diagnosis_uid: str, about: str, uid: str) -> str:
    """Return the one name of a diagnosis's Event on an object."""
    digest = hashlib.sha256(f"{diagnosis_uid}\0{uid}".encode()).hexdigest()[:16]
    head = about[:200].rstrip("-.")
    return f"{head}.{digest}"


def second(moment: float) -> str:
    """Return Unix seconds as an Event holds them."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _event(
    written: Written, regarding: dict[str, Any], count: int, kills: Sequence[Incident], instance: str
) -> dict[str, Any]:
    evicted = kills[-1].spec.kill.kind is KillKind.EVICTED
    namespace = written.subject.namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(written.uid, regarding["name"], regarding["uid"]), "namespace": namespace},
        "involvedObject": {**regarding, "namespace": namespace},
        "related": {
            "apiVersion": API_VERSION,
            "kind": DIAGNOSIS.name,
            "namespace": namespace,
            "name": written.name,
            "uid": written.uid,
        },
        "reason": REASON_EVICTED if evicted else REASON,
        "message": note(written.subject.container, written.name, written.status, evicted=evicted),
        "type": "Warning",
        "action": "Diagnose",
        "count": min(max(count, 1), _MOST_COUNTED),
        "firstTimestamp": second(kills[0].when),
        "lastTimestamp": second(kills[-1].when),
        "source": {"component": COMPONENT},
        "reportingComponent": REPORTING_CONTROLLER,
        "reportingInstance": instance[:128],
    }


def events_of(written: Written, instance: str) -> Iterator[dict[str, Any]]:
    """Yield the Events that newly counted kills ask for: on the workload, and on each pod that was killed."""
    fresh = [kill for kill in written.fresh if not kill.spec.found_before_install]
    if not fresh:
        return
    oldest_first = sorted(written.incidents, key=lambda kill: kill.when)
    workload = written.subject.workload
    if workload.uid is not None and workload.kind != "Pod":
        regarding = {
            "apiVersion": workload.api_version,
            "kind": workload.kind,
            "name": workload.name,
            "uid": workload.uid,
        }
        total = 0 if written.status.kills is None else written.status.kills.total
        yield _event(written, regarding, total, oldest_first, instance)
    for uid, name in {kill.spec.pod.uid: kill.spec.pod.name for kill in fresh}.items():
        own = [kill for kill in oldest_first if kill.spec.pod.uid == uid]
        count = sum(kill.kills for kill in own)
        yield _event(written, {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}, count, own, instance)


def notice(item: Mapping[str, Any], reason: str, message: str, instance: str, moment: float) -> dict[str, Any]:
    """Return a warning on a diagnosis itself; the same reason is one Event, brought up to date."""
    metadata = item["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], str(metadata.get("uid", ""))
    regarding = {"apiVersion": API_VERSION, "kind": DIAGNOSIS.name, "name": name, "namespace": namespace, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(reason, name, uid), "namespace": namespace},
        "involvedObject": regarding,
        "reason": reason,
        "message": message[:LONGEST_NOTE],
        "type": "Warning",
        "action": "Alert",
        "count": 1,
        "firstTimestamp": second(moment),
        "lastTimestamp": second(moment),
        "source": {"component": COMPONENT},
        "reportingComponent": REPORTING_CONTROLLER,
        "reportingInstance": instance[:128],
    }


class Events:
    """Writes Events at a bounded pace. `offer` belongs to the event loop."""

    def __init__(
        self,
        api: Api,
        metrics: Metrics,
        instance: str,
        *,
        per_minute: int = _PER_MINUTE,
        at_once: int = _AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._outcomes = metrics.events
        self._instance = instance
        self._pace = per_minute / 60
        self._most_tokens = float(at_once)
        self._tokens = float(at_once)
        self._clock = clock
        self._refilled = clock()
        self._waiting: OrderedDict[str, tuple[dict[str, Any], int]] = OrderedDict()
        self._there = asyncio.Event()

    def offer(self, written: Written) -> None:
        """Take in a diagnosis that counted kills."""
        for event in events_of(written, self._instance):
            self.put(event)

    def put(self, event: dict[str, Any]) -> None:
        """Take in a whole Event; one of the same name that still waits gives way to it."""
        self._put(event, 0)

    def waiting(self) -> int:
        """Return how many Events wait to be written."""
        return len(self._waiting)

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._there.wait()
            await asyncio.sleep(self._wait())
            if not self._waiting:
                self._there.clear()
                continue
            self._tokens -= 1
            _, (event, attempts) = self._waiting.popitem(last=False)
            await self._try(event, attempts)

    def _put(self, event: dict[str, Any], attempts: int) -> None:
        metadata = event["metadata"]
        self._waiting[f"{metadata['namespace']}/{metadata['name']}"] = (event, attempts)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)
            self._outcomes.labels(EventOutcome.DROPPED).inc()
        self._there.set()

    def _wait(self) -> float:
        """Refill the tokens and return the seconds until there is one."""
        now = self._clock()
        self._tokens = min(self._most_tokens, self._tokens + (now - self._refilled) * self._pace)
        self._refilled = now
        return max(0.0, (1 - self._tokens) / self._pace)

    async def _try(self, event: dict[str, Any], attempts: int) -> None:
        metadata = event["metadata"]
        try:
            await asyncio.to_thread(self._write, event)
        except TransientError as error:
            key = f"{metadata['namespace']}/{metadata['name']}"
            if attempts + 1 < _ATTEMPTS:
                if key not in self._waiting:
                    self._put(event, attempts + 1)
                await asyncio.sleep(error.retry_after if error.retry_after is not None else _PAUSE)
            else:
                self._outcomes.labels(EventOutcome.DROPPED).inc()
        except ApiError as error:
            # mostly a namespace that is being deleted
            self._outcomes.labels(EventOutcome.REFUSED).inc()
            _log.info("Event refused: %s", error, extra={"k8s.namespace.name": metadata["namespace"]})
        else:
            self._outcomes.labels(EventOutcome.WRITTEN).inc()

    def _write(self, event: dict[str, Any]) -> None:
        """Create the Event, or bring the one that is there up to date. Blocks; raises ApiError."""
        path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        changed = {key: event[key] for key in ("reason", "message", "count", "lastTimestamp", "reportingInstance")}
        try:
            self._api.create(path, event)
        except AlreadyExistsError:
            try:
                self._api.patch(f"{path}/{event['metadata']['name']}", changed)
            except NotFoundError as error:
                raise TransientError(f"the Event expired just now: {error}") from error
