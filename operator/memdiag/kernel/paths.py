"""Which pod and container a cgroup path belongs to, whatever the driver, the runtime and the nesting.

Only two things are looked for, never a fixed prefix: the pod's UID in a component (`pod<uuid>`, with dashes or, from
the systemd driver, underscores) and the container's 64 hexadecimal digits at the end of a component below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_PATH = 4096

_HEX = r"[0-9a-f]"
_POD = re.compile(
    rf"(?:^|[-/])pod({_HEX}{{8}}[-_]{_HEX}{{4}}[-_]{_HEX}{{4}}[-_]{_HEX}{{4}}[-_]{_HEX}{{12}}|{_HEX}{{32}})(?:\.slice)?"
)
_CONTAINER = re.compile(rf"(?:.*[-:])?({_HEX}{{64}})(?:\.scope)?")
_NOT_A_CONTAINER = re.compile(r"(?:.*-)?conmon-")


class PathLevel(StrEnum):
    """How high in the tree a cgroup stands, seen from a pod's container."""

    CONTAINER = "container"
    """The container's own cgroup or one below it."""
    POD = "pod"
    ANCESTOR = "ancestor"
    ROOT = "root"


@dataclass(frozen=True, slots=True)
class PathIdentity:
    """The pod (UID with dashes) and, below pod level, the container of a path; `path` ends where they are named."""

    pod_uid: str
    container_id: str | None
    path: str


def pod_uid_of(component: str) -> str | None:
    """Return the pod UID (with dashes) that one path component names, None when it names none.

    A static pod's UID is the hash of its configuration: 32 digits without dashes, kept as they stand.
    """
    for match in _POD.finditer(component):
        if match.end() == len(component) or component[match.end() :].startswith(":"):
            return match.group(1).replace("_", "-")
    return None


def container_id_of(component: str) -> str | None:
    """Return the container ID that one path component names, None when it names none (conmon's scope is none)."""
    if _NOT_A_CONTAINER.match(component):
        return None
    match = _CONTAINER.fullmatch(component)
    return match.group(1) if match else None


def identities(path: str) -> tuple[PathIdentity, ...]:
    """Return every pod and container that a path names, outermost first.

    More than one stands there only where a whole node runs inside a pod.
    """
    found: list[PathIdentity] = []
    components = path[:LONGEST_PATH].split("/")
    for index, component in enumerate(components):
        here = "/".join(components[: index + 1])
        uid = pod_uid_of(component)
        container = container_id_of(component)
        again = uid is not None and bool(found) and found[-1].pod_uid == uid
        if uid is not None and not again:
            found.append(PathIdentity(uid, container, here))
        elif container is not None and found and found[-1].container_id is None:
            found[-1] = PathIdentity(found[-1].pod_uid, container, here)
    return tuple(found)


def identify(path: str) -> PathIdentity | None:
    """Return the outermost pod and container of a path, None for a path outside every pod."""
    found = identities(path)
    return found[0] if found else None


def level_of(path: str) -> PathLevel:
    """Return how high a cgroup stands: at or below a container, a pod, above pods, or the root."""
    if path.strip("/") == "":
        return PathLevel.ROOT
    identity = identify(path)
    if identity is None:
        return PathLevel.ANCESTOR
    if identity.container_id is not None:
        return PathLevel.CONTAINER
    return PathLevel.POD


def contains(above: str, below: str) -> bool:
    """Return whether `below` is `above` or stands under it."""
    top = above.rstrip("/")
    return below == above or below.startswith(top + "/")
