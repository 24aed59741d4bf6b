"""Hiding: a low limit is no verdict where a leak is not ruled out, and is one where something bounds the rise."""

from __future__ import annotations

import pytest

from memdiag.diagnosis import diagnose
from memdiag.diagnosis.hiding import MOST_LEAK, may_hide_leak, seen_as
from memdiag.model.verdict import Cause
from tests.diagnosis.lives import BEGIN, container, life, seen

LEVEL = [20.0 + place % 3 for place in range(60)]
FOUND = seen(container(life(LEVEL), life(LEVEL, begin=BEGIN + 9000)))
RISES = {"floor_rises": 1.0, "goes_on": 0.9}


def test_what_was_seen_sets_how_likely_a_leak_may_be() -> None:
    assert seen_as(FOUND) == "several lives"
    assert seen_as(seen(container(life(LEVEL)))) == "one life"
    assert seen_as(seen(container(life(LEVEL[:10]), life(LEVEL[:10], begin=BEGIN + 900)))) == "few samples"
    assert not may_hide_leak(FOUND, {}, MOST_LEAK["several lives"])
    assert may_hide_leak(FOUND, {}, MOST_LEAK["several lives"] + 0.01)


@pytest.mark.parametrize(
    ("strengths", "hides"),
    [
        ({}, False),
        ({"floor_rises": 1.0}, False),
        ({"goes_on": 1.0}, False),
        (RISES, True),
        ({**RISES, "comes_to_rest": 0.6}, False),
        ({**RISES, "held_more": 0.6}, False),
        ({**RISES, "start_peak": 0.6}, False),
        ({**RISES, "start_peak": 0.3}, True),
        ({"floor_climbs": 0.5}, True),
        ({"floor_climbs": 0.5, "comes_to_rest": 1.0}, True),
        ({"floor_climbs": 0.2}, False),
    ],
)
def test_a_rise_hides_a_leak_until_something_bounds_it(strengths: dict[str, float], hides: bool) -> None:
    assert may_hide_leak(FOUND, strengths, 0.05) is hides


def test_a_restart_inside_a_run_does_not_make_a_leak_a_low_limit() -> None:
    rise = [5 + place * 4.1 for place in range(23)]
    inside = [5 + place * 4.1 for place in range(18)] + [8 + place * 3.3 for place in range(28)]
    lives = [rise, rise, inside, rise]
    runs = [life(levels, begin=BEGIN + place * 9000) for place, levels in enumerate(lives)]
    assert diagnose(container(*runs)).cause is not Cause.UNDERESTIMATED_LIMIT


def test_a_plateau_that_hardly_rises_is_one() -> None:
    runs = [life([92 + place / 20 for place in range(60)], begin=BEGIN + number * 9000) for number in range(3)]
    assert diagnose(container(*runs)).cause is Cause.UNDERESTIMATED_LIMIT
