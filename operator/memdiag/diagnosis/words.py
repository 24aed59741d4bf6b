"""Words for numbers: durations, days, shares and names as people say them."""

from __future__ import annotations

from memdiag.model.quantity import human_bytes

__all__ = ["day", "duration", "human_bytes", "name", "pace", "percent"]

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))
_LONGEST_NAME = 80
_EARLIEST = 1e9
"""Seconds since 1970 (September 2001) below which a time is no calendar time but one that a trace made up."""
_LATEST = 253402300799.0


def duration(seconds: float) -> str:
    """Return a duration in its largest fitting unit: 45 seconds, 3 minutes, 2.5 days."""
    for size, unit in _UNITS:
        if seconds >= 1.5 * size or unit == "second":
            count = seconds / size
            number = f"{count:.0f}" if count >= 10 or abs(count - round(count)) < 0.05 else f"{count:.1f}"
            return f"{number} {unit}{'' if number == '1' else 's'}"
    return ""


def percent(share: float) -> str:
    """Return a share as whole percent."""
    return f"{100 * share:.0f} %"


def pace(bytes_a_second: float) -> str:
    """Return a rise in the shortest of minute, hour and day that makes a size of at least 1 MiB."""
    for seconds, unit in ((60, "a minute"), (3600, "an hour"), (86400, "a day")):
        if abs(bytes_a_second) * seconds >= 2**20 or unit == "a day":
            return f"{human_bytes(bytes_a_second * seconds)} {unit}"
    return ""


def day(t: float) -> str | None:
    """Return the UTC day and minute of Unix seconds as `2026-11-23 09:30 UTC`, None when it is no calendar time.

    Days to a date of the Gregorian calendar as in the Julian day number's inverse (Fliegel and van Flandern 1968).
    """
    if not _EARLIEST <= t <= _LATEST:
        return None
    days, rest = divmod(int(t), 86400)
    count = days + 2440588 + 68569
    century = 4 * count // 146097
    count -= (146097 * century + 3) // 4
    year = 4000 * (count + 1) // 1461001
    count += 31 - 1461 * year // 4
    month = 80 * count // 2447
    date = count - 2447 * month // 80
    year, month = 100 * (century - 49) + year + month // 11, month + 2 - 12 * (month // 11)
    return f"{year:04}-{month:02}-{date:02} {rest // 3600:02}:{rest % 3600 // 60:02} UTC"


def name(text: str) -> str:
    """Return somebody's name for a thing, bounded and without anything that a terminal or a chat would obey."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in " ./_:-") else "?" for letter in text)
    return kept[:_LONGEST_NAME]
