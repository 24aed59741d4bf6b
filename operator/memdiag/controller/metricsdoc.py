"""Write docs/metrics.md from the metrics themselves, or check that the committed page still follows from them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from memdiag.controller.metrics import Family, Metrics
from memdiag.kube.generated import keep

_HEAD = """# Metrics

Generated from operator/memdiag/controller/metrics.py by: python -m memdiag.controller.metricsdoc --out docs/metrics.md

The operator serves these at `/metrics` beside `/healthz` and `/readyz` (port 8081, named `health`). Labels take their
values from closed lists, and every series is there from the start with 0, so a rate over a first kill is right.
`process_*` (memory, CPU, open files of the operator) comes in addition.

| metric | type | labels and their values | series | what |
|---|---|---|---|---|
"""


def _labels(family: Family) -> str:
    return "; ".join(f"`{name}`: {', '.join(values)}" for name, values in family.labels.items())


def render() -> str:
    """Return the page."""
    rows = [
        f"| `{family.name}` | {family.kind} | {_labels(family)} | {family.series} | {family.text} |"
        for family in sorted(Metrics().families, key=lambda family: family.name)
    ]
    return _HEAD + "\n".join(rows) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift."""
    parser = argparse.ArgumentParser(prog="python -m memdiag.controller.metricsdoc", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/metrics.md"), metavar="FILE", help="the page")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is not up to date")
    arguments = parser.parse_args(argv)
    return keep(arguments.out, render(), check=arguments.check, command="python -m memdiag.controller.metricsdoc")


if __name__ == "__main__":
    raise SystemExit(main())
