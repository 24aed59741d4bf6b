"""What users, nodes and other versions may have written into objects: no kill is lost or doubled by it."""

from __future__ import annotations

import asyncio

from memdiag.controller.diagnoser import subject_of
from memdiag.controller.options import Keep
from memdiag.controller.upkeep import Upkeep
from memdiag.controller.workloads import Workloads
from memdiag.kube.api import PermanentError
from memdiag.kube.kinds import DIAGNOSIS, REPORT
from memdiag.model.report import FoldedKills
from tests.controller.shop import NOW, Shop, until
from tests.controller.support import OWN_NAMESPACE, MemoryApi, identity, pod_object, report, report_object, running


def test_workloads_and_containers_whose_names_read_alike_have_a_diagnosis_each() -> None:
    shop = Shop()
    names = (("web", "api-server"), ("web-api", "server"))

    async def scene() -> None:
        async with shop.at_work():
            for number, (pod, container) in enumerate(names * 2, 0x100):
                body = pod_object("shop", pod, [container], None)
                body["metadata"]["uid"] = f"uid-{pod}"
                body["status"] = {"containerStatuses": [running(container, identity(number * 16))]}
                shop.book.changed(body)
                told = report_object(f"kill-{number}", report(f"uid-{pod}", identity(number * 16), NOW + number))
                shop.api.put(REPORT.path(OWN_NAMESPACE, f"kill-{number}"), told)
                shop.worker.put(told)
                await until(shop.done)

    asyncio.run(scene())
    found = {item["metadata"]["name"]: item for item in shop.named("memorydiagnoses")}
    assert len({item["metadata"]["labels"]["memdiag.dev/diagnosis"] for item in shop.incidents}) == 1
    assert len(found) == 2
    assert {(one["spec"]["targetRef"]["name"], one["spec"]["container"]) for one in found.values()} == set(names)
    assert [one["status"]["kills"]["total"] for one in found.values()] == [2, 2]


def test_a_diagnosis_that_a_user_points_elsewhere_is_about_that_and_no_kill_is_lost() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))
    path = DIAGNOSIS.path("shop", "pod-web-app")

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1)
            await until(shop.done)
            shop.api.objects[path]["spec"]["targetRef"]["name"] = "other"
            shop.diagnoser.write(subject_of(shop.api.objects[path]))
            shop.report(2)
            await until(shop.done)
            shop.diagnoser.write(subject_of(shop.api.objects[path]))

    asyncio.run(scene())
    assert len(shop.incidents) == 2
    mine = [item for item in shop.named("memorydiagnoses") if item["spec"]["targetRef"]["name"] == "web"]
    assert [item["status"]["kills"]["total"] for item in mine] == [2]


def test_what_another_version_wrote_or_a_node_made_up_does_not_stop_the_count() -> None:
    shop = Shop()
    shop.pod(running("app", identity(1)))
    path = DIAGNOSIS.path("shop", "pod-web-app")

    async def scene() -> None:
        async with shop.at_work():
            shop.report(1, fold=FoldedKills(2**53 - 1, NOW, NOW + 1))
            shop.report(2, ordinal=2)
            await until(shop.done)
            shop.api.objects[path]["status"]["mechanism"] = "OfAnotherVersion"
            early = report_object("kill-3", report("uid-1", identity(3), NOW))
            early["spec"]["kill"]["time"] = "0001-01-01T00:00:00+01:00"
            shop.api.put(REPORT.path(OWN_NAMESPACE, "kill-3"), early)
            shop.worker.put(early)
            await until(shop.done)

    asyncio.run(scene())
    assert shop.total == 2**53 - 1
    assert "mechanism" not in shop.api.objects[path]["status"]


class Policy(MemoryApi):
    """Lets no incident go."""

    def delete(self, path: str, version: str | None = None) -> None:
        if "/memoryincidents/" in path:
            raise PermanentError(f"{path}: denied by a policy", 403)
        super().delete(path, version)


def test_a_policy_that_lets_no_incident_go_does_not_hold_reports_and_the_loop_up() -> None:
    shop = Shop(Policy())
    shop.diagnoser.keep = 1
    shop.pod(running("app", identity(1)))

    async def scene() -> None:
        async with shop.at_work():
            for number in range(1, 4):
                shop.report(number)
                await until(shop.done)

    asyncio.run(scene())
    assert (shop.total, len(shop.incidents)) == (3, 3)
    for place, item in enumerate(shop.incidents):
        item["metadata"]["creationTimestamp"] = f"2023-11-14T22:13:2{place}Z"
    for item in shop.named("memorydiagnoses"):
        item["metadata"]["creationTimestamp"] = "2023-11-14T22:13:20Z"
    clock = [NOW + 60]
    keep = Keep(workload=1, namespace=1, cluster=1)
    upkeep = Upkeep(
        shop.api, shop.diagnoser, Workloads(shop.api), list, shop.metrics,
        keep=keep, quiet_hours=1, wall=lambda: clock[0],
    )  # fmt: skip
    assert upkeep.once() == []
    clock[0] += 15 * 24 * 3600
    upkeep.once()
    assert shop.named("memorydiagnoses") == []
