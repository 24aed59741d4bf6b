"""The worker and the second witness, against an API of dictionaries: patience, one write for many, nothing lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from memdiag.controller.diagnoser import subject_of
from memdiag.controller.metrics import ReportOutcome
from memdiag.kube.api import Body, ConflictError, JsonObject, TransientError
from memdiag.kube.kinds import DIAGNOSIS, REPORT
from memdiag.model.kill import LimitHit
from memdiag.model.report import FoldedKills
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Trace
from memdiag.model.verdict import Diagnosis
from tests.controller.shop import NOW, SUBJECT, Shop, until, verdict
from tests.controller.support import (
    OWN_NAMESPACE,
    MemoryApi,
    ended,
    identity,
    report,
    report_object,
    running,
)


def test_a_report_becomes_an_incident_and_a_diagnosis_and_is_deleted() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)

    asyncio.run(scene())
    (incident,) = shop.incidents
    assert incident["spec"]["containerID"] == identity(1)
    assert shop.total == 1
    writes = [(verb, path) for verb, path in shop.api.calls if verb not in {"GET", "LIST"}]
    assert [verb for verb, _ in writes] == ["POST", "POST", "PUT", "DELETE"]
    assert not any("/pods" in path for _, path in writes)


def test_a_report_about_another_nodes_pod_is_refused() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1, node="node-of-a-thief")
            await until(shop.done)

    asyncio.run(scene())
    assert shop.incidents == []


def test_a_storm_is_written_down_while_the_first_verdict_is_made_and_then_judged_together() -> None:
    judged, written = [], threading.Event()

    def slow(
        trace: Trace, siblings: Sequence[Trace], limit_hit: LimitHit | None, surroundings: Surroundings
    ) -> Diagnosis:
        assert written.wait(60), "the incidents wait for this verdict"
        judged.append(len(trace.runs))
        return verdict(trace, siblings, limit_hit, surroundings)

    shop = Shop(judge=slow)
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        for number in range(1, 41):
            shop.report(number)
        async with shop.at_work():
            await until(lambda: len(shop.incidents) == 40, 60)
            written.set()
            await until(shop.done, 60)

    asyncio.run(scene())
    assert shop.total == 40
    # what the second verdict has counted asks for no third one, whenever it is heard of
    assert (judged[-1], len(judged) <= 2) == (40, True)


def test_reports_pour_in() -> None:
    shop = Shop()
    shop.synced = False
    for number in range(1, 20):
        shop.report(number)
    assert not shop.worker.pouring()
    shop.report(20)
    assert shop.worker.pouring()
    shop.clock.now += 3
    assert not shop.worker.pouring(), "nothing came for three seconds, and nothing is being written"


def test_while_reports_pour_in_a_second_verdict_waits_for_more_kills() -> None:
    pouring = True
    shop = Shop()
    shop.diagnoser.pouring = lambda: pouring
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        nonlocal pouring
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)
            assert shop.total == 1, "the first verdict waits for nothing"
            shop.report(2)
            await until(lambda: len(shop.incidents) == 2)
            await asyncio.sleep(0.5)
            assert shop.total == 1
            shop.report(3)
            shop.clock.now += 31
            await until(lambda: shop.total == 3)
            shop.report(4)
            await until(lambda: len(shop.incidents) == 4)
            await asyncio.sleep(0.5)
            assert shop.total == 3
            pouring = False
            await until(shop.done)

    asyncio.run(scene())
    assert shop.total == 4


def test_what_a_user_asks_for_does_not_wait_for_the_storm() -> None:
    shop = Shop()
    shop.diagnoser.pouring = lambda: True
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)
            await asyncio.wait_for(shop.diagnoser.request(SUBJECT), 2)

    asyncio.run(scene())


def test_a_report_waits_for_the_pod_and_goes_on_when_it_comes() -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await asyncio.sleep(0.2)
            assert shop.incidents == []
            assert shop.worker.expects(identity(1))
            shop.pod(running("app", identity(1)))
            await until(shop.done, 1)

    asyncio.run(scene())
    assert shop.total == 1


def test_a_report_waits_for_the_status_of_several_containers() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)), running("proxy", identity(2)), names=("app", "proxy"))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(3)
            await asyncio.sleep(0.2)
            assert shop.incidents == []
            shop.pod(running("app", identity(1)), running("proxy", identity(3), 1), names=("app", "proxy"))
            await until(shop.done, 1)

    asyncio.run(scene())
    assert shop.incidents[0]["spec"]["container"] == "proxy"


def test_nothing_is_judged_before_the_pods_are_listed() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))
    shop.synced = False

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await asyncio.sleep(0.3)
            assert shop.incidents == []
            shop.synced = True
            await until(shop.done)

    asyncio.run(scene())


class Failing(MemoryApi):
    """Fails the first calls of one verb."""

    def __init__(self, verb: str, times: int, error: Exception) -> None:
        super().__init__()
        self.verb, self.times, self.error = verb, times, error

    def _maybe(self, verb: str) -> None:
        if verb == self.verb and self.times:
            self.times -= 1
            raise self.error

    def create(self, path: str, body: Body) -> JsonObject:
        self._maybe("create")
        return super().create(path, body)

    def replace(self, path: str, body: Body) -> JsonObject:
        self._maybe("replace")
        return super().replace(path, body)

    def delete(self, path: str, version: str | None = None) -> None:
        self._maybe("delete")
        super().delete(path, version)


@pytest.mark.parametrize(
    ("verb", "error"),
    [
        ("create", TransientError("overloaded", 503, 0.01)),
        ("replace", ConflictError("changed", 409)),
        ("replace", TransientError("away", None, 0.01)),
        ("delete", TransientError("away", None, 0.01)),
    ],
)
def test_an_interruption_anywhere_neither_loses_nor_doubles_a_kill(verb: str, error: Exception) -> None:
    shop = Shop(Failing(verb, 2, error))
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            shop.report(2)
            await until(shop.done)

    asyncio.run(scene())
    assert (len(shop.incidents), shop.total) == (2, 2)


@pytest.mark.parametrize("verb", ["create", "replace", "delete"])
def test_an_interruption_anywhere_counts_folded_kills_once(verb: str) -> None:
    shop = Shop(Failing(verb, 2, TransientError("away", None, 0.01)))
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            folded = FoldedKills(300, NOW, NOW + 60)
            for ordinal in (1, 2):
                shop.report(1, ordinal=ordinal, container_died=False)
                await until(shop.done)
            for _ in range(2):  # an agent that is killed between creating and forgetting it sends it again
                shop.report(1, ordinal=6, container_died=False, fold=folded, time=NOW + 60)
                await until(shop.done)

    asyncio.run(scene())
    assert (len(shop.incidents), shop.total) == (3, 302)


def test_a_verdict_that_fails_is_said_and_counted() -> None:
    def broken(
        trace: Trace, siblings: Sequence[Trace], limit_hit: LimitHit | None, surroundings: Surroundings
    ) -> Diagnosis:
        raise ZeroDivisionError

    shop = Shop(judge=broken)
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)

    asyncio.run(scene())
    status = shop.api.objects[DIAGNOSIS.path("shop", "pod-web-app")]["status"]
    assert (status["cause"], status["kills"]["total"]) == ("Inconclusive", 1)
    assert status["missing"] == ["verdict: ZeroDivisionError in memdiag"]


def test_the_end_that_the_api_shows_is_filled_in() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)
            shop.pod(ended("app", identity(1), "Error", 137))
            await until(lambda: shop.incidents[0].get("status"))

    asyncio.run(scene())
    assert shop.incidents[0]["status"]["podStatus"]["reason"] == "Error"
    assert shop.total == 1


def test_the_api_alone_tells_of_a_kill_after_the_grace() -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.pod(ended("app", identity(1), "OOMKilled", 137))
            await until(lambda: shop.total)

    asyncio.run(scene())
    (incident,) = shop.incidents
    assert (incident["spec"]["source"], incident["spec"]["kill"]["limitHit"]) == ("PodStatus", "Unknown")


def test_137_with_another_reason_makes_nothing() -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.pod(ended("app", identity(1), "Error", 137))
            await asyncio.sleep(1.5)

    asyncio.run(scene())
    assert (shop.incidents, shop.total) == ([], 0)


def test_a_kill_older_than_what_is_kept_is_not_made_anew() -> None:
    shop = Shop()
    shop.pod(running("app", identity(50)))

    async def scene() -> None:
        for number in range(1, 26):
            shop.report(number)
        async with shop.at_work():
            await until(shop.done)
            kept = {item["spec"]["containerID"] for item in shop.incidents}
            assert len(kept) == 20
            assert identity(5) not in kept
        restarted = Shop(shop.api)
        restarted.witness.load()
        async with restarted.at_work():
            body = ended("app", identity(5), "OOMKilled", 137)
            body["state"]["terminated"]["finishedAt"] = "2023-11-14T22:13:25Z"
            restarted.pod(body)
            await asyncio.sleep(1.5)

    asyncio.run(scene())
    assert (len(shop.incidents), shop.total) == (20, 25)


def test_a_restart_fills_in_what_was_waited_for() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)
        restarted = Shop(shop.api)
        restarted.witness.load()
        async with restarted.at_work():
            restarted.pod(ended("app", identity(1), "OOMKilled", 137))
            await until(lambda: shop.incidents[0].get("status"))
            await asyncio.sleep(1.3)

    asyncio.run(scene())
    assert (len(shop.incidents), shop.total) == (1, 1)


def test_a_users_diagnosis_without_a_kill_says_so() -> None:
    shop = Shop()
    target = {"apiVersion": "v1", "kind": "Pod", "name": "web"}
    body = {
        "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"targetRef": target, "container": "app"},
    }
    shop.api.put(DIAGNOSIS.path("shop", "mine"), body)
    subject = subject_of(body)
    assert subject.name == SUBJECT.name
    shop.diagnoser.write(subject)
    status = shop.api.objects[DIAGNOSIS.path("shop", "mine")]["status"]
    assert status["observedGeneration"] == 1
    assert [one["reason"] for one in status["conditions"]] == ["NoKill", "NoKill", "NotSent", "NoKill"]


def test_no_diagnosis_is_made_for_nothing() -> None:
    shop = Shop()
    shop.diagnoser.write(SUBJECT)
    assert shop.api.objects == {}


def test_the_incidents_of_another_container_are_not_judged() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)), running("proxy", identity(2)), names=("app", "proxy"))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            shop.report(2)
            await until(shop.done)

    asyncio.run(scene())
    totals = {item["spec"]["container"]: item["status"]["kills"]["total"] for item in shop.named("memorydiagnoses")}
    assert totals == {"app": 1, "proxy": 1}


def test_a_report_whose_pod_never_shows_is_given_up_after_a_day() -> None:
    now = [NOW]
    shop = Shop(wall=lambda: now[0])
    created = {"creationTimestamp": "2023-11-14T22:13:20Z"}

    async def scene() -> None:
        async with shop.at_work():
            told = report_object("kill-1", report("uid-gone", identity(1), NOW))
            told["metadata"].update(created)
            shop.api.put(REPORT.path(OWN_NAMESPACE, "kill-1"), told)
            shop.worker.put(told)
            await asyncio.sleep(0.1)
            assert not shop.done()
            assert shop.worker.oldest_age() == 0
            now[0] += 25 * 3600
            shop.worker.pod_changed("uid-gone")
            await until(shop.done)

    asyncio.run(scene())
    assert shop.metrics.reports.labels(ReportOutcome.POD_GONE)._value.get() == 1
    assert shop.incidents == []


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_learned_of_a_kill_after_its_incident_was_written_makes_no_second_one(restart: bool) -> None:
    shop = Shop(api := Shaky())
    shop.pod(running("app", identity(1)), running("proxy", identity(16)), names=("app", "proxy"))

    async def scene() -> None:
        nonlocal shop
        async with shop.at_work():
            shop.report(1, container_died=None)
            await asyncio.sleep(0.1)
            shop.clock.now += 31
            shop.worker.pod_changed("uid-1")
            await until(lambda: shop.worker.oldest_age() >= 31)
            end = ended("app", identity(1), "Error", 137)
            if not restart:
                shop.pod(end, running("proxy", identity(16)), names=("app", "proxy"))
                api.shaky = False
                await until(shop.done)
        if restart:
            api.shaky = False
            told = shop.named("memoryreports")[0]
            shop = Shop(api)
            shop.witness.load()
            shop.pod(end, running("proxy", identity(16)), names=("app", "proxy"))
            async with shop.at_work():
                shop.worker.put(told)
                await until(shop.done)

    asyncio.run(scene())
    assert [incident["spec"]["kill"]["kind"] for incident in shop.incidents] == ["ProcessKilled"]
    assert shop.total == 1


class Shaky(MemoryApi):
    """Makes no diagnosis for a while."""

    shaky = True

    def create(self, path: str, body: Body) -> JsonObject:
        if self.shaky and "/memorydiagnoses" in path:
            raise TransientError(path, 503)
        return super().create(path, body)


def test_reports_that_wait_in_thousands_cost_a_pods_change_nothing() -> None:
    shop = Shop()
    shop.synced = False
    body = report_object("kill-0", report("uid-0", identity(0), NOW))
    for number in range(2_000):
        spec = {**body["spec"], "podUID": f"uid-{number}", "containerID": identity(number)}
        shop.worker.put({"metadata": {**body["metadata"], "name": f"kill-{number}"}, "spec": spec})
    begun = time.process_time()
    for number in range(20_000):
        shop.worker.pod_changed(f"uid-of-another-{number}")
        assert not shop.worker.expects(f"run-of-another-{number}")
    assert time.process_time() - begun < 1
    assert shop.worker.expects(identity(7))


def test_a_report_that_is_deleted_while_it_waits_is_expected_no_more() -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            assert shop.worker.expects(identity(1))
            while shop.worker.depth():
                shop.worker.drop("kill-1")
                await asyncio.sleep(0.01)
            assert not shop.worker.expects(identity(1))
            shop.worker.pod_changed("uid-1")

    asyncio.run(scene())
