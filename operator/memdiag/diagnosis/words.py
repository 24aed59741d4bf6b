"""Words for numbers: durations and shares as people say them."""

from __future__ import annotations

from memdiag.model.quantity import human_bytes

__all__ = ["duration", "human_bytes", "percent"]

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def duration(seconds: float) -> str:
    """Return a duration in its largest fitting unit: 45 seconds, 3 minutes, 2.5 days."""
    for size, name in _UNITS:
        if seconds >= 1.5 * size or name == "second":
            count = seconds / size
            number = f"{count:.0f}" if count >= 10 or abs(count - round(count)) < 0.05 else f"{count:.1f}"
            return f"{number} {name}{'' if number == '1' else 's'}"
    return ""


def percent(share: float) -> str:
    """Return a share as whole percent."""
    return f"{100 * share:.0f} %"
