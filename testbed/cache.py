"""The cache: what is built from pinned sources, outside the repository, keyed by the pins and the recipe.

An artifact is a folder that appears whole or not at all: it is built beside its place and renamed into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent


def root() -> Path:
    """Return the cache folder: $MEMDIAG_CACHE, else memdiag in $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("MEMDIAG_CACHE")
    if chosen:
        return Path(chosen).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "memdiag"


def logs() -> Path:
    """Return the folder of build logs."""
    return root() / "log"


def key(parts: Iterable[str | Path]) -> str:
    """Return a digest of texts and of the contents of files and folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]
        for path in files:
            digest.update(path.relative_to(part.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Artifact:
    """One thing to build: `inputs` are what it depends on, `build(folder)` fills a new folder."""

    name: str
    inputs: tuple[str | Path, ...]
    build: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """Where the artifact is or will be."""
        return root() / f"{self.name}-{key(self.inputs)}"

    @property
    def cached(self) -> bool:
        """Whether it is there already."""
        return self.path.is_dir()

    def ensure(self) -> Path:
        """Return the artifact's folder, building it if it is absent; safe side by side and after a kill."""
        place = self.path
        if place.is_dir():
            return place
        root().mkdir(parents=True, exist_ok=True)
        with (root() / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if place.is_dir():
                return place
            for old in root().glob(f"{self.name}-*.partial"):
                shutil.rmtree(old)
            partial = place.with_name(place.name + ".partial")
            partial.mkdir()
            self.build(partial)
            partial.rename(place)
            for old in root().glob(f"{self.name}-????????????????"):
                if old != place:
                    shutil.rmtree(old, ignore_errors=True)
        return place
