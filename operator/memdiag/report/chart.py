"""The curve in a terminal: a column a moment, a row a share of the scale, one letter for each kind of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memdiag.model.quantity import human_bytes
from memdiag.report.curve import LAYERS, Curve, Layer, RunCurve
from memdiag.report.scale import layers_of, lines_of, most_bytes, ticks
from memdiag.report.words import short_duration

LEAST_WIDTH = 50
_LEAST_COLUMNS = 3
"""Columns of the shortest run."""
_LEGEND_GAP = 3


@dataclass(frozen=True, slots=True)
class Style:
    """How a chart is written: the letters of layers, lines and marks, and the terminal's colours (none where empty)."""

    glyphs: Mapping[str, str]
    colours: Mapping[str, str]

    def paint(self, role: str, text: str) -> str:
        """Return the text in its role's colour."""
        code = self.colours.get(role)
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


_BLOCKS = {
    Layer.ANON.name: "█",
    Layer.SHMEM.name: "▓",
    Layer.KERNEL.name: "▒",
    Layer.SWAP.name: "▚",
    Layer.ALL.name: "█",
    Layer.CACHE.name: "░",
    "limit": "━",
    "recommended": "╌",
    "stopgap": "┄",
    "kill": "✖",
    "edge": "│",
    "corner": "└",
    "floor": "─",
}
_ASCII = {
    Layer.ANON.name: "#",
    Layer.SHMEM.name: "%",
    Layer.KERNEL.name: "+",
    Layer.SWAP.name: "$",
    Layer.ALL.name: "#",
    Layer.CACHE.name: ".",
    "limit": "=",
    "recommended": "-",
    "stopgap": "~",
    "kill": "X",
    "edge": "|",
    "corner": "+",
    "floor": "-",
}
_COLOURS = {
    Layer.ANON.name: "34",
    Layer.SHMEM.name: "33",
    Layer.KERNEL.name: "35",
    Layer.SWAP.name: "95",
    Layer.ALL.name: "34",
    Layer.CACHE.name: "90",
    "limit": "31",
    "recommended": "32",
    "stopgap": "33",
    "kill": "1;31",
}


def style(*, colour: bool, plain: bool) -> Style:
    """Return a style: in colour or not, in plain ASCII where the terminal's encoding has no more."""
    return Style(_ASCII if plain else _BLOCKS, _COLOURS if colour else {})


def _widths(runs: tuple[RunCurve, ...], room: int) -> list[int]:
    """Return the columns of each run: by how long it lasted, none below the least while there is room."""
    least = max(1, min(_LEAST_COLUMNS, (room - len(runs) + 1) // len(runs)))
    free = max(room - (len(runs) - 1) - least * len(runs), 0)
    whole = sum(run.duration for run in runs) or 1.0
    return [least + int(free * run.duration / whole) for run in runs]


def _at(run: RunCurve, columns: int, column: int) -> tuple[int, ...] | None:
    """Return the layers of the highest point of one column, or of the one before it; None where nothing is known."""
    step = run.duration / columns if run.duration else 1.0
    inside = [point for point in run.points if column * step <= point.age <= (column + 1) * step]
    if inside:
        return max(inside, key=lambda point: point.demand).layers
    before = [point for point in run.points if point.age < column * step]
    return before[-1].layers if before else None


def _column(layers: tuple[int, ...] | None, rows: int, most: float, glyphs: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return role and letter of each cell from the bottom up."""
    cells = []
    for row in range(rows):
        level = (row + 0.5) * most / rows
        role, base = "", 0
        for place, layer in enumerate(LAYERS if layers else ()):
            base += layers[place] if layers else 0
            if level < base:
                role = layer.name
                break
        cells.append((role, glyphs[role] if role else " "))
    return cells


class _Grid:
    """The cells of the plot, addressed from the bottom left."""

    def __init__(self, rows: int, most: float, style: Style) -> None:
        self._rows, self._most, self._style = rows, most, style
        self._columns: list[list[tuple[str, str]]] = []

    def row_of(self, count: float) -> int:
        """Return the row that a number of bytes lies in."""
        return min(int(count / self._most * self._rows), self._rows - 1)

    def add(self, layers: tuple[int, ...] | None) -> None:
        """Put a column of stacked layers to the right."""
        self._columns.append(_column(layers, self._rows, self._most, self._style.glyphs))

    def mark(self, column: int, row: int, role: str) -> None:
        """Put a letter over what stands there."""
        self._columns[column][row] = (role, self._style.glyphs[role])

    def line(self, row: int, role: str, *, over: bool) -> None:
        """Put a line across; over the layers, or only where there is nothing."""
        for column in self._columns:
            if over or not column[row][0]:
                column[row] = (role, self._style.glyphs[role])

    def text(self, row: int) -> str:
        """Return a row's text; neighbours of one colour share its code."""
        parts: list[tuple[str, str]] = []
        for column in self._columns:
            role, letter = column[row]
            if parts and parts[-1][0] == role:
                parts[-1] = (role, parts[-1][1] + letter)
            else:
                parts.append((role, letter))
        return "".join(self._style.paint(role, text) for role, text in parts).rstrip()


def _labels(runs: tuple[RunCurve, ...], widths: list[int]) -> str:
    """Return the line below the plot: number and duration of each run that has room for them."""
    text, column = "", 0
    for run, width in zip(runs, widths, strict=True):
        for words in (f"run {run.number}, {short_duration(run.duration)}", f"{run.number}"):
            if len(words) <= width and len(text) <= column:
                text = text.ljust(column) + words
                break
        column += width + 1
    return text


def _legend(curve: Curve, look: Style, room: int) -> list[str]:
    """Return the legend's lines, broken where there is no more room."""
    parts = [(layer.name, layer.value) for layer in layers_of(curve)]
    parts += [(role, name) for role, _, name in lines_of(curve)]
    parts += [("kill", "OOM kill")] if curve.kills else []
    lines, used = [""], 0
    for role, words in parts:
        wide = 2 + len(words)
        gap = _LEGEND_GAP if used else 0
        if used and used + gap + wide > room:
            lines.append("")
            used = gap = 0
        lines[-1] += f"{' ' * gap}{look.paint(role, look.glyphs[role])} {words}"
        used += gap + wide
    return lines


def chart(curve: Curve, look: Style, *, width: int = 100, rows: int = 14) -> list[str]:
    """Return the lines of the chart, none wider than `width` columns (or the least that a chart needs).

    A curve without runs gives one line that says so.
    """
    if not curve.runs:
        return ["No run was recorded: there is no curve to draw."]
    most = most_bytes(curve)
    grid = _Grid(rows, most, look)
    margin = 9
    runs = curve.runs[-((max(width, LEAST_WIDTH) - margin) // 2) :]
    widths = _widths(runs, max(width, LEAST_WIDTH) - margin - 1)
    marks: list[tuple[int, float, RunCurve]] = []
    column = 0
    for place, (run, columns) in enumerate(zip(runs, widths, strict=True)):
        if place:
            grid.add(None)
            column += 1
        for number in range(columns):
            grid.add(_at(run, columns, number))
        marks += [
            (column + min(int(age / run.duration * columns), columns - 1) if run.duration else column, age, run)
            for age in run.kills
        ]
        column += columns
    names: dict[int, tuple[str, str]] = {}
    for role, count, _ in reversed(lines_of(curve)):
        if count <= most:
            row = grid.row_of(count)
            grid.line(row, role, over=role == "limit")
            names[row] = (role, human_bytes(count))
    for column, age, run in marks:
        grid.mark(column, grid.row_of(run.held(age) or curve.limit or most / 2), "kill")
    round_ones = {grid.row_of(count): ("", human_bytes(count)) for count in ticks(most)}
    lines = []
    for row in reversed(range(rows)):
        role, name = names.get(row) or round_ones.get(row, ("", ""))
        lines.append(f"{look.paint(role, name.rjust(margin - 1))} {look.glyphs['edge']}{grid.text(row)}")
    floor = look.glyphs["floor"] * (sum(widths) + len(widths) - 1)
    lines.append(" " * margin + look.glyphs["corner"] + floor)
    lines.append(" " * (margin + 1) + _labels(runs, widths))
    hidden = curve.left_out + len(curve.runs) - len(runs)
    if hidden:
        lines.append(" " * (margin + 1) + f"({hidden} older runs are not drawn)")
    lines.append("")
    room = max(width, LEAST_WIDTH) - margin - 1
    return lines + [" " * (margin + 1) + line for line in _legend(curve, look, room)]
