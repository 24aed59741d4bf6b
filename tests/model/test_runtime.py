"""Heap settings out of environments and command lines: units, precedence, and that nothing else is ever kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memdiag.model.runtime import GC_OFF, LONGEST_VALUE, SETTINGS, heap_settings

MIB = 2.0**20
GIB = 2.0**30


@pytest.mark.parametrize(
    ("env", "args", "expected"),
    [
        ({}, ["java", "-Xmx512m", "-Xms64M", "-jar", "a.jar"], {"-Xmx": 512 * MIB, "-Xms": 64 * MIB}),
        ({}, ["java", "-Xmx1g", "-Xmx300m"], {"-Xmx": 300 * MIB}),
        ({}, ["java", "-Xmx512m", "-XX:MaxHeapSize=300m"], {"-Xmx": 300 * MIB}),
        ({}, ["java", "-Xmx1048576"], {"-Xmx": MIB}),
        ({}, ["java", "-Xmx1.5g"], {}),
        ({}, ["java", "-XX:MaxRAMPercentage=75.0", "-Xss512k"], {"-XX:MaxRAMPercentage": 75.0, "-Xss": 2.0**19}),
        ({}, ["java", "-XX:MaxRAM=2g", "-XX:MinRAMPercentage=60"], {"-XX:MaxRAM": 2 * GIB, "-XX:MinRAMPercentage": 60}),
        (
            {"JAVA_OPTS": "-XX:MaxDirectMemorySize=64m -XX:MaxMetaspaceSize=128m"},
            [],
            {"-XX:MaxDirectMemorySize": 64 * MIB, "-XX:MaxMetaspaceSize": 128 * MIB},
        ),
        ({"JAVA_TOOL_OPTIONS": "-Xmx1g", "JDK_JAVA_OPTIONS": "-Xmx2g"}, [], {"-Xmx": 2 * GIB}),
        ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, ["java", "-Xmx2g"], {"-Xmx": 2 * GIB}),
        ({"_JAVA_OPTIONS": "-Xmx1g"}, ["java", "-Xmx2g"], {"-Xmx": GIB}),
        ({"KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g"}, ["/run.sh"], {"-Xmx": GIB, "-Xms": GIB}),
        ({}, ["sh", "-c", "exec java -Xmx1g -jar app.jar"], {"-Xmx": GIB}),
        ({}, ["sh", "-c", "java '-Xmx1g'; echo done"], {"-Xmx": GIB}),
        ({}, ["sh", "-c", "(java -jar a.jar -Xmx1g)"], {"-Xmx": GIB}),
        ({}, ["sh", "-c", "echo it's; java -Xmx1g"], {"-Xmx": GIB}),
        ({"HEAP": "640m"}, ["java", "-Xmx$(HEAP)"], {"-Xmx": 640 * MIB}),
        ({"HEAP": "640m"}, ["sh", "-c", "java -Xmx${HEAP} a"], {"-Xmx": 640 * MIB}),
        ({}, ["sh", "-c", "java -Xmx${HEAP:-256m} a"], {"-Xmx": 256 * MIB}),
        ({}, ["java", "-Xmx$(HEAP)"], {}),
        ({"GOMEMLIMIT": "400MiB"}, ["/app"], {"GOMEMLIMIT": 400 * MIB}),
        ({"GOMEMLIMIT": "1073741824"}, ["/app"], {"GOMEMLIMIT": GIB}),
        ({"GOMEMLIMIT": "400mib"}, ["/app"], {}),
        ({"GOMEMLIMIT": "off", "GOGC": "off"}, ["/app"], {"GOGC": GC_OFF}),
        ({}, ["sh", "-c", "GOMEMLIMIT=2GiB GOGC=50 ./app"], {"GOMEMLIMIT": 2 * GIB, "GOGC": 50.0}),
        ({"NODE_OPTIONS": "--max-old-space-size=400"}, ["node", "a.js"], {"--max-old-space-size": 400 * MIB}),
        (
            {"NODE_OPTIONS": "--max-old-space-size=400"},
            ["node", "--max_old_space_size=300", "--max-semi-space-size=32", "a.js"],
            {"--max-old-space-size": 300 * MIB, "--max-semi-space-size": 32 * MIB},
        ),
        ({}, ["node", "--max-old-space-size", "300", "a.js"], {}),
        (
            {"DOTNET_GCHeapHardLimit": "C800000", "COMPlus_GCHeapHardLimit": "0x1000"},
            ["dotnet", "a.dll"],
            {"DOTNET_GCHeapHardLimit": 200 * MIB},
        ),
        ({"DOTNET_GCHeapHardLimitPercent": "0x3C"}, [], {"DOTNET_GCHeapHardLimitPercent": 60.0}),
        (
            {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"},
            [],
            {"MALLOC_ARENA_MAX": 2.0, "MALLOC_TRIM_THRESHOLD_": 131072.0},
        ),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.arena_max=4"}, [], {"MALLOC_ARENA_MAX": 4.0}),
        ({"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"}, [], {"jemalloc": 1.0}),
        ({"MALLOC_CONF": "background_thread:true"}, [], {"jemalloc": 1.0}),
        ({}, ["redis-server", "--maxmemory", "100mb"], {"maxmemory": 100 * MIB}),
        ({}, ["redis-server", "--maxmemory", "100M"], {"maxmemory": 1e8}),
        ({}, ["redis-server", "--maxmemory", "0"], {}),
        (
            {},
            ["postgres", "-c", "shared_buffers=128MB", "-c", "work_mem=4096", "-c", "max_connections=200"],
            {"shared_buffers": 128 * MIB, "work_mem": 4 * MIB, "max_connections": 200.0},
        ),
        ({}, ["postgres", "-c", "shared_buffers=16384"], {"shared_buffers": 128 * MIB}),
        ({}, ["postgres", "-c", "work_mem=4mb"], {}),
    ],
)
def test_a_setting_is_read_as_its_runtime_reads_it(
    env: Mapping[str, str], args: Sequence[str], expected: Mapping[str, float]
) -> None:
    assert heap_settings(env, args) == expected


def test_a_secret_beside_the_settings_is_not_kept() -> None:
    found = heap_settings({"PASSWORD_OPTS": "hunter2 -Xmx1g"}, ["java", "--token=abc", "-Dsecret=-Xmx9g"])
    assert found == {"-Xmx": GIB}


def test_a_reference_is_replaced_once_only() -> None:
    assert heap_settings({"A": "$(A)$(A)"}, ["$(A)" * 1000]) == {}


def test_a_value_is_read_up_to_its_bound() -> None:
    assert heap_settings({"JAVA_OPTS": " " * LONGEST_VALUE + "-Xmx1g"}, []) == {}


@given(
    st.dictionaries(st.sampled_from(["JAVA_OPTS", "GOMEMLIMIT", "LD_PRELOAD", "GLIBC_TUNABLES", "X"]), st.text()),
    st.lists(st.text() | st.sampled_from(["-Xmx", "-Xmx9", "--maxmemory", "-c", "work_mem=1B", "'"])),
)
def test_any_text_gives_numbers_of_the_closed_list_only(env: dict[str, str], args: list[str]) -> None:
    found = heap_settings(env, args)
    assert set(found) <= set(SETTINGS)
    assert all(value == GC_OFF or 0 < value <= 2.0**62 for value in found.values())


@pytest.mark.parametrize(
    ("env", "args"),
    [
        ({"A": "x" * LONGEST_VALUE, "JAVA_OPTS": "$A" * 16_000}, []),
        ({"A": "x " * LONGEST_VALUE} | {f"A{number}_OPTS": "$A" for number in range(4_000)}, []),
        ({"A": "x " * LONGEST_VALUE}, ["$(A)"] * 4_096),
    ],
)
def test_references_make_no_text_without_end(env: dict[str, str], args: list[str]) -> None:
    tracemalloc.start()
    try:
        assert heap_settings({**env, "GOGC": "50"}, args) == {"GOGC": 50.0}
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()
