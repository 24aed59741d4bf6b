"""Runs inside the quick kernel: the real agent with what the chart gives it, then with each of these taken away.

Usage: permissions_guest.py WORK. Reads WORK/variants.json, writes WORK/result.json.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.agent_guest import MIB, AgentProcess, Api, eat, end, make, remove, start, wait

POD = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
_USER = 65534
_LIMIT_MIB = 32
_STARTS_WITHIN = 20.0


def _eater(seconds: float) -> Callable[[], None]:
    """Stand near the limit for so long, as another user, then go beyond it."""

    def work() -> None:
        os.setgid(_USER)
        os.setuid(_USER)
        held = b"x" * (_LIMIT_MIB * 7 // 8 * MIB)
        time.sleep(seconds)
        eat(pause=0.001)
        del held

    return work


def _before(variant: dict[str, Any]) -> list[str]:
    bounds = ",".join(["-all", *(f"+{name.lower()}" for name in variant["capabilities"])])
    words = ["setpriv", "--no-new-privs", "--bounding-set", bounds, "--inh-caps", "-all"]
    if variant["uid"]:
        words += ["--reuid", str(variant["uid"]), "--regid", str(variant["uid"]), "--clear-groups"]
    return [*words, "--"]


def _refusal(agent: AgentProcess) -> tuple[int, str] | None:
    """Return how the agent refused to start and what it said, None when it did not."""
    process = subprocess.Popen(agent.words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    agent.process = process  # type: ignore[assignment]  # its texts are read here only
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline:
        status = process.poll()
        if status is not None:
            return status, "" if process.stderr is None else process.stderr.read()
        if agent.health("/healthz") == 200:
            return None
        time.sleep(0.1)
    raise TimeoutError("the agent is neither ready nor gone")


def scene(work: Path, api: Api, number: int, variant: dict[str, Any]) -> dict[str, Any]:
    """Run the agent so, kill a container beside it, and return what it said."""
    state = Path(f"/run/state-{number}")
    state.mkdir(mode=0o700)
    os.chown(state, variant["uid"], variant["uid"])
    folders = {"{state}": str(state), "{nothing}": "/run/nothing", "{read-only}": "/run/read-only/state"}
    options = [folders.get(word, word) for word in ("--state-dir", "{state}", *variant["options"])]
    agent = AgentProcess(work, api, _before(variant), options)
    refusal = _refusal(agent)
    if refusal is not None:
        return {"status": refusal[0], "said": refusal[1]}
    identity = f"{number + 1:064x}"
    path = make(f"/kubepods/burstable/pod{POD}/{identity}", memory__max=f"{_LIMIT_MIB}M")
    end(start(path, _eater(variant["near"])))

    def told() -> list[dict[str, Any]]:
        return [report["spec"] for report in api.reports.values() if report["spec"]["containerID"] == identity]

    wait(f"the report of {variant['name']}", lambda: bool(told()), 30)
    remove(path)
    agent.kill(signal.SIGTERM)
    return {"status": None, "spec": told()[0]}


def main(work: Path) -> None:
    Path("/proc/sys/kernel/dmesg_restrict").write_text("1")
    for name in ("nothing", "read-only"):
        Path("/run", name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/run/read-only"], check=True)
    make(f"/kubepods/burstable/pod{POD}/x")
    api = Api()
    variants = json.loads((work / "variants.json").read_text())
    found = {variant["name"]: scene(work, api, number, variant) for number, variant in enumerate(variants)}
    (work / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
