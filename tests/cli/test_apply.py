"""`memdiag apply`: the owner's patch, pods in place, and all that is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from memdiag.cli.apply import applied
from memdiag.cli.target import Refused, Target
from memdiag.kube.api import PermanentError
from memdiag.kube.kinds import DIAGNOSIS
from tests.cli.shop import World, said, stock

LEAK, LOW = "deployment-checkout-app", "deployment-reports-app"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
PODS = "/api/v1/namespaces/shop/pods"


@pytest.fixture(scope="module")
def shop() -> World:
    world = World()
    stock(world, "shop")
    world.calls.clear()
    return world


@pytest.fixture
def world(shop: World) -> World:
    return copy.deepcopy(shop)


def in_force(world: World, path: str) -> tuple[str, str]:
    spec = world.objects[path]["spec"]
    resources = spec.get("template", {"spec": spec})["spec"]["containers"][0]["resources"]
    return resources["limits"]["memory"], resources["requests"]["memory"]


def writes(world: World) -> list[tuple[str, str]]:
    return [call for call in world.calls if call[0] not in ("GET", "LIST")]


def test_the_patch_is_printed_and_nothing_changes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(applied, Target(world, "shop"), LOW, "--in-place") == 0
    told = capsys.readouterr()
    resources = {"limits": {"memory": "144Mi"}, "requests": {"memory": "144Mi"}}
    assert yaml.safe_load(told.out) == {
        "spec": {"template": {"spec": {"containers": [{"name": "app", "resources": resources}]}}}
    }
    assert "# deployment/reports, container app: memory limit 96Mi → 144Mi, request 144Mi" in told.out
    assert "kubectl -n shop patch deployment/reports --type strategic -p" in told.err
    assert "Pods to resize in place: reports-abc-x7k20" in told.err
    assert "Nothing was changed; --yes does it." in told.err
    assert writes(world) == []


def test_yes_patches_the_owner_and_nothing_else(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(applied, Target(world, "shop"), LOW, "--yes") == 0
    assert in_force(world, f"{DEPLOYMENTS}/reports") == ("144Mi", "144Mi")
    assert writes(world) == [("STRATEGIC", f"{DEPLOYMENTS}/reports")]
    assert world.objects[f"{DEPLOYMENTS}/reports"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert said(applied, Target(world, "shop"), LOW, "--yes") == 0
    assert "has a limit of 144Mi already" in capsys.readouterr().out
    assert len(writes(world)) == 1


def test_in_place_resizes_pods_that_run_with_another_limit(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.objects[f"{PODS}/checkout-abc-x7k21"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert said(applied, Target(world, "shop"), LEAK, "--stop-gap", "--yes", "--in-place") == 0
    assert writes(world) == [
        ("STRATEGIC", f"{DEPLOYMENTS}/checkout"),
        ("STRATEGIC", f"{PODS}/checkout-abc-x7k20/resize"),
    ]
    assert in_force(world, f"{PODS}/checkout-abc-x7k20") == ("176Mi", "96Mi")
    assert "pod checkout-abc-x7k20: memory limit 96Mi → 176Mi, asked of its node" in capsys.readouterr().out


def test_a_guaranteed_pod_stays_guaranteed(world: World) -> None:
    world.objects[f"{PODS}/checkout-abc-x7k20"]["status"]["qosClass"] = "Guaranteed"
    assert said(applied, Target(world, "shop"), LEAK, "--stop-gap", "--yes", "--in-place") == 0
    assert in_force(world, f"{PODS}/checkout-abc-x7k20") == ("176Mi", "176Mi")
    assert in_force(world, f"{PODS}/checkout-abc-x7k21") == ("176Mi", "96Mi")


def test_a_pod_that_is_not_resized_is_told_and_the_others_are(shop: World, capsys: pytest.CaptureFixture[str]) -> None:
    class Grudging(World):
        def strategic_patch(self, path: str, body: Any) -> dict[str, Any]:
            if path.endswith("abc-x7k20/resize"):
                raise PermanentError("PATCH: 422 Pod QOS Class may not change", 422)
            return super().strategic_patch(path, body)

    world = Grudging()
    world.objects = copy.deepcopy(shop.objects)
    assert said(applied, Target(world, "shop"), LEAK, "--stop-gap", "--yes", "--in-place") == 1
    told = capsys.readouterr()
    assert "pod checkout-abc-x7k20: not resized: PATCH: 422 Pod QOS Class may not change" in told.err
    assert "pod checkout-abc-x7k21: memory limit 96Mi → 176Mi" in told.out


def test_a_leak_is_refused_without_stop_gap(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match=r"is a leak: more memory only delays .*memdiag show .*--stop-gap \(176Mi lasts"):
        said(applied, Target(world, "shop"), LEAK, "--yes", "--in-place")
    assert writes(world) == []
    assert said(applied, Target(world, "shop"), LEAK, "--stop-gap") == 0
    assert "# a stop-gap, no mend: 176Mi lasts about" in capsys.readouterr().out


def advised(world: World, **advice: Any) -> None:
    """Change what a diagnosis advises."""
    world.objects[DIAGNOSIS.path("shop", LOW)]["status"]["recommendation"] = {"basis": "Because.", **advice}


@pytest.mark.parametrize(
    ("advice", "words", "said_of_it"),
    [
        ({"action": "KeepLimit"}, [], "recommends no other limit: Because. See kubectl memdiag show"),
        ({"action": "None"}, [], "recommends no other limit"),
        ({"action": "MoveOrAddMemory"}, ["--yes"], "recommends no other limit"),
        ({"action": "FixLeak"}, ["--stop-gap"], "is a leak: more memory only delays the next kill. Fix it: [^.]*[.]$"),
        ({"action": "RaiseLimit", "limit": "144Mi"}, ["--stop-gap"], "--stop-gap is for a leak"),
        ({"action": "RaiseLimit", "limit": "80Mi"}, [], "a limit of 96Mi by now, above the recommended 80Mi"),
        ({"action": "LowerLimit", "limit": "100Mi"}, [], "a limit of 96Mi by now, below the recommended 100Mi"),
    ],
)
def test_what_is_refused(world: World, advice: dict[str, Any], words: list[str], said_of_it: str) -> None:
    advised(world, **advice)
    with pytest.raises(Refused, match=said_of_it):
        said(applied, Target(world, "shop"), LOW, *words)
    assert writes(world) == []


def test_without_a_verdict_there_is_nothing_to_apply(world: World) -> None:
    del world.objects[DIAGNOSIS.path("shop", LOW)]["status"]
    with pytest.raises(Refused, match="has no verdict yet"):
        said(applied, Target(world, "shop"), LOW)


def test_warnings_are_repeated(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    advised(world, action="LowerLimit", limit="80Mi", warnings=["A VerticalPodAutoscaler sets it anew."])
    assert said(applied, Target(world, "shop"), LOW) == 0
    assert "Warning: A VerticalPodAutoscaler sets it anew." in capsys.readouterr().err


def test_an_owner_that_changed_or_is_gone_is_told(world: World) -> None:
    world.objects[f"{DEPLOYMENTS}/reports"]["spec"]["template"]["spec"]["containers"][0]["name"] = "other"
    with pytest.raises(Refused, match="Deployment reports has no container app any more"):
        said(applied, Target(world, "shop"), LOW)
    del world.objects[f"{DEPLOYMENTS}/reports"]
    with pytest.raises(Refused, match="Deployment reports is gone from namespace shop"):
        said(applied, Target(world, "shop"), LOW)


def test_a_sidecar_is_patched_where_it_stands(world: World) -> None:
    spec = world.objects[f"{DEPLOYMENTS}/reports"]["spec"]["template"]["spec"]
    spec["initContainers"], spec["containers"] = [{**spec["containers"][0], "restartPolicy": "Always"}], []
    assert said(applied, Target(world, "shop"), LOW, "--yes") == 0
    assert spec["containers"] == []
    patched = world.objects[f"{DEPLOYMENTS}/reports"]["spec"]["template"]["spec"]["initContainers"][0]
    assert patched["resources"]["limits"] == {"memory": "144Mi"}


def test_a_bare_pod_can_only_be_resized(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    pod = world.objects[f"{PODS}/reports-abc-x7k20"]
    del pod["metadata"]["ownerReferences"]
    target = {"apiVersion": "v1", "kind": "Pod", "name": "reports-abc-x7k20"}
    world.objects[DIAGNOSIS.path("shop", LOW)]["spec"]["targetRef"] = target
    with pytest.raises(Refused, match="no pod template that could be patched: set the memory limit of container app"):
        said(applied, Target(world, "shop"), LOW, "--yes")
    assert said(applied, Target(world, "shop"), LOW, "--yes", "--in-place") == 0
    assert in_force(world, f"{PODS}/reports-abc-x7k20") == ("144Mi", "144Mi")
    assert "its manifest" in capsys.readouterr().err
