"""Whether a living container's demand will reach its limit within the hour: pure, on the rows of its history.

The window is the last hour, cut into twelve parts. What counts is the floor: the lowest demand of each part, so that a
burst is no trend and garbage that is collected is none either. It must rise nearly all the time, by a twentieth of the
limit or more, and in the newer half still at least half as fast as in the whole: what comes to rest on a plateau does
not. The first minute of a life is left out, for a program's start rises too, and nothing is foretold for longer than
four times what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from memdiag.model.trend import Trend

HORIZON_SECONDS = 3600.0
WINDOW_SECONDS = 3600.0
LEAST_SECONDS = 300.0
"""Shorter than this, nothing is foretold."""
START_SECONDS = 60.0
PARTS = 12
FEWEST_PARTS = 9
LEAST_RISE = 0.05
STEADY = 0.8
"""Share of the steps from part to part that must not fall."""
FARTHEST = 4.0
_FIRST_TENTH, _LAST_TENTH = 0.1, 0.9


def _slopes(points: Sequence[tuple[float, int]]) -> list[float]:
    return sorted(
        (later - earlier) / (end - begin)
        for index, (begin, earlier) in enumerate(points)
        for end, later in points[index + 1 :]
        if end > begin
    )


def _floor(points: Sequence[tuple[float, int]], begin: float, width: float) -> list[tuple[float, int]]:
    """Return time and size of the lowest demand of each part."""
    lowest: dict[int, tuple[float, int]] = {}
    for time, demand in points:
        part = min(int((time - begin) / width), PARTS - 1)
        if part not in lowest or demand < lowest[part][1]:
            lowest[part] = (time, demand)
    return [lowest[part] for part in sorted(lowest)]


def _steady(floor: Sequence[tuple[float, int]]) -> bool:
    steps = [later[1] >= earlier[1] for earlier, later in pairwise(floor)]
    return sum(steps) >= STEADY * len(steps)


def trend_to_limit(
    times: Sequence[float], demands: Sequence[int | None], limit: int, started: float | None = None
) -> Trend | None:
    """Return the trend by which demand (bytes at Unix seconds, oldest first) reaches `limit` within the hour.

    None when it does not, or when too little was seen.
    """
    end = times[-1] if times else 0.0
    after = max(end - WINDOW_SECONDS, -1.0 if started is None else started + START_SECONDS)
    kept = [
        (time, demand)
        for time, demand in zip(times, demands, strict=True)
        if time >= after and demand is not None and demand <= limit
    ]
    if not kept or end - kept[0][0] < LEAST_SECONDS or kept[-1][1] - kept[0][1] < LEAST_RISE * limit / 2:
        return None
    begin = kept[0][0]
    window = end - begin
    floor = _floor(kept, begin, window / PARTS)
    if len(floor) < FEWEST_PARTS or floor[-1][1] - floor[0][1] < LEAST_RISE * limit or not _steady(floor):
        return None
    slopes, newer = _slopes(floor), _slopes(floor[len(floor) // 2 :])
    slope = slopes[len(slopes) // 2]
    if slope <= 0 or newer[len(newer) // 2] < slope / 2:
        return None
    demand = max(size for time, size in kept if time >= end - window / PARTS)
    left = float(limit - demand)
    seconds = left / slope
    if seconds > min(HORIZON_SECONDS, FARTHEST * window):
        return None
    slow, fast = slopes[int(_FIRST_TENTH * (len(slopes) - 1))], slopes[round(_LAST_TENTH * (len(slopes) - 1))]
    return Trend(
        demand=demand,
        limit=limit,
        slope=slope,
        seconds_to_limit=seconds,
        low=left / fast,
        high=left / slow if slow > 0 else None,
        window=window,
    )
