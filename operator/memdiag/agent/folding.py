"""Folding: which kills of a container get a full report, and which are counted until one report tells of them all.

Pure: it is told the time of each kill. A container has five kills told in full within any ten minutes; others join a
fold. A fold is told ten minutes after its first kill, or when its container is gone. It is sealed before, so that its
report is the same however often it is made; a later kill begins another fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from memdiag.model.report import MOST_VICTIMS
from memdiag.model.trace import Victim

MOST_FULL = 5
WINDOW_SECONDS = 600.0

FoldKey = tuple[str, str, str, int]
"""Boot, pod UID, container ID, and the ordinal of the first kill that was folded."""


@dataclass(slots=True)
class Fold:
    """Kills of one container that are only counted. Times are Unix seconds."""

    boot_id: str
    pod_uid: str
    container_id: str
    ordinal: int
    """That of its first kill: the ordinal of its report."""
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    victims: list[Victim] = field(default_factory=list)
    """The first victim of each of the newest kills."""
    victim_count: int = 0
    died: bool | None = False
    """Whether the container ended with one of these kills; None when that was not seen."""
    limit_hit: str | None = None
    """What the newest kill hit."""
    sealed: bool = False
    pending: int = 0
    """Kills that belong to it and are not counted yet: their container's fate is waited for."""

    @property
    def key(self) -> FoldKey:
        """Its identity."""
        return self.boot_id, self.pod_uid, self.container_id, self.ordinal

    def add(self, time: float, kills: int, victims: int, victim: Victim | None, died: bool | None) -> None:
        """Count one kill, or several of which no more is known than their number."""
        self.first = min(self.first, time) if self.count else time
        self.last = max(self.last, time) if self.count else time
        self.count += kills
        self.victim_count += victims
        self.died = True if self.died or died else None if died is None else self.died
        if victim is not None:
            self.victims.append(victim)
            del self.victims[:-MOST_VICTIMS]


@dataclass(slots=True)
class Recent:
    """The kills of one container that were told in full of late, by their times, and where others go."""

    full: list[float] = field(default_factory=list)
    fold: Fold | None = None

    def forget(self, now: float) -> None:
        """Forget kills that are ten minutes away."""
        self.full = [time for time in self.full if abs(now - time) < WINDOW_SECONDS]


class Folding:
    """What was told of each container of late, and the folds that are not told yet."""

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self.recent: dict[tuple[str, str], Recent] = {}
        self.folds: dict[FoldKey, Fold] = {}

    def place(self, pod_uid: str, container_id: str, ordinal: int, time: float, kills: int = 1) -> Fold | None:
        """Return the fold that is to count a kill and waits for it from now on; None for one that is told in full.

        `kills` above 1 is a number of kills of which nothing else is known: they are folded whatever came before.
        """
        recent = self.recent.setdefault((pod_uid, container_id), Recent())
        recent.forget(time)
        if kills == 1 and len(recent.full) < MOST_FULL:
            recent.full.append(time)
            return None
        if recent.fold is None or recent.fold.sealed:
            fold = Fold(self._boot_id, pod_uid, container_id, ordinal)
            recent.fold = self.folds[fold.key] = fold
        recent.fold.pending += 1
        return recent.fold

    def restore_full(self, pod_uid: str, container_id: str, time: float) -> None:
        """Take in a kill that was told in full before a restart."""
        recent = self.recent.setdefault((pod_uid, container_id), Recent())
        recent.forget(time)
        recent.full.append(time)

    def restore_fold(self, fold: Fold) -> Fold:
        """Take in a fold of before a restart, perhaps of another boot; returns the one that is known by its key."""
        known = self.folds.setdefault(fold.key, fold)
        if fold.boot_id == self._boot_id:
            self.recent.setdefault((fold.pod_uid, fold.container_id), Recent()).fold = known
        return known

    def due(self, now: float, alive: Callable[[str, str], bool]) -> Iterator[Fold]:
        """Go through the folds that are to be told now; `alive` says whether a container of a pod still is.

        Containers of which nothing was told for ten minutes are forgotten.
        """
        for key, recent in list(self.recent.items()):
            recent.forget(now)
            if not recent.full and (recent.fold is None or recent.fold.key not in self.folds):
                del self.recent[key]
        for fold in list(self.folds.values()):
            if fold.pending or not fold.count:
                continue
            ended = fold.boot_id != self._boot_id or not alive(fold.pod_uid, fold.container_id)
            if fold.sealed or ended or abs(now - fold.first) >= WINDOW_SECONDS:
                yield fold

    def told(self, key: FoldKey) -> None:
        """Forget a fold whose report is in the spool."""
        self.folds.pop(key, None)
