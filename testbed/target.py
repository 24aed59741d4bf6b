"""A cluster that memdiag is shown on, whoever made it: installing the chart on it, and looking at what is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from testbed.cache import REPOSITORY
from testbed.shell import TestbedError, capture

NAMESPACE = "memdiag"
RELEASE = "memdiag"


class Target(ABC):
    """One cluster, with the programs that speak to it."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @abstractmethod
    def program(self, name: str) -> Path:
        """Return the path of `kubectl` or `helm`. Raises TestbedError when there is none."""

    @abstractmethod
    def check_alive(self) -> None:
        """Raise TestbedError when the cluster is gone."""

    def kubectl(self, *words: str, timeout: float = 60) -> str:
        """Run kubectl as administrator and return its output."""
        return capture([self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *words], timeout=timeout)

    def helm(self, *words: str | Path, timeout: float = 200) -> str:
        """Run helm as administrator in memdiag's namespace and return its output."""
        helm: list[str | Path] = [self.program("helm"), f"--kubeconfig={self.kubeconfig}", "-n", NAMESPACE]
        return capture([*helm, *words], timeout=timeout)

    def install(self, repository: str, tag: str) -> None:
        """Install memdiag from its chart with an image that the node has, and wait until it is ready."""
        self.kubectl("create", "namespace", NAMESPACE)
        self.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged")
        values = {"image.repository": repository, "image.tag": tag, "image.pullPolicy": "Never"}
        words = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
        try:
            self.helm("install", RELEASE, REPOSITORY / "charts/memdiag", *words, "--wait", "--timeout", "180s")
        except TestbedError as error:
            raise TestbedError(f"{error}\n{self.state_of(NAMESPACE)}") from error

    def state_of(self, namespace: str) -> str:
        """Return what a person would look at when pods do not come up."""
        parts = [("get", "pods", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")]
        shown = [self.kubectl("-n", namespace, *words) for words in parts]
        for pod in self.kubectl("-n", namespace, "get", "pods", "-o", "name").split():
            try:
                shown.append(f"{pod}:\n" + self.kubectl("-n", namespace, "logs", "--tail=20", pod))
            except TestbedError as error:
                shown.append(f"{pod}: {error}")
        return "\n".join(shown)

    def run_examples(self) -> None:
        """Start the three example workloads."""
        self.kubectl("apply", "-f", str(REPOSITORY / "examples"))
