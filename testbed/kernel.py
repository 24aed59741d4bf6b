"""The node's kernel: Linux from Debian's source package, built for User-Mode Linux, a kernel as a process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from testbed import cache
from testbed.cache import HERE, Artifact
from testbed.shell import TestbedError, run

SERIES = "6.12"
_FRAGMENT = HERE / "node" / "kernel.config"


def _build(folder: Path) -> None:
    log = cache.logs() / "kernel.log"
    package = f"linux-source-{SERIES}"
    sources = folder / "sources"
    sources.mkdir()
    # apt's own download user must be able to write here
    sources.chmod(0o777)
    run(["apt-get", "download", "-q", package], log=log, timeout=600, cwd=sources)
    debs = list(sources.glob(f"{package}_*.deb"))
    if not debs:
        raise TestbedError(f"apt-get download {package} left no package; see {log}")
    run(["dpkg-deb", "-x", debs[0], sources / "package"], log=log, timeout=300)
    tarball = sources / "package" / "usr" / "src" / f"{package}.tar.xz"
    run(["tar", "-xJf", tarball, "-C", sources], log=log, timeout=600)
    tree = sources / package
    make = ["make", "-s", "ARCH=um", f"-j{os.cpu_count() or 1}"]
    run([*make, "x86_64_defconfig"], log=log, cwd=tree)
    run(["scripts/kconfig/merge_config.sh", "-m", ".config", _FRAGMENT], log=log, cwd=tree)
    run([*make, "olddefconfig"], log=log, cwd=tree)
    run([*make, "linux"], log=log, timeout=3000, cwd=tree)
    run(["strip", "-o", folder / "linux", tree / "linux"], log=log)
    (folder / "version").write_text(debs[0].name + "\n")
    shutil.rmtree(sources)


def artifact() -> Artifact:
    """Return the kernel as an artifact: a folder with the program `linux`."""
    return Artifact(f"kernel-{SERIES}", (SERIES, "recipe 1", _FRAGMENT), _build)


def program() -> Path:
    """Return the path of the kernel, building it if need be."""
    return artifact().ensure() / "linux"
