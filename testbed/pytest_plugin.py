"""The testbed as pytest fixtures: a quick kernel, a control plane, and a whole cluster, each once a session.

A ring whose parts cannot be had is skipped by name; with CI=true that is a failure, never a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import (
    binaries,
    browser,
    cache,
    cluster,
    foreign_kinds,
    images,
    kernel,
    preflight,
    prometheus,
    quick,
)
from testbed.control_plane import ControlPlane, instance
from testbed.shell import TestbedError


def _or_skip(ring: str, needed: Callable[[], object]) -> None:
    """Get what a ring needs, or skip the ring by name; in CI a lack is a failure."""
    try:
        preflight.check(everything_cached=True)
        needed()
    except TestbedError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"ring {ring}: not run: {error}", pytrace=False)
        pytest.skip(f"ring {ring}: NOT RUN: {error}")


def _sweep() -> None:
    """End the testbeds of test runs that were killed: their names end in the number of a process that is gone."""
    for folder in (cache.root() / "run").glob("*-*"):
        kind, _, owner = folder.name.rpartition("-")
        if kind in ("api", "own", "node") and owner.isdigit() and not Path("/proc", owner).exists():
            cluster.make(folder.name).down()


def _lone(kind: str) -> Iterator[ControlPlane]:
    plane = instance(f"{kind}-{os.getpid()}", networked=False)
    _or_skip("api server", lambda: [plane.program(name) for name in ("etcd", "kube-apiserver", "kubectl")])
    _sweep()
    try:
        plane.up()
        yield plane
    finally:
        plane.down()


@pytest.fixture(scope="session")
def quick_kernel() -> Callable[..., quick.Result]:
    """Give `testbed.quick.run(command, work, ...)`, its kernel built."""
    _or_skip("quick kernel", kernel.program)
    return quick.run


@pytest.fixture(scope="session")
def helm() -> Path:
    """Give the path of the real helm: the one that $HELM names, else the one that is built."""
    named = os.environ.get("HELM")
    if named:
        return Path(named)
    _or_skip("api server", lambda: binaries.program("helm"))
    return binaries.program("helm")


@pytest.fixture(scope="session")
def api_server() -> Iterator[ControlPlane]:
    """Give a real etcd and kube-apiserver on loopback: `.kubeconfig`, `.kubectl(...)`, `.process(name)`."""
    yield from _lone("api")


@pytest.fixture(scope="module")
def own_api_server() -> Iterator[ControlPlane]:
    """Give a module an API server and an etcd of its own, to be ended and started again."""
    yield from _lone("own")


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Give the path of Prometheus's own tool for rules."""
    _or_skip("api server", lambda: prometheus.program("promtool"))
    return prometheus.program("promtool")


@pytest.fixture(scope="session", name="browser")
def browser_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """Give a page in a real browser."""
    _or_skip("api server", browser.install)
    with browser.page(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="session", name="foreign_kinds")
def foreign_kinds_fixture(api_server: ControlPlane) -> Path:
    """Give the folder of the Prometheus Operator's and OpenShift's kinds, which the API server then serves."""
    _or_skip("api server", lambda: foreign_kinds.artifact().ensure())
    folder = foreign_kinds.artifact().ensure()
    api_server.kubectl("apply", "--server-side", "-f", str(folder))
    api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return folder


@pytest.fixture(scope="session")
def memdiag_image() -> Path:
    """Give memdiag's image as an OCI archive."""
    _or_skip("node", cluster.prepare)
    return images.memdiag_artifact().ensure() / "memdiag.tar"


@pytest.fixture(scope="session")
def memdiag_cluster() -> Iterator[cluster.Cluster]:
    """Give a whole cluster with memdiag installed by helm; afterwards nothing of it may be left."""
    _or_skip("node", cluster.prepare)
    _sweep()
    found = cluster.make(f"node-{os.getpid()}")
    try:
        cluster.bring_up(found)
        yield found
    finally:
        found.down()
    if Path("/run/netns", found.plane.namespace).exists() or found.plane.folder.exists():
        pytest.fail(f"the cluster left its namespace or {found.plane.folder} behind")
