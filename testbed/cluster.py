"""A whole cluster with memdiag installed: control plane, node, image and chart, each step once and in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import binaries, flavour, image_disk, images, kernel, preflight, rootfs
from testbed.cache import Artifact
from testbed.control_plane import ControlPlane, instance
from testbed.node import Node, NodeDiedError
from testbed.progress import Progress, Step
from testbed.target import Target


@dataclass(frozen=True)
class Cluster(Target):
    """One cluster by name; `up` steps are given by `steps()`."""

    plane: ControlPlane
    node: Node

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.plane.kubeconfig

    def program(self, name: str) -> Path:
        """Return the path of a program that is built from its source."""
        return binaries.program(name)

    def check_alive(self) -> None:
        """Raise NodeDiedError, with the console's tail, when the node's kernel does not run."""
        self.node.check_alive()

    def down(self) -> None:
        """End everything and leave nothing behind; safe when nothing is up."""
        self.node.stop()
        self.plane.down()


def make(name: str) -> Cluster:
    """Return the cluster of this name, up or not."""
    plane = instance(name, networked=True)
    return Cluster(plane, Node(plane))


def _build(artifact: Artifact, usual: float, *after: str, name: str | None = None) -> Step:
    def act() -> str:
        artifact.ensure()
        return "built"

    return Step(f"build {name or artifact.name}", act, after, usual, lambda: artifact.cached)


def build_steps() -> list[Step]:
    """Return the steps that fill the cache with everything a cluster is made of, the longest first."""
    steps = [_build(binaries.artifact("etcd"), 60, name="etcd")]
    order = ["kubernetes", "containerd", "helm"]
    usual = {"kubernetes": 600, "containerd": 70, "helm": 140}
    last = "build etcd"
    # one compiler at a time: each uses every core by itself
    for name in order:
        steps.append(_build(binaries.artifact(name), usual[name], last, name=name))
        last = f"build {name}"
    kernel_artifact = kernel.artifact()
    steps.append(_build(kernel_artifact, 300, name="kernel"))
    steps.append(_build(rootfs.debian_artifact(), 90, name="node packages"))
    steps.append(_build(images.base_artifact(), 60, "build node packages", name="base image"))
    steps.append(_build(images.pause_artifact(), 1, name="pause image"))
    after = ("build node packages", "build kubernetes", "build containerd")
    steps.append(_build(rootfs.artifact(flavour.chosen()), 10, *after, name="node disk"))
    steps.append(_build(images.memdiag_artifact(), 40, "build base image", name="memdiag image"))
    after = ("build memdiag image", "build pause image", "build containerd")
    steps.append(_build(image_disk.artifact(), 10, *after, name="image disk"))
    return steps


def everything_cached() -> bool:
    """Whether nothing big is left to build."""
    artifacts = [*(binaries.artifact(name) for name in binaries.SOURCES), kernel.artifact()]
    artifacts.append(rootfs.artifact(flavour.chosen()))
    return all(artifact.cached for artifact in artifacts)


def prepare() -> None:
    """Check the machine and install the Debian packages that are absent."""
    preflight.check(everything_cached=everything_cached())
    preflight.install_packages()


def up_steps(cluster: Cluster) -> list[Step]:
    """Return the steps from a filled cache to a node with memdiag installed on it."""

    def boot() -> str:
        cluster.node.prepare()
        cluster.node.boot()
        cluster.node.wait_ready()
        return "Ready"

    def plane() -> str:
        cluster.plane.up()
        binaries.drop_build_cache()
        return "etcd, kube-apiserver, controller-manager, scheduler"

    def install() -> None:
        cluster.install(images.MEMDIAG, "testbed")

    built = ("build node disk", "build image disk", "build kernel")
    return [
        Step("control plane", plane, ("build etcd", "build kubernetes"), 10),
        Step("node", boot, ("control plane", *built), 30),
        Step("helm install memdiag", install, ("node", "build helm"), 25),
    ]


def bring_up(cluster: Cluster, further: Sequence[Step] = ()) -> float:
    """Build what is not cached, bring the cluster up with memdiag on it, and return the seconds it took.

    A kernel that died under the node is tried once more. Raises TestbedError that names the step which failed.
    """
    cluster.down()
    prepare()
    steps = [*build_steps(), *up_steps(cluster), *further]
    try:
        return Progress(steps).run()
    except NodeDiedError as error:
        print(f"{error}\ntrying once more", flush=True)
        cluster.down()
        return Progress(steps).run()
