"""`memdiag scan` without a store: what the pods' status tells, and the rules by which a store's words are read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from memdiag.cli.scan import scanned
from memdiag.cli.storekills import HOUR, within, workload_of
from memdiag.cli.target import Refused, Target
from memdiag.kube.api import PermanentError
from memdiag.model.report import rfc3339
from tests.cli.shop import World, said, stocked
from tests.controller.support import ended, identity, running

DAY = 86400.0
PODS = "/api/v1/namespaces/shop/pods"


def status(world: World, pod: str, *statuses: dict[str, Any], ago: float = 600.0, **more: Any) -> None:
    """Write a pod's status; whatever ended in it did so many seconds ago."""
    for one in statuses:
        for key in ("state", "lastState"):
            end = one.get(key, {}).get("terminated")
            if end:
                end["finishedAt"] = rfc3339(time.time() - ago)
    world.patch(f"{PODS}/{pod}/status", {"status": {"phase": "Running", "containerStatuses": list(statuses), **more}})


def restarted(number: int, reason: str = "OOMKilled") -> dict[str, Any]:
    """Return the status of a container that runs again after an end."""
    last = ended("app", identity(number), reason, 137)["state"]
    return {**running("app", identity(number + 1), 1), "lastState": last}


def scan(world: World, capsys: pytest.CaptureFixture[str], *words: str, namespace: str | None = "shop") -> list[str]:
    assert said(scanned, Target(world, namespace), *words) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def world() -> World:
    world = World()
    stocked(world, "shop", "checkout", 2)
    stocked(world, "shop", "calm")
    status(world, "checkout-abc-x7k20", restarted(1))
    status(world, "checkout-abc-x7k21", restarted(3), ago=60.0)
    status(world, "calm-abc-x7k20", restarted(5, "Error"))
    return world


def test_kills_that_the_pods_tell_of_are_judged_by_workload(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(scanned, Target(world, "shop")) == 0
    told = capsys.readouterr()
    heads, only = told.out.splitlines()
    assert heads.split()[:4] == ["WORKLOAD", "CONTAINER", "CAUSE", "CONFIDENCE"]
    assert only.split()[:3] == ["deployment/checkout", "app", "Inconclusive"]
    assert only.split()[4:8] == ["96Mi", "keep", "2", "60s"]
    assert "3 pods of namespace shop read: 1 container OOM-killed in the last two weeks" in told.err
    assert "--prometheus URL brings it" in told.err
    assert [call for call in world.calls if call[0] not in ("GET", "LIST", "POST", "PATCH")] == []


def test_nothing_is_written(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.calls.clear()
    scan(world, capsys)
    assert {verb for verb, _ in world.calls} == {"GET", "LIST"}


def test_documents(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = scan(world, capsys, "-o", "json")
    found = json.loads(line)
    assert found["workload"] == {"kind": "Deployment", "name": "checkout"}
    assert (found["namespace"], found["container"], found["cause"]) == ("shop", "app", "Inconclusive")
    assert len(found["kills"]) == 2
    assert found["kills"][0] > found["kills"][1]
    assert yaml.safe_load("\n".join(scan(world, capsys, "-o", "yaml"))).keys() == found.keys()
    assert scan(world, capsys, "-o", "html")[0] == "<!DOCTYPE html>"
    assert scan(world, capsys, "-A", namespace=None)[0].startswith("NAMESPACE")


def test_an_eviction_is_told_and_what_is_older_than_two_weeks_is_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for pod in ("checkout-abc-x7k20", "checkout-abc-x7k21"):
        status(world, pod, restarted(1), ago=15 * DAY)
    message = "The node was low on resource: memory. Container app was using 90Mi, request is 10Mi."
    status(world, "calm-abc-x7k20", ended("app", identity(5), "Error", 137), reason="Evicted", message=message)
    _, only = scan(world, capsys)
    assert only.split()[:3] == ["deployment/calm", "app", "NodePressure"]


def test_no_kill_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    stocked(world, "shop", "calm")
    assert said(scanned, Target(world, "shop")) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "1 pod of namespace shop read: nothing was OOM-killed" in told.err


def test_what_may_not_be_read_around_a_container_is_missing_and_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    class Reserved(World):
        def get(self, path: str, query: Any = None) -> dict[str, Any]:
            if "limitranges" in path:
                raise PermanentError("GET: 403 forbidden", 403)
            return super().get(path, query)

    world = Reserved()
    stocked(world, "shop", "checkout")
    status(world, "checkout-abc-x7k20", restarted(1))
    (line,) = scan(world, capsys, "-o", "json")
    assert "LimitRanges: not readable (403)" in json.loads(line)["missing"]


def test_a_store_that_does_not_answer_is_refused(world: World) -> None:
    with pytest.raises(Refused, match=r"--prometheus: 127.0.0.1:1 does not answer"):
        said(scanned, Target(world, "shop"), "--prometheus", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("kind", "name", "workload"),
    [
        ("ReplicaSet", "web-6d4b75cb6d", ("apps/v1", "Deployment", "web")),
        ("ReplicaSet", "web", ("apps/v1", "ReplicaSet", "web")),
        ("Job", "nightly-28461230", ("batch/v1", "CronJob", "nightly")),
        ("Job", "once", ("batch/v1", "Job", "once")),
        ("StatefulSet", "db", ("apps/v1", "StatefulSet", "db")),
        ("Rollout", "web", ("", "Rollout", "web")),
        ("<none>", "<none>", ("v1", "Pod", "the-pod")),
        ("Node", "node-a", ("v1", "Pod", "the-pod")),
    ],
)
def test_workloads_of_pods_that_are_gone(kind: str, name: str, workload: tuple[str, str, str]) -> None:
    found = workload_of(kind, name, "the-pod")
    assert (found.api_version, found.kind, found.name) == workload


@pytest.mark.parametrize(
    ("hours", "end", "killed"),
    [
        ([7200.0], 7000.0, True),
        ([7200.0, 10800.0], 7000.0, True),
        ([], 7000.0, False),
        ([3600.0], 7000.0, False),
        ([7200.0 + 4 * HOUR], 7000.0, False),
    ],
)
def test_a_run_was_killed_when_the_hour_of_its_end_says_so(hours: Sequence[float], end: float, killed: bool) -> None:
    assert within(hours, end, 600.0) is killed
