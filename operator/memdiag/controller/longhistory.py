"""Two weeks of a workload's pods from a Prometheus-compatible store, as runs and siblings of the traces at hand.

The series are cAdvisor's, keyed by container ID: of one run each. They hold the working set and not demand, so they add
runs that no agent saw, and never replace what an agent measured.
"""

from __future__ import annotations

import math
import re
import threading
import time
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from memdiag.controller.packedruns import PackedRun, packed, unpacked
from memdiag.controller.prometheus import Prometheus, Series, StoreError, TooLongError
from memdiag.model.trace import Level, Limit, Run, RunEnd, Sample, Trace

WINDOW = 14 * 86400.0
LEAST_STEP = 300
"""Seconds; a point is the most within the step before it."""
MOST_POINTS = 20_000
"""Of all pods together: the step grows with the replicas, so that an answer stays small in memory."""
MOST_SIBLINGS = 20
KEPT_SECONDS = 600.0
MOST_KEPT = 32
"""Answers: packed, each is half a megabyte at the most."""
SILENT_SECONDS = 60.0
"""After a failure the store is left alone for so long: a storm of kills does not wait for it."""
_LIMIT_STEP = 3600
_LONGER = (1, 4, 16)
"""By how much the step grows while the answer is too long."""
_GRACE = 5 * 60.0
"""cAdvisor repeats what it last saw of a dead container for up to so many seconds."""
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NAMES = {
    "Deployment": r"{}-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}",
    "ReplicaSet": r"{}-[a-z0-9]{{5}}",
    "DaemonSet": r"{}-[a-z0-9]{{5}}",
    "StatefulSet": r"{}-[0-9]+",
    "Job": r"{}(-[0-9]+)?-[a-z0-9]{{5}}",
    "CronJob": r"{}-[0-9]+(-[0-9]+)?-[a-z0-9]{{5}}",
    "Pod": r"{}",
}
"""How a workload's pods are called; those of kinds that are not known begin with its name."""
_UNCUT = {"Deployment": 46, "CronJob": 46, "ReplicaSet": 57, "DaemonSet": 57, "Job": 57}
_LONGEST_HEAD, _RANDOM = 58, 5
"""The API server cuts what a pod's name is made from to 58 characters, and adds five of its own."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose history is wanted."""

    namespace: str
    kind: str
    workload: str
    container: str
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class LongHistory:
    """Runs by pod, oldest first, and what is missing of them."""

    pods: Mapping[str, tuple[Run, ...]]
    missing: tuple[str, ...] = ()


def selector(question: Question) -> str:
    """Return the label matchers of the workload's container."""
    name, most = question.workload, _LONGEST_HEAD
    pods = _NAMES.get(question.kind, r"{}-.+").format(_escaped(name))
    if len(name) > _UNCUT.get(question.kind, len(name)):
        head = f"{name}-" if len(name) < most else name[:most]
        pods = f"{pods}|{_escaped(head)}[a-z0-9]{{{most + _RANDOM - len(head)}}}"
    values = {"namespace": question.namespace, "container": question.container}
    words = [f"{label}={_quoted(value)}" for label, value in values.items()]
    return ",".join([*words, f"pod=~{_quoted(pods)}"])


def _escaped(text: str) -> str:
    return re.escape(text).replace(r"\-", "-")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def step_for(replicas: int) -> int:
    """Return the step in seconds: whole minutes, so that all pods together have at most `MOST_POINTS` points."""
    return max(LEAST_STEP, math.ceil(WINDOW * max(replicas, 1) / MOST_POINTS / 60) * 60)


def container_id(labels: Mapping[str, str]) -> str | None:
    """Return the container ID of a cAdvisor series: the last in its cgroup path, or its name; None when it has none."""
    for label in ("id", "name"):
        found = _ID.findall(labels.get(label, ""))
        if found:
            return str(found[-1])
    return None


def runs_of(
    usage: Iterable[Series], limits: Iterable[Series], starts: Iterable[Series], now: float, step: int
) -> dict[str, tuple[Run, ...]]:
    """Return the runs of each pod, oldest first; series without a container ID are nobody's and left out."""
    limit_of = {key: series.points for series in limits if (key := _key(series)) is not None}
    start_of = {
        key: started
        for series in starts
        for _, started in series.points[-1:]
        # the kubelet gives a container that it has no start of one in the year 1
        if (key := _key(series)) is not None and 0 < started < math.inf
    }
    pods: dict[str, list[Run]] = defaultdict(list)
    for series in usage:
        key = _key(series)
        if key is None or not series.points:
            continue
        levels = limit_of.get(key, ())
        samples = tuple(
            Sample(moment, Level(current=int(value), max=_limit_at(levels, moment)))
            for moment, value in series.points
            if math.isfinite(value)
        )
        if samples:
            pods[key[0]].append(Run(container_id=key[1], started=start_of.get(key), samples=samples))
    return {pod: _ended(runs, now, step) for pod, runs in pods.items()}


def _key(series: Series) -> tuple[str, str] | None:
    pod, identity = series.labels.get("pod"), container_id(series.labels)
    return None if not pod or identity is None else (pod, identity)


def _limit_at(points: Sequence[tuple[float, float]], moment: float) -> Limit:
    """Return the limit that was in force, the first known one before that; cAdvisor says 0 for none."""
    if not points:
        return None
    place = max(bisect_right(points, moment, key=lambda point: point[0]) - 1, 0)
    value = points[place][1]
    return int(value) if 0 < value < 2**62 else "max"


def _began(run: Run) -> float:
    return run.started if run.started is not None else run.samples[0].t


def _ended(runs: list[Run], now: float, step: int) -> tuple[Run, ...]:
    """Return a pod's runs in order, each without what was repeated of it after its end."""
    ordered = sorted(runs, key=_began)
    found = [_cut(run, _began(later)) for run, later in pairwise(ordered)]
    last = ordered[-1]
    if last.samples[-1].t < now - 2 * step - _GRACE:
        last = _without_tail(last, step)
        last = replace(last, end=RunEnd(t=last.samples[-1].t))
    return tuple(run for run in (*found, last) if run.samples)


def _cut(run: Run, until: float) -> Run:
    samples = tuple(sample for sample in run.samples if sample.t <= until)
    return replace(run, samples=samples, end=RunEnd(t=min(samples[-1].t, until)) if samples else None)


def _without_tail(run: Run, step: int) -> Run:
    """Drop the repetitions of the last value, as far as they may be of a container that is gone."""
    samples = list(run.samples)
    end = samples[-1].t
    while (
        len(samples) > 1
        and samples[-1].level.current == samples[-2].level.current
        and end - samples[-2].t <= _GRACE + step
    ):
        samples.pop()
    return replace(run, samples=tuple(samples))


def joined(traces: Sequence[Trace], history: LongHistory) -> list[Trace]:
    """Return the traces with the runs that they lack, and the workload's other pods as siblings behind them."""
    if not traces:
        return []
    found = []
    for trace in traces:
        longer = history.pods.get(trace.pod or "", ())
        known = {run.container_id: run for run in trace.runs}
        runs = [_filled(run, longer) for run in trace.runs]
        first = min((_moment(run) for run in trace.runs), default=math.inf)
        runs += [run for run in longer if run.container_id not in known and _moment(run) < first]
        found.append(replace(trace, runs=tuple(sorted(runs, key=_moment))))
    there = {trace.pod for trace in traces}
    model = traces[0]
    others = sorted(
        ((pod, runs) for pod, runs in history.pods.items() if pod not in there),
        key=lambda entry: sum(len(run.samples) for run in entry[1]),
        reverse=True,
    )[:MOST_SIBLINGS]
    return found + [replace(model, runs=runs, pod=pod, node=None) for pod, runs in others]


def _moment(run: Run) -> float:
    known = [run.started, run.samples[0].t if run.samples else None, run.end.t if run.end else None]
    return min((moment for moment in known if moment is not None), default=math.inf)


def _filled(run: Run, longer: Sequence[Run]) -> Run:
    """Return a run of which no agent measured anything with the store's samples of before its end."""
    if run.samples:
        return run
    store = next((one for one in longer if one.container_id == run.container_id), None)
    if store is None:
        return run
    samples = tuple(one for one in store.samples if run.end is None or one.t <= run.end.t)
    return replace(run, samples=samples, started=run.started if run.started is not None else store.started)


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    pods: Mapping[str, tuple[PackedRun, ...]]
    missing: tuple[str, ...]

    def history(self) -> LongHistory:
        return LongHistory({pod: tuple(map(unpacked, runs)) for pod, runs in self.pods.items()}, self.missing)


def _kept(found: LongHistory, until: float) -> _Kept:
    return _Kept(until, {pod: tuple(map(packed, runs)) for pod, runs in found.pods.items()}, found.missing)


class HistoryReader:
    """Asks the store, each answer kept for ten minutes. May be called from any thread."""

    def __init__(
        self,
        store: Prometheus,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._wall = wall
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._silent: tuple[float, str] | None = None

    def extend(self, traces: Sequence[Trace], question: Question) -> tuple[list[Trace], tuple[str, ...]]:
        """Return the traces with two weeks of history, and what is missing of it. Blocks; never raises StoreError."""
        history = self.of(question)
        return joined(traces, history), history.missing

    def of(self, question: Question) -> LongHistory:
        """Return two weeks of a workload, and what is missing of them. Blocks; never raises StoreError."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(question)
            if kept is not None and now < kept.until:
                return kept.history()
            if self._silent is not None and now < self._silent[0]:
                return LongHistory({}, (self._silent[1],))
        try:
            found = self._asked(question)
        except StoreError as error:
            said = f"long history: {error}"
            with self._lock:
                self._silent = now + SILENT_SECONDS, said
            return LongHistory({}, (said,))
        with self._lock:
            self._kept[question] = _kept(found, now + KEPT_SECONDS)
            self._kept.move_to_end(question)
            while len(self._kept) > MOST_KEPT or next(iter(self._kept.values())).until <= now:
                self._kept.popitem(last=False)
        return found

    def _asked(self, question: Question) -> LongHistory:
        now, chosen = self._wall(), selector(question)

        def over(metric: str, step: int) -> list[Series]:
            query = f"max by (pod,id,name) (max_over_time({metric}{{{chosen}}}[{step}s]))"
            return self._store.over(query, now - WINDOW, now, step)

        usage, step = self._usage(over, step_for(question.replicas))
        if not usage:
            return LongHistory({}, (f"long history: {self._store.name} has no series of this workload",))
        window = f"{WINDOW:.0f}s"
        starts = f"max by (pod,id,name) (last_over_time(container_start_time_seconds{{{chosen}}}[{window}]))"
        restarts = f"max by (pod) (max_over_time(kube_pod_container_status_restarts_total{{{chosen}}}[{window}]))"
        pods = runs_of(
            usage,
            over("container_spec_memory_limit_bytes", max(_LIMIT_STEP, step)),
            self._store.at(starts, now),
            now,
            step,
        )
        return LongHistory(pods, tuple(_lacking(pods, self._store.at(restarts, now), usage)))

    def _usage(self, over: Callable[[str, int], list[Series]], step: int) -> tuple[list[Series], int]:
        """Return the usage and its step (seconds): two weeks may have seen many more pods than live now."""
        for longer in _LONGER:
            try:
                found = over("container_memory_working_set_bytes", step * longer)
            except TooLongError:
                continue
            if sum(len(series.points) for series in found) <= 2 * MOST_POINTS:
                return found, step * longer
        raise TooLongError(f"{self._store.name} has too many series of this workload")


def _lacking(pods: Mapping[str, Sequence[Run]], restarts: Iterable[Series], usage: Sequence[Series]) -> Iterable[str]:
    """Yield what the store did not see: runs too short to be scraped, and series without a container ID."""
    nobodys = sum(_key(series) is None for series in usage)
    if nobodys:
        yield f"long history: {nobodys} series carry no container ID (labels id and name) and are left out"
    counts = ((series.labels.get("pod", ""), count) for series in restarts for _, count in series.points[-1:])
    lives = {pod: count + 1 for pod, count in counts if math.isfinite(count)}
    unseen = sum(max(int(lives[pod]) - len(runs), 0) for pod, runs in pods.items() if pod in lives)
    if unseen:
        yield f"long history: {unseen} runs were too short to be scraped, or are older than two weeks"
