"""200 kills on 50 containers in a few seconds, and what the agent told of them: `python -m bench.storm --help`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed import quick
from testbed.cache import REPOSITORY
from testbed.shell import TestbedError, run

_NAMES = ("storm", "the agent killed by -9 halfway")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.storm",
        description="Kills workers in many containers of a real kernel as fast as it can, beside the real agent, and "
        "counts the reports; then again, with a kill -9 of the agent after half of the kills.",
        epilog="The kernel's log reports ten kills in five seconds, so most are known by the cgroups' counters alone. "
        "User-Mode Linux has one CPU: the kernel may need more than five seconds for its part, and the table says it.",
    )
    parser.add_argument("--containers", type=int, default=50, metavar="N", help="default: 50")
    parser.add_argument("--kills", type=int, default=4, metavar="N", help="in each container, at most 5 (default: 4)")
    return parser


def measure(containers: int, kills: int) -> list[dict[str, Any]]:
    """Return the figures of both storms. Raises TestbedError."""
    with tempfile.TemporaryDirectory(prefix="memdiag-storm-") as folder:
        work = Path(folder)
        source = Path(__file__).with_name("server.c")
        run(
            ["gcc", "-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o", work / "server", source],
            log=work / "gcc.log",
        )
        words = [sys.executable, "-m", "bench.storm.guest", str(work), str(containers), str(kills)]
        path = f"{REPOSITORY}:{REPOSITORY / 'operator'}"
        environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        ran = quick.run(words, work, memory="2G", timeout=400, env=environment)
        if ran.status:
            log = work / "agent.log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise TestbedError(f"the guest said ({ran.status}):\n{ran.stderr[-3000:]}\n{said}")
        found: list[dict[str, Any]] = json.loads((work / "result.json").read_text())
        return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the figures as text."""
    lines = [
        "",
        "kills by the kernel",
        "in seconds",
        "told",
        "with the right container",
        "known by the log",
        "found late",
    ]
    lines += ["last report after", "without agent"]
    columns = [
        [
            name,
            str(row["kills"]),
            f"{row['seconds']:.1f}",
            str(row["told"]),
            str(row["right"]),
            str(row["in_log"]),
            str(row["late"]),
            f"{row['last_report_after']:.1f} s",
            f"{row['absent']:.1f} s",
        ]
        for name, row in zip(_NAMES, rows, strict=True)
    ]
    return "\n".join(
        f"{line:<26}" + "".join(f"{column[at]:>34}" for column in columns) for at, line in enumerate(lines)
    )


def faults(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what was lost or told twice, in words."""
    return [
        f"{name}: {row['kills']} kills, {row['told']} told, {row['right']} with the right container"
        for name, row in zip(_NAMES, rows, strict=True)
        if not row["kills"] == row["told"] == row["right"]
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. Returns 1 when a kill was lost or told twice, 2 when nothing could be measured."""
    arguments = _parser().parse_args(words)
    if shutil.which("unshare") is None:
        print("bench.storm: unshare is not there: apt-get install util-linux", file=sys.stderr)
        return 2
    try:
        rows = measure(arguments.containers, arguments.kills)
    except TestbedError as error:
        print(f"bench.storm: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    bad = faults(rows)
    print("\n".join(f"MISSED {text}" for text in bad) or "every kill was told once, with its container")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
