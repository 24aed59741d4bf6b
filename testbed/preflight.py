"""What the testbed needs of the machine, each lack with its remedy; Debian packages are installed when absent."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import cache
from testbed.shell import TestbedError, run

_PACKAGES = {
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "socat": "socat",
    "ip": "iproute2",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "gcc": "gcc",
    "make": "make",
    "openssl": "openssl",
    "buildah": "buildah",
    "xz": "xz-utils",
    "ssh": "openssh-client",
    "unshare": "util-linux",
    "git": "git",
}
"""Program to look for, Debian package that has it."""

_HEADERS = {Path("/usr/include/libelf.h"): "libelf-dev", Path("/usr/include/stdio.h"): "libc6-dev"}

_DISK_GIB = 15
_CACHED_DISK_GIB = 4
_MEMORY_GIB = 7


@dataclass(frozen=True)
class Machine:
    """What counts of a machine; sizes in GiB."""

    system: str
    architecture: str
    is_root: bool
    has_apt: bool
    cache: Path
    free_disk: float
    free_memory: float


def look() -> Machine:
    """Return what this machine is."""
    place = cache.root()
    while not place.exists():
        place = place.parent
    available = next(
        (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")), "x 0"
    )
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        is_root=os.geteuid() == 0,
        has_apt=shutil.which("apt-get") is not None,
        cache=place,
        free_disk=shutil.disk_usage(place).free / 2**30,
        free_memory=int(available.split()[1]) / 2**20,
    )


def faults(machine: Machine, *, everything_cached: bool) -> list[str]:
    """Return what the machine lacks, each with its remedy; an empty list is a machine that will do."""
    found = []
    if (machine.system, machine.architecture) != ("Linux", "x86_64"):
        found.append(
            f"the testbed's kernel runs on Linux on x86-64 only, this is {machine.system} on {machine.architecture}: "
            "use such a machine, or install the chart on a cluster that you have (see README)"
        )
    if not machine.is_root:
        found.append("the testbed makes network namespaces and file systems: run it as root (sudo make demo)")
    if not machine.has_apt:
        found.append("the testbed takes its parts from Debian packages: run it on Debian 12 or newer")
    wanted = _CACHED_DISK_GIB if everything_cached else _DISK_GIB
    if machine.free_disk < wanted:
        found.append(
            f"{machine.free_disk:.0f} GiB free under {machine.cache}, {wanted} are needed: "
            "free some, or set MEMDIAG_CACHE to a larger disk"
        )
    if machine.free_memory < _MEMORY_GIB:
        found.append(
            f"{machine.free_memory:.1f} GiB of memory available, {_MEMORY_GIB} are needed: "
            "end something, or take a larger machine"
        )
    return found


def check(*, everything_cached: bool) -> None:
    """Raise TestbedError that lists every fault with its remedy, if there is any."""
    found = faults(look(), everything_cached=everything_cached)
    if found:
        raise TestbedError("this machine cannot run the testbed:\n" + "\n".join(f"  - {fault}" for fault in found))


def install_packages(programs: Mapping[str, str] = _PACKAGES) -> None:
    """Install the Debian packages of programs that are absent. Raises TestbedError when apt fails."""
    wanted = {package for program, package in programs.items() if not shutil.which(program)}
    wanted |= {package for header, package in _HEADERS.items() if not header.exists()}
    if not wanted:
        return
    log = cache.logs() / "packages.log"
    run(["apt-get", "update", "-q"], log=log, timeout=300)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *sorted(wanted)]
    run(command, log=log, timeout=900, env={"DEBIAN_FRONTEND": "noninteractive"})
