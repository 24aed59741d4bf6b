"""At most so many messages an hour about one namespace, counted from what the diagnoses themselves remember."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

HOUR = 3600.0


class Budget:
    """Messages of the last hour by namespace. Noting the same message twice counts it once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: dict[str, set[tuple[str, float]]] = defaultdict(set)

    def note(self, namespace: str, diagnosis: str, times: Iterable[float], now: float) -> None:
        """Take in when messages about a diagnosis were accepted (Unix seconds)."""
        for moment in times:
            if moment > now - HOUR:
                self._sent[namespace].add((diagnosis, moment))

    def free_at(self, namespace: str, now: float) -> float | None:
        """Return when the next message may be sent, None when it may be sent now."""
        recent = self._recent(namespace, now)
        return None if len(recent) < self._most else sorted(recent)[-self._most] + HOUR

    def is_last(self, namespace: str, now: float) -> bool:
        """Say whether the next message uses the budget up."""
        return len(self._recent(namespace, now)) == self._most - 1

    def _recent(self, namespace: str, now: float) -> list[float]:
        kept = {one for one in self._sent.pop(namespace, ()) if one[1] > now - HOUR}
        if kept:
            self._sent[namespace] = kept
        return [moment for _, moment in kept]
