"""Identities: what makes two objects the same kill or the same workload's diagnosis. All names are DNS labels."""

from __future__ import annotations

import hashlib
import re

UNKNOWN_CONTAINER_ID = "unknown"
"""Stands for the container ID where a pod's counter rose and neither a cgroup nor the log says whose it was."""

_LONGEST_NAME = 63
_HASH_LENGTH = 10


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH_LENGTH]


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")


def _named(readable: str, digest: str) -> str:
    head = _label(readable)[: _LONGEST_NAME - _HASH_LENGTH - 1].strip("-")
    return f"{head}-{digest}" if head else digest


def report_name(boot_id: str, container_id: str, ordinal: int) -> str:
    """Return the name of the report of a container's kill number `ordinal` (from 1) since the node booted."""
    return f"kill-{_digest('report', boot_id, container_id, str(ordinal))}{_digest('report2', boot_id, container_id)}"


def trend_name(boot_id: str, container_id: str, ordinal: int) -> str:
    """Return the name of the report of a container's alarming trend number `ordinal` (from 1) since the node booted."""
    return f"trend-{_digest('trend', boot_id, container_id, str(ordinal))}{_digest('trend2', boot_id, container_id)}"


def incident_name(pod_name: str, container: str, pod_uid: str, container_id: str, ordinal: int | None) -> str:
    """Return an incident's name: `ordinal` None is the container's end, a number is a kill while it lives on."""
    which = "death" if ordinal is None else str(ordinal)
    return _named(f"{pod_name}-{container}", _digest("incident", pod_uid, container_id, which))


def incident_key(name: str) -> str:
    """Return the part of an incident's name that follows from the kill alone, whatever its container is called."""
    return name[-_HASH_LENGTH:]


def diagnosis_name(kind: str, workload: str, container: str) -> str:
    """Return the name of the diagnosis of a workload's container: `<kind>-<workload>-<container>`, hashed when long."""
    plain = f"{kind}-{workload}-{container}".lower()
    if len(plain) <= _LONGEST_NAME and _label(plain) == plain:
        return plain
    return _named(plain, _digest("diagnosis", kind, workload, container))


def second_diagnosis_name(kind: str, workload: str, container: str) -> str:
    """Return the diagnosis's name where another has the first one: `a` with `b-c` and `a-b` with `c` read alike."""
    plain = f"{kind}-{workload}-{container}".lower()
    return _named(plain, _digest("second diagnosis", kind, workload, container))
