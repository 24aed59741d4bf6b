"""Inside the quick kernel: N containers, the real agent beside them, and the minimal loop over the same files.

Usage: python -m bench.agent.guest WORK SECONDS N... Writes WORK/result.json.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path("/sys/fs/cgroup")
SLICE = ROOT / "kubepods.slice" / "kubepods-burstable.slice"
OF_A_POD = 2
MIB = 2**20
_TRACED_SECONDS = 10
_WARM = 25.0
_FILES = 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


def containers(count: int) -> tuple[list[tuple[Path, int]], list[subprocess.Popen[bytes]]]:
    """Make pods of two containers with a sleeping process each; return each container's folder and a process."""
    SLICE.mkdir(parents=True, exist_ok=True)
    for folder in (SLICE.parent, SLICE):
        (folder / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    found: list[tuple[Path, int]] = []
    sleepers: list[subprocess.Popen[bytes]] = []
    for number in range(count):
        uid = str(uuid.UUID(int=number // OF_A_POD + 1, version=4)).replace("-", "_")
        pod = SLICE / f"kubepods-burstable-pod{uid}.slice"
        pod.mkdir(exist_ok=True)
        (pod / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        folder = pod / f"cri-containerd-{number:064x}.scope"
        folder.mkdir()
        (folder / "memory.max").write_text(str(64 * MIB))
        process = subprocess.Popen(["sleep", "100000"])
        (folder / "cgroup.procs").write_text(str(process.pid))
        found.append((folder, process.pid))
        sleepers.append(process)
    return found, sleepers


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def memory(pid: int) -> dict[str, int]:
    """Return PSS and RSS in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    pairs = (line.split() for line in lines[1:])
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in pairs if words[0] in ("Pss:", "Rss:")}


def calls(pid: int, work: Path) -> float | None:
    """Return the system calls a second of a process and its threads, None without strace."""
    if shutil.which("strace") is None:
        return None
    out = work / "strace"
    words = [
        "timeout",
        "-s",
        "INT",
        str(_TRACED_SECONDS),
        "strace",
        "-f",
        "-c",
        "-U",
        "calls,name",
        "-o",
        str(out),
        "-p",
        str(pid),
    ]
    subprocess.run(words, stderr=subprocess.DEVNULL, check=False)
    total = re.search(r"^ *(\d+) total$", out.read_text(), re.MULTILINE)
    return None if total is None else int(total[1]) / _TRACED_SECONDS


def measured(process: subprocess.Popen[bytes], warm: float, seconds: float, work: Path) -> dict[str, Any]:
    """Let a process run and return what it cost a second."""
    time.sleep(warm)
    if process.poll() is not None:
        raise RuntimeError(f"the process ended with {process.returncode}")
    began, cpu = time.monotonic(), cpu_seconds(process.pid)
    time.sleep(seconds)
    used = (cpu_seconds(process.pid) - cpu) / (time.monotonic() - began)
    return {"cpu": used, **memory(process.pid), "calls": calls(process.pid, work)}


def agent(work: Path, seconds: float) -> dict[str, Any]:
    """Measure the real agent."""
    state = work / "state"
    shutil.rmtree(state, ignore_errors=True)
    command = [sys.executable, "-m", "memdiag", "agent", "--node", "bench", "--namespace", "memdiag"]
    command += ["--api-server", "none", "--state-dir", str(state)]
    with (work / "agent.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    journal, snapshot = state / "history.journal", state / "history"
    time.sleep(_WARM)
    before, began = journal.stat().st_size, time.monotonic()
    found = measured(process, 0.0, seconds, work)
    grown = (journal.stat().st_size - before) / (time.monotonic() - began)
    process.terminate()
    process.wait(20)
    return {**found, "journal_an_hour": grown * 3600, "snapshot": snapshot.stat().st_size}


def loop(found: Sequence[tuple[Path, int]], work: Path, seconds: float) -> dict[str, Any]:
    """Measure the minimal loop."""
    script = Path(__file__).with_name("minimal.py")
    words = [f"{folder}={pid}" for folder, pid in found]
    listing = work / "containers"
    listing.write_text("\n".join(words))
    with listing.open("rb") as file:
        process = subprocess.Popen([sys.executable, "-S", str(script)], stdin=file)
    result = measured(process, 8.0, seconds, work)
    process.terminate()
    process.wait(20)
    return result


def main() -> None:
    """Measure every N, with as many open files allowed as a node's container runtime allows."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    work, seconds = Path(sys.argv[1]), float(sys.argv[2])
    rows: list[dict[str, Any]] = []
    for count in map(int, sys.argv[3:]):
        found, sleepers = containers(count)
        rows.append({"containers": count, "agent": agent(work, seconds), "minimal": loop(found, work, seconds)})
        for process in sleepers:
            process.kill()
        for process in sleepers:
            process.wait()
        for folder, _ in found:
            folder.rmdir()
        for pod in SLICE.glob("*.slice"):
            pod.rmdir()
    (work / "result.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
