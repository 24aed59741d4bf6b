"""Which kill it was: whether the kernel killed at all, and whose limit was hit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from memdiag.model.kill import LimitHit
from memdiag.model.trace import OOM_KILLED, Level, Run, Trace, ended_by_kill

SIGKILLED = 137
EVICTED = "Evicted"
UPSTREAM = (LimitHit.NODE, LimitHit.ANCESTOR)
"""Limits that are no container's own."""
NEAR_LIMIT = 0.9
"""Share of the limit at which a kill without any other witness is taken for the container's own limit, and below which
a container was not what filled its pod's."""

_REPORT = "the kernel's report"
_CONSTRAINT = re.compile(r"constraint=CONSTRAINT_(\w+)")
_OOM_CGROUP = re.compile(r"oom_memcg=([^,\s]+)")
_TASK_CGROUP = re.compile(r"task_memcg=([^,\s]+)")
_POD = re.compile(r"(^|[/-])pod[0-9a-f]{8}[^/]*$")


@dataclass(frozen=True, slots=True)
class Kill:
    """The kill that a verdict is about. `kernel` None is "nobody saw"; `words` say where the knowledge is from."""

    run: int
    t: float
    kernel: bool | None
    limit_hit: LimitHit
    words: str
    exit_code: int | None = None
    certain: bool = True
    evicted: bool = False
    """The kubelet's word: it ended the pod itself because the node ran short of memory."""
    ended: bool = True
    """The run ended with it; False when the run outlived it."""


def _log(run: Run) -> Iterable[str]:
    for kill in run.kills:
        yield from kill.kernel_log
    if run.end is not None:
        yield from run.end.kernel_log


def _cut_too_early(where: str, victim: str) -> bool:
    """Return whether a victim's path that ends with its line may have lost what tells whose limit it was."""
    return where.startswith(victim) or "/" not in victim.removeprefix(where + "/")


def limit_hit_in_log(lines: Iterable[str]) -> LimitHit | None:
    """Return whose limit the newest `oom-kill:` line names; a container's cgroup is the child of its pod's."""
    found: LimitHit | None = None
    for line in lines:
        constraint = _CONSTRAINT.search(line)
        cgroup, task = _OOM_CGROUP.search(line), _TASK_CGROUP.search(line)
        if cgroup and task:
            where, victim = cgroup[1].rstrip("/"), task[1].rstrip("/")
            if task.end() == len(line) and _cut_too_early(where, victim):
                continue
            if where == victim:
                found = LimitHit.CONTAINER
            else:
                pod = victim.rpartition("/")[0] == where or _POD.search(where)
                found = LimitHit.POD if pod else LimitHit.ANCESTOR
        elif constraint and constraint[1] != "MEMCG":
            found = LimitHit.NODE
    return found


def _ooms(level: Level | None) -> int | None:
    """Return how often a cgroup's own limit set off the OOM killer, None when not known."""
    return None if level is None else level.events_local.get("oom", level.events.get("oom"))


def _more(before: Level | None, after: Level | None) -> bool:
    first, last = _ooms(before), _ooms(after)
    return first is not None and last is not None and last > first


def _limit_hit_by_counters(run: Run, following: Run | None) -> LimitHit | None:
    """Return whose limit it was by memory.events: `oom` is counted where the limit was, `oom_kill` at the victim."""
    last = run.samples[-1] if run.samples else None
    levels = [level for level in (run.end.level if run.end else None, last.level if last else None) if level]
    if any(_ooms(level) for level in levels):
        return LimitHit.CONTAINER
    if last is None:
        return None
    after = [run.samples[-1], *(following.samples[:1] if following else ())][-1]
    if _more(run.samples[0].pod, after.pod):
        return LimitHit.POD
    if any(_more(run.samples[0].ancestors.get(path), level) for path, level in after.ancestors.items()):
        return LimitHit.ANCESTOR
    return None


def _nearness(run: Run, limit: int | None) -> LimitHit | None:
    """Return whose limit it must have been by how near each was, where nothing else tells."""
    samples = run.samples
    if run.end is None and run.kills:
        samples = tuple(sample for sample in samples if sample.t <= run.kills[-1].t)
    levels = [sample.level for sample in samples[-3:]] + ([run.end.level] if run.end else [])
    highest = max((value for level in levels for value in (level.current, level.peak) if value is not None), default=0)
    if limit is not None and highest >= NEAR_LIMIT * limit:
        return LimitHit.CONTAINER
    pod = samples[-1].pod if samples else None
    if pod and isinstance(pod.max, int) and pod.current is not None and pod.current >= NEAR_LIMIT * pod.max:
        return LimitHit.POD
    end = run.end.level if run.end else None
    if end is None or limit is None or end.peak is None:
        return None
    counted = end.events.get("oom_kill", 0) > 0 and end.events.get("oom") == 0
    return LimitHit.NODE if counted and end.peak < NEAR_LIMIT * limit else None


def _kernel_killed(run: Run) -> tuple[bool | None, str]:
    end = run.end
    if end is not None and end.killed is not None:
        return end.killed, "the kernel's counters" if end.killed else "the kernel's counters show no OOM kill"
    if any("Killed process" in line or "oom-kill:" in line for line in _log(run)):
        return True, "the kernel's log"
    levels = [sample.level for sample in run.samples[-1:]] + ([end.level] if end is not None else [])
    if any(level.events.get("oom_kill") for level in levels):
        return True, "memory.events"
    if end is not None and end.level.events.get("oom_kill") == 0:
        return False, "memory.events counts no OOM kill"
    if run.kills:
        return True, "the recorded kill"
    return None, "what the runtime said"


def _told(run: Run) -> LimitHit | None:
    """Return whose limit the run's last kill hit, where the recorder says so."""
    told = run.end.limit_hit if run.end is not None else None
    told = told or (run.kills[-1].limit_hit if run.kills else None)
    return None if told is LimitHit.UNKNOWN else told


def _of_run(trace: Trace, index: int, limit: int | None) -> Kill | None:
    run = trace.runs[index]
    following = trace.runs[index + 1] if index + 1 < len(trace.runs) else None
    end = run.end
    suspect = end is not None and (end.exit_code == SIGKILLED or end.reason in {OOM_KILLED, EVICTED})
    if end is not None and not suspect and not ended_by_kill(run) and run.kills:
        run, end = replace(run, end=None), None  # it outlived its last kill and ended otherwise
    elif end is not None and run.samples:
        run = replace(run, kills=tuple(kill for kill in run.kills if kill.t >= run.samples[-1].t))  # nor those before
    kernel, words = _kernel_killed(run)
    t = end.t if end is not None else run.kills[-1].t if run.kills else run.samples[-1].t if run.samples else 0.0
    ended = end is not None
    if not kernel and not suspect:
        return None
    exit_code = end.exit_code if end is not None else None
    if kernel is False:
        evicted = end is not None and end.reason == EVICTED
        return Kill(index, t, kernel, LimitHit.UNKNOWN, words, exit_code, evicted=evicted)
    told = _told(run)
    if told is not None:
        return Kill(index, t, True, told, _REPORT, exit_code, ended=ended)
    whose = limit_hit_in_log(_log(run)) or _limit_hit_by_counters(run, following)
    certain = whose is not None and kernel is True
    whose = whose or _nearness(run, limit)
    if whose is None and kernel is None and not (end is not None and end.reason == OOM_KILLED):
        return Kill(index, t, None, LimitHit.UNKNOWN, words, exit_code, certain=False)
    return Kill(index, t, kernel or True, whose or LimitHit.UNKNOWN, words, exit_code, certain, ended=ended)


def find_kill(trace: Trace, limit: int | None, limit_hit: LimitHit | None) -> Kill | None:
    """Return the newest kill of a trace, None when nothing was killed.

    `limit` is the container's limit in bytes; `limit_hit` is what the caller knows for certain of the newest kill.
    """
    for index in range(len(trace.runs) - 1, -1, -1):
        kill = _of_run(trace, index, limit)
        if kill is not None:
            if limit_hit is None or limit_hit is LimitHit.UNKNOWN or kill.kernel is False:
                return kill
            return replace(kill, kernel=True, limit_hit=limit_hit, words=_REPORT, certain=True)
    return None
