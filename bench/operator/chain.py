"""A kill's whole way on a real node: from the kernel's kill to the verdict, with what each step took."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bench.operator.measure import quantile, shares
from memdiag.kube.api import HttpApi, TransientError, connect
from memdiag.kube.kinds import DIAGNOSIS, INCIDENT, REPORT
from testbed import cluster
from testbed.shell import TestbedError
from testbed.target import NAMESPACE

STEPS = ("kill to report", "report to incident", "incident to verdict")
_SPACE = "bench"
_IMAGE = "python:3.13-slim-trixie"
_APART = 6.0
"""Seconds from one kill to the next."""
_START_ONE = 8.0
"""Seconds in which the node starts a pod."""
_LATE = 60.0
_WARM = 20.0
_GREEDY = "sleep $(({at} - $(date +%s))); exec tail /dev/zero"

Seen = dict[str, float]
"""The name of a pod, and when (Unix seconds) something was first seen of it."""


class Watches:
    """When reports, incidents and verdicts of each pod were first seen, by watches of the API server."""

    def __init__(self, api: HttpApi) -> None:
        self._api = api
        self.killed: Seen = {}
        self.steps: tuple[Seen, Seen, Seen] = ({}, {}, {})
        self._reports: Seen = {}

    def follow(self) -> None:
        """Begin to watch, each kind in a thread that ends with the process."""
        for path, take in (
            (REPORT.path(NAMESPACE), self.report_seen),
            (INCIDENT.path(_SPACE), self.incident_seen),
            (DIAGNOSIS.path(_SPACE), self.verdict_seen),
        ):
            threading.Thread(target=self._watch, args=(path, take), daemon=True).start()

    def _watch(self, path: str, take: Callable[[Mapping[str, Any], float], None]) -> None:
        while True:
            try:
                for event in self._api.watch(path, {}, 300.0):
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        take(event["object"], time.time())
            except TransientError:
                time.sleep(0.1)

    def report_seen(self, found: Mapping[str, Any], now: float) -> None:
        """Note when (Unix seconds) a report came."""
        self._reports.setdefault(found["spec"]["podUID"], now)

    def incident_seen(self, found: Mapping[str, Any], now: float) -> None:
        """Note when an incident came, and of which kill it is."""
        pod = found["spec"]["pod"]
        self.steps[1].setdefault(pod["name"], now)
        self.killed.setdefault(pod["name"], datetime.fromisoformat(found["spec"]["kill"]["time"]).timestamp())
        if pod["uid"] in self._reports:
            self.steps[0].setdefault(pod["name"], self._reports[pod["uid"]])

    def verdict_seen(self, found: Mapping[str, Any], now: float) -> None:
        """Note when the verdict on a pod came."""
        if found.get("status", {}).get("cause"):
            self.steps[2].setdefault(found["spec"]["targetRef"]["name"], now)

    def ways(self) -> list[tuple[float, ...]]:
        """Return what each of STEPS took (seconds) for every kill whose verdict was seen."""
        reports, incidents, verdicts = self.steps
        return [
            (
                reports[pod] - self.killed[pod],
                incidents[pod] - reports[pod],
                verdicts[pod] - incidents[pod],
            )
            for pod in verdicts
            if pod in incidents and pod in reports
        ]


def _victim(number: int, at: float) -> dict[str, Any]:
    container = {
        "name": "greedy",
        "image": _IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", _GREEDY.format(at=round(at))],
        "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "1Mi"}},
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"victim-{number}"}, "spec": spec}


def measure(found: cluster.Cluster, kills: int) -> list[tuple[float, ...]]:
    """Return the way of each kill, one every few seconds, in pods of their own. Raises TestbedError."""
    found.kubectl("create", "namespace", _SPACE)
    watches = Watches(HttpApi(connect(found.kubeconfig)))
    watches.follow()
    first = time.time() + _WARM + _START_ONE * kills
    pods = [_victim(number, first + _APART * number) for number in range(kills)]
    file = found.plane.folder / "victims.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    found.kubectl("create", "-n", _SPACE, "-f", str(file))
    last = first + _APART * kills + _LATE
    while len(watches.steps[2]) < kills and time.time() < last:
        found.check_alive()
        time.sleep(0.5)
    ways = watches.ways()
    if len(ways) < kills:
        raise TestbedError(f"of {kills} kills only {len(ways)} came to a verdict\n{found.state_of(_SPACE)}")
    return ways


def table(ways: list[tuple[float, ...]]) -> str:
    """Return the ways as text, in milliseconds."""
    whole = [sum(way) for way in ways]
    lines = [f"{len(ways)} kills on a real node; milliseconds"]
    lines.append(f"{'':<22} {'share':>8} {'median':>8} {'p99':>8}")
    for name, share, step in zip(STEPS, shares(ways), zip(*ways, strict=True), strict=True):
        middle, high = (1000 * quantile(step, at) for at in (0.5, 0.99))
        lines.append(f"{name:<22} {100 * share:6.0f} % {middle:8.0f} {high:8.0f}")
    lines.append(f"{'all':<22} {100:6.0f} % {1000 * quantile(whole, 0.5):8.0f} {1000 * quantile(whole, 0.99):8.0f}")
    return "\n".join(lines)


def run(kills: int) -> list[tuple[float, ...]]:
    """Bring up a node, measure, end it, and return the ways. Raises TestbedError."""
    found = cluster.make("bench")
    try:
        cluster.bring_up(found)
        return measure(found, kills)
    finally:
        found.down()
