"""The operator's bench: reports are as large as it says, and its bars judge what was measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from bench.operator import chain
from bench.operator.__main__ import bars, table
from bench.operator.kill import report
from bench.operator.measure import quantile, shares
from bench.operator.populate import Place, identity, pod_object
from memdiag.kube.api import HttpApi
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import project

MIB = 2**20
PLACE = Place("team-1", "victim-1-5d4f8c7b9d-00001", "6f1d5d0a-3c55-4f2b-8f8f-0a8c1f7e2d10", identity(1), "node-1")


def figures(peak: int = 120, seconds: float = 40.0, slowest: float = 0.5) -> dict[str, Any]:
    used = {"seconds": 9.0, "cpu": 8.0, "rss": 100 * MIB, "peak": peak * MIB}
    burst = {"reports": 1000, "bytes": 24 * 1024, "delivered": 5.0, "seconds": seconds, "cpu": 30.0, "peak": peak * MIB}
    return {
        "pods": 20_000,
        "pod_bytes": 5000.0,
        **dict.fromkeys(("kopf", "first start", "restart", "after a pass"), used),
        "ways": [(0.1, 0.1, 0.1, 0.1)] * 99 + [(slowest, 0.0, 0.0, 0.0)],
        "bursts": [burst],
        "incidents": 2000,
        "kills": 1100,
        "reported": 1100,
    }


def test_a_report_is_valid_and_of_the_size_that_the_design_names() -> None:
    body = report(PLACE, 1, 1_700_000_000.0)
    MemoryReportSpec.model_validate(body["spec"])
    assert 23.5 < len(json.dumps(body, separators=(",", ":"))) / 1024 < 25


def test_a_pod_is_one_that_the_operator_reads() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "service-1-5d4f8c7b9d", "uid": "u"}
    body = pod_object("a", owner, "node-1")
    body["metadata"] |= {"uid": "uid-1", "namespace": "team-1"}
    found = project(body)
    assert [container.limit for container in found.containers] == [512 * MIB]


def test_shares_of_steps_add_up() -> None:
    assert shares([(0.3, 0.1), (0.5, 0.1)]) == [0.8, 0.2]
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.99) == 4.0


def test_each_bar_is_judged_by_itself() -> None:
    assert all(bar.met for bar in bars(figures()))
    assert [bar.what for bar in bars(figures(seconds=61)) if not bar.met] == ["1000 reports of 24 KiB at once"]
    assert sum(not bar.met for bar in bars(figures(peak=151))) == 3
    assert sum(not bar.met for bar in bars(figures(slowest=2.1))) == 1
    assert "100 kills one at a time" in table(figures())


def test_the_way_of_a_kill_is_put_together_by_its_pod() -> None:
    watches = chain.Watches(HttpApi(client.ApiClient()))
    for number, began in enumerate((1_700_000_000.0, 1_700_000_010.0)):
        pod = {"name": f"victim-{number}", "uid": f"uid-{number}"}
        kill = {"time": datetime.fromtimestamp(began, tz=UTC).isoformat()}
        watches.report_seen({"spec": {"podUID": pod["uid"]}}, began + 0.5)
        watches.incident_seen({"spec": {"pod": pod, "kill": kill}}, began + 0.75)
        watches.incident_seen({"spec": {"pod": pod, "kill": kill}}, began + 5.0)
    watches.verdict_seen({"spec": {"targetRef": {"name": "victim-0"}}, "status": {}}, began)
    watches.verdict_seen({"spec": {"targetRef": {"name": "victim-1"}}, "status": {"cause": "Leak"}}, began + 1.75)
    assert watches.ways() == [(0.5, 0.25, 1.0)]
    assert "kill to report             29 %      500      500" in chain.table(watches.ways())
