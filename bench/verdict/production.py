"""Production data without labels: a leak suspected there is almost surely a false alarm."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from memdiag.model.trace import Level, Run, Sample, Trace

WINDOW_SECONDS = 12 * 3600.0
_FEWEST_SAMPLES = 100
"""Of the 144 that a whole window has."""
_MACHINE = 2**30
"""Bytes that stand for the whole machine."""


def windows(folder: Path) -> Iterator[Trace]:
    """Read `seconds,min_percent,mean_percent,max_percent` files; give their 12-hour windows as anonymous memory."""
    for path in sorted(folder.glob("*.csv.gz")):
        parts: dict[int, list[Sample]] = {}
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                t, size = float(row["seconds"]), int(float(row["mean_percent"]) / 100 * _MACHINE)
                level = Level(current=size, max=_MACHINE, swap_current=0, stat={"anon": size, "shmem": 0, "kernel": 0})
                parts.setdefault(int(t // WINDOW_SECONDS), []).append(Sample(t=t, level=level))
        name = path.name.removesuffix(".csv.gz")
        for number, samples in sorted(parts.items()):
            if len(samples) >= _FEWEST_SAMPLES:
                run = Run(container_id=f"{name}-{number}", samples=tuple(samples))
                yield Trace((run,), pod=f"{name}-{number}", limit_bytes=_MACHINE)
