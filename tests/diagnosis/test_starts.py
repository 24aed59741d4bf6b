"""Programs whose start is a good part of their short lives: the agent's own cadence, kubelet's back-off, real gaps."""

from __future__ import annotations

import pytest

from memdiag.diagnosis import diagnose
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from memdiag.model.verdict import Cause

MIB = 2**20
LIMIT = 96
PERIOD = 8
BATCHES = (14, 22, 30, 18, 26, 34, 20, 80)
BACK_OFF = (10, 20, 40)


def sample(t: float, demand: float, cpu: float) -> Sample:
    stat = {
        "anon": round(demand * MIB),
        "file": 0,
        "shmem": 0,
        "kernel": MIB // 2,
        "slab_reclaimable": MIB // 2,
        "sock": 0,
    }
    level = Level(current=round(demand * MIB), max=LIMIT * MIB, stat=stat, cpu={"usage_usec": round(cpu * 1e6)}, pids=1)
    return Sample(t=t, level=level)


def life(number: int, begin: float, start_seconds: float) -> Run:
    """Return a run that loads 24 MiB and then writes a batch every 8 s of the clock; one batch in 8 does not fit."""
    samples: list[Sample] = []
    t, cpu, last_full, last = begin, 0.0, -9.0, 0.0
    tick, ready = begin + 0.5, begin + start_seconds + 2
    while True:
        t = round(t + 0.1, 3)
        slot, into = int(t // PERIOD), t % PERIOD
        if t < begin + start_seconds:
            demand, cpu = 2 + 5 * (t - begin) / start_seconds, cpu + 0.08
        elif t < ready:
            demand, cpu = 7 + 12 * (t - ready + 2), cpu + 0.03
        elif slot * PERIOD >= ready and into < 2:
            demand, cpu = 31 + BATCHES[slot % 8] * min(into, 1.0), cpu + 0.04 * (into < 1)
        else:
            demand = 31.0
        if demand >= LIMIT:
            end = RunEnd(t=t, killed=True, exit_code=137, reason="OOMKilled")
            return Run(f"run-{number}", begin, samples=tuple(samples), end=end)
        if t >= tick:
            tick += 1
            if t - last_full >= 4.95 or abs(demand - last) > 0.02 * LIMIT or demand >= 0.8 * LIMIT:
                last_full, last = t, demand
                samples.append(sample(t, demand, cpu))


def lives(offset: int, start_seconds: float) -> list[Run]:
    begin, runs = 64_000.0 + offset, []
    for number, pause in enumerate(BACK_OFF):
        runs.append(life(number, begin, start_seconds))
        end = runs[-1].end
        assert end is not None
        begin = end.t + pause
    return runs


@pytest.mark.parametrize("start_seconds", [1.5, 4.0, 8.0])
@pytest.mark.parametrize("offset", range(0, 64, 6))
def test_a_level_floor_is_seen_behind_a_long_start(offset: int, start_seconds: float) -> None:
    runs = lives(offset, start_seconds)
    causes = [
        diagnose(Trace(tuple(runs[:kills]), limit_bytes=LIMIT * MIB, request_bytes=LIMIT * MIB)).cause
        for kills in range(1, len(runs) + 1)
    ]
    assert causes[-1] is Cause.UNDERESTIMATED_LIMIT
    assert set(causes) <= {Cause.UNDERESTIMATED_LIMIT, Cause.INCONCLUSIVE}
