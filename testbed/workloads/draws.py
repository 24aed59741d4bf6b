"""What families draw from their seed: limits, loads, lives."""

from __future__ import annotations

import math
import random
from typing import Any

from testbed.workloads.plan import MIB, Load

LONG, SHORT = 160.0, 100.0
PYTHON = 5 * MIB
"""What an interpreter with nothing loaded needs."""
JAVA = 42 * MIB
NODE = 36 * MIB
POSTGRES = 16 * MIB


def a_limit(rng: random.Random) -> int:
    """Return a small container's limit in bytes."""
    return rng.choice([24, 32, 40, 48, 64]) * MIB


def any_limit(rng: random.Random) -> int:
    """Return a limit from a wider range, in bytes."""
    return rng.choice([20, 24, 28, 36, 44, 56, 72, 96]) * MIB


def plain_load(rng: random.Random, seconds: float = LONG, **shape: Any) -> Load:
    """Return a level load, unless the shape says more."""
    return Load(rng.uniform(3, 7), seconds, phase=rng.uniform(0, 2 * math.pi), **shape)


def session_load(rng: random.Random, seconds: float = LONG, **shape: Any) -> Load:
    """Return a load of enough sessions at a time that their number is hardly noise."""
    return Load(rng.uniform(6, 10), seconds, phase=rng.uniform(0, 2 * math.pi), **shape)


def wavy_load(rng: random.Random, seconds: float = LONG, **shape: Any) -> Load:
    """Return a load in waves."""
    return plain_load(rng, seconds, wave=rng.uniform(0.3, 0.8), period=rng.uniform(12, 60), **shape)


def bursty_load(rng: random.Random, seconds: float = LONG) -> Load:
    """Return a load with crowds."""
    return plain_load(rng, seconds, crowd_chance=rng.uniform(0.01, 0.05), crowd=(5, 40))


def stepped_load(rng: random.Random, seconds: float = LONG) -> Load:
    """Return a load that goes up and down in level steps, without a trend."""
    steps = tuple(rng.uniform(0.4, 1.6) for _ in range(rng.randint(4, 8)))
    return plain_load(rng, seconds, steps=steps)


def any_load(rng: random.Random, seconds: float = LONG) -> Load:
    """Return a load without a trend, of whatever shape."""
    return rng.choice([plain_load, wavy_load, bursty_load, stepped_load])(rng, seconds)


def a_life(rng: random.Random) -> float:
    """Return the seconds that a run is to last."""
    return rng.uniform(32, 65)


def any_life(rng: random.Random) -> float:
    """Return seconds from a wider range, short lives as likely as long ones."""
    return math.exp(rng.uniform(math.log(15), math.log(110)))


def kept(rng: random.Random, load: Load, free: float) -> float:
    """Return the bytes to keep of each request so that `free` bytes last for one life."""
    return free / a_life(rng) / load.level


def room(free: float, sessions: float, deviations: float) -> float:
    """Return the bytes a session holds so that so many at a time fill what is free in a peak of so many deviations.

    The number is Poisson's, the size even between half and one and a half: its square is 13/12 on average.
    """
    return free / (sessions + deviations * math.sqrt(sessions * 13 / 12))
