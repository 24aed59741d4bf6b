"""What the agent costs: `python -m bench.agent --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.agent import node
from testbed import quick
from testbed.cache import REPOSITORY
from testbed.shell import TestbedError

_MIB = 2**20
_RATIO = 2.0
_MOST_PSS = 30 * _MIB
_JUDGED = 250
_READS = 20_000
_MEMORY = "3G"
_SNAPSHOTS_AN_HOUR = 6
_KEPT_PACE = 0.9


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.agent",
        description="Runs the real agent beside real cgroups of a real kernel, and a minimal loop over the same files.",
        epilog="The loop only reads, through kept descriptors and as often: no Python agent can cost less. Calls into "
        "the kernel in User-Mode Linux are 30 to 50 times dearer than on a machine, so the ratio is what counts.",
    )
    add = parser.add_argument
    add("--containers", type=int, nargs="+", default=[50, 250, 500], metavar="N", help="default: 50 250 500")
    add("--seconds", type=float, default=60.0, help="measured for each, after a warm-up (default: 60)")
    add("--node", type=int, metavar="PODS", help="instead: beside the kubelet of a real node with so many pods of two")
    add("-o", "--output", type=Path, metavar="FILE", help="also write the figures as JSON")
    return parser


def measure(counts: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """Return the figures for each count of containers. Raises TestbedError."""
    with tempfile.TemporaryDirectory(prefix="memdiag-bench-") as folder:
        work = Path(folder)
        words = [sys.executable, "-m", "bench.agent.guest", str(work), str(seconds), *map(str, counts)]
        path = f"{REPOSITORY}:{REPOSITORY / 'operator'}"
        limit = sum(2 * seconds + 120 + count for count in counts)
        ran = quick.run(words, work, memory=_MEMORY, timeout=limit, env={"PYTHONPATH": path})
        if ran.status:
            raise TestbedError(f"the guest said ({ran.status}):\n{ran.stderr[-4000:]}")
        found: list[dict[str, Any]] = json.loads((work / "result.json").read_text())
        return found


def cost_of_a_read() -> float:
    """Return the seconds that one pread of a small file of the kernel takes on this machine, in Python."""
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        began = time.process_time()
        for _ in range(_READS):
            os.pread(descriptor, 16384, 0)
        return (time.process_time() - began) / _READS
    finally:
        os.close(descriptor)


def _calls(row: dict[str, Any], smallest: dict[str, Any]) -> tuple[float | None, float | None, str]:
    """Return the calls a second of agent and loop, and a mark where they are those of the smallest row, scaled.

    Being traced costs more than the calls themselves. The loop's calls are by container, so where it makes fewer than
    that it was too slow, and the agent beside it as well.
    """
    agent, loop = row["agent"]["calls"], row["minimal"]["calls"]
    fewest = smallest["minimal"]["calls"]
    scale = row["containers"] / smallest["containers"]
    if loop is None or fewest is None or loop >= _KEPT_PACE * scale * fewest:
        return agent, loop, ""
    return scale * smallest["agent"]["calls"], scale * fewest, "~"


def _number(value: float | None, mark: str) -> str:
    return "-" if value is None else f"{mark}{value:.0f}"


def table(rows: Sequence[dict[str, Any]], read: float) -> str:
    """Return the figures as text."""
    lines = ["containers   agent CPU   loop CPU   ratio   PSS MiB   calls/s   loop's   written/h   derived CPU"]
    smallest = min(rows, key=lambda row: int(row["containers"]))
    for row in rows:
        agent, loop = row["agent"], row["minimal"]
        calls, least, mark = _calls(row, smallest)
        hourly = (agent["journal_an_hour"] + _SNAPSHOTS_AN_HOUR * agent["snapshot"]) / _MIB
        lines.append(
            f"{row['containers']:10d}   {100 * agent['cpu']:7.2f} %  {100 * loop['cpu']:7.2f} %"
            f"  {agent['cpu'] / loop['cpu']:6.2f}   {agent['Pss'] / _MIB:7.1f}   {_number(calls, mark):>7}"
            f"   {_number(least, mark):>6}   {hourly:5.1f} MiB"
            f"   {'-' if calls is None else f'{100 * calls * read:9.2f} %'}"
        )
    lines.append(
        f"derived: calls a second times {1e6 * read:.1f} us, what reading a small kernel file costs here in Python"
    )
    lines.append(f"~: scaled from {smallest['containers']} containers, being traced slowed both programs down")
    return "\n".join(lines)


def missed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the bars that are missed, in words."""
    return [
        text
        for row in rows
        if row["containers"] == _JUDGED
        for text, bad in (
            (f"CPU is more than {_RATIO:g} times the loop's", row["agent"]["cpu"] > _RATIO * row["minimal"]["cpu"]),
            (f"PSS is more than {_MOST_PSS // _MIB} MiB", row["agent"]["Pss"] > _MOST_PSS),
        )
        if bad
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. Returns 1 when a bar is missed, 2 when nothing could be measured."""
    arguments = _parser().parse_args(words)
    if shutil.which("unshare") is None:
        print("bench.agent: unshare is not there: apt-get install util-linux", file=sys.stderr)
        return 2
    try:
        if arguments.node:
            print(node.run(arguments.node, arguments.seconds))
            return 0
        rows = measure(arguments.containers, arguments.seconds)
    except TestbedError as error:
        print(f"bench.agent: {error}", file=sys.stderr)
        return 2
    print(table(rows, cost_of_a_read()))
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    bad = missed(rows)
    print("\n".join(f"MISSED at {_JUDGED}: {text}" for text in bad) or "the bars are met")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
