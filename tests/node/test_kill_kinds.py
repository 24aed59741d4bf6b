"""Some kinds of ends on a real node: what memdiag made of each. `make matrix` has them all, as a table."""

from __future__ import annotations

import json

import pytest

from testbed import cache, flavour
from testbed.cluster import Cluster
from testbed.kill_kinds import KINDS, NAMESPACE
from testbed.kill_matrix import Matrix
from testbed.kill_words import Seen, table

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]
RING = [kind for kind in KINDS if kind.ring]


@pytest.fixture(scope="module")
def seen(memdiag_cluster: Cluster) -> dict[str, Seen]:
    rows = Matrix(memdiag_cluster, RING).run()
    node = flavour.chosen()
    (cache.logs() / f"node-matrix-{node.driver}-{node.runtime}.txt").write_text(table(rows) + "\n")
    return {row.kind.name: row for row in rows}


@pytest.mark.parametrize("name", [kind.name for kind in RING])
def test_an_end_is_told_as_what_it_was(seen: dict[str, Seen], name: str) -> None:
    row = seen[name]
    assert not row.fault, f"{row.fault}; kernel: {row.kernel}; API: {row.api}; memdiag: {row.memdiag}"


def test_each_kill_has_its_diagnosis(memdiag_cluster: Cluster, seen: dict[str, Seen]) -> None:
    items = json.loads(memdiag_cluster.kubectl("get", "memorydiagnoses", "-n", NAMESPACE, "-o", "json"))["items"]
    said = {(item["spec"]["targetRef"]["name"], item["spec"]["container"]): item["status"]["cause"] for item in items}
    assert said.keys() == {(row.kind.name, row.kind.container) for row in seen.values() if row.kind.told}
    assert all(said.values())
