"""Runs of a long history, packed for keeping: a sample takes 24 bytes in place of 600."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

from memdiag.model.trace import Level, Limit, Run, Sample

_UNKNOWN, _NONE = -1, -2
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PackedRun:
    """A run whose samples hold a size and a limit, and nothing else."""

    head: Run
    """The run without its samples."""
    times: array[float]
    sizes: array[int]
    limits: array[int]


def packed(run: Run) -> PackedRun:
    """Return a run packed; of its samples' levels only `current` and `max` are kept."""
    return PackedRun(
        replace(run, samples=()),
        array("d", (sample.t for sample in run.samples)),
        array("q", (_size(sample.level.current) for sample in run.samples)),
        array("q", (_number(sample.level.max) for sample in run.samples)),
    )


def unpacked(kept: PackedRun) -> Run:
    """Return the run that was packed."""
    rows = zip(kept.times, kept.sizes, kept.limits, strict=True)
    samples = tuple(
        Sample(moment, Level(current=None if size == _UNKNOWN else size, max=_limit(limit)))
        for moment, size, limit in rows
    )
    return replace(kept.head, samples=samples)


def _size(size: int | None) -> int:
    return _UNKNOWN if size is None else min(max(size, 0), _LARGEST)


def _number(limit: Limit) -> int:
    return _size(limit) if limit is None or isinstance(limit, int) else _NONE


def _limit(number: int) -> Limit:
    return {_UNKNOWN: None, _NONE: "max"}.get(number, number)
