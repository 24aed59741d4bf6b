"""Events of diagnosed kills: what they say, on whom, counted from the kills, at a bounded pace."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from memdiag.controller.diagnoser import Subject, Written
from memdiag.controller.events import LONGEST_NOTE, Events, event_name, events_of, note
from memdiag.controller.metrics import EventOutcome, Metrics
from memdiag.controller.traces import Incident
from memdiag.kube.api import Api, NotFoundError, PermanentError, TransientError
from memdiag.kube.memory_diagnosis import Kills, MemoryDiagnosisStatus
from memdiag.kube.workload import Workload
from memdiag.model.verdict import Cause, Mechanism
from tests.controller.support import MemoryApi
from tests.controller.test_diagnoses import NOW, WEB, incident

SUBJECT = Subject("shop", WEB, "app")


def status(**changes: Any) -> MemoryDiagnosisStatus:
    facts: dict[str, Any] = {
        "cause": Cause.LEAK,
        "mechanism": Mechanism.HEAP_LEAK,
        "confidence_percent": 92,
        "summary": "Demand rises with age.",
        "recommended": "fix leak",
        "limit": "128Mi",
        "kills": Kills(total=7),
    }
    return MemoryDiagnosisStatus(**{**facts, **changes})


def written(*fresh: Incident, older: tuple[Incident, ...] = (), **changes: Any) -> Written:
    return Written(SUBJECT, "deployment-web-app", "uid-diagnosis", status(**changes), (*older, *fresh), fresh)


@pytest.mark.parametrize("cut", ["-", ".", "-."])
def test_a_name_that_is_cut_stays_one(cut: str) -> None:
    name = event_name("uid", "w" * (200 - len(cut)) + cut + "web", "uid-1")
    assert re.fullmatch(r"w+\.[0-9a-f]{16}", name)


def test_a_kill_is_an_event_on_its_pod_and_on_the_workload() -> None:
    first, second = incident(1), incident(2, when=NOW + 600)
    workload, pod = events_of(written(second, older=(first,)), "operator-1")
    assert workload["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": "uid-web",
        "namespace": "shop",
    }
    assert (pod["involvedObject"]["kind"], pod["involvedObject"]["uid"]) == ("Pod", "uid-web-abc-1")
    assert (workload["count"], pod["count"]) == (7, 2)
    assert (pod["firstTimestamp"], pod["lastTimestamp"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:23:20Z")
    assert (pod["type"], pod["reason"], pod["reportingInstance"]) == ("Warning", "OOMDiagnosed", "operator-1")
    assert pod["message"] == (
        "Container app was OOM-killed: Leak (HeapLeak), confidence 92 %. Recommended: fix leak (limit now 128Mi). "
        "Demand rises with age. Details: kubectl describe memorydiagnosis deployment-web-app"
    )
    assert pod["metadata"]["name"] != workload["metadata"]["name"]


def test_the_name_is_the_same_for_the_next_kill() -> None:
    (_, before), (_, after) = (list(events_of(written(incident(number, when=NOW + number)), "x")) for number in (1, 2))
    assert before["metadata"] == after["metadata"]


def test_a_bare_pod_has_one_event_and_a_gone_workload_none() -> None:
    for workload in (Workload("v1", "Pod", "web-abc-1", "uid"), Workload("apps/v1", "Deployment", "web", None)):
        found = Written(Subject("shop", workload, "app"), "d", "u", status(), (incident(1),), (incident(1),))
        assert [event["involvedObject"]["kind"] for event in events_of(found, "x")] == ["Pod"]


def test_kills_older_than_the_installation_are_not_announced() -> None:
    one = incident(1)
    old = Incident(one.name, one.time, one.spec.model_copy(update={"found_before_install": True}), one.status)
    assert list(events_of(written(old), "x")) == []


@pytest.mark.parametrize("length", [0, 700, 1024])
def test_a_note_is_never_too_long(length: int) -> None:
    found = note("c" * 63, "d" * 253, status(summary="\x1bé" * (length // 2)), evicted=False)
    assert len(found) <= LONGEST_NOTE
    assert "\x1b" not in found
    assert found.endswith("d" * 20)


class Flaky(MemoryApi):
    """Fails the first creations."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def create(self, path: str, body: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return super().create(path, body)


def work(api: Api, metrics: Metrics, *offers: Written, per_minute: int = 6000, at_once: int = 30) -> None:
    async def scene() -> None:
        events = Events(api, metrics, "x", per_minute=per_minute, at_once=at_once)
        task = asyncio.create_task(events.run())
        for offer in offers:
            events.offer(offer)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            while events.waiting():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(scene())


def outcomes(metrics: Metrics) -> dict[str, int]:
    return {outcome: int(metrics.events.labels(outcome)._value.get()) for outcome in EventOutcome}


def test_the_same_series_is_brought_up_to_date() -> None:
    api, metrics = MemoryApi(), Metrics()
    first, second = incident(1), incident(2, when=NOW + 600)
    work(api, metrics, written(first), written(second, older=(first,), cause=Cause.GROWTH, mechanism=None))
    assert len(api.objects) == 2
    pod = next(item for item in api.objects.values() if item["involvedObject"]["kind"] == "Pod")
    assert (pod["count"], pod["lastTimestamp"]) == (2, "2023-11-14T22:23:20Z")
    assert "Growth" in pod["message"]
    assert outcomes(metrics) == {"written": 4, "dropped": 0, "refused": 0}


def test_what_the_server_refuses_is_counted_and_what_it_cannot_do_now_is_tried_again() -> None:
    metrics = Metrics()
    api = Flaky(PermanentError("the namespace is being deleted", 403), TransientError("later", 429, 0.01))
    work(api, metrics, written(incident(1)))
    assert len(api.objects) == 1
    assert outcomes(metrics) == {"written": 1, "dropped": 0, "refused": 1}


def test_an_event_that_expires_in_between_is_made_anew() -> None:
    class Expiring(MemoryApi):
        def patch(self, path: str, body: Any) -> dict[str, Any]:
            self.objects.clear()
            raise NotFoundError(f"{path} {body}", 404)

    api, metrics = Expiring(), Metrics()
    work(api, metrics, written(incident(1)), written(incident(2)))
    assert api.objects


def test_the_pace_is_bounded() -> None:
    async def scene() -> list[float]:
        now = [0.0]
        events = Events(MemoryApi(), Metrics(), "x", per_minute=60, at_once=2, clock=lambda: now[0])
        waits = []
        for _ in range(4):
            waits.append(events._wait())
            events._tokens -= 1
            now[0] += waits[-1]
        return waits

    assert asyncio.run(scene()) == [0.0, 0.0, 1.0, 1.0]
