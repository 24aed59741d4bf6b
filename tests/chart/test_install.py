"""Releases with the real helm on a real API server: upgraded, rolled back, gone again, and two of them side by side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.control_plane import ControlPlane
from tests.chart.rendering import CHART, REPOSITORY, run_helm

pytestmark = pytest.mark.api_server

PREVIOUS = Path(__file__).parent / "previous/memdiag-0.1.0-alpha.1.tgz"
"""The chart before this one, as `helm package` makes it: what is upgraded from."""
KINDS = [f"{plural}.memdiag.dev" for plural in ("memorydiagnoses", "memoryincidents", "memoryreports")]
SECONDS_TO_TAKE_EFFECT = 30.0
"""For an admission policy."""
TAKE_OVER = ("for kind in", "kubectl annotate --overwrite crd")


@dataclass(frozen=True)
class Helm:
    """helm and kubectl on one API server."""

    program: Path
    server: ControlPlane

    def tried(self, *words: str, namespace: str) -> subprocess.CompletedProcess[str]:
        """Run helm and return how it ended."""
        return run_helm(self.program, *words, "--kubeconfig", str(self.server.kubeconfig), "--namespace", namespace)

    def did(self, *words: str, namespace: str) -> str:
        """Run helm, which must succeed."""
        done = self.tried(*words, namespace=namespace)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: str, namespace: str) -> str:
        """Run helm, which must fail, and return what it said."""
        done = self.tried(*words, namespace=namespace)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def take_kinds(self, release: str, namespace: str) -> None:
        """Do what the chart's refusal tells: hand the kinds to a release. Nothing to do where they are absent."""
        if KINDS[0] not in self.server.kubectl("get", "crd", "-o", "name"):
            return
        self.server.kubectl("label", "--overwrite", "crd", *KINDS, "app.kubernetes.io/managed-by=Helm")
        owner = (f"meta.helm.sh/release-name={release}", f"meta.helm.sh/release-namespace={namespace}")
        self.server.kubectl("annotate", "--overwrite", "crd", *KINDS, *owner)

    def found(self, *labels: str) -> list[str]:
        """Return every object of the cluster with these labels, as KIND/NAME."""
        listed = self.server.kubectl("api-resources", "--verbs=list,delete", "-o", "name").split()
        kinds = ",".join(kind for kind in listed if not kind.startswith("events"))
        text = self.server.kubectl("get", kinds, "-A", "-l", ",".join(labels), "-o", "json", "--ignore-not-found")
        items: list[dict[str, Any]] = json.loads(text)["items"] if text.strip() else []
        return sorted(f"{each['kind']}/{each['metadata']['name']}" for each in items)

    def image(self, namespace: str) -> str:
        """Return the agent's image."""
        field = "jsonpath={.spec.template.spec.containers[0].image}"
        return self.server.kubectl("get", "daemonset", "r1-memdiag-agent", "-n", namespace, "-o", field)


@pytest.fixture(scope="module")
def cluster(helm: Path, api_server: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    home = tmp_path_factory.mktemp("helm")
    with pytest.MonkeyPatch.context() as environment:
        for folder in ("CACHE", "CONFIG", "DATA"):
            environment.setenv(f"HELM_{folder}_HOME", str(home / folder))
        yield Helm(helm, api_server)


def test_a_release_is_installed_upgraded_from_the_previous_chart_rolled_back_and_gone(cluster: Helm) -> None:
    space = "life"
    cluster.take_kinds("r1", space)
    cluster.did("install", "r1", str(PREVIOUS), "--create-namespace", "--set", REPOSITORY, namespace=space)
    assert cluster.image(space) == "registry.example/memdiag:0.1.0-alpha.1"
    old = cluster.found("app.kubernetes.io/part-of=memdiag", "app.kubernetes.io/instance=r1")

    more = ("--set", "networkPolicy.enabled=true", "--set", "grafanaDashboard.enabled=true", "--reuse-values")
    refused = cluster.tried("upgrade", "r1", str(CHART), *more, "--dry-run=server", namespace=space)
    # --reuse-values keeps the old chart's defaults, which know nothing of new keys; this flag is what the README tells
    assert refused.returncode != 0
    assert "missing property" in refused.stderr
    cluster.did("upgrade", "r1", str(CHART), *more[:-1], "--reset-then-reuse-values", namespace=space)
    assert cluster.image(space) == "registry.example/memdiag:0.1.0"
    new = cluster.found("app.kubernetes.io/part-of=memdiag", "app.kubernetes.io/instance=r1")
    assert set(new) - set(old) == {
        "ConfigMap/r1-memdiag-dashboard",
        "NetworkPolicy/r1-memdiag-agent",
        "NetworkPolicy/r1-memdiag-operator",
    }

    cluster.did("rollback", "r1", "1", namespace=space)
    assert cluster.image(space) == "registry.example/memdiag:0.1.0-alpha.1"
    assert cluster.found("app.kubernetes.io/part-of=memdiag", "app.kubernetes.io/instance=r1") == old
    cluster.did("rollback", "r1", "2", namespace=space)

    # no controller runs here, so neither workload becomes ready; kinds and policy are there
    words = [sys.executable, "-m", "memdiag", "check", "-n", space, "--kubeconfig", str(cluster.server.kubeconfig)]
    end = time.monotonic() + SECONDS_TO_TAKE_EFFECT
    while True:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        if "ok   policy: a forged report is refused" in done.stdout or time.monotonic() > end:
            break
    assert re.findall(r"^(ok|FAIL) +(\w+):", done.stdout, re.MULTILINE) == [
        ("ok", "kinds"),
        ("FAIL", "operator"),
        ("FAIL", "agents"),
        ("ok", "policy"),
    ]

    assert "were kept" in cluster.did("uninstall", "r1", namespace=space)
    left = cluster.found("app.kubernetes.io/instance=r1", "app.kubernetes.io/part-of=memdiag")
    assert left == sorted(f"CustomResourceDefinition/{name}" for name in KINDS)
    assert [each for each in cluster.found() if "r1-memdiag" in each or each.startswith("Secret/sh.helm")] == []
    cluster.did("install", "r1", str(CHART), "--set", REPOSITORY, namespace=space)
    cluster.did("uninstall", "r1", namespace=space)


def test_switches_can_be_turned_on_a_release_that_runs(cluster: Helm) -> None:
    """What the API server filled in for the one way of roll-out must not be in the way of the other."""
    space = "turned"
    cluster.take_kinds("r1", space)
    both = ("operator.standby=true", "agent.kernelLog=kmsg", "agent.updateStrategy.maxUnavailable=1")
    words = [word for setting in (REPOSITORY, *both) for word in ("--set", setting)]
    cluster.did("install", "r1", str(CHART), "--create-namespace", *words, namespace=space)

    def rolled_out() -> str:
        field = "jsonpath={.spec.replicas} {.spec.strategy.type}"
        return cluster.server.kubectl("get", "deployment", "r1-memdiag-operator", "-n", space, "-o", field)

    assert rolled_out() == "2 RollingUpdate"
    cluster.did("upgrade", "r1", str(CHART), "--set", REPOSITORY, namespace=space)
    assert rolled_out() == "1 Recreate"
    cluster.did("upgrade", "r1", str(CHART), *words, namespace=space)
    assert rolled_out() == "2 RollingUpdate"
    cluster.did("uninstall", "r1", namespace=space)


def test_notes_say_what_stays(cluster: Helm) -> None:
    words = ("install", "r1", str(CHART), "--dry-run=client", "--set", REPOSITORY)
    said = cluster.did(*words, namespace="life")
    assert "the kinds, with every incident and diagnosis" in said
    assert "/var/lib/memdiag on each node" in said
    bare = ("--set", "crds.keep=false", "--set", "agent.enabled=false")
    assert "  - nothing\n" in cluster.did(*words, *bare, namespace="life")
    said = cluster.did(*words, *bare, "--set", "crds.enabled=false", namespace="life")
    assert "  - the kinds, which this release did not install\n" in said
    assert "  - nothing\n" not in said


def test_a_second_release_is_refused_with_the_reason_and_the_way_out(cluster: Helm) -> None:
    first, second = "first", "second"
    cluster.take_kinds("r1", first)
    cluster.did("install", "r1", str(CHART), "--create-namespace", "--set", REPOSITORY, namespace=first)
    install = (str(CHART), "--create-namespace", "--set", REPOSITORY)

    said = cluster.refused("install", "r2", *install, namespace=second)
    assert f"belong to release {first}/r1" in said
    assert "crds.enabled=false" in said
    assert all(words in said for words in TAKE_OVER)

    said = cluster.refused("install", "r2", *install, "--set", "crds.enabled=false", namespace=first)
    assert "release r1 of memdiag is in namespace first already" in said

    apart = ("--set", "crds.enabled=false", "--set", "agent.stateHostPath=/var/lib/memdiag-second")
    cluster.did("install", "r1", *install, *apart, namespace=second)
    both = cluster.found("app.kubernetes.io/instance=r1", "app.kubernetes.io/part-of=memdiag")
    wide = [each for each in both if each.startswith(("Cluster", "Validating"))]
    assert both.count("Deployment/r1-memdiag-operator") == 2
    assert len(wide) == len(set(wide)) == 12
    cluster.did("uninstall", "r1", namespace=second)
    assert cluster.did("status", "r1", namespace=first)
    kept = cluster.found("app.kubernetes.io/instance=r1", "app.kubernetes.io/part-of=memdiag")
    assert set(kept) >= {f"CustomResourceDefinition/{name}" for name in KINDS}
    assert f"ValidatingAdmissionPolicy/r1-memdiag-{first}-reports" in kept
    cluster.did("uninstall", "r1", namespace=first)


def test_kinds_that_no_release_owns_are_left_alone_or_taken_over(cluster: Helm) -> None:
    space = "taken"
    for kind in KINDS:
        cluster.server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd(kind)))
    words = ("meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-")
    cluster.server.kubectl("annotate", "crd", *KINDS, *words)
    install = ("install", "r1", str(CHART), "--create-namespace", "--set", REPOSITORY)
    said = cluster.refused(*install, namespace=space)
    assert "belong to no release" in said
    assert all(words in said for words in TAKE_OVER)
    cluster.take_kinds("r1", space)
    cluster.did(*install, namespace=space)
    cluster.did("uninstall", "r1", namespace=space)


def crd(name: str) -> Path:
    plural, _, group = name.partition(".")
    return CHART.parent.parent / "crds" / f"{group}_{plural}.yaml"
