"""A report: what one agent saw of one kill, as the API object's `spec` (transport from agent to operator)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from memdiag.model.history import History
from memdiag.model.kill import LimitHit, OomReport
from memdiag.model.process import Process, Processes
from memdiag.model.trace import Level, Limit, Pressure, Victim

GROUP = "memdiag.dev"
VERSION = "v1alpha1"

LONGEST_COMM = 64
LONGEST_KEY = 24
LONGEST_LINE = 896
LONGEST_PATH = 512
LONGEST_REASON = 160
MOST_VICTIMS = 20
MOST_TASKS = 11
MOST_PROCESSES = 7
MOST_LOG_LINES = 10
MOST_STAT_KEYS = 64
MOST_ANCESTOR_STAT_KEYS = 28
MOST_EVENT_KEYS = 8
MOST_NODE_KEYS = 48
MOST_RUNS = 16
MOST_MISSING = 12
MOST_ANCESTORS = 3
MOST_SHARES = 6
LONGEST_COLUMN = 984
"""Bounds of the schema: their sum stays below 64 KiB for any report. Lengths are characters of printable ASCII."""


@dataclass(frozen=True, slots=True)
class OtherPods:
    """What a node-wide task table held beside the victim's own pod: a count and a total, never names."""

    tasks: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class FoldedKills:
    """Kills of one container that one report tells of. Times are Unix seconds."""

    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Report:
    """The facts of one kill. `kill` carries the kernel log's words, or nulls where only counters are known."""

    node: str
    boot_id: str
    pod_uid: str
    container_id: str
    ordinal: int
    time: float
    """Unix seconds of the kill."""
    kill: OomReport
    limit_hit: LimitHit
    limit_hit_cgroup: str | None = None
    cgroup_path: str | None = None
    container_died: bool | None = None
    """True when the container ended with this kill, False when it lives on, None when that was not seen."""
    found_late: bool = False
    """True when the kill is older than the agent's start."""
    fold: FoldedKills | None = None
    """Set when the report stands for many kills: `kill` is then the newest of them, with the victims of the others."""
    victim_count: int | None = None
    shares: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each container of the pod held at the kill, by container ID: where the pod's limit was hit."""
    container: Level | None = None
    pod: Level | None = None
    ancestors: Mapping[str, Level] = field(default_factory=dict)
    node_memory: Mapping[str, int] = field(default_factory=dict)
    other_pods: OtherPods | None = None
    processes: Processes | None = None
    history: History | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surrounding:
    """What a report says beside its fact: levels, processes, history, and what is missing."""

    cgroup_path: str | None
    container: Level | None
    pod: Level | None
    ancestors: Mapping[str, Level]
    node_memory: Mapping[str, int]
    processes: Processes | None
    history: History | None
    missing: tuple[str, ...]


def rfc3339(seconds: float) -> str:
    """Return Unix seconds as an RFC 3339 time with microseconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> float:
    """Return an RFC 3339 time as Unix seconds. Raises ValueError when it is none."""
    return datetime.fromisoformat(text).timestamp()


def known(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pairs whose value is known: None and empty collections are left out."""
    return {key: value for key, value in pairs.items() if value is not None and value not in ("", [], {})}


def printable(text: str, longest: int) -> str:
    r"""Return the text in printable ASCII, any other byte of its UTF-8 form as \xNN, cut to `longest` characters."""
    plain = "".join(
        chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogateescape")
    )
    return plain[:longest]


def _text(text: str | None, longest: int) -> str | None:
    return None if text is None else printable(text, longest)


def _counters(pairs: Mapping[str, int], most: int) -> dict[str, int]:
    return {key: value for key, value in list(pairs.items())[:most] if len(key) <= LONGEST_KEY}


def _limit(limit: Limit) -> str | None:
    return None if limit is None else str(limit)


def _pressure(pressure: Pressure | None) -> dict[str, Any] | None:
    if pressure is None:
        return None
    return known(
        {
            "avg10": None if pressure.avg10 is None else f"{pressure.avg10:.2f}",
            "totalMicroseconds": pressure.total,
        }
    )


def level_to_dict(level: Level | None, most_stat_keys: int = MOST_STAT_KEYS) -> dict[str, Any] | None:
    """Return a level as it stands in our objects, None for nothing known.

    Of memory.stat its first keys stay: the kernel prints the sizes before the counts of events.
    """
    if level is None:
        return None
    return (
        known(
            {
                "current": level.current,
                "peak": level.peak,
                "max": _limit(level.max),
                "swapCurrent": level.swap_current,
                "events": _counters(level.events, MOST_EVENT_KEYS),
                "eventsLocal": _counters(level.events_local, MOST_EVENT_KEYS),
                "stat": _counters(level.stat, most_stat_keys),
                "pressureSome": _pressure(level.pressure_some),
                "pressureFull": _pressure(level.pressure_full),
                "cpuUsageMicroseconds": level.cpu.get("usage_usec"),
                "pids": level.pids,
            }
        )
        or None
    )


def victim_to_dict(victim: Victim) -> dict[str, Any]:
    """Return a victim as it stands in our objects."""
    return known(
        {
            "pid": victim.pid,
            "comm": _text(victim.comm, LONGEST_COMM),
            "anonRSSBytes": victim.anon_rss,
            "fileRSSBytes": victim.file_rss,
            "shmemRSSBytes": victim.shmem_rss,
            "pgtablesBytes": victim.pgtables,
            "oomScoreAdj": victim.oom_score_adj,
        }
    )


def _kill_to_dict(report: Report) -> dict[str, Any]:
    kill = report.kill
    return known(
        {
            "time": rfc3339(report.time),
            "constraint": None if kill.constraint is None else kill.constraint.value,
            "limitHit": report.limit_hit.value,
            "limitHitCgroup": None
            if report.limit_hit_cgroup is None
            else printable(report.limit_hit_cgroup, LONGEST_PATH),
            "taskCgroup": _text(kill.task_memcg, LONGEST_PATH),
            "usageBytes": kill.usage_bytes,
            "limitBytes": kill.limit_bytes,
            "groupKill": kill.group_kill,
            "containerDied": report.container_died,
            "invokedBy": _text(kill.invoked_by, LONGEST_COMM),
            "victims": [victim_to_dict(victim) for victim in kill.victims[:MOST_VICTIMS]],
            "victimCount": report.victim_count,
            "tasks": [
                known(
                    {
                        "pid": task.pid,
                        "comm": printable(task.comm, LONGEST_COMM),
                        "rssBytes": task.rss,
                        "swapBytes": task.swap,
                        "pgtablesBytes": task.pgtables,
                        "oomScoreAdj": task.oom_score_adj,
                    }
                )
                for task in sorted(kill.tasks, key=lambda task: -(task.rss or 0))[:MOST_TASKS]
            ],
            "otherPods": None
            if report.other_pods is None
            else {"tasks": report.other_pods.tasks, "rssBytes": report.other_pods.rss_bytes},
            "shares": [
                {"containerID": container_id, "bytes": size}
                for container_id, size in sorted(report.shares.items(), key=lambda pair: -pair[1])[:MOST_SHARES]
            ],
            "kernelLog": [printable(line, LONGEST_LINE) for line in kill.lines[:MOST_LOG_LINES]],
        }
    )


def history_to_dict(history: History | None) -> dict[str, Any] | None:
    """Return a history as it stands in our objects."""
    if history is None or not history.runs:
        return None
    return {
        "runs": [
            known(
                {
                    "containerID": run.container_id,
                    "startedTime": None if run.started is None else rfc3339(run.started),
                    "endedTime": None if run.ended is None else rfc3339(run.ended),
                    "killed": run.killed,
                    "peak": run.peak,
                }
            )
            for run in history.runs
        ],
        "columns": dict(history.columns),
    }


def _process_to_dict(process: Process) -> dict[str, Any]:
    return known(
        {
            "pid": process.pid,
            "comm": printable(process.comm, LONGEST_COMM),
            "rssBytes": process.rss,
            "anonBytes": process.anon,
            "shmemBytes": process.shmem,
            "swapBytes": process.swap,
            "pssBytes": process.pss,
            "threads": process.threads,
            "minorFaults": process.minor_faults,
            "majorFaults": process.major_faults,
            "oomScore": process.oom_score,
            "oomScoreAdj": process.oom_score_adj,
            "grewBytes": process.grew,
            "overSeconds": None if process.over is None else round(process.over),
        }
    )


def processes_to_dict(processes: Processes | None) -> dict[str, Any] | None:
    """Return a container's processes as they stand in our objects, None for nothing known."""
    if processes is None:
        return None
    return {
        "time": rfc3339(processes.time),
        "count": processes.count,
        "largest": [_process_to_dict(process) for process in processes.largest[:MOST_PROCESSES]],
    }


def surrounding_to_dict(found: Surrounding) -> dict[str, Any]:
    """Return the fields of a report's `spec` that a kill and a trend share."""
    missing = (*found.missing, *(() if found.processes is None else found.processes.missing))
    return {
        "cgroupPath": _text(found.cgroup_path, LONGEST_PATH),
        "container": level_to_dict(found.container),
        "pod": level_to_dict(found.pod),
        "ancestors": [
            known({"path": printable(path, LONGEST_PATH), **(level_to_dict(level, MOST_ANCESTOR_STAT_KEYS) or {})})
            for path, level in list(found.ancestors.items())[:MOST_ANCESTORS]
        ],
        "nodeMemory": _counters(found.node_memory, MOST_NODE_KEYS),
        "processes": processes_to_dict(found.processes),
        "history": history_to_dict(found.history),
        "missing": [printable(text, LONGEST_REASON) for text in missing[:MOST_MISSING]],
    }


def to_spec(report: Report) -> dict[str, Any]:
    """Return the report as the `spec` of a MemoryReport object; what is not known is left out."""
    return known(
        {
            "node": report.node,
            "bootID": report.boot_id,
            "podUID": report.pod_uid,
            "containerID": report.container_id,
            "ordinal": report.ordinal,
            "foundLate": report.found_late,
            "kill": _kill_to_dict(report),
            "fold": None
            if report.fold is None
            else {
                "count": report.fold.count,
                "firstTime": rfc3339(report.fold.first),
                "lastTime": rfc3339(report.fold.last),
            },
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
    )


def to_api_object(spec: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """Return the whole MemoryReport object of a `spec`."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MemoryReport",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }


def to_object(report: Report, name: str, namespace: str) -> dict[str, Any]:
    """Return the whole MemoryReport object that the agent creates for a kill."""
    return to_api_object(to_spec(report), name, namespace)
