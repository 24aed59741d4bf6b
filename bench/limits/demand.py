"""Demand that is known without a limit: own generators, and production machines where they are at hand. MiB."""

from __future__ import annotations

import csv
import gzip
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memdiag.model.verdict import Cause

DAY = 1440
"""Minutes, the steps of every demand."""
DAYS = 30
MACHINES = "machines"
_MACHINE_MIB = 4096.0
_STEPS_OF_A_WINDOW = 5


@dataclass(frozen=True, slots=True)
class Demand:
    """What a program asks for, minute by minute: a part that goes with the calendar and one that goes with its age."""

    family: str
    first_limit: float
    calendar: Sequence[float]
    age: Sequence[float] | None = None
    """By the minutes since its start; longer lives keep the last value."""
    load: Sequence[float] | None = None
    """CPUs in use, by the calendar; None: level."""
    cause: Cause | None = None
    """The true cause of its kills, None where nothing is killed or nobody knows."""

    def of(self, begin: int, end: int, born: int) -> list[float]:
        """Return demand of the minutes from begin to before end, in a life that began at `born`."""
        calendar = self.calendar[begin:end]
        if self.age is None:
            return list(calendar)
        first, last = begin - born, end - born
        aged = list(self.age[first:last])
        aged += [self.age[-1]] * (last - first - len(aged))
        return [a + b for a, b in zip(calendar, aged, strict=True)]


def _noise(rng: random.Random, size: float, count: int) -> list[float]:
    """Return noise that hangs together from minute to minute (AR(1), 0.9)."""
    state, found = 0.0, []
    for _ in range(count):
        state = 0.9 * state + rng.gauss(0, size)
        found.append(state)
    return found


def _waves(rng: random.Random, count: int, depth: float = 0.7) -> list[float]:
    """Return a load with days and weekends, mean about 1."""
    phase = rng.uniform(0, 2 * math.pi)
    found = []
    for minute in range(count):
        weekend = 0.7 if (minute // DAY) % 7 >= 5 else 1.0
        found.append(weekend * (1 + depth * math.sin(phase + 2 * math.pi * minute / DAY)) + abs(rng.gauss(0, 0.03)))
    return found


_COUNT = DAYS * DAY
_WARM_UP = (0.2, 0.6, 0.9, 1.0)
"""Share of its level that a program has in each of its first minutes."""


def _warming(level: float) -> list[float]:
    """Return what is missing to the level in the first minutes of a life."""
    return [level * (share - 1) for share in _WARM_UP]


def constant(rng: random.Random) -> Demand:
    """Return a level above the first limit."""
    level = rng.uniform(550, 900)
    return Demand(
        "constant above",
        512,
        [level + n for n in _noise(rng, 2, _COUNT)],
        _warming(level),
        cause=Cause.UNDERESTIMATED_LIMIT,
    )


def daily_burst(rng: random.Random) -> Demand:
    """Return a job of two minutes each day on a low level."""
    level, size, at = rng.uniform(150, 300), rng.uniform(500, 800), rng.randrange(DAY)
    found = [level + n for n in _noise(rng, 2, _COUNT)]
    for day in range(DAYS):
        for minute in range(2):
            found[day * DAY + at + minute - (DAY if at + minute >= DAY else 0)] += size * rng.uniform(0.8, 1)
    return Demand("daily burst", 512, found, _warming(level), cause=Cause.UNDERESTIMATED_LIMIT)


def growth(rng: random.Random) -> Demand:
    """Return data that grows day by day; a restart does not make it smaller."""
    first, more = rng.uniform(300, 400), rng.uniform(10, 25)
    noise = _noise(rng, 2, _COUNT)
    return Demand(
        "growth", 512, [first + more * m / DAY + noise[m] for m in range(_COUNT)], _warming(first), cause=Cause.GROWTH
    )


def diurnal(rng: random.Random) -> Demand:
    """Return memory that follows days of load."""
    base, each = rng.uniform(150, 250), rng.uniform(150, 250)
    load, noise = _waves(rng, _COUNT), _noise(rng, 3, _COUNT)
    found = [base + each * x + n for x, n in zip(load, noise, strict=True)]
    return Demand("diurnal", 512, found, _warming(base), [0.4 * x for x in load], cause=Cause.UNDERESTIMATED_LIMIT)


def leak(rng: random.Random) -> Demand:
    """Return a leak at a level load."""
    base, pace = rng.uniform(100, 250), rng.uniform(5, 40)
    aged = [pace * minute / 60 for minute in range(_COUNT)]
    return Demand("leak", 512, [base + n for n in _noise(rng, 2, _COUNT)], aged, cause=Cause.LEAK)


def leak_under_load(rng: random.Random) -> Demand:
    """Return a leak whose program also follows days of load."""
    base, each, pace = rng.uniform(100, 150), rng.uniform(30, 60), rng.uniform(5, 30)
    load, noise = _waves(rng, _COUNT), _noise(rng, 2, _COUNT)
    found = [base + each * x + n for x, n in zip(load, noise, strict=True)]
    aged = [pace * minute / 60 for minute in range(_COUNT)]
    return Demand("leak under load", 512, found, aged, [0.4 * x for x in load], cause=Cause.LEAK)


def start_up(rng: random.Random) -> Demand:
    """Return a start that needs much more than ever after."""
    level, peak, lasts = rng.uniform(150, 300), rng.uniform(600, 900), rng.randint(3, 10)
    aged = [0.0, (peak - level) / 2, *[peak - level] * lasts, 0.0]
    return Demand(
        "start-up peak", 512, [level + n for n in _noise(rng, 2, _COUNT)], aged, cause=Cause.UNDERESTIMATED_LIMIT
    )


def cache(rng: random.Random) -> Demand:
    """Return a bounded cache that fills up over a day or two and comes to rest above the first limit."""
    base, more, pace = rng.uniform(100, 200), rng.uniform(450, 650), rng.uniform(0.3, 0.8) * DAY
    aged = [more * (1 - math.exp(-minute / pace)) for minute in range(_COUNT)]
    return Demand("cache fill", 512, [base + n for n in _noise(rng, 2, _COUNT)], aged, cause=Cause.UNDERESTIMATED_LIMIT)


def oversized(rng: random.Random) -> Demand:
    """Return days of load far below the first limit: nothing is ever killed."""
    base, each = rng.uniform(80, 150), rng.uniform(60, 100)
    load, noise = _waves(rng, _COUNT), _noise(rng, 2, _COUNT)
    found = [base + each * x + n for x, n in zip(load, noise, strict=True)]
    return Demand("oversized", 1024, found, _warming(base), [0.4 * x for x in load])


FAMILIES: tuple[Callable[[random.Random], Demand], ...] = (
    constant,
    daily_burst,
    growth,
    diurnal,
    start_up,
    cache,
    leak,
    leak_under_load,
    oversized,
)


def generated(seeds: int) -> Iterator[Demand]:
    """Yield every family at every seed."""
    for make in FAMILIES:
        for seed in range(seeds):
            yield make(random.Random(f"{make.__name__}/{seed}"))  # noqa: S311 - a simulation, no secret


def machines(folder: Path) -> Iterator[Demand]:
    """Yield production machines from `seconds,min_percent,mean_percent,max_percent` files (*.csv.gz).

    Each 5-minute window's maximum stands for its minutes. The first limit is the highest demand of the first day: what
    somebody would set who watched it for a day. Raises OSError and ValueError.
    """
    for path in sorted(folder.glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            windows = [float(row["max_percent"]) / 100 * _MACHINE_MIB for row in csv.DictReader(file)]
        steps = [level for level in windows for _ in range(_STEPS_OF_A_WINDOW)]
        if len(steps) >= 3 * DAY:
            yield Demand(MACHINES, max(steps[:DAY]), steps[DAY:])
