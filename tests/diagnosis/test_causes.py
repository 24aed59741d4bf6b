"""The table of causes: which mechanism the features of a trace name for a cause, and where they name none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.verdict.simulated import FAMILIES, simulate
from memdiag.diagnosis.causes import MECHANISMS
from memdiag.diagnosis.features import measure
from memdiag.model.kill import LimitHit
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from memdiag.model.verdict import Cause, Mechanism

MIB = 2**20
LIMIT = 512 * MIB
BY_NAME = {family.name: family for family in FAMILIES}


def mechanism(trace: Trace, cause: Cause, limit_hit: LimitHit | None = None) -> Mechanism | None:
    return MECHANISMS[cause](measure(trace, (), limit_hit, Surroundings()))


def killed_by_kernel(t: float, comm: str = "checkout") -> RunEnd:
    log = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/kubepods/podx/c,task_memcg=/kubepods/podx/c",
        f"Memory cgroup out of memory: Killed process 9 ({comm}) total-vm:1kB, anon-rss:1kB",
    )
    return RunEnd(t, 137, "OOMKilled", kernel_log=log, killed=True)


def life(
    begin: float,
    share: Callable[[float], float],
    *,
    killed: bool = True,
    comm: str = "checkout",
    revision: str = "1",
    pids: int = 4,
    stat: Callable[[float], dict[str, float]] | None = None,
) -> Run:
    """Return 100 seconds under level load; anonymous memory is a share of the limit by the part of life that passed."""
    samples = tuple(
        Sample(
            begin + age,
            Level(
                max=LIMIT,
                stat={"anon": int(share(age / 100) * LIMIT)}
                | {key: int(value) for key, value in (stat(age / 100) if stat else {}).items()},
                cpu={"usage_usec": age * 300_000},
                pids=pids,
            ),
            net={"rx_packets": age * 50},
        )
        for age in range(100)
    )
    end = killed_by_kernel(begin + 100, comm) if killed else RunEnd(begin + 100, 0, "Completed", killed=False)
    return Run(f"c{begin}", begin, revision=revision, samples=samples, end=end)


def lives(*shares: Callable[[float], float], revisions: str = "", killed: str = "", **more: str | int) -> list[Run]:
    return [
        life(
            1.7e9 + 110 * place,
            share,
            revision=revisions[place : place + 1] or "1",
            killed=killed[place : place + 1] != "n",
            comm=str(more.get("comm", "checkout")),
            pids=int(more.get("pids", 4)),
        )
        for place, share in enumerate(shares)
    ]


def trace(runs: list[Run], **settings: float) -> Trace:
    return Trace(tuple(runs), limit_bytes=LIMIT, runtime=settings)


def rise(part: float) -> float:
    return 0.1 + 0.89 * part


def level(height: float) -> Callable[[float], float]:
    return lambda part: height + 0.01 * ((part * 100) % 3)


def resting(part: float) -> float:
    return 0.05 + 1.0 * (1 - math.exp(-4 * part))


@pytest.mark.parametrize(
    ("comm", "settings", "expected"),
    [
        ("checkout", {}, Mechanism.HEAP_LEAK),
        ("python3", {}, Mechanism.HEAP_LEAK),
        ("java", {"-Xmx": 100.0 * MIB}, Mechanism.OFF_HEAP_LEAK),
        ("java", {"-Xmx": 600.0 * MIB}, Mechanism.HEAP_LEAK),
        ("java", {"-Xmx": 400.0 * MIB}, None),
        ("java", {}, None),
        ("node", {"--max-old-space-size": 100.0 * MIB}, Mechanism.OFF_HEAP_LEAK),
        ("dotnet", {"DOTNET_GCHeapHardLimit": 100.0 * MIB}, Mechanism.OFF_HEAP_LEAK),
    ],
)
def test_the_heaps_cap_tells_where_a_leak_of_anonymous_memory_is(
    comm: str, settings: dict[str, float], expected: Mechanism | None
) -> None:
    assert mechanism(trace(lives(rise, rise, comm=comm), **settings), Cause.LEAK) is expected


@pytest.mark.parametrize(
    ("pids", "settings", "expected"),
    [
        (20, {}, Mechanism.FRAGMENTATION),
        (4, {}, Mechanism.HEAP_LEAK),
        (20, {"MALLOC_ARENA_MAX": 2.0}, Mechanism.HEAP_LEAK),
        (20, {"jemalloc": 1.0}, Mechanism.HEAP_LEAK),
        (20, {"GOGC": 100.0}, Mechanism.HEAP_LEAK),
    ],
)
def test_a_rise_that_slows_down_in_many_threads_on_malloc_may_be_fragmentation(
    pids: int, settings: dict[str, float], expected: Mechanism
) -> None:
    assert mechanism(trace(lives(resting, resting, pids=pids), **settings), Cause.LEAK) is expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("leak linear", Mechanism.HEAP_LEAK),
        ("data growth", Mechanism.DATA_GROWTH),
        ("load ramp", Mechanism.LOAD_GROWTH),
        ("cache fill", Mechanism.CACHE_ABOVE_LIMIT),
        ("flat then spike", Mechanism.BURST),
    ],
)
def test_the_program_behind_a_trace_is_its_mechanism(family: str, expected: Mechanism, seed: int) -> None:
    found = simulate(BY_NAME[family], seed, kills=3)
    assert mechanism(found, BY_NAME[family].cause) is expected


def test_a_step_that_came_with_a_revision_is_told_from_data_that_grows_through_it() -> None:
    stepped = lives(level(0.5), level(0.5), level(0.9), level(0.9), revisions="1122", killed="nn")
    assert mechanism(trace(stepped), Cause.GROWTH) is Mechanism.VERSION_REGRESSION
    grown = lives(level(0.3), level(0.5), level(0.7), level(0.9), revisions="1122", killed="nnn")
    assert mechanism(trace(grown), Cause.GROWTH) is Mechanism.DATA_GROWTH


def test_a_heap_that_is_told_to_be_larger_than_the_limit_comes_before_the_shape() -> None:
    runs = lives(rise, rise, comm="java")
    low = Cause.UNDERESTIMATED_LIMIT
    assert mechanism(trace(runs, **{"-Xmx": 600.0 * MIB}), low) is Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT
    assert mechanism(trace(runs, **{"-Xmx": 300.0 * MIB}), low) is not Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT


@pytest.mark.parametrize(
    ("height", "expected"),
    [(0.5, Mechanism.BURST), (0.9, Mechanism.NO_HEADROOM), (0.965, Mechanism.STEADY_ABOVE_LIMIT)],
)
def test_a_level_is_named_by_the_room_it_leaves(height: float, expected: Mechanism) -> None:
    assert mechanism(trace(lives(level(height), level(height))), Cause.UNDERESTIMATED_LIMIT) is expected


def test_a_level_that_was_seen_above_a_limit_lowered_since_is_above_it() -> None:
    before = life(1.7e9, level(1.2), killed=False)
    roomy = tuple(replace(one, level=replace(one.level, max=2 * LIMIT)) for one in before.samples)
    runs = [replace(before, samples=roomy), *(life(1.7e9 + 110 * place, rise) for place in (1, 2))]
    assert mechanism(trace(runs), Cause.UNDERESTIMATED_LIMIT) is Mechanism.STEADY_ABOVE_LIMIT
    assert mechanism(trace(runs[1:]), Cause.UNDERESTIMATED_LIMIT) is not Mechanism.STEADY_ABOVE_LIMIT


def test_a_start_that_needs_more_than_ever_after_is_a_startup_peak() -> None:
    def start(part: float) -> float:
        return 0.1 + 12 * part if part < 0.07 else 0.5

    assert mechanism(trace(lives(start, start, killed="nn")), Cause.UNDERESTIMATED_LIMIT) is Mechanism.STARTUP_PEAK


def test_huge_pages_that_khugepaged_brought_are_a_bloat() -> None:
    def huge(part: float) -> dict[str, float]:
        return {"anon_thp": (0.1 + 0.8 * part) * LIMIT, "thp_collapse_alloc": 0.5 * part * LIMIT / 2**21}

    def walk(part: float) -> float:
        return 0.3 + 0.3 * part + 0.2 * ((part * 7) % 1)

    runs = [life(1.7e9 + 110 * place, walk, stat=huge) for place in range(2)]
    assert mechanism(trace(runs), Cause.UNDERESTIMATED_LIMIT) is Mechanism.HUGE_PAGE_BLOAT


def test_whose_limit_was_hit_names_the_pressure() -> None:
    runs = lives(level(0.3))
    assert mechanism(trace(runs), Cause.NODE_PRESSURE, LimitHit.NODE) is Mechanism.NODE_OVERCOMMIT
    assert mechanism(trace(runs), Cause.NODE_PRESSURE, LimitHit.ANCESTOR) is Mechanism.ANCESTOR_LIMIT
    assert mechanism(trace(runs), Cause.NODE_PRESSURE, LimitHit.CONTAINER) is None
    evicted = replace(runs[0], end=RunEnd(1.7e9 + 100, 137, "Evicted", killed=False))
    assert mechanism(trace([evicted]), Cause.NODE_PRESSURE) is Mechanism.EVICTION


def test_next_to_nothing_known_names_nothing() -> None:
    bare = Trace((Run("c", 1.0, end=RunEnd(4.0, 137, killed=True)),), limit_bytes=LIMIT)
    for cause in (Cause.LEAK, Cause.GROWTH, Cause.UNDERESTIMATED_LIMIT, Cause.INCONCLUSIVE):
        assert mechanism(bare, cause) is None
    assert mechanism(bare, Cause.NOT_KERNEL_OOM) is Mechanism.EXTERNAL_SIGKILL
    assert mechanism(Trace(()), Cause.NODE_PRESSURE) is None
