"""Long-running processes of a testbed: started with a record of who they are, ended by that record and nothing else.

A record holds process id and start time, so that a number which the system gave to somebody else since is left alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


def _start_time(pid: int) -> str | None:
    """Return the kernel's start time of a live process (field 22 of /proc/PID/stat), None when it is gone.

    A process is live as long as one of its threads is (field 20): its first may be dead (`Z`) while another, still on
    its way out, holds the files of both and with them a server's port.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" and int(rest[16]) <= 1 else rest[18]


@dataclass(frozen=True)
class Process:
    """One process of a testbed by the folder that holds its record and its log."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def _record(self) -> Path:
        return self.folder / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        try:
            number, started = self._record.read_text().split()
        except (OSError, ValueError):
            return None
        return int(number) if _start_time(int(number)) == started else None

    def start(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start it, in a session of its own; its former log is replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        # the handle would warn when it is collected while the process lives on, as it shall
        process.returncode = 0
        self._record.write_text(f"{process.pid} {_start_time(process.pid)}\n")

    def stop(self, grace: float = 10) -> None:
        """End it and its session: SIGTERM, and SIGKILL after the grace; nothing happens when it does not run."""
        pid = self.pid
        if pid is not None:
            _signal_session(pid, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while self.pid is not None and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(0.05)
            if self.pid is not None:
                _signal_session(pid, signal.SIGKILL)
                while self.pid is not None:
                    _reap(pid)
                    time.sleep(0.02)
            _reap(pid)
        self._record.unlink(missing_ok=True)


def _signal_session(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
