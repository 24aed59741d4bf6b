"""What the kernel, the API and memdiag said of an end, in a few words each, and whether memdiag's are right. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbed.kill_kinds import Kind, Told

_SUMMARY = re.compile(r"oom-kill:constraint=CONSTRAINT_(\w+).*?(?:oom_memcg=([^,]*),|global_oom,)task_memcg=([^,]*),")
_VICTIM = re.compile(r"Killed process (\d+) \(")
_ID = re.compile(r"[0-9a-f]{64}")
_FATE = "ContainerKilled"


@dataclass(frozen=True)
class Seen:
    """What each witness said of one kind."""

    kind: Kind
    kernel: str
    api: str
    memdiag: str
    fault: str
    """Why that is not what was to be told; empty where it is."""


def _level(path: str | None, uid: str) -> str:
    if path is None:
        return "the node"
    spelled = (uid, uid.replace("-", "_"))
    if not any(f"pod{form}" in path for form in spelled):
        return "a cgroup above the pod"
    return "the container's cgroup" if _ID.search(path.rpartition("pod")[2]) else "the pod's cgroup"


def kernel_words(log: str, uid: str) -> str:
    """Return what the kernel's log says of kills in the pod of this UID."""
    found: list[str] = []
    victims: list[set[str]] = []
    mine = False
    for line in log.splitlines():
        summary = _SUMMARY.search(line)
        if summary is not None:
            mine = any(f"pod{form}" in summary[3] for form in (uid, uid.replace("-", "_")))
            if mine:
                found.append(f"{summary[1].lower()}, limit of {_level(summary[2], uid)}")
                victims.append(set())
        elif " invoked oom-killer" in line:
            mine = False
        elif mine and (victim := _VICTIM.search(line)):
            # a group's first victim is printed twice
            victims[-1].add(victim[1])
    if not found:
        return "nothing in its log"
    return "; ".join(f"{words}, {len(pids)} killed" for words, pids in zip(found, victims, strict=True))


def api_words(pod: dict[str, Any] | None, container: str) -> str:
    """Return how the API calls the container's end."""
    if pod is None:
        return "no such pod"
    status = pod.get("status") or {}
    keys = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    entries = [entry for key in keys for entry in status.get(key) or ()]
    entry: dict[str, Any] = next((entry for entry in entries if entry["name"] == container), {})
    for key in ("state", "lastState"):
        end = (entry.get(key) or {}).get("terminated")
        if end:
            return f"{end.get('reason')} {end.get('exitCode')}"
    return " ".join(entry.get("state") or ("no word",))


def memdiag_words(incidents: Sequence[dict[str, Any]]) -> str:
    """Return what the incidents say."""
    words = []
    for incident in incidents:
        spec = incident["spec"]
        kill = spec["kill"]
        victims = kill.get("victimCount") or len(kill.get("victims") or ())
        said = f"{kill['kind']}, {kill['limitHit']}'s limit, {victims} killed, {spec['container']}"
        role = spec.get("containerRole")
        words.append(said if role in (None, "Regular") else f"{said} ({role})")
    return "; ".join(words) or "no kill"


def fault(told: Told | None, incidents: Sequence[dict[str, Any]], container: str) -> str:
    """Return how the incidents differ from what was to be told, an empty text where they do not."""
    wanted = 0 if told is None else 1
    if len(incidents) != wanted:
        return f"{len(incidents)} incidents, not {wanted}"
    if told is None:
        return ""
    spec = incidents[0]["spec"]
    kill = spec["kill"]
    pairs: list[tuple[str, object, object]] = [
        ("kind", told.kind, kill["kind"]),
        ("limit hit", told.limit_hit, kill["limitHit"]),
        ("role", told.role, spec.get("containerRole")),
        ("container", container, spec["container"]),
        ("source", "Kernel", spec["source"]),
    ]
    if told.victims is not None:
        pairs.append(("victims", told.victims, kill.get("victimCount")))
    if told.cgroup is not None:
        named = kill.get("limitHitCgroup") or ""
        pairs.append(("cgroup", told.cgroup, "container" if _ID.search(named.rpartition("pod")[2]) else "pod"))
    return "; ".join(f"{name} is {is_}, not {should}" for name, should, is_ in pairs if should != is_)


def table(rows: Sequence[Seen]) -> str:
    """Return the matrix as text."""
    head = ("kind of end", "kernel", "API", "memdiag", "")
    lines = [head, *((row.kind.title, row.kernel, row.api, row.memdiag, row.fault or "ok") for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
