"""memdiag as a policy: diagnose at each kill, apply what is recommended, and look again after clean days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.limits.demand import DAY
from bench.limits.replay import DOWN
from memdiag.diagnosis import diagnose
from memdiag.diagnosis.clamps import for_a_time
from memdiag.diagnosis.features import measure
from memdiag.diagnosis.recommendation import ADVICE
from memdiag.model.surroundings import Surroundings
from memdiag.model.trace import Level, Run, RunEnd, Sample, Trace
from memdiag.model.verdict import Action, Cause, Diagnosis, Recommendation

OURS = "memdiag"
UNTRIED = "memdiag, nothing tried"
_MIB = 2**20
_BEGIN = 1.7e9
_MOST_LIVES = 12
_FINE_MINUTES = 240
"""The last minutes of a life are kept one by one; earlier, the least and the largest of each part."""
_PART = 15
_SHORT = 60
"""A life shorter than so many minutes is known every ten seconds: the agent samples each second."""
_TENTHS = 6
_PATIENCE = 10
"""From so many kills on without another limit, only each power of two of them is diagnosed."""
_REVIEW_DAYS = 7


@dataclass(slots=True)
class _Life:
    begin: int
    limit: float
    levels: list[float] = field(default_factory=list)
    limits: list[tuple[int, float]] = field(default_factory=list)
    """From which minute of the life on which limit was in force."""
    end: int | None = None
    killed_at: float = 0.0


def _kept(life: _Life) -> Iterator[tuple[float, float]]:
    """Yield minute of the life and level as memdiag's history keeps them."""
    levels, count = life.levels, len(life.levels)
    if count <= _SHORT:
        for place, level in enumerate(levels):
            following = levels[place + 1] if place + 1 < count else life.killed_at if life.end is not None else level
            for tenth in range(_TENTHS):
                yield place + tenth / _TENTHS, level + (following - level) * tenth / _TENTHS
        return
    fine = max(0, count - _FINE_MINUTES) // _PART * _PART
    for first in range(0, fine, _PART):
        part = levels[first : first + _PART]
        for place in sorted({part.index(min(part)), part.index(max(part))}):
            yield first + place, part[place]
    for place in range(fine, count):
        yield place, levels[place]


class Memdiag:
    """The policy. A leak's stop-gap is applied once, and so is the limit that an unclear kill is to be tried with.

    With `told` the true cause is told, and only the recommendation is memdiag's: what it could be at best. Without
    `tries` nobody tries anything.
    """

    def __init__(
        self, first_limit: float, load: Sequence[float] | None, told: Cause | None = None, *, tries: bool = True
    ) -> None:
        self.name = f"{OURS}, cause told" if told is not None else OURS if tries else UNTRIED
        self._told = told
        self._to_try = tries
        self._limit = first_limit
        self._load = load
        self._lives: list[_Life] = []
        self._same = 0
        self._changed = 0
        self._had_stop_gap = False
        self.said: list[Diagnosis] = []
        """Every diagnosis, for those who look into errors."""
        self._busy: list[float] = [0.0]
        for used in load or ():
            self._busy.append(self._busy[-1] + 60 * used)

    def _living(self, minute: int, limit: float) -> _Life:
        if not self._lives or self._lives[-1].end is not None:
            self._lives = [*self._lives[-_MOST_LIVES + 1 :], _Life(minute, limit, limits=[(0, limit)])]
        return self._lives[-1]

    def sampled(self, minute: int, levels: list[float]) -> None:
        """See `Policy`."""
        self._living(minute, self._limit).levels.extend(levels)

    def _seconds_busy(self, minute: float) -> float:
        if self._load is None:
            return minute * 60 * 0.2
        place = min(int(minute), len(self._busy) - 2)
        return self._busy[place] + (self._busy[place + 1] - self._busy[place]) * (minute - place)

    def _run(self, life: _Life) -> Run:
        peak, place, samples = 0.0, 0, []
        started = _BEGIN + 60 * life.begin
        at_begin = self._seconds_busy(life.begin)
        for minute, level in _kept(life):
            peak = max(peak, level)
            while place + 1 < len(life.limits) and life.limits[place + 1][0] <= minute:
                place += 1
            size = int(level * _MIB)
            found = Level(
                current=size,
                peak=int(peak * _MIB),
                max=int(life.limits[place][1] * _MIB),
                swap_current=0,
                stat={"anon": size, "file": 0, "shmem": 0, "kernel": 0},
                cpu={"usage_usec": int((self._seconds_busy(life.begin + minute) - at_begin) * 1e6)},
            )
            samples.append(Sample(started + 60 * minute, found))
        end = None
        if life.end is not None:
            limit = int(life.killed_at * _MIB)
            level_ = Level(peak=limit, max=limit, events={"oom": 1, "oom_kill": 1})
            end = RunEnd(_BEGIN + 60 * life.end, 137, "OOMKilled", level_, killed=True)
        return Run(f"c{life.begin}", started, "image", "r1", tuple(samples), end=end)

    def _trace(self) -> Trace:
        size = int(self._limit * _MIB)
        runs = tuple(self._run(life) for life in self._lives)
        return Trace(runs, "shop", "pod", "app", "Deployment", "app", "node", size, size)

    def _advice(self) -> Recommendation:
        trace = self._trace()
        if self._told is not None and any(life.end is not None for life in self._lives):
            return ADVICE[self._told](measure(trace, (), None, Surroundings()))
        found = diagnose(trace)
        self.said.append(found)
        return found.recommendation

    def _apply(self, minute: int, wanted: float) -> float:
        if wanted != self._limit:
            self._same, self._changed = 0, minute
            if self._lives and self._lives[-1].end is None:
                self._lives[-1].limits.append((minute - self._lives[-1].begin, wanted))
        self._limit = wanted
        return wanted

    def killed(self, minute: int, limit: float) -> float:
        """See `Policy`."""
        life = self._living(minute, limit)
        life.end, life.killed_at = minute, limit
        self._same += 1
        if self._same > _PATIENCE and self._same & (self._same - 1):
            return limit
        advice = self._advice()
        if advice.action is Action.FIX_LEAK:
            if advice.stop_gap is None or self._had_stop_gap:
                return limit
            self._had_stop_gap = True
            return self._apply(minute + DOWN, advice.stop_gap.limit_bytes / _MIB)
        if self._proposes_a_trial():
            trial = for_a_time(measure(self._trace(), (), None, Surroundings()))
            if trial is not None:
                self._to_try = False
                return self._apply(minute + DOWN, trial / _MIB)
        return self._apply(minute + DOWN, limit if advice.limit_bytes is None else advice.limit_bytes / _MIB)

    def _proposes_a_trial(self) -> bool:
        unclear = bool(self.said) and self.said[-1].cause is Cause.INCONCLUSIVE
        return unclear and self._to_try and not self._had_stop_gap

    def reviewed(self, minute: int, limit: float) -> float:
        """See `Policy`: a limit comes down when a weekly look says so, for the first time after a week and a day."""
        days = (minute - self._changed) // DAY
        if days <= _REVIEW_DAYS or days % _REVIEW_DAYS != 1:
            return limit
        advice = self._advice()
        if advice.action is not Action.LOWER_LIMIT or advice.limit_bytes is None:
            return limit
        return self._apply(minute, advice.limit_bytes / _MIB)
