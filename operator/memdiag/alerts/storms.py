"""When many things die at once: new diagnoses of one namespace or one node become one summary instead of many heads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

NODE_DIAGNOSES = 2
"""So many diagnoses of a node that ran out of memory are one matter."""


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs together: diagnoses of one namespace, or of one node that ran out of memory, in one channel."""

    channel: str | None
    namespace: str | None = None
    node: str | None = None


@dataclass(slots=True)
class _Recent:
    times: deque[float]
    summary: float | None = None
    """When the last summary was begun."""


class Storms:
    """Counts new diagnoses. Times are seconds of one clock."""

    def __init__(self, workloads: int, seconds: float) -> None:
        self._workloads = workloads
        self._seconds = seconds
        self._groups: dict[Group, _Recent] = {}

    def is_storm(self, group: Group, fresh: int, now: float) -> bool:
        """Take in that so many diagnoses are new, and say whether they are to be told in a summary."""
        for other in [one for one, found in self._groups.items() if not self._young(found, now)]:
            del self._groups[other]
        found = self._groups.setdefault(group, _Recent(deque(maxlen=self._workloads)))
        found.times.extend([now] * fresh)
        while found.times and found.times[0] <= now - self._seconds:
            found.times.popleft()
        most = self._workloads if group.node is None else NODE_DIAGNOSES
        storm = len(found.times) >= most
        if storm:
            found.summary = now
        return storm

    def summary_until(self, group: Group, now: float) -> float | None:
        """Return until when the last summary stands for what comes after it, None when there is none."""
        found = self._groups.get(group)
        if found is None or found.summary is None or now >= found.summary + self._seconds:
            return None
        return found.summary + self._seconds

    def _young(self, found: _Recent, now: float) -> bool:
        return bool(found.times) and found.times[-1] > now - 2 * self._seconds
