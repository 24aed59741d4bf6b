"""The ledger: an append-only, synced file with one line for every kill that was told, so that none is told twice.

A line names the kill by the kernel log (time stamp and first victim), gives its ordinal among its container's kills
since the node booted, how far the cgroups' counters are accounted for, and the fold that counts it. At start, and when
it is long, the file is written anew from what it says. Of another boot only folds that were not told yet are kept.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from memdiag.agent import durable
from memdiag.agent.folding import Fold, Folding
from memdiag.agent.log import log
from memdiag.model.kill import OomReport
from memdiag.model.trace import Victim

MOST_LINES = 40_000
MOST_REMEMBERED = 20_000
"""Containers with kills, pods with kills, and kills of the log that are remembered: more than any ring holds."""
_KEYS_A_LINE = 200
_LINES_UNTIL_NEXT_TRY = 1000

Key = tuple[float | None, int | None]
"""A kill in the kernel log: seconds since boot of its first `Killed process` line, and that victim's pid."""
_K = TypeVar("_K")
_V = TypeVar("_V")


def key_of(kill: OomReport) -> Key | None:
    """Return a kill's key, None for one that stands in no log."""
    if not kill.lines:
        return None
    return (kill.time, kill.victims[0].pid if kill.victims else None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One kill that was told. Counters are the cgroups' oom_kill that this and earlier kills account for."""

    pod_uid: str
    container_id: str
    ordinal: int
    key: Key | None
    events: int
    """By how much this kill raised oom_kill."""
    leaf_told: int
    pod_told: int
    time: float = 0.0
    """Unix seconds of the kill."""
    fold: int | None = None
    """The ordinal of the fold that counts it, None for a kill that was told in full."""
    kills: int = 1
    """How many kills it stands for: more than one only in a fold."""
    victims: int = 0
    victim: Victim | None = None
    """The first victim, where the fold counts it."""
    died: bool | None = None
    limit_hit: str | None = None


@dataclass(slots=True)
class _Known:
    """What is remembered of one container."""

    ordinal: int = 0
    told: int = 0
    blind: int = 0
    """Kills that only the counters told of."""
    blind_time: float = 0.0
    """When the newest of them was told, Unix seconds."""
    spoken: int = 0
    """Of these, kills that this life of the agent has found in the log."""


def _keep_newest(mapping: dict[_K, _V]) -> None:
    while len(mapping) > MOST_REMEMBERED:
        del mapping[next(iter(mapping))]


def _victim(pairs: Mapping[str, Any] | None) -> Victim | None:
    return None if pairs is None else Victim(**pairs)


def _pairs(victim: Victim | None) -> dict[str, Any] | None:
    return None if victim is None else {key: value for key, value in asdict(victim).items() if value is not None}


def _key(value: list[Any] | None) -> Key | None:
    if value is None:
        return None
    time, pid = value
    return (None if time is None else float(time), None if pid is None else int(pid))


class Ledger:
    """The kills of this boot that were told."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Read the ledger and drop what another boot left. Raises OSError when the file cannot be opened to be written.

        On a full disk the file goes on as it is.
        """
        self._path = path
        self._boot_id = boot_id
        self._lines = 0
        self._cut_at = MOST_LINES
        self._known: dict[str, _Known] = {}
        self.folding = Folding(boot_id)
        """The windows and folds that this and earlier lives of the agent began."""
        self.seen: dict[Key, int] = {}
        """The newest kills by their keys, and by how much each raised oom_kill."""
        self.pod_told: dict[str, int] = {}
        self._trends: dict[str, tuple[int, float]] = {}
        """Ordinal and time (Unix seconds) of the last trend told of each container."""
        self._readers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "kill": self._read_kill,
            "pod": self._read_pod,
            "container": self._read_container,
            "keys": self._read_keys,
            "fold": self._read_fold,
            "sealed": self._read_sealed,
            "told": self._read_told,
            "recent": self._read_recent,
            "trend": self._read_trend,
        }
        torn = False
        try:
            with path.open("rb") as file:
                for line in file:
                    self._lines += 1
                    self._read(line)
                    torn = not line.endswith(b"\n")
        except FileNotFoundError:
            pass
        self._file = path.open("ab", buffering=0)
        self._unwritten = b"\n" if torn else b""
        """What the disk did not take: it goes before anything else, so that the file has no gap."""
        self._cut()

    def leaf_told(self, container_id: str) -> int:
        """Return how far a container's own counter is accounted for."""
        known = self._known.get(container_id)
        return 0 if known is None else known.told

    def told_blind(self, container_id: str, time: float) -> bool:
        """Return whether a kill at a time (Unix seconds) that the log shows now was told by the counters, and count it.

        Where the log was refused before and is not any more, it shows kills that were told without its words.
        """
        known = self._known.get(container_id)
        if known is None or known.spoken >= known.blind or time > known.blind_time:
            return False
        known.spoken += 1
        return True

    def next_ordinal(self, container_id: str) -> int:
        """Return the number of a container's next kill, from 1, and take it."""
        known = self._known.setdefault(container_id, _Known())
        known.ordinal += 1
        return known.ordinal

    def write(self, *entries: Entry) -> None:
        """Note kills durably, after the reports of those told in full are in the spool. Raises OSError."""
        for entry in entries:
            self._note(entry)
            fold = self._fold_of(entry)
            if fold is not None:
                self._count(fold, entry)
        self._append(
            *(
                {
                    "is": "kill",
                    "pod": entry.pod_uid,
                    "id": entry.container_id,
                    "ordinal": entry.ordinal,
                    "key": entry.key,
                    "events": entry.events,
                    "leaf": entry.leaf_told,
                    "podTold": entry.pod_told,
                    "time": entry.time,
                    "fold": entry.fold,
                    "kills": entry.kills,
                    "victims": entry.victims,
                    "victim": None if entry.fold is None else _pairs(entry.victim),
                    "died": entry.died,
                    "hit": entry.limit_hit,
                }
                for entry in entries
            )
        )

    def baseline(self, pod_uid: str, told: int) -> None:
        """Note durably what a pod's counter said when it was first seen with kills of before. Raises OSError."""
        self.pod_told[pod_uid] = told
        self._append({"is": "pod", "pod": pod_uid, "told": told})

    def trend_age(self, container_id: str, now: float) -> float:
        """Return for how many seconds no trend of a container was told, infinity when none ever was."""
        told = self._trends.get(container_id)
        return math.inf if told is None else abs(now - told[1])

    def next_trend(self, container_id: str) -> int:
        """Return the number of a container's next trend, from 1; the same until `write_trend` notes it."""
        return self._trends.get(container_id, (0, 0.0))[0] + 1

    def write_trend(self, container_id: str, ordinal: int, time: float) -> None:
        """Note a trend durably, after its report is in the spool. Raises OSError."""
        self._note_trend(container_id, ordinal, time)
        self._append({"is": "trend", "id": container_id, "ordinal": ordinal, "time": time})

    def _note_trend(self, container_id: str, ordinal: int, time: float) -> None:
        self._trends.pop(container_id, None)
        self._trends[container_id] = (ordinal, time)
        _keep_newest(self._trends)

    def seal(self, fold: Fold) -> None:
        """Note durably that a fold counts no further kill. Raises OSError."""
        if not fold.sealed:
            fold.sealed = True
            self._append(self._of_fold("sealed", fold))

    def told(self, fold: Fold) -> None:
        """Note durably that a fold's report is in the spool. Raises OSError."""
        self.folding.told(fold.key)
        self._append(self._of_fold("told", fold))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, *lines: Mapping[str, object]) -> None:
        self._lines += len(lines)
        self._unwritten += b"".join(self._line(pairs) for pairs in lines)
        while self._unwritten:
            self._unwritten = self._unwritten[self._file.write(self._unwritten) or 0 :]
        os.fsync(self._file.fileno())
        if self._lines > self._cut_at:
            self._cut()

    def _line(self, pairs: Mapping[str, object]) -> bytes:
        return json.dumps({"boot": self._boot_id, **pairs}, separators=(",", ":")).encode("ascii") + b"\n"

    def _cut(self) -> None:
        """Write the file anew, from what it says; one that the disk has no room for goes on as it is."""
        lines = [self._line(pairs) for pairs in self._summary()]
        try:
            durable.replace(self._path, lines)
            file = self._path.open("ab", buffering=0)
        except OSError as error:
            log("ledger not cut", file=str(self._path), lines=self._lines, reason=str(error))
            self._cut_at = self._lines + _LINES_UNTIL_NEXT_TRY
            return
        self._file.close()
        self._file, self._unwritten = file, b""
        self._lines, self._cut_at = len(lines), max(MOST_LINES, 2 * len(lines))

    def _summary(self) -> Iterator[dict[str, object]]:
        """Yield the fewest lines that say what is known."""
        for uid, told in self.pod_told.items():
            yield {"is": "pod", "pod": uid, "told": told}
        for identity, known in self._known.items():
            yield {
                "is": "container",
                "id": identity,
                "ordinal": known.ordinal,
                "told": known.told,
                "blind": known.blind,
                "blindTime": known.blind_time,
            }
        keys = list(self.seen.items())
        for start in range(0, len(keys), _KEYS_A_LINE):
            yield {"is": "keys", "keys": keys[start : start + _KEYS_A_LINE]}
        for (uid, identity), recent in self.folding.recent.items():
            yield {"is": "recent", "pod": uid, "id": identity, "full": recent.full}
        for identity, (ordinal, time) in self._trends.items():
            yield {"is": "trend", "id": identity, "ordinal": ordinal, "time": time}
        for fold in self.folding.folds.values():
            if fold.count:
                yield {
                    **self._of_fold("fold", fold),
                    "count": fold.count,
                    "first": fold.first,
                    "last": fold.last,
                    "victims": [_pairs(victim) for victim in fold.victims],
                    "victimCount": fold.victim_count,
                    "died": fold.died,
                    "hit": fold.limit_hit,
                    "sealed": fold.sealed,
                }

    @staticmethod
    def _of_fold(what: str, fold: Fold) -> dict[str, object]:
        return {
            "is": what,
            "boot": fold.boot_id,
            "pod": fold.pod_uid,
            "id": fold.container_id,
            "ordinal": fold.ordinal,
        }

    def _read(self, line: bytes) -> None:
        try:
            pairs: dict[str, Any] = json.loads(line)
            self._readers[pairs["is"]](str(pairs["boot"]), pairs)
        except (ValueError, KeyError, TypeError, AttributeError):
            log("ledger line skipped", file=str(self._path))

    def _read_kill(self, boot: str, pairs: dict[str, Any]) -> None:
        entry = Entry(
            pod_uid=str(pairs["pod"]),
            container_id=str(pairs["id"]),
            ordinal=int(pairs["ordinal"]),
            key=_key(pairs["key"]),
            events=int(pairs["events"]),
            leaf_told=int(pairs["leaf"]),
            pod_told=int(pairs["podTold"]),
            time=float(pairs["time"]),
            fold=None if pairs["fold"] is None else int(pairs["fold"]),
            kills=int(pairs["kills"]),
            victims=int(pairs["victims"]),
            victim=_victim(pairs["victim"]),
            died=pairs["died"],
            limit_hit=pairs["hit"],
        )
        if entry.fold is not None:
            fold = Fold(boot, entry.pod_uid, entry.container_id, entry.fold)
            self._count(self.folding.restore_fold(fold), entry)
        if boot == self._boot_id:
            self._note(entry)
            if entry.fold is None:
                self.folding.restore_full(entry.pod_uid, entry.container_id, entry.time)

    def _read_pod(self, boot: str, pairs: dict[str, Any]) -> None:
        if boot == self._boot_id:
            self.pod_told[str(pairs["pod"])] = int(pairs["told"])

    def _read_container(self, boot: str, pairs: dict[str, Any]) -> None:
        if boot == self._boot_id:
            self._known[str(pairs["id"])] = _Known(
                int(pairs["ordinal"]), int(pairs["told"]), int(pairs.get("blind", 0)), float(pairs.get("blindTime", 0))
            )

    def _read_keys(self, boot: str, pairs: dict[str, Any]) -> None:
        if boot == self._boot_id:
            found = ((_key(key), int(events)) for key, events in pairs["keys"])
            self.seen.update({key: events for key, events in found if key is not None})

    def _read_recent(self, boot: str, pairs: dict[str, Any]) -> None:
        for time in pairs["full"] if boot == self._boot_id else ():
            self.folding.restore_full(str(pairs["pod"]), str(pairs["id"]), float(time))

    def _read_trend(self, boot: str, pairs: dict[str, Any]) -> None:
        if boot == self._boot_id:
            self._note_trend(str(pairs["id"]), int(pairs["ordinal"]), float(pairs["time"]))

    def _read_fold(self, boot: str, pairs: dict[str, Any]) -> None:
        self.folding.restore_fold(
            Fold(
                boot,
                str(pairs["pod"]),
                str(pairs["id"]),
                int(pairs["ordinal"]),
                count=int(pairs["count"]),
                first=float(pairs["first"]),
                last=float(pairs["last"]),
                victims=[victim for one in pairs["victims"] if (victim := _victim(one)) is not None],
                victim_count=int(pairs["victimCount"]),
                died=pairs["died"],
                limit_hit=pairs["hit"],
                sealed=bool(pairs["sealed"]),
            )
        )

    def _read_sealed(self, boot: str, pairs: dict[str, Any]) -> None:
        fold = self.folding.folds.get((boot, str(pairs["pod"]), str(pairs["id"]), int(pairs["ordinal"])))
        if fold is not None:
            fold.sealed = True

    def _read_told(self, boot: str, pairs: dict[str, Any]) -> None:
        self.folding.told((boot, str(pairs["pod"]), str(pairs["id"]), int(pairs["ordinal"])))

    def _note(self, entry: Entry) -> None:
        known = self._known.pop(entry.container_id, None) or _Known()
        known.ordinal, known.told = max(known.ordinal, entry.ordinal), entry.leaf_told
        self._known[entry.container_id] = known
        if entry.key is not None:
            self.seen[entry.key] = entry.events
        else:
            known.blind, known.blind_time = known.blind + entry.kills, max(known.blind_time, entry.time)
        self.pod_told.pop(entry.pod_uid, None)
        self.pod_told[entry.pod_uid] = entry.pod_told
        _keep_newest(self._known)
        _keep_newest(self.seen)
        _keep_newest(self.pod_told)

    def _fold_of(self, entry: Entry) -> Fold | None:
        if entry.fold is None:
            return None
        return self.folding.folds.get((self._boot_id, entry.pod_uid, entry.container_id, entry.fold))

    @staticmethod
    def _count(fold: Fold, entry: Entry) -> None:
        fold.add(entry.time, entry.kills, entry.victims, entry.victim, entry.died)
        fold.limit_hit = entry.limit_hit or fold.limit_hit
