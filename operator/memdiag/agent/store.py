"""History in memory: the runs of every container of a node, at falling resolution towards the past, in small arrays."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from memdiag.model.history import COLUMNS, HistoryRun, from_row, to_row
from memdiag.model.trace import Level, Sample

SIZES = ("current", "limit", "anon", "file", "shmem", "kernel", "slabReclaimable", "sock", "swap", "pids")
"""Columns of 4 bytes: KiB and counts."""
COUNTERS = ("t", "maxEvents", "refaults", "cpu", "psiSome", "psiFull", "packets")
"""Columns of 8 bytes."""

MOST_RUNS_OF_A_POD = 16
MOST_DEAD_RUNS = 1000
MOST_ROWS_OF_A_DEAD_RUN = 128
POD_KEPT_SECONDS = 3600.0
RECENT_SECONDS = 600.0
OLDEST_SECONDS = 14 * 86400.0

_UNKNOWN_SIZE = -(2**31)
_UNKNOWN_COUNT = -(2**63)
_EPOCH = 1_700_000_000
_LATEST = 2**32 - 1
_LARGEST_SIZE = 2**31 - 1
_DEMAND = tuple(SIZES.index(name) for name in ("anon", "shmem", "kernel", "sock", "swap"))


def kept_rows(times: Sequence[float], demands: Sequence[int | None], now: float, finest: float = 5.0) -> list[int]:
    """Return which rows stay when history is thinned: all of the last minute, then the extremes of each bucket.

    A bucket is `finest` seconds wide for ten minutes and then doubles, to between a twelfth and a sixth of its
    age; in each the rows with the least and the most demand stay, and the first and the last row of all. Thinning
    what was thinned keeps the same rows: buckets are aligned to the clock and only ever merge.
    """
    kept: list[int] = []
    bucket: tuple[float, int] | None = None
    low = high = -1

    def close() -> None:
        kept.extend(sorted({low, high} - {-1}))

    for index, time in enumerate(times):
        age = now - time
        width = finest if age > 60 else 0.0
        while width and age > RECENT_SECONDS and width * 12 <= age:
            width *= 2
        key = (width, int(time // width)) if width else (0.0, index)
        demand = demands[index]
        if key != bucket:
            close()
            bucket, low, high = key, index, index
        elif demand is not None:
            low_demand, high_demand = demands[low], demands[high]
            low = index if low_demand is None or demand < low_demand else low
            high = index if high_demand is None or demand >= high_demand else high
    close()
    ends = {0, len(times) - 1} if times else set()
    return sorted(ends.union(kept))


def _tenths(t: float) -> int:
    return min(max(round((t - _EPOCH) * 10), 0), _LATEST)


@dataclass(slots=True)
class RunHistory:
    """One run: its full samples as rows, and memory.current of each second of the last ten minutes."""

    pod_uid: str
    container_id: str
    started: float | None = None
    ended: float | None = None
    killed: bool | None = None
    peak: int | None = None
    sizes: array[int] = field(default_factory=lambda: array("i"))
    counters: array[int] = field(default_factory=lambda: array("q"))
    light_times: array[int] = field(default_factory=lambda: array("I"))
    """Unix tenths of a second since `_EPOCH`."""
    light_current: array[int] = field(default_factory=lambda: array("i"))
    unsaved: int = 0
    """Rows at the end that the state folder does not have yet."""

    @property
    def rows(self) -> int:
        """How many full samples it holds."""
        return len(self.counters) // len(COUNTERS)

    def add(self, sample: Sample) -> None:
        """Take a full sample, newer than the last."""
        row = to_row(0, sample)
        for name in SIZES:
            value = row[name]
            self.sizes.append(_UNKNOWN_SIZE if value is None else min(value, _LARGEST_SIZE))
        for name in COUNTERS:
            value = row[name]
            self.counters.append(_UNKNOWN_COUNT if value is None else value)
        if sample.level.peak is not None:
            self.peak = max(self.peak or 0, sample.level.peak)
        self.unsaved += 1

    def add_light(self, t: float, current: int | None) -> None:
        """Take a second's memory.current (bytes)."""
        if current is None:
            return
        self.light_times.append(_tenths(t))
        self.light_current.append(min(current // 1024, _LARGEST_SIZE))
        if len(self.light_times) > RECENT_SECONDS * 1.25:
            extra = int(len(self.light_times) - RECENT_SECONDS)
            del self.light_times[:extra], self.light_current[:extra]

    def clock_set(self, by: float) -> None:
        """Move every time by as many seconds as the clock was set."""
        step = len(COUNTERS)
        self.counters[::step] = array("q", [tenths + round(by * 10) for tenths in self.counters[::step]])
        self.light_times = array("I", [_tenths(_EPOCH + tenths / 10 + by) for tenths in self.light_times])
        self.started = None if self.started is None else self.started + by
        self.ended = None if self.ended is None else self.ended + by

    def times(self) -> list[float]:
        """Return the Unix seconds of the rows."""
        return [tenths / 10 for tenths in self.counters[:: len(COUNTERS)]]

    def demands(self) -> list[int | None]:
        """Return each row's demand in KiB, None where it is not known."""
        found: list[int | None] = []
        for start in range(0, len(self.sizes), len(SIZES)):
            parts = [self.sizes[start + column] for column in _DEMAND]
            known = parts[0] != _UNKNOWN_SIZE
            found.append(sum(part for part in parts if part != _UNKNOWN_SIZE) if known else None)
        return found

    def keep(self, indices: Sequence[int]) -> None:
        """Drop every row but these (in order)."""
        first_unsaved = self.rows - self.unsaved
        sizes, counters = array("i"), array("q")
        for index in indices:
            sizes.extend(self.sizes[index * len(SIZES) : (index + 1) * len(SIZES)])
            counters.extend(self.counters[index * len(COUNTERS) : (index + 1) * len(COUNTERS)])
        self.sizes, self.counters = sizes, counters
        self.unsaved = sum(1 for index in indices if index >= first_unsaved)

    def thin(self, now: float, finest: float = 5.0) -> None:
        """Thin old rows (see `kept_rows`)."""
        times = self.times()
        kept = kept_rows(times, self.demands(), now, finest)
        self.keep([index for index in kept if now - times[index] < OLDEST_SECONDS])

    def row(self, index: int) -> dict[str, int | None]:
        """Return one row under the history's column names."""
        values: dict[str, int | None] = {"run": 0}
        for column, name in enumerate(SIZES):
            size = self.sizes[index * len(SIZES) + column]
            values[name] = None if size == _UNKNOWN_SIZE else size
        for column, name in enumerate(COUNTERS):
            count = self.counters[index * len(COUNTERS) + column]
            values[name] = None if count == _UNKNOWN_COUNT else count
        return values

    def samples(self, seconds_between: float = 0.9, light_seconds: float = 60.0) -> list[Sample]:
        """Return the samples, oldest first: the full ones, and between them the light ones of the last minute."""
        rows = (self.row(index) for index in range(self.rows))
        full = [from_row([row[name] for name in COLUMNS]) for row in rows]
        if not self.light_times:
            return full
        light_times = [_EPOCH + tenths / 10 for tenths in self.light_times]
        newest = max(light_times[-1], full[-1].t if full else 0.0)
        taken = [sample.t for sample in full if newest - sample.t <= light_seconds + seconds_between]
        light = [
            Sample(t=t, level=Level(current=current * 1024))
            for t, current in zip(light_times, self.light_current, strict=True)
            if newest - t < light_seconds and not any(abs(t - other) < seconds_between for other in taken)
        ]
        return sorted([*full, *light], key=lambda sample: sample.t)

    def head(self) -> HistoryRun:
        """Return what a report says of the run beside its samples."""
        return HistoryRun(self.container_id, self.started, self.ended, self.killed, self.peak)


@dataclass(slots=True)
class PodHistory:
    """The runs of one pod, oldest first."""

    runs: dict[str, RunHistory] = field(default_factory=dict)
    gone: float | None = None
    """When its cgroup was found gone, Unix seconds."""


class HistoryStore:
    """The runs of all pods, bounded."""

    def __init__(self) -> None:
        self.pods: dict[str, PodHistory] = {}

    def run(self, pod_uid: str, container_id: str, started: float | None) -> RunHistory:
        """Return a container's run, begun now if it is new; the pod counts as living again."""
        pod = self.pods.setdefault(pod_uid, PodHistory())
        pod.gone = None
        found = pod.runs.get(container_id)
        if found is None:
            found = pod.runs[container_id] = RunHistory(pod_uid, container_id, started)
            self._bound(pod)
        found.ended = None
        return found

    @staticmethod
    def _bound(pod: PodHistory) -> None:
        dead = [run for run in pod.runs.values() if run.ended is not None]
        dead.sort(key=lambda run: run.ended or 0.0)
        for run in dead[: max(len(pod.runs) - MOST_RUNS_OF_A_POD, 0)]:
            del pod.runs[run.container_id]

    def find(self, pod_uid: str, container_id: str) -> RunHistory | None:
        """Return a run that is known, None for one that is not."""
        pod = self.pods.get(pod_uid)
        return None if pod is None else pod.runs.get(container_id)

    def end(self, run: RunHistory, now: float) -> None:
        """Close a run whose cgroup is gone; it is kept thin from now on."""
        if run.ended is not None:
            return
        run.ended = now
        del run.light_times[:], run.light_current[:]
        finest = 5.0
        while run.rows > MOST_ROWS_OF_A_DEAD_RUN and finest < 1e6:
            run.thin(now + 61, finest)
            finest *= 2

    def pod_gone(self, pod_uid: str, now: float) -> None:
        """Note that a pod's cgroup is gone: its runs stay for an hour."""
        pod = self.pods.get(pod_uid)
        if pod is not None and pod.gone is None:
            pod.gone = now

    def evict(self, now: float) -> None:
        """Forget pods that are gone for an hour, the oldest dead runs beyond the bound, and thin the living ones."""
        for uid in [
            uid for uid, pod in self.pods.items() if pod.gone is not None and now - pod.gone > POD_KEPT_SECONDS
        ]:
            del self.pods[uid]
        dead = [run for run in self.all_runs() if run.ended is not None]
        dead.sort(key=lambda run: run.ended or 0.0)
        for run in dead[: max(len(dead) - MOST_DEAD_RUNS, 0)]:
            del self.pods[run.pod_uid].runs[run.container_id]
        for run in self.all_runs():
            if run.ended is None and run.rows > 64:
                run.thin(now)

    def clock_set(self, by: float) -> None:
        """Move every time by as many seconds as the clock was set: a run stays one curve."""
        for pod in self.pods.values():
            pod.gone = None if pod.gone is None else pod.gone + by
        for run in self.all_runs():
            run.clock_set(by)

    def all_runs(self) -> Iterator[RunHistory]:
        """Go through every run."""
        for pod in self.pods.values():
            yield from pod.runs.values()
