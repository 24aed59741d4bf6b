"""The terminal: how wide it is, whether it takes colours and more than ASCII, and a progress bar for long work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TextIO

from memdiag.report.text import Screen

_WIDEST = 120
_UNKNOWN_WIDTH = 80
_BAR = 24
_QUIET = 1.0
"""Seconds before a bar shows: what is done by then needs none."""
_PAUSE = 0.1
_BEYOND_ASCII = "█━✖│└─░▒▓▚╌┄"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN_WIDTH
    except (OSError, ValueError):
        return _UNKNOWN_WIDTH


def _takes_more_than_ascii(stream: TextIO) -> bool:
    try:
        _BEYOND_ASCII.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def screen_of(stream: TextIO, env: Mapping[str, str]) -> Screen:
    """Return what a stream can show: colours only on a terminal, none with NO_COLOR set or TERM=dumb (no-color.org)."""
    plain = not _takes_more_than_ascii(stream)
    if not stream.isatty():
        return Screen(plain=plain)
    colour = not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return Screen(min(_width(stream), _WIDEST), colour=colour, plain=plain)


class Progress:
    """A bar on one line of a terminal, gone at the end; nothing at all where the stream is none, or the work short."""

    def __init__(
        self, stream: TextIO, what: str, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._what, self._total, self._clock = stream, what, total, clock
        self._done, self._began, self._last, self._shown = 0, clock(), 0.0, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()

    def begin(self, what: str, total: int | None) -> None:
        """Turn to the next part of the work."""
        self._what, self._total, self._done, self._last = what, total, 0, 0.0
        self._show()

    def step(self, count: int = 1) -> None:
        """Say that so much more is done."""
        self._done += count
        self._show()

    def clear(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def _show(self) -> None:
        now = self._clock()
        if not self._stream.isatty() or now - self._began < _QUIET or now - self._last < _PAUSE:
            return
        self._last, self._shown = now, True
        if self._total:
            full = _BAR * min(self._done, self._total) // self._total
            bar = f"[{'#' * full}{'.' * (_BAR - full)}] {self._done}/{self._total}"
        else:
            bar = str(self._done)
        self._stream.write(f"\r\x1b[K{self._what}: {bar}")
        self._stream.flush()
