"""The demo: a cluster from nothing, memdiag on it, three workloads that the kernel kills, and what memdiag says."""

from __future__ import annotations

import json
import os
import time

from testbed import cluster, kind
from testbed.cache import REPOSITORY
from testbed.progress import Progress, Step
from testbed.shell import TestbedError
from testbed.target import NAMESPACE, Target

NAME = "demo"
_PATIENCE_SECONDS = 240
_LAGGARD_SECONDS = 20
_UNDECIDED = ("", "Inconclusive")


def causes(found: Target) -> list[str]:
    """Return the cause of each diagnosis in the default namespace, empty where there is none yet."""
    items = json.loads(found.kubectl("get", "memorydiagnoses", "-n", "default", "-o", "json"))["items"]
    return [item.get("status", {}).get("cause", "") for item in items]


def deployments() -> int:
    """Return how many Deployments the examples have."""
    return sum(path.read_text().count("\nkind: Deployment\n") for path in (REPOSITORY / "examples").glob("*.yaml"))


def wait_for_verdicts(found: Target, patience: float = _PATIENCE_SECONDS) -> str:
    """Wait until every example is diagnosed; an honest Inconclusive at the end is left standing."""
    deadline = time.monotonic() + patience
    wanted = deployments()
    while True:
        found.check_alive()
        seen = causes(found)
        decided = [cause for cause in seen if cause not in _UNDECIDED]
        if len(decided) >= wanted:
            return f"{wanted} verdicts"
        if time.monotonic() > deadline:
            if not seen:
                raise TestbedError(f"no diagnosis after {patience:.0f} s\n{found.state_of(NAMESPACE)}")
            return f"{len(decided)} of {wanted} verdicts"
        time.sleep(2)


def wait_for_api_words(found: Target) -> None:
    """Give the kubelet a moment to tell the API how the containers ended: that word comes after memdiag's."""
    deadline = time.monotonic() + _LAGGARD_SECONDS
    while time.monotonic() < deadline:
        incidents = json.loads(found.kubectl("get", "memoryincidents", "-A", "-o", "json"))["items"]
        if all("podStatus" in incident.get("status", {}) for incident in incidents):
            return
        time.sleep(1)


def show(found: Target, end: str) -> str:
    """Return what `kubectl` says at the end: the strongest verdict in full, then the kills, then one row each."""
    wait_for_api_words(found)
    names = found.kubectl(
        "get", "memorydiagnoses", "-n", "default", "-o", "name", "--sort-by=.status.confidencePercent"
    )
    screens = [["get", "nodes"], ["get", "pods", "-A"]]
    screens += [["describe", name] for name in names.split()[-1:]]
    screens += [["get", "memoryincidents", "-A"], ["get", "memorydiagnosis", "-A"]]
    shown = [f"$ kubectl {' '.join(words)}\n{found.kubectl(*words)}" for words in screens]
    kubectl = f"KUBECONFIG={found.kubeconfig} {found.program('kubectl')}"
    look = f"{kubectl} get memorydiagnosis -A\n  {kubectl} describe memorydiagnosis"
    return "\n".join([*shown, f"It goes on running. Look around:\n  {look}\nStop it:\n  {end}"])


def up() -> str:
    """Run the whole demo and return its last screen."""
    found = cluster.make(NAME)
    if found.plane.process("apiserver").pid is not None:
        print("A demo is up already; it is replaced.", flush=True)
    took = cluster.bring_up(found, _examples(found, "helm install memdiag"))
    return _last_screen(found, "make demo-down", took)


def up_on_kind() -> str:
    """Run the same demo on a cluster that kind makes in Docker, and return its last screen."""
    found = kind.make()
    took = Progress([*kind.up_steps(found), *_examples(found, "helm install memdiag")]).run()
    return _last_screen(found, "make demo-down KIND=1", took)


def _examples(found: Target, after: str) -> list[Step]:
    return [
        Step("start examples", found.run_examples, (after,), 2),
        Step("wait for kills and verdicts", lambda: wait_for_verdicts(found), ("start examples",), 90),
    ]


def _last_screen(found: Target, end: str, took: float) -> str:
    return f"{show(found, end)}\nDone in {took // 60:.0f} min {took % 60:.0f} s on {os.cpu_count()} cores."


def down() -> None:
    """End the demo."""
    cluster.make(NAME).down()


def down_on_kind() -> None:
    """End the demo on kind."""
    kind.make().down()
