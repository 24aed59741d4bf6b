"""Objects as the agent and the kubelet would make them, and a cluster's other parts by hand."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from memdiag.kube.api import AlreadyExistsError, Api, ConflictError, NotFoundError, PermanentError
from memdiag.kube.kinds import API_VERSION, DIAGNOSIS, INCIDENT, KINDS, REPORT, definition
from memdiag.model.history import HistoryRun, encode
from memdiag.model.kill import Constraint, LimitHit, OomReport
from memdiag.model.report import Report, to_object
from memdiag.model.trace import Level, Sample, Victim

OWN_NAMESPACE = "memdiag-system"
MIB = 2**20
_T = TypeVar("_T")


def identity(number: int) -> str:
    """Return a container ID as runtimes make them."""
    return f"{number:064x}"


def ramp(end: float, seconds: int = 300, low: int = 20 * MIB, high: int = 125 * MIB) -> list[Sample]:
    """Return samples of a run whose anonymous memory rises steadily until `end` (Unix seconds)."""
    count = 60
    return [
        Sample(
            t=end - seconds + seconds * step / count,
            level=Level(
                current=low + (high - low) * step // count + 2 * MIB,
                max=128 * MIB,
                stat={
                    "anon": low + (high - low) * step // count,
                    "file": MIB,
                    "shmem": 0,
                    "kernel": MIB,
                    "slab_reclaimable": MIB // 2,
                    "sock": 0,
                },
                cpu={"usage_usec": step * 50_000},
                pids=4,
            ),
            net={"rx_packets": step * 100},
        )
        for step in range(count + 1)
    ]


def report(pod_uid: str, container_id: str, when: float, **changes: Any) -> Report:
    """Return the report of a container that was killed at its pod's limit."""
    samples = ramp(when)
    facts: dict[str, Any] = {
        "node": "node-a",
        "boot_id": "5a0e3d1c-0000-4000-8000-000000000001",
        "pod_uid": pod_uid,
        "container_id": container_id,
        "ordinal": 1,
        "time": when,
        "kill": OomReport(
            time=100.0,
            constraint=Constraint.MEMCG,
            oom_memcg=f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_uid}.slice",
            task_memcg=None,
            group_kill=False,
            victims=(Victim(pid=4711, comm="python3", anon_rss=124 * MIB, file_rss=MIB, shmem_rss=0),),
            usage_bytes=128 * MIB,
            limit_bytes=128 * MIB,
            invoked_by="python3",
            lines=("Memory cgroup out of memory: Killed process 4711 (python3) anon-rss:126976kB",),
        ),
        "limit_hit": LimitHit.POD,
        "limit_hit_cgroup": f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_uid}.slice",
        "container_died": True,
        "container": samples[-1].level,
        "history": encode([(HistoryRun(container_id, samples[0].t, when, killed=True), samples)]),
    }
    return Report(**{**facts, **changes})


def report_object(name: str, found: Report, namespace: str = OWN_NAMESPACE) -> dict[str, Any]:
    """Return the object that the agent creates."""
    return to_object(found, name, namespace)


def pod_object(namespace: str, name: str, containers: list[str], owner: dict[str, Any] | None) -> dict[str, Any]:
    """Return a pod whose containers have a limit of 128 MiB each."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"pod-template-hash": "abc"}}
    if owner is not None:
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    resources = {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": "node-a",
            "containers": [{"name": one, "image": "example.org/app:1", "resources": resources} for one in containers],
        },
    }


def running(name: str, container_id: str, restarts: int = 0) -> dict[str, Any]:
    """Return the status of a container that runs."""
    return {
        "name": name,
        "image": "example.org/app:1",
        "imageID": "sha256:1",
        "ready": True,
        "restartCount": restarts,
        "containerID": f"containerd://{container_id}",
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }


def ended(name: str, container_id: str, reason: str, code: int, restarts: int = 0) -> dict[str, Any]:
    """Return the status of a container that ended and was not started again yet."""
    end = {
        "containerID": f"containerd://{container_id}",
        "exitCode": code,
        "reason": reason,
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:10:00Z",
    }
    return {**running(name, container_id, restarts), "ready": False, "state": {"terminated": end}}


class Cluster:
    """The parts of a cluster that a lone API server lacks, played by hand."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.namespaces: list[str] = []

    def namespace(self, name: str, **labels: str) -> str:
        """Create a namespace."""
        self.namespaces.append(name)
        metadata = {"name": name, "labels": labels}
        self.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return name

    def deployment(self, namespace: str, name: str) -> dict[str, Any]:
        """Create a Deployment and its ReplicaSet; return the reference by which its pods name their owner."""
        template = {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "example.org/app:1"}]},
        }
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        base = f"/apis/apps/v1/namespaces/{namespace}"
        top = self.api.create(
            f"{base}/deployments",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
        )
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": top["metadata"]["uid"]}
        below = self.api.create(
            f"{base}/replicasets",
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {"name": f"{name}-abc", "ownerReferences": [{**reference, "controller": True}]},
                "spec": spec,
            },
        )
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{name}-abc",
            "uid": below["metadata"]["uid"],
        }

    def pod(
        self,
        namespace: str,
        name: str,
        containers: list[str],
        owner: dict[str, Any] | None = None,
        node: str = "node-a",
    ) -> str:
        """Create a pod and return its UID."""
        body = pod_object(namespace, name, containers, owner)
        body["spec"]["nodeName"] = node
        return str(self.api.create(f"/api/v1/namespaces/{namespace}/pods", body)["metadata"]["uid"])

    def pod_status(self, namespace: str, name: str, *statuses: dict[str, Any]) -> None:
        """Write the status of a pod's containers as the kubelet would."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.api.patch(path, {"status": {"phase": "Running", "containerStatuses": list(statuses)}})

    def report(self, name: str, found: Report, namespace: str = OWN_NAMESPACE) -> None:
        """Create a report as an agent would."""
        self.api.create(REPORT.path(namespace), report_object(name, found, namespace))

    def reports(self) -> list[str]:
        """Return the names of the reports that are still there."""
        return [item["metadata"]["name"] for item in self.api.get(REPORT.path(OWN_NAMESPACE))["items"]]

    def incidents(self, namespace: str) -> list[dict[str, Any]]:
        """Return the incidents of a namespace, oldest kill first."""
        items: list[dict[str, Any]] = self.api.get(INCIDENT.path(namespace))["items"]
        return sorted(items, key=lambda item: str(item["spec"]["kill"]["time"]))

    def diagnosis(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a diagnosis, None when there is none."""
        try:
            return self.api.get(DIAGNOSIS.path(namespace, name))
        except NotFoundError:
            return None

    def total(self, namespace: str, name: str) -> int:
        """Return how many kills a diagnosis counts, 0 when there is none."""
        found = self.diagnosis(namespace, name) or {}
        return int(found.get("status", {}).get("kills", {}).get("total", 0))


def wait_for(what: Callable[[], _T | None], seconds: float = 20.0) -> _T:
    """Return the first true answer. Fails with the question's name when none comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = what()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def serve_kinds(api: Api) -> None:
    """Have the API server serve our kinds as they are now; other tests share it."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in KINDS:
        wanted = definition(kind)
        try:
            api.create(definitions, wanted)
        except AlreadyExistsError:
            api.patch(f"{definitions}/{wanted['metadata']['name']}", {"spec": wanted["spec"]})
    wait_for(lambda: _kinds_served(api))


def _kinds_served(api: Api) -> bool:
    try:
        found = api.get(f"/apis/{API_VERSION}")
    except PermanentError:
        return False
    return {kind.plural for kind in KINDS} <= {resource["name"] for resource in found["resources"]}


class OperatorProcess:
    """The real operator as a process of its own."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *words: str,
        namespace: str = OWN_NAMESPACE,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._words = ["--namespace", namespace, "--kubeconfig", str(kubeconfig), *words]
        self._env = {**os.environ, **(env or {})}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            words = [sys.executable, "-m", "memdiag", "operator", *self._words]
            self._process = subprocess.Popen(words, stderr=log, stdout=log, env=self._env)

    def stop(self) -> int:
        """Ask it to end and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(20)
        finally:
            self._process.kill()

    def kill(self) -> None:
        """End it without asking; nothing happens when it was never started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)

    def log(self) -> str:
        """Return what it logged."""
        return self._log.read_text() if self._log.exists() else ""


def token_kubeconfig(admin: Path, token: str, target: Path) -> Path:
    """Write a kubeconfig for the same server with a token instead of the administrator's certificate."""
    found = yaml.safe_load(admin.read_text())
    found["users"][0]["user"] = {"token": token}
    target.write_text(yaml.safe_dump(found))
    return target


def merged(target: Any, patch: Any) -> Any:
    """Return the target after a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class MemoryApi:
    """An API of dictionaries with the verbs' documented behaviour: versions, conflicts, merge patches, subresources."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self._version = 0

    def put(self, path: str, item: dict[str, Any]) -> None:
        """Place an object as if it had always been there."""
        self._version += 1
        item.setdefault("metadata", {})["resourceVersion"] = str(self._version)
        item["metadata"].setdefault("generation", 1)
        item["metadata"].setdefault("uid", f"uid-{self._version}")
        self.objects[path] = item

    def get(self, path: str, query: object = None) -> dict[str, Any]:
        assert not query, "this fake filters lists only"
        self.calls.append(("GET", path))
        if path not in self.objects:
            raise NotFoundError(path, 404)
        return copy.deepcopy(self.objects[path])

    def create(self, path: str, body: Any) -> dict[str, Any]:
        item = copy.deepcopy(dict(body))
        place = f"{path}/{item['metadata']['name']}"
        self.calls.append(("POST", place))
        if place in self.objects:
            raise AlreadyExistsError(place, 409)
        item["metadata"].setdefault("namespace", path.split("/namespaces/")[1].split("/", maxsplit=1)[0])
        self.put(place, item)
        return copy.deepcopy(item)

    def replace(self, path: str, body: Any) -> dict[str, Any]:
        self.calls.append(("PUT", path))
        place = path.removesuffix("/status")
        now = self.get(place)
        if body["metadata"]["resourceVersion"] != now["metadata"]["resourceVersion"]:
            raise ConflictError(place, 409)
        kept = {**now, "status": body["status"]} if path.endswith("/status") else {**body, "status": now.get("status")}
        self.put(place, copy.deepcopy(kept))
        return self.get(place)

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        self.calls.append(("PATCH", path))
        place = path.removesuffix("/status")
        self.put(place, merged(self.get(place), body))
        return self.get(place)

    def delete(self, path: str, version: str | None = None) -> None:
        self.calls.append(("DELETE", path))
        found = self.objects.get(path)
        if found is not None and version not in (None, found["metadata"]["resourceVersion"]):
            raise ConflictError(path, 409)
        self.objects.pop(path, None)

    def pages(self, path: str, query: Any = None) -> Iterator[dict[str, Any]]:
        self.calls.append(("LIST", path))
        label, _, value = str((query or {}).get("labelSelector", "")).partition("=")
        plural = path.rsplit("/", 1)[1]
        namespace = path.split("/namespaces/")[1].split("/", maxsplit=1)[0] if "/namespaces/" in path else None
        items = [
            copy.deepcopy(item)
            for place, item in list(self.objects.items())
            if f"/{plural}/" in place
            and (namespace is None or item["metadata"]["namespace"] == namespace)
            and (not label or item["metadata"].get("labels", {}).get(label) == value)
        ]
        yield {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def metadata(self, path: str) -> Iterator[dict[str, Any]]:
        for page in self.pages(path):
            yield {**page, "items": [{"metadata": item["metadata"]} for item in page["items"]]}

    def watch(self, path: str, query: object, read_timeout: float) -> Iterator[dict[str, Any]]:
        self.calls.append((f"WATCH {query} {read_timeout}", path))
        yield from ()
