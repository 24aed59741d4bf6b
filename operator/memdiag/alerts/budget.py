"""At most so many messages an hour about one namespace, counted from what the diagnoses themselves remember."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

HOUR = 3600.0
LONGEST_SKEW = 60.0
"""Seconds by which clocks may differ. What is later than that was written by a clock that has been put right since."""


def recent(times: Iterable[float], now: float, seconds: float) -> list[float]:
    """Return the times (Unix seconds) of so many seconds before now, as far as they can be believed."""
    return [moment for moment in times if now - seconds < moment <= now + LONGEST_SKEW]


class Budget:
    """Messages of the last hour by namespace. Noting the same message twice counts it once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: dict[str, set[tuple[str, float]]] = defaultdict(set)

    def note(self, namespace: str, diagnosis: str, times: Iterable[float], now: float) -> None:
        """Take in when messages about a diagnosis were accepted (Unix seconds)."""
        if fresh := recent(times, now, HOUR):
            self._sent[namespace].update((diagnosis, moment) for moment in fresh)

    def free_at(self, namespace: str, now: float) -> float | None:
        """Return when the next message may be sent, None when it may be sent now."""
        sent = self._recent(namespace, now)
        return None if len(sent) < self._most else sorted(sent)[-self._most] + HOUR

    def is_last(self, namespace: str, now: float) -> bool:
        """Say whether the next message uses the budget up."""
        return len(self._recent(namespace, now)) == self._most - 1

    def _recent(self, namespace: str, now: float) -> list[float]:
        kept = {one for one in self._sent.pop(namespace, ()) if recent([one[1]], now, HOUR)}
        if kept:
            self._sent[namespace] = kept
        return [moment for _, moment in kept]
