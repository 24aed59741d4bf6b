"""Replay: a policy's limit against known demand, minute by minute, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.limits.demand import DAY, Demand
from bench.limits.policies import Policy
from memdiag.model.verdict import Cause

DOWN = 5
"""Minutes that a kill costs."""
_PART = 60
STABLE = 3 * DAY
"""Minutes without a kill at the end, from which on a limit counts as found."""


@dataclass(slots=True)
class Outcome:
    """What came of one policy on one demand. Sizes are MiB, times minutes."""

    family: str
    policy: str
    minutes: int
    leak: bool
    kills: list[int] = field(default_factory=list)
    changes: int = 0
    last_limit: float = 0.0
    given: float = 0.0
    """MiB times minutes, failed attempts and the time down included."""
    slack: list[float] = field(default_factory=list)
    """Share of the limit that was not used, hour by hour, of the time up."""

    @property
    def free_days(self) -> float:
        """Return the share of days without a kill."""
        days = self.minutes // DAY
        return 1 - len({kill // DAY for kill in self.kills if kill < days * DAY}) / days

    @property
    def mean_slack(self) -> float | None:
        """Return the mean slack, None when it was never up for an hour."""
        return sum(self.slack) / len(self.slack) if self.slack else None

    @property
    def high_slack(self) -> float | None:
        """Return the 95 % point of slack."""
        return sorted(self.slack)[int(0.95 * (len(self.slack) - 1))] if self.slack else None

    @property
    def gib_hours(self) -> float:
        """Return the memory given, in GiB times hours."""
        return self.given / 1024 / 60

    @property
    def until_stable(self) -> int | None:
        """Return how many kills there were until the limit was found, None when it never was."""
        found = not self.kills or self.kills[-1] < self.minutes - STABLE
        return len(self.kills) if found else None


def replay(demand: Demand, policy: Policy) -> Outcome:
    """Return what comes of a policy on a demand."""
    count = len(demand.calendar)
    found = Outcome(demand.family, policy.name, count, demand.cause is Cause.LEAK)
    minute, born, limit = 0, 0, demand.first_limit
    today = 0
    while minute < count:
        end = min(count, (minute // _PART + 1) * _PART)
        levels = demand.of(minute, end, born)
        over = (
            next((place for place, level in enumerate(levels) if level > limit), None) if max(levels) > limit else None
        )
        held = levels if over is None else levels[:over]
        if held:
            policy.sampled(minute, held)
            found.slack.append(1 - sum(held) / len(held) / limit)
        if over is None:
            found.given += limit * (end - minute)
            minute = end
        else:
            found.given += limit * (over + DOWN)
            minute += over
            found.kills.append(minute)
            limit = _set(found, limit, policy.killed(minute, limit))
            minute += DOWN
            born = minute
        if minute // DAY > today:
            today = minute // DAY
            limit = _set(found, limit, policy.reviewed(minute, limit))
    found.last_limit = limit
    return found


def _set(found: Outcome, limit: float, wanted: float) -> float:
    if abs(wanted - limit) > 1e-6 * limit:
        found.changes += 1
    return wanted
