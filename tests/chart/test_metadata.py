"""What the chart says of itself: where it runs, what it brings, and where its pods may run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, REPOSITORY, ROOT, documents, one, pod_spec, run_helm

ABOUT: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())


@pytest.mark.api_server
@pytest.mark.parametrize("version", ["1.30.0", "v1.30.0-eks-a1b2", "1.31.2+k3s1", "v1.33.4-gke.1036000", "1.37.0"])
def test_it_runs_from_kubernetes_1_30_on(helm: Path, version: str) -> None:
    done = run_helm(helm, "template", "r1", str(CHART), "--set", REPOSITORY, "--kube-version", version)
    assert done.returncode == 0, done.stderr


@pytest.mark.api_server
@pytest.mark.parametrize("version", ["1.29.15", "v1.29.9-gke.1000"])
def test_older_kubernetes_is_refused_with_the_reason(helm: Path, version: str) -> None:
    done = run_helm(helm, "template", "r1", str(CHART), "--set", REPOSITORY, "--kube-version", version)
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.30.0-0" in done.stderr


def test_it_tells_its_kinds_licence_icon_and_changes() -> None:
    notes = ABOUT["annotations"]
    told = {(each["kind"], each["name"], each["version"]) for each in yaml.safe_load(notes["artifacthub.io/crds"])}
    kinds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert told == {
        (each["spec"]["names"]["kind"], each["metadata"]["name"], version["name"])
        for each in kinds
        for version in each["spec"]["versions"]
    }
    assert ABOUT["apiVersion"] == "v2"
    assert notes["artifacthub.io/license"] == "Apache-2.0"
    assert yaml.safe_load(notes["artifacthub.io/changes"])
    # in the chart itself, so that nobody is asked for it
    assert ABOUT["icon"].startswith("data:image/svg+xml;base64,")


@pytest.mark.api_server
def test_each_pod_runs_where_the_values_say_and_outranks_what_they_say(helm: Path) -> None:
    file = CHART / "ci/scheduling-values.yaml"
    values = yaml.safe_load(file.read_text())
    done = run_helm(helm, "template", "r1", str(CHART), "-f", str(file), "--kube-version", "1.37.0")
    assert done.returncode == 0, done.stderr
    objects = documents(done.stdout)
    pods = {
        "operator": pod_spec(one(objects, "Deployment")),
        "agent": pod_spec(one(objects, "DaemonSet")),
        # the pod of `helm test` runs where the operator may
        "check": one(objects, "Pod")["spec"],
    }
    for name, spec in pods.items():
        asked = values["operator" if name == "check" else name]
        for key in ("priorityClassName", "tolerations", "affinity"):
            assert spec[key] == asked[key], f"{name}: {key}"
        assert spec["nodeSelector"] == asked.get("nodeSelector", {"kubernetes.io/os": "linux"})
