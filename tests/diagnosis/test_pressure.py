"""Pressure: page cache that was squeezed out and read again, stalls, and what was not recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memdiag.diagnosis.pressure import PAGE, MemoryPressure, pressure_of
from memdiag.model.trace import Level, Pressure, Run, Sample

MIB = 2**20
COUNT = 100


def run(
    cache: Callable[[float], float] | None,
    again: Callable[[float], float] | None = None,
    stalled: Callable[[float], float] | None = None,
) -> Run:
    """Return a life of 100 seconds: cache in bytes, pages read again and seconds stalled so far, by its share."""
    samples = []
    for place in range(COUNT + 1):
        age = place / COUNT
        stat = {"anon": 50 * MIB}
        if cache is not None:
            stat |= {"file": int(cache(age)) + MIB, "shmem": MIB}
        if again is not None:
            stat["workingset_refault_file"] = int(again(age))
        some = None if stalled is None else Pressure(total=int(stalled(age) * 1e6))
        samples.append(Sample(float(place), Level(stat=stat, pressure_some=some, events={"max": int(age * 10)})))
    return Run("c", 0.0, samples=tuple(samples))


def found_in(one: Run) -> MemoryPressure:
    found = pressure_of(one)
    assert found is not None
    return found


def late(age: float) -> float:
    return max(0.0, age - 0.8) / 0.2


def test_a_squeezed_cache_that_is_read_again_thrashes_and_what_it_needed_is_known() -> None:
    found = found_in(
        run(lambda age: 30 * MIB * (1 - 0.9 * late(age)), lambda age: 20000 * late(age), lambda age: 8 * late(age))
    )
    assert found.thrash
    assert found.stalled == pytest.approx(0.4, abs=0.02)
    assert found.stalled_before == 0.0
    assert found.refaulted == pytest.approx(20000 * PAGE, rel=0.01)
    assert found.cache_needed is not None
    assert 25 * MIB <= found.cache_needed <= 30 * MIB


def test_cache_that_is_dropped_and_not_missed_is_no_need() -> None:
    found = found_in(run(lambda age: 30 * MIB * (1 - 0.9 * late(age)), lambda _: 0, lambda _: 0))
    assert not found.thrash
    assert found.cache_needed == 0


def test_files_read_again_all_along_are_no_change_before_the_end() -> None:
    found = found_in(run(lambda _: 30 * MIB, lambda age: 50000 * age, lambda age: age))
    assert not found.thrash
    assert found.refaulted == pytest.approx(found.refaulted_before, rel=0.05)


def test_without_counters_nothing_is_claimed() -> None:
    found = found_in(run(None))
    assert (found.refaulted, found.cache, found.cache_needed, found.stalled, found.swapped) == (None,) * 5
    assert not found.thrash
    assert found.limit_hits == 2


def test_a_counter_that_went_back_is_not_known() -> None:
    found = found_in(run(lambda _: 30 * MIB, lambda age: 1000 * (1 - age)))
    assert found.refaulted is None


@pytest.mark.parametrize("samples", [(), tuple(Sample(5.0, Level(stat={"anon": 1})) for _ in range(9))])
def test_too_little_is_nothing(samples: tuple[Sample, ...]) -> None:
    assert pressure_of(Run("c", samples=samples)) is None
