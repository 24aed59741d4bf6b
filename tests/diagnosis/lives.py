"""Lives of a container as tests write them: levels in MiB at even steps, with the limit in force and how they ended."""

from __future__ import annotations

from collections.abc import Sequence

from memdiag.diagnosis.features import Features, measure
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace

MIB = 2**20
BEGIN = 1.7e9


def life(
    levels: Sequence[float],
    *,
    limit: int | None = 100,
    begin: float = BEGIN,
    step: float = 60.0,
    killed: bool = True,
    alive: bool = False,
    peak: float | None = None,
    cache: float = 0.0,
    busy: Sequence[float] | None = None,
) -> Run:
    """Return one run; `peak` is memory.peak in MiB (the limit when killed, by default), `busy` CPUs in use a step."""
    reached = float(limit) if killed and limit is not None else max(levels, default=0) + cache
    top = reached if peak is None else peak
    cap = None if limit is None else limit * MIB
    cpu = 0.0
    samples = []
    for place, level in enumerate(levels):
        cpu += step * (busy[place] if busy is not None else 0.0)
        size = int(level * MIB)
        so_far = int(max(*levels[: place + 1], 0) + cache) * MIB if place + 1 < len(levels) else int(top * MIB)
        found = Level(
            current=size + int(cache * MIB),
            peak=so_far,
            max=cap,
            swap_current=0,
            stat={"anon": size, "shmem": 0, "kernel": 0},
            cpu={"usage_usec": int(cpu * 1e6)} if busy is not None else {},
        )
        samples.append(Sample(begin + step * place, found))
    end_level = Level(peak=int(top * MIB), max=cap, events={"oom": 1, "oom_kill": 1} if killed else {"oom_kill": 0})
    end = RunEnd(begin + step * len(levels), 137 if killed else 0, level=end_level, killed=killed)
    return Run(f"c{begin:.0f}", begin, samples=tuple(samples), end=None if alive else end)


def container(*runs: Run, limit: int | None = 100, request: float | None = None) -> Trace:
    """Return the trace of these runs; limit and request are MiB."""
    return Trace(
        runs,
        limit_bytes=None if limit is None else limit * MIB,
        request_bytes=None if request is None else int(request * MIB),
    )


def seen(trace: Trace, surroundings: Surroundings | None = None, siblings: Sequence[Trace] = ()) -> Features:
    """Return what is measured of a trace."""
    return measure(trace, siblings, None, surroundings or Surroundings())
