"""Kinds that the chart is held against beside Kubernetes's own: those of the Prometheus Operator and of OpenShift."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from testbed.binaries import toolchain
from testbed.cache import HERE, Artifact
from testbed.shell import capture

_PROMETHEUS = "github.com/prometheus-operator/prometheus-operator"
_OPENSHIFT = "github.com/openshift/api"
_FILES = {
    _PROMETHEUS: tuple(
        f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml"
        for plural in ("podmonitors", "servicemonitors", "prometheusrules")
    ),
    _OPENSHIFT: (
        "security/v1/zz_generated.crd-manifests/0000_03_config-operator_01_securitycontextconstraints.crd.yaml",
    ),
}


def _collect(folder: Path) -> None:
    """Take the definitions out of the upstream modules, whose sums are committed; nothing is compiled."""
    modules = folder / "modules"
    environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw", "GOMODCACHE": str(modules)}
    for module, names in _FILES.items():
        command: list[str | Path] = [toolchain(), "-C", HERE / "go" / "kinds", "mod", "download", "-json", module]
        found = Path(json.loads(capture(command, timeout=300, env=environment))["Dir"])
        for name in names:
            shutil.copy(found / name, folder / Path(name).name)
    shutil.rmtree(modules)


def artifact() -> Artifact:
    """Return the folder of definitions."""
    inputs = (HERE / "go" / "kinds" / "go.mod", HERE / "go" / "kinds" / "go.sum")
    return Artifact("foreign-kinds", (repr(_FILES), *inputs), _collect)
