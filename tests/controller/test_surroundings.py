"""What stands around a container: LimitRange, quota, node and VPA, an HPA on memory, and what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from memdiag.controller.surroundings import KEPT_SECONDS, Place, SurroundingsReader, scales_on_memory
from memdiag.kube.api import NotFoundError, PermanentError
from memdiag.kube.workload import Workload
from memdiag.model.surroundings import Bound, Surroundings

GIB = 2**30
WEB = Place(
    "shop", Workload("apps/v1", "Deployment", "web", "u"), "app", "node-a", GIB, ("web-1", "web-2", "web-3", "web-4")
)
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
RANGES = "/api/v1/namespaces/shop/limitranges"
QUOTAS = "/api/v1/namespaces/shop/resourcequotas"
NODE = "/api/v1/nodes/node-a"
SCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
USAGE = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"
VERTICAL = "/apis/autoscaling.k8s.io/v1/namespaces/shop/verticalpodautoscalers"


class Answers:
    """An API that has some collections, and refuses or does not know the others."""

    def __init__(self, **refused: int) -> None:
        self.asked: list[str] = []
        self.there: dict[str, Any] = {}
        self.refused = refused

    def get(self, path: str, _query: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.asked.append(path)
        if path.rpartition("/")[2] in self.refused:
            raise PermanentError("no", 403)
        if path not in self.there:
            raise NotFoundError("no such thing", 404)
        return dict(self.there[path])


def named(name: str, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **rest}


def read(answers: Answers, place: Place = WEB) -> tuple[Surroundings, tuple[str, ...]]:
    reader: Any = SurroundingsReader(answers)  # type: ignore[arg-type]  # only `get` is asked
    found: tuple[Surroundings, tuple[str, ...]] = reader.of(place, 30)
    return found


def test_what_the_cluster_does_not_have_is_nothing() -> None:
    assert read(Answers()) == (Surroundings(headroom_percent=30), ())


def test_limit_ranges_bound_containers_and_pods() -> None:
    answers = Answers()
    rules = [
        {
            "type": "Container",
            "max": {"memory": "2Gi"},
            "min": {"memory": "64Mi"},
            "maxLimitRequestRatio": {"memory": "2"},
        },
        {"type": "Pod", "max": {"memory": "3Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    ]
    answers.there[RANGES] = {"items": [named("defaults", spec={"limits": rules})]}
    assert read(answers)[0].bounds == (
        Bound("LimitRange defaults", 2 * GIB, 64 * 2**20, 2.0),
        Bound("LimitRange defaults for the whole pod", 3 * GIB),
    )


def test_a_ratio_is_read_as_the_api_server_writes_it() -> None:
    answers = Answers()
    rule = {"type": "Container", "maxLimitRequestRatio": {"memory": "1500m"}}
    answers.there[RANGES] = {"items": [named("defaults", spec={"limits": [rule]})]}
    assert read(answers)[0].bounds == (Bound("LimitRange defaults", most_ratio=1.5),)


def test_a_pods_own_limit_bounds_each_of_its_containers() -> None:
    place = replace(WEB, pod_limit=2 * GIB)
    assert read(Answers(), place)[0].bounds == (Bound("the limit of the whole pod in its spec", 2 * GIB),)


def test_what_a_quota_leaves_is_shared_by_the_replicas() -> None:
    answers = Answers()
    status = {"hard": {"limits.memory": "10Gi"}, "used": {"limits.memory": "6Gi"}}
    answers.there[QUOTAS] = {"items": [named("team", status=status), named("pods", status={"hard": {"pods": "9"}})]}
    assert read(answers)[0].bounds == (Bound("ResourceQuota team", 2 * GIB),)


def test_the_node_bounds_the_limit() -> None:
    answers = Answers()
    answers.there[NODE] = named("node-a", status={"allocatable": {"memory": "7929372Ki"}})
    assert read(answers)[0].bounds == (Bound("node allocatable", 7929372 * 1024),)


@pytest.mark.parametrize(
    ("spec", "owner", "bound"),
    [
        ({}, "VerticalPodAutoscaler web", None),
        ({"updatePolicy": {"updateMode": "Off"}}, None, None),
        ({"resourcePolicy": {"containerPolicies": [{"containerName": "app", "mode": "Off"}]}}, None, None),
        (
            {"resourcePolicy": {"containerPolicies": [{"containerName": "*", "controlledValues": "RequestsOnly"}]}},
            None,
            None,
        ),
        (
            {"resourcePolicy": {"containerPolicies": [{"containerName": "*", "maxAllowed": {"memory": "4Gi"}}]}},
            "VerticalPodAutoscaler web",
            4 * GIB,
        ),
    ],
)
def test_who_else_sets_the_limit(spec: dict[str, Any], owner: str | None, bound: int | None) -> None:
    answers = Answers()
    other = named("other", spec={"targetRef": {**TARGET, "name": "else"}})
    answers.there[VERTICAL] = {"items": [other, named("web", spec={"targetRef": TARGET, **spec})]}
    found, _ = read(answers)
    assert found.limit_owner == owner
    assert [one.most for one in found.bounds] == ([] if bound is None else [bound])


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ({"type": "Resource", "resource": {"name": "memory"}}, "web"),
        ({"type": "Resource", "resource": {"name": "cpu"}}, None),
        ({"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app"}}, "web"),
        ({"type": "ContainerResource", "containerResource": {"name": "memory", "container": "proxy"}}, None),
    ],
)
def test_an_autoscaler_on_memory_is_named(metric: dict[str, Any], name: str | None) -> None:
    assert scales_on_memory((named("web", spec={"scaleTargetRef": TARGET, "metrics": [metric]}),), WEB) == name


def test_what_may_not_be_read_is_said_and_costs_nothing_else() -> None:
    answers = Answers(limitranges=1, **{"node-a": 1})
    answers.there[SCALERS] = {
        "items": [named("web", spec={"scaleTargetRef": TARGET, "metrics": [{"resource": {"name": "memory"}}]})]
    }
    found, missing = read(answers)
    assert found == Surroundings(headroom_percent=30, scales_on_memory="web")
    assert missing == ("LimitRanges: not readable (403)", "the node's size: not readable (403)")


def test_an_answer_is_kept_for_a_minute() -> None:
    answers, now = Answers(), [0.0]
    reader: Any = SurroundingsReader(answers, clock=lambda: now[0])  # type: ignore[arg-type]  # only `get` is asked
    for _ in range(3):
        reader.of(WEB, None)
    assert len(answers.asked) == len(set(answers.asked)) == 6
    now[0] += KEPT_SECONDS
    reader.of(WEB, None)
    assert len(answers.asked) == 12
    reader.of(replace(WEB, namespace="other"), None)
    now[0] += KEPT_SECONDS
    reader.of(replace(WEB, namespace="third"), None)
    assert len(reader._kept) == 6, "what is out of date is not kept"


def test_nonsense_in_an_object_is_nothing() -> None:
    answers = Answers()
    answers.there[RANGES] = {
        "items": [named("odd", spec={"limits": [{"type": "Container", "max": {"memory": "much"}}]})]
    }
    answers.there[QUOTAS] = {"items": [named("odd", status={"hard": {"limits.memory": "x"}, "used": None})]}
    answers.there[NODE] = named("node-a")
    assert read(answers) == (Surroundings(headroom_percent=30), ())


def test_what_a_replica_uses_now_is_the_least_that_a_limit_may_be() -> None:
    answers = Answers()

    def used(pod: str, container: str, memory: str) -> dict[str, Any]:
        return named(pod, containers=[{"name": container, "usage": {"memory": memory}}])

    pods = [used("web-1", "app", "300Mi"), used("web-2", "app", "512Mi"), used("web-3", "proxy", "1Gi")]
    answers.there[USAGE] = {"items": [*pods, used("other-1", "app", "3Gi"), used("web-4", "app", "nonsense")]}
    found, missing = read(answers)
    assert found.bounds == (Bound("what pod web-2 uses now by metrics.k8s.io", least=512 * 2**20),)
    assert missing == ()


def test_a_metrics_server_that_is_down_is_said_and_one_that_is_not_there_is_nothing() -> None:
    assert read(Answers(pods=403))[1] == ("the replicas' present use: not readable (403)",)
    answers = Answers()
    read(answers, Place("shop", WEB.workload, "app", "node-a", GIB))
    assert USAGE not in answers.asked, "without replicas there is nobody to ask about"
