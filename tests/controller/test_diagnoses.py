"""Incidents become traces, counts and the status of a diagnosis."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memdiag.controller import diagnoses
from memdiag.controller.forecasts import forecast_of
from memdiag.controller.incidents import from_report, late_evidence
from memdiag.controller.kills import KEPT_INCIDENTS, tally
from memdiag.controller.resolve import by_status
from memdiag.controller.traces import Incident, read, traces
from memdiag.diagnosis import diagnose
from memdiag.kube.memory_diagnosis import (
    MOST_COUNTED,
    Kills,
    MemoryDiagnosisSpec,
    MemoryDiagnosisStatus,
    TargetReference,
)
from memdiag.kube.memory_incident import Role
from memdiag.kube.memory_report import MemoryReportSpec
from memdiag.kube.pods import project
from memdiag.kube.workload import Workload
from memdiag.model.history import HistoryRun, encode
from memdiag.model.report import FoldedKills, from_rfc3339, rfc3339, to_spec
from memdiag.model.verdict import Action, Cause, Diagnosis, Evidence, Forecast, Mechanism, Recommendation, StopGap
from tests.controller.support import MIB, identity, pod_object, ramp, report, running

NOW = 1_700_000_000.0
WEB = Workload("apps/v1", "Deployment", "web", "uid-web")
SPEC = MemoryDiagnosisSpec(
    target_ref=TargetReference(api_version="apps/v1", kind="Deployment", name="web"), container="app"
)


def incident_object(number: int, pod: str = "web-abc-1", when: float = NOW, **changes: Any) -> dict[str, Any]:
    body = pod_object("shop", pod, ["app"], None)
    body["metadata"]["uid"] = f"uid-{pod}"
    body["status"] = {"containerStatuses": [running("app", identity(number), number)]}
    found = project(body)
    spec = MemoryReportSpec.model_validate(to_spec(report(found.uid, identity(number), when, **changes)))
    resolved = by_status(identity(number), found, {})
    assert resolved is not None
    return from_report(spec, found, resolved, WEB, {}, died=spec.kill.container_died is not False)


def incident(number: int, pod: str = "web-abc-1", when: float = NOW, **changes: Any) -> Incident:
    return read(incident_object(number, pod, when, **changes))


def test_one_trace_a_pod_newest_first_runs_in_order() -> None:
    found = traces(
        "shop",
        [incident(2, when=NOW + 600), incident(1), incident(3, pod="web-abc-2", when=NOW + 300)],
    )
    assert [trace.pod for trace in found] == ["web-abc-1", "web-abc-2"]
    first = found[0]
    assert [run.container_id for run in first.runs] == [identity(1), identity(2)]
    assert (first.limit_bytes, first.request_bytes) == (128 * MIB, 64 * MIB)
    assert (first.namespace, first.container, first.workload_name) == ("shop", "app", "web")
    for run in first.runs:
        assert run.end is not None
        assert run.end.killed
        assert run.end.level.stat["anon"] == 125 * MIB
        assert run.end.kernel_log
        assert len(run.samples) == 61
        assert (run.image, run.revision) == ("example.org/app:1", "abc")


def test_the_most_complete_history_of_a_run_wins() -> None:
    both = encode([(HistoryRun(identity(1), NOW, NOW), ramp(NOW)[:5]), (HistoryRun(identity(2), NOW, NOW), ramp(NOW))])
    later = incident_object(2, when=NOW + 600)
    later["spec"]["history"]["runs"] = [{"containerID": identity(1)}, {"containerID": identity(2)}]
    later["spec"]["history"]["columns"] = both.columns
    (trace,) = traces("shop", [incident(1), read(later)])
    assert [len(run.samples) for run in trace.runs] == [61, 61]


def test_a_kill_of_a_child_leaves_the_run_alive() -> None:
    found = incident(1, container_died=False)
    (trace,) = traces("shop", [found])
    (run,) = trace.runs
    (kill,) = run.kills
    assert (kill.t, kill.victims[0].comm) == (NOW, "python3")
    assert run.end is None or not run.end.killed or run.end.t == NOW


def test_the_apis_word_and_late_evidence_are_read() -> None:
    body = incident_object(1)
    body["spec"]["source"] = "PodStatus"
    body["spec"]["kill"]["limitHit"] = "Unknown"
    del body["spec"]["history"]
    spec = MemoryReportSpec.model_validate(to_spec(report("uid-web-abc-1", identity(1), NOW)))
    pod_body = pod_object("shop", "web-abc-1", ["app"], None)
    pod_body["metadata"]["uid"] = "uid-web-abc-1"
    late = late_evidence(body, spec, project(pod_body))
    assert late is not None
    late["status"]["podStatus"] = {"reason": "OOMKilled", "exitCode": 137}
    found = read({**body, **late})
    assert (found.kernel_spoke, found.limit_hit) == (True, "Container")
    ((run,),) = [trace.runs for trace in traces("shop", [found])]
    assert run.end is not None
    assert (run.end.reason, run.end.exit_code, run.end.killed) == ("OOMKilled", 137, True)
    assert len(run.samples) == 61


def test_a_kill_that_only_the_api_saw_is_not_the_kernels() -> None:
    body = incident_object(1)
    body["spec"]["source"] = "PodStatus"
    ((run,),) = [trace.runs for trace in traces("shop", [read(body)])]
    assert run.end is not None
    assert run.end.killed is None


def test_kills_are_counted_once() -> None:
    first = tally(Kills(), [incident(1), incident(2, when=NOW + 60)])
    assert (first.kills.total, first.uncounted, first.expendable) == (2, 0, ())
    again = tally(first.kills, [incident(1), incident(2, when=NOW + 60)])
    assert again.kills == first.kills
    third = tally(first.kills, [incident(2, when=NOW + 60), incident(3, when=NOW + 30)])
    assert third.kills.total == 3
    assert len(third.kills.counted) == 2
    assert third.kills.last_time == first.kills.last_time
    assert [kill.time for kill in third.kills.recent] == sorted(
        (kill.time for kill in third.kills.recent), reverse=True
    )


def test_a_summary_counts_all_its_kills_once() -> None:
    folded = FoldedKills(2990, NOW, NOW + 598)
    summary = incident(2, when=NOW + 598, ordinal=6, container_died=False, fold=folded)
    first = tally(Kills(), [incident(1), summary])
    assert first.kills.total == 2991
    assert tally(first.kills, [incident(1), summary]).kills == first.kills
    newest = first.kills.recent[0]
    assert (newest.kind, newest.count) == ("Summary", 2990)
    assert first.kills.recent[1].count is None
    assert from_rfc3339(first.kills.last_time or "") == NOW + 598


def test_a_summary_ends_the_run_only_when_the_container_ended() -> None:
    folded = FoldedKills(7, NOW - 60, NOW)
    ((alive,),) = [trace.runs for trace in traces("shop", [incident(1, container_died=False, fold=folded)])]
    assert [kill.t for kill in alive.kills] == [NOW]
    ((dead,),) = [trace.runs for trace in traces("shop", [incident(1, fold=folded)])]
    assert dead.end is not None
    assert (dead.end.killed, dead.end.t, dead.kills) == (True, NOW, ())


def test_nothing_is_deleted_before_it_is_counted() -> None:
    many = [incident(number, when=NOW + number) for number in range(MOST_COUNTED + 30)]
    first = tally(Kills(), many)
    assert (first.kills.total, first.uncounted) == (MOST_COUNTED, 30)
    assert len(first.kills.recent) == 10
    assert set(first.expendable) <= set(first.kills.counted)
    left = [one for one in many if one.name not in first.expendable]
    second = tally(first.kills, left)
    assert (second.kills.total, second.uncounted) == (MOST_COUNTED + 30, 0)
    assert len([one for one in left if one.name not in second.expendable]) == KEPT_INCIDENTS


def verdict(action: Action = Action.RAISE_LIMIT, **changes: Any) -> Diagnosis:
    facts: dict[str, Any] = {
        "cause": Cause.UNDERESTIMATED_LIMIT,
        "mechanism": Mechanism.STEADY_ABOVE_LIMIT,
        "confidence": 0.876,
        "summary": "It needs more than it may have.",
        "evidence": (
            Evidence("plateau", Cause.UNDERESTIMATED_LIMIT, 134217728.0, 0.5, 1.25, "It is flat."),
            Evidence("slope", Cause.LEAK, None, "n/a", -2.0, "It does not rise."),
        ),
        "missing": (),
        "recommendation": Recommendation(action, 256 * MIB, 200 * MIB, (240 * MIB, 300 * MIB), "peak demand and 20 %"),
    }
    return Diagnosis(**{**facts, **changes})


def say(found: Diagnosis | None, before: MemoryDiagnosisStatus | None = None, now: float = NOW) -> dict[str, Any]:
    one = incident(1)
    return diagnoses.status(
        before or MemoryDiagnosisStatus(),
        SPEC,
        generation=3,
        incidents=[one],
        kills=tally(Kills(), [one]).kills,
        found=found,
        now=now,
    ).to_api()


def test_the_status_says_what_to_do_next_and_what_would_settle_it() -> None:
    status = say(verdict(next_steps=("Take two heap profiles.",), would_settle=("One more restart.",)))
    assert (status["nextSteps"], status["wouldSettle"]) == (["Take two heap profiles."], ["One more restart."])


def test_the_status_says_the_verdict() -> None:
    status = say(verdict())
    assert (status["cause"], status["mechanism"], status["confidencePercent"]) == (
        "UnderestimatedLimit",
        "SteadyAboveLimit",
        88,
    )
    assert status["observedGeneration"] == 3
    assert (status["limit"], status["request"], status["recommended"]) == ("128Mi", "64Mi", "256Mi")
    assert status["evidence"][0] == {
        "name": "plateau",
        "for": "UnderestimatedLimit",
        "value": "134217728",
        "threshold": "0.5",
        "weight": "1.25",
        "statement": "It is flat.",
    }
    assert status["recommendation"]["range"] == {"low": "240Mi", "high": "300Mi"}
    patch = json.loads(status["recommendation"]["patch"])
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container == {"name": "app", "resources": {"limits": {"memory": "256Mi"}, "requests": {"memory": "200Mi"}}}


@pytest.mark.parametrize(
    ("action", "text"),
    [(Action.FIX_LEAK, "fix leak"), (Action.KEEP_LIMIT, "keep"), (Action.MOVE_OR_ADD_MEMORY, "add node memory")],
)
def test_other_advice_has_words_and_no_patch(action: Action, text: str) -> None:
    advice = Recommendation(action, None, None, None, "why", StopGap(512 * MIB, 3600.4))
    status = say(verdict(recommendation=advice))
    assert status["recommended"] == text
    assert "patch" not in status["recommendation"]
    assert status["recommendation"]["stopGap"] == {"limit": "512Mi", "uptimeSeconds": 3600}


def test_who_clamped_and_what_would_undo_it_is_said_and_bounded() -> None:
    advice = Recommendation(
        Action.KEEP_LIMIT, MIB, None, None, "why", clamps=("Held down by a quota.",), warnings=("x" * 600,) * 20
    )
    found = say(verdict(recommendation=advice))["recommendation"]
    assert found["clamps"] == ["Held down by a quota."]
    assert [len(text) for text in found["warnings"]] == [512] * 8


def test_a_patch_knows_where_the_container_stands() -> None:
    cron = SPEC.model_copy(
        update={"target_ref": TargetReference(api_version="batch/v1", kind="CronJob", name="report")}
    )
    patch = diagnoses.merge_patch(cron, Role.SIDECAR, MIB, None)
    assert patch is not None
    containers = patch["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"]
    assert containers == [{"name": "app", "resources": {"limits": {"memory": "1Mi"}}}]
    bare = SPEC.model_copy(update={"target_ref": TargetReference(api_version="v1", kind="Pod", name="p")})
    assert diagnoses.merge_patch(bare, Role.REGULAR, MIB, None) is None


def _conditions(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {one["type"]: (one["status"], one["reason"], one["lastTransitionTime"]) for one in status["conditions"]}


def test_conditions_keep_the_time_of_their_last_change() -> None:
    first = say(verdict())
    later = say(verdict(missing=("history",)), MemoryDiagnosisStatus.model_validate(first), NOW + 60)
    before, after = _conditions(first), _conditions(later)
    assert before["Diagnosed"][:2] == ("True", "UnderestimatedLimit")
    assert after["Diagnosed"] == before["Diagnosed"]
    assert after["EvidenceComplete"][:2] == ("False", "EvidenceMissing")
    assert after["EvidenceComplete"][2] > before["EvidenceComplete"][2]


def test_an_inconclusive_verdict_is_not_diagnosed() -> None:
    found = _conditions(say(verdict(cause=Cause.INCONCLUSIVE, mechanism=None)))
    assert found["Diagnosed"][:2] == ("False", "Inconclusive")


def test_without_incidents_the_verdict_stays() -> None:
    first = say(verdict())
    kept = diagnoses.status(
        MemoryDiagnosisStatus.model_validate(first),
        SPEC,
        generation=4,
        incidents=[],
        kills=Kills(),
        found=None,
        now=NOW + 60,
    ).to_api()
    assert (kept["cause"], kept["observedGeneration"]) == ("UnderestimatedLimit", 4)
    assert kept["conditions"] == first["conditions"]


def test_a_long_verdict_fits_the_bounds() -> None:
    long = verdict(
        summary="s" * 5000,
        evidence=(Evidence("n" * 200, Cause.LEAK, "v" * 200, 1e-9, 0.0, "t" * 5000),) * 99,
        missing=("m" * 5000,) * 99,
        next_steps=("n" * 5000,) * 99,
        would_settle=("w" * 5000,) * 99,
    )
    MemoryDiagnosisStatus.model_validate(say(long))


def test_the_real_verdict_of_a_steady_rise() -> None:
    steady = [incident(number, when=NOW + 600 * number, pod=f"web-abc-{number % 2}") for number in (1, 2, 3, 4)]
    first, *others = traces("shop", steady)
    status = say(diagnose(first, others, limit_hit=steady[-1].limit_hit))
    assert status["cause"] in {cause.value for cause in Cause}
    assert status["summary"]
    assert status["evidence"]


def test_a_kill_whose_incident_is_gone_is_not_counted_again() -> None:
    first = tally(Kills(), [incident(1), incident(2, when=NOW + 60)])
    pruned = tally(first.kills, [incident(2, when=NOW + 60)])
    assert pruned.kills.forgotten == (incident(1).name[-10:],)
    again = tally(pruned.kills, [incident(1), incident(2, when=NOW + 60), incident(3, when=NOW + 90)])
    assert (again.kills.total, again.expendable) == (3, (incident(1).name,))
    assert incident(1).name not in again.kills.counted


def test_fewer_may_be_kept() -> None:
    found = tally(Kills(), [incident(number, when=NOW + number) for number in range(4)], keep=3)
    assert (found.kills.total, found.expendable) == (4, (incident(0).name,))


def test_a_forecast_that_no_calendar_holds_is_never() -> None:
    found = forecast_of(verdict(forecast=Forecast(60.0, 30.0, 1e13)), "web-abc-1", NOW)
    assert found is not None
    assert (found.earliest_time, found.latest_time) == (rfc3339(NOW + 30), None)
    assert forecast_of(verdict(forecast=Forecast(1e13, 30.0, None)), "web-abc-1", NOW) is None
