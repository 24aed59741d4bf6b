"""The node's wall clock, and by how much somebody set it: what was measured by the old one is moved to the new one."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_STEP = 2.0
"""Seconds: NTP slews less than this between two readings; a clock that was set jumps."""
_LONGEST_READING = 0.1


def since_boot() -> float:
    """Return the seconds since boot, those that the node slept through included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """Unix seconds beside a clock that nobody sets."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = since_boot) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def read(self) -> tuple[float, float]:
        """Return the Unix seconds of now, and by how many the clock was set since the last call: mostly 0."""
        before = self._steady()
        now = self._wall()
        after = self._steady()
        if after - before > _LONGEST_READING:
            return now, 0.0  # put aside between the two: the next reading tells
        moved = now - after - self._offset
        self._offset += moved
        return now, moved if abs(moved) >= LEAST_STEP else 0.0
