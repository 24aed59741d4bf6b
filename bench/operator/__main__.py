"""What the operator needs: `python -m bench.operator --help`."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.operator import chain, populate
from bench.operator.kill import report
from bench.operator.measure import STEPS, Operator, Running, Ways, quantile, reports_left, shares
from testbed.cache import REPOSITORY
from testbed.control_plane import ControlPlane, instance
from testbed.shell import TestbedError

_MIB = 2**20
_REPLICAS = 20
_APART = 20
"""Workloads whose kills come one at a time."""
_PASS = 135.0
"""Seconds in which the operator's periodic loop has run once."""
_CORE = os.cpu_count() or 1
_STARTING, _SEEING, _WORKING = 120.0, 300.0, 600.0


@dataclass(frozen=True)
class Bar:
    """A figure and what it may be at most."""

    what: str
    value: float
    most: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is met."""
        return self.value <= self.most

    def __str__(self) -> str:
        return f"{'ok    ' if self.met else 'MISSED'} {self.what:<66} {self.value:8.1f} of {self.most:6.1f} {self.unit}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.operator",
        description="Runs the real operator, on one core, against a real API server full of pods, and kopf's own pod "
        "watch beside it; then kills one at a time, then 1,000 reports at once, then a restart with all that is kept.",
        epilog="Kills are timed from the moment that the API server has the report; with --node from the "
        "kernel's kill.",
    )
    add = parser.add_argument
    add("--pods", type=int, default=20_000, metavar="N", help="default: 20000")
    add("--incidents", type=int, default=2_000, metavar="N", help="kept at the restart (default: 2000)")
    add("--reports", type=int, default=1_000, metavar="N", help="at once (default: 1000)")
    add("--kills", type=int, default=200, metavar="N", help="one at a time (default: 200)")
    add("--node", type=int, metavar="KILLS", help="instead: so many kills on a real node, each followed to its verdict")
    add("-o", "--output", type=Path, metavar="FILE", help="also write the figures as JSON")
    return parser


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _kopf(plane: ControlPlane, pods: int, folder: Path) -> dict[str, float]:
    words = ["-m", "bench.operator.kopf_watch", str(plane.kubeconfig), str(pods)]
    peer = Running(words, folder / "kopf.log", _CORE - 1)
    try:
        took = peer.until("kopf's pod watch", lambda: "seen" in peer.log.read_text(), _SEEING)
        time.sleep(5)
        used = peer.usage()
    finally:
        peer.end()
    return {"seconds": took, "rss": used.rss, "peak": used.peak, "cpu": used.cpu}


def _started(plane: ControlPlane, folder: Path, name: str) -> tuple[Operator, dict[str, float]]:
    operator = Operator(plane.kubeconfig, folder / f"{name}.log", _CORE - 1)
    took = operator.until("the operator", operator.ready, _SEEING)
    time.sleep(5)
    used = operator.usage()
    return operator, {"seconds": took, "rss": used.rss, "peak": used.peak, "cpu": used.cpu}


def _one_at_a_time(plane: ControlPlane, pipe: populate.Pipe, places: Sequence[populate.Place]) -> list[Any]:
    ways, left, found = Ways(plane), reports_left(plane), []
    for seed, place in enumerate(places):
        populate.deliver(pipe, report(place, seed, time.time()))
        found.append(ways.next())
        while left():
            time.sleep(0.02)
    return found


def _at_once(
    plane: ControlPlane, pipe: populate.Pipe, places: Sequence[populate.Place], operator: Operator
) -> dict[str, float]:
    now, left, before = time.time(), reports_left(plane), operator.usage().cpu
    bodies = [report(place, seed, now - seed % 60) for seed, place in enumerate(places)]
    random.Random(0).shuffle(bodies)  # noqa: S311 - no secret
    began = time.monotonic()
    populate.each(partial(populate.deliver, pipe), bodies)
    delivered = time.monotonic() - began
    operator.until("the reports", lambda: left() == 0, _WORKING, pause=0.25)
    took = time.monotonic() - began
    used = operator.usage()
    size = sum(len(json.dumps(body, separators=(",", ":"))) for body in bodies) / len(bodies)
    return {
        "reports": len(places),
        "bytes": size,
        "delivered": delivered,
        "seconds": took,
        "cpu": used.cpu - before,
        "peak": used.peak,
    }


def _counted(plane: ControlPlane) -> tuple[int, int]:
    """Return how many incidents are kept and how many kills all diagnoses count."""
    kept = plane.kubectl("get", "memoryincidents", "-A", "-o", "name", timeout=300).count("\n")
    totals = plane.kubectl("get", "memorydiagnoses", "-A", "-o", "jsonpath={.items[*].status.kills.total}", timeout=300)
    return kept, sum(map(int, totals.split()))


def measure(plane: ControlPlane, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures. Raises TestbedError."""
    plane.kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    pipe = populate.Pipe(plane.kubeconfig)
    names = populate.spaces(pipe)
    kept = -(-arguments.incidents // _REPLICAS)
    victims = populate.workloads(pipe, names, kept + _APART, _REPLICAS)
    others = populate.bystanders(names, arguments.pods - len(victims))
    _say(f"storing {arguments.pods} pods")
    began = time.monotonic()
    places = populate.pods(pipe, plane.etcd, [*victims, *others])[: len(victims)]
    sample = json.loads(plane.kubectl("get", "--raw", "/api/v1/pods?limit=200"))["items"]
    size = sum(len(json.dumps(item, separators=(",", ":"))) for item in sample) / len(sample)
    _say(f"took {time.monotonic() - began:.0f} s; a pod is {size:.0f} bytes; kopf's own watch")
    figures: dict[str, Any] = {"pods": arguments.pods, "pod_bytes": size}
    figures["kopf"] = _kopf(plane, arguments.pods, folder)
    _say("the operator's first start")
    operator, figures["first start"] = _started(plane, folder, "first")
    apart, rest = places[: _APART * _REPLICAS], places[_APART * _REPLICAS :]
    try:
        _say(f"{arguments.kills} kills, one at a time")
        figures["ways"] = _one_at_a_time(plane, pipe, apart[: arguments.kills])
        figures["bursts"] = []
        for begin in range(0, len(rest), arguments.reports):
            _say(f"{arguments.reports} reports at once")
            figures["bursts"].append(_at_once(plane, pipe, rest[begin : begin + arguments.reports], operator))
        figures["incidents"], figures["kills"] = _counted(plane)
        figures["reported"] = len(rest) + min(arguments.kills, len(apart))
    finally:
        operator.end()
    _say("restart with all that is kept")
    operator, figures["restart"] = _started(plane, folder, "restart")
    try:
        time.sleep(_PASS)
        used = operator.usage()
        figures["after a pass"] = {"rss": used.rss, "peak": used.peak, "cpu": used.cpu}
    finally:
        operator.end()
    return figures


def bars(figures: dict[str, Any]) -> list[Bar]:
    """Return the design's bars with what was measured."""
    whole = [sum(way) for way in figures["ways"]]
    peak = max(burst["peak"] for burst in figures["bursts"])
    return [
        Bar("RSS at most, first start, MiB", figures["first start"]["peak"] / _MIB, 150, "MiB"),
        Bar("RSS at most, through all kills", peak / _MIB, 150, "MiB"),
        Bar(
            f"RSS at most, restart with {figures['incidents']} incidents kept",
            figures["after a pass"]["peak"] / _MIB,
            150,
            "MiB",
        ),
        *(
            Bar(f"{burst['reports']} reports of {burst['bytes'] / 1024:.0f} KiB at once", burst["seconds"], 60, "s")
            for burst in figures["bursts"]
        ),
        Bar("report to verdict, 99th percentile", quantile(whole, 0.99), 2, "s"),
    ]


def table(figures: dict[str, Any]) -> str:
    """Return what was measured as text."""
    lines = [f"{figures['pods']} pods of {figures['pod_bytes']:.0f} bytes; one core", ""]
    lines.append(f"{'':<34} {'seconds':>8} {'CPU s':>8} {'RSS MiB':>8} {'at most':>8}")
    for name, said in (
        ("kopf", "kopf's own pod watch"),
        ("first start", "operator, no incident yet"),
        ("restart", f"operator, {figures['incidents']} incidents kept"),
    ):
        row = figures[name]
        lines.append(
            f"{said:<34} {row['seconds']:8.1f} {row['cpu']:8.1f} {row['rss'] / _MIB:8.1f} {row['peak'] / _MIB:8.1f}"
        )
    ways, whole = figures["ways"], [sum(way) for way in figures["ways"]]
    lines += ["", f"{len(ways)} kills one at a time, from the report's creation; milliseconds"]
    lines.append(f"{'':<34} {'share':>8} {'median':>8} {'p99':>8}")
    for name, share, step in zip(STEPS, shares(ways), zip(*ways, strict=True), strict=True):
        middle, high = (1000 * quantile(step, at) for at in (0.5, 0.99))
        lines.append(f"{name:<34} {100 * share:6.0f} % {middle:8.0f} {high:8.0f}")
    lines.append(f"{'all':<34} {100:6.0f} % {1000 * quantile(whole, 0.5):8.0f} {1000 * quantile(whole, 0.99):8.0f}")
    lines += ["", f"{figures['reported']} kills reported, {figures['kills']} counted"]
    for burst in figures["bursts"]:
        lines.append(
            f"{burst['reports']} reports at once: delivered within {burst['delivered']:.1f} s, worked off within "
            f"{burst['seconds']:.1f} s, {burst['cpu']:.1f} s of CPU"
        )
    return "\n".join(lines)


def _on_node(kills: int) -> int:
    """Print the way of kills on a real node. Returns the exit status."""
    try:
        ways = chain.run(kills)
    except TestbedError as error:
        print(f"bench.operator: --node {kills}: {error}", file=sys.stderr)
        return 2
    bar = Bar("kill to verdict, 99th percentile", quantile([sum(way) for way in ways], 0.99), 2, "s")
    print(f"{chain.table(ways)}\n\n{bar}")
    return int(not bar.met)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables. Returns 1 when a bar is missed or a kill is not counted, 2 when nothing could be measured."""
    arguments = _parser().parse_args(words)
    if arguments.node:
        return _on_node(arguments.node)
    if shutil.which("taskset") is None:
        print("bench.operator: taskset is not there: apt-get install util-linux", file=sys.stderr)
        return 2
    plane = instance(f"bench-{os.getpid()}", networked=False)
    with tempfile.TemporaryDirectory(prefix="memdiag-bench-") as folder:
        try:
            plane.up()
            figures = measure(plane, arguments, Path(folder))
        except (TestbedError, RuntimeError) as error:
            print(f"bench.operator: {error}", file=sys.stderr)
            return 2
        finally:
            plane.down()
    print(table(figures))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    found = bars(figures)
    print("\n" + "\n".join(map(str, found)))
    wrong = figures["kills"] != figures["reported"]
    if wrong:
        print(f"WRONG  {figures['reported']} kills were reported and {figures['kills']} counted")
    return int(wrong or not all(bar.met for bar in found))


if __name__ == "__main__":
    sys.exit(main())
