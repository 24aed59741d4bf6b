"""The terminal: colours where they belong, width, and the progress bar."""

from __future__ import annotations

import io

import pytest

from memdiag.cli.terminal import Progress, screen_of
from memdiag.report.text import Screen, text
from tests.report.findings import LEAK, hostile


class Terminal(io.StringIO):
    """A stream that says it is a terminal; its encoding is what a real one's would be."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class AsciiTerminal(Terminal):
    encoding = "ascii"


@pytest.mark.parametrize(
    ("env", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)]
)
def test_colours_follow_the_terminal_and_no_color(env: dict[str, str], colour: bool) -> None:
    assert screen_of(Terminal(), env) == Screen(80, colour=colour)
    assert screen_of(io.TextIOWrapper(io.BytesIO(), "utf-8"), env) == Screen()
    assert screen_of(AsciiTerminal(), env).plain


def test_text_is_broken_at_the_terminals_width_and_nowhere_else() -> None:
    narrow = text(LEAK, Screen(60, colour=False)).splitlines()
    assert all(len(line) <= 60 for line in narrow)
    whole = text(LEAK, Screen()).splitlines()
    assert "  - Attach memray: `memray attach PID` and look." in whole


def test_a_hostile_cluster_cannot_steer_the_terminal() -> None:
    for screen in (Screen(), Screen(100)):
        assert all(letter.isprintable() or letter == "\n" for letter in text(hostile(), screen))
    coloured = text(hostile(), Screen(100, colour=True)).replace("\x1b[0m", "")
    assert "\x1b[31m<" not in coloured


def test_how_long_ago_is_told_when_now_is_known() -> None:
    assert LEAK.last_kill_time is not None
    assert "7 kills, the last at 2025-11-23 00:02:41 UTC, 61s ago" in text(LEAK, Screen(), LEAK.last_kill_time + 61)


def test_a_bar_shows_on_a_terminal_once_work_is_long() -> None:
    now = [0.0]
    stream = Terminal()
    with Progress(stream, "reading", 4, lambda: now[0]) as bar:
        bar.step()
        assert stream.getvalue() == ""
        now[0] = 2.0
        bar.step()
        assert "reading: [############............] 2/4" in stream.getvalue()
        now[0] = 3.0
        bar.begin("judging", None)
        now[0] = 4.0
        bar.step(7)
        assert stream.getvalue().endswith("judging: 7")
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_bar_is_silent_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    now = [0.0]
    with Progress(stream, "reading", 4, lambda: now[0]) as bar:
        now[0] = 9.0
        bar.step()
    assert stream.getvalue() == ""
