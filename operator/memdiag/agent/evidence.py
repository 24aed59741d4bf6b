"""Freezes what is known at a kill into a `Report` that fits an API object."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from memdiag.agent.detector import Kill
from memdiag.agent.store import PodHistory, RunHistory, kept_rows
from memdiag.kernel.paths import PathLevel, level_of
from memdiag.model.history import History, HistoryRun, encode
from memdiag.model.kill import LimitHit, OomReport
from memdiag.model.process import Processes
from memdiag.model.report import LONGEST_COLUMN, MOST_RUNS, OtherPods, Report
from memdiag.model.trace import Level, Sample

MOST_HISTORY_CHARACTERS = 10_000
"""All columns of one report: with its other parts it stays under 24 KiB as a rule."""

_COARSEST = 8192.0
_OTHERS = 8.0
"""By how much coarser the other runs are shown than the victim's."""
_CPUSET = re.compile(r",cpuset=[^,]*,mems_allowed=")


@dataclass(slots=True)
class Scene:
    """What was read around a kill: levels as they stood, and when. `ancestors` go from the root towards the pod."""

    time: float
    """Unix seconds of the kill."""
    cgroup_path: str | None = None
    container: Level | None = None
    pod: Level | None = None
    ancestors: Mapping[str, Level] = field(default_factory=dict)
    node: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each container of the pod held, by container ID: the victim's as read last."""
    missing: tuple[str, ...] = ()


def at_the_kill(level: Level | None, report: OomReport) -> Level | None:
    """Return a level with what the kernel printed of it at the kill: usage, limit and memory.stat."""
    if not report.stat and report.usage_bytes is None:
        return level
    base = level or Level()
    return replace(
        base,
        current=base.current if report.usage_bytes is None else report.usage_bytes,
        max=base.max if report.limit_bytes is None else report.limit_bytes,
        stat={**base.stat, **report.stat},
    )


def _thinned(run: HistoryRun, samples: Sequence[Sample], finest: float) -> list[Sample]:
    if finest <= 0 or not samples:
        return list(samples)
    demands = [sample.demand if sample.demand is not None else sample.level.current for sample in samples]
    times = [sample.t for sample in samples]
    end = run.ended if run.ended is not None else times[-1]
    # A minute at the end stays whole as long as it fits: then it is thinned like the rest.
    return [samples[index] for index in kept_rows(times, demands, end + (60.0 if finest > 8 else 0.0), finest)]


def fit(runs: Sequence[tuple[HistoryRun, Sequence[Sample]]], most: int = MOST_HISTORY_CHARACTERS) -> History | None:
    """Return the table of these runs, thinned until every column and their sum fit; None when there is nothing.

    The last run is the victim's. Resolution falls first, then runs are dropped from the first on.
    """
    chosen = list(runs)
    while chosen:
        finest = 0.0
        while finest <= _COARSEST:
            victim = chosen[-1]
            table = [(run, _thinned(run, samples, finest * _OTHERS)) for run, samples in chosen[:-1]]
            table.append((victim[0], _thinned(victim[0], victim[1], finest)))
            finest = finest * 2 or 1.0
            if 2 * sum(len(samples) for _, samples in table) > LONGEST_COLUMN + 1:
                continue  # a row takes two characters of each column, at the least
            history = encode(table)
            sizes = [len(text) for text in history.columns.values()]
            if max(sizes, default=0) <= LONGEST_COLUMN and sum(sizes) <= most:
                return history
        if len(chosen) == 1:
            break
        chosen = chosen[1:]
    return None


def history_of(pod: PodHistory | None, victim: RunHistory | None, last: Sample | None = None) -> History | None:
    """Return the history of a pod's runs, the victim's last; `last` is a sample taken from the kernel's own report."""
    runs = [] if pod is None else [run for run in pod.runs.values() if run is not victim]
    runs.sort(key=lambda run: run.ended if run.ended is not None else float("inf"))
    table: list[tuple[HistoryRun, Sequence[Sample]]] = [
        (run.head(), run.samples(light_seconds=0.0)) for run in runs[-(MOST_RUNS - 1) :]
    ]
    if victim is not None:
        samples = victim.samples()
        if last is not None and (not samples or last.t > samples[-1].t):
            samples.append(last)
        table.append((victim.head(), samples))
    return fit(table)


def own_part(kill: Kill, owner: Mapping[int, str], own: frozenset[str]) -> tuple[OomReport, OtherPods | None]:
    """Return the kill without what belongs to other pods, and how much that was.

    A limit above the pod puts every pod's tasks into the kernel's table; who asked for memory may be any of them.
    `owner` says the container of a pid, `own` are the containers of the victim's pod.
    """
    report = kill.report
    if kill.limit_hit in (LimitHit.CONTAINER, LimitHit.POD) or not report.lines:
        return report, None
    victims = {victim.pid for victim in report.victims}
    mine = tuple(task for task in report.tasks if task.pid in victims or owner.get(task.pid) in own)
    kept = {task.pid for task in mine}
    others = [task for task in report.tasks if task.pid not in kept]
    lines = tuple(
        _CPUSET.sub(",cpuset=-,mems_allowed=", line) for line in report.lines if " invoked oom-killer" not in line
    )
    return (
        replace(report, tasks=mine, lines=lines, invoked_by=None),
        OtherPods(len(others), sum(task.rss or 0 for task in others)) if report.tasks else None,
    )


def shares_of(kill: Kill, usage: Mapping[str, int], owner: Mapping[int, str]) -> dict[str, int]:
    """Return the bytes that each container held when the pod's limit was hit, nothing for another kill.

    A reading may be a second old and a kill comes fast: what the kernel's task table shows of a container is the least
    that it held. `owner` says the container of a pid.
    """
    if kill.limit_hit is not LimitHit.POD:
        return {}
    seen: dict[str, int] = {}
    victims = {victim.pid for victim in kill.report.victims}
    for task in kill.report.tasks:
        container = kill.container_id if task.pid in victims else owner.get(task.pid)
        if container is not None:
            seen[container] = seen.get(container, 0) + (task.rss or 0)
    return {container: max(usage.get(container, 0), seen.get(container, 0)) for container in usage.keys() | seen.keys()}


def freeze(
    kill: Kill,
    scene: Scene,
    pod: PodHistory | None,
    *,
    node: str,
    boot_id: str,
    ordinal: int,
    owner: Mapping[int, str],
    own: frozenset[str],
    found_late: bool = False,
    processes: Processes | None = None,
) -> Report:
    """Return the report of a kill. `owner` and `own` are as for `own_part`."""
    report, other_pods = own_part(kill, owner, own)
    victim = None if pod is None else pod.runs.get(kill.container_id)
    container, pod_level, ancestors = scene.container, scene.pod, dict(scene.ancestors)
    level = level_of(report.oom_memcg) if report.oom_memcg is not None else None
    last: Sample | None = None
    if level is PathLevel.CONTAINER:
        container = at_the_kill(container, report)
        if container is not None and report.stat:
            last = Sample(t=scene.time, level=container)
    elif level is PathLevel.POD:
        pod_level = at_the_kill(pod_level, report)
    elif level is PathLevel.ANCESTOR and report.oom_memcg in ancestors:
        found = at_the_kill(ancestors[report.oom_memcg], report)
        ancestors[report.oom_memcg] = found or ancestors[report.oom_memcg]
    history = history_of(pod, victim, None if found_late else last)
    missing = [*kill.missing, *scene.missing]
    if victim is None or not victim.rows:
        missing.append("history: this container was not sampled before the kill")
    return Report(
        node=node,
        boot_id=boot_id,
        pod_uid=kill.pod_uid,
        container_id=kill.container_id,
        ordinal=ordinal,
        time=scene.time,
        kill=report,
        limit_hit=kill.limit_hit,
        limit_hit_cgroup=kill.limit_hit_cgroup,
        cgroup_path=scene.cgroup_path,
        found_late=found_late,
        victim_count=len(report.victims) or None,
        shares=shares_of(kill, scene.usage, owner),
        container=container,
        pod=pod_level,
        ancestors=dict(reversed(ancestors.items())),
        node_memory=scene.node,
        other_pods=other_pods,
        processes=processes,
        history=history,
        missing=tuple(missing),
    )
