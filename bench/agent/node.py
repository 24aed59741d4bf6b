"""The agent beside the kubelet on a real node: what each costs while the same containers run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from testbed import cluster, images

_NAMESPACE = "bench"
_OF_A_POD = 2
_READY_SECONDS = 300
_WARM_SECONDS = 40
_COUNTED = {
    "memdiag agent": "memdiag agent",
    "kubelet": "/usr/local/bin/kubelet",
    "containerd": "/usr/local/bin/containerd",
}
"""Name, and how its command line begins or what it holds."""
_LOOK = r"""
for folder in /proc/[0-9]*; do
  words=$(tr '\0' ' ' < $folder/cmdline 2>/dev/null) || continue
  case "$words" in *memdiag\ agent*|/usr/local/bin/kubelet*|/usr/local/bin/containerd\ *|/usr/local/bin/containerd)
    pss=$(awk '/^Pss:/ {print $2}' $folder/smaps_rollup 2>/dev/null)
    echo "$(sed 's/.*) //' $folder/stat | cut -d' ' -f12,13) ${pss:-0} $words" ;;
  esac
done
"""
_TICKS = 100


@dataclass(frozen=True)
class Cost:
    """What one program cost."""

    name: str
    cpu: float
    """Share of one core."""
    pss: int
    """Bytes."""


def _look(found: cluster.Cluster) -> dict[str, tuple[float, int]]:
    """Return CPU seconds and PSS (bytes) of each program on the node."""
    seen: dict[str, tuple[float, int]] = {}
    for line in found.node.run(_LOOK).splitlines():
        user, system, pss, words = line.split(" ", 3)
        name = next((name for name, part in _COUNTED.items() if part in words), None)
        if name is not None:
            before = seen.get(name, (0.0, 0))
            seen[name] = (before[0] + (int(user) + int(system)) / _TICKS, before[1] + int(pss) * 1024)
    return seen


def _sleepers(found: cluster.Cluster, pods: int) -> None:
    """Start pods of two containers that sleep, and wait until they run."""
    container = {
        "image": f"{images.MEMDIAG}:testbed",
        "imagePullPolicy": "Never",
        "command": ["sleep", "100000"],
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "1m", "memory": "8Mi"}},
    }
    containers = [{"name": f"sleeper-{number}", **container} for number in range(_OF_A_POD)]
    labels = {"app": "sleeper"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "sleepers", "namespace": _NAMESPACE}
    file = found.plane.folder / "sleepers.json"
    file.write_text(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
    found.kubectl("create", "namespace", _NAMESPACE)
    found.kubectl("create", "-f", str(file))
    words = ("rollout", "status", "-n", _NAMESPACE, "deployment/sleepers", f"--timeout={_READY_SECONDS}s")
    found.kubectl(*words, timeout=_READY_SECONDS + 10)


def measure(found: cluster.Cluster, pods: int, seconds: float) -> list[Cost]:
    """Return what the agent, the kubelet and containerd cost beside so many pods. Raises TestbedError."""
    _sleepers(found, pods)
    time.sleep(_WARM_SECONDS)
    before, began = _look(found), time.monotonic()
    time.sleep(seconds)
    after, took = _look(found), time.monotonic() - began
    return [Cost(name, (cpu - before.get(name, (0.0, 0))[0]) / took, pss) for name, (cpu, pss) in after.items()]


def table(costs: list[Cost], containers: int) -> str:
    """Return the figures as text."""
    lines = [f"on a node with {containers} containers   CPU       PSS MiB"]
    lines += [f"{cost.name:<30}  {100 * cost.cpu:6.2f} %  {cost.pss / 2**20:8.1f}" for cost in costs]
    return "\n".join(lines)


def run(pods: int, seconds: float) -> str:
    """Bring up a node, measure, end it, and return the table. Raises TestbedError."""
    found = cluster.make("bench")
    try:
        cluster.bring_up(found)
        return table(measure(found, pods, seconds), pods * _OF_A_POD)
    finally:
        found.down()
