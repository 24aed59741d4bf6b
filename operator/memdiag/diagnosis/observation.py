"""Observation: one measured statement before it is weighed, and how strong it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """What a rule saw. `strength` is 0 (nothing) to 1 (as strong as it gets); weights.py says for and against what."""

    name: str
    strength: float
    value: float | str | None
    threshold: float | str | None
    statement: str
    of_all: bool = False
    """It rests on all lives, not only on those that ended at the limit."""


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 at `low` or below, 1 at `high` or above, and a straight line between; `high` may be the lower one."""
    if high < low:
        return ramp(-value, -low, -high)
    return max(0.0, min(1.0, (value - low) / (high - low)))
