"""Words for people: durations and times short enough for an axis, and text that neither a terminal nor a page obeys."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_EARLIEST = 1e9
"""Seconds since 1970 (September 2001) below which a time is no calendar time but one that a trace made up."""
_LATEST = 253402300799.0


def short_duration(seconds: float) -> str:
    """Return a duration as kubectl writes ages: 61s, 12m, 2h5m, 3d4h; below ten seconds with a tenth."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole}s"
    for (size, unit), (smaller, small) in pairwise(_UNITS):
        if whole >= size:
            count, rest = divmod(whole, size)
            rest //= smaller
            return f"{count}{unit}{rest}{small}" if rest and count < 10 else f"{count}{unit}"
    return f"{whole}s"


def moment(t: float | None) -> str | None:
    """Return Unix seconds as `2026-11-23 09:30:05 UTC`, None when they are no calendar time."""
    if t is None or not _EARLIEST <= t <= _LATEST:
        return None
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def printable(text: str) -> str:
    r"""Return text with everything that a terminal or a page might obey written out: an escape is `\x1b`.

    Direction marks and line separators count as such: Python calls none of them printable.
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
