"""The drawing and its three renderers: nothing falls outside, nothing fails on odd traces, colours are all known."""

from __future__ import annotations

import io
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from memdiag.model.trace import Trace
from memdiag.model.verdict import Action, Recommendation, StopGap
from memdiag.report.chart import chart, style
from memdiag.report.curve import curve_of
from memdiag.report.drawing import NARROW, WIDE, Area, Line, Size, Text, draw
from memdiag.report.palette import ROLES
from memdiag.report.png import png
from memdiag.report.scale import ticks
from memdiag.report.svg import shape_rules, svg
from tests.report.lives import MIB, odd_traces, trace

RAISE = Recommendation(Action.RAISE_LIMIT, 144 * MIB, 100 * MIB, (120 * MIB, 192 * MIB), "basis")
FIX = Recommendation(Action.FIX_LEAK, None, None, None, "basis", StopGap(110 * MIB, 60))
ALL = {"three runs": trace(), **odd_traces()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("advice", [None, RAISE, FIX])
def test_every_shape_lies_within_the_drawing(name: str, size: Size, advice: Recommendation | None) -> None:
    drawing = draw(curve_of(ALL[name], advice), size, "shop/checkout")
    assert drawing.shapes
    for shape in drawing.shapes:
        assert shape.role in ROLES
        places = shape.outline if isinstance(shape, Area) else shape.way if isinstance(shape, Line) else (shape.place,)
        assert all(-1 <= x <= size.width + 1 and -1 <= y <= size.height + 1 for x, y in places), shape


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("advice", [RAISE, FIX])
def test_texts_lie_beside_each_other_and_within_the_drawing(name: str, advice: Recommendation) -> None:
    drawing = draw(curve_of(ALL[name], advice), WIDE)
    boxes = []
    for shape in drawing.shapes:
        if isinstance(shape, Text):
            wide = len(shape.words) * drawing.font * 0.5
            x, y = shape.place
            left = {"start": x, "middle": x - wide / 2, "end": x - wide}[shape.anchor]
            boxes.append((left, y - 0.7 * drawing.font, left + wide, y, shape.words))
    assert max(box[2] for box in boxes) <= WIDE.width
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dark", [False, True])
def test_the_image_is_a_small_png_in_the_themes_colours(name: str, dark: bool) -> None:
    data = png(draw(curve_of(ALL[name], RAISE), title=name), dark=dark)
    assert len(data) < 60_000
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("PNG", (1380, 600))
    paper = ROLES["paper"].dark if dark else ROLES["paper"].light
    corner = image.convert("RGB").getpixel((1379, 599))
    assert "#{:02x}{:02x}{:02x}".format(*corner) == paper  # type: ignore[misc]  # a colour image has three channels


def test_the_image_shows_limit_kill_and_layer() -> None:
    image = Image.open(io.BytesIO(png(draw(curve_of(trace(), RAISE))))).convert("RGB")
    colours = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in image.getcolors(2**20) or ()}  # type: ignore[misc]  # as above
    assert {ROLES[role].light for role in ("ANON", "CACHE", "limit", "recommended", "allowed")} <= colours


def test_the_vector_has_a_rule_for_every_class_and_escapes_what_it_is_told() -> None:
    root = svg(draw(curve_of(trace(), RAISE), title="<script>alert(1)</script>\x1b"), "a & b <c>")
    text = ET.tostring(root, encoding="unicode")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b" in text
    rules = shape_rules()
    for element in root.iter():
        name = element.get("class")
        assert name is None or f".{name}{{" in rules


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [20, 60, 100, 200])
@pytest.mark.parametrize("plain", [False, True])
def test_the_chart_keeps_to_its_width(name: str, width: int, plain: bool) -> None:
    found = chart(curve_of(ALL[name], RAISE), style(colour=False, plain=plain), width=width)
    assert all(len(line) <= max(width, 50) for line in found), found
    assert all(line.isprintable() for line in found)
    assert not plain or all(line.isascii() for line in found)


def test_the_chart_shows_limit_kills_and_durations() -> None:
    found = chart(curve_of(trace(), RAISE), style(colour=False, plain=True), width=90)
    text = "\n".join(found)
    assert sum(line.count("X") for line in found[:14]) == 2
    assert "96 MiB |" in text
    assert "run 1, 61s" in text
    assert "recommended 144 MiB" in text
    assert "#" in text


def test_colours_are_written_only_when_asked_for() -> None:
    curve = curve_of(trace(), RAISE)
    assert "\x1b[" not in "".join(chart(curve, style(colour=False, plain=False)))
    assert "\x1b[31m━" in "".join(chart(curve, style(colour=True, plain=False)))


def test_a_trace_without_runs_is_a_sentence() -> None:
    assert chart(curve_of(Trace(())), style(colour=False, plain=True)) == [
        "No run was recorded: there is no curve to draw."
    ]


@pytest.mark.parametrize("most", [1, 5 * MIB, 96 * MIB, 100 * MIB, 3 * 2**30, 2**50])
def test_ticks_are_round_and_few(most: int) -> None:
    found = ticks(most)
    assert 1 <= len(found) <= 6
    assert max(found) <= most
    assert len({two - one for one, two in pairwise(found)}) <= 1
