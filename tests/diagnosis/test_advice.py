"""Advice and settling: concrete, bounded, with sizes from the limit, for every mechanism in every runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memdiag.diagnosis.advice import MOST_STEPS, STEPS, next_steps
from memdiag.diagnosis.features import Features, measure
from memdiag.diagnosis.runtime import Runtime, runtime_of
from memdiag.diagnosis.settling import MOST, settle
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace, TraceKill, Victim
from memdiag.model.verdict import Cause, Mechanism

MIB = 2**20
LIMIT = 512 * MIB
COMMS = {
    Runtime.JVM: "java",
    Runtime.NODE: "node",
    Runtime.DOTNET: "dotnet",
    Runtime.PYTHON: "python3",
    Runtime.RUBY: "ruby",
    Runtime.PHP: "php-fpm",
    Runtime.ERLANG: "beam.smp",
    Runtime.REDIS: "redis-server",
    Runtime.POSTGRES: "postgres",
    None: "checkout",
}
LOG = ("oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/kubepods/poda/b,task_memcg=/kubepods/poda/b",)


def life(begin: float, *, ended: bool = True, pids: int = 4, kernel_stack: int = MIB) -> Run:
    samples = tuple(
        Sample(
            begin + age,
            Level(
                max=LIMIT,
                stat={
                    "anon": (50 + 4 * age) * MIB,
                    "kernel_stack": kernel_stack,
                    "slab_unreclaimable": 12 * 2**10 * pids * age // 100,
                },
                pids=4 + pids * age // 100,
                events={"oom": 0},
            ),
        )
        for age in range(100)
    )
    end = RunEnd(begin + 101, 137, "OOMKilled", kernel_log=LOG, killed=True) if ended else None
    return Run(f"c{begin}", begin, samples=samples, end=end)


def features(runtime: Runtime | None = None, *, lives: int = 2, **settings: float) -> Features:
    runs = tuple(life(1000.0 * place) for place in range(lives))
    if runtime is Runtime.GO:
        settings = {"GOGC": 100.0}
    else:
        victim = TraceKill(1000.0 * lives - 900, victims=(Victim(comm=COMMS[runtime]),))
        runs = (*runs[:-1], replace(runs[-1], kills=(victim,)))
    trace = Trace(runs, limit_bytes=LIMIT, runtime=settings)
    return measure(trace, (), None, Surroundings())


@pytest.mark.parametrize("mechanism", list(Mechanism))
@pytest.mark.parametrize("runtime", [*Runtime, None])
def test_every_mechanism_in_every_runtime_has_a_few_short_steps(runtime: Runtime | None, mechanism: Mechanism) -> None:
    found = features(runtime)
    assert found.runtime.runtime is runtime
    steps = next_steps(found, Cause.LEAK, mechanism)
    assert 1 <= len(steps) <= MOST_STEPS
    assert len(set(steps)) == len(steps)
    assert all(20 <= len(step) <= 260 and step.endswith((".", ").")) for step in steps), steps


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        (Runtime.GO, "go tool pprof"),
        (Runtime.JVM, "jcmd 1 GC.class_histogram"),
        (Runtime.NODE, "process.memoryUsage()"),
        (Runtime.PYTHON, "memray attach"),
        (Runtime.REDIS, "MEMORY DOCTOR"),
        (Runtime.POSTGRES, "pg_log_backend_memory_contexts"),
        (None, "heaptrack"),
    ],
)
def test_a_heap_leak_names_the_runtimes_own_profiler(runtime: Runtime | None, words: str) -> None:
    assert words in " ".join(next_steps(features(runtime), Cause.LEAK, Mechanism.HEAP_LEAK))


@pytest.mark.parametrize(
    ("runtime", "setting"),
    [
        (Runtime.JVM, "-Xmx358m"),
        (Runtime.NODE, "--max-old-space-size=384"),
        (Runtime.DOTNET, "DOTNET_GCHeapHardLimitPercent=0x46"),
        (Runtime.GO, "GOMEMLIMIT=460MiB"),
    ],
)
def test_a_heap_that_may_pass_the_limit_gets_a_setting_with_its_number(runtime: Runtime, setting: str) -> None:
    found = features(runtime)
    assert setting in next_steps(found, Cause.UNDERESTIMATED_LIMIT, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT)[0]
    small = replace(found, limit=128 * MIB)
    step = next_steps(small, Cause.UNDERESTIMATED_LIMIT, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT)[0]
    assert ("MinRAMPercentage" in step) is (runtime is Runtime.JVM)
    unknown = replace(found, limit=None)
    assert next_steps(unknown, Cause.UNDERESTIMATED_LIMIT, Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT)


def test_a_leak_whose_place_is_not_known_begins_with_how_to_find_out() -> None:
    found = features(Runtime.JVM)
    first = next_steps(found, Cause.LEAK, None)[0]
    assert "-Xmx or -XX:MaxRAMPercentage" in first
    assert next_steps(features(), Cause.LEAK, None) == next_steps(features(), Cause.LEAK, Mechanism.HEAP_LEAK)
    assert next_steps(found, Cause.INCONCLUSIVE, None) == ()


def test_dead_children_are_told_from_busy_ones() -> None:
    zombies = measure(
        Trace((life(0.0, pids=400),), limit_bytes=LIMIT),
        (),
        None,
        Surroundings(),
    )
    assert "state Z" in next_steps(zombies, Cause.LEAK, Mechanism.PROCESS_LEAK)[0]
    assert "pile up" in next_steps(features(), Cause.LEAK, Mechanism.PROCESS_LEAK)[0]


def test_squeezed_page_cache_is_part_of_what_a_limit_must_hold() -> None:
    found = features()
    assert found.pressure is not None
    squeezed = replace(
        found.pressure,
        stalled=0.5,
        refaulted=200 * MIB,
        refaulted_before=0,
        cache=MIB,
        cache_before=90 * MIB,
        cache_needed=80 * MIB,
    )
    steps = next_steps(replace(found, pressure=squeezed), Cause.UNDERESTIMATED_LIMIT, Mechanism.NO_HEADROOM)
    assert "80 MiB of file pages" in steps[-1]
    swapped = replace(found.pressure, swapped=70 * MIB)
    steps = next_steps(replace(found, pressure=swapped), Cause.UNDERESTIMATED_LIMIT, Mechanism.NO_HEADROOM)
    assert "70 MiB were swapped out" in steps[-1]


def test_a_sure_verdict_needs_nothing_more() -> None:
    assert settle(features(), Cause.LEAK, 0.95) == ()


def test_one_life_asks_for_a_restart_and_an_unclear_verdict_for_a_temporary_limit() -> None:
    wishes = settle(features(lives=1), Cause.INCONCLUSIVE, 0.4)
    assert any("One more restart" in wish for wish in wishes)
    assert any("A limit of 768 MiB for a time" in wish for wish in wishes)
    assert len(wishes) <= MOST
    assert not any("restart, watched" in wish for wish in settle(features(), Cause.LEAK, 0.7))


def test_an_unknown_cap_and_an_unknown_load_are_asked_for() -> None:
    wishes = settle(features(Runtime.JVM, lives=1), Cause.LEAK, 0.7)
    assert any("cap of the JVM" in wish for wish in wishes)
    assert any("signal of load" in wish for wish in wishes)
    known = features(Runtime.JVM, lives=1, **{"-Xmx": 64.0 * MIB})
    assert not any("cap of the JVM" in wish for wish in settle(known, Cause.LEAK, 0.7))


def test_a_kill_that_nobody_saw_asks_for_its_witnesses() -> None:
    trace = Trace((Run("c", 1.0, end=RunEnd(4.0, 137, killed=True)),), limit_bytes=LIMIT)
    wishes = settle(measure(trace, (), None, Surroundings()), Cause.INCONCLUSIVE, 0.0)
    assert "journalctl -k" in wishes[0]
    assert "samples" in wishes[1]


def test_every_mechanism_has_steps_and_stands_in_the_docs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "mechanisms.md"
    rows = [line.split("|")[1].strip().strip("`") for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == [str(row) for row in dict.fromkeys(rows)]
    assert set(rows) == {mechanism.value for mechanism in Mechanism} == {mechanism.value for mechanism in STEPS}


def test_the_runtime_of_the_newest_victim_is_asked() -> None:
    assert runtime_of(features(Runtime.RUBY).trace, LIMIT).runtime is Runtime.RUBY
