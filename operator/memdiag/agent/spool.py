"""The spool: reports on disk until the API server has them. Bounded: history goes first, then everything but the facts.

In order of arrival: the newest 200 reports stay whole, the 800 before them lose their history, older ones keep the
fact alone (who died, when, at which limit, the first victim). A trend is no fact: it goes instead of being thinned.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdiag.agent import durable
from memdiag.agent.log import log

MOST_WITH_HISTORY = 200
MOST_WITH_EVIDENCE = 1000
MOST_REPORTS = 20_000
"""Facts of some hundred bytes each: 80 MiB on a disk with blocks of 4 KiB."""
MOST_DEAD_LETTERS = 100
_FACTS = frozenset({"node", "bootID", "podUID", "containerID", "cgroupPath", "ordinal", "foundLate", "fold", "kill"})
_FACTS_OF_A_KILL = frozenset(
    {
        *("time", "constraint", "limitHit", "limitHitCgroup", "usageBytes", "limitBytes", "groupKill"),
        *("containerDied", "victimCount"),
    }
)


@dataclass(slots=True)
class SpoolCounts:
    """What came of reports in this life of the agent."""

    delivered: int = 0
    rejected: int = 0
    """Refused by the API server for good, and put into the dead-letter folder."""
    thinned: int = 0
    """Lost their history, or more, while they waited."""
    dropped: int = 0
    """Lost: kills beyond the bound. 0 unless twenty thousand wait."""


def without_history(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a report's spec without its history, which `missing` says."""
    missing = [*spec.get("missing", ())][:11]
    kept = {key: value for key, value in spec.items() if key != "history"}
    return {**kept, "missing": [*missing, "history: dropped, too many reports waited for delivery"]}


def bare(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the fact that a report's spec tells of, and nothing else."""
    kill = {key: value for key, value in spec["kill"].items() if key in _FACTS_OF_A_KILL}
    kill["victims"] = spec["kill"].get("victims", [])[:1]
    return {
        **{key: value for key, value in spec.items() if key in _FACTS},
        "kill": kill,
        "missing": ["evidence: dropped, too many reports waited for delivery"],
    }


class Spool:
    """Reports that wait for delivery, one file each, named as the object is."""

    def __init__(self, folder: Path) -> None:
        """Open the spool, made if absent; half-written files are removed. Raises OSError."""
        self._folder = folder / "spool"
        self._dead = folder / "dead-letter"
        self._lock = threading.Lock()
        self.arrived = threading.Event()
        """Set when a report came in."""
        self.counts = SpoolCounts()
        for made in (self._folder, self._dead):
            made.mkdir(parents=True, exist_ok=True)
        for half in self._folder.glob(".*.new"):
            half.unlink()
        # In order of arrival, with the time of arrival; what is thin already is found out when it is needed.
        found = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        self._waiting: dict[str, float] = {path.stem: path.stat().st_mtime for path in found}
        self._sizes: dict[str, int] = {path.stem: path.stat().st_size for path in found}
        self._thin: dict[str, None] = {}
        self._bare: set[str] = set()

    def put(self, report: dict[str, Any]) -> None:
        """Store a report durably. Raises OSError."""
        name = str(report["metadata"]["name"])
        data = json.dumps(report, separators=(",", ":")).encode("ascii")
        with self._lock:
            self._folder.mkdir(exist_ok=True)  # somebody may have emptied the state folder
            durable.replace(self._folder / f"{name}.json", [data])
            self._waiting[name] = time.time()
            self._sizes[name] = len(data)
            self._bound()
        self.arrived.set()

    def _bound(self) -> None:
        whole = len(self._waiting) - len(self._thin) - len(self._bare)
        if whole > MOST_WITH_HISTORY:
            names = (name for name in self._waiting if name not in self._thin and name not in self._bare)
            for name in [next(names) for _ in range(whole - MOST_WITH_HISTORY)]:
                if self._rewrite(name, without_history):
                    self._thin[name] = None
        while len(self._thin) > MOST_WITH_EVIDENCE - MOST_WITH_HISTORY:
            name = next(iter(self._thin))
            del self._thin[name]
            if name in self._waiting and self._rewrite(name, bare):
                self._bare.add(name)
        for name in list(self._waiting)[: max(len(self._waiting) - MOST_REPORTS, 0)]:
            self.counts.dropped += 1
            log("report dropped: the spool is full", report=name)
            self._remove(name)

    def _rewrite(self, name: str, thinner: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
        """Thin a report, or drop one of a trend; returns whether it is still there."""
        path = self._folder / f"{name}.json"
        try:
            report = json.loads(path.read_bytes())
            if "trend" in report["spec"]:
                self._remove(name)
                return False
            report["spec"] = thinner(report["spec"])
            data = json.dumps(report, separators=(",", ":")).encode("ascii")
            durable.replace(path, [data])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log("a waiting report could not be thinned", report=name, reason=str(error))
        else:
            self._sizes[name] = len(data)
            self.counts.thinned += 1
        return True

    def _remove(self, name: str) -> None:
        """Forget a report. A file that cannot be removed is sent again by the agent's next life, by the same name."""
        self._waiting.pop(name, None)
        self._sizes.pop(name, None)
        self._thin.pop(name, None)
        self._bare.discard(name)
        try:
            (self._folder / f"{name}.json").unlink(missing_ok=True)
        except OSError as error:
            log("report could not be removed", report=name, reason=str(error))

    def waiting(self) -> list[str]:
        """Return the names of the reports that wait, oldest first."""
        with self._lock:
            return list(self._waiting)

    def oldest_age(self, now: float) -> float | None:
        """Return the seconds that the oldest report waits, None when none does."""
        with self._lock:
            return next((now - arrived for arrived in self._waiting.values()), None)

    def size(self) -> tuple[int, int]:
        """Return how many reports wait, and their bytes."""
        with self._lock:
            return len(self._waiting), sum(self._sizes.values())

    def dead_letters(self) -> int:
        """Return how many refused reports lie in the dead-letter folder."""
        return sum(1 for _ in self._dead.glob("*.json"))

    def read(self, name: str) -> bytes | None:
        """Return a waiting report's JSON, None when somebody took its file away. Raises OSError."""
        with self._lock:
            try:
                return (self._folder / f"{name}.json").read_bytes()
            except FileNotFoundError:
                self._remove(name)
                return None

    def done(self, name: str) -> None:
        """Forget a report that was delivered."""
        with self._lock:
            self._remove(name)
            self.counts.delivered += 1

    def reject(self, name: str) -> None:
        """Put a report that the API server will never take aside, for people to look at."""
        with self._lock:
            self.counts.rejected += 1
            try:
                (self._folder / f"{name}.json").replace(self._dead / f"{name}.json")
                letters = sorted(self._dead.glob("*.json"), key=lambda path: path.stat().st_mtime)
                for letter in letters[: max(len(letters) - MOST_DEAD_LETTERS, 0)]:
                    letter.unlink(missing_ok=True)
            except OSError as error:
                log("report could not be put aside", report=name, reason=str(error))
            self._remove(name)
