"""Which cgroup driver and container runtime the node has: two variables of the environment, and what they change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from testbed.debian import Package
from testbed.shell import TestbedError

DRIVERS = ("systemd", "cgroupfs")
RUNTIMES = ("runc", "crun")
_VARIABLES = {"NODE_DRIVER": DRIVERS, "NODE_RUNTIME": RUNTIMES}
_CRUN = (
    Package("crun", "1.21-1", "f94f8d4acf08a304884666d67d9faa797ab8401b46c311827783a432cb15b652", suite="trixie"),
    Package(
        "libyajl2", "2.1.0-5+b2", "98497e30d6672298111b74e59890b3232b947abe4ecf04e39f480413b755e4f5", suite="trixie"
    ),
)


@dataclass(frozen=True)
class Flavour:
    """How the kubelet and the runtime make containers."""

    driver: str = DRIVERS[0]
    runtime: str = RUNTIMES[0]

    @property
    def usual(self) -> bool:
        """Whether it is what the node has unless somebody asks."""
        return self == Flavour()

    @property
    def packages(self) -> tuple[Package, ...]:
        """What the node needs beside its usual packages."""
        return _CRUN if self.runtime == "crun" else ()

    @property
    def edits(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """What to replace in the node's files, by the names that they have here."""
        driver, runtime = [], []
        if self.driver == "cgroupfs":
            driver.append(("cgroupDriver: systemd", "cgroupDriver: cgroupfs"))
            runtime.append(("SystemdCgroup = true", "SystemdCgroup = false"))
        if self.runtime == "crun":
            runtime.append(("SystemdCgroup", 'BinaryName = "/usr/bin/crun"\n    SystemdCgroup'))
        return {"kubelet.yaml": tuple(driver), "containerd.toml": tuple(runtime)}

    def edited(self, name: str, text: str) -> str:
        """Return a file of the node as this flavour has it. Raises TestbedError where the file is not as expected."""
        for old, new in self.edits.get(name, ()):
            if old not in text:
                raise TestbedError(f"testbed/node/{name} does not say {old!r}")
            text = text.replace(old, new)
        return text


def chosen(environment: Mapping[str, str] = os.environ) -> Flavour:
    """Return what NODE_DRIVER and NODE_RUNTIME ask for. Raises TestbedError for a value that is none."""
    values = []
    for name, known in _VARIABLES.items():
        value = environment.get(name) or known[0]
        if value not in known:
            raise TestbedError(f"{name}={value} is not known: use {' or '.join(known)}")
        values.append(value)
    return Flavour(*values)
