"""The labelled traces: reading them with their labels, and cutting them as a diagnosis would have seen them earlier."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memdiag.model.trace import Run, Trace
from memdiag.model.tracefile import parse
from testbed.workloads.families import labels

TRACES = Path(__file__).with_name("traces")
MANIFEST = TRACES / "manifest.json"
HEALTHY = "Healthy"
NOT_KERNEL = "NotKernelOOM"
SEEN_BEFORE_DEATH = 0.8
"""Share of its first life that a leak is cut at, to ask how early it is suspected."""


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded trace with its label."""

    name: str
    family: str
    seed: int
    cause: str
    mechanism: str | None
    trace: Trace

    @property
    def as_meant(self) -> bool:
        """Whether the kernel did what the workload was made for: killed it, or left that to others, or let it live."""
        dead = any(run.end is not None and run.end.exit_code == 137 for run in self.trace.runs)
        killed = bool(kills(self.trace))
        if self.cause == NOT_KERNEL:
            return dead and not killed
        return (dead or killed) != (self.cause == HEALTHY)


def read(path: Path) -> Trace:
    """Return the trace of a gzipped file. Raises TraceError."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return parse(lines, path.name)


def cases(folder: Path = TRACES) -> Iterator[Case]:
    """Read all traces of a manifest, in its order."""
    known = labels()
    entries: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["traces"]
    for entry in entries:
        label = known[entry["family"]]
        name = f"{entry['family']}-{entry['seed']}"
        trace = read(folder / f"{name}.jsonl.gz")
        yield Case(name, entry["family"], entry["seed"], label["cause"], label.get("mechanism"), trace)


def kills(trace: Trace) -> list[tuple[int, float]]:
    """Return the kernel's kills of a trace, oldest first: the place of the run, and the time (Unix seconds)."""
    found: list[tuple[int, float]] = []
    for place, run in enumerate(trace.runs):
        found += [(place, kill.t) for kill in run.kills]
        if run.end is not None and run.end.killed:
            found.append((place, run.end.t))
    return found


def deaths(trace: Trace) -> list[tuple[int, float]]:
    """Return what a diagnosis is asked about: the kernel's kills, and SIGKILLs of anybody else."""
    found = set(kills(trace))
    for place, run in enumerate(trace.runs):
        if run.end is not None and run.end.exit_code == 137:
            found.add((place, run.end.t))
    return sorted(found, key=lambda death: death[1])


def until(trace: Trace, place: int, t: float) -> Trace:
    """Return a trace as it was known at a death in the run at `place`, at time `t`."""
    return replace(trace, runs=(*trace.runs[:place], _cut(trace.runs[place], t)))


def _cut(run: Run, t: float) -> Run:
    end = run.end if run.end is not None and run.end.t <= t else None
    samples = tuple(sample for sample in run.samples if sample.t <= t)
    return replace(run, samples=samples, kills=tuple(kill for kill in run.kills if kill.t <= t), end=end)


def before_first_death(trace: Trace, share: float = SEEN_BEFORE_DEATH) -> Trace | None:
    """Return the first `share` of the first life that ended in a kill, None when none did."""
    found = kills(trace)
    if not found:
        return None
    place, t = found[0]
    run = trace.runs[place]
    begin = run.started if run.started is not None else run.samples[0].t
    cut = _cut(run, begin + share * (t - begin))
    return replace(trace, runs=(cut,)) if cut.samples else None
