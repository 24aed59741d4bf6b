"""Which kill it was: witnesses in the order of their worth, and what each says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memdiag.diagnosis import diagnose
from memdiag.diagnosis.series import series_of
from memdiag.diagnosis.which_kill import find_kill
from memdiag.model.kill import LimitHit
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill
from memdiag.model.verdict import Action, Cause, Mechanism

MIB = 2**20
LIMIT = 100 * MIB
CONTAINER = "/kubepods.slice/kubepods-pod1.slice/cri-1.scope"


def run_of(end: RunEnd | None, *, last: int = 99, pod: Level | None = None) -> Run:
    samples = tuple(
        Sample(float(t), Level(current=last * MIB * t // 20, max=LIMIT, stat={"anon": last * MIB * t // 20}), pod=pod)
        for t in range(1, 21)
    )
    return Run("c1", 0.0, samples=samples, end=end)


def trace_of(*runs: Run) -> Trace:
    return Trace(runs, limit_bytes=LIMIT, request_bytes=LIMIT)


def log(constraint: str, oom: str, task: str = CONTAINER) -> tuple[str, ...]:
    return (f"oom-kill:constraint={constraint},nodemask=(null),oom_memcg={oom},task_memcg={task},task=x,pid=1,uid=0",)


@pytest.mark.parametrize(
    ("lines", "hit"),
    [
        (log("CONSTRAINT_MEMCG", CONTAINER), LimitHit.CONTAINER),
        (log("CONSTRAINT_MEMCG", "/kubepods.slice/kubepods-pod1.slice"), LimitHit.POD),
        (log("CONSTRAINT_MEMCG", "/kubepods.slice"), LimitHit.ANCESTOR),
        (("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom",), LimitHit.NODE),
    ],
)
def test_the_kernel_log_says_whose_limit(lines: tuple[str, ...], hit: LimitHit) -> None:
    kill = find_kill(trace_of(run_of(RunEnd(21.0, 137, kernel_log=lines))), LIMIT, None)
    assert kill is not None
    assert (kill.kernel, kill.limit_hit, kill.certain) == (True, hit, True)


@pytest.mark.parametrize(
    ("limit_of", "lost", "hit"),
    [
        (CONTAINER, 5, LimitHit.CONTAINER),
        (CONTAINER, 40, LimitHit.CONTAINER),
        ("/kubepods.slice", 5, LimitHit.ANCESTOR),
        ("/kubepods.slice", 20, LimitHit.CONTAINER),
    ],
)
def test_a_log_line_that_was_cut_in_the_victims_path_gives_way_to_the_counters(
    limit_of: str, lost: int, hit: LimitHit
) -> None:
    line = log("CONSTRAINT_MEMCG", limit_of)[0].partition(",task=")[0][:-lost]
    end = RunEnd(21.0, 137, killed=True, kernel_log=(line,), level=Level(events_local={"oom": 1}))
    kill = find_kill(trace_of(run_of(end)), LIMIT, None)
    assert kill is not None
    assert (kill.limit_hit, kill.certain) == (hit, True)


@pytest.mark.parametrize("hit", [LimitHit.NODE, LimitHit.ANCESTOR])
def test_what_happened_above_the_pod_is_node_pressure(hit: LimitHit) -> None:
    found = diagnose(trace_of(run_of(RunEnd(21.0, 137, killed=True))), limit_hit=hit)
    assert found == diagnose(trace_of(run_of(RunEnd(21.0, 137, killed=True, limit_hit=hit))))
    assert found.cause is Cause.NODE_PRESSURE
    assert found.mechanism is (Mechanism.ANCESTOR_LIMIT if hit is LimitHit.ANCESTOR else Mechanism.NODE_OVERCOMMIT)
    assert found.recommendation.action is Action.MOVE_OR_ADD_MEMORY
    assert found.recommendation.limit_bytes is None


@pytest.mark.parametrize(
    "end",
    [
        RunEnd(21.0, 137, "Error", killed=False),
        RunEnd(21.0, 137, "OOMKilled", Level(events={"oom": 0, "oom_kill": 0})),
    ],
)
def test_137_without_an_oom_kill_is_not_the_kernels(end: RunEnd) -> None:
    found = diagnose(trace_of(run_of(end, last=30)))
    assert (found.cause, found.mechanism) == (Cause.NOT_KERNEL_OOM, Mechanism.EXTERNAL_SIGKILL)
    assert found.recommendation.action is Action.NONE


def test_a_pod_that_the_kubelet_evicted_is_the_nodes_pressure() -> None:
    found = diagnose(trace_of(run_of(RunEnd(21.0, 137, "Evicted", killed=False), last=30)))
    assert (found.cause, found.mechanism) == (Cause.NODE_PRESSURE, Mechanism.EVICTION)
    assert found.recommendation.action is Action.MOVE_OR_ADD_MEMORY


def test_137_that_nobody_counted_is_inconclusive_and_says_what_is_missing() -> None:
    found = diagnose(trace_of(run_of(RunEnd(21.0, 137, "Error"), last=30)))
    assert found.cause is Cause.INCONCLUSIVE
    assert any("whose limit" in gap for gap in found.missing)


def test_the_runtimes_word_is_taken_where_the_limit_was_near() -> None:
    kill = find_kill(trace_of(run_of(RunEnd(21.0, 137, "Error"))), LIMIT, None)
    assert kill is not None
    assert (kill.kernel, kill.limit_hit, kill.certain) == (True, LimitHit.CONTAINER, False)


def test_a_pod_at_its_limit_is_the_pods() -> None:
    pod = Level(current=198 * MIB, max=200 * MIB)
    kill = find_kill(trace_of(run_of(RunEnd(21.0, 137, killed=True), last=60, pod=pod)), LIMIT, None)
    assert kill is not None
    assert kill.limit_hit is LimitHit.POD


def test_a_victim_far_below_its_limit_was_killed_for_others() -> None:
    level = Level(peak=40 * MIB, events={"oom": 0, "oom_kill": 1})
    found = diagnose(trace_of(run_of(RunEnd(21.0, 137, level=level), last=40)))
    assert found.cause is Cause.NODE_PRESSURE
    assert found.confidence < 0.9


def test_counters_above_that_rose_until_the_next_run_name_the_limit() -> None:
    before = run_of(RunEnd(21.0, 137, killed=True), last=60, pod=Level(events_local={"oom": 1}))
    after = Run("c2", 30.0, samples=(Sample(31.0, Level(), pod=Level(events_local={"oom": 2})),))
    kill = find_kill(trace_of(before, after), LIMIT, None)
    assert kill is not None
    assert (kill.run, kill.limit_hit) == (0, LimitHit.POD)


def test_a_normal_end_and_a_living_run_are_no_kills() -> None:
    assert find_kill(trace_of(run_of(RunEnd(21.0, 0, "Completed")), run_of(None)), LIMIT, None) is None


def test_a_kill_inside_a_living_run_is_a_kill() -> None:
    alive = Run("c1", 0.0, samples=run_of(None).samples, kills=(TraceKill(9.0),))
    kill = find_kill(trace_of(alive), LIMIT, None)
    assert kill is not None
    assert kill.kernel is True


@pytest.mark.parametrize(
    "end",
    [
        RunEnd(21.0, 0, killed=False),
        RunEnd(21.0, None, killed=False, level=Level(events={"oom": 1, "oom_kill": 1})),
        RunEnd(21.0, 143, reason="Error"),
        RunEnd(21.0, 0, reason="Completed", level=Level(events={"oom": 1, "oom_kill": 1})),
    ],
    ids=["counted", "recorded", "told", "counter of before"],
)
def test_a_run_that_outlived_its_kill_and_ended_otherwise_was_killed_when_it_was(end: RunEnd) -> None:
    inside = TraceKill(10.5, kernel_log=log("CONSTRAINT_MEMCG", CONTAINER))
    trace = trace_of(replace(run_of(end), kills=(inside,)))
    kill = find_kill(trace, LIMIT, None)
    assert kill is not None
    assert (kill.t, kill.kernel, kill.limit_hit, kill.ended) == (10.5, True, LimitHit.CONTAINER, False)
    assert [one.killed for one in series_of(trace, kill)] == [True, False]
    assert diagnose(trace).cause is not None


def test_a_kill_at_the_end_is_not_told_by_one_that_the_run_outlived() -> None:
    run = replace(run_of(RunEnd(21.0, 137, killed=True)), kills=(TraceKill(10.5, limit_hit=LimitHit.NODE),))
    kill = find_kill(trace_of(run), LIMIT, None)
    assert kill is not None
    assert (kill.t, kill.limit_hit, kill.ended) == (21.0, LimitHit.CONTAINER, True)


def test_lives_that_ended_for_want_of_the_nodes_memory_did_not_fill_their_limit() -> None:
    first = replace(run_of(RunEnd(21.0, 137, killed=True, limit_hit=LimitHit.NODE)), started=0.0)
    inside = TraceKill(32.0, kernel_log=("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,global_oom",))
    later = tuple(replace(sample, t=sample.t + 22) for sample in first.samples)
    second = Run("c2", 22.0, samples=later, kills=(inside,), end=RunEnd(43.0, 137, killed=True))
    trace = trace_of(first, second)
    assert [one.killed for one in series_of(trace, find_kill(trace, LIMIT, None))] == [False, False, True]
