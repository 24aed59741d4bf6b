"""The whole way on a real node: the kernel kills, the agent sees, the operator says why."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from testbed import cache, demo
from testbed.cluster import Cluster
from testbed.target import NAMESPACE

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

CAUSES = {"checkout": "Leak", "sessions": "Growth", "reports": "UnderestimatedLimit"}
SETTLE_SECONDS = 20


def items(cluster: Cluster, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
    where = ["-n", namespace] if namespace else ["-A"]
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("get", kind, *where, "-o", "json"))["items"]
    return found


@pytest.fixture(scope="module")
def examples(memdiag_cluster: Cluster) -> Cluster:
    memdiag_cluster.run_examples()
    demo.wait_for_verdicts(memdiag_cluster)
    # what the verdicts were made of, for whoever has to find out why one was not as expected
    kept = cache.logs() / "node-incidents.json"
    kept.write_text(memdiag_cluster.kubectl("get", "memoryincidents", "-A", "-o", "json"))
    return memdiag_cluster


def test_agent_and_operator_run_without_privilege(memdiag_cluster: Cluster) -> None:
    pods = items(memdiag_cluster, "pods", NAMESPACE)
    assert len(pods) == 2
    for pod in pods:
        assert pod["status"]["phase"] == "Running"
        for container in pod["spec"]["containers"]:
            context = container["securityContext"]
            assert not context.get("privileged")
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert context["readOnlyRootFilesystem"] is True


def test_each_example_gets_its_cause_from_the_evidence(examples: Cluster) -> None:
    diagnoses = items(examples, "memorydiagnoses", "default")
    said = {item["spec"]["targetRef"]["name"]: item["status"]["cause"] for item in diagnoses}
    assert said == CAUSES
    for item in diagnoses:
        status = item["status"]
        assert status["evidence"]
        assert 0 < status["confidencePercent"] <= 100
        assert status["kills"]["total"] >= 1
        owner = item["metadata"]["ownerReferences"][0]
        assert owner["kind"] == "Deployment"
        assert not owner.get("controller")
        assert not owner.get("blockOwnerDeletion")


def test_the_table_has_a_row_each_and_a_leak_is_not_answered_with_memory(examples: Cluster) -> None:
    table = examples.kubectl("get", "memorydiagnosis", "-n", "default")
    header, *rows = table.splitlines()
    assert header.split() == [
        "NAME", "WORKLOAD", "CONTAINER", "CAUSE", "CONFIDENCE", "LIMIT", "RECOMMENDED", "KILLS", "LAST-KILL", "AGE",
    ]  # fmt: skip
    assert len(rows) == len(CAUSES)
    leak = next(row for row in rows if "checkout" in row)
    assert "fix leak" in leak


def test_describe_shows_the_evidence_in_sentences(examples: Cluster) -> None:
    said = examples.kubectl("describe", "memorydiagnosis", "-n", "default")
    for item in items(examples, "memorydiagnoses", "default"):
        for evidence in item["status"]["evidence"]:
            assert evidence["statement"].split()[0] in said


def test_every_kernel_kill_is_an_incident_whatever_the_api_called_it(examples: Cluster) -> None:
    # kills go on meanwhile: those of before must have an incident, and every incident a kill of before or since
    before = kernel_kills(examples)
    time.sleep(SETTLE_SECONDS)
    incidents = {item["spec"]["containerID"]: item for item in items(examples, "memoryincidents")}
    assert before
    assert before <= incidents.keys() <= kernel_kills(examples)
    for item in incidents.values():
        assert item["spec"]["kill"]["limitHit"] == "Container"
        assert item["spec"]["source"] == "Kernel"
    for container in before:
        said = incidents[container]["status"]["podStatus"]
        assert said["reason"] in ("OOMKilled", "Error")
        assert said["exitCode"] == 137


def kernel_kills(cluster: Cluster) -> set[str]:
    """Return the IDs of the containers in which the node's kernel log has a kill."""
    log = cluster.node.run("dmesg | grep -o 'task_memcg=[^,]*' || true")
    return {found[-1] for line in log.split() if (found := re.findall(r"[0-9a-f]{64}", line))}


def test_reports_are_gone_once_used_and_nothing_holds_an_object_back(examples: Cluster) -> None:
    assert items(examples, "memoryreports", NAMESPACE) == []
    for kind in ("memoryincidents", "memorydiagnoses", "pods", "deployments.apps"):
        for item in items(examples, kind):
            assert "finalizers" not in item["metadata"], item["metadata"]["name"]
            annotations = item["metadata"].get("annotations", {})
            assert not [name for name in annotations if "kopf" in name or "memdiag" in name]
