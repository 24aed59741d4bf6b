"""Every file of charts/memdiag/ci: linted, rendered, checked by the schemas, and taken by a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.control_plane import ControlPlane
from tests.chart.rendering import CHART, documents, empty_places, run_helm, validate

pytestmark = pytest.mark.api_server

FILES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE = "ci-values"
FOREIGN = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "SecurityContextConstraints"}
"""Kinds whose schema only the API server knows here."""


def rendered(helm: Path, file: Path) -> str:
    words = ("template", "r1", str(CHART), "-n", NAMESPACE, "-f", str(file), "--kube-version", "1.37.0")
    done = run_helm(helm, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def namespace(api_server: ControlPlane, foreign_kinds: Path) -> str:
    assert foreign_kinds.is_dir()
    api_server.kubectl("create", "namespace", NAMESPACE)
    return NAMESPACE


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix("-values.yaml"))
def test_a_values_file_is_linted_rendered_checked_and_taken(
    helm: Path, api_server: ControlPlane, namespace: str, file: Path, tmp_path: Path
) -> None:
    linted = run_helm(helm, "lint", "--strict", str(CHART), "-f", str(file))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    text = rendered(helm, file)
    objects = documents(text)
    for each in objects:
        if each["kind"] not in FOREIGN:
            validate(each)
        if each["kind"] not in {"CustomResourceDefinition", "SecurityContextConstraints"}:
            assert list(empty_places(each)) in ([], [".spec.selector"]), each["kind"]
    path = tmp_path / "rendered.yaml"
    path.write_text(text)
    # dry on the server: defaulting, validation and admission, and the next file finds nothing in its way
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    taken = api_server.kubectl(*words, "-n", namespace, "-f", str(path)).splitlines()
    assert len(taken) == len(objects)


def test_every_toggle_has_a_file() -> None:
    def settings(values: dict[str, Any], above: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            path = f"{above}.{key}" if above else key
            found[path] = value
            if isinstance(value, dict):
                found |= settings(value, path)
        return found

    defaults = settings(yaml.safe_load((CHART / "values.yaml").read_text()))
    turned: set[str] = set()
    for file in FILES:
        found = settings(yaml.safe_load(file.read_text()))
        turned |= {path for path, value in found.items() if defaults.get(path) != value}
    toggles = {path for path, value in defaults.items() if isinstance(value, bool)}
    assert toggles
    assert toggles - turned == set()


def test_what_a_file_asks_for_is_there(helm: Path) -> None:
    wanted = {
        "dashboard": {"ConfigMap"},
        "network-policy": {"NetworkPolicy"},
        "openshift": {"SecurityContextConstraints"},
        "pod-monitor": {"PodMonitor"},
        "prometheus-rule": {"PrometheusRule"},
        "service-monitor": {"Service", "ServiceMonitor"},
    }
    for name, kinds in wanted.items():
        text = rendered(helm, CHART / f"ci/{name}-values.yaml")
        found = {document["kind"] for document in documents(text)}
        assert found >= kinds, name
    bare = rendered(helm, CHART / "ci/state-path-values.yaml")
    kinds = {document["kind"] for document in documents(bare)}
    assert not kinds & {kind for several in wanted.values() for kind in several}
