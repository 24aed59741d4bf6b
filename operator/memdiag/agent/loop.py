"""The agent's one loop: events, the second's turn, settling of kills, and the slow chores, on one thread."""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from memdiag.agent.clock import WallClock
from memdiag.agent.config import Config
from memdiag.agent.crosscheck import CrossCheck, topmost
from memdiag.agent.detector import Detector
from memdiag.agent.forecasting import Forecaster
from memdiag.agent.health import Signals
from memdiag.agent.ledger import Ledger
from memdiag.agent.log import log
from memdiag.agent.persist import Persistence
from memdiag.agent.pids import PidMap, read_file
from memdiag.agent.sampler import LIGHT_SECONDS, Sampler
from memdiag.agent.spool import Spool
from memdiag.agent.store import HistoryStore
from memdiag.agent.telling import Teller
from memdiag.agent.watch import Node
from memdiag.kernel import inotify, oomlog
from memdiag.kernel.klog import KMSG_REFUSED, SYSLOG_REFUSED, KernelLog, syslog_transport
from memdiag.kernel.kmsg import kmsg_transport
from memdiag.model.kill import OomReport

RESCAN_SECONDS = 10.0
PROCESSES_SECONDS = 5.0
SAVE_SECONDS = 10.0
SETTLE_SECONDS = 0.1
LONGEST_SETTLE_SECONDS = 0.6
EVENT_PAUSE_SECONDS = 0.02
_FATE_STEP = 0.05
_MORE_WATCHES = "raise fs.inotify.max_user_watches and fs.inotify.max_user_instances on the node"


def kernel_log(source: str) -> KernelLog:
    """Return the reader of the kernel's log by the name of its source."""
    if source == "kmsg":
        return KernelLog(kmsg_transport(), KMSG_REFUSED)
    if source == "none":
        return KernelLog(_switched_off, "kernel log: {}")
    return KernelLog(syslog_transport, SYSLOG_REFUSED)


def _switched_off() -> bytes:
    raise OSError(0, "switched off by --kernel-log=none")


class Agent:
    """Everything that the sampling thread does. Delivery and health run on threads of their own."""

    def __init__(self, config: Config, spool: Spool, wall: Callable[[], float] = time.time) -> None:
        """Open the state folder and the watches. Raises OSError when the folder cannot be written."""
        self._config = config
        self._wall = wall
        self._clock = WallClock(wall)
        self._spool = spool
        boot_id = read_file(f"{config.proc_root}/sys/kernel/random/boot_id").decode("ascii", "replace").strip()
        self._klog = kernel_log(config.kernel_log)
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._store = HistoryStore()
        self._persistence = Persistence(config.state_dir)
        self._persistence.load(self._store)
        self._ledger = Ledger(config.state_dir / "ledger", boot_id)
        self._detector = Detector(self._ledger.seen)
        self._watcher = inotify.Inotify()
        if self._watcher.missing is not None:
            log("no events: all is read once a second", reason=self._watcher.missing, remedy=_MORE_WATCHES)
        self._node = Node(config.cgroup_root, self._watcher, self._detector, self._store, self._ledger)
        self._pids = PidMap(config.proc_root)
        self._sampler = Sampler(self._node, self._pids, config.proc_root)
        self._teller = Teller(
            node_name=config.node,
            namespace=config.namespace,
            boot_id=boot_id,
            node=self._node,
            detector=self._detector,
            store=self._store,
            ledger=self._ledger,
            spool=spool,
            pids=self._pids,
            sampler=self._sampler,
            wall_of=self._wall_of,
        )
        self._forecaster = Forecaster(
            node_name=config.node,
            namespace=config.namespace,
            boot_id=boot_id,
            node=self._node,
            store=self._store,
            ledger=self._ledger,
            spool=spool,
            sampler=self._sampler,
        )
        self._node_kills: int | None = None
        self._rose_at: float | None = None
        self._settle_at: float | None = None
        self._quiet_at = 0.0
        """When no counter held a kill that was not told, Unix seconds."""
        self._log_missing: str | None = None
        self._last_sample: float | None = None
        self._check = CrossCheck()
        self._overflows = self._refused = 0
        self._containers_seen = 0
        self._processes_at = 0.0

    def _wall_of(self, since_boot: float) -> float:
        """Return the Unix seconds of a kernel log time stamp (it stands still while the node sleeps)."""
        return self._wall() - (time.clock_gettime(time.CLOCK_MONOTONIC) - since_boot)

    def signals(self) -> Signals:
        """Return what health is judged by."""
        waiting, size = self._spool.size()
        now = self._wall()
        ages = (self._spool.oldest_age(now), self._teller.oldest_age(now))
        return Signals(
            last_sample=None if self._last_sample is None else time.monotonic() - self._last_sample,
            oldest_report=max((age for age in ages if age is not None), default=None),
            last_delivery_turn=None,
            containers=sum(len(pod.containers) for pod in list(self._node.pods.values())),
            kernel_log=self._log_missing,
            spool_reports=waiting,
            spool_bytes=size,
            dead_letters=self._spool.dead_letters(),
            spool=replace(self._spool.counts),
            kills=self._teller.told,
            kills_late=self._teller.told_late,
            kills_missed=self._check.missed,
            kills_outside=self._check.outside,
            trends=self._forecaster.told,
            watches_refused=self._watcher.refused,
            overflows=self._overflows,
        )

    def _reports(self) -> list[OomReport]:
        found = self._klog.read()
        if found.missing != self._log_missing:
            self._log_missing = found.missing
            log("kernel log", state=found.missing or "readable")
        return oomlog.parse(found.records, self._page_size)

    def _notes(self) -> tuple[str, ...]:
        return () if self._log_missing is None else (self._log_missing,)

    def start(self) -> None:
        """Find what is there, and the kills that nobody told of."""
        self._quiet_at = now = self._wall()
        self._node.rescan(now)
        self._pids.refresh()
        self._node_kills = self._sampler.node_kills()
        reports = self._reports()
        self._detector.hush(
            reports,
            self._pids.owner,
            lambda container_id, since_boot: self._ledger.told_blind(container_id, self._wall_of(since_boot)),
        )
        late = self._detector.take(reports, self._pids.owner, final=True)
        for counts in self._detector.pods.values():
            counts.told = min(counts.told, counts.kills)
        self._node.first_scan = False
        self._teller.take(late, now, found_late=True, missing=self._notes())
        for run in list(self._store.all_runs()):
            pod = self._node.pods.get(run.pod_uid)
            if pod is None:
                self._store.pod_gone(run.pod_uid, now)
            if pod is None or run.container_id not in pod.containers:
                self._store.end(run, run.times()[-1] if run.rows else now)
        self._sampler.tick(now)
        self._last_sample = time.monotonic()
        self._node.read_ancestors()
        self._check.begin(self._sampler.node_kills(), self._counted_above(), self._detector.accounted)
        log("started", containers=self.signals().containers, lateKills=len(late), stateDir=str(self._config.state_dir))

    def _kills_rose(self) -> bool:
        if self._detector.rose():
            return True
        count = self._sampler.node_kills()
        return count is not None and self._node_kills is not None and count > self._node_kills

    def _look(self, now: float, *, node_wide: bool) -> None:
        """Begin to settle when a counter says that there was a kill."""
        if self._settle_at is not None:
            return
        if self._kills_rose() if node_wide else self._detector.rose():
            self._rose_at, self._settle_at = now, now + SETTLE_SECONDS
        elif node_wide:
            self._quiet_at = now

    def _settle(self, now: float) -> None:
        """Read counters and log; tell what is certain, and what is lost once waiting has no use any more."""
        for uid in self._detector.risen_pods():
            self._node.read_counters(uid, now)
        self._node.read_ancestors()
        count = self._sampler.node_kills()
        reports = self._reports()
        rose_at = self._rose_at if self._rose_at is not None else now
        final = now - rose_at >= LONGEST_SETTLE_SECONDS or self._log_missing is not None
        fresh = self._detector.fresh(reports)
        if not final and not self._all_told_by(fresh):
            self._settle_at = now + SETTLE_SECONDS
            return
        kills = self._detector.take(reports, self._pids.owner, final=True)
        self._node_kills = count
        self._rose_at = self._settle_at = None
        self._teller.take(kills, now, found_late=False, missing=self._notes(), since=self._quiet_at)

    def _all_told_by(self, fresh: list[OomReport]) -> bool:
        """Return whether the log's new lines account for every step of the counters, each with a cgroup."""
        steps: dict[str, int] = {}
        for report in fresh:
            whose = self._detector.whose(report, self._pids.owner)
            if whose is None and report.task_memcg is None:
                return False
            if whose is not None:
                told = self._detector.told_before(report)
                steps[whose[0]] = steps.get(whose[0], 0) + (report.kill_events or 1) - told
        risen = self._detector.risen_pods()
        return bool(fresh) and all(self._detector.pods[uid].missing <= steps.get(uid, 0) for uid in risen)

    def _timeout(self, now: float, next_tick: float) -> float:
        due = [next_tick]
        if self._settle_at is not None:
            due.append(self._settle_at)
        if self._teller.next_deadline is not None:
            due.append(min(self._teller.next_deadline, now + _FATE_STEP))
        return min(max(min(due) - now, 0.0), LIGHT_SECONDS)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped` says so, then save."""
        poller = select.epoll()
        if self._watcher.missing is None:
            poller.register(self._watcher.fileno(), select.EPOLLIN)
        next_tick = next_rescan = next_save = self._wall()
        try:
            while not stopped():
                now = self._wall()
                ready = poller.poll(self._timeout(now, next_tick))
                now, moved = self._clock.read()
                if moved:
                    self._clock_set(moved)
                if ready:
                    self._events(now)
                if self._settle_at is not None and now >= self._settle_at:
                    self._settle(now)
                self._teller.advance(now)
                if now >= next_tick or next_tick - now > 2 * LIGHT_SECONDS:
                    next_tick = now - now % LIGHT_SECONDS + LIGHT_SECONDS
                    self._tick(now)
                    if now >= next_rescan or next_rescan - now > 2 * RESCAN_SECONDS:
                        next_rescan = now + RESCAN_SECONDS
                        self._chores(now)
                    if now >= next_save or next_save - now > 2 * SAVE_SECONDS:
                        next_save = now + SAVE_SECONDS
                        self._save(now)
                if ready:
                    time.sleep(EVENT_PAUSE_SECONDS)
        finally:
            poller.close()
            self.close()

    def _clock_set(self, by: float) -> None:
        """Go on as if the clock had always been as it is now: nothing waits for a time that was taken back."""
        log("clock was set", seconds=round(by, 1))
        self._quiet_at += by
        self._rose_at = None if self._rose_at is None else self._rose_at + by
        self._settle_at = None if self._settle_at is None else self._settle_at + by
        self._teller.clock_set(by)
        self._node.clock_set(by)
        self._sampler.processes.clock_set(by)
        self._store.clock_set(by)
        self._persistence.clock_set()

    def _events(self, now: float) -> None:
        touched: set[str] = set()
        overflow = False
        for event in self._watcher.read():
            overflow = overflow or bool(event.mask & inotify.QUEUE_OVERFLOW)
            uid = self._node.on_event(event, now)
            if uid is not None:
                touched.add(uid)
        if overflow:
            self._overflows += 1
            log("inotify queue overflow")
            self._node.rescan(now)
            touched.update(self._node.pods)
        for uid in touched:
            self._sampler.events(uid, now)
        self._look(now, node_wide=False)

    def _tick(self, now: float) -> None:
        self._sampler.tick(now)
        self._last_sample = time.monotonic()
        new = self._node.discovered != self._containers_seen
        if new or abs(now - self._processes_at) >= PROCESSES_SECONDS:
            self._containers_seen, self._processes_at = self._node.discovered, now
            self._pids.refresh()
        self._teller.fold_up(now)
        self._forecaster.look(now)
        self._look(now, node_wide=True)

    def _counted_above(self) -> dict[str, int]:
        counted = self._detector.ancestors
        return {path: counted[path].kills for path in topmost(counted)}

    def _cross_check(self) -> None:
        """Say so if the kernel counts a kill that was not told; not while some are on their way."""
        if self._settle_at is not None or self._teller.pending or self._kills_rose():
            return
        found = self._check.look(self._sampler.node_kills(), self._counted_above(), self._detector.accounted)
        if found:
            log("kills missed", processes=found, counted=self._counted_above(), told=self._detector.accounted)
        if self._watcher.refused > self._refused:
            self._refused = self._watcher.refused
            log("inotify watches refused", refused=self._refused, remedy=_MORE_WATCHES)

    def _chores(self, now: float) -> None:
        self._cross_check()
        self._node.rescan(now)
        self._store.evict(now)
        kept = {container.container_id for container in self._node.containers()}.union(self._node.gone)
        for container_id in self._sampler.processes.known():
            if container_id not in kept:
                self._sampler.processes.forget(container_id)

    def _save(self, now: float) -> None:
        try:
            self._persistence.save(self._store, now)
        except OSError as error:
            log("history not saved", reason=str(error), folder=str(self._config.state_dir))

    def close(self) -> None:
        """Tell what is pending, save, and close every file."""
        self._teller.advance(math.inf, most_seconds=math.inf)
        self._save(self._wall())
        self._watcher.close()
        self._ledger.close()


def prepare_state(folder: Path) -> None:
    """Make the state folder, readable by its owner only. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
