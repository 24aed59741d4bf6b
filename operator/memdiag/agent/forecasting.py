"""Trends without a kill: looks at each living container once a minute and tells of one that nears its limit for good.

At most one report a container in six hours, held to by the ledger: the report is in the spool before the ledger says
so, and a report told twice has the same name.
"""

from __future__ import annotations

from collections.abc import Mapping

from memdiag.agent.evidence import history_of
from memdiag.agent.ledger import Ledger
from memdiag.agent.log import log
from memdiag.agent.sampler import Sampler
from memdiag.agent.spool import Spool
from memdiag.agent.store import HistoryStore
from memdiag.agent.trend import trend_to_limit
from memdiag.agent.watch import Container, Node
from memdiag.kernel.paths import contains
from memdiag.kernel.reader import CgroupGoneError, CgroupReader
from memdiag.model.identity import trend_name
from memdiag.model.trace import Level
from memdiag.model.trend import Trend, TrendReport, trend_to_object

LOOK_SECONDS = 60
"""Each container's turn comes once in so many seconds, spread by its ID."""
QUIET_SECONDS = 6 * 3600.0


def turn_of(container_id: str) -> int:
    """Return the second of the minute in which a container is looked at."""
    head = container_id[:8]
    return (int(head, 16) if all(letter in "0123456789abcdef" for letter in head) and head else 0) % LOOK_SECONDS


def _level(reader: CgroupReader) -> Level | None:
    try:
        return reader.full()
    except CgroupGoneError:
        return None


class Forecaster:
    """Finds trends and puts their reports into the spool."""

    def __init__(
        self,
        *,
        node_name: str,
        namespace: str,
        boot_id: str,
        node: Node,
        store: HistoryStore,
        ledger: Ledger,
        spool: Spool,
        sampler: Sampler,
    ) -> None:
        self._node_name = node_name
        self._namespace = namespace
        self._boot_id = boot_id
        self._node = node
        self._store = store
        self._ledger = ledger
        self._spool = spool
        self._sampler = sampler
        self.told = 0
        """Trends told in this life of the agent."""
        self._second: int | None = None

    def look(self, now: float) -> None:
        """Look at the containers whose turn has come since the last call."""
        second = int(now)
        passed = LOOK_SECONDS if self._second is None else second - self._second
        self._second = second
        if passed <= 0:
            return
        turns = {(second - back) % LOOK_SECONDS for back in range(min(passed, LOOK_SECONDS))}
        for container in list(self._node.containers()):
            if turn_of(container.container_id) in turns:
                self.look_at(container, now)

    def look_at(self, container: Container, now: float) -> None:
        """Tell of a container's trend if it has one and none was told of late."""
        limit = None if container.last is None else container.last.max
        if (
            not isinstance(limit, int)
            or limit <= 0
            or self._ledger.trend_age(container.container_id, now) < QUIET_SECONDS
        ):
            return
        run = container.run
        demands = [None if demand is None else demand * 1024 for demand in run.demands()]
        trend = trend_to_limit(run.times(), demands, limit, run.started)
        if trend is None:
            return
        try:
            self._tell(container, trend, now)
        except OSError as error:
            log("trend not stored, trying again in a minute", pod=container.pod_uid, reason=str(error))

    def _tell(self, container: Container, trend: Trend, now: float) -> None:
        ordinal = self._ledger.next_trend(container.container_id)
        name = trend_name(self._boot_id, container.container_id, ordinal)
        pod = self._node.pods.get(container.pod_uid)
        ancestors: Mapping[str, Level] = {
            path: level
            for path, watched in reversed(self._node.ancestors.items())
            if pod is not None and contains(path, pod.path) and (level := _level(watched.reader)) is not None
        }
        report = TrendReport(
            node=self._node_name,
            boot_id=self._boot_id,
            pod_uid=container.pod_uid,
            container_id=container.container_id,
            ordinal=ordinal,
            time=now,
            trend=trend,
            cgroup_path=container.path,
            container=container.last,
            pod=None if pod is None else _level(pod.reader),
            ancestors=ancestors,
            node_memory=self._sampler.node_memory(),
            processes=self._sampler.processes.of(container.container_id),
            history=history_of(self._store.pods.get(container.pod_uid), container.run),
        )
        self._spool.put(trend_to_object(report, name, self._namespace))
        self._ledger.write_trend(container.container_id, ordinal, now)
        self.told += 1
        log(
            "trend", report=name, pod=container.pod_uid, container=container.container_id,
            demandBytes=trend.demand, limitBytes=trend.limit, secondsToLimit=round(trend.seconds_to_limit),
        )  # fmt: skip
