"""A shop of three Deployments that the kernel kills: real recorded traces, made into objects by the operator's code."""

from __future__ import annotations

import argparse
import gzip
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memdiag.cli.target import Target
from memdiag.controller.diagnoser import Diagnoser, Subject
from memdiag.controller.incidents import from_report
from memdiag.controller.resolve import by_status
from memdiag.diagnosis import diagnose
from memdiag.kube.api import Api, NotFoundError
from memdiag.kube.kinds import INCIDENT
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import project
from memdiag.kube.workload import find_workload
from memdiag.model.history import HistoryRun, encode
from memdiag.model.kill import Constraint, LimitHit, OomReport, Task
from memdiag.model.process import Process, Processes
from memdiag.model.report import to_spec
from memdiag.model.trace import Run, Sample, Trace, Victim
from memdiag.model.tracefile import parse
from tests.controller.support import MIB, MemoryApi, identity, merged, report, running

FIXTURES = Path(__file__).parents[1] / "diagnosis/fixtures"
_STEP = 2
"""Every so many samples of a recording are kept, as an agent thins them."""

_KILL = OomReport(
    time=100.0,
    constraint=Constraint.MEMCG,
    oom_memcg="/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-2.scope",
    task_memcg=None,
    group_kill=False,
    victims=(Victim(pid=4711, comm="python3", anon_rss=93 * MIB, file_rss=MIB, shmem_rss=0),),
    tasks=(Task(4711, "python3", rss=94 * MIB, pgtables=MIB // 4), Task(4700, "sh", rss=MIB, pgtables=MIB // 16)),
    usage_bytes=96 * MIB,
    limit_bytes=96 * MIB,
    invoked_by="python3",
    lines=(
        "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=976",
        "Memory cgroup out of memory: Killed process 4711 (python3) anon-rss:95232kB, file-rss:1024kB",
    ),
)


def recorded(name: str, ago: float = 60.0) -> Trace:
    """Return a recorded trace whose last kill was so many seconds ago; its living last run is left out."""
    with gzip.open(FIXTURES / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        trace = parse(stream, name)
    runs = [run for run in trace.runs if run.end is not None]
    shift = time.time() - ago - max(run.end.t for run in runs if run.end is not None)
    return replace(trace, runs=tuple(_moved(run, shift) for run in runs))


def _moved(run: Run, shift: float) -> Run:
    assert run.end is not None
    return replace(
        run,
        started=None if run.started is None else run.started + shift,
        samples=tuple(replace(sample, t=sample.t + shift) for sample in run.samples),
        end=replace(run.end, t=run.end.t + shift),
    )


def kill(api: Api, pod_path: str, trace: Trace, first: int = 1) -> Subject:
    """Write the incidents of a trace's kills into the cluster, as of that pod's container `app`, and the diagnosis."""
    item = api.get(pod_path)
    seen: list[tuple[HistoryRun, Sequence[Sample]]] = []
    for number, run in enumerate(trace.runs, first):
        assert run.end is not None
        in_force = item["spec"]["containers"][0]["resources"]  # a kubelet that can resize says what is in force
        now = {**running("app", identity(number), number), "resources": in_force}
        item["status"] = {"phase": "Running", "containerStatuses": [now]}
        pod = project(item)
        samples = run.samples[::-1][::_STEP][::-1]
        seen.append((HistoryRun(identity(number), run.started, run.end.t, killed=True), samples))
        told = report(pod.uid, identity(number), run.end.t, history=encode(seen), container=run.samples[-1].level)
        told = replace(told, ordinal=number, limit_hit=LimitHit.CONTAINER, kill=_KILL)
        grown = Process(4711, "python3", rss=93 * MIB, threads=2, grew=70 * MIB, over=45.0)
        told = replace(told, processes=Processes(run.end.t - 1, 2, (grown, Process(4700, "sh", rss=MIB))))
        spec = MemoryReportSpec.model_validate(to_spec(told))
        resolved = by_status(identity(number), pod, {})
        assert resolved is not None
        workload = find_workload(pod, api)
        body = from_report(spec, pod, resolved, workload, {}, died=True)
        api.create(INCIDENT.path(pod.namespace), body)
    api.patch(f"{pod_path}/status", {"status": item["status"]})
    subject = Subject(pod.namespace, workload, "app")
    Diagnoser(api, _verdict).write(subject)
    return subject


def _verdict(trace: Trace, siblings: Sequence[Trace], hit: LimitHit | None, around: Any) -> Any:
    return diagnose(trace, siblings, limit_hit=hit, surroundings=around)


class World(MemoryApi):
    """The fake API with what the commands need beyond it: strategic patches, and the pods' resize subresource."""

    def get(self, path: str, query: Any = None) -> dict[str, Any]:
        assert set(query or ()) <= {"limit"}, "this fake filters lists only"
        return super().get(path)

    def strategic_patch(self, path: str, body: Any) -> dict[str, Any]:
        self.calls.append(("STRATEGIC", path))
        place = path.removesuffix("/resize")
        now = self.get(place)
        if path.endswith("/resize") and "/pods/" not in path:
            raise NotFoundError(path, 404)
        self.put(place, by_name(now, body))
        return self.get(place)


def by_name(target: Any, patch: Any) -> Any:
    """Return the target after a strategic merge patch: containers merge by name, all else as in a JSON merge patch."""
    if isinstance(patch, dict):
        result = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            result[key] = by_name(result.get(key), value)
        return result
    if isinstance(patch, list) and patch and isinstance(patch[0], dict) and "name" in patch[0]:
        changes = {one["name"]: one for one in patch}
        return [by_name(one, changes.get(one["name"], {})) for one in target]
    return merged(target, patch)


def deployment(name: str, container: dict[str, Any]) -> dict[str, Any]:
    """Return a Deployment with one container."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def container(limit: str = "96Mi", request: str | None = None) -> dict[str, Any]:
    """Return the container `app` with a memory limit."""
    resources = {"limits": {"memory": limit}, "requests": {"memory": request or limit}}
    return {"name": "app", "image": "example.org/app:1", "resources": resources}


def stocked(api: Api, namespace: str, name: str, pods: int = 1) -> list[str]:
    """Create a Deployment, its ReplicaSet and its pods; return the paths of the pods."""
    base, body = f"/apis/apps/v1/namespaces/{namespace}", deployment(name, container())
    top = api.create(f"{base}/deployments", body)
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": top["metadata"]["uid"]}
    metadata = {"name": f"{name}-abc", "ownerReferences": [{**owner, "controller": True}]}
    below = api.create(f"{base}/replicasets", {**body, "kind": "ReplicaSet", "metadata": metadata})
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-abc", "uid": below["metadata"]["uid"]}
    paths = []
    for number in range(pods):
        pod = f"{name}-abc-x7k2{number}"
        of_pod: dict[str, Any] = {
            "name": pod,
            "labels": {"app": name, "pod-template-hash": "abc"},
            "ownerReferences": [{**owner, "controller": True}],
        }
        spec = {"nodeName": "node-a", "containers": [container()]}
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": of_pod, "spec": spec}
        api.create(f"/api/v1/namespaces/{namespace}/pods", item)
        paths.append(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    return paths


def stock(api: Api, namespace: str) -> None:
    """Make the whole shop: checkout leaks in two replicas, sessions grows, reports has too low a limit."""
    pods = stocked(api, namespace, "checkout", 2)
    kill(api, pods[1], recorded("leak-2", 3600.0), 11)
    kill(api, pods[0], recorded("leak-1"), 21)
    kill(api, stocked(api, namespace, "sessions")[0], recorded("growth-1", 7200.0), 31)
    kill(api, stocked(api, namespace, "reports")[0], recorded("low-limit-1", 600.0), 41)


Action = Callable[[argparse.Namespace, Target], int]


def said(action: Action, target: Target, *words: str) -> int:
    """Run a command's action on a target, with the command line of its module."""
    parser = argparse.ArgumentParser()
    importlib.import_module(action.__module__).configure(parser)
    return action(parser.parse_args(words), target)
