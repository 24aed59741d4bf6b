"""Tables and documents on the standard output: columns as kubectl has them, a list as JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from memdiag.model.verdict import Cause
from memdiag.report.text import Screen
from memdiag.report.words import printable

_GAP = 3
_DIM = "90"


def table(screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]], dim: Sequence[bool] = ()) -> list[str]:
    """Return the lines of a table; a cell that is a cause has its colour, a row that is `dim` is grey."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    last = len(heads) - 1
    lines = [_line(screen, heads, widths, last).rstrip()]
    for number, row in enumerate(cells):
        if number < len(dim) and dim[number]:
            lines.append(screen.paint(_DIM, _line(Screen(), row, widths, last).rstrip()))
        else:
            lines.append(_line(screen, row, widths, last).rstrip())
    return lines


def _line(screen: Screen, cells: Sequence[str], widths: Sequence[int], last: int) -> str:
    causes = {cause.value: cause for cause in Cause}
    return "".join(
        screen.cause(causes.get(cell), cell) + ("" if place == last else " " * (widths[place] - len(cell) + _GAP))
        for place, cell in enumerate(cells)
    )


def document(form: str, item: Mapping[str, Any]) -> str:
    """Return an object as `json` or `yaml`, with its last line break."""
    if form == "json":
        return json.dumps(item, indent=4, ensure_ascii=False) + "\n"
    return yaml.safe_dump(dict(item), sort_keys=False, allow_unicode=True)


def a_list(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return objects as the list that kubectl prints of them."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": list(items)}
