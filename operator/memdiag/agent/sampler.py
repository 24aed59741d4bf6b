"""The sampling cadence: when a full reading is due, and taking light and full readings of containers."""

from __future__ import annotations

from dataclasses import replace

from memdiag.agent.pids import PidMap, read_file
from memdiag.agent.processes import ProcessTable
from memdiag.agent.watch import Container, Node
from memdiag.kernel.files import parse_flat, parse_meminfo
from memdiag.kernel.reader import CgroupGoneError
from memdiag.model.trace import Limit, Sample

LIGHT_SECONDS = 1.0
FULL_SECONDS = 5.0
SHORTEST_SECONDS = 0.25
"""Between two full readings of one container, however much happens."""

_MOVED = 0.02
_NEAR = 0.8
_ROUNDING = 0.05
_MEMINFO = frozenset(
    {
        *("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree", "AnonPages", "Mapped"),
        *("Shmem", "Slab", "SReclaimable", "SUnreclaim", "KernelStack", "PageTables", "Dirty", "Writeback"),
        *("HugePages_Total", "HugePages_Free", "Hugetlb", "AnonHugePages", "CommitLimit", "Committed_AS", "Percpu"),
    }
)
_VMSTAT = frozenset(
    {
        *("oom_kill", "pgmajfault", "pswpin", "pswpout", "pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd"),
        *("pgsteal_direct", "workingset_refault_anon", "workingset_refault_file", "compact_stall"),
    }
)


def full_due(age: float, moved: int, current: int, limit: int | None, *, event: bool) -> bool:
    """Return whether a full reading is due, `age` seconds after the last one.

    At the latest every five seconds; at once when memory.current moved by 2 % of the limit since, stands at 80 % of
    it or more, or an event fired. A container without a limit (None) has the first reason only, and events.
    """
    if age >= FULL_SECONDS - _ROUNDING:
        return True
    if age < SHORTEST_SECONDS:
        return False
    if event:
        return True
    return limit is not None and limit > 0 and (moved > _MOVED * limit or current >= _NEAR * limit)


class Sampler:
    """Takes the readings and puts them into the containers' runs."""

    def __init__(self, node: Node, pids: PidMap, proc_root: str) -> None:
        self._node = node
        self._pids = pids
        self._proc_root = proc_root
        self.processes = ProcessTable(proc_root, pids)
        """Who in the containers grew."""

    def sample(self, container: Container, now: float, *, event: bool) -> None:
        """Read one container. A reading from after an unaccounted kill is no evidence of before it: it is not kept."""
        try:
            current = container.reader.current()
            limit = container.last.max if container.last is not None else None
            moved = abs((current or 0) - (container.last_full_current or 0))
            bytes_limit = limit if isinstance(limit, int) else None
            if not full_due(now - container.last_full, moved, current or 0, bytes_limit, event=event):
                if not event:
                    container.run.add_light(now, current)
                return
            level = container.reader.full(events=False)
            container.read_counters()
            level = replace(level, events=container.events, events_local=container.local)
        except CgroupGoneError:
            self._node.drop_container(container, now)
            return
        if container.count.missing:
            return
        self._look(container, level.current or 0, level.max, now)
        container.last_full, container.last_full_current, container.last = now, level.current, level
        container.run.add(Sample(t=now, level=level, net=self._pids.net(container.container_id)))

    def _look(self, container: Container, current: int, limit: Limit, now: float) -> None:
        """Look at the processes of a container where that is due."""
        near = isinstance(limit, int) and current >= _NEAR * limit
        if self.processes.due(container.container_id, now, near=near):
            self.processes.look(container.container_id, now, near=near)

    def tick(self, now: float) -> None:
        """Read every container and every counter: the second's turn."""
        self.processes.new_turn()
        self._node.read_ancestors()
        for uid in list(self._node.pods):
            self._node.read_counters(uid, now)
        for container in list(self._node.containers()):
            self.sample(container, now, event=False)

    def events(self, uid: str, now: float) -> None:
        """Read the containers of a pod whose events fired."""
        for container in self._node.read_counters(uid, now):
            self.sample(container, now, event=True)

    def node_memory(self) -> dict[str, int]:
        """Return the node's memory: keys of /proc/meminfo (bytes) and /proc/vmstat (pages and counts)."""
        return {
            **parse_meminfo(read_file(f"{self._proc_root}/meminfo"), _MEMINFO),
            **parse_flat(read_file(f"{self._proc_root}/vmstat", 65536), _VMSTAT),
        }

    def node_kills(self) -> int | None:
        """Return how many kills the node counts since it booted, None where its kernel does not say."""
        data = read_file(f"{self._proc_root}/vmstat", 65536)
        start = data.find(b"\noom_kill ")
        return None if start < 0 else parse_flat(data[start + 1 : start + 64]).get("oom_kill")
