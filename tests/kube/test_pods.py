"""The projection of pods, and the way from a pod to its workload."""

from __future__ import annotations

from typing import Any

import pytest

from memdiag.kube.memory_incident import Role
from memdiag.kube.pods import Owner, Termination, project, runtime_id
from memdiag.kube.workload import Workload, find_workload, may_own
from tests.controller.support import MIB, MemoryApi, ended, identity, pod_object, running


def _pod(**changes: Any) -> dict[str, Any]:
    pod = pod_object("shop", "web-abc-1", ["app"], None)
    pod["metadata"]["uid"] = "uid-1"
    pod["status"] = {"phase": "Running", "containerStatuses": [running("app", identity(1), 2)]}
    for key, value in changes.items():
        pod[key] = {**pod[key], **value}
    return pod


def test_names_sizes_and_ids() -> None:
    pod = project(_pod())
    (container,) = pod.containers
    assert (pod.uid, pod.name, pod.namespace, pod.node, pod.revision) == ("uid-1", "web-abc-1", "shop", "node-a", "abc")
    assert (container.limit, container.request, container.role) == (128 * MIB, 64 * MIB, Role.REGULAR)
    assert list(container.ids()) == [identity(1)]
    assert container.restarts_before(identity(1)) == 2
    assert container.restarts_before(identity(2)) is None


def test_an_image_without_end_is_not_kept() -> None:
    pod = _pod()
    pod["spec"]["containers"][0]["image"] = "example.org/" + "x" * 2**20
    assert len(project(pod).containers[0].image or "") == 512


def test_limits_in_force_are_those_of_the_status() -> None:
    status = {**running("app", identity(1)), "resources": {"limits": {"memory": "256Mi"}}}
    (container,) = project(_pod(status={"containerStatuses": [status]})).containers
    assert (container.limit, container.request) == (256 * MIB, 64 * MIB)


def test_the_run_before_is_known_by_its_end() -> None:
    status = running("app", identity(2), 3)
    status["lastState"] = ended("app", identity(1), "Error", 137)["state"]
    (container,) = project(_pod(status={"containerStatuses": [status]})).containers
    assert list(container.ids()) == [identity(2), identity(1)]
    assert container.restarts_before(identity(1)) == 2
    assert container.termination_of(identity(1)) == Termination(identity(1), "Error", 137, "2026-01-01T00:10:00Z")


def test_roles() -> None:
    spec = {
        "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}],
        "ephemeralContainers": [{"name": "debug"}],
    }
    roles = {container.name: container.role for container in project(_pod(spec=spec)).containers}
    assert roles == {"app": Role.REGULAR, "setup": Role.INIT, "mesh": Role.SIDECAR, "debug": Role.EPHEMERAL}


def test_a_static_pod_is_known_by_the_uid_of_its_cgroup() -> None:
    changes = {"annotations": {"kubernetes.io/config.mirror": "0123abcd"}}
    pod = _pod(metadata=changes)
    pod["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Node", "name": "node-a", "uid": "n", "controller": True}
    ]
    found = project(pod)
    assert (found.uid, found.api_uid, found.owner) == ("0123abcd", "uid-1", None)


def test_a_pod_of_which_nothing_is_known_yet() -> None:
    pod = project({"metadata": {"name": "p", "namespace": "n", "uid": "u"}})
    assert (pod.node, pod.phase, pod.containers) == (None, None, ())


def test_runtime_id() -> None:
    assert runtime_id("containerd://abc") == "abc"
    assert runtime_id("") is None
    assert runtime_id(None) is None


def _owned(api_version: str, kind: str, name: str) -> dict[str, Any]:
    reference = {"apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}
    return {"ownerReferences": [reference]}


def test_a_deployment_through_its_replicaset() -> None:
    api = MemoryApi()
    metadata = {"name": "web-abc", "uid": "uid-web-abc", **_owned("apps/v1", "Deployment", "web")}
    api.put("/apis/apps/v1/namespaces/shop/replicasets/web-abc", {"metadata": metadata})
    pod = project(_pod(metadata=_owned("apps/v1", "ReplicaSet", "web-abc")))
    assert find_workload(pod, api) == Workload("apps/v1", "Deployment", "web", "uid-web")


def test_a_replicaset_that_is_gone_tells_its_deployment_by_name() -> None:
    pod = project(_pod(metadata=_owned("apps/v1", "ReplicaSet", "web-abc")))
    found = find_workload(pod, MemoryApi())
    assert found == Workload("apps/v1", "Deployment", "web", None)
    assert not may_own(found)


def test_a_namesake_of_the_replicaset_is_not_asked() -> None:
    api = MemoryApi()
    metadata = {"name": "web-abc", "uid": "another", **_owned("apps/v1", "Deployment", "other")}
    api.put("/apis/apps/v1/namespaces/shop/replicasets/web-abc", {"metadata": metadata})
    pod = project(_pod(metadata=_owned("apps/v1", "ReplicaSet", "web-abc")))
    assert find_workload(pod, api) == Workload("apps/v1", "Deployment", "web", None)


def test_a_job_alone_and_of_a_cronjob() -> None:
    api = MemoryApi()
    path = "/apis/batch/v1/namespaces/shop/jobs/report-1"
    pod = project(_pod(metadata=_owned("batch/v1", "Job", "report-1")))
    api.put(path, {"metadata": {"name": "report-1", "uid": "uid-report-1"}})
    alone = find_workload(pod, api)
    assert (alone.kind, may_own(alone)) == ("Job", False)
    api.put(path, {"metadata": {"name": "report-1", "uid": "uid-report-1", **_owned("batch/v1", "CronJob", "report")}})
    assert find_workload(pod, api) == Workload("batch/v1", "CronJob", "report", "uid-report")


def test_others_are_their_own_workload_and_nothing_is_read() -> None:
    api = MemoryApi()
    for api_version, kind in (("apps/v1", "StatefulSet"), ("example.org/v1", "Cluster"), ("apps/v1", "DaemonSet")):
        pod = project(_pod(metadata=_owned(api_version, kind, "db")))
        found = find_workload(pod, api)
        assert (found.kind, found.name, may_own(found)) == (kind, "db", True)
    bare = find_workload(project(_pod()), api)
    assert (bare.kind, bare.name, may_own(bare)) == ("Pod", "web-abc-1", False)
    assert api.calls == []


def test_an_owner_is_what_controls() -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"}
    assert project(_pod(metadata={"ownerReferences": [reference]})).owner is None
    assert project(_pod(metadata=_owned("apps/v1", "StatefulSet", "db"))).owner == Owner(
        "apps/v1", "StatefulSet", "db", "uid-db"
    )


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "K" * 64},
        {"name": "n" * 254},
        {"apiVersion": "g" * 127 + "/v1"},
        {"name": "../../../../../api/v1/namespaces/kube-system/secrets/token"},
        {"name": "web?watch=true"},
        {"kind": "Replica Set"},
    ],
)
def test_an_owner_by_words_that_name_nothing_is_none(words: dict[str, str]) -> None:
    pod = _pod()
    pod["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "r", "controller": True, **words}
    ]
    assert find_workload(project(pod), MemoryApi()) == Workload("v1", "Pod", "web-abc-1", "uid-1")
