"""The words of the matrix of kills: what is read from the kernel's log, the pod's status and the incidents."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from testbed.kill_kinds import KINDS, Kind, Told, manifest
from testbed.kill_words import Seen, api_words, fault, kernel_words, memdiag_words, table

UID = "0f2f1e2a-3b4c-4d5e-8f60-718293a4b5c6"
FLAT = UID.replace("-", "_")
POD = f"/kubepods.slice/kubepods-pod{FLAT}.slice"
SCOPE = f"{POD}/cri-containerd-{'a' * 64}.scope"
LOG = f"""tail invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=968
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={POD},task_memcg={SCOPE},task=tail,pid=71,uid=65532
Memory cgroup out of memory: Killed process 71 (tail) total-vm:1kB, anon-rss:1kB
Memory cgroup out of memory: Killed process 70 (sleep) total-vm:1kB, anon-rss:1kB
other invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=968
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task_memcg=/elsewhere,task=other,pid=72,uid=0
Out of memory: Killed process 72 (other) total-vm:1kB, anon-rss:1kB
"""


def incident(**changes: Any) -> dict[str, Any]:
    kill = {"kind": "ContainerKilled", "limitHit": "Container", "limitHitCgroup": POD, "victimCount": 2}
    spec = {"container": "main", "containerRole": "Regular", "source": "Kernel"}
    return {"spec": {**spec, "kill": {**kill, **changes}}}


def test_the_kernels_words_are_of_the_pod_alone() -> None:
    assert kernel_words(LOG, UID) == "memcg, limit of the pod's cgroup, 2 killed"
    assert kernel_words(LOG, "1" * 32) == "nothing in its log"
    node = LOG.replace(f"oom_memcg={POD}", "global_oom").replace("MEMCG", "NONE")
    assert kernel_words(node, UID).startswith("none, limit of the node")
    above = LOG.replace(f"oom_memcg={POD},", "oom_memcg=/kubepods.slice,")
    assert "a cgroup above the pod" in kernel_words(above, UID)
    own = LOG.replace(f"oom_memcg={POD},", f"oom_memcg={SCOPE},")
    assert "the container's cgroup" in kernel_words(own, UID)


def test_the_apis_words() -> None:
    end = {"terminated": {"reason": "Error", "exitCode": 137}}
    pod = {"status": {"initContainerStatuses": [{"name": "main", "state": {"running": {}}, "lastState": end}]}}
    assert api_words(pod, "main") == "Error 137"
    assert (
        api_words({"status": {"containerStatuses": [{"name": "main", "state": {"running": {}}}]}}, "main") == "running"
    )
    assert api_words({}, "main") == "no word"
    assert api_words(None, "main") == "no such pod"


@pytest.mark.parametrize(
    ("told", "incidents", "words"),
    [
        (Told(victims=2, cgroup="pod"), [incident()], ""),
        (Told(), [], "0 incidents, not 1"),
        (Told(), [incident(), incident()], "2 incidents, not 1"),
        (None, [], ""),
        (None, [incident()], "1 incidents, not 0"),
        (Told(limit_hit="Pod"), [incident()], "limit hit is Container, not Pod"),
        (Told(cgroup="container"), [incident()], "cgroup is pod, not container"),
        (Told(victims=3), [incident()], "victims is 2, not 3"),
    ],
)
def test_a_row_is_right_or_says_why_not(told: Told | None, incidents: list[dict[str, Any]], words: str) -> None:
    assert fault(told, incidents, "main") == words


def test_the_table_has_a_line_each() -> None:
    row = Seen(KINDS[0], "kernel", "api", memdiag_words([incident()]), "")
    head, line = table([row]).splitlines()
    assert head.split() == ["kind", "of", "end", "kernel", "API", "memdiag"]
    assert line.endswith("ContainerKilled, Container's limit, 2 killed, main  ok")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kubernetes_takes_each(kind: Kind) -> None:
    kubernetes_validate.validate(manifest(kind), "1.37", strict=True)
