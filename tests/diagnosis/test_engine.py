"""The whole verdict: no kill, nothing known, replicas, recommendation, forecast, and its bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis import diagnose
from memdiag.model.kill import LimitHit
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from memdiag.model.verdict import Action, Cause
from tests.diagnosis.lives import BEGIN, container, life

MIB = 2**20
JAVA = "Memory cgroup out of memory: Killed process 7 (java) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB"
BY_NAME = {family.name: family for family in FAMILIES}


def alive(trace: Trace, samples: int) -> Trace:
    run = trace.runs[0]
    return replace(trace, runs=(replace(run, samples=run.samples[:samples], end=None),))


def test_a_leak_that_was_not_killed_yet_is_suspected_and_forecast() -> None:
    trace = simulate(BY_NAME["leak linear"], 1, kills=1)
    run = trace.runs[0]
    seen = len(run.samples) * 2 // 3
    found = diagnose(alive(trace, seen))
    assert found.cause is None
    assert found.suspicion is not None
    assert found.suspicion.cause is Cause.LEAK
    assert found.recommendation.action is Action.NONE
    assert run.end is not None
    assert found.forecast is not None
    assert found.forecast.seconds_to_limit is not None
    assert found.forecast.seconds_to_limit == pytest.approx(run.end.t - run.samples[seen - 1].t, rel=0.3)
    assert found.forecast.low is not None
    assert found.forecast.high is not None
    assert found.forecast.low <= found.forecast.seconds_to_limit <= found.forecast.high


def test_a_calm_trace_gives_no_suspicion() -> None:
    samples = tuple(Sample(float(t), Level(max=100 * MIB, stat={"anon": (30 + t % 3) * MIB})) for t in range(100))
    found = diagnose(Trace((Run("c", 0.0, samples=samples),)))
    assert (found.cause, found.suspicion, found.forecast) == (None, None, None)


@pytest.mark.parametrize("trace", [Trace(()), Trace((Run("c"),)), Trace((Run("c", end=RunEnd(5.0, 137)),))])
def test_next_to_nothing_known_is_said(trace: Trace) -> None:
    found = diagnose(trace)
    assert found.cause in {None, Cause.INCONCLUSIVE}
    assert found.missing
    assert found.summary


def test_a_kill_without_samples_is_inconclusive_and_keeps_the_limit() -> None:
    trace = Trace((Run("c", 1.0, end=RunEnd(4.0, 137, killed=True)),), limit_bytes=64 * MIB)
    found = diagnose(trace, limit_hit=LimitHit.CONTAINER)
    assert found.cause is Cause.INCONCLUSIVE
    assert (found.recommendation.action, found.recommendation.limit_bytes) == (Action.KEEP_LIMIT, 64 * MIB)
    assert any("samples" in gap for gap in found.missing)


def test_a_raise_keeps_the_qos_class_and_is_never_below_what_was_seen() -> None:
    trace = simulate(BY_NAME["flat then spike"], 1, kills=2)
    limit = trace.limit_bytes or 0
    advice = diagnose(trace).recommendation
    assert advice.action is Action.RAISE_LIMIT
    assert advice.limit_bytes is not None
    assert advice.limit_bytes == advice.request_bytes
    assert advice.limit_bytes >= 1.5 * limit
    assert advice.range_bytes is not None
    assert limit <= advice.range_bytes[0] <= advice.limit_bytes <= advice.range_bytes[1]
    assert "cut off" in advice.basis
    burstable = diagnose(replace(trace, request_bytes=limit // 2)).recommendation
    assert burstable.request_bytes is not None
    assert burstable.limit_bytes is not None
    assert burstable.request_bytes < burstable.limit_bytes  # the level between the bursts


def test_a_leak_gets_no_limit_but_a_stop_gap_with_the_uptime_that_it_buys() -> None:
    trace = simulate(BY_NAME["leak linear"], 3, kills=2)
    advice = diagnose(trace).recommendation
    assert (advice.action, advice.limit_bytes, advice.request_bytes) == (Action.FIX_LEAK, None, None)
    assert advice.stop_gap is not None
    end = trace.runs[0].end
    assert end is not None
    life = end.t - (trace.runs[0].started or 0)
    assert 1.3 * life <= advice.stop_gap.uptime_seconds <= 2.5 * life


def test_replicas_that_rise_alike_make_a_leak_surer() -> None:
    family = BY_NAME["leak noisy"]
    one, *others = [simulate(family, seed, kills=1, packets=False) for seed in range(4)]
    alone, together = diagnose(one), diagnose(one, others)
    assert together.cause is Cause.LEAK
    assert together.confidence > alone.confidence
    assert any(piece.name == "replicas_rise" for piece in together.evidence)


def test_a_leak_in_shared_memory_is_named_so() -> None:
    trace = simulate(BY_NAME["leak linear"], 2, kills=2)

    def moved(sample: Sample) -> Sample:
        stat = {"anon": 0, "shmem": sample.level.stat["anon"], "kernel": sample.level.stat["kernel"]}
        return replace(sample, level=replace(sample.level, stat=stat))

    runs = tuple(replace(run, samples=tuple(moved(sample) for sample in run.samples)) for run in trace.runs)
    found = diagnose(replace(trace, runs=runs))
    assert found.mechanism is not None
    assert found.mechanism.value == "TmpfsFill"


levels = st.builds(
    Level,
    current=st.none() | st.integers(0, 2**40),
    max=st.none() | st.just("max") | st.integers(0, 2**40),
    stat=st.dictionaries(st.sampled_from(["anon", "shmem", "kernel", "sock", "file"]), st.integers(0, 2**40)),
    cpu=st.dictionaries(st.just("usage_usec"), st.integers(0, 2**50)),
    events=st.dictionaries(st.sampled_from(["oom", "oom_kill", "max"]), st.integers(0, 3)),
)
runs = st.builds(
    Run,
    container_id=st.none() | st.just("c"),
    started=st.none() | st.floats(0, 1e6),
    samples=st.lists(st.builds(Sample, t=st.floats(0, 1e6), level=levels), max_size=40).map(
        lambda found: tuple(sorted(found, key=lambda sample: sample.t))
    ),
    end=st.none()
    | st.builds(
        RunEnd,
        t=st.floats(0, 1e6),
        exit_code=st.sampled_from([None, 0, 137]),
        level=levels,
        killed=st.sampled_from([None, True, False]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.builds(Trace, runs=st.lists(runs, max_size=3).map(tuple), limit_bytes=st.none() | st.integers(0, 2**40)),
    st.none() | st.sampled_from(list(LimitHit)),
)
def test_no_trace_is_too_odd(trace: Trace, limit_hit: LimitHit | None) -> None:
    found = diagnose(trace, (trace,), limit_hit=limit_hit)
    assert 0 <= found.confidence <= 1
    assert found.summary
    for piece in found.evidence:
        assert math.isfinite(piece.weight)
        assert piece.statement
    if found.recommendation.limit_bytes is not None:
        assert found.recommendation.limit_bytes >= 0


def test_a_leak_under_a_heap_that_may_pass_the_limit_needs_more() -> None:
    """What a JVM with room above the limit does not collect rises like a leak."""
    runs = [life([20 + 0.8 * place for place in range(90)], begin=BEGIN + 1e5 * place) for place in range(3)]
    bare = container(*runs)
    killed = tuple(replace(run, end=replace(run.end, kernel_log=(JAVA,))) for run in runs if run.end is not None)
    roomy = replace(bare, runs=killed, runtime={"-Xmx": 400.0 * MIB})
    tight = replace(roomy, runtime={"-Xmx": 50.0 * MIB})
    assert diagnose(bare).cause is Cause.LEAK
    assert diagnose(tight).cause is Cause.LEAK
    assert diagnose(roomy).cause is Cause.INCONCLUSIVE


@pytest.mark.parametrize("hit", [LimitHit.UNKNOWN, LimitHit.POD])
def test_a_container_without_a_limit_is_never_told_to_raise_it(hit: LimitHit) -> None:
    levels = [60.0, 61.0, 62.0] * 20 + [80.0, 95.0]
    run = life(levels, limit=100)
    free = tuple(replace(one, level=replace(one.level, max="max")) for one in run.samples)
    trace = container(replace(run, samples=free, end=RunEnd(BEGIN + 4000, 137, "OOMKilled", limit_hit=hit)), limit=None)
    found = diagnose(trace)
    assert (found.recommendation.action, found.recommendation.limit_bytes) == (Action.NONE, None)
    assert "the container's memory limit" not in found.missing, "it is known: there is none"
    if hit is LimitHit.UNKNOWN:
        assert found.cause is Cause.INCONCLUSIVE
        assert "has no memory limit of its own" in found.summary
    else:
        assert "does not fit into its pod's limit: raise that one" in found.summary


def in_a_full_pod(levels: list[float], begin: float = BEGIN) -> Run:
    """Return a run that was killed at its pod's limit, far from its own of 400 MiB."""
    run = life(levels, limit=400, begin=begin, peak=max(levels))
    return replace(run, end=RunEnd(run.end.t if run.end else 0, 137, "OOMKilled", killed=True, limit_hit=LimitHit.POD))


def test_who_only_stood_beside_what_filled_the_pod_is_not_said_to_have_jumped() -> None:
    level = [100.0, 101.0] * 30
    found = diagnose(container(in_a_full_pod(level), in_a_full_pod(level, BEGIN + 1e5), limit=400))
    assert found.cause is Cause.INCONCLUSIVE
    assert not {"jump", "little_room"} & {one.name for one in found.evidence}
    assert "far from its own of 400 MiB: look at the pod's other containers" in found.summary
    assert "at most 101 MiB of its own 400 MiB: raise the pod's limit" in found.recommendation.basis


def test_a_leak_in_a_full_pod_gets_no_stop_gap_of_its_own() -> None:
    leak = [50 + 2.0 * n for n in range(100)]
    found = diagnose(container(*(in_a_full_pod(leak, BEGIN + n * 1e5) for n in range(3)), limit=400))
    assert (found.cause, found.recommendation.stop_gap) == (Cause.LEAK, None)
    assert "its pod's limit was reached about 1.7 hours after its start" in found.recommendation.basis
