"""The families of workloads: for each label a function from a seeded random generator to a plan.

Rates are a few requests a second and lives a minute or so: the diagnosis knows no scale of time.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testbed.workloads import growths, leaks, limits, others
from testbed.workloads.plan import Plan

LABELS = Path(__file__).with_name("labels.toml")

_ALL = (*leaks.ALL, *growths.ALL, *limits.ALL, *others.ALL)

FAMILIES: Mapping[str, Callable[[random.Random], Plan]] = {make.__name__[1:].replace("_", "-"): make for make in _ALL}


def labels() -> dict[str, dict[str, Any]]:
    """Return the committed labels: cause, mechanism (where there is one), program and why, by family."""
    return tomllib.loads(LABELS.read_text(encoding="utf-8"))


def plan(family: str, seed: int) -> Plan:
    """Return what this family does with this seed. Raises KeyError for a family that is not known."""
    return FAMILIES[family](random.Random(f"{family}/{seed}"))  # noqa: S311 - a workload, no secret
