"""A node's cgroup files as plain files, and the agent's parts beside it: kills are what a test writes down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memdiag.agent.config import Config
from memdiag.agent.detector import Detector
from memdiag.agent.ledger import Ledger
from memdiag.agent.pids import PidMap
from memdiag.agent.sampler import Sampler
from memdiag.agent.spool import Spool
from memdiag.agent.store import HistoryStore
from memdiag.agent.telling import FATE_SECONDS, Teller
from memdiag.agent.watch import Node
from memdiag.kernel.inotify import Inotify
from memdiag.model.kill import Constraint, OomReport, Task
from memdiag.model.trace import Victim

POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
PARENT = f"/kubepods/burstable/pod{POD}"
A, B = "a" * 64, "b" * 64
MIB = 2**20
BOOT = "5a0e3d1c-0000-4000-8000-000000000001"
NOW = 1_763_856_000.0
STAT = {
    **dict.fromkeys(("anon", "inactive_anon"), 120 * MIB),
    **dict.fromkeys(("file", "kernel", "sock", "shmem", "slab_reclaimable", "slab_unreclaimable"), 3 * MIB),
    **{f"pgsteal_and_other_{number}": 10**9 + number for number in range(52)},
}
"""As many keys as a kernel of 2025 has."""


class FileNode:
    """One pod on a node that is made of files; `restart` is a kill -9 of its agent."""

    def __init__(self, folder: Path, *containers: str) -> None:
        self.root, self.proc, self.state = folder / "cgroup", folder / "proc", folder / "state"
        self.state.mkdir()
        self.proc.mkdir()
        (self.proc / "meminfo").write_text("MemTotal: 16000000 kB\nMemFree: 1000000 kB\n")
        (self.proc / "vmstat").write_text("pgmajfault 7\noom_kill 0\n")
        self.kills = {PARENT: 0, **{f"{PARENT}/{name}": 0 for name in containers}}
        for path in self.kills:
            place = self.root / path[1:]
            place.mkdir(parents=True)
            (place / "memory.max").write_text(f"{128 * MIB}\n")
            (place / "memory.current").write_text(f"{127 * MIB}\n")
            (place / "memory.stat").write_text("".join(f"{key} {value}\n" for key, value in STAT.items()))
            (place / "cgroup.events").write_text("populated 1\nfrozen 0\n")
            self._count(path)
        random = self.proc / "sys/kernel/random"
        random.mkdir(parents=True)
        (random / "boot_id").write_text(f"{BOOT}\n")
        self.number = 0
        self.spooled: dict[str, dict[str, Any]] = {}
        """What was delivered: the newest form of each name."""
        self.boot = BOOT
        self.steady: Callable[[], float] = time.monotonic
        self.store = HistoryStore()
        self.start(NOW)

    def start(self, now: float) -> None:
        """Start the agent's parts on what is on disk."""
        self.watcher = Inotify()
        self.ledger = Ledger(self.state / "ledger", self.boot)
        self.spool = Spool(self.state)
        self.detector = Detector(self.ledger.seen)
        self.node = Node(str(self.root), self.watcher, self.detector, self.store, self.ledger)
        self.pids = PidMap(str(self.proc))
        self.sampler = sampler = Sampler(self.node, self.pids, str(self.proc))
        self.teller = Teller(
            node_name="node-a",
            namespace="memdiag",
            boot_id=self.boot,
            node=self.node,
            detector=self.detector,
            store=self.store,
            ledger=self.ledger,
            spool=self.spool,
            pids=self.pids,
            sampler=sampler,
            wall_of=lambda since_boot: NOW + since_boot,
            steady=self._seconds,
        )
        self.node.rescan(now)
        self.node.first_scan = False
        sampler.tick(now)

    def config(self) -> Config:
        """Return the options of a whole agent on this node, which has no kernel log."""
        return Config(
            cgroup_root=str(self.root),
            proc_root=str(self.proc),
            state_dir=self.state,
            node="node-a",
            namespace="memdiag",
            api_server=None,
            token_file=Path(),
            ca_file=Path(),
            health_host="",
            health_port=0,
            kernel_log="none",
        )

    def _seconds(self) -> float:
        return self.steady()

    def stop(self) -> None:
        """End it with nothing said, as a kill -9 does."""
        self.watcher.close()
        self.ledger.close()
        for pod in self.node.pods.values():
            for watched in (pod, *pod.containers.values()):
                watched.reader.close()

    def restart(self, now: float, boot: str = BOOT) -> None:
        """Kill the agent, start it anew, and let it find what happened meanwhile by the counters alone."""
        self.stop()
        self.boot = boot
        self.start(now)
        self.teller.take(self.detector.take((), lambda _pid: None, final=True), now, found_late=True)

    def _count(self, path: str) -> None:
        text = f"low 0\nhigh 0\nmax 9\noom 1\noom_kill {self.kills[path]}\noom_group_kill 0\n"
        for name in ("memory.events", "memory.events.local"):
            (self.root / path[1:] / name).write_text(text)

    def rise(self, container: str, kills: int = 1) -> None:
        """Count kills in a container, of which nobody is told."""
        for path in (PARENT, f"{PARENT}/{container}"):
            self.kills[path] += kills
            self._count(path)

    def kill(
        self, container: str, times: Sequence[float], limit: str | None = None, tasks: tuple[Task, ...] = ()
    ) -> None:
        """Kill a process of a container at each of these times (Unix seconds); the agent looks at the last.

        `limit` is the cgroup whose limit is hit, the container's own if it is None; `tasks` is the kernel's table.
        """
        reports = []
        for moment in times:
            self.number += 1
            lines = ("oom-kill:constraint=CONSTRAINT_MEMCG", f"Killed process {self.number} (worker)")
            reports.append(
                OomReport(
                    time=moment - NOW,
                    constraint=Constraint.MEMCG,
                    oom_memcg=limit or f"{PARENT}/{container}",
                    task_memcg=f"{PARENT}/{container}",
                    group_kill=False,
                    victims=(Victim(self.number, "worker", 100 * MIB, MIB, 0, MIB, 900),),
                    tasks=tasks,
                    usage_bytes=128 * MIB,
                    limit_bytes=128 * MIB,
                    lines=lines,
                    kill_events=1,
                )
            )
        self.rise(container, len(times))
        self.node.read_counters(POD, times[-1])
        kills = self.detector.take(reports, lambda _pid: None, final=True)
        self.teller.take(kills, times[-1], found_late=False)
        self.turn(times[-1] + FATE_SECONDS)

    def end(self, container: str, now: float) -> None:
        """Remove a container's cgroup."""
        place = self.root / PARENT[1:] / container
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
        self.node.rescan(now)

    def turn(self, now: float, *, deliver: bool = True) -> None:
        """Let the agent work at a time, and deliver what is in its spool."""
        self.teller.advance(now)
        self.teller.fold_up(now)
        for name in self.spool.waiting() if deliver else ():
            report = json.loads(self.spool.read(name) or b"{}")
            self.spooled[name] = report
            self.spool.done(name)

    def specs(self, container: str) -> list[dict[str, Any]]:
        """Return the reports of a container, in the order of their ordinals."""
        found = [item["spec"] for item in self.spooled.values() if item["spec"]["containerID"] == container]
        return sorted(found, key=lambda spec: int(spec["ordinal"]))

    def told(self, container: str) -> int:
        """Return how many kills of a container were told."""
        return sum(spec["fold"]["count"] if "fold" in spec else 1 for spec in self.specs(container))
