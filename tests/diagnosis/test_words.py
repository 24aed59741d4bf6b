"""Numbers as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.diagnosis.words import day, duration, name, pace, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (45, "45 seconds"),
        (90, "1.5 minutes"),
        (7200, "2 hours"),
        (216000, "2.5 days"),
        (1, "1 second"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("slope", "text"),
    [
        (2**20, "60 MiB a minute"),
        (2**20 / 180, "20 MiB an hour"),
        (2**20 / 43200, "2.0 MiB a day"),
        (0.001, "86 B a day"),
    ],
)
def test_a_pace_is_in_the_unit_that_makes_it_a_size_to_think_of(slope: float, text: str) -> None:
    assert pace(slope) == text


@given(st.floats(1e9, 253402300799))
def test_days_are_those_of_the_calendar(t: float) -> None:
    assert day(t) == datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M UTC")


@pytest.mark.parametrize("t", [0.0, -5.0, 3600.0, 1e300, float("nan")])
def test_what_is_no_calendar_time_has_no_day(t: float) -> None:
    assert day(t) is None


def test_names_are_bounded_and_obeyed_by_nothing() -> None:
    assert name("LimitRange team-a/memory") == "LimitRange team-a/memory"
    assert name("x\x1b[31m<@U1>\n" + "y" * 200) == ("x??31m??U1??" + "y" * 200)[:80]
    assert percent(0.153) == "15 %"
