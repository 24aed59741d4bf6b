"""MemoryIncident: one kill of one container, as the operator joined it from its witnesses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from memdiag.kube.fields import (
    UID,
    Ancestor,
    ApiVersion,
    Cell,
    CgroupPath,
    Comm,
    ContainerID,
    ContainerName,
    Count,
    Fold,
    HeapSettings,
    History,
    Integer,
    KernelLog,
    Kind,
    Level,
    NodeCounters,
    ObjectName,
    OtherPods,
    Processes,
    Quantity,
    Sentence,
    Shape,
    Tasks,
    Time,
    Victims,
)
from memdiag.model.kill import Constraint, KillKind, LimitHit
from memdiag.model.report import MOST_ANCESTORS, MOST_SHARES

LONGEST_IMAGE = 512
LONGEST_STATUS_REASON = 256
MOST_LATE = 4
MOST_MISSING = 24


class Role(StrEnum):
    """What a container is in its pod."""

    REGULAR = "Regular"
    INIT = "Init"
    SIDECAR = "Sidecar"
    EPHEMERAL = "Ephemeral"


class Source(StrEnum):
    """The first witness of an incident."""

    KERNEL = "Kernel"
    POD_STATUS = "PodStatus"


class PodReference(Shape):
    """The pod, which may be gone."""

    name: ObjectName
    uid: UID


class WorkloadReference(Shape):
    """The top-level owner that was found for a pod."""

    api_version: ApiVersion
    kind: Kind
    name: ObjectName


class Share(Shape):
    """What one container of the pod held of the pod's limit at the kill."""

    container: ContainerName
    bytes: Count
    percent: Annotated[int, Field(ge=0, le=100)]


class Kill(Shape):
    """The kill itself."""

    time: Time
    kind: KillKind
    fold: Fold | None = None
    """The kills that a Summary stands for; what else is told is of the newest of them."""
    container_died: bool | None = None
    """Whether the container ended with one of a Summary's kills."""
    limit_hit: LimitHit
    """Whose limit was hit in effect."""
    limit_hit_cgroup: CgroupPath | None = None
    """The cgroup whose limit the kernel named."""
    explanation: Sentence
    """How the limit in effect follows from the cgroup, in one sentence."""
    constraint: Constraint | None = None
    group_kill: bool = False
    victims: Victims = ()
    victim_count: Count | None = None
    victim: Cell | None = None
    """The first victim's task name and process ID, for people."""
    victim_rss: Cell | None = None
    """The first victim's resident memory, rounded, for people."""
    usage_bytes: Count | None = None
    limit_bytes: Count | None = None
    shares: Annotated[tuple[Share, ...], Field(max_length=MOST_SHARES)] = ()
    """Where the pod's limit was hit: which containers filled it, the fullest first."""
    tasks: Tasks = ()
    """Tasks of the victim's own pod at the kill."""
    other_pods: OtherPods | None = None
    kernel_log: KernelLog = ()
    invoked_by: Comm | None = None


class MemoryInForce(Shape):
    """The container's memory limit and request as they were in force; absent when there was none."""

    limit: Quantity | None = None
    request: Quantity | None = None


Missing = Annotated[tuple[Sentence, ...], Field(max_length=MOST_MISSING)]


class MemoryIncidentSpec(Shape):
    """What is known of the kill: a fact, never changed."""

    pod: PodReference
    container: ContainerName
    """The container's name; `unknown` when the pod's status never showed its ID."""
    container_role: Role | None = None
    container_id: ContainerID
    restart_count: Count | None = None
    """Restarts before this run."""
    workload: WorkloadReference | None = None
    image: Annotated[str, Field(max_length=LONGEST_IMAGE)] | None = None
    revision: Annotated[str, Field(max_length=63)] | None = None
    """The pod template's hash: the same for all pods of one revision."""
    node: ObjectName | None = None
    source: Source
    found_before_install: bool = False
    """The kill is older than memdiag's installation: it was found afterwards and never announced."""
    kill: Kill
    limits: MemoryInForce = Field(default_factory=MemoryInForce)
    heap_settings: HeapSettings | None = None
    """Heap settings of the container's runtime, by name, as numbers (bytes, percent or counts): from literal words of
    the pod's spec, which are not kept themselves."""
    memory: Level | None = None
    """The container's cgroup at the kill."""
    pod_memory: Level | None = None
    """The pod's cgroup at the kill."""
    ancestors: Annotated[tuple[Ancestor, ...], Field(max_length=MOST_ANCESTORS)] = ()
    node_memory: NodeCounters | None = None
    processes: Processes | None = None
    """The container's processes shortly before the kill, and how much each had grown."""
    history: History | None = None
    """Runs of this container only."""
    missing: Missing = ()
    """What was not known, and why."""


class PodStatus(Shape):
    """What the API says of the container's end."""

    reason: Annotated[str, Field(max_length=LONGEST_STATUS_REASON)] | None = None
    exit_code: Integer | None = None
    finished_time: Time | None = None


class LateEvidence(Shape):
    """What a second witness said after the incident had been written."""

    source: Source
    time: Time
    statement: Sentence
    limit_hit: LimitHit | None = None
    limit_hit_cgroup: CgroupPath | None = None
    constraint: Constraint | None = None
    memory: Level | None = None
    history: History | None = None


class MemoryIncidentStatus(Shape):
    """What came to be known later."""

    pod_status: PodStatus | None = None
    late_evidence: Annotated[tuple[LateEvidence, ...], Field(max_length=MOST_LATE)] = ()


class MemoryIncident(Shape):
    """One OOM kill of one container, with the evidence of the kernel and of the API."""

    spec: MemoryIncidentSpec
    status: MemoryIncidentStatus | None = None
