"""Shared pieces of our kinds: bounded field types, the base model, and the memory levels and tables they all carry."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from memdiag.model.history import COLUMNS
from memdiag.model.report import (
    LONGEST_COLUMN,
    LONGEST_COMM,
    LONGEST_KEY,
    LONGEST_LINE,
    LONGEST_PATH,
    MOST_ANCESTOR_STAT_KEYS,
    MOST_EVENT_KEYS,
    MOST_LOG_LINES,
    MOST_NODE_KEYS,
    MOST_PROCESSES,
    MOST_RUNS,
    MOST_STAT_KEYS,
    MOST_TASKS,
    MOST_VICTIMS,
)

LARGEST_INTEGER = 2**53 - 1
PRINTABLE = r"^[ -~]*$"
"""Printable ASCII: what comes from a kernel or a node is escaped before it is sent, and refused otherwise."""

_ACRONYMS = {"id": "ID", "uid": "UID", "rss": "RSS"}


def camel(name: str) -> str:
    """Return the API's name of a field: container_id is containerID, anon_rss_bytes is anonRSSBytes."""
    first, *rest = name.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Shape(BaseModel):
    """Base of every model: camelCase in the API, snake_case here, docstrings as descriptions, unknown keys ignored."""

    model_config = ConfigDict(
        alias_generator=camel, populate_by_name=True, use_attribute_docstrings=True, frozen=True, extra="ignore"
    )

    def to_api(self) -> dict[str, Any]:
        """Return the object as the API holds it: camelCase, without what is not known."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


def _short_keys(longest: int) -> dict[str, Any]:
    return {
        "x-kubernetes-validations": [
            {"rule": f"self.all(key, size(key) <= {longest})", "message": f"a key is at most {longest} characters long"}
        ]
    }


Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER, json_schema_extra={"format": "int64"})]
"""A whole number, never negative."""
Integer = Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER, json_schema_extra={"format": "int64"})]
Time = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
"""RFC 3339."""
Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$")]
"""A Kubernetes quantity of memory."""
Cell = Annotated[str, Field(max_length=64)]
"""Text for one printed column."""
ObjectName = Annotated[str, Field(max_length=253)]
ContainerName = Annotated[str, Field(max_length=63)]
UID = Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z-]*$")]
ContainerID = Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Za-z._-]*$")]
Kind = Annotated[str, Field(max_length=63)]
ApiVersion = Annotated[str, Field(max_length=127)]
Comm = Annotated[str, Field(max_length=LONGEST_COMM, pattern=PRINTABLE)]
Line = Annotated[str, Field(max_length=LONGEST_LINE, pattern=PRINTABLE)]
CgroupPath = Annotated[str, Field(max_length=LONGEST_PATH, pattern=PRINTABLE)]
Sentence = Annotated[str, Field(max_length=512)]
Decimal = Annotated[str, Field(max_length=32)]
"""A number as text: floats do not travel well."""
Counters = Annotated[dict[str, Integer], Field(max_length=MOST_STAT_KEYS, json_schema_extra=_short_keys(LONGEST_KEY))]
EventCounters = Annotated[
    dict[str, Count], Field(max_length=MOST_EVENT_KEYS, json_schema_extra=_short_keys(LONGEST_KEY))
]
NodeCounters = Annotated[
    dict[str, Integer], Field(max_length=MOST_NODE_KEYS, json_schema_extra=_short_keys(LONGEST_KEY))
]
Column = Annotated[str, Field(max_length=LONGEST_COLUMN, pattern=r"^[-0-9x ]*$")]
Columns = Annotated[dict[str, Column], Field(max_length=len(COLUMNS), json_schema_extra=_short_keys(LONGEST_KEY))]
MOST_HEAP_SETTINGS = 16
_LONGEST_SETTING = 48
HeapSettings = Annotated[
    dict[str, Decimal], Field(max_length=MOST_HEAP_SETTINGS, json_schema_extra=_short_keys(_LONGEST_SETTING))
]
"""Heap settings of a runtime by name, from a closed list."""
KernelLog = Annotated[tuple[Line, ...], Field(max_length=MOST_LOG_LINES)]


class Pressure(Shape):
    """One line of a PSI file."""

    avg10: Decimal | None = None
    """Share of the last 10 seconds stalled, percent."""
    total_microseconds: Count | None = None
    """Total time stalled."""


class Level(Shape):
    """What the memory files of one cgroup said at one instant, in bytes."""

    current: Count | None = None
    peak: Count | None = None
    max: Annotated[str, Field(max_length=20, pattern=r"^(max|[0-9]+)$")] | None = None
    swap_current: Count | None = None
    events: EventCounters | None = None
    events_local: EventCounters | None = None
    stat: Counters | None = None
    pressure_some: Pressure | None = None
    pressure_full: Pressure | None = None
    cpu_usage_microseconds: Count | None = None
    pids: Count | None = None


class Ancestor(Level):
    """What the memory files of a cgroup above the pod's said."""

    stat: (
        Annotated[
            dict[str, Integer],
            Field(max_length=MOST_ANCESTOR_STAT_KEYS, json_schema_extra=_short_keys(LONGEST_KEY)),
        ]
        | None
    ) = None
    """The sizes of memory.stat."""

    path: CgroupPath | None = None


class Victim(Shape):
    """One task that the kernel killed."""

    pid: Count | None = None
    comm: Comm | None = None
    """The task's name as the kernel keeps it; never its arguments."""
    anon_rss_bytes: Count | None = None
    file_rss_bytes: Count | None = None
    shmem_rss_bytes: Count | None = None
    pgtables_bytes: Count | None = None
    oom_score_adj: Annotated[int, Field(ge=-1000, le=1000)] | None = None


class Task(Shape):
    """One row of the kernel's task table at the kill."""

    pid: Count
    comm: Comm | None = None
    rss_bytes: Count | None = None
    swap_bytes: Count | None = None
    pgtables_bytes: Count | None = None
    oom_score_adj: Annotated[int, Field(ge=-1000, le=1000)] | None = None


class Process(Shape):
    """One process of the container as /proc showed it."""

    pid: Annotated[int, Field(ge=0, le=2**22)]
    comm: Comm | None = None
    """The task's name as the kernel keeps it; never its arguments."""
    rss_bytes: Count | None = None
    anon_bytes: Count | None = None
    shmem_bytes: Count | None = None
    swap_bytes: Count | None = None
    pss_bytes: Count | None = None
    """Its proportional share of what it maps, where the agent may see it."""
    threads: Annotated[int, Field(ge=0, le=2**22)] | None = None
    minor_faults: Count | None = None
    major_faults: Count | None = None
    oom_score: Annotated[int, Field(ge=0, le=2000)] | None = None
    """What the kernel would choose its victim by."""
    oom_score_adj: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    grew_bytes: Integer | None = None
    """By how much its resident memory changed since it was first seen."""
    over_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Since when that is."""


class Processes(Shape):
    """The largest processes of the container shortly before, the largest first."""

    time: Time
    count: Annotated[int, Field(ge=0, le=2**22)]
    """How many the container had."""
    largest: Annotated[tuple[Process, ...], Field(max_length=MOST_PROCESSES)] = ()


class OtherPods(Shape):
    """Tasks of other pods that a node-wide kill's table held: a count and a total, never names."""

    tasks: Count
    rss_bytes: Count


class Fold(Shape):
    """Kills of one container that are told together: all are counted, one is shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": "self.firstTime <= self.lastTime", "message": "the first kill is not after the last"}
            ]
        }
    )

    count: Annotated[int, Field(ge=1, le=LARGEST_INTEGER, json_schema_extra={"format": "int64"})]
    first_time: Time
    last_time: Time


Victims = Annotated[tuple[Victim, ...], Field(max_length=MOST_VICTIMS)]
Tasks = Annotated[tuple[Task, ...], Field(max_length=MOST_TASKS)]


class HistoryRun(Shape):
    """One run of the table: one life of a container."""

    container_id: ContainerID
    started_time: Time | None = None
    ended_time: Time | None = None
    killed: bool | None = None
    """True when the kernel's OOM killer ended it; absent when that is not known."""
    peak: Count | None = None
    """Highest memory.peak seen, bytes."""


class History(Shape):
    """Samples of the runs as a table: one string a column, values as differences, at falling resolution to the past."""

    runs: Annotated[tuple[HistoryRun, ...], Field(max_length=MOST_RUNS)]
    columns: Columns
