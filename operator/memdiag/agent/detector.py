"""Decides from counters and kernel log which kills happened: pure, it reads nothing.

Every `Killed process` line stands for one step of oom_kill, in the victim's cgroup and every one above it. So kills in
the log account for steps of the counters, and steps that no line accounts for are kills that the log has lost. One
kill is one report, however many processes its group had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from memdiag.agent.ledger import Key, key_of
from memdiag.kernel.oomlog import limit_hit
from memdiag.kernel.paths import contains, identities
from memdiag.model.identity import UNKNOWN_CONTAINER_ID
from memdiag.model.kill import LimitHit, OomReport

MOST_LOST_AT_ONCE = 50
MOST_SEEN = 50_000
"""Kills of the log that are remembered as told: more than any ring holds."""
_NOTHING = OomReport(time=None, constraint=None, oom_memcg=None, task_memcg=None, group_kill=False, victims=())


@dataclass(slots=True)
class Count:
    """The counters of one cgroup, as read last and as far as they are accounted for."""

    kills: int = 0
    told: int = 0
    groups: int | None = None
    groups_told: int = 0
    local_oom: int | None = None
    local_before: int | None = None

    def read(self, events: Mapping[str, int], local: Mapping[str, int]) -> None:
        """Take what memory.events and memory.events.local say now."""
        self.kills = events.get("oom_kill", self.kills)
        self.groups = events.get("oom_group_kill", self.groups)
        self.local_oom = local.get("oom", self.local_oom)

    @property
    def missing(self) -> int:
        """Steps of oom_kill that no kill accounts for yet."""
        return max(self.kills - self.told, 0)

    def limit_was_hit(self) -> bool | None:
        """Return whether this cgroup's own limit failed since the last kill that was told, None when not known."""
        if self.local_oom is None or self.local_before is None:
            return None
        return self.local_oom > self.local_before

    def settle(self) -> None:
        """Take the local counter as told."""
        self.local_before = self.local_oom


@dataclass(slots=True)
class LeafCount(Count):
    """A container's counters."""

    path: str = ""
    group: bool = False
    """memory.oom.group: a kill takes all processes of the cgroup."""
    gone: bool = False


@dataclass(slots=True)
class PodCount(Count):
    """A pod's counters and those of its containers, the dead ones too while a kill may be theirs."""

    path: str = ""
    leaves: dict[str, LeafCount] = field(default_factory=dict)

    def lost(self) -> int:
        """Return the steps of the pod's counter that stand in no container's either."""
        return max(self.missing - sum(leaf.missing for leaf in self.leaves.values()), 0)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill of one container: what the log says of it, nulls where it is silent."""

    pod_uid: str
    container_id: str
    report: OomReport
    limit_hit: LimitHit
    limit_hit_cgroup: str | None
    events: int
    """Steps of oom_kill that it accounts for."""
    leaf_told: int
    pod_told: int
    missing: tuple[str, ...] = ()
    kills: int = 1
    """How many kills it stands for: more than one where only a counter tells of many."""

    @property
    def key(self) -> Key | None:
        """Its key in the kernel log."""
        return key_of(self.report)


class Detector:
    """Counters of pods, containers and what stands above them, and the kills that were told."""

    def __init__(self, seen: Mapping[Key, int] | None = None) -> None:
        self.pods: dict[str, PodCount] = {}
        self.ancestors: dict[str, Count] = {}
        self._seen: dict[Key, int] = dict(seen or {})
        self._newest = max((time for time, _ in self._seen if time is not None), default=-math.inf)
        """The newest kill of the log that was told, seconds since boot."""
        self.accounted = 0
        """Steps of oom_kill in pods that kills account for, since this was made."""

    def rose(self) -> bool:
        """Return whether some counter holds a kill that is not told."""
        return any(pod.missing or any(leaf.missing for leaf in pod.leaves.values()) for pod in self.pods.values())

    def risen_pods(self) -> list[str]:
        """Return the pods whose counters hold a kill that is not told."""
        return [
            uid for uid, pod in self.pods.items() if pod.missing or any(leaf.missing for leaf in pod.leaves.values())
        ]

    def fresh(self, reports: Sequence[OomReport]) -> list[OomReport]:
        """Return the kills of the log that were not told, and those told that have more lines now."""
        found = []
        for report in reports:
            key = key_of(report)
            if key is not None and self._seen.get(key, -1) < (report.kill_events or 1):
                found.append(report)
        return found

    def told_before(self, report: OomReport) -> int:
        """Return how many steps of oom_kill were told of a kill of the log already."""
        key = key_of(report)
        return 0 if key is None else self._seen.get(key, 0)

    def whose(self, report: OomReport, owner: Callable[[int], str | None]) -> tuple[str, str] | None:
        """Return the pod and container of a kill in the log, None when it is no pod's or not known."""
        named = [
            (one.pod_uid, one.container_id)
            for one in identities(report.task_memcg or "")
            if one.container_id is not None
        ]
        for uid, container in named:
            if uid in self.pods and container is not None:
                return uid, container
        if named:
            uid, container = named[0]
            return uid, container or UNKNOWN_CONTAINER_ID
        if report.task_memcg is not None:
            return None
        for victim in report.victims:
            owned_by = None if victim.pid is None else owner(victim.pid)
            for uid, pod in self.pods.items() if owned_by is not None else ():
                if owned_by in pod.leaves:
                    return uid, owned_by
        return None

    def take(self, reports: Sequence[OomReport], owner: Callable[[int], str | None], *, final: bool) -> list[Kill]:
        """Return the kills that are new: those of the log and, when `final`, those that the log has lost.

        `owner` says which container a pid belongs to. Until `final`, a swallowed report that names no cgroup waits.
        """
        kills: list[Kill] = []
        loose: list[OomReport] = []
        newest = self._newest
        for report in self.fresh(reports):
            whose = self.whose(report, owner)
            if whose is None and report.task_memcg is None:
                # The log grows at its end: an older line is what the ring's turn left of a report that was told.
                if report.time is None or report.time > newest:
                    loose.append(report)
                else:
                    self._saw(report)
            elif (kill := self._from_log(report, whose)) is not None:
                kills.append(kill)
        if final:
            kills.extend(self._lost(loose))
            for report in loose:
                self._saw(report)
            self.settle()
        return kills

    def hush(
        self, reports: Sequence[OomReport], owner: Callable[[int], str | None], told: Callable[[str, float], bool]
    ) -> None:
        """Take kills of the log as told, and as accounted for, where `told` says so of their container and time."""
        for report in self.fresh(reports):
            whose = self.whose(report, owner)
            if whose is not None and report.time is not None and told(whose[1], report.time):
                self._saw(report)

    def settle(self) -> None:
        """Take every level's own counters as told: the next kill is measured against them."""
        for pod in self.pods.values():
            pod.settle()
            for leaf in pod.leaves.values():
                leaf.settle()
        for ancestor in self.ancestors.values():
            ancestor.settle()

    def _saw(self, report: OomReport) -> int:
        """Note a kill of the log as told; returns by how many lines it is longer than it was."""
        key = key_of(report)
        events = report.kill_events or max(len(report.victims), 1)
        if key is None:
            return events
        before = self._seen.get(key, 0)
        self._seen[key] = events
        self._newest = max(self._newest, report.time if report.time is not None else -math.inf)
        if len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return events - before

    def _from_log(self, report: OomReport, whose: tuple[str, str] | None) -> Kill | None:
        """Return the kill that a report tells of, None for one that was told already or is no pod's."""
        again = key_of(report) in self._seen
        more = self._saw(report)
        if whose is None:
            return None
        if again:
            self._account(*whose, more)
            return None
        return self._kill(*whose, report, more)

    def _account(self, pod_uid: str, container_id: str, events: int) -> tuple[int, int]:
        self.accounted += events
        pod = self.pods.get(pod_uid)
        if pod is None:
            return events, events
        pod.told += events
        leaf = pod.leaves.get(container_id)
        if leaf is None:
            return events, pod.told
        leaf.told += events
        return leaf.told, pod.told

    def _kill(
        self,
        pod_uid: str,
        container_id: str,
        report: OomReport,
        events: int,
        missing: tuple[str, ...] = (),
        *,
        kills: int = 1,
    ) -> Kill:
        pod = self.pods.get(pod_uid)
        leaf = None if pod is None else pod.leaves.get(container_id)
        hit, cgroup = self._limit(report, pod, leaf)
        leaf_told, pod_told = self._account(pod_uid, container_id, events)
        if report.group_kill and leaf is not None:
            leaf.groups_told += 1
        if report.constraint is None:
            missing = (*missing, "kernel log: the report of this kill was swallowed by the rate limit or overwritten")
        return Kill(pod_uid, container_id, report, hit, cgroup, events, leaf_told, pod_told, missing, kills)

    def _limit(self, report: OomReport, pod: PodCount | None, leaf: LeafCount | None) -> tuple[LimitHit, str | None]:
        """Return whose limit was hit and by which cgroup: from the log, else from the levels' own counters."""
        said = limit_hit(report)
        if said is not LimitHit.UNKNOWN:
            return said, report.oom_memcg
        for count, hit in ((leaf, LimitHit.CONTAINER), (pod, LimitHit.POD)):
            if count is not None and count.limit_was_hit():
                return hit, count.path
        above = [
            path
            for path, count in self.ancestors.items()
            if pod is not None and contains(path, pod.path) and count.limit_was_hit()
        ]
        return (LimitHit.ANCESTOR, max(above, key=len)) if above else (LimitHit.UNKNOWN, None)

    def _lost(self, loose: Sequence[OomReport]) -> list[Kill]:
        """Return the kills that only the counters tell of; swallowed reports are given to them where it is certain."""
        gaps: list[tuple[str, str, LeafCount | PodCount]] = []
        for uid, pod in self.pods.items():
            gaps.extend((uid, container, leaf) for container, leaf in pod.leaves.items() if leaf.missing)
            if pod.lost():
                gone = [container for container, leaf in pod.leaves.items() if leaf.gone]
                gaps.append((uid, gone[-1] if len(gone) == 1 else UNKNOWN_CONTAINER_ID, pod))
        kills: list[Kill] = []
        certain = len(gaps) == 1
        unused = list(loose) if certain else []
        for uid, container, count in gaps:
            steps = count.lost() if isinstance(count, PodCount) else count.missing
            missing: tuple[str, ...] = ()
            if not certain and loose:
                missing = (
                    f"victims: {len(loose)} kills in the kernel's log name no cgroup and fit several containers",
                )
            if container == UNKNOWN_CONTAINER_ID:
                missing = (*missing, "container: its cgroup was gone before it was seen, only the pod's counter rose")
            while unused and steps > 0:
                report = unused.pop(0)
                events = min(report.kill_events or 1, steps)
                steps -= events
                self._saw(report)
                kills.append(self._kill(uid, container, report, events, missing))
            kills.extend(self._by_counter(uid, container, count, steps, missing))
        return kills

    def _by_counter(
        self, uid: str, container: str, count: LeafCount | PodCount, steps: int, missing: tuple[str, ...]
    ) -> list[Kill]:
        """Return kills for so many steps of oom_kill of which the log says nothing."""
        if steps <= 0:
            return []
        missing = (*missing, "kernel log: it says nothing of this kill, which was counted only")
        pod = self.pods[uid]
        leaf = pod.leaves.get(container)
        grouped = leaf.group if leaf is not None else False
        groups, kills = 0, 1
        if isinstance(count, LeafCount) and count.groups is not None:
            groups = max(count.groups - count.groups_told, 0)
        if groups or grouped:
            whole = max(groups, 1)
            report = replace(_NOTHING, group_kill=True)
            sizes = [steps - (whole - 1), *[1] * (whole - 1)] if whole <= steps else [steps]
        elif steps > MOST_LOST_AT_ONCE:
            report, sizes, kills = _NOTHING, [steps], steps
        else:
            report, sizes = _NOTHING, [1] * steps
        return [self._kill(uid, container, report, size, missing, kills=kills) for size in sizes]
