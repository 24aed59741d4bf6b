"""What the testbed needs of the machine, each lack with its remedy; Debian packages are installed when absent."""

from __future__ import annotations

import os
import platform
import shutil
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


def _meminfo_gib(name: str) -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 2**20
    return 0.0


def faults(*, everything_cached: bool) -> list[str]:
    """Return what the machine lacks, each with its remedy; an empty list is a machine that will do."""
    found = []
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        found.append(
            f"the testbed's kernel runs on Linux on x86-64 only, this is {platform.system()} on {platform.machine()}: "
            "use such a machine, or install the chart on a cluster that you have (see README)"
        )
    if os.geteuid() != 0:
        found.append("the testbed makes network namespaces and file systems: run it as root (sudo make demo)")
    if not shutil.which("apt-get"):
        found.append("the testbed takes its parts from Debian packages: run it on Debian 12 or newer")
    place = cache.root()
    while not place.exists():
        place = place.parent
    wanted = _CACHED_DISK_GIB if everything_cached else _DISK_GIB
    free = shutil.disk_usage(place).free / 2**30
    if free < wanted:
        found.append(
            f"{free:.0f} GiB free under {place}, {wanted} are needed: free some, or set MEMDIAG_CACHE to a larger disk"
        )
    memory = _meminfo_gib("MemAvailable")
    if memory < _MEMORY_GIB:
        found.append(f"{memory:.1f} GiB of memory available, {_MEMORY_GIB} are needed: end something or take more")
    return found


def check(*, everything_cached: bool) -> None:
    """Raise TestbedError that lists every fault with its remedy, if there is any."""
    found = faults(everything_cached=everything_cached)
    if found:
        raise TestbedError("this machine cannot run the testbed:\n" + "\n".join(f"  - {fault}" for fault in found))


def install_packages() -> None:
    """Install the Debian packages that are absent. Raises TestbedError when apt fails."""
    wanted = {package for program, package in _PACKAGES.items() if not shutil.which(program)}
    wanted |= {package for header, package in _HEADERS.items() if not header.exists()}
    if not wanted:
        return
    log = cache.logs() / "packages.log"
    run(["apt-get", "update", "-q"], log=log, timeout=300)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *sorted(wanted)]
    run(command, log=log, timeout=900, env={"DEBIAN_FRONTEND": "noninteractive"})
