"""The ledger: an append-only, synced file with one line for every kill that was told, so that none is told twice.

A line names the kill by the kernel log (time stamp and first victim), gives its ordinal among its container's kills
since the node booted, and how far the cgroups' counters are accounted for. Lines of another boot are dropped at start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdiag.agent import durable
from memdiag.agent.log import log
from memdiag.model.kill import OomReport

MOST_LINES = 20_000

Key = tuple[float | None, int | None]
"""A kill in the kernel log: seconds since boot of its first `Killed process` line, and that victim's pid."""


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


class Ledger:
    """The kills of this boot that were told."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Read the ledger and drop what another boot left. Raises OSError when the folder cannot be written."""
        self._path = path
        self._boot_id = boot_id
        self._ordinals: dict[str, int] = {}
        self.seen: dict[Key, int] = {}
        """The kills by their keys, and by how much each raised oom_kill."""
        self.leaf_told: dict[str, int] = {}
        self.pod_told: dict[str, int] = {}
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        kept = [line for line in lines[-MOST_LINES:] if self._read(line)]
        self._begin(kept)

    def _begin(self, kept: Sequence[bytes]) -> None:
        durable.replace(self._path, [line + b"\n" for line in kept])
        self._lines = len(kept)
        self._file = self._path.open("ab")

    def _read(self, line: bytes) -> bool:
        try:
            pairs: dict[str, Any] = json.loads(line)
            if pairs["boot"] != self._boot_id:
                return False
            if "baseline" in pairs:
                self.pod_told[str(pairs["pod"])] = int(pairs["baseline"])
                return True
            key: Key | None = None
            if pairs["key"] is not None:
                time, pid = pairs["key"]
                key = (None if time is None else float(time), None if pid is None else int(pid))
            self._note(
                Entry(
                    pod_uid=str(pairs["pod"]),
                    container_id=str(pairs["container"]),
                    ordinal=int(pairs["ordinal"]),
                    key=key,
                    events=int(pairs["events"]),
                    leaf_told=int(pairs["leaf"]),
                    pod_told=int(pairs["podTold"]),
                )
            )
        except (ValueError, KeyError, TypeError):
            log("ledger line skipped", file=str(self._path))
            return False
        return True

    def _note(self, entry: Entry) -> None:
        self._ordinals[entry.container_id] = max(self._ordinals.get(entry.container_id, 0), entry.ordinal)
        if entry.key is not None:
            self.seen[entry.key] = entry.events
        self.leaf_told[entry.container_id] = entry.leaf_told
        self.pod_told[entry.pod_uid] = entry.pod_told

    def next_ordinal(self, container_id: str) -> int:
        """Return the number of a container's next kill, from 1, and take it."""
        self._ordinals[container_id] = ordinal = self._ordinals.get(container_id, 0) + 1
        return ordinal

    def _append(self, pairs: Mapping[str, object]) -> None:
        self._lines += 1
        self._file.write(json.dumps({"boot": self._boot_id, **pairs}, separators=(",", ":")).encode("ascii") + b"\n")

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._lines > 2 * MOST_LINES:
            self._file.close()
            self._begin(self._path.read_bytes().splitlines()[-MOST_LINES:])

    def write(self, *entries: Entry) -> None:
        """Note kills durably, after their reports are in the spool. Raises OSError."""
        for entry in entries:
            self._note(entry)
            self._append(
                {
                    "pod": entry.pod_uid,
                    "container": entry.container_id,
                    "ordinal": entry.ordinal,
                    "key": entry.key,
                    "events": entry.events,
                    "leaf": entry.leaf_told,
                    "podTold": entry.pod_told,
                }
            )
        self._sync()

    def baseline(self, pod_uid: str, told: int) -> None:
        """Note durably what a pod's counter said when it was first seen with kills of before. Raises OSError."""
        self.pod_told[pod_uid] = told
        self._append({"pod": pod_uid, "baseline": told})
        self._sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
