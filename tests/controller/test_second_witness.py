"""What the pods' status alone tells: evictions, ends with 137, OOMKilled with odd exit codes, and which is believed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from memdiag.controller.evictions import incident_of, usage
from memdiag.controller.installation import Installation
from memdiag.controller.metrics import ReportOutcome, SuspectOutcome
from memdiag.controller.podbook import Ended
from memdiag.controller.secondwitness import SecondWitness
from memdiag.controller.sigkills import WITHIN, Sigkills, is_suspect
from memdiag.controller.traces import read, traces
from memdiag.diagnosis import diagnose
from memdiag.kube.kinds import DIAGNOSIS
from memdiag.kube.pods import Pod, project
from memdiag.kube.workload import Workload
from memdiag.model.kill import LimitHit
from memdiag.model.verdict import Cause, Mechanism
from tests.controller.shop import NOW, Shop, until
from tests.controller.support import MIB, MemoryApi, ended, identity, pod_object, running

MESSAGE = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. "
    "Container app was using 200Mi, request is 64Mi, has larger consumption of memory. "
    "Container proxy was using 20Mi, request is 0, has larger consumption of memory. "
)
WEB = Workload("v1", "Pod", "web", "uid-1")


def evicted(message: str = MESSAGE, names: tuple[str, ...] = ("proxy", "app"), **status: Any) -> dict[str, Any]:
    body = pod_object("shop", "web", list(names), None)
    body["metadata"]["uid"] = "uid-1"
    condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2023-11-14T22:13:10Z"}
    body["status"] = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": message,
        "conditions": [condition],
        **status,
    }
    return body


def judged(trace: Any, siblings: Any, limit_hit: LimitHit | None, surroundings: Any) -> Any:
    return diagnose(trace, siblings, limit_hit=limit_hit, surroundings=surroundings)


def status_of(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = shop.named("memorydiagnoses")[0].get("status", {})
    return found


def test_an_evicted_pod_is_an_incident_of_the_container_that_used_most() -> None:
    shop = Shop(judge=judged)

    async def scene() -> None:
        async with shop.at_work():
            for _ in range(2):
                shop.book.changed(evicted())
            await until(lambda: shop.named("memorydiagnoses") and status_of(shop).get("cause"))
            shop.book.changed(evicted())
            await asyncio.sleep(1.3)

    asyncio.run(scene())
    (incident,) = shop.incidents
    kill = incident["spec"]["kill"]
    assert (incident["spec"]["container"], kill["kind"], kill["limitHit"]) == ("app", "Evicted", "Node")
    assert (kill["usageBytes"], kill["time"]) == (200 * MIB, "2023-11-14T22:13:10Z")
    found = status_of(shop)
    assert (found["cause"], found["mechanism"], found["kills"]["total"]) == ("NodePressure", "Eviction", 1)


@pytest.mark.parametrize(
    "message",
    [
        "The node was low on resource: ephemeral-storage. ",
        "The node had condition: [MemoryPressure]. ",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
    ],
)
def test_another_eviction_or_a_pod_that_was_never_let_in_is_none(message: str) -> None:
    assert project(evicted(message)).eviction is None


def test_an_eviction_that_names_no_container_says_so() -> None:
    pod = project(evicted("The node was low on resource: memory. ", conditions=[]))
    body = incident_of(pod, WEB, NOW)
    assert body is not None
    assert body["spec"]["container"] == "proxy"
    assert "names no container" in body["spec"]["missing"][0]
    assert "usageBytes" not in body["spec"]["kill"]
    assert body["spec"]["kill"]["time"].startswith("2023-11-14T22:13:20")
    assert usage("Container a was using 1.5.5Mi, request is 0") == {}


def test_an_eviction_is_the_nodes_pressure_whatever_came_before() -> None:
    body = incident_of(project(evicted()), WEB, NOW)
    assert body is not None
    (trace,) = traces("shop", [read(body)])
    found = diagnose(trace, limit_hit=LimitHit.NODE)
    assert (found.cause, found.mechanism) == (Cause.NODE_PRESSURE, Mechanism.EVICTION)


@pytest.mark.parametrize(("code", "kind"), [(0, "ProcessKilled"), (143, "ProcessKilled"), (137, "ContainerKilled")])
def test_oomkilled_is_what_the_exit_code_makes_of_it(code: int, kind: str) -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.pod(ended("app", identity(1), "OOMKilled", code))
            await until(lambda: shop.total)
            await until(lambda: shop.incidents[0].get("status"))
            shop.report(1, container_died=code == 137)
            await until(lambda: shop.incidents[0]["status"].get("lateEvidence"))
            await until(shop.done)

    asyncio.run(scene())
    (incident,) = shop.incidents
    assert incident["spec"]["kill"]["kind"] == kind
    assert incident["status"]["podStatus"]["exitCode"] == code
    assert shop.total == 1


@pytest.mark.parametrize(
    ("reason", "word"), [("OOMKilled", {"reason": "OOMKilled", "exitCode": 0}), ("Completed", None)]
)
def test_a_kill_that_its_container_outlived_has_the_apis_word_when_that_is_oomkilled(reason: str, word: Any) -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            shop.pod(running("app", identity(1)))
            shop.report(1, container_died=None)
            shop.pod(ended("app", identity(1), reason, 0))
            await until(shop.done)
            await until(lambda: word is None or shop.incidents[0].get("status"))

    asyncio.run(scene())
    (incident,) = shop.incidents
    assert incident["spec"]["kill"]["kind"] == "ProcessKilled"
    said = incident.get("status", {}).get("podStatus")
    assert said is None if word is None else {**said, "finishedTime": ""} == {**word, "finishedTime": ""}


@pytest.mark.parametrize("where", ["initContainerStatuses", "ephemeralContainerStatuses", "sidecar", "static"])
def test_every_kind_of_container_is_seen(where: str) -> None:
    shop = Shop()
    body = pod_object("shop", "web", ["main"], None)
    body["metadata"]["uid"] = "uid-1"
    extra = {"name": "app", "image": "example.org/app:1", "resources": {"limits": {"memory": "64Mi"}}}
    key = "initContainerStatuses" if where == "sidecar" else where
    if where == "static":
        body["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "uid-kubelet"}
        body["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Node", "name": "node-a", "uid": "n", "controller": True}
        ]
        body["spec"]["containers"].append(extra)
        key = "containerStatuses"
    elif where == "ephemeralContainerStatuses":
        body["spec"]["ephemeralContainers"] = [extra]
    else:
        body["spec"]["initContainers"] = [{**extra, **({"restartPolicy": "Always"} if where == "sidecar" else {})}]
    body["status"] = {key: [ended("app", identity(1), "OOMKilled", 137)]}

    async def scene() -> None:
        async with shop.at_work():
            shop.book.changed(body)
            await until(lambda: shop.total)

    asyncio.run(scene())
    spec = shop.incidents[0]["spec"]
    roles = {"initContainerStatuses": "Init", "ephemeralContainerStatuses": "Ephemeral", "sidecar": "Sidecar"}
    assert spec["containerRole"] == roles.get(where, "Regular")
    assert spec["pod"]["uid"] == ("uid-kubelet" if where == "static" else "uid-1")


def stubborn(number: int, *, deleting: bool) -> Pod:
    body = pod_object("shop", f"web-{number}", ["app"], None)
    body["metadata"]["uid"] = f"uid-{number}"
    if deleting:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    body["status"] = {"containerStatuses": [ended("app", identity(number), "Error", 137)]}
    return project(body)


def test_a_roll_out_of_200_pods_that_ignore_sigterm_makes_nothing() -> None:
    shop = Shop()

    async def scene() -> None:
        async with shop.at_work():
            for number in range(200):
                body = pod_object("shop", f"web-{number}", ["app"], None)
                body["metadata"]["uid"] = f"uid-{number}"
                body["status"] = {"containerStatuses": [running("app", identity(number))]}
                shop.book.changed(body)
                body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                shop.book.changed(body)
                body["status"] = {"containerStatuses": [ended("app", identity(number), "Error", 137)]}
                shop.book.changed(body)
                shop.book.removed(body)
            await asyncio.sleep(2.3)

    asyncio.run(scene())
    assert shop.api.objects == {}
    assert [call for call in shop.api.calls if call[0] not in {"GET", "LIST"}] == []
    assert shop.metrics.suspects.labels(SuspectOutcome.SEEN)._value.get() == 200


def dies(shop: Shop, number: int, minute: int) -> None:
    """Let the pod's container end with 137 for the n-th time."""
    status = ended("app", identity(number), "Error", 137, restarts=number)
    status["state"]["terminated"]["finishedAt"] = f"2023-11-14T22:{minute:02d}:00Z"
    shop.pod(status)


def test_a_living_pod_that_keeps_ending_with_137_is_told_that_it_is_no_oom() -> None:
    shop = Shop(judge=judged)
    diagnosed = shop.metrics.suspects.labels(SuspectOutcome.DIAGNOSED)

    async def scene() -> None:
        async with shop.at_work():
            for number, minute in ((1, 1), (2, 5), (3, 12)):
                dies(shop, number, minute)
            await until(lambda: shop.named("memorydiagnoses") and status_of(shop).get("cause"))
            await until(lambda: diagnosed._value.get() == 3)

    asyncio.run(scene())
    found = status_of(shop)
    assert (found["cause"], found["mechanism"]) == ("NotKernelOOM", "ExternalSigkill")
    assert found["kills"]["total"] == 0
    assert shop.incidents == []
    conditions = {one["type"]: one["status"] for one in found["conditions"]}
    assert conditions["Diagnosed"] == "True"


@pytest.mark.parametrize("how", [{"enabled": False}, {"agents": False}])
def test_without_a_first_witness_or_when_switched_off_nothing_is_said(how: dict[str, Any]) -> None:
    shop = Shop(judge=judged, **how)

    async def scene() -> None:
        async with shop.at_work():
            for number in (1, 2, 3):
                dies(shop, number, number)
            if "enabled" in how:
                shop.book.changed(evicted())
                shop.pod(ended("app", identity(9), "OOMKilled", 137))
            await asyncio.sleep(1.5)

    asyncio.run(scene())
    assert shop.api.objects == {}


def test_what_the_kernel_killed_is_no_suspect() -> None:
    shop = Shop(judge=judged)

    async def scene() -> None:
        async with shop.at_work():
            for number in (1, 2, 3):
                dies(shop, number, number)
                shop.report(number)
            await until(shop.done)
            await asyncio.sleep(1.3)

    asyncio.run(scene())
    assert len(shop.incidents) == 3
    assert status_of(shop)["cause"] != "NotKernelOOM"
    assert shop.metrics.suspects.labels(SuspectOutcome.KERNEL_KILL)._value.get() == 3


def test_sigkills_far_apart_are_nothing_and_a_deletion_forgets() -> None:
    now = [0.0]
    sigkills = Sigkills(lambda: now[0], lambda: NOW + now[0], grace=10)
    pod = stubborn(1, deleting=False)
    container = pod.containers[0]

    def end(number: int, after: float) -> Ended:
        died = container.terminations[0]
        now[0] = after
        return Ended(pod, container, type(died)(identity(number), "Error", 137, None))

    for number in range(4):
        sigkills.add(end(number, number * WITHIN))
        assert sigkills.repeated() == []
    for number in range(4, 7):
        sigkills.add(end(number, 3 * WITHIN + number))
    assert sigkills.repeated() == []
    sigkills.forget(pod.uid)
    now[0] += 60
    assert sigkills.repeated() == []
    for number in range(7, 10):
        sigkills.add(end(number, 5 * WITHIN + number))
    now[0] += 60
    (found,) = sigkills.repeated()
    assert len(found.ends) == 3
    assert sigkills.repeated() == []
    assert not is_suspect(Ended(stubborn(1, deleting=True), container, container.terminations[0]))


def test_a_pod_of_which_nothing_can_be_told_does_not_stop_the_others() -> None:
    shop = Shop()
    odd = ended("app", "no/id at all!", "OOMKilled", 137)
    wordy = ended("app", identity(1), "OOMKilled" * 99, 137)

    async def scene() -> None:
        async with shop.at_work():
            shop.pod(running("app", identity(1)))
            shop.report(1)
            await until(shop.done)
            shop.pod(wordy)
            await until(lambda: shop.incidents[0].get("status"))
            shop.pod(odd)
            await asyncio.sleep(0.3)
            shop.pod(ended("app", identity(0x200), "OOMKilled", 137))
            await until(lambda: shop.total == 2)

    asyncio.run(scene())
    assert len(shop.incidents[0]["status"]["podStatus"]["reason"]) == 256


def test_a_verdict_that_fails_does_not_stop_the_second_witness() -> None:
    def broken(*_: Any) -> Any:
        raise ArithmeticError

    shop = Shop(judge=broken)

    async def scene() -> None:
        async with shop.at_work():
            for number, minute in ((1, 1), (2, 5), (3, 12)):
                dies(shop, number, minute)
            await until(lambda: shop.named("memorydiagnoses"))
            shop.pod(ended("app", identity(4), "OOMKilled", 137))
            await until(lambda: shop.total == 1)

    asyncio.run(scene())


def account(api: MemoryApi) -> Installation:
    path = "/api/v1/namespaces/memdiag-system/serviceaccounts/operator"
    api.put(path, {"metadata": {"name": "operator", "creationTimestamp": "2023-11-14T22:13:25Z", "uid": "sa"}})
    found = Installation(api, "memdiag-system", "operator", "operator-1", wall=lambda: NOW)
    found.load()
    return found


def test_kills_older_than_the_installation_are_marked_and_summed_up_once() -> None:
    api = MemoryApi()
    installation = account(api)
    shop = Shop(api, judge=judged, installation=installation)
    shop.pod(running("app", identity(50)))

    async def scene() -> None:
        async with shop.at_work():
            for number in (1, 2, 30):
                shop.report(number)
            await until(shop.done)
            old = ended("late", identity(0x700), "OOMKilled", 137)
            old["state"]["terminated"]["finishedAt"] = "2023-11-01T00:00:00Z"
            shop.pod(running("app", identity(50)), old, names=("app", "late"))
            await until(lambda: [item for item in shop.named("memorydiagnoses") if "status" in item][1:])

    asyncio.run(scene())
    marked = {item["spec"]["containerID"]: item["spec"]["foundBeforeInstall"] for item in shop.incidents}
    assert [marked[identity(number)] for number in (1, 2, 0x700, 30)] == [True, True, True, False]
    mine = shop.api.objects[DIAGNOSIS.path("shop", "pod-web-app")]["status"]
    late = shop.api.objects[DIAGNOSIS.path("shop", "pod-web-late")]["status"]
    assert (mine["kills"]["total"], mine["kills"]["beforeInstall"]) == (3, 2)
    assert late["summary"].endswith("older than memdiag's installation.")
    (summary,) = summed_up(installation)
    assert summary["message"].startswith("3 kills of 1 workloads are older than memdiag's installation")
    assert (summary["metadata"]["namespace"], summary["involvedObject"]["kind"]) == ("memdiag-system", "ServiceAccount")
    assert summed_up(installation) == []

    restarted = account(api)
    SecondWitness(api, shop.diagnoser, installation=restarted).load()
    assert summed_up(restarted) == [], "an operator before this one said it"
    restarted.count(shop.incidents[0])
    assert summed_up(restarted)[0]["message"].startswith("4 kills"), "and what was said then still counts"


def summed_up(installation: Installation) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    async def scene() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(installation.run(said.append, pause=0.01), 0.3)

    asyncio.run(scene())
    return said


def test_an_account_that_cannot_be_read_makes_every_kill_a_new_one() -> None:
    for name in (None, "other"):
        installation = Installation(MemoryApi(), "memdiag-system", name, "x")
        installation.load()
        assert installation.time is None


def test_reports_of_namespaces_that_are_not_chosen_are_dropped() -> None:
    shop = Shop(chosen=lambda namespace: namespace != "shop")
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)

    asyncio.run(scene())
    assert shop.incidents == []
    assert shop.metrics.reports.labels(ReportOutcome.DESELECTED)._value.get() == 1
