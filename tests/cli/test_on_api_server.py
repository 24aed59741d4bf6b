"""`kubectl memdiag` as it is installed, against a real API server and, for `scan`, a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from memdiag.cli.main import main
from memdiag.kube.api import AlreadyExistsError, HttpApi, connect
from testbed import prometheus as package
from testbed.control_plane import ControlPlane
from testbed.shell import TestbedError
from tests.cli.shop import kill, recorded, stock, stocked
from tests.cli.test_scan import restarted
from tests.controller.support import Cluster, identity, serve_kinds, token_kubeconfig

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(400)]

SHOP, SCANNED = "memdiag-shop", "memdiag-scanned"
LEAK, GROWTH, LOW = "deployment-checkout-app", "deployment-sessions-app", "deployment-reports-app"
MIB, DAY, SCRAPE = 2**20, 86400.0, 300.0
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Plugin:
    """The installed program."""

    kubeconfig: Path
    kubectl: Path

    def __call__(self, *words: str, status: int = 0, kubeconfig: Path | None = None) -> str:
        """Run it; return what it printed, of both streams when it is to fail."""
        command = [str(BIN / "kubectl-memdiag"), *words, "--kubeconfig", str(kubeconfig or self.kubeconfig)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr if status else done.stdout

    def ask_kubectl(self, *words: str) -> str:
        """Run kubectl, which finds the program on the path."""
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "KUBECONFIG": str(self.kubeconfig)}
        command = [str(self.kubectl), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=env).stdout


@pytest.fixture(scope="module")
def cluster(api_server: ControlPlane) -> Cluster:
    api = HttpApi(connect(api_server.kubeconfig))
    serve_kinds(api)
    found = Cluster(api)
    with contextlib.suppress(AlreadyExistsError):  # a resize asks whether the node has room
        room = {"memory": "8Gi", "cpu": "4", "pods": "100"}
        node = {"metadata": {"name": "node-a"}, "status": {"capacity": room, "allocatable": room}}
        api.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **node})
    found.namespace(SHOP)
    stock(api, SHOP)
    return found


@pytest.fixture(scope="module")
def plugin(api_server: ControlPlane, cluster: Cluster) -> Plugin:
    return Plugin(api_server.kubeconfig, api_server.program("kubectl"))


def test_list_is_a_command_of_kubectl(plugin: Plugin) -> None:
    text = plugin.ask_kubectl("memdiag", "list", "-n", SHOP)
    assert [line.split()[0] for line in text.splitlines()] == ["NAME", LEAK, GROWTH, LOW]
    assert text.splitlines()[1].split()[3:8] == ["Leak", text.split("Leak")[1].split()[0], "96Mi", "fix", "leak"]
    assert "\x1b" not in text
    everywhere = plugin("list", "-A", "-o", "wide")
    assert "HeapLeak" in everywhere
    assert everywhere.startswith("NAMESPACE")
    items = json.loads(plugin("list", "-n", SHOP, "-o", "json"))["items"]
    assert [(item["kind"], item["metadata"]["name"]) for item in items] == [
        ("MemoryDiagnosis", name) for name in (LEAK, GROWTH, LOW)
    ]
    assert plugin("list", "-n", SHOP, "-l", "no=such") == ""


def test_show_report_and_trace(plugin: Plugin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = plugin("show", LEAK, "-n", SHOP)
    for words in ("Cause: Leak (HeapLeak)", "Memory over runs of pod checkout-abc-x7k20", "limit 96 MiB", "Next:"):
        assert words in text, words
    assert "there are: " + LEAK in plugin("show", "deployment-chekout", "-n", SHOP, status=1)
    plugin("report", LEAK, "-n", SHOP, "-o", str(tmp_path / "report.html"))
    assert "HeapLeak" in (tmp_path / "report.html").read_text(encoding="utf-8")
    plugin("trace", LEAK, "-n", SHOP, "-o", str(tmp_path / "leak.jsonl.gz"))
    files = [str(tmp_path / name) for name in ("leak.jsonl.gz", "leak.2.jsonl.gz")]
    assert main(["diagnose", "--cohort", *files]) == 0
    verdict = next(line for line in text.splitlines() if line.startswith("Cause: "))
    assert capsys.readouterr().out.count(verdict) == 2


def test_mute_and_off_again(plugin: Plugin, cluster: Cluster) -> None:
    assert "muted until" in plugin("mute", LEAK, "-n", SHOP, "--for", "2h")
    found = cluster.diagnosis(SHOP, LEAK)
    assert found is not None
    assert found["spec"]["mutedUntil"].endswith("Z")
    assert "not muted any more" in plugin("mute", LEAK, "-n", SHOP, "--off")
    assert "mutedUntil" not in (cluster.diagnosis(SHOP, LEAK) or {})["spec"]


def memory(cluster: Cluster, path: str) -> str:
    spec = cluster.api.get(path)["spec"]
    return str(spec.get("template", {"spec": spec})["spec"]["containers"][0]["resources"]["limits"]["memory"])


def test_apply(plugin: Plugin, cluster: Cluster) -> None:
    reports = f"/apis/apps/v1/namespaces/{SHOP}/deployments/reports"
    patch = yaml.safe_load(plugin("apply", LOW, "-n", SHOP))
    assert patch["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "144Mi"}
    assert memory(cluster, reports) == "96Mi"
    assert "memory limit 96Mi → 144Mi" in plugin("apply", LOW, "-n", SHOP, "--yes")
    assert memory(cluster, reports) == "144Mi"
    assert cluster.api.get(reports)["spec"]["template"]["spec"]["containers"][0]["image"] == "example.org/app:1"
    assert "has a limit of 144Mi already" in plugin("apply", LOW, "-n", SHOP, "--yes")


def test_apply_in_place_and_a_leak_only_as_a_stop_gap(plugin: Plugin, cluster: Cluster) -> None:
    pods = [f"/api/v1/namespaces/{SHOP}/pods/checkout-abc-x7k2{number}" for number in (0, 1)]
    refused = plugin("apply", LEAK, "-n", SHOP, "--yes", "--in-place", status=1)
    assert "more memory only delays the next kill" in refused
    assert {memory(cluster, pod) for pod in pods} == {"96Mi"}
    uids = [cluster.api.get(pod)["metadata"]["uid"] for pod in pods]
    done = plugin("apply", LEAK, "-n", SHOP, "--yes", "--in-place", "--stop-gap")
    assert done.count("asked of its node") == 2
    limit = memory(cluster, f"/apis/apps/v1/namespaces/{SHOP}/deployments/checkout")
    assert limit not in ("96Mi", "")
    assert {memory(cluster, pod) for pod in pods} == {limit}
    assert [cluster.api.get(pod)["metadata"]["uid"] for pod in pods] == uids


def test_who_may_not_is_told(plugin: Plugin, cluster: Cluster, tmp_path: Path) -> None:
    accounts = f"/api/v1/namespaces/{SHOP}/serviceaccounts"
    cluster.api.create(accounts, {"metadata": {"name": "nobody"}})
    token = plugin.ask_kubectl("create", "token", "nobody", "-n", SHOP)
    kubeconfig = token_kubeconfig(plugin.kubeconfig, token.strip(), tmp_path / "nobody")
    for words in (("list",), ("show", LEAK), ("scan",)):
        told = plugin(*words, "-n", SHOP, status=2, kubeconfig=kubeconfig)
        assert f"memdiag {words[0]}: you are not allowed to do this: " in told
        assert "Traceback" not in told
    stranger = token_kubeconfig(plugin.kubeconfig, "nonsense", tmp_path / "stranger")
    assert "does not know who you are" in plugin("list", status=2, kubeconfig=stranger)


def openmetrics(now: float) -> str:
    """Return two weeks of two pods: one that lives and leaked twice, and one that is gone and did so once."""
    memory, reasons, owners = [], [], []
    for pod, spans in (
        ("checkout-abc-x7k20", ((1, 9.0, 5.0), (2, 5.0, 0.01))),
        ("nightly-28461230-x7k2p", ((3, 8.0, 4.0),)),
    ):
        kind, owner = ("Job", "nightly-28461230") if pod.startswith("nightly") else ("ReplicaSet", "checkout-abc")
        place = f'namespace="{SCANNED}",pod="{pod}"'
        owners.append(f'kube_pod_owner{{{place},owner_kind="{kind}",owner_name="{owner}"}} 1 {now - 4.5 * DAY:.0f}')
        for number, begin, end in spans:
            labels = f'{place},container="app",id="/kubepods/{identity(number)}",name="{identity(number)}"'
            count = int((begin - end) * DAY / SCRAPE)
            for step in range(count + 1):
                moment = now - begin * DAY + step * SCRAPE
                memory.append((labels, (30 + 60 * step / count) * MIB, moment))
            reasons += [
                f'kube_pod_container_status_last_terminated_reason{{{place},container="app",reason="OOMKilled"}} 1 '
                f"{now - end * DAY + 60 + step * SCRAPE:.0f}"
                for step in range(24)
                if end > 0.1
            ]
    lines = ["# TYPE container_memory_working_set_bytes gauge"]
    lines += [f"container_memory_working_set_bytes{{{labels}}} {value:.0f} {at:.0f}" for labels, value, at in memory]
    lines += ["# TYPE container_spec_memory_limit_bytes gauge"]
    lines += [f"container_spec_memory_limit_bytes{{{labels}}} {96 * MIB} {at:.0f}" for labels, _, at in memory]
    lines += ["# TYPE kube_pod_owner gauge", *owners]
    lines += ["# TYPE kube_pod_container_status_last_terminated_reason gauge", *reasons]
    restarts = (
        f'kube_pod_container_status_restarts_total{{namespace="{SCANNED}",pod="checkout-abc-x7k20",container="app"}}'
    )
    lines += ["# TYPE kube_pod_container_status_restarts_total gauge", f"{restarts} 2 {now - 60:.0f}"]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        package.program("prometheus")
    except TestbedError as error:
        pytest.fail(f"Debian's package prometheus cannot be had: {error}", pytrace=False)
    with package.filled(tmp_path_factory.mktemp("prometheus"), openmetrics(time.time())) as port:
        yield f"http://127.0.0.1:{port}"


def scanned(plugin: Plugin, *words: str) -> dict[str, dict[str, Any]]:
    lines = plugin("scan", "-n", SCANNED, "-o", "json", *words).splitlines()
    return {found["workload"]["name"]: found for found in map(json.loads, lines)}


def test_scan_needs_no_installation_and_a_store_tells_the_cause(plugin: Plugin, cluster: Cluster, store: str) -> None:
    cluster.namespace(SCANNED)
    (pod,) = stocked(cluster.api, SCANNED, "checkout")
    status = restarted(2)
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 0.01 * DAY))
    status["lastState"]["terminated"]["finishedAt"] = end
    cluster.api.patch(f"{pod}/status", {"status": {"phase": "Running", "containerStatuses": [status]}})

    alone = scanned(plugin)
    assert {name: found["cause"] for name, found in alone.items()} == {"checkout": "Inconclusive"}
    longer = scanned(plugin, "--prometheus", store)
    assert {name: found["workload"]["kind"] for name, found in longer.items()} == {
        "checkout": "Deployment",
        "nightly": "CronJob",
    }
    assert longer["checkout"]["cause"] == "Leak", longer["checkout"]
    assert [len(longer[name]["kills"]) for name in ("checkout", "nightly")] == [2, 1]
    assert longer["nightly"]["limit_bytes"] == 96 * MIB
    text = plugin("scan", "-n", SCANNED, "--prometheus", store)
    assert text.splitlines()[1].split()[:3] == ["deployment/checkout", "app", "Leak"]


def test_kills_go_on_being_shown(plugin: Plugin, cluster: Cluster) -> None:
    """A resolved or newly killed workload changes its place in the list: the order is by what is so now."""
    (pod,) = stocked(cluster.api, SHOP, "late")
    kill(cluster.api, pod, recorded("growth-2", 3 * DAY), 71)
    names = [line.split()[0] for line in plugin("list", "-n", SHOP).splitlines()[1:]]
    assert names == [LEAK, GROWTH, LOW, "deployment-late-app"]
