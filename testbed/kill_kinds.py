"""The kinds of ends that a container can meet: a pod for each, and what memdiag must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbed import images

NAMESPACE = "kills"
_LIMIT = "16Mi"
_EAT = "exec tail /dev/zero"
_ONCE = f"[ -e /flag/died ] && exec sleep 100000; touch /flag/died; {_EAT}"
_WAIT = "exec sleep 100000"
_LAST_WISH = f"trap '{_EAT}' TERM; head -c 12M /dev/zero > /dev/shm/file; sleep 100000 & wait"
"""Dies of memory as soon as it is told to end: a pod deleted by force has two seconds, so most is taken before."""
_FLAG: dict[str, Any] = {"volumes": [{"name": "flag", "emptyDir": {}}]}


@dataclass(frozen=True)
class Told:
    """What an incident must say; None is anything."""

    kind: str = "ContainerKilled"
    limit_hit: str = "Container"
    role: str = "Regular"
    victims: int | None = None
    cgroup: str | None = None
    """Whose cgroup the kernel named: `container` or `pod`."""


@dataclass(frozen=True)
class Kind:
    """One kind of end: a pod by this name, and what is to be told of it. `told` None: no incident may be made."""

    name: str
    title: str
    spec: Mapping[str, Any]
    told: Told | None = Told()
    container: str = "main"
    """Whose end it is about."""
    lives: bool = False
    """The container outlives it, or is started again."""
    act: str = ""
    """What the testbed has to do: `cap` the cgroup above, `fill` the node, `debug` or `delete` the pod."""
    job: bool = False
    static: bool = False
    later: bool = False
    """Needs a kubelet that kills single processes and takes static pods: see `kill_matrix`."""
    ring: bool = False
    """Also in the ring of tests, which has a minute for it; all are in `make matrix`."""


def _container(name: str, script: str, limit: str | None = _LIMIT, **more: Any) -> dict[str, Any]:
    memory = {} if limit is None else {"resources": {"limits": {"memory": limit}, "requests": {"memory": limit}}}
    shell = {"image": f"{images.MEMDIAG}:testbed", "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    return {"name": name, **shell, "securityContext": {"runAsUser": 65532}, **memory, **more}


def _pod(*containers: dict[str, Any], restart: str = "Never", **more: Any) -> dict[str, Any]:
    quick = {"terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False}
    return {"restartPolicy": restart, "containers": list(containers), **quick, **more}


_MOUNT: dict[str, Any] = {"volumeMounts": [{"name": "flag", "mountPath": "/flag"}]}
_PROBE = {
    "exec": {"command": ["false"]},
    "initialDelaySeconds": 1,
    "periodSeconds": 1,
    "failureThreshold": 1,
    "terminationGracePeriodSeconds": 1,
}

KINDS = (
    Kind(
        "main-process",
        "main process, started again",
        _pod(_container("main", _ONCE, **_MOUNT), restart="Always", **_FLAG),
        Told(cgroup="pod"),
        lives=True,
    ),
    Kind(
        "group",
        "group kill of four processes",
        _pod(_container("main", f"sleep 1000 & sleep 1000 & sleep 1000 & {_EAT}")),
        Told(victims=4),
    ),
    Kind(
        "init",
        "init container",
        _pod(_container("main", _WAIT), initContainers=[_container("setup", _EAT)]),
        Told(role="Init"),
        container="setup",
        ring=True,
    ),
    Kind(
        "sidecar",
        "native sidecar, its own limit",
        _pod(
            _container("main", _WAIT),
            initContainers=[_container("proxy", _ONCE, restartPolicy="Always", **_MOUNT)],
            **_FLAG,
        ),
        Told(role="Sidecar", cgroup="container"),
        container="proxy",
        lives=True,
        ring=True,
    ),
    Kind(
        "ephemeral",
        "ephemeral container (kubectl debug)",
        _pod(_container("main", _WAIT)),
        Told(role="Ephemeral", limit_hit="Pod", cgroup="pod"),
        container="debugger",
        act="debug",
        ring=True,
    ),
    Kind("job", "Job, restartPolicy Never", _pod(_container("main", _EAT)), job=True),
    Kind("brief", "container that lives under a second", _pod(_container("main", _EAT))),
    Kind(
        "deleted",
        "pod already deleted, by force",
        _pod(_container("main", _LAST_WISH)),
        act="delete",
        ring=True,
    ),
    Kind(
        "own-limit",
        "container's own limit, beside another",
        _pod(_container("main", _EAT), _container("other", _WAIT, "48Mi")),
        Told(cgroup="container"),
    ),
    Kind(
        "pod-limit",
        "limit of the pod itself (spec.resources)",
        _pod(
            _container("main", _EAT, None),
            _container("other", _WAIT, None),
            resources={"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}},
        ),
        Told(limit_hit="Pod", cgroup="pod"),
    ),
    Kind(
        "ancestor",
        "limit above the pod",
        _pod(_container("main", _EAT, None)),
        Told(limit_hit="Ancestor"),
        act="cap",
    ),
    Kind(
        "sigkill",
        "137 without a kernel kill",
        _pod(_container("main", f"trap '' TERM; {_WAIT}", livenessProbe=_PROBE)),
        None,
        ring=True,
    ),
    Kind(
        "child",
        "child, its container lives",
        _pod(_container("main", f"tail /dev/zero; {_WAIT}")),
        Told("ProcessKilled", victims=1),
        lives=True,
        later=True,
    ),
    Kind(
        "exit-0",
        "exit 0 after a child's kill",
        _pod(_container("main", "tail /dev/zero; exit 0")),
        Told("ProcessKilled", victims=1),
        later=True,
    ),
    Kind(
        "exit-143",
        "exit 143 after a child's kill",
        _pod(_container("main", "tail /dev/zero; exit 143")),
        Told("ProcessKilled", victims=1),
        later=True,
    ),
    Kind("static", "static pod", _pod(_container("main", _EAT)), static=True, later=True),
    Kind(
        "node",
        "the whole node",
        _pod(_container("main", _EAT, None)),
        Told(limit_hit="Node"),
        act="fill",
        later=True,
    ),
)


def manifest(kind: Kind) -> dict[str, Any]:
    """Return the object to create."""
    metadata = {"name": kind.name, "namespace": NAMESPACE}
    if not kind.job:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": kind.spec}
    job = {"backoffLimit": 0, "template": {"spec": kind.spec}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job}
