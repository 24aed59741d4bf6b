"""`memdiag run`: runs a command under a memory limit of its own, watches it, and says why it died."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal

from memdiag.cli import scope
from memdiag.cli.diagnose import to_object
from memdiag.cli.offline import finding_of
from memdiag.cli.record import Recorder, below, interval, record
from memdiag.cli.terminal import screen_of
from memdiag.diagnosis import diagnose
from memdiag.kernel.klog import KernelLog
from memdiag.kernel.reader import CgroupReader
from memdiag.model.quantity import parse_bytes
from memdiag.model.runtime import heap_settings
from memdiag.model.trace import Trace
from memdiag.model.tracefile import dump, header_line, parse
from memdiag.report.text import Screen, text

_EXAMPLE = """
Needs cgroup v2 and the right to make a cgroup: root, or a delegated one.

  memdiag run --memory 128Mi -- python app.py
  memdiag run --memory 512Mi --runs 3 --record app.jsonl -- java -jar app.jar
  systemd-run --user --scope -p Delegate=yes memdiag run --memory 128Mi -- node server.js

Two lives tell more than one: whether a restart makes memory small again tells a leak from growing data.
The command's own output and exit status are left alone (137 when the kernel killed it); the diagnosis goes to standard
error, or to the file of --output. Exit status 2: nothing was run, and standard error says why.
"""
_CANNOT = 2
_LINES_OF_A_LIFE = 2
"""Lines of a trace from which on it holds more than its header."""
_NOT_FOUND = 127
_START = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
_GRACE = 2.0
_PAUSE = 0.02
_SIGNALLED = 128
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    add = parser.add_argument
    add("--memory", type=_size, required=True, metavar="SIZE", help="the limit, as 128Mi, 1Gi or bytes")
    add("--swap", type=_size, default=0, metavar="SIZE", help="swap beside it (default: 0, as Kubernetes has it)")
    add("--runs", type=_runs, default=1, metavar="N", help="start it again after a kill, N lives in all (default: 1)")
    add("--interval", type=interval, default=1.0, metavar="SECONDS", help="between two samples (default: 1)")
    add("--record", metavar="FILE", help="keep the trace for `memdiag diagnose`, never over a file")
    add("-o", "--format", choices=("text", "json"), default="text", help="of the diagnosis (default: text)")
    add("--output", metavar="FILE", help="where the diagnosis is written (default: standard error)")
    add("--parent", type=_folder, metavar="PATH", help="the cgroup to make it in (default: the root, else one's own)")
    add(
        "--mount",
        type=_folder,
        default=scope.MOUNT,
        metavar="PATH",
        help="cgroup v2's mount point (default: %(default)s)",
    )
    add("words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="what is run, with its arguments")


def _size(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a size such as 128Mi, 1Gi or 134217728") from None


def _folder(text: str) -> Path:
    return Path(text).resolve()


def _runs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to 1000")
    return int(text)


class _Life:
    """One start of the command in a cgroup of its own, recorded until it is over."""

    def __init__(self, made: scope.Scope, mount: Path, words: Sequence[str]) -> None:
        self._made = made
        self._name = made.path.name
        self._reader = CgroupReader(str(made.path))
        path, rooted = below(made.path, mount)
        self._recorder = Recorder(self._reader, path, "/proc", KernelLog(), rooted=rooted)
        self._recorder.mark()
        self._started = time.time()
        self._process = subprocess.Popen(["sh", "-c", _START, str(made.path), *words])
        self.killed = False
        self.code = 0
        limit = time.monotonic() + _GRACE
        while not self._recorder.living() and self._process.poll() is None and time.monotonic() < limit:
            time.sleep(_PAUSE)  # an empty cgroup is one that is over

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        # as in a container, what its first process leaves behind ends with it
        with contextlib.suppress(OSError):
            (self._made.path / "cgroup.kill").write_text("1", encoding="ascii")
        limit = time.monotonic() + _GRACE
        while self._recorder.living() and time.monotonic() < limit:
            time.sleep(_PAUSE)
        return False

    def watch(self, every: float, write: Callable[[dict[str, Any]], None]) -> None:
        """Record it, a sample each so many seconds; returns when it is over."""

        def line(pairs: dict[str, Any]) -> None:
            if pairs["type"] == "run_started":
                pairs = {**pairs, "t": round(self._started, 3), "container_id": self._name}
            elif pairs["type"] == "run_ended":
                code = self._process.wait()
                self.code = _SIGNALLED - code if code < 0 else code
                self.killed = pairs.get("killed") is True
                pairs = {**pairs, "exit_code": self.code, "container_id": self._name}
            if pairs["type"] != "header":
                write(pairs)

        try:
            record(self._recorder, line, every, self._wait)
        finally:
            self._reader.close()


class _Runs:
    """The lives of one command, one after another while the kernel kills it."""

    def __init__(self, arguments: argparse.Namespace, words: Sequence[str]) -> None:
        self._arguments, self._words = arguments, words
        self._now: _Life | None = None
        self._stopped = False
        self.lines: list[str] = []

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Begin no further life, and pass the signal on, unless the terminal has already sent it to both."""
        self._stopped = True
        if self._now is not None and not (number == signal.SIGINT and sys.stdin.isatty()):
            self._now.signal(number)

    def _write(self, file: IO[str] | None, pairs: dict[str, Any]) -> None:
        text = dump(pairs)
        self.lines.append(text)
        if file is None or file.closed:
            return
        try:
            file.write(text)
            file.flush()
        except OSError as error:  # a full disk is no reason to end the command, or to say nothing of it
            with contextlib.suppress(OSError):
                file.close()
            print(f"memdiag run: --record {file.name}: {error.strerror}: the trace ends there", file=sys.stderr)

    def live(self, parent: scope.Parent, file: IO[str] | None) -> int:
        """Run it as often as is asked; return the last exit status. Raises ScopeError."""
        arguments = self._arguments
        program = Path(self._words[0]).name
        runtime = heap_settings(dict(os.environ), self._words)
        trace = Trace((), container=program, limit_bytes=arguments.memory, runtime=runtime)
        self._write(file, header_line(trace))
        code = 0
        for number in range(1, arguments.runs + 1):
            made = parent.scope(f"memdiag-run-{os.getpid()}-{number}", arguments.memory, arguments.swap)
            try:
                self._now = life = _Life(made, arguments.mount, self._words)
                life.watch(arguments.interval, lambda pairs: self._write(file, pairs))
            finally:
                made.end()
            code = life.code
            if not life.killed or self._stopped:
                break
            if number < arguments.runs:
                print(f"memdiag run: killed, life {number} of {arguments.runs}; starting it again", file=sys.stderr)
        return code


def _tell(arguments: argparse.Namespace, name: str, lines: Sequence[str], output: IO[str] | None) -> None:
    trace = parse(lines, name)
    found = diagnose(trace)
    screen = screen_of(sys.stderr, os.environ) if output is None else Screen()
    said = (
        json.dumps(to_object(name, found))
        if arguments.format == "json"
        else text(finding_of(name, trace, found), screen)
    )
    print(said, file=output or sys.stderr)


def _opened(
    option: str, name: str | None, mode: Literal["x", "w"]
) -> contextlib.AbstractContextManager[IO[str] | None]:
    """Open what is to be written before anything is run: a diagnosis must not be lost at the end of a long run."""
    if name is None:
        return contextlib.nullcontext()
    try:
        return Path(name).open(mode, encoding="utf-8")
    except OSError as error:
        raise scope.ScopeError(f"{option} {name}: {error.strerror}") from None


def _lived(arguments: argparse.Namespace, runs: _Runs, file: IO[str] | None) -> int:
    """Run the command and return its exit status. Raises ScopeError."""
    parent = scope.parent(arguments.parent, arguments.mount)
    before = {number: signal.signal(number, runs.stop) for number in _FORWARDED}
    try:
        return runs.live(parent, file)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        parent.leave()


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status, or say why it cannot be run."""
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        print("memdiag run: no command: memdiag run --memory 128Mi -- COMMAND ...", file=sys.stderr)
        return _CANNOT
    if shutil.which(words[0]) is None:
        print(f"memdiag run: {words[0]}: no such command", file=sys.stderr)
        return _NOT_FOUND
    runs = _Runs(arguments, words)
    try:
        with _opened("--record", arguments.record, "x") as file:
            try:
                with _opened("--output", arguments.output, "w") as output:
                    code = _lived(arguments, runs, file)
                    _tell(arguments, Path(words[0]).name, runs.lines, output)
            except scope.ScopeError:
                if file is not None and len(runs.lines) < _LINES_OF_A_LIFE:
                    Path(arguments.record).unlink()  # it is not to stand in the way of the next try
                raise
    except scope.ScopeError as error:
        print(f"memdiag run: {error}", file=sys.stderr)
        return _CANNOT
    return code
