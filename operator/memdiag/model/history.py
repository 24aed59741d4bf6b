"""History: runs of the containers of one pod as a table of short strings, one a column, small enough for an object.

A column is a row of whole numbers divided by spaces: the first known value stands as it is, every later one as its
difference from the last known value, and `x` is a value that is not known. Rows are in time order within a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from memdiag.model.trace import Level, Pressure, Run, RunEnd, Sample, unreclaimable_kernel_bytes

UNLIMITED = -1
"""The `limit` column's value for "max"."""

COLUMNS: dict[str, str] = {
    "run": "index into the list of runs",
    "t": "Unix time in tenths of a second",
    "current": "memory.current, KiB",
    "limit": "memory.max, KiB, -1 for max",
    "anon": "memory.stat anon, KiB",
    "file": "memory.stat file (page cache, shmem included), KiB",
    "shmem": "memory.stat shmem, KiB",
    "kernel": "kernel memory that cannot be reclaimed, KiB",
    "slabReclaimable": "memory.stat slab_reclaimable, KiB",
    "sock": "memory.stat sock, KiB",
    "swap": "memory.swap.current, KiB",
    "maxEvents": "memory.events max: times the limit was hit",
    "refaults": "memory.stat workingset_refault_file: pages read again after they had been dropped",
    "cpu": "cpu.stat usage_usec, milliseconds",
    "psiSome": "memory.pressure some total, milliseconds",
    "psiFull": "memory.pressure full total, milliseconds",
    "pids": "pids.current",
    "packets": "packets received in the container's network namespace",
}
"""Every column and its unit, in the order that they are written."""


@dataclass(frozen=True, slots=True)
class HistoryRun:
    """One run of the table: its container ID and, where they were seen, its first and last instant (Unix seconds)."""

    container_id: str
    started: float | None
    ended: float | None
    killed: bool | None = None
    peak: int | None = None
    """Highest memory.peak seen, bytes."""


@dataclass(frozen=True, slots=True)
class History:
    """The table: runs oldest first, and one string a column."""

    runs: tuple[HistoryRun, ...]
    columns: dict[str, str]


def encode_column(values: Iterable[int | None]) -> str:
    """Return a column's text."""
    words: list[str] = []
    last: int | None = None
    for value in values:
        if value is None:
            words.append("x")
            continue
        words.append(str(value if last is None else value - last))
        last = value
    return " ".join(words)


def decode_column(text: str, rows: int) -> list[int | None]:
    """Return a column's values, None where not known; a column that is absent (empty) is all None.

    Raises ValueError when a word is no number or the count of rows is another.
    """
    if not text:
        return [None] * rows
    words = text.split(" ")
    if len(words) != rows:
        raise ValueError(f"history column has {len(words)} rows, expected {rows}")
    if "x" not in words:
        return list(accumulate(map(int, words)))
    values: list[int | None] = []
    last = 0
    for word in words:
        if word == "x":
            values.append(None)
        else:
            last += int(word)
            values.append(last)
    return values


def _kib(value: int | None) -> int | None:
    return None if value is None else value // 1024


def to_row(index: int, sample: Sample) -> dict[str, int | None]:
    """Return one row of the table: `index` is the run's, the values are in the units of COLUMNS."""
    level = sample.level
    limit = level.max
    some, full = level.pressure_some, level.pressure_full
    cpu = level.cpu.get("usage_usec")
    return {
        "run": index,
        "t": round(sample.t * 10),
        "current": _kib(level.current),
        "limit": UNLIMITED if limit == "max" else _kib(limit),
        "anon": _kib(level.stat.get("anon")),
        "file": _kib(level.stat.get("file")),
        "shmem": _kib(level.stat.get("shmem")),
        "kernel": _kib(unreclaimable_kernel_bytes(level.stat)),
        "slabReclaimable": _kib(level.stat.get("slab_reclaimable")),
        "sock": _kib(level.stat.get("sock")),
        "swap": _kib(level.swap_current),
        "maxEvents": level.events.get("max"),
        "refaults": level.stat.get("workingset_refault_file"),
        "cpu": None if cpu is None else cpu // 1000,
        "psiSome": None if some is None or some.total is None else some.total // 1000,
        "psiFull": None if full is None or full.total is None else full.total // 1000,
        "pids": level.pids,
        "packets": sample.net.get("rx_packets"),
    }


def encode(runs: Sequence[tuple[HistoryRun, Sequence[Sample]]]) -> History:
    """Return the table of these runs and their samples; columns of which nothing is known are left out."""
    rows = [to_row(index, sample) for index, (_, samples) in enumerate(runs) for sample in samples]
    columns = {
        name: encode_column(row[name] for row in rows) for name in COLUMNS if any(row[name] is not None for row in rows)
    }
    return History(tuple(run for run, _ in runs), columns)


_NOTHING: Mapping[str, int] = MappingProxyType({})
_NO_LEVELS: Mapping[str, Level] = MappingProxyType({})


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * 1024


def from_row(row: Sequence[int | None]) -> Sample:
    """Return the sample that a row holds, its values in the order of COLUMNS. Raises ValueError for one without a time.

    A verdict reads thousands of rows: nothing is looked up by name here.
    """
    (
        _run, tenths, current, limit, anon, file, shmem, kernel, slab, sock, swap, events, refaults, cpu, some, full,
        pids, packets,
    ) = row  # fmt: skip
    if tenths is None:
        raise ValueError("history row without a time")
    stat: dict[str, int] = {}
    if anon is not None:
        stat["anon"] = anon * 1024
    if file is not None:
        stat["file"] = file * 1024
    if shmem is not None:
        stat["shmem"] = shmem * 1024
    if sock is not None:
        stat["sock"] = sock * 1024
    if slab is not None:
        stat["slab_reclaimable"] = slab * 1024
    if kernel is not None:
        stat["kernel"] = (kernel + (slab or 0)) * 1024
    if refaults is not None:
        stat["workingset_refault_file"] = refaults
    return Sample(
        tenths / 10,
        Level(
            current=_bytes(current),
            max="max" if limit == UNLIMITED else _bytes(limit),
            swap_current=_bytes(swap),
            events=_NOTHING if events is None else {"max": events},
            events_local=_NOTHING,
            stat=stat,
            pressure_some=None if some is None else Pressure(total=some * 1000),
            pressure_full=None if full is None else Pressure(total=full * 1000),
            cpu=_NOTHING if cpu is None else {"usage_usec": cpu * 1000},
            pids=pids,
        ),
        ancestors=_NO_LEVELS,
        node=_NOTHING,
        net=_NOTHING if packets is None else {"rx_packets": packets},
    )


def decode(history: History) -> list[Run]:
    """Return the runs of a table with their samples, oldest run first.

    Raises ValueError on a malformed table: columns of different lengths, a row without run or time, an unknown run.
    """
    run_column = history.columns.get("run", "")
    count = len(run_column.split(" ")) if run_column else 0
    columns = [decode_column(history.columns.get(name, ""), count) for name in COLUMNS]
    samples: list[list[Sample]] = [[] for _ in history.runs]
    for position, row in enumerate(zip(*columns, strict=True)):
        index = row[0]
        if index is None or not 0 <= index < len(samples):
            raise ValueError(f"history row {position} names no run of its table")
        samples[index].append(from_row(row))
    return [
        Run(
            container_id=run.container_id,
            started=run.started,
            samples=tuple(found),
            end=None if run.ended is None else RunEnd(t=run.ended, killed=run.killed, level=Level(peak=run.peak)),
        )
        for run, found in zip(history.runs, samples, strict=True)
    ]


def select(history: History, container_ids: Collection[str]) -> History | None:
    """Return the table with the runs of these container IDs only, None when it has none of them.

    Raises ValueError on a malformed table.
    """
    kept = [index for index, run in enumerate(history.runs) if run.container_id in container_ids]
    if not kept:
        return None
    run_column = history.columns.get("run", "")
    count = len(run_column.split(" ")) if run_column else 0
    values = {name: decode_column(text, count) for name, text in history.columns.items()}
    if len(kept) == len(history.runs):
        return history
    place = {index: position for position, index in enumerate(kept)}
    rows = [row for row in range(count) if values["run"][row] in place]
    columns = {
        name: encode_column(
            column[row] if name != "run" else place[index]
            for row in rows
            for index in [values["run"][row]]
            if index is not None
        )
        for name, column in values.items()
        if any(column[row] is not None for row in rows)
    }
    return History(tuple(history.runs[index] for index in kept), columns)
