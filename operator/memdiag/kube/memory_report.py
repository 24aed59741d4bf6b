"""MemoryReport: what one agent saw of one kill, or of a trend towards one, on its way to the operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from memdiag.kube.fields import (
    LARGEST_INTEGER,
    PRINTABLE,
    UID,
    Ancestor,
    CgroupPath,
    Comm,
    ContainerID,
    Count,
    Fold,
    History,
    KernelLog,
    Level,
    NodeCounters,
    ObjectName,
    OtherPods,
    Processes,
    Shape,
    Tasks,
    Time,
    Victims,
)
from memdiag.model.kill import Constraint, LimitHit
from memdiag.model.report import LONGEST_REASON, MOST_ANCESTORS, MOST_MISSING, MOST_SHARES


class ReportedShare(Shape):
    """What one container held at the kill."""

    container_id: ContainerID
    bytes: Count


Reason = Annotated[str, Field(max_length=LONGEST_REASON, pattern=PRINTABLE)]


class ReportedKill(Shape):
    """The kill: the kernel log's words, absent where only counters are known."""

    time: Time
    constraint: Constraint | None = None
    """Why the kernel's OOM killer ran."""
    limit_hit: LimitHit
    """Whose limit was hit, by the cgroup that the kernel named."""
    limit_hit_cgroup: CgroupPath | None = None
    task_cgroup: CgroupPath | None = None
    """The victim's cgroup."""
    usage_bytes: Count | None = None
    limit_bytes: Count | None = None
    group_kill: bool = False
    """The kernel killed the whole cgroup (memory.oom.group)."""
    container_died: bool | None = None
    """The container ended with this kill; absent when that was not seen."""
    invoked_by: Comm | None = None
    """The task whose allocation failed."""
    victims: Victims = ()
    victim_count: Count | None = None
    tasks: Tasks = ()
    """The task table, tasks of the victim's own pod only."""
    other_pods: OtherPods | None = None
    shares: Annotated[tuple[ReportedShare, ...], Field(max_length=MOST_SHARES)] = ()
    """What each container of the pod held, the largest first, where the pod's limit was hit."""
    kernel_log: KernelLog = ()


Seconds = Annotated[int, Field(ge=0, le=2**31)]


class ReportedTrend(Shape):
    """Demand of a living container that will reach the limit within the hour."""

    time: Time
    demand_bytes: Count
    """Memory that the kernel cannot simply drop."""
    limit_bytes: Count
    bytes_per_hour: Annotated[int, Field(ge=0, le=LARGEST_INTEGER, json_schema_extra={"format": "int64"})]
    """Pace at which the floor of demand rises."""
    seconds_to_limit: Seconds
    low_seconds: Seconds | None = None
    high_seconds: Seconds | None = None
    window_seconds: Seconds
    """How much time was looked at."""


class ReportSpec(Shape):
    """Facts of one kill or one trend, keyed by pod UID and container ID."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": "has(self.kill) != has(self.trend)", "message": "a report tells of a kill or of a trend"}
            ]
        }
    )

    node: ObjectName
    boot_id: UID
    pod_uid: UID
    container_id: ContainerID
    cgroup_path: CgroupPath | None = None
    ordinal: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """Number of this kill (or trend) among the container's kills (or trends), from 1."""
    found_late: bool = False
    """The kill is older than the agent's start."""
    kill: ReportedKill | None = None
    trend: ReportedTrend | None = None
    """Set when nothing was killed yet."""
    fold: Fold | None = None
    """Set when the report stands for many kills: `kill` is the newest, its victims are of the newest kills."""
    container: Level | None = None
    """The container's cgroup at the kill."""
    pod: Level | None = None
    """The pod's cgroup at the kill."""
    ancestors: Annotated[tuple[Ancestor, ...], Field(max_length=MOST_ANCESTORS)] = ()
    """Cgroups above the pod's, nearest first."""
    node_memory: NodeCounters | None = None
    """Keys of /proc/meminfo (bytes) and /proc/vmstat."""
    processes: Processes | None = None
    history: History | None = None
    """Runs of the pod's containers that the agent saw."""
    missing: Annotated[
        tuple[Annotated[str, Field(max_length=LONGEST_REASON, pattern=r"^[ -~]*$")], ...],
        Field(max_length=MOST_MISSING),
    ] = ()
    """What the agent could not see, and why."""


class MemoryReportSpec(ReportSpec):
    """The spec of a report that tells of a kill."""

    kill: ReportedKill


class TrendReportSpec(ReportSpec):
    """The spec of a report that tells of a trend."""

    trend: ReportedTrend


class MemoryReport(Shape):
    """What one node's agent saw of one OOM kill, or of a trend towards one. Transport: deleted once used."""

    spec: ReportSpec
