"""What a release leaves behind on a real cluster and its node: the kinds, what is in them, and the agent's folder.

It comes last of the tests on the shared node, by its name.
"""

from __future__ import annotations

import json
import time

import pytest

from testbed.cluster import Cluster
from testbed.target import NAMESPACE, RELEASE

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

KINDS = [f"{plural}.memdiag.dev" for plural in ("memorydiagnoses", "memoryincidents", "memoryreports")]
OF_EVERY_NAMESPACE = ["ConfigMap/kube-root-ca.crt", "ServiceAccount/default"]
SECONDS_TO_LEAVE = 60


def kinds(cluster: Cluster, *, namespaced: bool) -> str:
    """Return every kind but events and memdiag's own, as `kubectl get` takes them."""
    scope = f"--namespaced={str(namespaced).lower()}"
    listed = cluster.kubectl("api-resources", "--verbs=list,delete", scope, "-o", "name").split()
    return ",".join(kind for kind in listed if not kind.startswith("events") and kind not in KINDS)


def found(cluster: Cluster, kinds: str, *words: str) -> list[str]:
    """Return the objects of these kinds as KIND/NAME."""
    items = json.loads(cluster.kubectl("get", kinds, *words, "-o", "json"))["items"]
    return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in items)


def test_uninstalling_leaves_the_kinds_and_the_agents_folder_and_nothing_else(memdiag_cluster: Cluster) -> None:
    cluster = memdiag_cluster
    own = ("memoryincidents,memorydiagnoses", "-A")
    before = found(cluster, *own)
    told = cluster.helm("get", "notes", RELEASE)
    assert "the kinds, with every incident and diagnosis" in told
    assert "/var/lib/memdiag on each node" in told

    said = cluster.helm("uninstall", RELEASE, "--timeout", "120s")
    assert "were kept" in said
    assert all(name in said for name in KINDS)

    inside, wide = kinds(cluster, namespaced=True), kinds(cluster, namespaced=False)
    deadline = time.monotonic() + SECONDS_TO_LEAVE
    while (left := found(cluster, inside, "-n", NAMESPACE)) != OF_EVERY_NAMESPACE and time.monotonic() < deadline:
        time.sleep(1)
    assert left == OF_EVERY_NAMESPACE
    ours = ("-l", "app.kubernetes.io/part-of=memdiag")
    assert found(cluster, inside, "-A", *ours) == []
    assert found(cluster, wide, *ours) == [f"CustomResourceDefinition/{name}" for name in KINDS]
    assert set(before) <= set(found(cluster, *own))
    assert cluster.node.run("ls", "/var/lib/memdiag").split()
