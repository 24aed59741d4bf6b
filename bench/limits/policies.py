"""Policies that set a limit: what others publish, ported, and simple rules. Each sees only what its limit let it see.

New limits are set in place, without a restart, as Kubernetes does since 1.35.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Protocol

from bench.limits.demand import DAY

MARGIN = 1.15


class Policy(Protocol):
    """A rule that sets a limit. Minutes are minutes of the calendar, sizes MiB."""

    name: str

    def sampled(self, minute: int, levels: list[float]) -> None:
        """Take the levels of the minutes that begin at `minute`."""

    def killed(self, minute: int, limit: float) -> float:
        """Return the limit to go on with after a kill."""

    def reviewed(self, minute: int, limit: float) -> float:
        """Return the limit to go on with, once a day."""


class Factor:
    """Multiplies the limit after each kill, whatever was its cause."""

    def __init__(self, name: str, factor: float) -> None:
        self.name = name
        self._factor = factor

    def sampled(self, minute: int, levels: list[float]) -> None:
        """See `Policy`."""

    def killed(self, minute: int, limit: float) -> float:  # noqa: ARG002 - the seam's name
        """See `Policy`."""
        return limit * self._factor

    def reviewed(self, minute: int, limit: float) -> float:  # noqa: ARG002 - the seam's name
        """See `Policy`."""
        return limit


class Histogram:
    """VPA's histogram of peaks: exponential buckets, first 10 MB, each 5 % wider, weights that halve each day."""

    def __init__(self) -> None:
        self._ends = [1e7]
        width = 1e7
        while self._ends[-1] < 1e12:
            width *= 1.05
            self._ends.append(self._ends[-1] + width)
        self._weights: dict[int, float] = {}

    def add(self, size: float, day: float, sign: int = 1) -> None:
        """Add (or take away) a peak in bytes at a day."""
        place = min(bisect.bisect_right(self._ends, size), len(self._ends) - 1)
        self._weights[place] = self._weights.get(place, 0.0) + sign * 2.0**day

    def percentile(self, share: float) -> float:
        """Return the end of the bucket below which that share of the weight lies, 0 when empty."""
        whole = sum(self._weights.values())
        if whole <= 0:
            return 0.0
        passed = 0.0
        for place in sorted(self._weights):
            passed += self._weights[place]
            if passed >= share * whole:
                return self._ends[place]
        return self._ends[max(self._weights)]


class Vpa:
    """The recommender of kubernetes/autoscaler by its published rules, one replica, request = limit.

    One peak a day, target the 90th percentile + 15 %, at least 250 MiB; after a kill a peak of max(+100 MiB, x1.2) of
    the request. Applied after each kill (quick or not), and daily where it is outside the bounds (50th and 95th
    percentile + 15 %, widened by confidence) or differs by 10 % from the request of a pod older than 12 hours.
    """

    name = "VPA"
    _LEAST = 250 * 2**20
    _WINDOW = 8

    def __init__(self) -> None:
        self._peaks: dict[int, float] = {}
        self._minutes = 0

    def _peak(self, minute: int, size: float) -> None:
        day = minute // DAY
        self._peaks[day] = max(self._peaks.get(day, 0.0), size)

    def sampled(self, minute: int, levels: list[float]) -> None:
        """See `Policy`."""
        self._minutes += len(levels)
        self._peak(minute, max(levels) * 2**20)

    def _percentile(self, share: float, minute: int) -> float:
        histogram, today = Histogram(), minute // DAY
        for day, peak in self._peaks.items():
            if day > today - self._WINDOW:
                histogram.add(peak, day - today)
        return max(histogram.percentile(share) * MARGIN, self._LEAST)

    def killed(self, minute: int, limit: float) -> float:
        """See `Policy`."""
        base = max(limit * 2**20, self._peaks.get(minute // DAY, 0.0))
        self._peak(minute, max(base + 100 * 2**20, base * 1.2))
        return self._percentile(0.9, minute) / 2**20

    def reviewed(self, minute: int, limit: float) -> float:
        """See `Policy`."""
        if not self._peaks:
            return limit
        confidence = max(min(minute / DAY, self._minutes / DAY), 1e-9)
        upper = self._percentile(0.95, minute) * (1 + 1 / confidence) / 2**20
        lower = self._percentile(0.5, minute) * (1 + 0.001 / confidence) ** -2 / 2**20
        target = self._percentile(0.9, minute) / 2**20
        outside = not lower <= limit <= upper
        return target if outside or abs(target - limit) >= 0.1 * limit else limit


class Krr:
    """KRR's `simple` strategy: the highest sample of 14 days + 15 %, from 100 samples and 3 hours on, applied daily.

    With its OOM flag also 25 % above the highest limit that was hit, applied at the kill too.
    """

    _WINDOW = 14
    _FEWEST = 180
    """Minutes of samples: three hours, which are more than the hundred points."""

    def __init__(self, *, oom_flag: bool = False) -> None:
        self.name = "KRR with OOM flag" if oom_flag else "KRR"
        self._flag = oom_flag
        self._days: dict[int, float] = {}
        self._hit: dict[int, float] = {}
        self._count = 0

    def sampled(self, minute: int, levels: list[float]) -> None:
        """See `Policy`."""
        self._count += len(levels)
        day = minute // DAY
        self._days[day] = max(self._days.get(day, 0.0), *levels)

    def _target(self, minute: int, limit: float) -> float:
        first = minute // DAY - self._WINDOW
        peak = max((level for day, level in self._days.items() if day > first), default=0.0)
        hit = max((size for day, size in self._hit.items() if day > first), default=0.0)
        enough = self._count >= self._FEWEST
        wanted = max(MARGIN * peak if enough else 0.0, 1.25 * hit if self._flag else 0.0)
        return wanted or limit

    def killed(self, minute: int, limit: float) -> float:
        """See `Policy`."""
        day = minute // DAY
        self._hit[day] = max(self._hit.get(day, 0.0), limit)
        return max(self._target(minute, limit), limit) if self._flag else limit

    def reviewed(self, minute: int, limit: float) -> float:
        """See `Policy`."""
        return self._target(minute, limit)


def others() -> dict[str, Callable[[], Policy]]:
    """Return a maker for each policy that is not ours."""
    return {
        "static": lambda: Factor("static", 1.0),
        "VPA": Vpa,
        "KRR": Krr,
        "KRR with OOM flag": lambda: Krr(oom_flag=True),
        "always x1.5": lambda: Factor("always x1.5", 1.5),
        "doubling": lambda: Factor("doubling", 2.0),
    }
