"""Functions: of age, work, load, calendar and coming to rest, each explains best the lives that it made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from memdiag.diagnosis.functions import COMES_TO_REST, Fit, Functions
from memdiag.model.trace import Run
from tests.diagnosis.lives import BEGIN, container, life, seen

COUNT = 96
STEP = 60.0
FRESH = 10.0


def waves(place: int) -> float:
    """Return a load of two waves a life, in CPUs."""
    return 1.0 + 0.8 * math.sin(4 * math.pi * place / COUNT)


def at_first(place: int) -> float:
    """Return a load that falls, in CPUs."""
    return 2.0 if place < COUNT / 2 else 0.2


def lives(demand: Callable[[int, int], float], load: Callable[[int], float] = waves, count: int = 2) -> list[Run]:
    return [
        life(
            [demand(number, place) for place in range(COUNT)],
            begin=BEGIN + number * (COUNT + 1) * STEP,
            step=STEP,
            busy=[load(place) for place in range(COUNT)],
        )
        for number in range(count)
    ]


def fitted(runs: Sequence[Run]) -> Functions:
    found = seen(container(*runs)).functions
    assert found is not None
    return found


def best(found: Functions) -> str:
    fits = {
        "age": found.age,
        "work": found.work,
        "load": found.load,
        "calendar": found.calendar,
        "rest": found.resting if found.resting.parameter >= COMES_TO_REST else None,
    }
    return max((name for name in fits if fits[name]), key=lambda name: (fits[name] or Fit(0)).share)


def done(place: int, load: Callable[[int], float]) -> float:
    return sum(load(earlier) for earlier in range(place)) / sum(load(earlier) for earlier in range(COUNT))


def test_what_rises_with_age_is_explained_by_age() -> None:
    found = fitted(lives(lambda _, place: FRESH + 80 * place / COUNT))
    assert best(found) == "age"
    assert found.age.share > 0.99
    assert not found.by_work
    assert found.line is found.age
    assert found.lives == 2


def test_what_rises_with_work_is_explained_by_work() -> None:
    found = fitted(lives(lambda _, place: FRESH + 80 * done(place, at_first), at_first))
    assert found.by_work
    assert found.line is found.work
    assert found.line.share > 0.95
    assert found.age.share < 0.8


def test_what_follows_load_is_explained_by_load() -> None:
    found = fitted(lives(lambda _, place: FRESH + 30 * waves(place)))
    assert best(found) == "load"
    assert found.load is not None
    assert found.load.share > 0.95
    assert found.line.share < 0.3


def test_what_rises_right_through_the_restarts_is_explained_by_the_calendar() -> None:
    found = fitted(lives(lambda number, place: FRESH + 25 * (number + place / COUNT), count=3))
    assert best(found) == "calendar"
    assert found.calendar is not None
    assert found.calendar.share > 0.99
    assert found.line.share < 0.5


def test_what_comes_to_rest_is_explained_by_a_bound() -> None:
    found = fitted(lives(lambda _, place: FRESH + 80 * (1 - math.exp(-4.5 * place / COUNT)), lambda _: 1.0))
    assert best(found) == "rest"
    assert found.resting.share > 0.99
    assert 3 <= found.resting.parameter <= 7
    assert found.line.share < 0.9


def test_a_straight_rise_does_not_come_to_rest() -> None:
    found = fitted(lives(lambda _, place: FRESH + 80 * place / COUNT, lambda _: 1.0))
    assert found.resting.parameter < COMES_TO_REST


def test_what_falls_is_explained_by_nothing_that_rises() -> None:
    found = fitted(lives(lambda _, place: 90 - 70 * place / COUNT, lambda _: 1.0, count=1))
    assert found.age.share == 0
    assert found.resting.share == 0


def test_one_life_has_no_calendar() -> None:
    assert fitted(lives(lambda _, place: FRESH + place, count=1)).calendar is None


def test_without_a_signal_there_is_neither_work_nor_load() -> None:
    found = fitted([life([FRESH + place * 0.8 for place in range(COUNT)])])
    assert (found.work, found.resting_work, found.load) == (None, None, None)
    assert found.line is found.age
    assert found.resting is found.resting_age


def test_few_samples_have_no_functions() -> None:
    assert seen(container(life([10, 20, 30, 40]))).functions is None


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_some_of_it_always_stays_unexplained(share: float) -> None:
    assert 0 < Fit(share).rest <= 1
