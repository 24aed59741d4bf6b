"""Linux as a process: User-Mode Linux from Debian source packages, the node's series, an older and a newer one.

The node and the quick kernel run `SERIES`; the other series are there to record what their kernels print.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from testbed import cache, debian
from testbed.cache import HERE, Artifact
from testbed.debian import Package
from testbed.shell import TestbedError, run

SERIES = "6.12"
SOURCES = {
    "6.1": Package(
        "linux-source-6.1",
        "6.1.176-1",
        "9305d1a151b8e83dcb88aa11361e7b9513f0c252bdf7f5647e4542762d99c094",
        suite="bookworm",
    ),
    "6.12": Package(
        "linux-source-6.12",
        "6.12.117-1~deb12u1",
        "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703",
    ),
    "7.2": Package(
        "linux-source-7.2",
        "7.2.13-1",
        "30a8c5fc63f9028a62e6d7b3f7f43bee67425dbce2a05fceba83f9b87c92083d",
        suite="sid",
    ),
}
_RECIPE = "recipe 1"
"""Raised with a pin or a step: what is cached under another number is built anew."""
_FRAGMENT = HERE / "node" / "kernel.config"


def _build(series: str, folder: Path) -> None:
    log = cache.logs() / f"kernel-{series}.log"
    package = SOURCES[series]
    sources = folder / "sources"
    sources.mkdir()
    deb = debian.download(package, sources, log)
    debian.unpack(deb, sources / "package", log)
    tarball = sources / "package" / "usr" / "src" / f"{package.name}.tar.xz"
    run(["tar", "-xJf", tarball, "-C", sources], log=log, timeout=600)
    tree = sources / package.name
    make = ["make", "-s", "ARCH=um", f"-j{os.cpu_count() or 1}"]
    run([*make, "x86_64_defconfig"], log=log, cwd=tree)
    run(["scripts/kconfig/merge_config.sh", "-m", ".config", _FRAGMENT], log=log, cwd=tree)
    run([*make, "olddefconfig"], log=log, cwd=tree)
    run([*make, "linux"], log=log, timeout=3000, cwd=tree)
    run(["strip", "-o", folder / "linux", tree / "linux"], log=log)
    (folder / "version").write_text(deb.name + "\n")
    shutil.rmtree(sources)


def artifact(series: str = SERIES) -> Artifact:
    """Return a series' kernel as an artifact: a folder with the program `linux` and the file `version`."""
    if series not in SOURCES:
        raise TestbedError(f"no kernel {series} is pinned; there are: {', '.join(SOURCES)}")
    return Artifact(f"kernel-{series}", (series, _RECIPE, _FRAGMENT), lambda folder: _build(series, folder))


def program(series: str = SERIES) -> Path:
    """Return the path of a series' kernel, building it if need be."""
    return artifact(series).ensure() / "linux"
