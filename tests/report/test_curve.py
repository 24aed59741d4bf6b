"""The curve: layers, kills, limits and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memdiag.model.trace import Level, Run, RunEnd, Trace, TraceKill
from memdiag.model.verdict import Action, Recommendation, StopGap
from memdiag.report.curve import LAYERS, MOST_POINTS, MOST_RUNS, End, Layer, curve_of
from tests.report.lives import MIB, START, climbing, odd_traces, sample, trace


def test_layers_add_up_to_the_demand_that_the_verdict_uses_and_the_page_cache_lies_above() -> None:
    curve = curve_of(trace())
    model = trace().runs[0].samples[6]
    point = curve.runs[0].points[6]
    assert point.demand == model.demand
    assert point.layers[LAYERS.index(Layer.CACHE)] == 6 * MIB
    assert point.layers[LAYERS.index(Layer.KERNEL)] == 3 * MIB
    assert point.total == point.demand + 6 * MIB


def test_a_dead_containers_files_do_not_pull_its_curve_down() -> None:
    run = curve_of(trace()).runs[0]
    assert run.points[-1].demand == max(point.demand for point in run.points)


def test_the_kill_that_ended_a_run_stands_at_its_end_and_at_the_kernels_peak() -> None:
    run = curve_of(trace()).runs[0]
    assert run.kills == (61.0,)
    assert run.held(61.0) == 96 * MIB
    assert run.end is End.KILLED


def test_a_kill_that_is_told_twice_is_drawn_once() -> None:
    run = climbing(0)
    twice = replace(run, kills=(TraceKill(START + 60.5),))
    assert curve_of(Trace((twice,))).runs[0].kills == (60.5,)


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (RunEnd(START + 9, 0, "Completed"), End.ENDED),
        (RunEnd(START + 9, 137, "Error"), End.SIGKILLED),
        (RunEnd(START + 9, 137, "Error", killed=True), End.KILLED),
        (RunEnd(START + 9, 137, "OOMKilled", killed=False), End.SIGKILLED),
        (RunEnd(START + 9, 137, "OOMKilled"), End.KILLED),
        (RunEnd(START + 9, 1, "Error", Level(events={"oom_kill": 1})), End.KILLED),
        (RunEnd(START + 9, None, "Evicted", killed=False), End.EVICTED),
    ],
)
def test_how_a_run_ended(end: RunEnd, how: End) -> None:
    run = Run("c", START, samples=(sample(START, 20),), end=end)
    found = curve_of(Trace((run,))).runs[0]
    assert found.end is how
    assert bool(found.kills) == (how is End.KILLED)


def test_the_newest_runs_are_kept_and_the_rest_is_counted() -> None:
    curve = curve_of(odd_traces()["many runs"])
    assert len(curve.runs) == MOST_RUNS
    assert curve.left_out == 60 - MOST_RUNS
    assert curve.runs[-1].number == 60


def test_a_long_run_keeps_its_envelope_in_few_points() -> None:
    curve = curve_of(odd_traces()["many samples"])
    points = curve.runs[0].points
    assert len(points) <= MOST_POINTS
    assert max(point.demand for point in points) == 79 * MIB
    assert min(point.demand for point in points) == 10 * MIB
    assert [point.age for point in points] == sorted(point.age for point in points)


def test_the_advice_goes_along() -> None:
    gap = StopGap(180 * MIB, 120)
    advice = Recommendation(Action.FIX_LEAK, 144 * MIB, 100, (120 * MIB, 192 * MIB), "basis", gap)
    curve = curve_of(trace(), advice)
    assert (curve.limit, curve.recommended, curve.stop_gap) == (96 * MIB, 144 * MIB, 180 * MIB)
    assert curve.allowed == (120 * MIB, 192 * MIB)
    assert curve.kills == 2


def test_the_newest_limit_counts_and_no_limit_is_none() -> None:
    assert curve_of(odd_traces()["the limit was raised"]).limit == 192 * MIB
    assert curve_of(odd_traces()["no limit"]).limit is None
    assert curve_of(odd_traces()["nothing but a death"]).limit == 96 * MIB


def test_a_newest_run_of_which_nothing_was_sampled_has_the_limit_that_the_pod_was_given() -> None:
    silent = Run("c9", START + 500, end=RunEnd(START + 500.5, 137, "OOMKilled", killed=True))
    assert curve_of(Trace((climbing(0), silent), limit_bytes=192 * MIB)).limit == 192 * MIB
    assert curve_of(Trace((climbing(0), silent))).limit == 96 * MIB


def test_a_kill_that_the_run_outlived_is_not_drawn_again_where_it_ended_by_itself() -> None:
    outlived = replace(
        climbing(0),
        kills=(TraceKill(START + 30),),
        end=RunEnd(START + 61, 0, "Completed", Level(events={"oom": 1, "oom_kill": 1})),
    )
    (run,) = curve_of(Trace((outlived,))).runs
    assert (run.kills, run.end) == ((30.0,), End.ENDED)
