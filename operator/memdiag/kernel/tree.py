"""Walks a cgroup root and lists the pods and containers in it, wherever they are nested."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from memdiag.kernel.paths import container_id_of, identify

MOST_DIRECTORIES = 20_000
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class ContainerPath:
    """A container's cgroup: its path is below the cgroup root and begins with a slash."""

    pod_uid: str
    container_id: str
    path: str


@dataclass(frozen=True, slots=True)
class PodPath:
    """A pod's cgroup."""

    pod_uid: str
    path: str


@dataclass(slots=True)
class Tree:
    """What a walk found. `parents` are the directories above pods: where new pods appear."""

    pods: list[PodPath] = field(default_factory=list)
    containers: list[ContainerPath] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)


def _folders(path: str) -> list[str]:
    """Return the names of the cgroups directly below one; a cgroup's link count tells that it has none."""
    try:
        if os.stat(path).st_nlink == 2:  # noqa: PTH116 - a Path costs more than the call, on every node
            return []
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _limit(path: str) -> bytes:
    try:
        return Path(path, "memory.max").read_bytes().strip()
    except OSError:
        return b""


def limit_path(root: str, path: str) -> str:
    """Return which cgroup holds a container's memory.max: itself, or the sub-cgroup that crun puts processes in.

    Both paths are below the cgroup root.
    """
    here, below = root + path, f"{root}{path}/container"
    if _limit(here) == b"max" and _limit(below) not in (b"", b"max"):
        return f"{path}/container"
    return path


def containers_of(root: str, pod: PodPath) -> list[ContainerPath]:
    """Return the containers directly below a pod's cgroup."""
    return [
        ContainerPath(pod.pod_uid, container, f"{pod.path}/{name}")
        for name in _folders(root + pod.path)
        if (container := container_id_of(name)) is not None
    ]


def walk(root: str, start: str = "") -> Tree:
    """List the pods and containers below `start` of a cgroup root. What vanishes meanwhile is left out."""
    tree = Tree()
    waiting = [(start, 0)]
    visited = 0
    parents: set[str] = set()
    while waiting and visited < MOST_DIRECTORIES:
        path, depth = waiting.pop()
        visited += 1
        for name in _folders(root + path):
            below = f"{path}/{name}"
            identity = identify(below)
            if identity is None:
                if depth < _DEEPEST:
                    waiting.append((below, depth + 1))
                continue
            above = path
            while above not in parents:
                parents.add(above)
                above = above.rpartition("/")[0]
            if identity.container_id is None:
                pod = PodPath(identity.pod_uid, below)
                tree.pods.append(pod)
                tree.containers.extend(containers_of(root, pod))
            else:
                tree.containers.append(ContainerPath(identity.pod_uid, identity.container_id, below))
    tree.parents = sorted(parents)
    return tree
