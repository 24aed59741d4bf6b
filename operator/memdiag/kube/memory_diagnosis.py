"""MemoryDiagnosis: why the containers of one workload are killed, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from memdiag.kube.alert import Alert
from memdiag.kube.fields import (
    ApiVersion,
    Cell,
    ContainerName,
    Count,
    Decimal,
    Kind,
    ObjectName,
    Quantity,
    Sentence,
    Shape,
    Time,
)
from memdiag.model.kill import KillKind
from memdiag.model.verdict import Action, Cause, Mechanism

MOST_RECENT = 10
MOST_COUNTED = 256
MOST_FORGOTTEN = 256
MOST_EVIDENCE = 32
MOST_MISSING = 24
MOST_CLAMPS = 8
MOST_STEPS = 8
MOST_WARNINGS = 8
LONGEST_PATCH = 2048

Digest = Annotated[str, Field(max_length=10)]
Percent = Annotated[int, Field(ge=0, le=100)]


class TargetReference(Shape):
    """The workload: a top-level controller, or a bare pod."""

    api_version: ApiVersion
    kind: Kind
    name: ObjectName


class MemoryDiagnosisSpec(Shape):
    """What the user wants."""

    target_ref: TargetReference
    container: ContainerName
    muted_until: Time | None = None
    """No alert is sent before this time."""
    headroom_percent: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Memory that a recommended limit leaves above the highest demand, in percent; the default follows the verdict."""


class Evidence(Shape):
    """One measured statement for (weight above 0) or against (below 0) a cause. Numbers are text."""

    name: Annotated[str, Field(max_length=63)]
    for_: Cause = Field(alias="for")
    value: Cell | None = None
    threshold: Cell | None = None
    weight: Decimal
    statement: Sentence


class Range(Shape):
    """Limits that the evidence allows."""

    low: Quantity
    high: Quantity


class StopGap(Shape):
    """A temporary limit for a leak, and the uptime that it buys."""

    limit: Quantity
    uptime_seconds: Count


class Recommendation(Shape):
    """What the memory limit and request should be."""

    action: Action
    limit: Quantity | None = None
    request: Quantity | None = None
    range: Range | None = None
    basis: Sentence
    stop_gap: StopGap | None = None
    clamps: Annotated[tuple[Sentence, ...], Field(max_length=MOST_CLAMPS)] = ()
    """What held the recommendation down or up: LimitRange, quota, size of the node."""
    warnings: Annotated[tuple[Sentence, ...], Field(max_length=MOST_WARNINGS)] = ()
    """What would undo the recommendation, or what it does not cover: another owner of the limit, an autoscaler."""
    patch: Annotated[str, Field(max_length=LONGEST_PATCH)] | None = None
    """A strategic merge patch of the workload that applies it."""


class RecentKill(Shape):
    """One of the last kills."""

    time: Time
    pod: ObjectName
    kind: KillKind
    incident: ObjectName
    count: Count | None = None
    """How many kills a Summary stands for; its time is that of the newest."""


class Kills(Shape):
    """The kills of this workload's container; a group kill is one."""

    total: Count = 0
    last_time: Time | None = None
    recent: Annotated[tuple[RecentKill, ...], Field(max_length=MOST_RECENT)] = ()
    """Newest first."""
    counted: Annotated[
        tuple[ObjectName, ...], Field(max_length=MOST_COUNTED, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """Incidents that still exist and are part of the total: how each kill is counted exactly once. A Summary counts as
    many kills as it stands for."""
    forgotten: Annotated[tuple[Digest, ...], Field(max_length=MOST_FORGOTTEN)] = ()
    """Ends of the names of counted incidents that are gone: a report that comes again is not counted again."""
    before_install: Count = 0
    """Kills of the total that are older than memdiag's installation."""


class Forecast(Shape):
    """When a living container's demand reaches its limit."""

    time: Time
    """When it was made."""
    pod: ObjectName
    reaches_limit_time: Time
    earliest_time: Time | None = None
    latest_time: Time | None = None
    """Bounds of the 95 % range; without a latest time it is perhaps never."""


class Suspicion(Shape):
    """What the shape of a living container's memory suggests, before any kill."""

    cause: Cause
    mechanism: Mechanism | None = None
    confidence_percent: Percent


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Shape):
    """One condition, as Kubernetes' own kinds have it."""

    type: Annotated[str, Field(max_length=63)]
    status: ConditionStatus
    reason: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    message: Annotated[str, Field(max_length=1024)] = ""
    last_transition_time: Time
    observed_generation: Count | None = None


class MemoryDiagnosisStatus(Shape):
    """The verdict."""

    observed_generation: Count | None = None
    cause: Cause | None = None
    mechanism: Mechanism | None = None
    confidence_percent: Percent | None = None
    summary: Annotated[str, Field(max_length=1024)] | None = None
    """The verdict in one sentence."""
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=MOST_EVIDENCE)] = ()
    missing: Annotated[tuple[Sentence, ...], Field(max_length=MOST_MISSING)] = ()
    """What would have made the verdict surer."""
    next_steps: Annotated[tuple[Sentence, ...], Field(max_length=MOST_STEPS)] = ()
    """What to do next about this mechanism in this runtime."""
    would_settle: Annotated[tuple[Sentence, ...], Field(max_length=MOST_STEPS)] = ()
    """What to watch or to try so that the verdict becomes surer."""
    limit: Quantity | None = None
    """The memory limit in force."""
    request: Quantity | None = None
    recommended: Cell | None = None
    """The recommendation in one word or quantity."""
    recommendation: Recommendation | None = None
    forecast: Forecast | None = None
    """Set when an agent saw that the limit will be reached within the hour; a kill or a new forecast replaces it."""
    suspicion: Suspicion | None = None
    kills: Kills | None = None
    alert: Alert | None = None
    """What people were told of this diagnosis, and where."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        ),
    ] = ()


class MemoryDiagnosis(Shape):
    """Why a container of a workload is OOM-killed, and what its memory limit should be."""

    spec: MemoryDiagnosisSpec
    status: MemoryDiagnosisStatus | None = None


_ACCOUNTS = frozenset({"kills", "alert"})


def status_of(item: Mapping[str, Any]) -> MemoryDiagnosisStatus:
    """Return the status of a MemoryDiagnosis object.

    What another version of memdiag wrote in words of its own, such as a mechanism, is left out: the next verdict says
    it anew. Raises ValueError when the account of kills, or of what people were told, cannot be read.
    """
    stored = item.get("status") or {}
    try:
        return MemoryDiagnosisStatus.model_validate(stored)
    except ValidationError as error:
        unknown = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        if unknown & _ACCOUNTS:
            raise
        return MemoryDiagnosisStatus.model_validate({key: each for key, each in stored.items() if key not in unknown})
