"""Whatever the facts hold: Slack takes the message, what is cut shows it, and nothing in it is markup."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memdiag.alerts import compose
from memdiag.alerts.blocks import LONGEST_COMMAND, LONGEST_HEADER, render
from memdiag.alerts.message import Advice, Colour, Line, Message
from memdiag.alerts.text import CUT, clean, cut, escape
from memdiag.model.occasion import Occasion
from memdiag.model.verdict import Action, Cause
from tests.alerts.fake_slack import check_blocks
from tests.alerts.samples import LEAK, LOW

ANY = st.text(max_size=4000)


@given(text=ANY, most=st.integers(10, 3000))
def test_what_is_cut_shows_it(text: str, most: int) -> None:
    found = cut(text, most)
    assert len(found) <= most
    assert found == text or found.endswith(CUT)


@given(text=ANY)
def test_escaped_text_holds_no_markup_and_clean_text_no_control_sign(text: str) -> None:
    escaped = escape(clean(text))
    assert not {"<", ">"} & set(escaped)
    assert escaped.isprintable()
    assert escaped.count("&") == clean(text).count("&") + clean(text).count("<") + clean(text).count(">")


@given(text=ANY, evidence=ANY, patch=ANY)
@settings(max_examples=60, deadline=None)
def test_slack_takes_any_facts(text: str, evidence: str, patch: str) -> None:
    odd = replace(
        LEAK, workload=text, container=text, pod=text, victim=text, evidence=evidence, cluster=text, resolution=text,
        advice=Advice(action=Action.RAISE_LIMIT, limit="1Gi", patch=patch, next_step=evidence),
    )  # fmt: skip
    said = [compose.head(odd, pictured=True), compose.summary([odd] * 60, None), compose.sample(text)]
    said += [compose.change(odd, occasion, Cause.GROWTH) for occasion in Occasion]
    for message in said:
        found = render(message, (text, evidence))
        check_blocks(json.loads(json.dumps(found.blocks)))
        assert not {"<", ">"} & set(found.text)
        assert len(found.text) < 2000


def test_a_long_title_is_cut_within_slacks_bound() -> None:
    found = render(compose.head(replace(LEAK, workload="w" * 253, container="c" * 63), pictured=False))
    title = found.blocks[0]["text"]["text"]
    assert len(title) == LONGEST_HEADER
    assert title.endswith(CUT)


def test_a_command_is_whole_or_not_there() -> None:
    patch = json.dumps({"spec": "x" * LONGEST_COMMAND})
    found = render(compose.head(replace(LOW, advice=replace(LOW.advice, patch=patch)), pictured=False))
    commands = [block["elements"][0]["elements"][0]["text"] for block in found.blocks if block["type"] == "rich_text"]
    assert commands == ["kubectl -n shop describe memorydiagnosis deployment-reports-app"]


@pytest.mark.parametrize("sign", ["\n", "\u202e", "\x1b", "\u200b"])
def test_a_command_that_would_not_be_seen_as_it_is_is_not_there(sign: str) -> None:
    """Whoever may edit a diagnosis can name any workload: quotes hold, but nobody would see what they copy."""
    found = render(compose.head(replace(LOW, workload=f"web{sign}rm -rf"), pictured=False))
    assert len([block for block in found.blocks if block["type"] == "rich_text"]) == 1
    assert sign not in json.dumps(found.blocks, ensure_ascii=False)


def test_a_command_survives_any_shell() -> None:
    import shlex

    patch = """{"a":"it's $(rm -rf /) `x`"}"""
    line = compose.head(replace(LOW, advice=replace(LOW.advice, patch=patch)), pictured=False).lines[2]
    assert line.command is not None
    assert shlex.split(line.command)[-1] == patch


def test_too_many_lines_are_left_out_where_one_sees_it_and_the_last_one_stays() -> None:
    lines = tuple(Line("Line", "x" * 1000) for _ in range(60))
    found = render(Message(Colour.INFO, "title", (*lines, Line("Where", "to look", "kubectl get")), "footer"))
    check_blocks(list(found.blocks))
    words = json.dumps(found.blocks)
    assert "left out here (cut)" in words
    assert "kubectl get" in words


@pytest.mark.parametrize("seconds", [30.0, 119.0, 600.0, 7200.0, 900_000.0])
def test_an_uptime_is_said_in_words(seconds: float) -> None:
    facts = replace(LEAK, advice=replace(LEAK.advice, stop_gap_seconds=seconds))
    said = compose.head(facts, pictured=False).lines[2].text
    assert any(word in said for word in ("seconds", "minutes", "hours", "days"))
