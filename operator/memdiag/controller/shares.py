"""Which containers filled the limit of a pod's cgroup, and in words: the kernel kills where it likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memdiag.controller.podbook import PastRun
from memdiag.controller.resolve import by_status
from memdiag.kube.memory_incident import Share
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import Pod
from memdiag.model.quantity import human_bytes

_REST = 10
"""Percent of the limit in no container's hands that are worth a word."""


def shares_of(report: MemoryReportSpec, victim: str, pod: Pod, past: Mapping[str, PastRun]) -> tuple[Share, ...]:
    """Return what the pod's containers held at the kill, the fullest first; `victim` names the killed one.

    Runs of one container are one share. IDs without a name (the pod's sandbox) are left out.
    """
    whole = report.kill.usage_bytes or report.kill.limit_bytes
    if not whole:
        return ()
    sizes: dict[str, int] = {}
    for share in report.kill.shares:
        found = by_status(share.container_id, pod, past)
        name = victim if share.container_id == report.container_id else None if found is None else found.name
        if name is not None:
            sizes[name] = sizes.get(name, 0) + share.bytes
    return tuple(
        Share(container=name, bytes=size, percent=min(round(100 * size / whole), 100))
        for name, size in sorted(sizes.items(), key=lambda pair: -pair[1])
    )


def in_words(shares: Sequence[Share], victim: str) -> str:
    """Return which container filled the limit and what it held, nothing when that is not known."""
    if not shares:
        return ""
    fullest = shares[0]
    said = f"Container {fullest.container} filled it: it held {human_bytes(fullest.bytes)}, {fullest.percent} %."
    killed = next((share for share in shares if share.container == victim), None)
    if killed is not None and killed is not fullest:
        said += f" The kernel killed in container {victim}, which held {human_bytes(killed.bytes)}."
    rest = 100 - sum(share.percent for share in shares)
    if rest >= _REST:
        said += f" {rest} % was in no container's hands: files in memory of an ended one, or new since the last look."
    return said
