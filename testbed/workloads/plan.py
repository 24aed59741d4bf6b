"""What a workload is to do: its command, its limit, its load over the trace, and when it is restarted."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MIB = 2**20

Program = Literal["python", "c", "node", "java", "redis", "postgres"]


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second over a trace of `seconds`: a level with waves, a trend and crowds."""

    level: float
    seconds: float
    wave: float = 0.0
    """Amplitude as a share of the level."""
    period: float = 40.0
    phase: float = 0.0
    ramp: float = 0.0
    """What the end of the trace has more than its begin, as a share of the level."""
    fall: float = 0.0
    """What each stretch of `period` loses until its end, as a share of the level."""
    steps: tuple[float, ...] = ()
    """Factors of the level, each for an equal stretch of the trace."""
    crowd_chance: float = 0.0
    """Of a crowd in any quarter of a second."""
    crowd: tuple[int, int] = (0, 0)

    def rate(self, t: float) -> float:
        """Return the expected requests a second at `t` seconds into the trace."""
        waves = 1 + self.wave * math.sin(2 * math.pi * t / self.period + self.phase)
        trend = 1 + self.ramp * t / self.seconds - self.fall * ((t / self.period) % 1)
        step = self.steps[min(int(t / self.seconds * len(self.steps)), len(self.steps) - 1)] if self.steps else 1.0
        return max(0.2, self.level * waves * trend * step)

    def requests(self, t: float, rng: random.Random) -> int:
        """Return how many requests to send in the quarter of a second at `t`."""
        expected, count, left = self.rate(t) / 4, 0, math.exp(-self.rate(t) / 4)
        product = rng.random()
        while product > left and count < 10 * expected + 10:
            count += 1
            product *= rng.random()
        if rng.random() < self.crowd_chance:
            count += rng.randint(*self.crowd)
        return count


@dataclass(frozen=True, slots=True)
class Plan:
    """One workload with one seed."""

    program: Program
    mode: str
    limit: int
    """Bytes."""
    load: Load
    parameters: Mapping[str, float] = field(default_factory=dict)
    later: Mapping[str, float] = field(default_factory=dict)
    """Parameters of the second revision, which the second run begins."""
    options: tuple[str, ...] = ()
    """Of the runtime."""
    rolled_out_after: float | None = None
    """Seconds until the first run is ended (SIGTERM) by the roll-out of what comes later."""
    limit_before: int | None = None
    """Bytes: what the first run was given, where a roll-out changed it."""
    backs_off: bool = False
    """Whether the pauses between runs become longer, as the kubelet's in a crash loop do."""
    restart_every: float | None = None
    """Seconds between planned restarts (SIGTERM)."""
    kill_after: float | None = None
    """Seconds after each start until SIGKILL from outside."""
    group: bool = True
    """Whether the whole container dies with one of its processes (memory.oom.group)."""
    tmpfs: bool = False
    """Whether the container has a tmpfs of its own at /media."""
    keeps_data: bool = False
    """Whether its data outlive a restart."""
    calendar: bool = False
    """Whether the program is told when the trace began (`since`)."""
    reads: bool = False
    """Whether it is told the path of a large file (`file`)."""
    neighbour: Mapping[str, float] = field(default_factory=dict)
    """Parameters of a protected neighbour, under one ancestor whose limit is `ancestor_limit` where that is known."""
    ancestor_limit: int | None = None
    node_memory: int | None = None
    """Bytes of a node of its own, where the neighbour is outside the pods and takes what the node has."""

    @property
    def seconds(self) -> float:
        """How long the trace is."""
        return self.load.seconds
