"""The recorded matrix of OOM kills, read: what each kernel said of each case, and the truth (see testbed/matrix)."""

from __future__ import annotations

import functools
import json
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memdiag.kernel.logtext import LogText
from memdiag.kernel.oomlog import OomParser
from memdiag.model.kill import OomReport
from tests.kernel.support import FIXTURES

FOLDER = FIXTURES / "recorded"
NAMES = sorted(path.name for path in FOLDER.iterdir())
STORM = 20

_MARK = re.compile(rb"^(?:12,\d+,\d+,[^;]*;|<12>\[ *[\d.]+\] )case ([a-z-]+)\n", re.MULTILINE)

Counters = Mapping[str, Mapping[str, str]]
"""Cgroup path to its files' texts."""


@dataclass(frozen=True)
class Case:
    """One case as the guest knows it; `died` has a process's exit status as a shell gives it, by PID."""

    pod: str | None
    container: str | None
    path: str
    died: Mapping[int, int]
    before: Counters
    after: Counters

    def rise(self, path: str, file: str, key: str) -> int:
        """Return by how much a counter of a cgroup rose."""
        return _value(self.after[path][file], key) - _value(self.before[path][file], key)


def _value(text: str, key: str) -> int:
    words = text.split()
    return int(dict(zip(words[::2], words[1::2], strict=True))[key])


def unpacked(name: str, file: str) -> bytes:
    return lzma.decompress((FOLDER / name / f"{file}.xz").read_bytes())


def about(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((FOLDER / name / "about.json").read_text())
    return found


@functools.cache
def truth(name: str) -> dict[str, Case]:
    starts: dict[str, tuple[str, ...]] = {}
    died: dict[str, dict[int, int]] = {}
    seen: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for line in unpacked(name, "truth").decode().splitlines():
        case, kind, *words = line.split(" ", 4)
        if kind == "start":
            starts[case] = tuple(words)
        elif kind == "died":
            died.setdefault(case, {})[int(words[0])] = int(words[1])
        else:
            path, file, text = words
            seen.setdefault(case, {}).setdefault(kind, {}).setdefault(path, {})[file] = text
    return {
        case: Case(
            None if pod == "-" else pod,
            None if container == "-" else container,
            path,
            died.get(case, {}),
            seen.get(case, {}).get("before", {}),
            seen.get(case, {}).get("after", {}),
        )
        for case, (pod, container, path) in starts.items()
    }


def parts(data: bytes) -> dict[str, bytes]:
    """Return what the kernel said in each case."""
    _, *found = _MARK.split(data)
    return {case.decode(): text for case, text in zip(found[::2], found[1::2], strict=True)}


def read(data: bytes) -> list[OomReport]:
    text, parser = LogText(), OomParser()
    for line in data.split(b"\n"):
        for record, stamp in text.split(line):
            parser.feed(record, stamp)
    return parser.finish()


@functools.cache
def said(name: str, log: str) -> dict[str, list[OomReport]]:
    """Return the kills of each case, by `kmsg` or by `syslog`."""
    return {case: read(text) for case, text in parts(unpacked(name, log)).items()}


def written(folder: Path, name: str, case: str) -> Path:
    """Write one case of a recording as a file of its own and return it."""
    path = folder / f"{name}-{case}.txt"
    path.write_bytes(parts(unpacked(name, "kmsg"))[case])
    return path
