"""`memdiag check`: what it finds in an installation that works, and what it tells of one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from memdiag.cli.check import Installation, findings
from memdiag.cli.main import main
from memdiag.kube.api import Body, JsonObject, NotFoundError, PermanentError, TransientError
from tests.cli.test_target import kubeconfig

HERE = Installation("memdiag", "r1")
DENIED = PermanentError(
    "POST: 403 ValidatingAdmissionPolicy 'r1-reports' with binding 'r1-reports' denied request", 403
)


@dataclass
class Cluster:
    """An API server that answers a few questions; it follows what the real one answers (see test_install)."""

    kinds: tuple[str, ...] = ("memoryreports", "memoryincidents", "memorydiagnoses")
    available: int = 1
    wanted: int = 3
    ready: int = 3
    refusal: PermanentError | None = DENIED
    away: bool = False
    forbidden: PermanentError | None = None
    asked: list[str] = field(default_factory=list)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        self.asked.append(f"{path}?{(query or {}).get('labelSelector', '')}")
        if self.away:
            raise TransientError("GET: connection refused")
        if self.forbidden is not None:
            raise self.forbidden
        if path.endswith("/deployments"):
            status = {"availableReplicas": self.available} if self.available else {}
            return {"items": [{"metadata": {"name": "r1-memdiag-operator"}, "status": status}]}
        if path.endswith("/daemonsets"):
            status = {"desiredNumberScheduled": self.wanted, "numberReady": self.ready}
            return {"items": [{"metadata": {"name": "r1-memdiag-agent"}, "status": status}] if self.wanted else []}
        if not self.kinds:
            raise NotFoundError("GET: 404 the server could not find the requested resource", 404)
        return {"resources": [{"name": name} for name in self.kinds]}

    def create(self, path: str, body: Body) -> JsonObject:
        if self.away:
            raise TransientError("POST: connection refused")
        assert "dryRun=All" in path
        assert isinstance(body, Mapping)
        if self.refusal is not None:
            raise self.refusal
        return dict(body)


def said(cluster: Cluster, installation: Installation = HERE) -> dict[str, str]:
    return {found.what: str(found) for found in findings(cluster, installation)}


def test_all_is_well() -> None:
    cluster = Cluster()
    found = said(cluster)
    assert [*found] == ["kinds", "operator", "agents", "policy"]
    assert all(line.startswith("ok ") for line in found.values())
    assert "ready on 3 of 3 nodes" in found["agents"]
    selectors = [asked for asked in cluster.asked if "/apps/v1/namespaces/memdiag/" in asked]
    assert len(selectors) == 2
    assert all("app.kubernetes.io/instance=r1" in each for each in selectors)


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({"kinds": ()}, "kinds", "crds.enabled=true"),
        ({"kinds": ("memoryreports",)}, "kinds", "not served: memoryincidents, memorydiagnoses"),
        ({"available": 0}, "operator", "kubectl -n memdiag logs deployment/r1-memdiag-operator"),
        ({"ready": 2}, "agents", "ready on 2 of 3 nodes"),
        ({"wanted": 0}, "agents", "agent.enabled=true"),
        ({"refusal": None}, "policy", "a forged report is accepted"),
        ({"refusal": PermanentError("POST: 422 spec.ordinal", 422)}, "policy", "not by the admission policy"),
    ],
)
def test_what_is_wrong_is_told_with_the_remedy(changes: dict[str, Any], what: str, words: str) -> None:
    found = said(Cluster(**changes))
    assert found[what].startswith("FAIL ")
    assert words in found[what]
    assert sum(line.startswith("FAIL") for line in found.values()) == 1


def test_no_agents_are_no_fault_where_none_are_meant_to_run() -> None:
    found = said(Cluster(wanted=0), Installation("memdiag", agents=False))
    assert found["agents"].startswith("ok ")


def test_what_a_reader_may_not_try_is_not_a_fault() -> None:
    refusal = PermanentError("POST: 403 cannot create resource", 403)
    assert said(Cluster(refusal=refusal))["policy"].startswith("-    policy: not tried")


def test_an_api_server_that_does_not_answer_is_no_installation_to_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TransientError):
        said(Cluster(away=True))
    assert main(["check", "--context", "b", "--kubeconfig", str(kubeconfig(tmp_path))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("memdiag check: the cluster does not answer: [Errno 111] Connection refused (")


def test_who_may_not_look_is_not_told_to_install() -> None:
    found = said(Cluster(forbidden=PermanentError("GET: 403 forbidden \x1b[2J", 403)))
    denied = "you are not allowed to do this: GET: 403 forbidden \\x1b[2J\n     this could not be looked at"
    for what in ("kinds", "operator", "agents"):
        assert found[what] == f"FAIL {what}: {denied}"
    assert found["policy"].startswith("ok ")


def test_no_way_to_a_cluster_is_said_without_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "name one with --kubeconfig" in capsys.readouterr().err
