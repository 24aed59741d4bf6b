"""Heap settings of language runtimes, read from a container's environment and command line; nothing else is kept.

The list of settings is closed and every value is a number, so no word of a pod's environment survives in a trace:

- JVM (the last one wins; `_JAVA_OPTIONS` is read behind the command line, `JAVA_TOOL_OPTIONS` and `JDK_JAVA_OPTIONS`
  before it): sizes take a suffix k, m, g or t, powers of 1024, either case.
- Go (runtime package, "Environment Variables"): GOMEMLIMIT takes B, KiB, MiB, GiB or TiB, case-sensitive; `off` is no
  limit, as if it were not set. GOGC is a percentage; `off` is -1, as in `debug.SetGCPercent`.
- Node.js: V8's sizes are MiB, `-` and `_` are the same, and only the form with `=` is taken.
- .NET (runtime configuration of the garbage collector): environment values are hexadecimal with or without `0x`, the
  percentage too; `COMPlus_` is the older prefix.
- glibc (mallopt(3), GLIBC_TUNABLES), and whether another allocator is loaded.
- Redis: `1k` is 1000 and `1kb` 1024 bytes; 0 is no limit. PostgreSQL: kB, MB, GB, TB are powers of 1024; without a
  unit shared_buffers are blocks of 8 KiB and the others KiB.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

MOST_WORDS = 4096
"""Words of a command line that are looked at."""
LONGEST_VALUE = 32_768
"""Characters of one argument or environment value that are looked at."""
MOST_TEXT = 4 * LONGEST_VALUE
"""Characters that are looked at in all, references replaced: a few of these make a short text long without end."""
GC_OFF = -1.0

_Reader = Callable[[str], float | None]

_JVM_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_GO_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_REDIS_UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "kb": 2**10,
    "m": 10**6,
    "mb": 2**20,
    "g": 10**9,
    "gb": 2**30,
}
_POSTGRES_UNITS = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_LARGEST = 2.0**62


def _number(text: str) -> float | None:
    """Return a plain decimal number above 0, None when it is none."""
    if not re.fullmatch(r"\d{1,19}(\.\d{1,6})?", text, re.ASCII):
        return None
    value = float(text)
    return value if 0 < value <= _LARGEST else None


def _sized(units: Mapping[str, int], *, fold: bool = False, bare: int = 1) -> _Reader:
    """Return a reader of whole sizes with these units; `bare` is the unit of a number that names none."""

    def read(text: str) -> float | None:
        found = re.fullmatch(r"(\d{1,19})([A-Za-z]{0,3})", text, re.ASCII)
        if found is None:
            return None
        unit = found[2].lower() if fold else found[2]
        factor = bare if not unit else units.get(unit)
        if factor is None:
            return None
        value = float(int(found[1]) * factor)
        return value if 0 < value <= _LARGEST else None

    return read


def _percent(text: str) -> float | None:
    value = _number(text)
    return value if value is not None and value <= 100 else None


def _hexadecimal(text: str) -> float | None:
    if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,16}", text):
        return None
    value = float(int(text, 16))
    return value if 0 < value <= _LARGEST else None


def _hex_percent(text: str) -> float | None:
    value = _hexadecimal(text)
    return value if value is not None and value <= 100 else None


def _gogc(text: str) -> float | None:
    return GC_OFF if text == "off" else _number(text)


_jvm = _sized(_JVM_UNITS, fold=True)
_mebibytes = _sized({}, bare=2**20)
_WORDS: tuple[tuple[str, str, _Reader], ...] = (
    ("-Xmx", "-Xmx", _jvm),
    ("-XX:MaxHeapSize=", "-Xmx", _jvm),
    ("-Xms", "-Xms", _jvm),
    ("-XX:InitialHeapSize=", "-Xms", _jvm),
    ("-Xss", "-Xss", _jvm),
    ("-XX:MaxRAMPercentage=", "-XX:MaxRAMPercentage", _percent),
    ("-XX:MinRAMPercentage=", "-XX:MinRAMPercentage", _percent),
    ("-XX:MaxRAM=", "-XX:MaxRAM", _jvm),
    ("-XX:MaxDirectMemorySize=", "-XX:MaxDirectMemorySize", _jvm),
    ("-XX:MaxMetaspaceSize=", "-XX:MaxMetaspaceSize", _jvm),
    ("--max-old-space-size=", "--max-old-space-size", _mebibytes),
    ("--max-semi-space-size=", "--max-semi-space-size", _mebibytes),
    ("--max-old-space-size-percentage=", "--max-old-space-size-percentage", _percent),
)
"""What a word of a command line begins with, the setting's name, and how the rest is read."""

_PAIRS: dict[str, tuple[tuple[str, str, _Reader], ...]] = {
    "--maxmemory": (("", "maxmemory", _sized(_REDIS_UNITS, fold=True)),),
    "-c": (
        ("shared_buffers=", "shared_buffers", _sized(_POSTGRES_UNITS, bare=8 * 2**10)),
        ("work_mem=", "work_mem", _sized(_POSTGRES_UNITS, bare=2**10)),
        ("maintenance_work_mem=", "maintenance_work_mem", _sized(_POSTGRES_UNITS, bare=2**10)),
        ("max_connections=", "max_connections", _number),
    ),
}
"""Settings of two words: the first, what the second begins with, the setting's name, and how the rest is read."""

_VARIABLES: dict[str, tuple[str, _Reader]] = {
    "GOMEMLIMIT": ("GOMEMLIMIT", _sized(_GO_UNITS)),
    "GOGC": ("GOGC", _gogc),
    "COMPlus_GCHeapHardLimit": ("DOTNET_GCHeapHardLimit", _hexadecimal),
    "COMPlus_GCHeapHardLimitPercent": ("DOTNET_GCHeapHardLimitPercent", _hex_percent),
    "DOTNET_GCHeapHardLimit": ("DOTNET_GCHeapHardLimit", _hexadecimal),
    "DOTNET_GCHeapHardLimitPercent": ("DOTNET_GCHeapHardLimitPercent", _hex_percent),
    "MALLOC_ARENA_MAX": ("MALLOC_ARENA_MAX", _number),
    "MALLOC_TRIM_THRESHOLD_": ("MALLOC_TRIM_THRESHOLD_", _number),
}
"""Environment variables that are a setting by themselves; a later one of the same name wins."""

_TUNABLES = {"glibc.malloc.arena_max": "MALLOC_ARENA_MAX", "glibc.malloc.trim_threshold": "MALLOC_TRIM_THRESHOLD_"}
_LISTS = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_CONF")
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")
_OPTIONS_FIRST = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
_OPTIONS_LAST = "_JAVA_OPTIONS"
_OPTIONS = re.compile(r"(OPTS|OPTIONS|ARGS|_MEM)(_APPEND)?$")
"""Names of variables that start scripts hand to the runtime, such as JAVA_OPTS, KAFKA_HEAP_OPTS and NODE_OPTIONS."""

_REFERENCE = re.compile(r"\$(?:\((\w+)\)|\{(\w+)(?::?-([^{}]*))?\}|(\w+))")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)

SETTINGS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [name for _, name, _ in _WORDS]
        + [name for pairs in _PAIRS.values() for _, name, _ in pairs]
        + [name for name, _ in _VARIABLES.values()]
        + list(_ALLOCATORS)
    )
)
"""The closed list of names that `heap_settings` may return."""


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    name = found[1] or found[2] or found[4]
    return env.get(name) or (found[0] if found[3] is None else found[3])


class _Reading:
    """The texts of one container, read until they are `MOST_TEXT` long."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._left = MOST_TEXT

    def resolved(self, text: str) -> str:
        """Return the text with its references to variables replaced once; unknown ones stay as they are."""
        most, place, pieces = min(LONGEST_VALUE, self._left), 0, []
        for found in _REFERENCE.finditer(text):
            pieces += [text[place : found.start()], _value(found, self._env)]
            place = found.end()
            most -= len(pieces[-1]) + len(pieces[-2])
            if most <= 0:
                break
        else:
            pieces.append(text[place:])
        whole = "".join(pieces)[: min(LONGEST_VALUE, self._left)]
        self._left -= len(whole)
        return whole

    def words(self, text: str) -> Iterator[str]:
        """Yield the words of a line."""
        for word in _split(self.resolved(text[:LONGEST_VALUE])):
            yield word.rstrip(";&|)")


def _split(text: str) -> list[str]:
    """Return a shell's words, or those between blanks where quotes do not match."""
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()


def _of_words(words: Sequence[str]) -> Iterator[tuple[str, float]]:
    previous = ""
    for word in words[:MOST_WORDS]:
        head, equals, rest = word.partition("=")
        normal = f"{head.replace('_', '-')}{equals}{rest}" if head.startswith("--") else word
        for start, name, read in _WORDS:
            if normal.startswith(start) and (value := read(normal[len(start) :])) is not None:
                yield name, value
        for start, name, read in _PAIRS.get(previous, ()):
            if word.startswith(start) and (value := read(word[len(start) :])) is not None:
                yield name, value
        previous = word


def _of_variable(name: str, text: str) -> Iterator[tuple[str, float]]:
    if name in _VARIABLES:
        setting, read = _VARIABLES[name]
        value = read(text.strip())
        if value is not None:
            yield setting, value
    elif name == "GLIBC_TUNABLES":
        for part in text.split(":")[:64]:
            tunable, _, wanted = part.partition("=")
            if tunable in _TUNABLES and (value := _number(wanted)) is not None:
                yield _TUNABLES[tunable], value
    elif name == "LD_PRELOAD":
        yield from ((allocator, 1.0) for allocator in _ALLOCATORS if allocator in text)
    elif name == "MALLOC_CONF" and text:
        yield "jemalloc", 1.0


def holds_heap_settings(name: str) -> bool:
    """Say whether heap settings are read from an environment variable of this name."""
    return name in (*_VARIABLES, *_LISTS, *_OPTIONS_FIRST, _OPTIONS_LAST) or bool(_OPTIONS.search(name))


def heap_settings(env: Mapping[str, str], args: Sequence[str]) -> dict[str, float]:
    """Return the heap settings that a container's environment and command line hold, by the names of SETTINGS.

    `args` are the words of command and args, in order; a word may be a shell's whole line. Values are bytes for sizes,
    percent for percentages, else plain counts; an allocator that is loaded is 1. What is malformed is left out.
    """
    bounded = {name: value[:LONGEST_VALUE] for name, value in list(env.items())[:MOST_WORDS]}
    reading = _Reading(bounded)
    scripts = [name for name in bounded if _OPTIONS.search(name) and name not in (*_OPTIONS_FIRST, _OPTIONS_LAST)]
    found: dict[str, float] = {}
    for name in (*_VARIABLES, *_LISTS):
        found.update(_of_variable(name, reading.resolved(bounded.get(name, ""))))
    for name in (*_OPTIONS_FIRST, *scripts):
        found.update(_of_words(list(reading.words(bounded.get(name, "")))))
    command = [word for text in args[:MOST_WORDS] for word in reading.words(text)]
    for word in command[:MOST_WORDS]:
        assigned = _ASSIGNMENT.fullmatch(word)
        if assigned is not None:
            found.update(_of_variable(assigned[1], assigned[2]))
    found.update(_of_words(command))
    found.update(_of_words(list(reading.words(bounded.get(_OPTIONS_LAST, "")))))
    return found
