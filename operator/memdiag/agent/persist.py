"""Keeps the history over a restart of the agent: a snapshot, written whole, and a journal of the rows since then.

Both hold one JSON object a line: a run's head and a piece of its rows (base64 of the arrays, this machine's byte
order). A torn last line is skipped. A journal append is some kilobytes every ten seconds, a snapshot some megabytes
every ten minutes.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from array import array
from itertools import chain
from pathlib import Path
from typing import Any

from memdiag.agent import durable
from memdiag.agent.log import log
from memdiag.agent.store import COUNTERS, SIZES, HistoryStore, RunHistory

FORMAT = {"format": "memdiag.history/v1", "order": sys.byteorder, "sizes": list(SIZES), "counters": list(COUNTERS)}
SNAPSHOT_SECONDS = 600.0
_LONGEST_LINE = 2**20


def _text(values: array[int]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _values(kind: str, text: str) -> array[int]:
    values: array[int] = array(kind)
    values.frombytes(base64.b64decode(text, validate=True))
    return values


def piece(run: RunHistory, rows: int) -> bytes:
    """Return the line that holds a run's head and its last `rows` rows."""
    first = run.rows - rows
    line = json.dumps(
        {
            "pod": run.pod_uid,
            "id": run.container_id,
            "started": run.started,
            "ended": run.ended,
            "killed": run.killed,
            "peak": run.peak,
            "sizes": _text(run.sizes[first * len(SIZES) :]),
            "counters": _text(run.counters[first * len(COUNTERS) :]),
        },
        separators=(",", ":"),
    )
    return line.encode("ascii") + b"\n"


def _take(store: HistoryStore, pairs: dict[str, Any]) -> None:
    sizes, counters = _values("i", pairs["sizes"]), _values("q", pairs["counters"])
    if len(sizes) * len(COUNTERS) != len(counters) * len(SIZES) or len(sizes) % len(SIZES):
        raise ValueError("rows of different lengths")
    run = store.run(str(pairs["pod"]), str(pairs["id"]), pairs["started"])
    if counters and run.counters and counters[0] <= run.counters[-len(COUNTERS)]:
        return  # the journal of before the snapshot
    run.ended, run.killed, run.peak = pairs["ended"], pairs["killed"], pairs["peak"]
    run.sizes.extend(sizes)
    run.counters.extend(counters)


class Persistence:
    """The history's files in the state folder."""

    def __init__(self, folder: Path) -> None:
        self._snapshot = folder / "history"
        self._journal = folder / "history.journal"
        self._last_snapshot: float | None = None
        self._known_ends: set[str] = set()
        self._torn = False
        """Whether the journal may end in the middle of a line, as a full disk leaves it."""

    def load(self, store: HistoryStore) -> None:
        """Fill an empty store from the files; what cannot be used is skipped and said so."""
        for path in (self._snapshot, self._journal):
            skipped = 0
            try:
                with path.open("rb") as file:
                    header = json.loads(file.readline(_LONGEST_LINE) or b"{}")
                    if header != FORMAT:
                        log("history skipped", file=str(path), reason="another format")
                        continue
                    while line := file.readline(_LONGEST_LINE):
                        try:
                            _take(store, json.loads(line))
                        except (ValueError, KeyError, TypeError, binascii.Error):
                            skipped += 1
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log("history skipped", file=str(path), reason=str(error))
            if skipped:
                log("history lines skipped", file=str(path), lines=skipped)
        for run in store.all_runs():
            run.unsaved = 0

    def clock_set(self) -> None:
        """Write a snapshot next: the times on disk are those of a clock that was set."""
        self._last_snapshot = None

    def save(self, store: HistoryStore, now: float) -> None:
        """Append what is new to the journal, or write the snapshot anew. Raises OSError."""
        if self._last_snapshot is None or now - self._last_snapshot >= SNAPSHOT_SECONDS:
            header = json.dumps(FORMAT).encode("ascii") + b"\n"
            runs = (piece(run, run.rows) for run in store.all_runs())
            durable.replace(self._snapshot, chain([header], runs))
            durable.replace(self._journal, [header])
            self._torn = False
            self._last_snapshot = now
            self._known_ends = {run.container_id for run in store.all_runs() if run.ended is not None}
        else:
            fresh = [
                run
                for run in store.all_runs()
                if run.unsaved or (run.ended is not None and run.container_id not in self._known_ends)
            ]
            pieces = [b"\n"] if self._torn else []
            self._torn = True
            with self._journal.open("ab") as file:
                file.writelines(chain(pieces, (piece(run, run.unsaved) for run in fresh)))
            self._torn = False
            self._known_ends.update(run.container_id for run in fresh if run.ended is not None)
        for run in store.all_runs():
            run.unsaved = 0
