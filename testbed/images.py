"""Container images without a registry: a base from Debian packages, memdiag's own from its Dockerfile, and pause."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

from testbed import cache, debian
from testbed.cache import HERE, REPOSITORY, Artifact
from testbed.shell import TestbedError, capture, run

BASE = "docker.io/library/python:3.13-slim-trixie"
MEMDIAG = "localhost/memdiag"
PAUSE = "localhost/pause:1"

_BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
_IMAGE_INPUTS = ("Dockerfile", ".dockerignore", "pyproject.toml", "requirements", "operator", "README.md", "LICENSE")


def _buildah(*words: str | Path) -> list[str | Path]:
    driver = _storage_driver()
    store = cache.root() / f"buildah-{driver}"
    return ["buildah", "--storage-driver", driver, "--root", store / "root", "--runroot", store / "run", *words]


@functools.cache
def _storage_driver() -> str:
    """Return overlay where the cache's file system carries it, else vfs, which copies every layer."""
    store = cache.root() / "buildah-overlay"
    try:
        words: list[str | Path] = [
            "buildah",
            "--storage-driver",
            "overlay",
            "--root",
            store / "root",
            "--runroot",
            store / "run",
            "info",
        ]
        capture(words)
    except TestbedError:
        return "vfs"
    return "overlay"


def _build_base(folder: Path) -> None:
    log = cache.logs() / "base-image.log"
    tree = folder / "tree"
    debian.bootstrap(tree, _BASE_PACKAGES, "base-image")
    debian.trim(tree)
    run(["tar", "-C", tree, "-cf", folder / "rootfs.tar", "."], log=log)
    shutil.rmtree(tree)


def base_artifact() -> Artifact:
    """Return the file system of the base image: what python:3.13-slim-trixie is, from Debian packages."""
    return Artifact("base-image", (debian.SUITE, *_BASE_PACKAGES, "recipe 2"), _build_base)


def _commit_base() -> None:
    """Put the base image into the builder's store, unless it is there."""
    rootfs = base_artifact().ensure() / "rootfs.tar"
    wanted = cache.key([str(rootfs)])
    log = cache.logs() / "base-image.log"
    known = capture(_buildah("images", "--json"))
    if any(wanted in str(image.get("names", ())) for image in json.loads(known or "[]") or ()):
        return
    container = capture(_buildah("from", "scratch"), timeout=120).strip()
    run(_buildah("add", container, rootfs, "/"), log=log)
    made_by = f"debootstrap {debian.SUITE}: {' '.join(_BASE_PACKAGES)}"
    words = ("--cmd", "python3", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--created-by", made_by)
    run(_buildah("config", *words, container), log=log)
    run(_buildah("commit", "--rm", container, BASE), log=log)
    run(_buildah("tag", BASE, f"localhost/base:{wanted}"), log=log)


def secrets() -> list[str]:
    """Return build flags by which pip in the build trusts and asks whom the machine's own pip does."""
    candidates: dict[str, list[Path | str | None]] = {
        "ca-bundle": [os.environ.get("PIP_CERT"), "/etc/ssl/certs/ca-certificates.crt"],
        "pip-conf": [Path.home() / ".config/pip/pip.conf", "/etc/pip.conf"],
    }
    flags = []
    for name, places in candidates.items():
        found = next((place for place in places if place and Path(place).is_file()), None)
        if found:
            flags += ["--secret", f"id={name},src={found}"]
    return flags


def version() -> str:
    """Return memdiag's version as pyproject.toml has it."""
    found = re.search(r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    if not found:
        raise TestbedError("pyproject.toml has no version")
    return found[1]


def build_memdiag(archive: Path, tag: str, revision: str) -> None:
    """Build memdiag's image on the base of Debian packages into an OCI archive that calls it by this tag."""
    _commit_base()
    log = cache.logs() / "memdiag-image.log"
    command = _buildah("bud", "--isolation", "chroot", "--pull-never", "--layers", "--build-arg")
    command.append(f"PYTHON_IMAGE={BASE}")
    # as labels, since buildah's cache does not see that an argument inside a LABEL has changed
    for name, value in {"version": version(), "revision": revision}.items():
        command += ["--label", f"org.opencontainers.image.{name}={value}"]
    run([*command, *secrets(), "-t", f"{MEMDIAG}:{tag}", REPOSITORY], log=log, timeout=900)
    run(_buildah("push", f"{MEMDIAG}:{tag}", f"oci-archive:{archive}:{MEMDIAG}:{tag}"), log=log)


def _build_memdiag(folder: Path) -> None:
    build_memdiag(folder / "memdiag.tar", "testbed", "testbed")
    run(_buildah("push", BASE, f"oci-archive:{folder / 'base.tar'}:{BASE}"), log=cache.logs() / "memdiag-image.log")


def memdiag_artifact() -> Artifact:
    """Return memdiag's image and its base as archives that containerd imports; rebuilt when the code changes."""
    inputs = [REPOSITORY / name for name in _IMAGE_INPUTS if (REPOSITORY / name).exists()]
    return Artifact("memdiag-image", ("recipe 2", base_artifact().path.name, *_sources(inputs)), _build_memdiag)


def _sources(paths: list[Path]) -> tuple[Path, ...]:
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return tuple(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _layer(program: Path) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        info = tarfile.TarInfo(program.name)
        info.mode, info.size = 0o755, program.stat().st_size
        with program.open("rb") as source:
            tar.addfile(info, source)
    return layer.getvalue()


def _build_pause(folder: Path) -> None:
    """Build the sandbox image: one static program that waits, in the docker-archive form."""
    program = folder / "pause"
    run(["gcc", "-O2", "-static", "-o", program, HERE / "node" / "pause.c"], log=cache.logs() / "pause.log")
    layer = _layer(program)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(folder / "pause.tar", "w") as archive:
        for member, data in ((name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    program.unlink()


def pause_artifact() -> Artifact:
    """Return the sandbox image as an archive."""
    return Artifact("pause-image", ("recipe 1", HERE / "node" / "pause.c"), _build_pause)
