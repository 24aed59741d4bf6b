"""The operator against a real API server, as a real process with no more rights than it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memdiag.kube.api import AlreadyExistsError, ConflictError, PermanentError
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS, INCIDENT, KINDS, REPORT
from memdiag.model.kill import LimitHit
from memdiag.model.report import FoldedKills
from testbed.control_plane import ControlPlane
from tests.controller.installed import OPERATOR, Installed, install
from tests.controller.support import (
    OWN_NAMESPACE,
    Cluster,
    OperatorProcess,
    ended,
    identity,
    report,
    report_object,
    running,
    wait_for,
)

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def installed(api_server: ControlPlane, helm: Path) -> Iterator[Installed]:
    """Give the API server with our kinds, and the operator's account with the chart's rights."""
    found = install(api_server, helm, OWN_NAMESPACE, policy=False)
    yield found
    found.remove()


@pytest.fixture(scope="module")
def cluster(installed: Installed) -> Cluster:
    found = Cluster(installed.api)
    found.namespaces.append(OWN_NAMESPACE)
    return found


@pytest.fixture(scope="module")
def operator(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """Give the operator, running with its own token."""
    folder = tmp_path_factory.mktemp("operator")
    process = OperatorProcess(installed.kubeconfig(OPERATOR, folder / "kubeconfig"), folder / "operator.log")
    process.start()
    yield process
    assert process.stop() == 0, process.log()
    assert '"level": "error"' not in process.log()
    assert "forbidden" not in process.log()


@pytest.fixture(scope="module")
def unreported(cluster: Cluster, operator: OperatorProcess) -> str:
    """Kill a container of which no agent will tell; the operator waits for a report before it believes the API."""
    namespace = cluster.namespace("unreported")
    cluster.pod(namespace, "alone", ["app"])
    cluster.pod_status(namespace, "alone", ended("app", identity(900), "OOMKilled", 137))
    cluster.pod(namespace, "stubborn", ["app"])
    cluster.pod_status(namespace, "stubborn", ended("app", identity(901), "Error", 137))
    return namespace


def test_kinds_have_their_names(cluster: Cluster) -> None:
    found = {resource["name"]: resource for resource in cluster.api.get(f"/apis/{API_VERSION}")["resources"]}
    assert found["memoryincidents"]["shortNames"] == ["minc"]
    assert found["memorydiagnoses"]["shortNames"] == ["mdiag"]
    assert found["memorydiagnoses"]["singularName"] == "memorydiagnosis"
    assert all(found[kind.plural]["categories"] == ["memdiag"] for kind in KINDS)
    assert "memoryreports/status" not in found
    assert {"memoryincidents/status", "memorydiagnoses/status"} <= found.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node", "n" * 254),
        ("ordinal", 0),
        ("missing", ["x"] * 13),
        ("missing", ["line\nbreak"]),
        ("nodeMemory", {"k" * 25: 1}),
        ("nodeMemory", {f"k{number}": 1 for number in range(49)}),
        ("history", {"runs": [], "columns": {"t": "1 2; drop"}}),
        ("container", {"max": "unlimited"}),
    ],
)
def test_the_bounds_are_refused(cluster: Cluster, field: str, value: object) -> None:
    body = report_object("out-of-bounds", report("uid-0", identity(1), 1_700_000_000.0), "default")
    body["spec"][field] = value
    with pytest.raises(PermanentError, match=field) as refused:
        cluster.api.create(REPORT.path("default"), body)
    assert refused.value.status == 422


def test_a_report_is_a_fact(cluster: Cluster) -> None:
    body = report_object("fact", report("uid-0", identity(1), 1_700_000_000.0), "default")
    made = cluster.api.create(REPORT.path("default"), body)
    # of what is created the metadata come back, and they do not list each field that its one author set
    assert [entry["fieldsV1"] for entry in made["metadata"]["managedFields"]] == [{"f:spec": {}}]
    assert "spec" not in made
    assert cluster.api.get(REPORT.path("default", "fact"))["spec"] == body["spec"]
    with pytest.raises(PermanentError, match="a report is a fact"):
        cluster.api.patch(REPORT.path("default", "fact"), {"spec": {"node": "elsewhere"}})


def test_kill_to_diagnosis(cluster: Cluster, operator: OperatorProcess, unreported: str) -> None:
    namespace = cluster.namespace("shop")
    owner = cluster.deployment(namespace, "web")
    uid = cluster.pod(namespace, "web-abc-1", ["app"], owner)
    cluster.pod_status(namespace, "web-abc-1", running("app", identity(10), restarts=3))
    wait_for(lambda: "operator watches" in operator.log(), 120)
    begin = time.monotonic()
    cluster.report("kill-10", report(uid, identity(10), time.time()))
    wait_for(lambda: cluster.total(namespace, "deployment-web-app") == 1)
    took = time.monotonic() - begin
    assert took < 10, f"{took:.1f} s from report to diagnosis"

    (incident,) = cluster.incidents(namespace)
    spec = incident["spec"]
    assert spec["pod"] == {"name": "web-abc-1", "uid": uid}
    assert (spec["container"], spec["containerRole"], spec["restartCount"]) == ("app", "Regular", 3)
    assert spec["workload"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert (spec["kill"]["kind"], spec["kill"]["limitHit"]) == ("ContainerKilled", "Container")
    assert "sum of its containers' limits" in spec["kill"]["explanation"]
    assert (spec["kill"]["victim"], spec["kill"]["victimRSS"]) == ("python3 (4711)", "125Mi")
    assert spec["limits"] == {"limit": "128Mi", "request": "64Mi"}
    assert [run["containerID"] for run in spec["history"]["runs"]] == [identity(10)]

    found = cluster.diagnosis(namespace, "deployment-web-app")
    assert found is not None
    assert found["spec"]["targetRef"] == spec["workload"]
    (reference,) = found["metadata"]["ownerReferences"]
    assert reference["kind"] == "Deployment"
    assert not reference.get("controller")
    assert not reference.get("blockOwnerDeletion")
    assert found["status"]["cause"]
    assert found["status"]["limit"] == "128Mi"
    assert {one["type"] for one in found["status"]["conditions"]} == {
        "Diagnosed",
        "EvidenceComplete",
        "Alerted",
        "Resolved",
    }
    wait_for(lambda: "kill-10" not in cluster.reports())


def test_the_api_says_error_and_the_kernel_says_oom(cluster: Cluster, operator: OperatorProcess) -> None:
    cluster.pod_status("shop", "web-abc-1", ended("app", identity(10), "Error", 137, restarts=3))
    found = wait_for(lambda: cluster.incidents("shop")[0].get("status", {}).get("podStatus"))
    assert found == {"reason": "Error", "exitCode": 137, "finishedTime": "2026-01-01T00:10:00Z"}


def test_delivered_twice_is_one_kill(cluster: Cluster, operator: OperatorProcess) -> None:
    uid = cluster.incidents("shop")[0]["spec"]["pod"]["uid"]
    cluster.report("kill-10-again", report(uid, identity(10), time.time()))
    wait_for(lambda: "kill-10-again" not in cluster.reports())
    assert len(cluster.incidents("shop")) == 1
    assert cluster.total("shop", "deployment-web-app") == 1


def test_a_kill_while_the_operator_is_down(cluster: Cluster, operator: OperatorProcess) -> None:
    uid = cluster.incidents("shop")[0]["spec"]["pod"]["uid"]
    operator.kill()
    cluster.pod_status("shop", "web-abc-1", running("app", identity(11), restarts=4))
    cluster.report("kill-11", report(uid, identity(11), time.time()))
    operator.start()
    wait_for(lambda: cluster.total("shop", "deployment-web-app") == 2, 30)
    assert [one["spec"]["containerID"] for one in cluster.incidents("shop")] == [identity(10), identity(11)]
    wait_for(lambda: "kill-11" not in cluster.reports())


def test_an_incident_is_a_fact(cluster: Cluster, operator: OperatorProcess) -> None:
    name = cluster.incidents("shop")[0]["metadata"]["name"]
    with pytest.raises(PermanentError, match="an incident is a fact"):
        cluster.api.patch(INCIDENT.path("shop", name), {"spec": {"node": "elsewhere"}})


def test_the_status_lags_behind_the_kill(cluster: Cluster, operator: OperatorProcess) -> None:
    namespace = cluster.namespace("lagging")
    uid = cluster.pod(namespace, "pair", ["app", "proxy"])
    cluster.pod_status(namespace, "pair", running("app", identity(20)), running("proxy", identity(21)))
    cluster.report("kill-22", report(uid, identity(22), time.time(), limit_hit=LimitHit.CONTAINER))
    time.sleep(1.5)
    assert cluster.incidents(namespace) == []
    cluster.pod_status(
        namespace, "pair", running("app", identity(20)), ended("proxy", identity(22), "OOMKilled", 137, restarts=1)
    )
    (incident,) = wait_for(lambda: cluster.incidents(namespace), 5)
    assert incident["spec"]["container"] == "proxy"
    found = wait_for(lambda: cluster.diagnosis(namespace, "pod-pair-proxy"))
    assert "ownerReferences" not in found["metadata"]


def test_a_diagnosis_that_a_user_made_is_adopted(cluster: Cluster, operator: OperatorProcess) -> None:
    namespace = cluster.namespace("adopting")
    owner = cluster.deployment(namespace, "api")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    body = {
        "apiVersion": API_VERSION,
        "kind": "MemoryDiagnosis",
        "metadata": {"name": "mine"},
        "spec": {"targetRef": target, "container": "app", "headroomPercent": 30},
    }
    cluster.api.create(DIAGNOSIS.path(namespace), body)
    uid = cluster.pod(namespace, "api-abc-1", ["app"], owner)
    cluster.pod_status(namespace, "api-abc-1", running("app", identity(30)))
    cluster.report("kill-30", report(uid, identity(30), time.time()))
    wait_for(lambda: cluster.total(namespace, "mine") == 1)
    assert cluster.diagnosis(namespace, "deployment-api-app") is None
    found = cluster.diagnosis(namespace, "mine")
    assert found is not None
    assert found["spec"] == body["spec"]


def test_a_storm_is_counted_and_pruned(cluster: Cluster, operator: OperatorProcess) -> None:
    namespace = cluster.namespace("storm")
    owner = cluster.deployment(namespace, "burst")
    begin = time.time()
    for number in range(30):
        uid = cluster.pod(namespace, f"burst-abc-{number}", ["app"], owner)
        cluster.pod_status(namespace, f"burst-abc-{number}", running("app", identity(100 + number)))
        cluster.report(f"kill-{100 + number}", report(uid, identity(100 + number), begin + number))
    wait_for(lambda: cluster.total(namespace, "deployment-burst-app") == 30, 60)
    wait_for(lambda: not [name for name in cluster.reports() if name.startswith("kill-1")], 30)
    wait_for(lambda: len(cluster.incidents(namespace)) == 20)
    kept = cluster.incidents(namespace)
    assert [one["spec"]["containerID"] for one in kept] == [identity(110 + number) for number in range(20)]
    assert cluster.total(namespace, "deployment-burst-app") == 30


def test_folded_kills_are_one_incident_and_all_counted(cluster: Cluster, operator: OperatorProcess) -> None:
    namespace = cluster.namespace("folded")
    owner = cluster.deployment(namespace, "pool")
    uid = cluster.pod(namespace, "pool-abc-1", ["app"], owner)
    cluster.pod_status(namespace, "pool-abc-1", running("app", identity(700)))
    begin = time.time() - 600
    for ordinal in range(1, 6):
        found = report(uid, identity(700), begin + ordinal, ordinal=ordinal, container_died=False)
        cluster.report(f"kill-700-{ordinal}", found)
    folded = FoldedKills(2985, begin + 6, begin + 599)
    summary = report(uid, identity(700), begin + 599, ordinal=6, container_died=False, fold=folded)
    cluster.report("kill-700-6", summary)
    wait_for(lambda: cluster.total(namespace, "deployment-pool-app") == 2990)
    wait_for(lambda: not [name for name in cluster.reports() if name.startswith("kill-700")])
    operator.kill()
    cluster.report("kill-700-6", summary)
    operator.start()
    wait_for(lambda: not [name for name in cluster.reports() if name.startswith("kill-700")], 30)
    assert cluster.total(namespace, "deployment-pool-app") == 2990
    kinds = [incident["spec"]["kill"]["kind"] for incident in cluster.incidents(namespace)]
    assert kinds == ["ProcessKilled"] * 5 + ["Summary"]
    assert cluster.incidents(namespace)[-1]["spec"]["kill"]["fold"]["count"] == 2985


def test_a_summary_whose_last_kill_is_before_its_first_is_refused(cluster: Cluster) -> None:
    body = report_object("backwards", report("uid-0", identity(1), 1_700_000_000.0), "default")
    body["spec"]["fold"] = {"count": 2, "firstTime": "2026-01-01T00:00:01Z", "lastTime": "2026-01-01T00:00:00Z"}
    with pytest.raises(PermanentError, match="the first kill is not after the last"):
        cluster.api.create(REPORT.path("default"), body)


def test_nothing_is_left_on_any_object(cluster: Cluster, operator: OperatorProcess) -> None:
    seen = 0
    paths = [kind.path() for kind in KINDS]
    paths += ["/api/v1/pods", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets"]
    for path in paths:
        for item in cluster.api.get(path)["items"]:
            if item["metadata"]["namespace"] in cluster.namespaces:
                seen += 1
                assert "finalizers" not in item["metadata"], path
                assert "annotations" not in item["metadata"], path
    assert seen > 60


def test_a_kill_that_no_agent_reported(cluster: Cluster, operator: OperatorProcess, unreported: str) -> None:
    (incident,) = wait_for(lambda: cluster.incidents(unreported), 60)
    assert incident["spec"]["source"] == "PodStatus"
    assert incident["spec"]["pod"]["name"] == "alone"
    assert incident["spec"]["kill"]["limitHit"] == "Unknown"
    wait_for(lambda: cluster.total(unreported, "pod-alone-app") == 1)
    wait_for(lambda: cluster.incidents(unreported)[0].get("status", {}).get("podStatus", {}).get("reason"))
    cluster.report("kill-900", report(incident["spec"]["pod"]["uid"], identity(900), time.time()))
    late = wait_for(lambda: cluster.incidents(unreported)[0]["status"].get("lateEvidence"))
    assert late[0]["limitHit"] == "Container"
    assert cluster.total(unreported, "pod-alone-app") == 1


def test_errors_have_their_kinds(cluster: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    with pytest.raises(AlreadyExistsError):
        cluster.api.create("/api/v1/namespaces", namespace)
    found = cluster.api.get("/api/v1/namespaces/default")
    found["metadata"]["resourceVersion"] = "1"
    with pytest.raises(ConflictError):
        cluster.api.replace("/api/v1/namespaces/default", found)
