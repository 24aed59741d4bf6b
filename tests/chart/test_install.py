"""A release's life with the real helm on a real API server: installed, upgraded, uninstalled, the kinds kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.control_plane import ControlPlane
from tests.chart.rendering import CHART, REPOSITORY, run_helm

pytestmark = pytest.mark.api_server

NAMESPACE = "install-test"
KINDS = ("memoryreports", "memoryincidents", "memorydiagnoses")


def test_a_release_comes_changes_and_goes_and_the_kinds_stay(
    helm: Path, api_server: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"HELM_{folder}_HOME", str(tmp_path / folder))
    where = ("--kubeconfig", str(api_server.kubeconfig), "--namespace", NAMESPACE)

    def did(*words: str) -> str:
        done = run_helm(helm, *words, *where)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def image() -> str:
        field = "jsonpath={.spec.template.spec.containers[0].image}"
        return api_server.kubectl("get", "daemonset", "r1-memdiag-agent", "-n", NAMESPACE, "-o", field)

    # the kinds may have been there before: other tests share this API server
    did("install", "r1", str(CHART), "--create-namespace", "--take-ownership", "--set", REPOSITORY)
    assert image() == "registry.example/memdiag:0.1.0"
    did("upgrade", "r1", str(CHART), "--set", REPOSITORY, "--set", "image.tag=v2")
    assert image() == "registry.example/memdiag:v2"
    assert "were kept" in did("uninstall", "r1")
    for kind in KINDS:
        assert kind in api_server.kubectl("get", "customresourcedefinitions", "-o", "name")
    assert NAMESPACE not in api_server.kubectl(
        "get", "clusterroles,clusterrolebindings,validatingadmissionpolicies", "-o", "name"
    )
    did("install", "r1", str(CHART), "--set", REPOSITORY)
    did("uninstall", "r1")
    api_server.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
