"""The periodic loop: what is resolved and reopened, what goes and what stays, and counts that a crash lost."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from memdiag.controller import resolution
from memdiag.controller.diagnoser import Diagnoser, Subject, Written
from memdiag.controller.metrics import Metrics, Retention
from memdiag.controller.options import Keep
from memdiag.controller.podbook import PodBook
from memdiag.controller.retention import Stub, surplus
from memdiag.controller.upkeep import LIFE, Upkeep
from memdiag.controller.workloads import Workloads
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT
from memdiag.kube.workload import Workload
from memdiag.model.report import from_rfc3339
from tests.controller.shop import until, verdict
from tests.controller.support import MemoryApi, identity, pod_object, running
from tests.controller.test_diagnoses import incident_object

NOW = 1_700_000_000.0
HOUR = 3600.0
WEB = Workload("apps/v1", "Deployment", "web", "uid-web")
SUBJECT = Subject("shop", WEB, "app")
PATH = DIAGNOSIS.path("shop", "deployment-web-app")


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class House:
    """A Deployment with its pods, its incidents and everything that looks after them; the clock is ours."""

    def __init__(self, keep: Keep | None = None, quiet_hours: float = 24.0) -> None:
        self.api = MemoryApi()
        self.now = NOW
        self.metrics = Metrics()
        self.told: list[Written] = []
        self.diagnoser = Diagnoser(self.api, verdict, wall=lambda: self.now, told=self.told.append)
        self.book = PodBook()
        self.upkeep = Upkeep(
            self.api,
            self.diagnoser,
            Workloads(self.api, lambda: self.now),
            self.book.living,
            self.metrics,
            keep=keep or Keep(),
            quiet_hours=quiet_hours,
            wall=lambda: self.now,
        )
        for name in ("web-abc", "web-def"):
            top = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web", "controller": True}
            place = f"/apis/apps/v1/namespaces/shop/replicasets/{name}"
            self.api.put(place, {"metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": [top]}})

    def incident(self, number: int, when: float | None = None, created: float | None = None) -> str:
        when = self.now if when is None else when
        item = incident_object(number, when=when)
        item["metadata"]["creationTimestamp"] = stamp(when if created is None else created)
        self.api.put(f"{INCIDENT.path('shop')}/{item['metadata']['name']}", item)
        return str(item["metadata"]["name"])

    def kill(self, number: int) -> None:
        self.incident(number)
        self.diagnoser.write(SUBJECT)
        self.api.objects[PATH]["metadata"].setdefault("creationTimestamp", stamp(self.now))

    def pod(self, revision: str = "abc", limit: str = "128Mi", image: str = "example.org/app:1") -> None:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{revision}", "uid": f"uid-web-{revision}"}
        body = pod_object("shop", f"web-{revision}-1", ["app"], owner)
        body["metadata"].update(uid=f"uid-pod-{revision}", labels={"pod-template-hash": revision})
        container = body["spec"]["containers"][0]
        body["spec"]["containers"] = [{**container, "image": image, "resources": {"limits": {"memory": limit}}}]
        body["status"] = {"phase": "Running", "containerStatuses": [running("app", identity(50))]}
        self.book.changed(body)

    def leave(self, revision: str = "abc") -> None:
        self.book.removed(pod_object("shop", f"web-{revision}-1", ["app"], None) | self._gone(revision))

    def _gone(self, revision: str) -> dict[str, Any]:
        return {"metadata": {"name": f"web-{revision}-1", "namespace": "shop", "uid": f"uid-pod-{revision}"}}

    def resolved(self) -> tuple[str, str, str]:
        found = self.api.get(PATH)["status"]["conditions"]
        (one,) = [each for each in found if each["type"] == "Resolved"]
        return one["status"], one["reason"], one["message"]

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def names(self) -> set[str]:
        return {path.rsplit("/", 1)[1] for path in self.api.objects if "/memoryincidents/" in path}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"limit": "256Mi"}, "limit 128Mi → 256Mi"),
        ({"image": "example.org/app:2"}, "image example.org/app:1 → example.org/app:2"),
        ({"revision": "def"}, "revision abc → def"),
    ],
)
def test_a_change_and_quiet_hours_resolve_and_the_next_kill_reopens(how: dict[str, str], said: str) -> None:
    house = House()
    house.pod()
    house.kill(1)
    house.upkeep.once()
    assert house.resolved()[:2] == ("False", "Killed")

    house.now += HOUR
    if "revision" in how:
        house.leave()
    house.pod(**how)
    house.upkeep.once()
    assert house.resolved()[:2] == ("Unknown", "WorkloadChanged")
    assert said in house.resolved()[2]

    house.now += 23 * HOUR
    house.upkeep.once()
    assert house.resolved()[0] == "Unknown"
    house.diagnoser.write(SUBJECT)
    assert house.resolved()[0] == "Unknown", "a diagnosis written anew without a kill changes nothing"

    house.now += 1.5 * HOUR
    house.upkeep.once()
    assert house.resolved()[:2] == ("True", "QuietSinceChange")
    house.upkeep.once()

    house.now += HOUR
    house.kill(2)
    assert house.resolved()[:2] == ("False", "Killed")
    assert [one.reopened for one in house.told] == [False, True]
    assert [house.count("memdiag_resolutions_total", change=word) for word in ("changed", "resolved", "undone")] == [
        1,
        1,
        0,
    ]


def test_an_old_pod_beside_new_ones_or_no_pod_at_all_is_no_change() -> None:
    house = House()
    house.kill(1)
    house.upkeep.once()
    assert house.resolved()[0] == "False"
    house.pod()
    house.pod("def", limit="256Mi")
    house.upkeep.once()
    assert house.resolved()[0] == "False"


def test_what_is_changed_back_is_open_again() -> None:
    house = House()
    house.kill(1)
    house.now += HOUR
    house.pod("def")
    house.upkeep.once()
    assert house.resolved()[0] == "Unknown"
    house.leave("def")
    house.upkeep.once()
    assert house.resolved()[0] == "Unknown", "without a pod nothing is known"
    house.pod()
    house.upkeep.once()
    assert house.resolved()[:2] == ("False", "Killed")
    assert "as it was again" in house.resolved()[2]
    assert house.count("memdiag_resolutions_total", change="undone") == 1


def test_a_kill_told_late_does_not_reopen_what_was_changed_after_it() -> None:
    house = House()
    house.kill(1)
    house.now += HOUR
    house.pod("def")
    house.upkeep.once()
    house.now += 60
    house.incident(2, when=NOW + 600)
    house.diagnoser.write(SUBJECT)
    assert house.api.get(PATH)["status"]["kills"]["total"] == 2
    assert house.resolved()[0] == "Unknown"


def test_pods_of_another_workload_with_a_like_name_say_nothing() -> None:
    house = House()
    top = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-def", "uid": "uid-other", "controller": True}
    place = "/apis/apps/v1/namespaces/shop/replicasets/web-def"
    house.api.put(place, {"metadata": {"name": "web-def", "uid": "uid-web-def", "ownerReferences": [top]}})
    house.kill(1)
    house.pod("def")
    house.upkeep.once()
    assert house.resolved()[0] == "False"


def test_a_container_that_is_gone_from_the_pods_is_a_change() -> None:
    house = House()
    house.pod("def")
    (pod,) = house.book.living()
    renamed = dataclasses.replace(pod, containers=(dataclasses.replace(pod.containers[0], name="other"),))
    killed = resolution.Facts("128Mi", "example.org/app:1", "abc")
    assert resolution.change(killed, [renamed], "app") == "the container is no part of the pods any more"
    assert resolution.change(killed, [], "app") is None
    assert not resolution.counts(dataclasses.replace(pod, deleting=True))


def test_of_the_bounds_the_oldest_settled_go_first() -> None:
    stubs = [Stub(space, f"{space}-{number}", "d", float(number)) for space in ("a", "b") for number in range(6)]
    settled = frozenset(one for one in stubs if one.name != "a-0")
    gone = [(one.name, bound) for one, bound in surplus(stubs, Keep(namespace=4, cluster=5), settled)]
    assert gone == [
        ("a-1", Retention.NAMESPACE),
        ("a-2", Retention.NAMESPACE),
        ("b-0", Retention.NAMESPACE),
        ("b-1", Retention.NAMESPACE),
        ("b-2", Retention.CLUSTER),
        ("a-3", Retention.CLUSTER),
        ("b-3", Retention.CLUSTER),
    ]


def test_a_namespaces_bound_deletes_what_is_counted_and_nothing_else() -> None:
    house = House(Keep(namespace=2))
    for number in range(1, 5):
        house.now += 60
        house.kill(number)
    uncounted = house.incident(9, created=NOW)
    house.upkeep.once()
    assert len(house.names()) == 2
    assert uncounted in house.names()
    assert house.count("memdiag_retention_deleted_total", bound="namespace") == 3
    house.diagnoser.write(SUBJECT)
    assert house.api.get(PATH)["status"]["kills"]["total"] == 5, "what is deleted stays counted"


def test_incidents_whose_diagnosis_is_gone_for_long_are_nobodys() -> None:
    house = House(Keep(namespace=1))
    house.kill(1)
    house.kill(2)
    house.api.delete(PATH)
    house.upkeep.once()
    assert len(house.names()) == 2
    house.now += 2 * HOUR
    assert house.upkeep.once() == []
    assert len(house.names()) == 1


def test_a_changed_spec_that_nobody_judged_is_judged_later() -> None:
    house = House()
    house.kill(1)
    assert house.upkeep.once() == []
    house.api.objects[PATH]["metadata"]["generation"] = 2
    (asked,) = house.upkeep.once()
    house.diagnoser.write(asked)
    assert house.api.objects[PATH]["status"]["observedGeneration"] == 2
    assert house.upkeep.once() == []


def test_a_diagnosis_without_owner_lives_for_fourteen_days_after_its_last_kill() -> None:
    house = House()
    house.kill(1)
    house.now += LIFE - 60
    house.upkeep.once()
    del house.api.objects[PATH]["metadata"]["ownerReferences"]
    house.upkeep.once()
    assert PATH in house.api.objects
    house.now += 120
    house.upkeep.once()
    assert PATH not in house.api.objects
    assert house.names() == set()
    assert house.count("memdiag_retention_deleted_total", bound="age") == 2


def test_what_a_user_made_or_a_workload_owns_is_not_aged() -> None:
    house = House()
    house.kill(1)
    house.now += 2 * LIFE
    house.upkeep.once()
    assert PATH in house.api.objects, "its Deployment owns it"
    metadata = house.api.objects[PATH]["metadata"]
    del metadata["ownerReferences"], metadata["labels"]
    house.upkeep.once()
    assert PATH in house.api.objects, "a user made it"


def test_an_incident_that_nobody_counted_is_asked_for() -> None:
    house = House()
    house.kill(1)
    house.incident(2, when=NOW + 1)
    assert house.upkeep.once() == [], "whoever wrote it may be about to ask"
    house.now += 120
    (found,) = house.upkeep.once()
    assert (found.namespace, found.name) == ("shop", "deployment-web-app")
    house.diagnoser.write(found)
    assert house.upkeep.once() == []
    assert house.api.get(PATH)["status"]["kills"]["total"] == 2


def test_the_first_incident_of_all_is_asked_for_after_a_start_only() -> None:
    house = House()
    house.incident(1)
    house.now += 120
    assert [one.name for one in house.upkeep.once()] == ["deployment-web-app"]
    assert house.upkeep.once() == [], "a diagnosis that a user deleted comes back with the next kill, not before"


def test_one_diagnosis_that_cannot_be_read_or_written_does_not_stop_the_loop() -> None:
    house = House()
    house.pod()
    house.kill(1)
    odd = copy.deepcopy(house.api.objects[PATH])
    odd["metadata"]["name"] = "a"
    odd["status"]["kills"]["lastTime"] = "0000-01-01T00:00:00Z"
    house.api.objects = {DIAGNOSIS.path("shop", "a"): odd, **house.api.objects}
    house.pod(limit="256Mi")
    house.upkeep.once()
    assert house.resolved()[:2] == ("Unknown", "WorkloadChanged")


def test_the_loop_outlives_a_diagnosis_that_always_fails() -> None:
    house = House()
    house.kill(1)
    house.api.objects[PATH]["status"]["kills"]["total"] = "many"
    house.incident(2, created=NOW - HOUR / 2)
    house.upkeep = Upkeep(
        house.api, house.diagnoser, Workloads(house.api), house.book.living, house.metrics,
        keep=Keep(), quiet_hours=24, wall=lambda: house.now, pause=0.01,
    )  # fmt: skip

    async def scene() -> None:
        loop = asyncio.create_task(house.upkeep.run())
        await until(lambda: house.api.calls.count(("LIST", DIAGNOSIS.path())) > 2)
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop

    asyncio.run(scene())


def test_a_change_is_not_undone_because_the_kills_incident_is_not_kept() -> None:
    house = House()
    house.pod()
    house.kill(1)
    house.leave()
    house.pod(revision="def")
    house.upkeep.once()
    assert house.resolved()[:2] == ("Unknown", "WorkloadChanged")
    for path in [path for path in house.api.objects if "/memoryincidents/" in path]:
        house.api.delete(path)
    house.upkeep.once()
    assert house.resolved()[:2] == ("Unknown", "WorkloadChanged")
    house.now += 25 * HOUR
    house.upkeep.once()
    assert house.resolved()[:2] == ("True", "QuietSinceChange")


def test_a_node_whose_clock_is_ahead_does_not_have_the_last_word() -> None:
    house = House()
    ahead = house.incident(1, when=NOW + 365 * 24 * HOUR, created=NOW)
    house.api.objects[f"{INCIDENT.path('shop')}/{ahead}"]["spec"]["limits"]["limit"] = "64Mi"
    house.diagnoser.write(SUBJECT)
    house.now += HOUR
    house.kill(2)
    status = house.api.get(PATH)["status"]
    assert from_rfc3339(status["kills"]["lastTime"]) == NOW + HOUR
    assert [kill["incident"] == ahead for kill in status["kills"]["recent"]] == [False, True]
    assert status["limit"] == "128Mi"
