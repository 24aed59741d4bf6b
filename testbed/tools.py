"""What the chart is held against beside Kubernetes: kinds of the Prometheus Operator and of OpenShift, promtool."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from testbed import cache, debian
from testbed.binaries import toolchain
from testbed.cache import HERE, Artifact
from testbed.shell import TestbedError, capture

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
_PROMTOOL = debian.Package(
    "prometheus", "2.42.0+ds-5+deb12u1", "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"
)


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


def kinds_artifact() -> Artifact:
    """Return the folder of definitions."""
    inputs = (HERE / "go" / "kinds" / "go.mod", HERE / "go" / "kinds" / "go.sum")
    return Artifact("foreign-kinds", (repr(_FILES), *inputs), _collect)


def _promtool(folder: Path) -> None:
    log = cache.logs() / "promtool.log"
    package = debian.download(_PROMTOOL, folder, log)
    debian.unpack(package, folder / "tree", log)
    (folder / "tree/usr/bin/promtool").rename(folder / "promtool")
    shutil.rmtree(folder / "tree")
    package.unlink()


def promtool() -> Path:
    """Return promtool: the one on the PATH, else the one of Debian's package, which is not installed for it."""
    found = shutil.which("promtool")
    if found:
        return Path(found)
    program = Artifact("promtool", (repr(_PROMTOOL),), _promtool).ensure() / "promtool"
    if not os.access(program, os.X_OK):
        raise TestbedError(f"{program} does not run")
    return program
