"""Inside the quick kernel: kills workers of many containers at once beside the real agent, and counts what arrives.

Usage: python -m bench.storm.guest WORK CONTAINERS KILLS_EACH. Runs WORK/server in each container and writes
WORK/result.json: two storms, of which the second loses the agent by kill -9 after half of its kills.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from testbed.agent_guest import ROOT, AgentProcess, Api, end, make, remove, start, wait

_OF_A_POD = 2
_LIMIT = "4M"
_STORM_LIMIT = "1M"
"""In force once the servers run: the less a worker may take, the faster the kernel has killed it."""
_WEIGHT = "10000"
_URGENT = -20
_SIGKILLED = 137
_SLICE = "/kubepods.slice/kubepods-burstable.slice"
_PATIENCE = 60.0
_SETTLE = 3.0


def _container(number: int) -> tuple[str, str]:
    """Return the path and the ID of a container; two are of one pod."""
    uid = str(uuid.UUID(int=number // _OF_A_POD + 1, version=4)).replace("-", "_")
    identity = f"{number + 1:064x}"
    return f"{_SLICE}/kubepods-burstable-pod{uid}.slice/cri-containerd-{identity}.scope", identity


def _serve(program: Path, kills: int, gate: int, notes: int) -> None:
    os.dup2(gate, 0)
    os.dup2(notes, 3)
    os.execv(program, [str(program), str(kills)])  # noqa: S606 - built by the bench


class Storm:
    """Kills in containers of their own; `first` is the number of the first container."""

    def __init__(self, api: Api, server: Path, first: int, containers: int, kills: int) -> None:
        self._api = api
        self._wanted = containers * kills
        self._ids: dict[int, str] = {}
        self._paths: list[str] = []
        self._deaths: list[tuple[float, int]] = []
        gate, self._open = os.pipe()
        reader, notes = os.pipe()
        for number in range(first, first + containers):
            path, identity = _container(number)
            self._paths.append(make(path, memory__max=_LIMIT))
            self._ids[start(path, lambda: _serve(server, kills, gate, notes))] = identity
        os.close(gate)
        os.close(notes)
        self._lines = os.fdopen(reader)
        threading.Thread(target=self._note, daemon=True).start()

    def _note(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _URGENT)
        for line in self._lines:
            moment, pid, status = line.split()
            if int(status) == _SIGKILLED:
                self._deaths.append((float(moment), int(pid)))

    def begin(self) -> None:
        """Let all servers start their workers at once."""
        for path in self._paths:
            (ROOT / path.strip("/") / "memory.max").write_text(_STORM_LIMIT)
        os.write(self._open, b"x" * len(self._ids))

    def killed(self) -> int:
        """Return how many workers died so far."""
        return len(self._deaths)

    def _told(self) -> list[dict[str, Any]]:
        mine = set(self._ids.values())
        reports = list(self._api.reports.values())
        return [report for report in reports if report["spec"]["containerID"] in mine]

    def result(self, absent: float) -> dict[str, Any]:
        """Wait for all kills and their reports, or for a minute, and count. `absent` is for how long no agent was."""
        wait("the kills", lambda: self.killed() >= self._wanted, _PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while len(self._told()) < self._wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(_SETTLE)
        died: dict[str, int] = {}
        for _, pid in self._deaths:
            died[self._ids[pid]] = died.get(self._ids[pid], 0) + 1
        told: dict[str, int] = {}
        for report in self._told():
            spec = report["spec"]
            told[spec["containerID"]] = told.get(spec["containerID"], 0) + spec.get("fold", {}).get("count", 1)
        times = [moment for moment, _ in self._deaths]
        arrived = [self._api.arrived[report["metadata"]["name"]] for report in self._told()]
        return {
            "kills": len(times),
            "seconds": max(times) - min(times),
            "told": sum(told.values()),
            "right": sum(min(count, told.get(identity, 0)) for identity, count in died.items()),
            "late": sum(report["spec"]["foundLate"] for report in self._told()),
            "in_log": sum("constraint" in report["spec"]["kill"] for report in self._told()),
            "last_report_after": max(arrived, default=0.0) - max(times),
            "absent": absent,
        }

    def clear(self) -> None:
        """End the servers and remove the cgroups."""
        os.close(self._open)
        for pid in self._ids:
            os.kill(pid, signal.SIGKILL)
            end(pid)
        for path in self._paths:
            remove(path)


def main(work: Path, containers: int, kills: int) -> None:
    """Run both storms."""
    api = Api()
    agent = AgentProcess(work, api)
    agent.start()
    # the one CPU is the kills' first, as on a node whose other CPUs do the killing; the agent has what is left
    make(_SLICE)
    (ROOT / "kubepods.slice" / "cpu.weight").write_text(_WEIGHT)
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _URGENT)
    results = []
    for turn in range(2):
        storm = Storm(api, work / "server", turn * containers, containers, kills)
        # containers are found within a second, the kernel's log reports ten kills in five
        time.sleep(6)
        storm.begin()
        absent = 0.0
        if turn:
            wait("half of the kills", lambda storm=storm: storm.killed() >= containers * kills // 2, _PATIENCE)  # type: ignore[misc]
            agent.kill(signal.SIGKILL)
            gone = time.monotonic()
            agent.start()
            absent = time.monotonic() - gone
        results.append(storm.result(absent))
        storm.clear()
    agent.kill(signal.SIGTERM)
    (work / "result.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
