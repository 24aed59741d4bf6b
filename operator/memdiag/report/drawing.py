"""The curve as a neutral drawing: shapes in pixels, named by role, that the vector and the image renderer share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from memdiag.model.quantity import human_bytes
from memdiag.report.curve import LAYERS, Curve, RunCurve
from memdiag.report.scale import layers_of, lines_of, most_bytes, ticks
from memdiag.report.words import printable, short_duration

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon."""

    role: str
    outline: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through places."""

    role: str
    way: tuple[Place, ...]
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `place` is its baseline's left, middle or right end."""

    role: str
    place: Place
    words: str
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Shape = Area | Line | Text


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes in the order in which they are painted; sizes in pixels."""

    width: float
    height: float
    font: float
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a drawing is, and where its lines are named: beside the plot, or in the legend where that is narrow."""

    width: float = 920.0
    height: float = 400.0
    font: float = 13.0
    names_beside: bool = True


WIDE = Size()
NARROW = Size(width=380.0, height=330.0, font=12.0, names_beside=False)

_GAP = 7.0
"""Pixels between two runs."""
_LEAST = 0.25
"""Width of the shortest run's slot, as a share of what all would have if they were alike."""
_LETTER = 0.6
"""Mean width of a letter, as a share of the font's size."""
_CROSS = 4.5


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plot's place and scale."""

    left: float
    right: float
    top: float
    bottom: float
    most: float

    def y(self, count: float) -> float:
        return self.bottom - (self.bottom - self.top) * min(max(count / self.most, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class _Slot:
    run: RunCurve
    left: float
    right: float

    def x(self, age: float) -> float:
        share = age / self.run.duration if self.run.duration > 0 else 1.0
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


def _allowed_text(curve: Curve) -> str | None:
    if curve.allowed is None:
        return None
    low, high = curve.allowed
    return f"range {human_bytes(low)} to {human_bytes(high)}"


def _legend(curve: Curve, size: Size) -> list[tuple[str, str, str]]:
    """Return the legend's entries: the kind of its mark, its role and its words."""
    found = [("box", layer.name, layer.value) for layer in layers_of(curve)]
    if curve.kills:
        found.append(("cross", "kill", f"OOM kill ({curve.kills})"))
    if not size.names_beside:
        found += [("line", role, name) for role, _, name in lines_of(curve)]
    allowed = _allowed_text(curve)
    if allowed is not None:
        found.append(("box", "allowed", allowed))
    return found


def _cross(x: float, y: float, half: float = _CROSS) -> Iterator[Line]:
    yield Line("kill", ((x - half, y - half), (x + half, y + half)), 2.2)
    yield Line("kill", ((x - half, y + half), (x + half, y - half)), 2.2)


def _legend_shapes(curve: Curve, size: Size, top: float) -> tuple[list[Shape], float]:
    """Return the legend's shapes from `top` on, and where it ends."""
    shapes: list[Shape] = []
    font = size.font
    x, y = 8.0, top + font
    for mark, role, words in _legend(curve, size):
        wide = 20 + len(words) * font * _LETTER
        if x + wide > size.width - 4 and x > 8:
            x, y = 8.0, y + 1.5 * font
        middle = y - 0.35 * font
        if mark == "box":
            box = ((x, middle - 5), (x + 12, middle - 5), (x + 12, middle + 5), (x, middle + 5))
            shapes.append(Area(role, box))
        elif mark == "line":
            shapes.append(Line(role, ((x, middle), (x + 12, middle)), 2.2, dashed=role != "limit"))
        else:
            shapes += _cross(x + 6, middle)
        shapes.append(Text("label", (x + 17, y), words))
        x += wide + 12
    return shapes, y


def _slots(curve: Curve, left: float, right: float) -> list[_Slot]:
    """Return where each run stands: as wide as it lasted, but never too narrow to be seen."""
    count = len(curve.runs)
    gap = min(_GAP, (right - left) / (4 * count))
    room = right - left - gap * (count - 1)
    longest = max(run.duration for run in curve.runs)
    least = _LEAST * sum(run.duration for run in curve.runs) / count
    shares = [max(run.duration, least) if longest > 0 else 1.0 for run in curve.runs]
    whole = sum(shares)
    slots = []
    for run, share in zip(curve.runs, shares, strict=True):
        width = room * share / whole
        slots.append(_Slot(run, left, left + width))
        left += width + gap
    return slots


def _stacked(slot: _Slot, frame: _Frame) -> Iterator[Area]:
    points = slot.run.points
    if len(points) == 1:  # one sample is a thin bar, not an area without width
        only = points[0]
        xs = [max(slot.left, slot.x(only.age) - 3), slot.x(only.age)]
        xs[1] = max(xs[1], xs[0] + 3)
        points = (only, only)
    else:
        xs = [slot.x(point.age) for point in points]
    below = [0] * len(points)
    for place, layer in enumerate(LAYERS):
        above = [base + point.layers[place] for base, point in zip(below, points, strict=True)]
        if above != below:
            upper = [(x, frame.y(count)) for x, count in zip(xs, above, strict=True)]
            lower = [(x, frame.y(count)) for x, count in zip(xs, below, strict=True)]
            yield Area(layer.name, (*upper, *reversed(lower)))
        below = above


def _limit_way(slot: _Slot, frame: _Frame, limit: int | None) -> Iterator[Line]:
    """Yield the limit in force over a run as a step line; a run that nobody sampled has the newest one's."""
    steps = [(slot.x(point.age), point.limit) for point in slot.run.points]
    steps = [(slot.left, steps[0][1]), *steps, (slot.right, steps[-1][1])] if steps else []
    steps = steps or [(slot.left, limit), (slot.right, limit)]
    way: list[Place] = []
    for (x, count), (following, then) in pairwise(steps):
        if count is None or count > frame.most:
            if len(way) > 1:
                yield Line("limit", tuple(way), 2.0)
            way = []
            continue
        y = frame.y(count)
        if not way:
            way = [(x, y)]
        if then != count or following == slot.right:
            way.append((following, y))
            if then is not None and then != count and then <= frame.most:
                way.append((following, frame.y(then)))
    if len(way) > 1:
        yield Line("limit", tuple(way), 2.0)


def _mark_height(slot: _Slot, frame: _Frame, age: float, limit: int | None) -> float:
    """Return the height of a kill's mark: what was then held, else the limit."""
    return frame.y(slot.run.held(age) or limit or frame.most / 2)


def _run_labels(slots: list[_Slot], frame: _Frame, font: float) -> Iterator[Text]:
    """Yield each run's number and duration below it, as far as there is room for them."""
    free = frame.left - 1e9
    for number, slot in enumerate(slots):
        last = number == len(slots) - 1
        middle = (slot.left + slot.right) / 2
        lines = [f"run {slot.run.number}", short_duration(slot.run.duration)]
        half = max(len(words) for words in lines) * font * _LETTER / 2 + 3
        middle = min(middle, frame.right - half) if last else middle
        if middle - half < free:
            continue
        free = middle + half
        for row, words in enumerate(lines):
            yield Text("label", (middle, frame.bottom + (1.35 + 1.2 * row) * font), words, "middle")


def _named(curve: Curve, most: float) -> list[tuple[str, int, str]]:
    """Return the lines with their names; one beyond the scale says so."""
    return [(role, count, name if count <= most else f"{name} (above)") for role, count, name in lines_of(curve)]


def _names_beside(curve: Curve, frame: _Frame, size: Size) -> Iterator[Text]:
    """Yield the names of the lines right of the plot, moved apart where they would lie upon each other."""
    step, floor = 1.25 * size.font, -1e9
    for y, role, name in sorted((frame.y(count), role, name) for role, count, name in _named(curve, frame.most)):
        place = max(y + 0.35 * size.font, floor + step)
        floor = place
        yield Text(role, (frame.right + 8, place), name, bold=True)


def _frame(curve: Curve, size: Size, top: float) -> _Frame:
    font, most = size.font, most_bytes(curve)
    longest = max(len(human_bytes(count)) for count in [0, *ticks(most)])
    names = max((len(name) for _, _, name in _named(curve, most)), default=0) if size.names_beside else 0
    beside = 16 + names * font * _LETTER * 1.1 if names else 10.0
    return _Frame(12 + longest * font * _LETTER, size.width - beside, top + 1.3 * font, size.height - 3.1 * font, most)


def _behind(curve: Curve, frame: _Frame, font: float) -> Iterator[Shape]:
    """Yield what the runs stand before: the allowed range, and the lines and names of round values."""
    if curve.allowed is not None:
        low, high = (frame.y(count) for count in curve.allowed)
        yield Area("allowed", ((frame.left, high), (frame.right, high), (frame.right, low), (frame.left, low)))
    for count in ticks(frame.most):
        y = frame.y(count)
        yield Line("grid", ((frame.left, y), (frame.right, y)))
        yield Text("label", (frame.left - 5, y + 0.35 * font), human_bytes(count), "end")


def _before(curve: Curve, slots: list[_Slot], frame: _Frame) -> Iterator[Shape]:
    """Yield what stands before the runs: limits, advice and kills."""
    for slot in slots:
        yield from _limit_way(slot, frame, curve.limit)
    for role, count, _ in lines_of(curve):
        if role != "limit" and count <= frame.most:
            y = frame.y(count)
            yield Line(role, ((frame.left, y), (frame.right, y)), 2.0, dashed=True)
    for slot in slots:
        for age in slot.run.kills:
            x, y = slot.x(age), _mark_height(slot, frame, age, curve.limit)
            yield Line("kill", ((x, frame.bottom), (x, y)), 1.2)
            yield from _cross(x, y)


def draw(curve: Curve, size: Size = WIDE, title: str | None = None) -> Drawing:
    """Return the drawing of a curve. A curve without runs is a sentence that says so."""
    font = size.font
    shapes: list[Shape] = []
    top = 4.0
    if title is not None:
        most = int((size.width - 16) / (font * 1.2 * _LETTER))
        shapes.append(Text("title", (8.0, top + 1.3 * font), printable(title)[:most], bold=True))
        top += 2.1 * font
    if not curve.runs:
        words = "No run was recorded: there is no curve to draw."
        shapes.append(Text("label", (size.width / 2, size.height / 2), words, "middle"))
        return Drawing(size.width, size.height, font, tuple(shapes))
    legend, top = _legend_shapes(curve, size, top)
    frame = _frame(curve, size, top)
    slots = _slots(curve, frame.left, frame.right)
    shapes += _behind(curve, frame, font)
    for slot in slots:
        shapes += _stacked(slot, frame)
        shapes.append(Line("axis", ((slot.left, frame.bottom), (slot.right, frame.bottom))))
    shapes += _before(curve, slots, frame)
    shapes += _run_labels(slots, frame, font)
    if size.names_beside:
        shapes += _names_beside(curve, frame, size)
    return Drawing(size.width, size.height, font, (*shapes, *legend))
