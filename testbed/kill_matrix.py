"""The matrix of kinds of ends, run on a real node: lets each happen, and asks kernel, API and memdiag what it was."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from testbed import cluster
from testbed.kill_kinds import KINDS, NAMESPACE, Kind, manifest
from testbed.kill_words import Seen, api_words, fault, kernel_words, memdiag_words, table
from testbed.node import NAME
from testbed.shell import TestbedError, wait_for

CLUSTER = "matrix"
_PATIENCE_SECONDS = 150
_SETTLE_SECONDS = 5
_PAUSE_SECONDS = 1
_STATIC = "/etc/kubernetes/manifests"
_LATER = f"""singleProcessOOMKill: true
staticPodPath: {_STATIC}
evictionHard: {{memory.available: 1Mi}}
"""
_CEILING = (
    # systemd sets its own value again each time that the kubelet looks after its slices
    "systemctl set-property --runtime kubepods-besteffort.slice MemoryMax={0} || true; "
    "for file in /sys/fs/cgroup/kubepods*/*besteffort*/memory.max; do echo {1} > $file; done"
)
_BALLAST = "/run/ballast"
_LEFT_KIB = 160 << 10
"""What a full node still has: little enough for one process, which can map 65,000 pages in User-Mode Linux."""
_FILL = (
    f"mkdir -p {_BALLAST} && mount -t tmpfs -o size=100% none {_BALLAST} && "
    "free=$(awk '/^MemAvailable/ {print $2}' /proc/meminfo) && "
    f"fallocate -l $((free - {_LEFT_KIB}))K {_BALLAST}/file"
)
_LASTING = {
    "cap": (_CEILING.format("96M", "96M"), _CEILING.format("infinity", "max")),
    "fill": (_FILL, f"umount {_BALLAST}"),
}
"""What is done on the node while the pods of such an act run: limits what all pods without requests may take together,
or takes nearly all memory; and what undoes it."""


@dataclass(frozen=True)
class _State:
    """The namespace at one moment."""

    pods: list[dict[str, Any]]
    incidents: list[dict[str, Any]]


class Matrix:
    """One run of the matrix on a cluster with memdiag on it."""

    def __init__(self, found: cluster.Cluster, kinds: Sequence[Kind] = KINDS) -> None:
        self._cluster = found
        self._kinds = kinds
        self._uids: dict[str, str] = {}
        """UIDs as the node knows the pods by, by the kinds' names."""

    def run(self) -> list[Seen]:
        """Let every kind happen and return what was said of each. Raises TestbedError when the node does not do it."""
        self._cluster.kubectl("create", "namespace", NAMESPACE)
        wait_for("the namespace's service account", self._has_account, timeout=60, log=None)
        self._happen([kind for kind in self._kinds if not kind.later])
        if any(kind.later for kind in self._kinds):
            self._change_kubelet()
            self._happen([kind for kind in self._kinds if kind.later and kind.act != "fill"])
            # by themselves: nothing else shall start on a node without memory
            self._happen([kind for kind in self._kinds if kind.act == "fill"])
        time.sleep(_SETTLE_SECONDS)
        log = self._cluster.node.run("journalctl -k -o cat --no-pager")
        state = self._look()
        return [self._seen(kind, state, log) for kind in self._kinds]

    def _kubectl(self, *words: str, timeout: float = 60) -> str:
        return self._cluster.kubectl("-n", NAMESPACE, *words, timeout=timeout)

    def _has_account(self) -> bool:
        return "default" in self._kubectl("get", "serviceaccounts", "-o", "name")

    def _happen(self, kinds: Sequence[Kind]) -> None:
        with self._lasting({kind.act for kind in kinds}):
            self._create([kind for kind in kinds if not kind.static])
            for kind in kinds:
                if kind.static:
                    self._put_static(kind)
            for kind in kinds:
                if kind.act == "debug":
                    self._debug(kind)
            last = [kind for kind in kinds if kind.act == "delete"]
            self._wait([kind for kind in kinds if kind not in last])
            # in two seconds, which it has, it gets nowhere beside the others
            for kind in last:
                self._delete(kind)
            self._wait(last)

    @contextlib.contextmanager
    def _lasting(self, acts: AbstractSet[str]) -> Iterator[None]:
        """Do on the node what lasts for as long as these pods run."""
        with contextlib.ExitStack() as undo:
            for act in acts & _LASTING.keys():
                self._cluster.node.run(_LASTING[act][0])
                undo.callback(self._cluster.node.run, _LASTING[act][1])
            yield

    def _create(self, kinds: Sequence[Kind]) -> None:
        items = [manifest(kind) for kind in kinds]
        if not items:
            return
        file = self._cluster.plane.folder / "kinds.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        self._kubectl("create", "-f", str(file))

    def _put_static(self, kind: Kind) -> None:
        (self._cluster.plane.folder / "share" / f"{kind.name}.json").write_text(json.dumps(manifest(kind)))
        self._cluster.node.run(f"cp /testbed/{kind.name}.json {_STATIC}/")

    def _debug(self, kind: Kind) -> None:
        self._running(kind)
        words = [f"--image={kind.spec['containers'][0]['image']}", "--image-pull-policy=Never", "-c", kind.container]
        self._kubectl("debug", f"pod/{kind.name}", *words, "--", "tail", "/dev/zero")

    def _delete(self, kind: Kind) -> None:
        """Take the pod from the API; its container is told to end, and dies of memory then."""
        self._running(kind)
        self._look()
        self._kubectl("delete", "pod", kind.name, "--force", "--grace-period=0")

    def _change_kubelet(self) -> None:
        """Have single processes killed and static pods taken, as a node's owner would: by its file."""
        (self._cluster.plane.folder / "share" / "later.yaml").write_text(_LATER)
        self._cluster.node.run(
            f"mkdir -p {_STATIC} && cat /testbed/later.yaml >> /etc/kubernetes/kubelet.yaml && "
            "systemctl restart kubelet"
        )
        wait_for("the kubelet with its new settings", self._changed, timeout=60, log=None, interval=1)

    def _changed(self) -> bool:
        try:
            said = json.loads(self._kubectl("get", "--raw", f"/api/v1/nodes/{NAME}/proxy/configz"))
        except (TestbedError, ValueError):
            return False
        return bool(said["kubeletconfig"].get("singleProcessOOMKill"))

    def _look(self) -> _State:
        """Ask the API once for all kinds: a question for each would keep the machine busy that is to do the killing."""
        items = json.loads(self._kubectl("get", "pods,memoryincidents", "-o", "json"))["items"]
        pods = [item for item in items if item["kind"] == "Pod"]
        for kind in self._kinds:
            pod = _pod_of(kind, pods)
            if pod is not None:
                annotations = pod["metadata"].get("annotations") or {}
                self._uids[kind.name] = annotations.get("kubernetes.io/config.hash") or pod["metadata"]["uid"]
        return _State(pods, [item for item in items if item["kind"] == "MemoryIncident"])

    def _incidents(self, kind: Kind, state: _State) -> list[dict[str, Any]]:
        """Return the incidents of the kind's pod, by its UID: names may be another's beginning."""
        uid = self._uids.get(kind.name)
        return [item for item in state.incidents if item["spec"]["pod"]["uid"] == uid]

    def _running(self, kind: Kind) -> None:
        words = ("wait", "--for=condition=Ready", f"pod/{kind.name}", f"--timeout={_PATIENCE_SECONDS}s")
        self._kubectl(*words, timeout=_PATIENCE_SECONDS + 10)

    def _done(self, kind: Kind, state: _State) -> bool:
        if kind.told is not None and not self._incidents(kind, state):
            return False
        pod = _pod_of(kind, state.pods)
        words = api_words(pod, kind.container)
        return pod is None or kind.lives or words.split()[-1].isdigit()

    def _wait(self, kinds: Sequence[Kind]) -> None:
        """Wait until each is over and told of; what is not after a while stands in the table as it is."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        waiting = list(kinds)
        while waiting and time.monotonic() < deadline:
            self._cluster.node.check_alive()
            state = self._look()
            waiting = [kind for kind in waiting if not self._done(kind, state)]
            time.sleep(_PAUSE_SECONDS)

    def _seen(self, kind: Kind, state: _State, log: str) -> Seen:
        incidents = self._incidents(kind, state)
        return Seen(
            kind,
            kernel_words(log, self._uids.get(kind.name, "?")),
            api_words(_pod_of(kind, state.pods), kind.container),
            memdiag_words(incidents),
            fault(kind.told, incidents, kind.container),
        )


def _pod_of(kind: Kind, pods: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    name = f"{kind.name}-{NAME}" if kind.static else kind.name
    for pod in pods:
        metadata = pod["metadata"]
        if metadata["name"] == name or (kind.job and metadata.get("labels", {}).get("job-name") == kind.name):
            return pod
    return None


def main() -> int:
    """Bring up a node of its own, run the matrix on it, print the table, end the node. Returns 1 for a wrong row."""
    found = cluster.make(CLUSTER)
    try:
        cluster.bring_up(found)
        rows = Matrix(found).run()
    finally:
        found.down()
    print(table(rows))
    wrong = [row for row in rows if row.fault]
    print(f"{len(rows) - len(wrong)} of {len(rows)} kinds told as they were")
    return int(bool(wrong))
