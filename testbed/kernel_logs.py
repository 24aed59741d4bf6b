"""Recordings of what real kernels print when they kill: the matrix of OOM kills, run and put among the fixtures.

A recording is a folder: `kmsg.xz` (records of /dev/kmsg), `syslog.xz` (the same ring by syslog(2)), `truth.xz` (who
died, and the cgroups' counters before and after: see testbed/matrix/init), `about.json` (which kernel), and, for one of
them, what dmesg makes of the first kills in its formats (`dmesg*.text.xz`). What the kernel said before the first case
is cut off: it tells of the machine.
"""

from __future__ import annotations

import json
import lzma
import shutil
import tempfile
from pathlib import Path

from testbed import kernel, matrix_guest, preflight
from testbed.cache import REPOSITORY
from testbed.matrix_guest import DISTRIBUTIONS, Recording
from testbed.shell import TestbedError

FIXTURES = REPOSITORY / "tests" / "kernel" / "fixtures" / "recorded"
_LOGS = ("kmsg", "syslog")
_FIRST = b"case container-limit"


def names() -> list[str]:
    """Return what can be recorded: kernel series, then distributions."""
    return [*kernel.SOURCES, *DISTRIBUTIONS]


def _from_first_case(data: bytes, name: str) -> bytes:
    at = data.find(_FIRST)
    if at < 0:
        raise TestbedError(
            f"the recording's {name} has no first case: the ring was too small, or the guest said nothing"
        )
    return data[data.rfind(b"\n", 0, at) + 1 :]


def write(name: str, recording: Recording, folder: Path) -> None:
    """Write a recording's files, whole or not at all. Raises TestbedError when the kernel's log is cut."""
    logs = {key: data for key, data in recording.files.items() if key in _LOGS or key.endswith(".text")}
    packed = {f"{key}.xz": _from_first_case(data, key) for key, data in logs.items()}
    packed["truth.xz"] = recording.files["truth"]
    about = {
        "name": name,
        "release": recording.files["release"].decode().strip(),
        "package": recording.package,
        "kills_counted": int(recording.files["vmstat"].split()[1]),
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for key, data in packed.items():
        (folder / key).write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")


def record(name: str, fixtures: Path = FIXTURES) -> str:
    """Run the matrix on a series or a distribution and write its fixtures; return a sentence about it."""
    with tempfile.TemporaryDirectory(prefix="memdiag-matrix-") as work:
        if name in DISTRIBUTIONS:
            preflight.install_packages({"qemu-system-x86_64": "qemu-system-x86"})
            recording = matrix_guest.run_distribution(name, Path(work))
        else:
            recording = matrix_guest.run_series(name, Path(work))
    folder = fixtures / name
    write(name, recording, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    kills = recording.files["kmsg"].count(b"Killed process")
    return f"{name}: {kills} lines of kills, {size // 1024} KiB in {folder.relative_to(fixtures.parent)}"
