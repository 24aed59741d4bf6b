"""The runtime: which one was killed, how large its heap may become, and what that says of a rise."""

from __future__ import annotations

import pytest

from memdiag.diagnosis.runtime import Runtime, RuntimeFacts, runtime_of
from memdiag.model.trace import Run, RunEnd, Trace, TraceKill, Victim

MIB = 2**20
GIB = 2**30


def killed(comm: str, **settings: float) -> Trace:
    line = f"[ 12.5] Memory cgroup out of memory: Killed process 4711 ({comm}) total-vm:1kB, anon-rss:1kB, file-rss:0kB"
    return Trace(
        (Run("c", 0.0, end=RunEnd(9.0, 137, kernel_log=(line,))),), runtime={_name(k): v for k, v in settings.items()}
    )


def _name(key: str) -> str:
    return {"xmx": "-Xmx", "percent": "-XX:MaxRAMPercentage", "old": "--max-old-space-size"}.get(key, key)


@pytest.mark.parametrize(
    ("comm", "runtime"),
    [
        ("java", Runtime.JVM),
        ("node", Runtime.NODE),
        ("MainThread", Runtime.NODE),
        ("node-MainThread", Runtime.NODE),
        ("dotnet", Runtime.DOTNET),
        ("python3.11", Runtime.PYTHON),
        ("gunicorn: worke", Runtime.PYTHON),
        ("puma: cluster w", Runtime.RUBY),
        ("php-fpm8.2", Runtime.PHP),
        ("beam.smp", Runtime.ERLANG),
        ("redis-server", Runtime.REDIS),
        ("postgres", Runtime.POSTGRES),
        ("checkout", None),
        ("node_exporter", None),
        ("(sd-pam)", None),
        ("my (java)", None),
    ],
)
def test_the_kernels_name_of_the_victim_tells_the_runtime(comm: str, runtime: Runtime | None) -> None:
    found = runtime_of(killed(comm), 512 * MIB)
    assert (found.runtime, found.comm) == (runtime, comm)


def test_the_newest_victim_counts_and_an_old_kernels_line_is_read() -> None:
    old = "Killed process 17, UID 0, (java) total-vm:1kB, anon-rss:1kB"
    trace = Trace(
        (
            Run("a", 0.0, end=RunEnd(9.0, 137, kernel_log=("Killed process 9 (python) total-vm:1kB",))),
            Run("b", 10.0, kills=(TraceKill(11.0, kernel_log=(old,)),)),
        )
    )
    assert runtime_of(trace, None).runtime is Runtime.JVM


def test_recorded_victims_speak_where_the_log_is_silent() -> None:
    trace = Trace((Run("a", 0.0, kills=(TraceKill(3.0, victims=(Victim(comm="node"),)),)),))
    assert runtime_of(trace, 512 * MIB).runtime is Runtime.NODE


@pytest.mark.parametrize(
    ("settings", "runtime"),
    [
        ({"-Xss": 1.0}, Runtime.JVM),
        ({"GOGC": 50.0}, Runtime.GO),
        ({"--max-semi-space-size": 1.0}, Runtime.NODE),
        ({"DOTNET_GCHeapHardLimit": 1.0}, Runtime.DOTNET),
        ({"maxmemory": 1.0}, Runtime.REDIS),
        ({"work_mem": 1.0}, Runtime.POSTGRES),
        ({"MALLOC_ARENA_MAX": 2.0}, None),
        ({}, None),
    ],
)
def test_settings_tell_it_where_no_victim_is_known(settings: dict[str, float], runtime: Runtime | None) -> None:
    assert runtime_of(Trace((), runtime=settings), GIB).runtime is runtime


@pytest.mark.parametrize(
    ("comm", "settings", "limit", "cap"),
    [
        ("java", {"-Xmx": 300.0 * MIB, "-XX:MaxRAMPercentage": 75.0}, GIB, 300 * MIB),
        ("java", {"-XX:MaxRAMPercentage": 75.0}, GIB, 768 * MIB),
        ("java", {"-XX:MaxRAMPercentage": 75.0}, 200 * MIB, 100 * MIB),
        ("java", {"-XX:MaxRAM": 2.0 * GIB, "-XX:MaxRAMPercentage": 75.0}, GIB, 1536 * MIB),
        ("java", {"-Xss": 1.0}, 2 * GIB, 512 * MIB),
        ("java", {"-Xss": 1.0}, 300 * MIB, int(124.8 * MIB)),
        ("node", {}, 2 * GIB, GIB),
        ("node", {}, 160 * MIB, 256 * MIB),
        ("node", {}, 8 * GIB, 2 * GIB),
        ("node", {}, 32 * GIB, 4 * GIB),
        ("node", {"--max-old-space-size": 400.0 * MIB}, GIB, 400 * MIB),
        ("node", {"--max-old-space-size-percentage": 60.0}, GIB, int(0.6 * GIB)),
        ("dotnet", {}, GIB, 768 * MIB),
        ("dotnet", {}, 24 * MIB, 20 * MIB),
        ("dotnet", {"DOTNET_GCHeapHardLimit": 200.0 * MIB}, GIB, 200 * MIB),
        ("dotnet", {"DOTNET_GCHeapHardLimitPercent": 50.0}, GIB, 512 * MIB),
        ("python", {}, GIB, None),
        ("java", {"-XX:MaxRAMPercentage": 75.0}, None, None),
    ],
)
def test_the_heaps_cap_is_what_the_runtime_makes_of_settings_and_limit(
    comm: str, settings: dict[str, float], limit: int | None, cap: int | None
) -> None:
    assert runtime_of(killed(comm, **settings), limit).heap_cap == cap


def test_a_jvm_of_which_no_setting_is_visible_has_an_unknown_cap() -> None:
    hidden = runtime_of(killed("java"), 512 * MIB)
    assert hidden.cap_unknown
    assert not hidden.cap_above_limit
    assert hidden.outside_heap(500 * MIB, 400 * MIB) is None
    assert not runtime_of(killed("java", **{"-Xss": 1.0}), 512 * MIB).cap_unknown
    assert not runtime_of(killed("python"), 512 * MIB).cap_unknown


@pytest.mark.parametrize(
    ("cap", "level", "grown", "outside"),
    [
        (64, 500, 400, True),
        (300, 500, 100, None),
        (240, 500, 100, True),
        (600, 500, 400, False),
        (100, 190, 180, None),
        (60, 110, 125, True),
    ],
)
def test_what_grew_beyond_the_cap_is_outside_the_heap(cap: int, level: int, grown: int, outside: bool | None) -> None:
    facts = RuntimeFacts(Runtime.JVM, "java", cap * MIB, "-Xmx", 512 * MIB, {"-Xmx": cap * MIB})
    assert facts.outside_heap(level * MIB, grown * MIB) is outside


def test_a_heap_as_large_as_the_limit_may_pass_it() -> None:
    assert runtime_of(killed("java", xmx=500.0 * MIB), 512 * MIB).cap_above_limit
    assert not runtime_of(killed("java", percent=75.0), 512 * MIB).cap_above_limit
    assert runtime_of(killed("node"), 160 * MIB).cap_above_limit
