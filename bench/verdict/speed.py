"""How long one diagnosis takes: `python -m bench.verdict.speed`, against the limits of the design."""

from __future__ import annotations

import sys
import time
from statistics import median

from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis import diagnose

LIMITS = {2_500: 0.02, 200_000: 1.0}
"""Samples of a trace, and the seconds that its diagnosis may take on one core."""
_TRIES = 5
_CHOSEN = ("leak by request", "load days", "plateau and burst", "data growth")


def main() -> int:
    """Print the median and the worst time per size. Returns 1 when a median is over its limit."""
    status = 0
    for samples, limit in LIMITS.items():
        taken: list[float] = []
        found = 0
        for family in (family for family in FAMILIES if family.name in _CHOSEN):
            trace = simulate(family, 1, kills=3, samples=samples // 3)
            found = max(found, sum(len(run.samples) for run in trace.runs))
            for _ in range(_TRIES):
                begin = time.process_time()
                diagnose(trace)
                taken.append(time.process_time() - begin)
        typical, worst = median(taken), max(taken)
        status |= typical > limit
        print(
            f"{samples:7d} samples (up to {found}): median {1000 * typical:7.1f} ms, worst {1000 * worst:7.1f} ms, "
            f"limit {1000 * limit:.0f} ms: {typical / limit:.2f} of it"
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
