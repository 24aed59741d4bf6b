"""Series: lives that end at kills inside a run, demand over age, and thinning that keeps what matters."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memdiag.diagnosis.series import MOST_POINTS, Series, limit_of, series_of, thinned
from memdiag.diagnosis.which_kill import find_kill
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill
from tests.diagnosis.lives import BEGIN, MIB, container, life

CURVES = st.lists(st.floats(0, 1e12), max_size=3000)


def series(trace: Trace) -> list[Series]:
    return series_of(trace, find_kill(trace, limit_of(trace), None))


@settings(max_examples=60, deadline=None)
@given(CURVES, st.sampled_from([8, 100, MOST_POINTS]))
def test_thinning_keeps_the_envelope_and_the_ends_in_order(demands: list[float], most: int) -> None:
    points = [(float(age), demand) for age, demand in enumerate(demands)]
    found = thinned(points, most)
    assert len(found) <= most
    assert set(found) <= set(points)
    assert list(found) == sorted(set(found))
    if points:
        assert (found[0], found[-1]) == (points[0], points[-1])
        for pick in (min, max):
            assert pick(demand for _, demand in found) == pick(demands)
    if len(points) <= most:
        assert found == tuple(points)


def test_thinning_keeps_each_short_spike() -> None:
    rng = random.Random(3)  # noqa: S311  # a simulation, no secret
    spikes = set(rng.sample(range(20_000), 40))
    found = thinned([(float(age), 90.0 if age in spikes else 10.0) for age in range(20_000)])
    size = 20_000 // (MOST_POINTS // 4)
    kept = {age // size for age, demand in found if demand == 90.0}
    assert kept == {age // size for age in spikes}


def test_a_long_life_has_no_more_points_than_features_look_at() -> None:
    found = series(container(life([50.0] * 2500)))
    assert len(found[0].points) <= MOST_POINTS


def test_ages_count_from_the_start_and_demand_is_in_bytes() -> None:
    one, two = series(container(life([10, 20]), life([30, 40, 50], begin=BEGIN + 1000)))
    assert list(one.points) == [(0.0, 10 * MIB), (60.0, 20 * MIB)]
    assert (one.life, two.life, two.begin, two.end) == (120.0, 180.0, BEGIN + 1000, BEGIN + 1180)
    assert (one.index, two.index) == (0, 1)
    assert [(part.killed, part.whole, part.born_of_kill) for part in (one, two)] == 2 * [(True, True, False)]


def test_a_run_that_lives_or_left_by_itself_was_not_killed() -> None:
    killed, left, alive = series(
        container(
            life([10, 90]),
            life([10, 90], begin=BEGIN + 1e3, killed=False),
            life([10, 20], begin=BEGIN + 2e3, alive=True),
        )
    )
    assert (killed.killed, killed.ended) == (True, True)
    assert (left.killed, left.ended) == (False, True)
    assert (alive.killed, alive.ended) == (False, False)


def test_a_kill_inside_a_run_ends_a_life_and_begins_another() -> None:
    run = life([10, 40, 70, 10, 30, 60, 20, 25], killed=False, alive=True)
    kills = (TraceKill(BEGIN + 150), TraceKill(BEGIN + 330))
    found = series(container(replace(run, kills=kills)))
    assert [[int(demand) // MIB for _, demand in one.points] for one in found] == [[10, 40, 70], [10, 30, 60], [20, 25]]
    assert [one.killed for one in found] == [True, True, False]
    assert [one.ended for one in found] == [True, True, False]
    assert [one.born_of_kill for one in found] == [False, True, True]
    assert [one.begin for one in found] == [BEGIN, BEGIN + 150, BEGIN + 330]
    assert [one.life for one in found] == [150, 180, 90]
    assert [one.points[0][0] for one in found] == [0, 30, 30]
    assert all(one.start_seen for one in found)
    assert not any(one.run.kills for one in found)


def test_the_sample_that_already_counts_the_kill_is_the_next_lifes_first() -> None:
    counts = [0, 0, 0, 1, 1, 1, 2, 2]
    run = life([10, 40, 70, 10, 30, 60, 20, 25], killed=False, alive=True)
    counted = tuple(
        replace(one, level=replace(one.level, events_local={"oom_kill": count}))
        for one, count in zip(run.samples, counts, strict=True)
    )
    kills = (TraceKill(BEGIN + 181), TraceKill(BEGIN + 375))  # the log is read a moment after the counter
    found = series(container(replace(run, samples=counted, kills=kills)))
    assert [[int(demand) // MIB for _, demand in one.points] for one in found] == [[10, 40, 70], [10, 30, 60], [20, 25]]
    assert [one.begin for one in found] == [BEGIN, BEGIN + 180, BEGIN + 360]
    assert [one.points[0][0] for one in found] == [0, 0, 0]


@pytest.mark.parametrize("t", [BEGIN - 1, BEGIN, BEGIN + 1e6])
def test_a_kill_outside_of_its_run_cuts_nothing(t: float) -> None:
    run = replace(life([10, 20, 90]), kills=(TraceKill(t),))
    assert len(series(container(run))) == 1


def test_memory_current_stands_in_and_it_is_said() -> None:
    run = life([10, 20, 30])
    bare = replace(
        run, samples=tuple(replace(one, level=Level(current=7 * MIB + one.level.stat["anon"])) for one in run.samples)
    )
    (found,) = series(container(bare))
    assert not found.whole
    assert [demand for _, demand in found.points] == [17 * MIB, 27 * MIB, 37 * MIB]


def test_a_start_that_nobody_saw_is_the_first_sample() -> None:
    (found,) = series(container(replace(life([10, 20, 30]), started=None)))
    assert not found.start_seen
    assert found.points[0][0] == 0


def test_a_run_without_any_time_has_no_series() -> None:
    run = replace(life([1]), started=None, samples=(), end=None)
    assert series(container(run)) == []


def test_the_usual_distance_of_samples_near_the_end_is_the_median() -> None:
    (found,) = series(container(life([10.0] * 20)))
    assert found.step == 60


def test_the_newest_limit_that_the_kernel_said_counts() -> None:
    assert limit_of(container(life([1], limit=50), life([1], limit=80), limit=10)) == 80 * MIB
    assert limit_of(Trace((), limit_bytes=5)) == 5


def test_what_the_kernel_said_of_an_older_run_gives_way_to_what_the_newest_was_given() -> None:
    silent = Run("later", BEGIN + 1e4, end=RunEnd(BEGIN + 1e4 + 0.5, 137, killed=True))
    assert limit_of(container(life([1], limit=50), silent, limit=80)) == 80 * MIB
    assert limit_of(container(life([1], limit=50), silent, limit=None)) == 50 * MIB
    told = replace(silent, end=RunEnd(BEGIN + 1e4 + 0.5, 137, level=Level(max=90 * MIB), killed=True))
    assert limit_of(container(life([1], limit=50), told, limit=80)) == 90 * MIB


def test_points_are_in_order_though_the_clock_was_set_back() -> None:
    samples = tuple(Sample(t, Level(stat={"anon": 1})) for t in (-3e-305, 1.0, 1980.0, 0.0))
    (one,) = series_of(Trace((Run(samples=samples),)), None)
    assert [age for age, _ in one.points] == sorted(age for age, _ in one.points)
