"""Who in a container grew: its processes as /proc shows them, looked at now and then and remembered for the kill.

At the kill the process is gone, so the last look before it is the evidence. A look costs four small files a process:
each container is looked at once a minute, and every five seconds while it stands near its limit. `smaps_rollup` walks
page tables, so it is read of the largest process only, at most twice a minute; it needs ptrace's rights, which the
agent has for few processes: a refusal is noted and not tried again for ten minutes.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace

from memdiag.agent.pids import PidMap, read_file
from memdiag.kernel.process import parse_rollup, parse_signed, parse_stat, parse_status
from memdiag.model.process import Process, Processes
from memdiag.model.report import MOST_PROCESSES

SELDOM_SECONDS = 60.0
NEAR_SECONDS = 5.0
ROLLUP_SECONDS = 30.0
REFUSED_SECONDS = 600.0
MOST_LOOKED_AT = 64
"""Processes of one container in one look: those that were the largest, and those not seen yet."""
MOST_KNOWN = 256
MOST_A_TURN = 256
"""Processes of all containers in one turn of the loop."""
_NOT_PERMITTED = "processes: smaps_rollup is not permitted (it needs SYS_PTRACE), so there is no pss"


@dataclass(slots=True)
class _Known:
    """One process since it was first seen; `start` tells it from a later one with its pid."""

    start: int | None
    first_rss: int | None
    first_seen: float
    rss: int


@dataclass(slots=True)
class _Container:
    known: dict[int, _Known] = field(default_factory=dict)
    last: Processes | None = None
    rollup_at: float = 0.0
    """When smaps_rollup may be read again."""
    refused: bool = False


class ProcessTable:
    """The processes of the containers that are looked at."""

    def __init__(self, proc_root: str, pids: PidMap) -> None:
        self._root = proc_root
        self._pids = pids
        self._containers: dict[str, _Container] = {}
        self._left = MOST_A_TURN

    def new_turn(self) -> None:
        """Begin a turn of the loop: so many processes may be looked at in it."""
        self._left = MOST_A_TURN

    def due(self, container_id: str, now: float, *, near: bool) -> bool:
        """Return whether a container is to be looked at; `near` says that it stands near its limit."""
        if self._left <= 0:
            return False
        found = self._containers.get(container_id)
        if found is None or found.last is None:
            return True
        return now - found.last.time >= (NEAR_SECONDS if near else SELDOM_SECONDS)

    def look(self, container_id: str, now: float, *, near: bool) -> None:
        """Read a container's processes."""
        pids = self._pids.of_container(container_id)
        found = self._containers.setdefault(container_id, _Container())
        if not pids:
            # not known yet which they are: the last look, if any, stays
            return
        living = set(pids)
        found.known = {pid: known for pid, known in found.known.items() if pid in living}
        # who is not known comes first, then the largest: in the end all were seen, and the large ones every time
        order = sorted(living, key=lambda pid: -(found.known[pid].rss if pid in found.known else 2**62))
        chosen = order[: min(MOST_LOOKED_AT, max(self._left, 1))]
        self._left -= len(chosen)
        seen = [process for pid in chosen if (process := self._read(found, pid, now)) is not None]
        if not seen:
            return
        seen.sort(key=lambda process: -(process.rss or 0))
        if near:
            seen[0] = self._with_pss(found, seen[0], now)
        missing = (_NOT_PERMITTED,) if found.refused else ()
        found.last = Processes(now, len(living), tuple(seen[:MOST_PROCESSES]), missing)

    def _read(self, container: _Container, pid: int, now: float) -> Process | None:
        folder = f"{self._root}/{pid}"
        status = read_file(f"{folder}/status")
        if not status:
            return None
        comm, sizes = parse_status(status)
        minor, major, start = parse_stat(read_file(f"{folder}/stat"))
        rss = sizes.get("VmRSS")
        known = container.known.get(pid)
        if known is None or known.start != start:
            if len(container.known) >= MOST_KNOWN:
                return None
            known = container.known[pid] = _Known(start, rss, now, rss or 0)
        known.rss = rss or 0
        grew = None if rss is None or known.first_rss is None else rss - known.first_rss
        return Process(
            pid=pid,
            comm=comm,
            rss=rss,
            anon=sizes.get("RssAnon"),
            shmem=sizes.get("RssShmem"),
            swap=sizes.get("VmSwap"),
            threads=sizes.get("Threads"),
            minor_faults=minor,
            major_faults=major,
            oom_score=parse_signed(read_file(f"{folder}/oom_score", 32)),
            oom_score_adj=parse_signed(read_file(f"{folder}/oom_score_adj", 32)),
            grew=grew,
            over=now - known.first_seen,
        )

    def _with_pss(self, container: _Container, process: Process, now: float) -> Process:
        if now < container.rollup_at:
            return process
        try:
            descriptor = os.open(f"{self._root}/{process.pid}/smaps_rollup", os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.read(descriptor, 8192)
            finally:
                os.close(descriptor)
        except OSError as error:
            container.refused = error.errno in (errno.EACCES, errno.EPERM)
            container.rollup_at = now + REFUSED_SECONDS
            return process
        container.refused, container.rollup_at = False, now + ROLLUP_SECONDS
        return replace(process, pss=parse_rollup(data))

    def clock_set(self, by: float) -> None:
        """Move what is remembered by as many seconds as the clock was set."""
        for container in self._containers.values():
            container.rollup_at += by
            if container.last is not None:
                container.last = replace(container.last, time=container.last.time + by)
            for known in container.known.values():
                known.first_seen += by

    def of(self, container_id: str) -> Processes | None:
        """Return what the last look saw, None when there was none."""
        found = self._containers.get(container_id)
        return None if found is None else found.last

    def forget(self, container_id: str) -> None:
        """Forget a container that is gone for good."""
        self._containers.pop(container_id, None)

    def known(self) -> list[str]:
        """Return the containers that something is remembered of."""
        return list(self._containers)
