"""A pod, the operator's parts about it and an API of dictionaries: a scene for tests of worker and witness."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from memdiag.controller.diagnoser import Diagnoser, Subject
from memdiag.controller.metrics import Metrics
from memdiag.controller.podbook import Ended, PodBook
from memdiag.controller.secondwitness import SecondWitness
from memdiag.controller.worker import Worker
from memdiag.kube.api import JsonObject
from memdiag.kube.kinds import DIAGNOSIS, REPORT
from memdiag.kube.pods import Pod
from memdiag.kube.workload import Workload
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Cause, Diagnosis, Recommendation
from tests.controller.support import (
    OWN_NAMESPACE,
    MemoryApi,
    identity,
    pod_object,
    report,
    report_object,
)

NOW = 1_700_000_000.0
SUBJECT = Subject("shop", Workload("v1", "Pod", "web", "uid-1"), "app")


def verdict(
    trace: Trace, siblings: Sequence[Trace], limit_hit: LimitHit | None, surroundings: Surroundings
) -> Diagnosis:
    advice = Recommendation(Action.FIX_LEAK, None, None, None, "it leaks")
    return Diagnosis(Cause.LEAK, None, 0.9, f"{len(trace.runs)} runs", (), (), advice)


class Clock:
    """A monotonic clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Shop:
    """A pod, its operator's parts and their API."""

    def __init__(self, api: MemoryApi | None = None, judge: Any = verdict, **how: Any) -> None:
        self.api = api or MemoryApi()
        self.synced = True
        self.metrics = Metrics()
        chosen = how.pop("chosen", lambda _namespace: True)
        installation = how.pop("installation", None)
        wall = how.pop("wall", lambda: NOW)
        self.clock = Clock()
        self.diagnoser = Diagnoser(self.api, judge, wall=lambda: NOW, clock=self.clock)
        self.witness = SecondWitness(
            self.api,
            self.diagnoser,
            wall=lambda: NOW,
            grace=0.1,
            tick=0.1,
            metrics=self.metrics,
            installation=installation,
            **how,
        )
        self.book = PodBook(self.tell)
        self.worker = Worker(
            self.api,
            self.book,
            self.diagnoser,
            self.witness,
            synced=lambda: self.synced,
            clock=self.clock,
            metrics=self.metrics,
            wall=wall,
            chosen=chosen,
            installation=installation,
        )
        self.witness.reported = self.worker.expects

    def tell(self, pod: Pod, ends: list[Ended]) -> None:
        self.worker.pod_changed(pod.uid)
        self.witness.pod(pod)
        for end in ends:
            self.witness.ended(end)

    def pod(self, *statuses: dict[str, Any], names: tuple[str, ...] = ("app",)) -> None:
        body = pod_object("shop", "web", list(names), None)
        body["metadata"]["uid"] = "uid-1"
        body["status"] = {"containerStatuses": list(statuses)}
        self.book.changed(body)

    def report(self, number: int, **changes: Any) -> None:
        body = report_object(f"kill-{number}", report("uid-1", identity(number), NOW + number, **changes))
        self.api.put(REPORT.path(OWN_NAMESPACE, f"kill-{number}"), body)
        self.worker.put(body)

    def named(self, plural: str) -> list[JsonObject]:
        # threads write meanwhile
        return [item for path, item in list(self.api.objects.items()) if f"/{plural}/" in path]

    @property
    def incidents(self) -> list[JsonObject]:
        return self.named("memoryincidents")

    @property
    def total(self) -> int:
        found = self.api.objects.get(DIAGNOSIS.path("shop", "pod-web-app"), {})
        return int(found.get("status", {}).get("kills", {}).get("total", 0))

    def done(self) -> bool:
        return not self.named("memoryreports")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.worker.run()), asyncio.create_task(self.witness.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)
