"""What limits are sized from."""

from __future__ import annotations

import pytest

from memdiag.diagnosis.sizing import size
from memdiag.model.trace import Trace
from tests.diagnosis.lives import BEGIN, MIB, container, life, seen

FLAT = [50.0] * 30


def mib(count: int | None) -> float | None:
    return None if count is None else count / MIB


def test_a_kill_shows_a_demand_of_at_least_the_limit_in_force() -> None:
    found = size(seen(container(life([20, 40, 60, 80] * 5, limit=100))))
    assert (mib(found.highest), mib(found.cut_at), mib(found.floor), found.cut_now) == (80, 100, 100, True)
    assert found.missed_peak is None, "memory.peak equals the limit: it says no more than that"


def test_limits_change_over_a_trace_and_each_kill_is_judged_by_the_one_of_its_time() -> None:
    first = life(FLAT, limit=64)
    second = life(FLAT, limit=96, begin=BEGIN + 1e4)
    third = life([70.0] * 30, limit=200, begin=BEGIN + 2e4, alive=True, killed=False, peak=80)
    found = size(seen(container(first, second, third, limit=200)))
    assert (mib(found.first_cut_at), mib(found.cut_at), found.cut_limits) == (64, 96, 2)
    assert not found.cut_now
    assert mib(found.clean_peak) == 80
    assert found.clean_seconds == pytest.approx(29 * 60)


def test_a_life_without_samples_had_the_limit_of_the_one_before() -> None:
    resized = life(FLAT, limit=64)
    silent = life([], limit=None, begin=BEGIN + 1e4)
    raised = life(FLAT, limit=300, begin=BEGIN + 2e4, killed=False, alive=True)
    assert mib(size(seen(container(resized, silent, raised, limit=300))).cut_at) == 64


def test_a_newest_life_without_samples_had_the_limit_that_the_pod_was_given() -> None:
    silent = life([], limit=None, begin=BEGIN + 1e4)
    found = size(seen(container(life(FLAT, limit=64), silent, limit=300)))
    assert (mib(found.first_cut_at), mib(found.cut_at), found.cut_now) == (64, 300, True)


def test_memory_peak_is_the_floor_only_where_samples_missed_the_peak() -> None:
    missed = life(FLAT, limit=200, killed=False, alive=True, peak=120)
    assert mib(size(seen(container(missed, limit=200))).floor) == 120
    held = life(FLAT, limit=200, killed=False, alive=True, cache=60)
    assert mib(size(seen(container(held, limit=200))).floor) == 50, "its peak is page cache that samples saw"


def test_the_usual_level_leaves_starts_and_rare_bursts_out() -> None:
    levels = [90.0] * 5 + [40.0] * 90 + [80.0] * 3 + [40.0] * 20
    found = size(seen(container(life(levels, limit=100))))
    assert (mib(found.usual), mib(found.median)) == (40, 40)


def test_replicas_count_for_the_highest_demand() -> None:
    one, other = container(life(FLAT)), container(life([88.0] * 30, killed=False))
    assert mib(size(seen(one, siblings=[other])).highest) == 88


def test_nothing_known_is_nothing_sized() -> None:
    found = size(seen(Trace(())))
    assert (found.floor, found.usual, found.peak, found.cut_at, found.cut_now) == (0, None, None, None, False)
