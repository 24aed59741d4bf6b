"""Reports become incidents: names, whose limit it was, own history only, and nothing of other tenants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memdiag.controller.incidents import RUN_LABEL, from_report, from_status, late_evidence, pod_status
from memdiag.controller.podbook import PastRun
from memdiag.controller.resolve import UNKNOWN_CONTAINER, Resolved, by_elimination, by_status, died, replaced
from memdiag.kube.memory_incident import MemoryIncidentSpec
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import Pod, project
from memdiag.kube.workload import Workload
from memdiag.model.history import HistoryRun, encode
from memdiag.model.identity import UNKNOWN_CONTAINER_ID
from memdiag.model.kill import LimitHit, OomReport
from memdiag.model.report import FoldedKills, Report, to_spec
from tests.controller.support import MIB, ended, identity, pod_object, ramp, report, running

NOW = 1_700_000_000.0
WEB = Workload("apps/v1", "Deployment", "web", "uid-web")


def make_pod(*statuses: dict[str, Any], names: tuple[str, ...] = ("app",), **spec: Any) -> Pod:
    body = pod_object("shop", "web-abc-1", list(names), None)
    body["metadata"]["uid"] = "uid-1"
    body["spec"].update(spec)
    body["status"] = {"containerStatuses": list(statuses)}
    return project(body)


def parsed(found: Report) -> MemoryReportSpec:
    return MemoryReportSpec.model_validate(to_spec(found))


def built(found: Report, pod: Pod, past: dict[str, PastRun] | None = None) -> MemoryIncidentSpec:
    spec = parsed(found)
    resolved = by_status(found.container_id, pod, past or {}) or by_elimination(spec, pod, patient=False)
    assert resolved is not None
    body = from_report(spec, pod, resolved, WEB, past or {}, died=bool(died(spec, resolved)))
    assert body["metadata"]["labels"][RUN_LABEL] == found.container_id[:63].strip("-_.")
    return MemoryIncidentSpec.model_validate(body["spec"])


@pytest.mark.parametrize(
    ("hit", "pod_limit", "wanted", "words"),
    [
        (LimitHit.POD, None, LimitHit.CONTAINER, "sum of its containers' limits"),
        (LimitHit.POD, "512Mi", LimitHit.POD, "that the pod sets"),
        (LimitHit.CONTAINER, None, LimitHit.CONTAINER, "container's cgroup reached its limit of 128 MiB"),
        (LimitHit.ANCESTOR, None, LimitHit.ANCESTOR, "above the pod"),
        (LimitHit.NODE, None, LimitHit.NODE, "node ran out of memory"),
        (LimitHit.UNKNOWN, None, LimitHit.UNKNOWN, "Neither"),
    ],
)
def test_whose_limit_in_effect(hit: LimitHit, pod_limit: str | None, wanted: LimitHit, words: str) -> None:
    extra: dict[str, Any] = {} if pod_limit is None else {"resources": {"limits": {"memory": pod_limit}}}
    spec = built(report("uid-1", identity(1), NOW, limit_hit=hit), make_pod(running("app", identity(1)), **extra))
    assert spec.kill.limit_hit is wanted
    assert words in spec.kill.explanation


def test_who_filled_the_pods_limit_is_said_by_name_and_share() -> None:
    pod = make_pod(running("app", identity(1)), running("proxy", identity(2)), names=("app", "proxy"))
    shares = {identity(2): 5 * MIB, identity(1): 120 * MIB, identity(9): MIB}
    spec = built(report("uid-1", identity(1), NOW, shares=shares), pod)
    assert [(share.container, share.percent) for share in spec.kill.shares] == [("app", 94), ("proxy", 4)]
    assert "the container's own limit was hit" in spec.kill.explanation
    assert spec.kill.explanation.endswith("Container app filled it: it held 120 MiB, 94 %.")
    assert spec.kill.limit_hit_cgroup is not None
    assert spec.kill.limit_hit_cgroup.endswith("-poduid-1.slice")


def test_a_container_without_a_limit_dies_of_the_pods() -> None:
    body = pod_object("shop", "web-abc-1", ["app"], None)
    body["metadata"]["uid"] = "uid-1"
    body["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    body["status"] = {"ephemeralContainerStatuses": [running("debugger", identity(3))]}
    kill = built(report("uid-1", identity(3), NOW), project(body)).kill
    assert kill.limit_hit is LimitHit.POD
    assert "container debugger has no limit of its own" in kill.explanation


def test_a_container_that_ended_by_itself_after_a_kill_was_not_killed() -> None:
    for code, kind in ((0, "ProcessKilled"), (143, "ProcessKilled"), (137, "ContainerKilled")):
        pod = make_pod(ended("app", identity(1), "OOMKilled", code))
        spec = built(report("uid-1", identity(1), NOW, container_died=None), pod)
        assert spec.kill.kind == kind


def test_a_run_whose_end_nobody_saw_is_over_once_another_runs() -> None:
    spec = parsed(report("uid-1", identity(1), NOW, container_died=None))
    past = {identity(1): PastRun("app", 0, None)}
    for current, over in ((1, False), (2, True)):
        resolved = by_status(identity(1), make_pod(running("app", identity(current))), past)
        assert resolved is not None
        assert died(spec, resolved) is None
        assert replaced(spec, resolved) is over


def test_who_died_need_not_be_who_filled_it() -> None:
    pod = make_pod(running("app", identity(1)), running("proxy", identity(2)), names=("app", "proxy"))
    shares = {identity(1): 70 * MIB, identity(2): 20 * MIB}
    words = built(report("uid-1", identity(2), NOW, shares=shares), pod).kill.explanation
    assert "Container app filled it: it held 70 MiB, 55 %." in words
    assert "The kernel killed in container proxy, which held 20 MiB." in words
    assert "29 % was in no container's hands" in words


def test_the_longest_explanation_fits() -> None:
    names = ("a" * 63, "b" * 63)
    pod = make_pod(*(running(name, identity(at + 1)) for at, name in enumerate(names)), names=names)
    shares = {identity(1): 1, identity(2): 70 * MIB}
    assert len(built(report("uid-1", identity(1), NOW, shares=shares), pod).kill.explanation) <= 512


def test_a_kill_of_the_node_shows_nothing_of_other_tenants() -> None:
    lines = (
        "postgres invoked oom-killer: gfp_mask=0x140dca",
        "[  123.4] [ 9001]  1000  9001  12345 other-tenants-task",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=cri-containerd-other.scope,mems_allowed=0,task=app",
        "Out of memory: Killed process 4711 (app) total-vm:1kB",
    )
    base = report("uid-1", identity(1), NOW, limit_hit=LimitHit.NODE, limit_hit_cgroup="/system.slice/other")
    found = replace(base, kill=replace(base.kill, lines=lines, invoked_by="postgres"))
    spec = built(found, make_pod(running("app", identity(1))))
    text = str(spec.to_api())
    assert "other" not in text
    assert "postgres" not in text
    assert spec.kill.kernel_log[-1].startswith("Out of memory: Killed process 4711")
    assert "cpuset=-," in spec.kill.kernel_log[0]


def test_a_kill_inside_a_living_container_is_an_incident_of_its_own() -> None:
    pod = make_pod(running("app", identity(1)))
    first = parsed(report("uid-1", identity(1), NOW, container_died=False, ordinal=1))
    second = parsed(report("uid-1", identity(1), NOW, container_died=False, ordinal=2))
    end = parsed(report("uid-1", identity(1), NOW, ordinal=3))
    resolved = by_status(identity(1), pod, {})
    assert resolved is not None
    made = [
        from_report(spec, pod, resolved, WEB, {}, died=spec.kill.container_died is True)
        for spec in (first, second, end)
    ]
    assert [body["spec"]["kill"]["kind"] for body in made] == ["ProcessKilled", "ProcessKilled", "ContainerKilled"]
    assert len({body["metadata"]["name"] for body in made}) == 3
    status = from_status(pod, pod.containers[0], _end(identity(1)), WEB, NOW)
    assert status["metadata"]["name"] == made[2]["metadata"]["name"]


def test_folded_kills_are_a_summary_of_their_own() -> None:
    pod = make_pod(running("app", identity(1)))
    resolved = by_status(identity(1), pod, {})
    assert resolved is not None
    folded = FoldedKills(40, NOW, NOW + 9)
    spec = parsed(report("uid-1", identity(1), NOW + 9, ordinal=6, fold=folded, victim_count=40))
    body = from_report(spec, pod, resolved, WEB, {}, died=True)
    end = from_report(parsed(report("uid-1", identity(1), NOW, ordinal=5)), pod, resolved, WEB, {}, died=True)
    assert body["metadata"]["name"] != end["metadata"]["name"]
    kill = body["spec"]["kill"]
    assert (kill["kind"], kill["fold"]["count"], kill["victimCount"]) == ("Summary", 40, 40)
    assert kill["containerDied"] is True


def test_two_kills_of_containers_that_nobody_knows_are_two() -> None:
    pod = make_pod()
    unknown = Resolved("app", pod.containers[0], None, None)
    names = {
        from_report(
            parsed(report("uid-1", UNKNOWN_CONTAINER_ID, NOW, ordinal=number)), pod, unknown, WEB, {}, died=True
        )["metadata"]["name"]
        for number in (1, 2)
    }
    assert len(names) == 2


def _end(container_id: str) -> Any:
    (container,) = make_pod(ended("app", container_id, "OOMKilled", 137)).containers
    return container.terminations[0]


def test_only_runs_of_this_container_are_kept() -> None:
    runs = [
        (HistoryRun(identity(number), NOW - 900 + 100 * number, NOW), ramp(NOW - 500 + 100 * number)[::2])
        for number in (1, 2, 3, 4)
    ]
    found = report("uid-1", identity(4), NOW, history=encode(runs))
    pod = make_pod(running("app", identity(4), 2), running("proxy", identity(3)), names=("app", "proxy"))
    past = {identity(1): PastRun("app", 0, None), identity(2): PastRun("proxy", 0, None)}
    history = built(found, pod, past).history
    assert history is not None
    assert [run.container_id for run in history.runs] == [identity(1), identity(4)]
    rows = [len(text.split(" ")) for text in history.columns.values()]
    assert rows == [62] * len(history.columns)


def test_a_malformed_history_is_missing_and_the_kill_is_not() -> None:
    spec = parsed(report("uid-1", identity(1), NOW))
    assert spec.history is not None
    broken = spec.model_copy(
        update={"history": spec.history.model_copy(update={"columns": {**spec.history.columns, "anon": "1 2"}})}
    )
    pod = make_pod(running("app", identity(1)))
    resolved = by_status(identity(1), pod, {})
    assert resolved is not None
    body = from_report(broken, pod, resolved, WEB, {}, died=True)
    assert "history" not in body["spec"]
    assert any("history" in text for text in body["spec"]["missing"])


def test_one_container_is_told_at_once_several_are_waited_for() -> None:
    spec = parsed(report("uid-1", identity(9), NOW))
    only = by_elimination(spec, make_pod(running("app", identity(1))), patient=True)
    assert only is not None
    assert only.name == "app"
    pair = make_pod(running("app", identity(1)), running("proxy", identity(2)), names=("app", "proxy"))
    assert by_elimination(spec, pair, patient=True) is None
    lost = by_elimination(spec, pair, patient=False)
    assert lost is not None
    assert (lost.name, lost.container) == (UNKNOWN_CONTAINER, None)


def test_a_limit_that_one_container_has_tells_its_name() -> None:
    spec = parsed(report("uid-1", identity(9), NOW))
    body = pod_object("shop", "web-abc-1", ["app", "proxy"], None)
    body["metadata"]["uid"] = "uid-1"
    body["spec"]["containers"][1]["resources"] = {"limits": {"memory": "64Mi"}}
    found = by_elimination(spec, project(body), patient=False)
    assert found is not None
    assert found.name == "app"
    assert found.doubt is not None


def test_a_run_of_the_past_has_its_name() -> None:
    pod = make_pod(running("app", identity(5), 4), running("proxy", identity(2)), names=("app", "proxy"))
    found = by_status(identity(1), pod, {identity(1): PastRun("app", 1, _end(identity(1)))})
    assert found is not None
    assert (found.name, found.restarts) == ("app", 1)
    assert found.container is not None
    assert died(parsed(report("uid-1", identity(1), NOW, container_died=None)), found) is True


def test_whether_it_died_may_be_unknown() -> None:
    spec = parsed(report("uid-1", identity(1), NOW, container_died=None))
    assert died(spec, Resolved("app", None, None, None)) is None


def test_the_kernels_word_comes_late_and_once() -> None:
    pod = make_pod(ended("app", identity(1), "OOMKilled", 137))
    first = from_status(pod, pod.containers[0], pod.containers[0].terminations[0], WEB, NOW)
    spec = parsed(report("uid-1", identity(1), NOW))
    late = late_evidence(first, spec, pod)
    assert late is not None
    (evidence,) = late["status"]["lateEvidence"]
    assert (evidence["source"], evidence["limitHit"]) == ("Kernel", "Container")
    assert evidence["history"]["runs"]
    assert late_evidence({**first, **late}, spec, pod) is None
    kernel = {**first, "spec": {**first["spec"], "source": "Kernel"}}
    assert late_evidence(kernel, spec, pod) is None


def test_what_the_api_says() -> None:
    assert pod_status(_end(identity(1))) == {
        "status": {"podStatus": {"reason": "OOMKilled", "exitCode": 137, "finishedTime": "2026-01-01T00:10:00Z"}}
    }


def test_little_known_is_still_an_incident() -> None:
    kill = OomReport(None, None, None, None, group_kill=False, victims=())
    found = Report("node-a", "boot", "uid-1", identity(1), 1, NOW, kill, LimitHit.UNKNOWN, container_died=True)
    spec = built(found, make_pod(running("app", identity(1))))
    assert (spec.kill.victim, spec.kill.victim_rss, spec.history) == (None, None, None)
    assert spec.limits.limit == "128Mi"
