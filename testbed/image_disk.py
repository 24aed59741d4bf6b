"""The node's second disk: containerd's own store with every image unpacked in it, made on the host.

Unpacking thousands of small files is what a User-Mode Linux is slowest at, so the same containerd does it here, in a
mount namespace of its own, and the node finds its images in place.
"""

from __future__ import annotations

import os
from pathlib import Path

from testbed import binaries, cache, images
from testbed.cache import HERE, Artifact
from testbed.shell import run

_SCRIPT = HERE / "node" / "image-disk.sh"
_SIZE = "4G"


def _build(folder: Path) -> None:
    memdiag = images.memdiag_artifact().ensure()
    archives = [images.pause_artifact().ensure() / "pause.tar", memdiag / "base.tar", memdiag / "memdiag.tar"]
    programs = binaries.artifact("containerd").ensure()
    work = folder / "work"
    work.mkdir()
    # the mounts are in a namespace of the script's own and end with it
    command: list[str | Path] = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        _SCRIPT,
        programs,
        work,
        folder / "images.img",
        _SIZE,
    ]
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    run([*command, *archives], log=cache.logs() / "image-disk.log", timeout=300, env=environment)
    work.rmdir()


def artifact() -> Artifact:
    """Return the disk as an artifact: a folder with images.img (sparse)."""
    parts = [images.memdiag_artifact(), images.pause_artifact(), binaries.artifact("containerd")]
    return Artifact("image-disk", (*(part.path.name for part in parts), _SCRIPT, _SIZE), _build)
