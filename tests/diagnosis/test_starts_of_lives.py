"""Starts: the knee behind a steep first rise, lives that died in it, and a start that needs more than what follows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from memdiag.diagnosis.series import Series, limit_of, series_of
from memdiag.diagnosis.starts import Starts, before_end, starts_of
from memdiag.diagnosis.which_kill import find_kill
from memdiag.model.trace import Run
from tests.diagnosis.lives import BEGIN, MIB, container, life

STEP = 10.0


def lives(*found: Run) -> list[Series]:
    trace = container(*found)
    return series_of(trace, find_kill(trace, limit_of(trace), None))


def starts(*found: Run) -> Starts:
    return starts_of(lives(*found), 100 * MIB)


def one(levels: Sequence[float], place: int = 0, *, killed: bool = True) -> Run:
    return life(levels, begin=BEGIN + place * 1e5, step=STEP, killed=killed)


def loading(until: int, level: float, after: Sequence[float]) -> list[float]:
    return [level * (place + 1) / until for place in range(until)] + list(after)


LEVEL = loading(8, 60, [60.0] * 72)
RISING = loading(8, 40, [40 + 0.7 * place for place in range(72)])
OVER_THE_TOP = loading(8, 92, [50.0] * 72)


@pytest.mark.parametrize("levels", [LEVEL, RISING], ids=["level", "rising"])
def test_the_knee_ends_the_start(levels: list[float]) -> None:
    found = starts(one(levels))
    assert found.typical == pytest.approx(8 * STEP, abs=2 * STEP)
    assert found.ages == (found.typical,)
    assert not found.died
    assert found.peak_over_level == 0


def test_a_less_steep_start_is_where_two_lines_meet() -> None:
    rng = random.Random(5)  # noqa: S311  # a simulation, no secret
    levels = loading(20, 40, [40 + 0.6 * place for place in range(80)])
    found = starts(one([level + rng.gauss(0, 0.2) for level in levels]))
    assert found.typical == pytest.approx(20 * STEP, abs=8 * STEP)


@pytest.mark.parametrize(
    "levels",
    [
        [10 + place for place in range(80)],
        [50.0] * 80,
        [10.0] * 60 + [10 + 4 * place for place in range(20)],
        [1, 2, 3],
    ],
    ids=["line", "level", "late", "short"],
)
def test_without_a_bend_no_start_is_known(levels: list[float]) -> None:
    assert starts(one(levels)) == Starts((0.0,), None, frozenset(), 0.0)


def test_of_no_lives_nothing_is_known() -> None:
    assert starts_of([], 1.0) == Starts((), None, frozenset(), 0.0)


def test_a_life_that_ended_on_its_way_up_died_in_its_start() -> None:
    short = [12.0 * (place + 1) for place in range(8)]
    found = starts(one(OVER_THE_TOP), one(short, 1), one(OVER_THE_TOP, 2, killed=False))
    assert found.died == {1}
    assert found.ages[1] == found.typical


def test_a_short_life_that_rises_slowly_did_not_die_in_its_start() -> None:
    short = [12.0, 12.5, 13.0, 13.5, 14.0, 14.5]
    assert not starts(one(LEVEL), one(short, 1), one(LEVEL, 2)).died


def test_a_short_life_that_left_by_itself_did_not_die_in_its_start() -> None:
    short = [12.0 * (place + 1) for place in range(8)]
    assert not starts(one(OVER_THE_TOP), one(short, 1, killed=False), one(OVER_THE_TOP, 2)).died


def test_the_survivors_peak_is_told_over_what_they_needed_later() -> None:
    found = starts(one(OVER_THE_TOP, killed=False))
    assert found.peak_over_level == pytest.approx(92 / 50)


def test_a_high_start_far_from_the_limit_is_not_worth_a_word() -> None:
    assert starts(one([level / 2 for level in OVER_THE_TOP], killed=False)).peak_over_level == 0


def test_a_bend_in_few_lives_only_is_no_start() -> None:
    straight = [10 + place for place in range(80)]
    found = starts(one(LEVEL), *(one(straight, place) for place in range(1, 5)))
    assert found == Starts((0.0,) * 5, None, frozenset(), 0.0)


def test_the_last_jump_before_a_kill_is_left_out() -> None:
    (killed,) = lives(one([50.0] * 79 + [99.0]))
    assert max(demand for _, demand in before_end(killed)) == 50 * MIB
    (alive,) = lives(one([50.0] * 79 + [99.0], killed=False))
    assert before_end(alive) == alive.points
