"""Synthetic families: programs whose cause is known, killed at their limit and started again, at any time scale.

A program is a function of its age, the calendar and the load; it knows nothing of the features that judge it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from memdiag.model.verdict import Cause

MIB = 2**20
_FINE = 4
"""Instants of the program for each sample: the kill falls between samples."""


@dataclass(frozen=True, slots=True)
class Instant:
    """Where a program is: its age and the calendar in units of about one life, its load, and its work so far."""

    age: float
    calendar: float
    load: float
    work: float


@dataclass(slots=True)
class Program:
    """What a program needs and what it is asked to do."""

    demand: Callable[[Instant], float]
    """Share of the limit."""
    load: Callable[[float], float] = lambda _calendar: 1.0
    cpu_follows_memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of program with its true cause, and what else would be an honest answer besides Inconclusive."""

    name: str
    cause: Cause
    make: Callable[[random.Random], Program]
    also: frozenset[Cause] = field(default_factory=frozenset)


def _walk(rng: random.Random, size: float) -> Callable[[], float]:
    state = 0.0

    def step() -> float:
        nonlocal state
        state = 0.9 * state + rng.gauss(0, size)
        return state

    return step


def leak_linear(rng: random.Random) -> Program:
    """Keep a part of all work."""
    base, pace = rng.uniform(0.05, 0.5), rng.uniform(0.5, 1.5)
    return Program(lambda at: base * min(1, at.age / 0.02) + pace * at.work)


def leak_noisy(rng: random.Random) -> Program:
    """Keep a part of all work, with noise on top."""
    base, pace, noise = rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.2), _walk(rng, 0.008)
    return Program(lambda at: base + pace * at.work + noise())


def leak_under_collector(rng: random.Random) -> Program:
    """Keep a part of all work, under the saw-teeth of a collector."""
    base, pace, teeth, height = rng.uniform(0.1, 0.4), rng.uniform(0.4, 1), rng.uniform(15, 60), rng.uniform(0.05, 0.25)
    return Program(lambda at: base + pace * at.work + height * ((teeth * at.work) % 1))


def leak_after_long_start(rng: random.Random) -> Program:
    """Keep a part of all work, after a start of up to a seventh of the life."""
    base, pace, start = rng.uniform(0.4, 0.75), rng.uniform(0.2, 0.5), rng.uniform(0.02, 0.15)
    return Program(lambda at: base * min(1, at.age / start) + pace * at.work)


def leak_by_request(rng: random.Random) -> Program:
    """Keep a part of every request, under load in waves."""
    base, pace, phase, days = rng.uniform(0.1, 0.4), rng.uniform(0.5, 1), rng.uniform(0, 7), rng.uniform(2, 12)
    return Program(
        lambda at: base + pace * at.work,
        load=lambda calendar: 1 + 0.5 * math.sin(phase + 2 * math.pi * days * calendar) + rng.gauss(0, 0.1),
    )


def leak_with_busy_collector(rng: random.Random) -> Program:
    """Keep a part of all work, with CPU time that climbs with memory."""
    program = leak_linear(rng)
    return Program(program.demand, cpu_follows_memory=rng.uniform(0.5, 3))


def leak_late(rng: random.Random) -> Program:
    """Stay level, then keep what is made."""
    base, pace, idle, noise = rng.uniform(0.1, 0.6), rng.uniform(0.8, 2), rng.uniform(0.3, 0.9), _walk(rng, 0.004)
    return Program(lambda at: base + pace * max(0, at.age - idle) + noise())


def leak_dwindling(rng: random.Random) -> Program:
    """Keep a part of every request, under load that falls from day to day."""
    base, pace, rest = rng.uniform(0.1, 0.3), rng.uniform(1, 1.6), rng.uniform(0.3, 0.6)
    return Program(
        lambda at: base + pace * at.work,
        load=lambda calendar: max(0.1, 1 - rest * (calendar % 1)) + rng.gauss(0, 0.05),
    )


def leak_and_burst(rng: random.Random) -> Program:
    """Keep a part of all work, beside bursts that are given back."""
    base, pace, every, size = (
        rng.uniform(0.1, 0.3),
        rng.uniform(0.4, 0.8),
        rng.uniform(0.05, 0.2),
        rng.uniform(0.1, 0.35),
    )
    return Program(lambda at: base + pace * at.work + (size if (at.calendar / every) % 1 > 0.8 else 0))


def leak_in_steps(rng: random.Random) -> Program:
    """Keep a large result now and then."""
    base, steps = rng.uniform(0.1, 0.4), rng.uniform(4, 12)
    return Program(lambda at: base + math.floor(at.work * steps) / steps)


def leak_small_beside_large_base(rng: random.Random) -> Program:
    """Keep a part of all work beside a large base."""
    base, pace, start, noise = rng.uniform(0.8, 0.9), rng.uniform(0.1, 0.2), rng.uniform(0.01, 0.1), _walk(rng, 0.003)
    return Program(lambda at: base * min(1, at.age / start) + pace * at.work + noise())


def load_ramp(rng: random.Random) -> Program:
    """Need memory for present load, which rises."""
    base, each, more = rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.4), rng.uniform(0.8, 2)
    tide, days, noise = rng.uniform(0.15, 0.5), rng.uniform(2, 6), _walk(rng, 0.02)
    return Program(
        lambda at: base + each * at.load,
        load=lambda t: max(0.05, 0.4 + more * t + tide * math.sin(2 * math.pi * days * t) + noise()),
    )


def load_days(rng: random.Random) -> Program:
    """Need memory for present load, which comes in days and rises."""
    base, each, phase = rng.uniform(0.05, 0.3), rng.uniform(0.35, 0.5), rng.uniform(0, 6.28)
    days, noise, more = rng.uniform(3, 8), _walk(rng, 0.02), rng.uniform(0.2, 0.6)
    return Program(
        lambda at: base + each * at.load,
        load=lambda t: max(0.05, 0.9 + more * t + 0.5 * math.sin(phase + 2 * math.pi * days * t) + noise()),
    )


def data_growth(rng: random.Random) -> Program:
    """Hold data that grow by the calendar."""
    first, more, noise = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.5), _walk(rng, 0.005)
    return Program(lambda at: (first + more * at.calendar) * min(1, at.age / 0.03) + noise())


def plateau_burst(rng: random.Random) -> Program:
    """Stay level, with requests of which some are far too large."""
    base, each, every = rng.uniform(0.2, 0.7), rng.uniform(0.08, 0.15), rng.uniform(0.04, 0.1)
    big = rng.randint(4, 14)
    offset = rng.randint(0, big)

    def demand(at: Instant) -> float:
        number, within = divmod(at.calendar / every, 1)
        size = 1.2 - base if (int(number) + offset) % big == big - 1 else each * (1 + (int(number) * 7 % 5) / 5)
        return base * min(1, at.age / 0.02) + (size if within > 0.75 else 0)

    return Program(demand)


def plateau_noise(rng: random.Random) -> Program:
    """Stay level just below the limit, with noise."""
    level, noise = rng.uniform(0.85, 0.93), _walk(rng, rng.uniform(0.015, 0.02))
    start = rng.uniform(0.01, 0.03)
    return Program(lambda at: level * min(1, at.age / start) + noise())


def cache_fill(rng: random.Random) -> Program:
    """Fill a cache with a bound just above the limit."""
    base, noise = rng.uniform(0.05, 0.3), _walk(rng, 0.003)
    end, pace = rng.uniform(1.01, 1.06), rng.uniform(2.5, 6)
    return Program(lambda at: base + (end - base) * (1 - math.exp(-pace * at.age)) + noise())


def start_spike(rng: random.Random) -> Program:
    """Need more at the start than ever after."""
    peak, level, noise = rng.uniform(0.93, 1.06), rng.uniform(0.3, 0.6), _walk(rng, 0.004)

    def demand(at: Instant) -> float:
        ramp = peak * at.age / 0.03 if at.age < 0.03 else peak if at.age < 0.05 else level
        return ramp + noise() + (0.8 if at.age > 1.2 else 0)

    return Program(demand)


def flat_then_spike(rng: random.Random) -> Program:
    """Stay level until one huge request."""
    level, when, noise = rng.uniform(0.2, 0.8), rng.uniform(0.4, 1.2), _walk(rng, 0.006)
    return Program(lambda at: level * min(1, at.age / 0.02) + noise() + (1.0 if at.age > when else 0))


def random_walk(rng: random.Random) -> Program:
    """Walk up and down without a reason."""
    state, size = rng.uniform(0.4, 0.7), rng.uniform(0.01, 0.03)

    def demand(at: Instant) -> float:
        nonlocal state
        state = max(0.1, state + rng.gauss(0, size)) if at.age else rng.uniform(0.4, 0.7)
        return state

    return Program(demand)


FAMILIES = (
    Family("leak linear", Cause.LEAK, leak_linear),
    Family("leak noisy", Cause.LEAK, leak_noisy),
    Family("leak under collector", Cause.LEAK, leak_under_collector),
    Family("leak after long start", Cause.LEAK, leak_after_long_start),
    Family("leak by request", Cause.LEAK, leak_by_request),
    Family("leak with busy collector", Cause.LEAK, leak_with_busy_collector),
    Family("leak late", Cause.LEAK, leak_late),
    Family("leak dwindling", Cause.LEAK, leak_dwindling),
    Family("leak and burst", Cause.LEAK, leak_and_burst),
    Family("leak in steps", Cause.LEAK, leak_in_steps),
    Family("leak small beside large base", Cause.LEAK, leak_small_beside_large_base),
    Family("load ramp", Cause.GROWTH, load_ramp),
    Family("load days", Cause.GROWTH, load_days, frozenset({Cause.UNDERESTIMATED_LIMIT})),
    Family("data growth", Cause.GROWTH, data_growth),
    Family("plateau and burst", Cause.UNDERESTIMATED_LIMIT, plateau_burst),
    Family("plateau and noise", Cause.UNDERESTIMATED_LIMIT, plateau_noise),
    Family("cache fill", Cause.UNDERESTIMATED_LIMIT, cache_fill),
    Family("start spike", Cause.UNDERESTIMATED_LIMIT, start_spike),
    Family("flat then spike", Cause.UNDERESTIMATED_LIMIT, flat_then_spike),
    Family("random walk", Cause.INCONCLUSIVE, random_walk, frozenset({Cause.UNDERESTIMATED_LIMIT})),
)


def simulate(
    family: Family, seed: int, *, kills: int = 2, scale: float = 60.0, samples: int = 100, packets: bool = True
) -> Trace:
    """Return a trace of this program until its `kills`-th kill, or a long while; `scale` is seconds for a life of 1."""
    rng = random.Random(f"{family.name}/{seed}")  # noqa: S311  # a simulation, no secret
    program = family.make(rng)
    limit = rng.choice([64, 96, 256, 1024, 4096]) * MIB
    anon_share = rng.uniform(0.85, 0.99)
    page_cache = rng.uniform(0, 0.2)
    runs: list[Run] = []
    calendar, fine = 0.0, 1 / samples / _FINE
    begin = 1.7e9
    while len([run for run in runs if run.end]) < kills and calendar < 2.5 * kills + 2:
        age = work = cpu = received = 0.0
        started, found = begin + calendar * scale, []
        until = rng.uniform(1, _FINE)
        demand = 0.0
        while age < 3.5:
            load = max(0.0, program.load(calendar))
            demand = program.demand(Instant(age, calendar, load, work))
            if demand >= 1:
                break
            busy = 0.02 + 0.1 * load + 0.1 * program.cpu_follows_memory * demand
            cpu += busy * fine * scale * rng.uniform(0.8, 1.2)
            received += 200 * load * fine * scale * rng.uniform(0.9, 1.1) / min(scale / 60, 1)
            until -= 1
            if until <= 0:
                until = _FINE * rng.uniform(0.8, 1.2)
                size = int(max(demand, 0.005) * limit)
                found.append(
                    Sample(
                        t=started + age * scale,
                        level=Level(
                            current=min(limit, int(size + page_cache * limit)),
                            max=limit,
                            swap_current=0,
                            stat={"anon": int(size * anon_share), "shmem": 0, "kernel": size - int(size * anon_share)},
                            cpu={"usage_usec": int(cpu * 1e6)},
                            pids=5,
                        ),
                        net={"rx_packets": int(received)} if packets else {},
                    )
                )
            age += fine
            calendar += fine
            work += load * fine
        killed = demand >= 1
        end = RunEnd(
            t=started + age * scale,
            exit_code=137,
            level=Level(peak=limit, events={"oom": 1, "oom_kill": 1, "max": 3}),
            killed=True,
        )
        runs.append(Run(f"c{len(runs)}", started, "image", "r1", tuple(found), end=end if killed else None))
        if not killed:
            break
        calendar += rng.uniform(0.01, 0.05)
    return Trace(tuple(runs), "shop", "pod-1", "app", "Deployment", "app", "node", limit, limit)
