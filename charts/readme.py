#!/usr/bin/env python3
"""Write the table of values into the chart's README from values.yaml and its comments, or check that it follows.

A comment that begins with `# --` and stands right above a key explains it; it goes on over further comment lines.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from memdiag.kube.generated import keep

CHART = Path(__file__).resolve().parent / "memdiag"
BAR = "\\|"
"""A bar inside a cell of a Markdown table."""
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


def comments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each explained key and what its comment says."""
    above: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        words = line.strip()
        if words.startswith("# -- "):
            said = [words.removeprefix("# -- ")]
        elif words.startswith("#"):
            if said:
                said.append(words.removeprefix("#").strip())
        else:
            match = re.match(r"( *)([A-Za-z][\w.-]*):", line)
            if match:
                depth = len(match[1])
                above = [each for each in above if each[0] < depth] + [(depth, match[2])]
                if said:
                    yield tuple(name for _, name in above), " ".join(said)
            said = []


def table(text: str) -> str:
    """Return the Markdown table of every explained key."""
    values = yaml.safe_load(text)
    explained = dict(comments(text))
    rows = ["| value | default | what |", "|---|---|---|"]
    for path, said in explained.items():
        value: Any = values
        for key in path:
            value = value[key]
        parent = any(other[: len(path)] == path and other != path for other in explained)
        default = "" if parent else f"`{json.dumps(value)}`"
        rows.append(f"| `{'.'.join(path)}` | {default} | {said.replace('|', BAR)} |")
    return "\n".join(rows)


def render(readme: str, values: str) -> str:
    """Return the README with the table between its marks. Raises ValueError where a mark is absent."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, foot = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no {BEGIN} and {END}: put both where the table belongs")
    return f"{head}{BEGIN}\n{table(values)}\n{END}{foot}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift, 2 when a mark is absent."""
    parser = argparse.ArgumentParser(description="Write the table of values into the chart's README, or check it.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the table is not up to date")
    parser.add_argument("--chart", type=Path, default=CHART, metavar="DIR", help="the chart")
    arguments = parser.parse_args(argv)
    page: Path = arguments.chart / "README.md"
    try:
        wanted = render(page.read_text(encoding="utf-8"), (arguments.chart / "values.yaml").read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"{page}: {error}", file=sys.stderr)
        return 2
    return keep(page, wanted, check=arguments.check, command="python charts/readme.py")


if __name__ == "__main__":
    sys.exit(main())
