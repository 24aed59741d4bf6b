"""Debian packages and file systems made of them, from the mirror that the machine's own apt uses."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import cache
from testbed.shell import TestbedError, capture, run

SUITE = "trixie"


_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Package:
    """One binary package, pinned; `suite` is None where the machine's own suites have it."""

    name: str
    version: str
    sha256: str
    suite: str | None = None


def _apt_of(suite: str, log: Path) -> list[str | Path]:
    """Return apt's options for one suite apart from the machine's own, its index fetched and its signature checked."""
    home = cache.root() / "apt" / suite
    for folder in ("lists/partial", "archives/partial"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "sources.list").write_text(f"deb [signed-by={_KEYS}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": home / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": home / "lists",
        "Dir::Cache": home,
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run(["apt-get", *options, "update", "-q"], log=log, timeout=300)
    return [*options]


def download(package: Package, folder: Path, log: Path) -> Path:
    """Fetch a package into `folder` and return its file: the pinned version, its digest checked.

    Where the mirror has that version no more, the suite's newest is taken, which apt checks against the signed index;
    the file's name says which it is. Raises TestbedError when there is none, or the pinned one is not what it was.
    """
    options = [] if package.suite is None else _apt_of(package.suite, log)
    # apt's own download user must be able to write here
    folder.chmod(0o777)
    command: list[str | Path] = ["apt-get", *options, "download", "-q"]
    try:
        run([*command, f"{package.name}={package.version}"], log=log, timeout=900, cwd=folder)
        pinned = True
    except TestbedError:
        run([*command, package.name], log=log, timeout=900, cwd=folder)
        pinned = False
    found = list(folder.glob(f"{package.name}_*.deb"))
    if not found:
        raise TestbedError(f"apt-get download {package.name} left no package; see {log}")
    with found[0].open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if pinned and digest != package.sha256:
        raise TestbedError(f"{found[0].name} has SHA-256 {digest}, pinned is {package.sha256}")
    return found[0]


def unpack(package: Path, folder: Path, log: Path) -> None:
    """Unpack a package's files into a folder, without installing it."""
    run(["dpkg-deb", "-x", package, folder], log=log, timeout=300)


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
    """Remove what no program reads: documentation, translations and package downloads. Copyright files stay."""
    for name in ("usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in (folder / "usr/share/doc").glob("*/**/*"):
        if path.name != "copyright" and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    for archive in (folder / "var/cache/apt").rglob("*.*"):
        if archive.is_file():
            archive.unlink()
    for log in (folder / "var/log").rglob("*"):
        if log.is_file():
            log.unlink()
