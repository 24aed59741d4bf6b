"""Runs inside the quick kernel: makes pods, runs the real agent beside them, kills real processes, keeps the reports.

Usage: guest.py WORK. Writes WORK/result.json. It allocates in forked children, so that a kill costs no start-up.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from testbed.agent_guest import ROOT, AgentProcess, Api, eat, end, make, remove, start, wait

SYSTEMD_POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
CGROUPFS_POD = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
NAMES = ("single", "group", "child", "pod_limit", "sub_second", "hostile", "down", "sub_cgroup")
IDS = {name: f"{index + 1:064x}" for index, name in enumerate(NAMES)}
STORM = 14


def family(count: int, job: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(count):
            if os.fork() == 0:
                time.sleep(1000)
        job()

    return work


def living_parent() -> None:
    """Outlive a child that is killed, as a server outlives its worker."""
    worker = os.fork()
    if worker == 0:
        eat()
    os.waitpid(worker, 0)
    time.sleep(1000)


def renamed(name: bytes, job: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
        job()

    return work


SLICE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + SYSTEMD_POD.replace("-", "_") + ".slice"
PLAIN = f"/kubepods/besteffort/pod{CGROUPFS_POD}"


def scope(name: str) -> str:
    return f"{SLICE}/cri-containerd-{IDS[name]}.scope"


class Scenes:
    """The kills, each waited for until its report has arrived."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.count = 0
        self.parent = 0

    def told(self, more: int = 1) -> None:
        self.count += more
        wait(f"{self.count} reports", lambda: len(self.api.reports) >= self.count, 20)

    def dies(self, path: str, job: Callable[[], object], *, at_once: bool = False) -> None:
        end(start(path, job))
        if at_once:
            remove(path)
        self.told()
        remove(path)

    def containers(self) -> None:
        self.dies(make(scope("single"), memory__max="64M"), lambda: eat(pause=0.02))
        path = make(scope("group"), memory__max="16M", memory__oom__group="1")
        self.dies(path, family(3, lambda: eat(pause=0.005)))
        path = make(f"{PLAIN}/{IDS['child']}", memory__max="16M", memory__oom__group="0")
        self.parent = start(path, living_parent)
        self.told()
        limit = ROOT / SLICE.strip("/") / "memory.max"
        limit.write_text("24M")
        self.dies(make(scope("pod_limit"), memory__max="64M"), lambda: eat(pause=0.005))
        limit.write_text("max")
        self.dies(make(scope("sub_second"), memory__max="4M"), eat, at_once=True)
        self.dies(make(scope("hostile"), memory__max="4M"), renamed(b"a),pid=7 \n\x1b(b", eat))
        self.dies(make(f"{PLAIN}/crio-{IDS['sub_cgroup']}/container", memory__max="8M"), eat)

    def storm(self) -> None:
        """Kill more in a moment than the log has reports for, each a container of its own."""
        time.sleep(5.2)
        paths = [make(f"{PLAIN}/{0x1000 + index:064x}", memory__max="4M") for index in range(STORM)]
        time.sleep(1.2)
        for pid in [start(path, eat) for path in paths]:
            end(pid)
        self.told(STORM)
        for path in paths:
            remove(path)

    def absence(self, agent: AgentProcess) -> None:
        """Kill one while the agent is dead, after the rate limit's window."""
        agent.kill(signal.SIGKILL)
        time.sleep(5.2)
        path = make(scope("down"), memory__max="8M")
        end(start(path, eat))
        remove(path)
        agent.start()
        self.told()
        time.sleep(2)


def main(work: Path) -> None:
    make(f"{SLICE}/x")
    make(f"{PLAIN}/x")
    api = Api()
    agent = AgentProcess(work, api)
    agent.start()
    scenes = Scenes(api)
    scenes.containers()
    scenes.storm()
    memory = agent.memory()
    scenes.absence(agent)
    ready = agent.health("/readyz")
    stopped = agent.kill(signal.SIGTERM)
    agent.start()
    time.sleep(1)
    agent.kill(signal.SIGTERM)
    os.kill(scenes.parent, signal.SIGKILL)
    end(scenes.parent)
    result = {
        "reports": list(api.reports.values()),
        "arrived": api.arrived,
        "requests": api.requests,
        "memory": memory,
        "ready": ready,
        "stopped": stopped,
        "dead_letters": [path.name for path in Path("/run/state/dead-letter").iterdir()],
        "spooled": [path.name for path in Path("/run/state/spool").iterdir()],
    }
    (work / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
