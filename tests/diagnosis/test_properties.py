"""What holds for every verdict, whatever the scale, the order or the quality of what was recorded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.verdict.simulated import FAMILIES, Family, simulate
from memdiag.diagnosis import diagnose
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill
from memdiag.model.verdict import Cause, Diagnosis

HUGE = 2**62
PAGE = 4096
BEGIN = 1.7e9
SEEDS = range(4)
LIKE_A_LEAK_AT_FIRST = {"data growth"}
"""One run of data that piles up at level load looks like a leak until a restart keeps it."""

families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@cache
def program(family: Family, seed: int, kills: int = 2) -> Trace:
    return simulate(family, seed, kills=kills)


def mapped(trace: Trace, change: Callable[[Level], Level], later: Callable[[float], float] = lambda t: t) -> Trace:
    """Return a trace with every level and every time changed alike."""
    return replace(
        trace,
        runs=tuple(
            replace(
                run,
                started=None if run.started is None else later(run.started),
                samples=tuple(replace(one, t=later(one.t), level=change(one.level)) for one in run.samples),
                end=None if run.end is None else replace(run.end, t=later(run.end.t), level=change(run.end.level)),
            )
            for run in trace.runs
        ),
    )


def slower(trace: Trace, factor: float) -> Trace:
    """Stretch time, and with it the CPU time and packets of it, so that the rates stay."""
    stretched = mapped(
        trace,
        lambda one: replace(one, cpu={key: int(value * factor) for key, value in one.cpu.items()}),
        lambda t: BEGIN + (t - BEGIN) * factor,
    )
    return replace(
        stretched,
        runs=tuple(
            replace(
                run,
                samples=tuple(
                    replace(one, net={key: int(value * factor) for key, value in one.net.items()})
                    for one in run.samples
                ),
            )
            for run in stretched.runs
        ),
    )


def sized(trace: Trace, change: Callable[[str, int], int]) -> Trace:
    """Return a trace whose sizes are changed, each by its name."""

    def level(one: Level) -> Level:
        return replace(
            one,
            current=None if one.current is None else change("current", one.current),
            peak=None if one.peak is None else change("peak", one.peak),
            max=change("max", one.max) if isinstance(one.max, int) else one.max,
            stat={key: change(key, value) for key, value in one.stat.items()},
        )

    limit = change("max", trace.limit_bytes or 0)
    return replace(mapped(trace, level), limit_bytes=limit, request_bytes=limit)


def larger(trace: Trace, factor: float) -> Trace:
    return sized(trace, lambda _, size: round(size * factor / PAGE) * PAGE)


def on_a_base(trace: Trace, share: float) -> Trace:
    """Put a constant base under demand and under the limit."""
    base = round((trace.limit_bytes or 0) * share / PAGE) * PAGE
    return sized(trace, lambda key, size: size + base if key in {"current", "peak", "max", "anon"} else size)


def thinned(trace: Trace, seed: int, lost: float = 0.2) -> Trace:
    rng = random.Random(seed)  # noqa: S311  # a simulation, no secret
    return replace(
        trace,
        runs=tuple(
            replace(run, samples=tuple(one for one in run.samples if rng.random() >= lost)) for run in trace.runs
        ),
    )


def truncated(trace: Trace, share: float) -> Trace:
    """Return a trace as it was known at a share of its whole time."""
    first = trace.runs[0].started or 0.0
    last = trace.runs[-1].end.t if trace.runs[-1].end else trace.runs[-1].samples[-1].t
    now = first + share * (last - first)
    return replace(
        trace,
        runs=tuple(
            replace(
                run,
                samples=tuple(one for one in run.samples if one.t <= now),
                end=run.end if run.end and run.end.t <= now else None,
            )
            for run in trace.runs
            if (run.started or 0.0) <= now
        ),
    )


def named(found: Diagnosis) -> tuple[Cause | None, float]:
    """Return what a diagnosis says, be it a verdict or a suspicion, and how sure it is."""
    if found.cause is None:
        return (None, 0.0) if found.suspicion is None else (found.suspicion.cause, found.suspicion.confidence)
    return found.cause, found.confidence


def numbers_in(thing: Any) -> Iterator[float]:
    if isinstance(thing, (int, float)) and not isinstance(thing, bool):
        yield float(thing)
    elif isinstance(thing, (tuple, list)):
        for part in thing:
            yield from numbers_in(part)
    elif is_dataclass(thing):
        for one in fields(thing):
            yield from numbers_in(getattr(thing, one.name))


def assert_sane(found: Diagnosis) -> None:
    assert all(math.isfinite(number) for number in numbers_in(found))
    assert 0 <= found.confidence <= 1
    assert found.suspicion is None or 0 <= found.suspicion.confidence <= 1
    assert found.summary


sizes = st.none() | st.integers(0, HUGE) | st.integers(0, 2**31)
times = st.integers(-5, 50).map(float) | st.floats(-1e3, 1e12) | st.sampled_from([0.0, 1.7e9, 1.7e9 + 1])
names = st.sampled_from(
    ["anon", "file", "shmem", "kernel", "sock", "slab_reclaimable", "pgmajfault", "anon_thp", "workingset_refault_file"]
)
counts = st.dictionaries(st.sampled_from(["oom", "oom_kill", "max"]), st.integers(0, HUGE), max_size=3)
levels = st.builds(
    Level,
    current=sizes,
    peak=sizes,
    max=sizes | st.just("max"),
    swap_current=sizes,
    events=counts,
    events_local=counts,
    stat=st.dictionaries(names, st.integers(0, HUGE) | st.integers(0, 2**31), max_size=6),
    cpu=st.dictionaries(st.just("usage_usec"), st.integers(0, HUGE), max_size=1),
    pids=st.none() | st.integers(0, HUGE),
)
net = st.dictionaries(st.sampled_from(["rx_packets", "rx_bytes"]), st.integers(0, HUGE), max_size=2)
samples = st.builds(Sample, times, levels, pod=st.none() | levels, net=net)
ends = st.builds(
    RunEnd,
    times,
    exit_code=st.none() | st.integers(-1, 300) | st.just(137),
    reason=st.sampled_from([None, "OOMKilled", "Error", "Evicted"]),
    level=levels,
    kernel_log=st.lists(st.sampled_from(["oom-kill:", "Killed process 1", "constraint=CONSTRAINT_NONE"])).map(tuple),
    killed=st.none() | st.booleans(),
)
runs = st.builds(
    Run,
    container_id=st.none() | st.text(max_size=3),
    started=st.none() | times,
    revision=st.sampled_from([None, "r1", "r2"]),
    samples=st.lists(samples, max_size=20).map(tuple),
    kills=st.lists(st.builds(TraceKill, times), max_size=3).map(tuple),
    end=st.none() | ends,
)
garbage = st.builds(
    Trace,
    st.lists(runs, max_size=4).map(tuple),
    limit_bytes=sizes,
    request_bytes=sizes,
    runtime=st.dictionaries(st.sampled_from(["-Xmx", "GOMEMLIMIT", "-XX:MaxRAMPercentage"]), st.floats(0, 1e18)),
)


@settings(max_examples=60, deadline=None)
@given(garbage, st.lists(garbage, max_size=2))
def test_garbage_is_diagnosed_without_an_error(trace: Trace, siblings: list[Trace]) -> None:
    assert_sane(diagnose(trace, siblings))


@st.composite
def long_garbage(draw: st.DrawFn) -> Trace:
    """Up to three runs of many samples whose times and sizes are anything: enough for every feature to be measured."""
    rng = draw(st.randoms(use_true_random=False))
    unit = draw(st.sampled_from([1e-9, 1.0, 60.0, 1e9]))
    top = draw(st.sampled_from([1, 4096, 2**30, HUGE]))
    limit = draw(st.sampled_from([None, 0, 1, 2**20, top, HUGE]))
    shuffled, alike, back = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    found = []
    t = 1.7e9
    for place in range(draw(st.integers(1, 3))):
        begin, seen, cpu = t, [], 0
        for _ in range(draw(st.integers(0, 80))):
            t += 0.0 if alike else rng.uniform(-0.2 if shuffled else 0.0, 1) * unit
            size = 0 if rng.random() < 0.2 else rng.randint(0, top)
            cpu = rng.randint(0, HUGE) if back else cpu + rng.randint(0, 10**6)
            stat = {"anon": size, "kernel": rng.randint(0, top), "file": rng.randint(0, top)}
            level = Level(current=size, max=limit, stat=stat, cpu={"usage_usec": cpu}, pids=rng.randint(0, 9))
            seen.append(Sample(t, level, net={"rx_packets": cpu} if rng.random() < 0.9 else {}))
        kills = tuple(TraceKill(begin + rng.uniform(-1, 9) * unit) for _ in range(rng.randint(0, 3)))
        end = RunEnd(begin + rng.uniform(-9, 90) * unit, exit_code=137, killed=True)
        found.append(Run(f"c{place}", begin if rng.random() < 0.5 else None, samples=tuple(seen), kills=kills, end=end))
    return Trace(tuple(found), limit_bytes=limit)


@settings(max_examples=60, deadline=None)
@given(long_garbage())
def test_long_garbage_is_diagnosed_without_an_error(trace: Trace) -> None:
    assert_sane(diagnose(trace))


@families
@pytest.mark.parametrize("factor", [1 / 60, 1 / 7, 10.0, 1000.0])
def test_the_pace_of_time_does_not_change_the_cause(family: Family, factor: float) -> None:
    for seed in SEEDS:
        trace = program(family, seed)
        assert named(diagnose(slower(trace, factor)))[0] is named(diagnose(trace))[0]


@families
@pytest.mark.parametrize("factor", [0.25, 0.5, 3.0, 64.0])
def test_the_size_of_memory_does_not_change_the_cause(family: Family, factor: float) -> None:
    for seed in SEEDS:
        trace = program(family, seed)
        assert named(diagnose(larger(trace, factor)))[0] is named(diagnose(trace))[0]


def test_a_base_that_does_nothing_hardly_ever_changes_the_cause() -> None:
    """Sizes are shares of the limit: a base as large as the limit before makes all that moves half as large."""
    asked = changed = 0
    for family in FAMILIES:
        for seed in SEEDS:
            trace = program(family, seed)
            before = diagnose(trace).cause
            for share in (0.1, 0.5, 1.0):
                after = diagnose(on_a_base(trace, share)).cause
                asked += 1
                changed += after is not before
                assert (before, after) != (Cause.LEAK, Cause.UNDERESTIMATED_LIMIT)
                if family.cause is Cause.LEAK:
                    assert after is not Cause.UNDERESTIMATED_LIMIT
    assert changed <= 0.03 * asked


@families
@settings(max_examples=3, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_replicas_does_not_matter(family: Family, order: list[int]) -> None:
    siblings = [program(family, seed) for seed in range(1, 5)]
    trace = program(family, 0)
    assert diagnose(trace, [siblings[place] for place in order]) == diagnose(trace, siblings)


def test_a_fifth_of_the_samples_may_be_lost() -> None:
    """Once in a hundred a leak that had no verdict before (small, beside a large base) becomes a low limit."""
    asked = changed = leaks = worst = 0
    for family in FAMILIES:
        for seed in SEEDS:
            trace = program(family, seed)
            before = named(diagnose(trace))[0]
            for draw in range(1, 4):
                after = named(diagnose(thinned(trace, draw)))[0]
                asked += 1
                changed += after is not before
                assert (before, after) != (Cause.LEAK, Cause.UNDERESTIMATED_LIMIT)
                if family.cause is Cause.LEAK:
                    leaks += 1
                    worst += after is Cause.UNDERESTIMATED_LIMIT
    assert changed <= 0.1 * asked
    assert worst <= 0.01 * leaks


def test_what_is_cut_off_early_is_hardly_ever_called_surely_wrong() -> None:
    asked = wrong = 0
    for family in FAMILIES:
        for seed in SEEDS:
            whole = program(family, seed)
            for percents in range(10, 100, 5):
                trace = truncated(whole, percents / 100)
                cause, confidence = named(diagnose(trace))
                honest = {family.cause, *family.also, Cause.INCONCLUSIVE, None}
                if family.name in LIKE_A_LEAK_AT_FIRST and len(trace.runs) == 1:
                    honest.add(Cause.LEAK)
                asked += 1
                surely = cause not in honest and confidence > 0.8
                wrong += surely
                if surely and family.cause is Cause.LEAK:
                    assert trace.runs[0].end is None  # a suspicion without a kill, never a verdict
    assert wrong <= 0.01 * asked
