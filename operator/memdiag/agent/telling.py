"""From kills to reports: freezes the scene at once, waits for the container's fate, then spools and notes the kill.

A kill that is folded (see `folding`) leaves no report of its own: it is noted in the ledger and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from memdiag.agent.detector import Detector, Kill
from memdiag.agent.evidence import Scene, freeze
from memdiag.agent.folding import Fold, FoldKey
from memdiag.agent.ledger import Entry, Ledger
from memdiag.agent.log import log
from memdiag.agent.pids import PidMap
from memdiag.agent.sampler import Sampler
from memdiag.agent.spool import Spool
from memdiag.agent.store import HistoryStore
from memdiag.agent.watch import Node, Pod
from memdiag.kernel.paths import contains
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.model.identity import UNKNOWN_CONTAINER_ID, report_name
from memdiag.model.kill import LimitHit, OomReport
from memdiag.model.report import FoldedKills, Report, to_object
from memdiag.model.trace import Level

FATE_SECONDS = 0.8
"""How long a container may take to empty after a kill before it counts as living on."""

RETRY_SECONDS = 1.0
TURN_SECONDS = 1.0
"""For how long kills are told at a stretch: on a slow disk the loop must come round to its readings in between."""
_NOTHING = OomReport(time=None, constraint=None, oom_memcg=None, task_memcg=None, group_kill=False, victims=())
_READ_LATER = "container, pod, ancestors, history: of the time when the kills were summed up, not of one kill"
_RESTARTED = "kernel log, limit's cgroup: the agent was restarted between these kills and their summary"


@dataclass(slots=True)
class _Pending:
    kill: Kill
    report: Report | None
    """None for a kill that is folded."""
    ordinal: int
    time: float
    fold: Fold | None
    deadline: float
    main_lived: bool
    """The container's first process was not among the victims."""


class Teller:
    """Kills on their way into the spool."""

    def __init__(
        self,
        *,
        node_name: str,
        namespace: str,
        boot_id: str,
        node: Node,
        detector: Detector,
        store: HistoryStore,
        ledger: Ledger,
        spool: Spool,
        pids: PidMap,
        sampler: Sampler,
        wall_of: Callable[[float], float],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node_name = node_name
        self._namespace = namespace
        self._boot_id = boot_id
        self._node = node
        self._detector = detector
        self._store = store
        self._ledger = ledger
        self._spool = spool
        self._pids = pids
        self._sampler = sampler
        self._wall_of = wall_of
        self._steady = steady
        self._pending: list[_Pending] = []
        self._retry_at = 0.0
        """When the spool is tried again after it took nothing, Unix seconds."""
        self.told = self.told_late = 0
        """Kills since the agent started, folded ones included, and those of them that are older."""
        self._newest: dict[FoldKey, Kill] = {}
        """The newest kill of each fold, as far as this life of the agent saw it."""

    @property
    def next_deadline(self) -> float | None:
        """When the next pending kill must be told, Unix seconds; None when none is pending."""
        if not self._pending:
            return None
        return max(min(pending.deadline for pending in self._pending), self._retry_at)

    @property
    def pending(self) -> bool:
        """Whether some kill waits for its container's fate."""
        return bool(self._pending)

    def oldest_age(self, now: float) -> float | None:
        """Return for how many seconds the longest pending kill is due, None when none is: its disk takes nothing."""
        return max((now - pending.deadline for pending in self._pending if now > pending.deadline), default=None)

    def take(
        self, kills: Sequence[Kill], now: float, *, found_late: bool, missing: tuple[str, ...] = (), since: float = 0.0
    ) -> None:
        """Freeze these kills. Those found late are told at once: their containers' fate is past.

        None is older than `since` (Unix seconds). The kernel's log has a clock of its own, which nothing disciplines:
        after months it is minutes away.
        """
        node_memory = self._sampler.node_memory() if kills else {}
        for kill in kills:
            self.told += kill.kills
            self.told_late += kill.kills if found_late else 0
            time = now if kill.report.time is None else min(max(self._wall_of(kill.report.time), since), now)
            ordinal = self._ledger.next_ordinal(kill.container_id)
            fold = self._ledger.folding.place(kill.pod_uid, kill.container_id, ordinal, time, kill.kills)
            report: Report | None = None
            if fold is None:
                scene = self._scene(kill, time, found_late=found_late)
                scene.node = {} if found_late else node_memory
                scene.missing = (*scene.missing, *missing)
                report = self._freeze(kill, scene, self._boot_id, ordinal, found_late=found_late)
            deadline = now if found_late else now + FATE_SECONDS
            self._pending.append(_Pending(kill, report, ordinal, time, fold, deadline, self._main_lived(kill)))
        self.advance(now)

    def _main_lived(self, kill: Kill) -> bool:
        """Return whether the container's first process seems not to be among the victims.

        Of one that was gone before its processes were seen the kernel's task table tells: the oldest task that is like
        the victim (the pod's sandbox is not). It may be another container's: then the API's word is waited for in vain.
        """
        victims = {victim.pid: victim.oom_score_adj for victim in kill.report.victims}
        main = self._pids.main(kill.container_id)
        if main is None:
            alike = [task.pid for task in kill.report.tasks if task.oom_score_adj in victims.values()]
            main = min(alike, default=None)
        return not kill.report.group_kill and main is not None and bool(victims) and main not in victims

    def _freeze(self, kill: Kill, scene: Scene, boot_id: str, ordinal: int, *, found_late: bool) -> Report:
        owners = {task.pid: owner for task in kill.report.tasks if (owner := self._pids.owner(task.pid)) is not None}
        history = self._store.pods.get(kill.pod_uid)
        return freeze(
            kill,
            scene,
            history,
            node=self._node_name,
            boot_id=boot_id,
            ordinal=ordinal,
            owner=owners,
            own=frozenset(() if history is None else history.runs),
            found_late=found_late,
            processes=None if found_late else self._sampler.processes.of(kill.container_id),
        )

    def _scene(self, kill: Kill, time: float, *, found_late: bool) -> Scene:
        pod = self._node.pods.get(kill.pod_uid)
        container = None if pod is None else pod.containers.get(kill.container_id)
        gone = self._node.gone.get(kill.container_id)
        scene = Scene(time, cgroup_path=kill.report.task_memcg)
        last: Level | None = None
        if container is not None:
            scene.cgroup_path, last = container.path, container.last
            counts = self._level(container.reader, light=True)
            if last is not None and counts is not None:
                last = replace(last, events=counts.events, events_local=counts.events_local)
        elif gone is not None:
            scene.cgroup_path, last = gone.path, gone.last
        if found_late:
            return scene
        scene.container = last
        if pod is not None:
            scene.usage = self._usage(kill, pod, last)
            scene.pod = self._level(pod.reader)
            scene.ancestors = {
                path: level
                for path, watched in self._node.ancestors.items()
                if contains(path, pod.path) and (level := self._level(watched.reader)) is not None
            }
        if scene.pod is not None:
            scene.missing = ("pod, ancestors, nodeMemory: read just after the kill",)
        return scene

    @staticmethod
    def _usage(kill: Kill, pod: Pod, last: Level | None) -> dict[str, int]:
        """Return what the pod's containers hold, where its limit was hit; of the victim what it held before."""
        if kill.limit_hit is not LimitHit.POD:
            return {}
        found = {}
        for container in pod.containers.values():
            try:
                size = container.reader.current()
            except CgroupGoneError:
                continue
            if size is not None and container.container_id != kill.container_id:
                found[container.container_id] = size
        if last is not None and last.current is not None:
            found[kill.container_id] = last.current
        return found

    @staticmethod
    def _level(reader: CgroupReader, *, light: bool = False) -> Level | None:
        try:
            return reader.light() if light else reader.full()
        except CgroupGoneError:
            return None

    def _died(self, kill: Kill) -> bool | None:
        """Return whether a kill's container is at its end, None while processes of it live."""
        if kill.container_id == UNKNOWN_CONTAINER_ID:
            return True
        pod = self._node.pods.get(kill.pod_uid)
        container = None if pod is None else pod.containers.get(kill.container_id)
        if container is None:
            return True
        try:
            return True if container.reader.populated() is False else None
        except CgroupGoneError:
            return True

    def clock_set(self, by: float) -> None:
        """Move what is planned by as many seconds as the clock was."""
        self._retry_at += by
        self._pending = [replace(pending, deadline=pending.deadline + by) for pending in self._pending]

    def advance(self, now: float, most_seconds: float = TURN_SECONDS) -> None:
        """Tell the pending kills whose container's fate is known or whose time is up, as many as there is time for.

        Of one pod they are told in their order: the ledger holds how far a pod's counter is accounted for, and an
        earlier kill that came after a later one would set that back.
        """
        if now < self._retry_at:
            return
        begun = self._steady()
        waiting: list[_Pending] = []
        entries: list[Entry] = []
        held: set[str] = set()
        full = False
        for pending in self._pending:
            uid = pending.kill.pod_uid
            if full or uid in held or self._steady() - begun > most_seconds:
                waiting.append(pending)
                held.add(uid)
                continue
            died = self._died(pending.kill)
            if died is None and now < pending.deadline:
                waiting.append(pending)
                held.add(uid)
                continue
            if died and pending.main_lived:
                # It may have ended by itself, having lost a process: the API knows how.
                died = None
            elif died is None:
                # Processes of a group kill may be slow to go; the only ones left would be those it must not touch.
                died = None if pending.kill.report.group_kill else False
            try:
                entries.append(self._tell(pending, died))
            except OSError as error:
                log("report not stored, trying again", pod=uid, reason=str(error))
                waiting.append(pending)
                full, self._retry_at = True, now + RETRY_SECONDS
        self._pending = waiting
        self._note(entries)

    def _note(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        try:
            self._ledger.write(*entries)
        except OSError as error:
            log("kills told but not noted: they are told again after a restart", reason=str(error))

    def _tell(self, pending: _Pending, died: bool | None) -> Entry:
        kill = pending.kill
        if died:
            run = self._store.find(kill.pod_uid, kill.container_id)
            if run is not None:
                run.killed = True
        fold = pending.fold
        if fold is not None:
            fold.pending -= 1
            self._newest[fold.key] = kill
        if pending.report is not None:
            self._spool_kill(replace(pending.report, container_died=died), kill)
        return Entry(
            pod_uid=kill.pod_uid,
            container_id=kill.container_id,
            ordinal=pending.ordinal,
            key=kill.key,
            events=kill.events,
            leaf_told=kill.leaf_told,
            pod_told=kill.pod_told,
            time=pending.time,
            fold=None if fold is None else fold.ordinal,
            kills=kill.kills,
            victims=len(kill.report.victims),
            victim=kill.report.victims[0] if kill.report.victims else None,
            died=died,
            limit_hit=kill.limit_hit.value,
        )

    def _spool_kill(self, report: Report, kill: Kill) -> None:
        name = report_name(self._boot_id, kill.container_id, report.ordinal)
        self._spool.put(to_object(report, name, self._namespace))
        log(
            "kill",
            report=name,
            pod=kill.pod_uid,
            container=kill.container_id,
            ordinal=report.ordinal,
            limitHit=kill.limit_hit.value,
            groupKill=kill.report.group_kill,
            victims=len(kill.report.victims),
            containerDied=report.container_died,
            foundLate=report.found_late,
            fromLog=bool(kill.report.lines),
        )

    def fold_up(self, now: float) -> None:
        """Tell the folds whose time is over, or whose container is."""
        for fold in list(self._ledger.folding.due(now, self._lives)):
            try:
                self._ledger.seal(fold)
                self._tell_fold(fold)
                self._ledger.told(fold)
            except OSError as error:
                log("folded kills not told, trying again", pod=fold.pod_uid, kills=fold.count, reason=str(error))
            else:
                self._newest.pop(fold.key, None)

    def _lives(self, pod_uid: str, container_id: str) -> bool:
        pod = self._node.pods.get(pod_uid)
        return pod is not None and (container_id == UNKNOWN_CONTAINER_ID or container_id in pod.containers)

    def _tell_fold(self, fold: Fold) -> None:
        newest = self._newest.get(fold.key)
        kill = Kill(
            fold.pod_uid,
            fold.container_id,
            replace(_NOTHING if newest is None else newest.report, victims=tuple(reversed(fold.victims))),
            LimitHit(fold.limit_hit or LimitHit.UNKNOWN) if newest is None else newest.limit_hit,
            None if newest is None else newest.limit_hit_cgroup,
            events=0,
            leaf_told=0,
            pod_told=0,
            missing=(_READ_LATER,) if newest is not None else (_READ_LATER, _RESTARTED),
        )
        late = fold.boot_id != self._boot_id
        scene = self._scene(kill, fold.last, found_late=late)
        report = replace(
            self._freeze(kill, scene, fold.boot_id, fold.ordinal, found_late=late),
            fold=FoldedKills(fold.count, fold.first, fold.last),
            victim_count=fold.victim_count or None,
            shares={},
            container_died=fold.died,
        )
        name = report_name(fold.boot_id, fold.container_id, fold.ordinal)
        self._spool.put(to_object(report, name, self._namespace))
        log(
            "kills folded", report=name, pod=fold.pod_uid, container=fold.container_id, kills=fold.count,
            containerDied=fold.died,
        )  # fmt: skip
