"""Durations, times and text for people."""

from __future__ import annotations

import pytest

from memdiag.report.words import moment, printable, short_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (3.96, "4s"), (4.25, "4.2s"), (61, "61s"), (119.7, "2m"), (150, "2m30s"), (720, "12m"),
     (7500, "2h5m"), (86400 * 3 + 4 * 3600, "3d4h"), (86400 * 20 + 3600, "20d")],
)  # fmt: skip
def test_durations_are_short(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


def test_a_time_that_is_no_calendar_time_is_not_told() -> None:
    assert moment(1_763_856_000.0) == "2025-11-23 00:00:00 UTC"
    assert moment(12.0) is None
    assert moment(None) is None
    assert moment(1e300) is None


@pytest.mark.parametrize("bad", ["\x1b[31m", "\x07", "\r\n", "\u202e", "\x9b", "\u2028", "\x00"])
def test_nothing_that_a_terminal_obeys_is_left(bad: str) -> None:
    assert printable(f"a{bad}b").isprintable()
    assert printable("Grüße ✓") == "Grüße ✓"
