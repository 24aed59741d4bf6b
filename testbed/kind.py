"""The demo's cluster where Docker runs: kind makes it, and memdiag's image is built by Docker and loaded into it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, images
from testbed.cache import REPOSITORY
from testbed.progress import Step
from testbed.shell import TestbedError, capture, run
from testbed.target import Target

NAME = "memdiag-demo"
REPOSITORY_OF_IMAGE = "localhost/memdiag"
_TAG = "demo"
_REMEDIES = {
    "docker": "install Docker and start its daemon",
    "kind": "install kind (kind.sigs.k8s.io)",
    "kubectl": "install kubectl",
    "helm": "install Helm 3 or 4",
}


@dataclass(frozen=True)
class Kind(Target):
    """The cluster of a name; `folder` keeps its kubeconfig."""

    name: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    def program(self, name: str) -> Path:
        """Return the path of an installed program. Raises TestbedError with the remedy where it is absent."""
        found = shutil.which(name)
        if not found:
            raise TestbedError(f"{name} is not on the PATH: {_REMEDIES[name]}, or run the demo without KIND")
        return Path(found)

    def check_alive(self) -> None:
        """Raise TestbedError when the API server does not answer."""
        self.kubectl("get", "--raw", "/readyz", timeout=30)

    def prepare(self) -> str:
        """Raise TestbedError with the remedy where a program is absent or Docker's daemon does not answer."""
        for name in _REMEDIES:
            self.program(name)
        try:
            return "Docker " + capture(["docker", "version", "--format", "{{.Server.Version}}"]).strip()
        except TestbedError as error:
            raise TestbedError(f"Docker's daemon does not answer: {_REMEDIES['docker']}\n{error}") from error

    def build(self) -> None:
        """Build memdiag's image as the README tells."""
        image = f"{REPOSITORY_OF_IMAGE}:{_TAG}"
        command: list[str | Path] = ["docker", "build", "-t", image, *images.secrets(), REPOSITORY]
        run(command, log=self._log, timeout=1200, env={"DOCKER_BUILDKIT": "1"})

    def create(self) -> None:
        """Make the cluster, in place of one of the same name."""
        self.down()
        self.folder.mkdir(parents=True)
        words: list[str | Path] = ["--name", self.name, "--kubeconfig", self.kubeconfig, "--wait", "180s"]
        run(["kind", "create", "cluster", *words], log=self._log, timeout=900)

    def load(self) -> None:
        """Give the image to the cluster's node."""
        image = f"{REPOSITORY_OF_IMAGE}:{_TAG}"
        run(["kind", "load", "docker-image", image, "--name", self.name], log=self._log, timeout=300)

    def down(self) -> None:
        """End the cluster and leave nothing behind; safe when there is none."""
        run(["kind", "delete", "cluster", "--name", self.name], log=self._log, timeout=300)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return cache.logs() / "kind.log"


def make() -> Kind:
    """Return the demo's cluster, up or not."""
    return Kind(NAME, cache.root() / "run" / NAME)


def up_steps(cluster: Kind) -> list[Step]:
    """Return the steps from nothing to memdiag installed; the last is named as the one of the testbed's own cluster."""

    def install() -> None:
        cluster.install(REPOSITORY_OF_IMAGE, _TAG)

    return [
        Step("programs", cluster.prepare),
        Step("build memdiag image", cluster.build, ("programs",), 60),
        Step("kind create cluster", cluster.create, ("programs",), 60),
        Step("load image", cluster.load, ("build memdiag image", "kind create cluster"), 10),
        Step("helm install memdiag", install, ("load image",), 25),
    ]
