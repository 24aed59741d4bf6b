"""The spool: reports on disk until the API server has them, bounded; the oldest lose their history first."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from memdiag.agent import durable
from memdiag.agent.log import log

MOST_WITH_HISTORY = 200
MOST_REPORTS = 5000
MOST_DEAD_LETTERS = 100


class Spool:
    """Reports that wait for delivery, one file each, named as the object is."""

    def __init__(self, folder: Path) -> None:
        """Open the spool, made if absent; half-written files are removed. Raises OSError."""
        self._folder = folder / "spool"
        self._dead = folder / "dead-letter"
        self._lock = threading.Lock()
        self.arrived = threading.Event()
        """Set when a report came in."""
        for made in (self._folder, self._dead):
            made.mkdir(parents=True, exist_ok=True)
        for half in self._folder.glob(".*.new"):
            half.unlink()
        # In order of arrival, with the time of arrival; what lost its history already is found out when it is needed.
        found = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        self._waiting: dict[str, float] = {path.stem: path.stat().st_mtime for path in found}
        self._thin: set[str] = set()

    def put(self, report: dict[str, Any]) -> None:
        """Store a report durably. Raises OSError."""
        name = str(report["metadata"]["name"])
        data = json.dumps(report, separators=(",", ":")).encode("ascii")
        with self._lock:
            durable.replace(self._folder / f"{name}.json", [data])
            self._waiting[name] = time.time()
            self._bound()
        self.arrived.set()

    def _bound(self) -> None:
        whole = [name for name in self._waiting if name not in self._thin]
        for name in whole[: max(len(whole) - MOST_WITH_HISTORY, 0)]:
            self._drop_history(name)
        for name in list(self._waiting)[: max(len(self._waiting) - MOST_REPORTS, 0)]:
            log("report dropped: the spool is full", report=name)
            self._remove(name)

    def _drop_history(self, name: str) -> None:
        self._thin.add(name)
        path = self._folder / f"{name}.json"
        try:
            report = json.loads(path.read_bytes())
            if report["spec"].pop("history", None) is None:
                return
            missing = report["spec"].setdefault("missing", [])
            missing[:] = [*missing[:11], "history: dropped, too many reports waited for delivery"]
            durable.replace(path, [json.dumps(report, separators=(",", ":")).encode("ascii")])
        except (OSError, ValueError, KeyError, AttributeError) as error:
            log("history of a waiting report could not be dropped", report=name, reason=str(error))

    def _remove(self, name: str) -> None:
        self._waiting.pop(name, None)
        self._thin.discard(name)
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def waiting(self) -> list[str]:
        """Return the names of the reports that wait, oldest first."""
        with self._lock:
            return list(self._waiting)

    def oldest_age(self, now: float) -> float | None:
        """Return the seconds that the oldest report waits, None when none does."""
        with self._lock:
            return next((now - arrived for arrived in self._waiting.values()), None)

    def read(self, name: str) -> bytes | None:
        """Return a waiting report's JSON, None when it is gone or unreadable."""
        with self._lock:
            try:
                return (self._folder / f"{name}.json").read_bytes()
            except OSError:
                self._waiting.pop(name, None)
                return None

    def done(self, name: str) -> None:
        """Forget a report that was delivered."""
        with self._lock:
            self._remove(name)

    def reject(self, name: str) -> None:
        """Put a report that the API server will never take aside, for people to look at."""
        with self._lock:
            try:
                (self._folder / f"{name}.json").replace(self._dead / f"{name}.json")
            except OSError as error:
                log("report could not be put aside", report=name, reason=str(error))
            self._remove(name)
            letters = sorted(self._dead.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for letter in letters[: max(len(letters) - MOST_DEAD_LETTERS, 0)]:
                letter.unlink(missing_ok=True)
