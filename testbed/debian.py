"""File systems from Debian packages by debootstrap, from the mirror that the machine's own apt uses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from testbed import cache
from testbed.shell import TestbedError, capture, run

SUITE = "trixie"


def mirror() -> str:
    """Return the address of the machine's main Debian mirror, as its apt is set up."""
    text = capture(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(RELEASE)"])
    for line in text.splitlines():
        address, _, origin = line.partition(" ")
        if origin.startswith("Debian ") and not re.search(r"security|backports|updates", line):
            return address
    raise TestbedError("apt has no Debian suite: run apt-get update, or add Debian's main suite to its sources")


def bootstrap(folder: Path, packages: Sequence[str], log_name: str) -> None:
    """Make a minimal Debian file system with these packages in `folder`."""
    command: list[str | Path] = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        SUITE,
        folder,
        mirror(),
    ]
    run(command, log=cache.logs() / f"{log_name}.log", timeout=1500)


def trim(folder: Path) -> None:
    """Remove what no program reads: documentation, translations and package downloads."""
    for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True, exist_ok=True)
    for archive in (folder / "var/cache/apt").rglob("*.*"):
        if archive.is_file():
            archive.unlink()
    for log in (folder / "var/log").rglob("*"):
        if log.is_file():
            log.unlink()
