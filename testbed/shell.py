"""Run a program with its output in a log file and a bounded time; a failure shows the log's tail."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TAIL_LINES = 25


class TestbedError(Exception):
    """A step failed; the message says which, why and what to do, and is all that a user sees."""

    __test__ = False


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, indented; a missing log is said to be missing."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return f"  (no log at {log})"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    timeout: float = 600,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> None:
    """Run to its end, output appended to `log`. Raises TestbedError with the log's tail on failure or time-out."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("a") as out:
        out.write(f"$ {' '.join(words)}\n")
        out.flush()
        try:
            done = subprocess.run(
                words,
                stdout=out,
                stderr=subprocess.STDOUT,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                text=True,
                timeout=timeout,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                check=False,
            )
        except FileNotFoundError as error:
            raise TestbedError(f"{words[0]} is not installed (command: {' '.join(words)})") from error
        except subprocess.TimeoutExpired as error:
            raise TestbedError(f"{words[0]} did not end within {timeout:.0f} s; {log} ends:\n{tail(log)}") from error
    if done.returncode != 0:
        raise TestbedError(f"{words[0]} failed with status {done.returncode}; {log} ends:\n{tail(log)}")


def capture(command: Sequence[str | Path], *, timeout: float = 60, env: Mapping[str, str] | None = None) -> str:
    """Return a program's standard output. Raises TestbedError with its standard error on failure or time-out."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{' '.join(words)} did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise TestbedError(f"{' '.join(words)} failed with status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


def wait_for(what: str, ready: Callable[[], bool], *, timeout: float, log: Path | None, interval: float = 0.3) -> None:
    """Wait until `ready()` is true. Raises TestbedError that names `what` and shows the log's tail after `timeout`."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            shown = f"; {log} ends:\n{tail(log)}" if log else ""
            raise TestbedError(f"{what}: not there after {timeout:.0f} s{shown}")
        time.sleep(interval)
