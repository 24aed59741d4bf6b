"""A trend: demand of a living container that will reach its limit soon, and the report that tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memdiag.model.history import History
from memdiag.model.process import Processes
from memdiag.model.report import Surrounding, known, rfc3339, surrounding_to_dict, to_api_object
from memdiag.model.trace import Level


@dataclass(frozen=True, slots=True)
class Trend:
    """How the floor of demand rises towards the limit. Sizes are bytes, times seconds."""

    demand: int
    """The highest demand of the window's last part."""
    limit: int
    slope: float
    """Bytes a second: the median of the slopes between the parts' floors (Sen 1968)."""
    seconds_to_limit: float
    low: float
    high: float | None
    """Its range: by the ninth and the first tenth of those slopes; None where the first tenth does not rise."""
    window: float
    """How much time was looked at."""


@dataclass(frozen=True, slots=True)
class TrendReport:
    """What one agent saw of one alarming trend."""

    node: str
    boot_id: str
    pod_uid: str
    container_id: str
    ordinal: int
    """Number of this trend among the container's, from 1."""
    time: float
    trend: Trend
    cgroup_path: str | None = None
    container: Level | None = None
    pod: Level | None = None
    ancestors: Mapping[str, Level] = field(default_factory=dict)
    node_memory: Mapping[str, int] = field(default_factory=dict)
    processes: Processes | None = None
    history: History | None = None
    missing: tuple[str, ...] = ()


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else min(round(seconds), 2**31)


def trend_to_object(report: TrendReport, name: str, namespace: str) -> dict[str, Any]:
    """Return the MemoryReport object that the agent creates for a trend."""
    trend = report.trend
    spec = {
        "node": report.node,
        "bootID": report.boot_id,
        "podUID": report.pod_uid,
        "containerID": report.container_id,
        "ordinal": report.ordinal,
        "trend": known(
            {
                "time": rfc3339(report.time),
                "demandBytes": trend.demand,
                "limitBytes": trend.limit,
                "bytesPerHour": round(trend.slope * 3600),
                "secondsToLimit": _whole(trend.seconds_to_limit),
                "lowSeconds": _whole(trend.low),
                "highSeconds": _whole(trend.high),
                "windowSeconds": _whole(trend.window),
            }
        ),
        **surrounding_to_dict(
            Surrounding(
                report.cgroup_path,
                report.container,
                report.pod,
                report.ancestors,
                report.node_memory,
                report.processes,
                report.history,
                report.missing,
            )
        ),
    }
    return to_api_object(known(spec), name, namespace)
