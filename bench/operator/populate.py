"""Fill an API server: pods of realistic size, workloads whose pods are killed, and reports."""

from __future__ import annotations

import base64
import http.client
import json
import random
import ssl
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
import yaml

from memdiag.kube.api import METADATA
from memdiag.kube.kinds import REPORT

NAMESPACE = "memdiag-bench"
_SPACES = 40
_NODES = 100
_THREADS = 8
_AT_ONCE = 100
"""Pods of one transaction: etcd takes 128 operations and 1.5 MiB."""
_TRANSIENT = (429, 500, 503, 504)


class Pipe:
    """Connections to the API server as administrator, one a thread."""

    def __init__(self, kubeconfig: Path) -> None:
        found = yaml.safe_load(kubeconfig.read_text())
        server = found["clusters"][0]["cluster"]
        user = found["users"][0]["user"]
        where = urlsplit(server["server"])
        self._place = (str(where.hostname), int(where.port or 443))
        self._context = ssl.create_default_context(cafile=server["certificate-authority"])
        self._context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._own = threading.local()

    def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request, again while the server is overloaded. Raises RuntimeError when it is refused."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        while True:
            try:
                answer, said = self._exchange(method, path, text, kind)
            except (OSError, http.client.HTTPException):
                # the server closes connections that were idle for long
                self._own.connection = None
                answer, said = self._exchange(method, path, text, kind)
            if answer.status < 300:
                found: dict[str, Any] = json.loads(said)
                return found
            if answer.status not in _TRANSIENT:
                raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")

    def _exchange(self, method: str, path: str, text: str | None, kind: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(*self._place, context=self._context, timeout=60)
            self._own.connection = connection
        accept = METADATA if method == "POST" else "application/json"
        connection.request(method, path, text, {"Content-Type": kind, "Accept": accept})
        answer = connection.getresponse()
        return answer, answer.read()


@dataclass(frozen=True)
class Place:
    """A pod whose container is going to be killed."""

    namespace: str
    pod: str
    uid: str
    container_id: str
    node: str


def each(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Do the work for all items, a few at a time; return the results in order."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(work, items))


def identity(number: int) -> str:
    """Return a container ID."""
    return random.Random(number).randbytes(32).hex()  # noqa: S311 - no secret


def _container(name: str, port: int) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 10, "timeoutSeconds": 2}
    return {
        "name": name,
        "image": f"registry.example.com/team/{name}:2026.11.3-4f2a91c",
        "args": ["--listen", f":{port}", "--config", "/etc/app/config.yaml"],
        "env": [{"name": "UPSTREAM", "value": "https://service.internal.example:8443"}],
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "readinessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": True}],
    }


def pod_object(name: str, owner: dict[str, Any], node: str) -> dict[str, Any]:
    """Return a pod as a Deployment's is, with one container."""
    labels = {"app.kubernetes.io/name": owner["name"], "pod-template-hash": "5d4f8c7b9d"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "nodeName": node,
            "containers": [_container("app", 8080)],
            "volumes": [{"name": "config", "configMap": {"name": f"{owner['name']}-config"}}],
        },
    }


def _status(number: int, image: str) -> dict[str, Any]:
    began = "2026-11-01T00:00:00Z"
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "startTime": began,
        "podIP": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": began} for kind in kinds],
        "containerStatuses": [
            {
                "name": "app",
                "image": image,
                "imageID": f"{image}@sha256:{number:064x}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "containerID": f"containerd://{identity(number)}",
                "state": {"running": {"startedAt": began}},
            }
        ],
    }


def _stored(pipe: Pipe, namespace: str, owner: dict[str, Any]) -> str:
    """Create a pod that runs and return it as the API server has it: with its defaults, and who manages which field."""
    path, body = f"/api/v1/namespaces/{namespace}/pods", pod_object("model", owner, "node-0")
    pipe.send("POST", path, body)
    status = _status(0, body["spec"]["containers"][0]["image"])
    found = pipe.send("PATCH", f"{path}/model/status", {"status": status})
    pipe.send("DELETE", f"{path}/model?gracePeriodSeconds=0")
    del found["metadata"]["resourceVersion"]
    return json.dumps(found)


def pods(pipe: Pipe, etcd: str, owners: Sequence[tuple[str, dict[str, Any]]]) -> list[Place]:
    """Store a running pod for each entry of namespace and owner.

    One is made by the API server. The others are put beside it into etcd (its URL), alike to the byte but for names and
    IDs: through the API, 20,000 of them would take ten times as long as all that is measured.
    """
    model = _stored(pipe, *owners[0])

    def put(entry: tuple[int, tuple[str, dict[str, Any]]]) -> tuple[Place, dict[str, Any]]:
        number, (namespace, owner) = entry
        pod = json.loads(model)
        name, node = f"{owner['name']}-{number:05x}", f"node-{number % _NODES}"
        wanted = pod_object(name, owner, node)
        metadata, spec = pod["metadata"], pod["spec"]
        uid = str(uuid.UUID(int=random.Random(-number).getrandbits(128), version=4))  # noqa: S311 - no secret
        metadata |= wanted["metadata"] | {"namespace": namespace, "uid": uid}
        spec["nodeName"] = node
        spec["volumes"][0]["configMap"]["name"] = wanted["spec"]["volumes"][0]["configMap"]["name"]
        pod["status"] |= _status(number, spec["containers"][0]["image"])
        key, value = f"/registry/pods/{namespace}/{name}", json.dumps(pod, separators=(",", ":"))
        operation = {"requestPut": {"key": _base64(key), "value": _base64(value)}}
        return Place(namespace, name, uid, identity(number), node), operation

    places: list[Place] = []
    numbered = list(enumerate(owners))
    for begin in range(0, len(numbered), _AT_ONCE):
        made = [put(entry) for entry in numbered[begin : begin + _AT_ONCE]]
        body = json.dumps({"success": [operation for _, operation in made]}).encode()
        answer = urllib3.request("POST", f"{etcd}/v3/kv/txn", body=body, timeout=60)
        if answer.status != 200 or not answer.json().get("succeeded"):
            raise RuntimeError(f"etcd did not take the pods: {answer.data[:300]!r}")
        places += (place for place, _ in made)
    return places


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def spaces(pipe: Pipe) -> list[str]:
    """Create namespaces and nodes; return the namespaces."""
    names = [f"team-{number}" for number in range(_SPACES)]
    for name in (NAMESPACE, *names):
        pipe.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for number in range(_NODES):
        allocatable = {"memory": "64Gi", "cpu": "16", "pods": "250"}
        body = {"metadata": {"name": f"node-{number}"}, "status": {"allocatable": allocatable}}
        pipe.send("POST", "/api/v1/nodes", body)
    return names


def bystanders(names: list[str], count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return owners of pods that are never killed, ten pods each."""
    found = []
    for number in range(count):
        group = number // 10
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"service-{group}-5d4f8c7b9d"}
        found.append((names[group % len(names)], {**owner, "uid": f"00000000-0000-4000-8000-{group:012d}"}))
    return found


def workloads(pipe: Pipe, names: list[str], count: int, replicas: int) -> list[tuple[str, dict[str, Any]]]:
    """Create Deployments with a ReplicaSet each; return an owner for each pod to come."""

    def make(number: int) -> tuple[str, dict[str, Any]]:
        name, namespace = f"victim-{number}", names[number % len(names)]
        container = {"name": "app", "image": "registry.example.com/team/app:2026.11.3-4f2a91c"}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        path = f"/apis/apps/v1/namespaces/{namespace}"
        top = pipe.send("POST", f"{path}/deployments", {"metadata": {"name": name}, "spec": spec})
        above = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": top["metadata"]["uid"]}
        metadata = {"name": f"{name}-5d4f8c7b9d", "ownerReferences": [{**above, "controller": True}]}
        below = pipe.send("POST", f"{path}/replicasets", {"metadata": metadata, "spec": spec})
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": metadata["name"]}
        return namespace, {**owner, "uid": below["metadata"]["uid"]}

    return [owner for owner in each(make, range(count)) for _ in range(replicas)]


def deliver(pipe: Pipe, body: dict[str, Any]) -> None:
    """Create a report as an agent does."""
    pipe.send("POST", REPORT.path(NAMESPACE), body)
