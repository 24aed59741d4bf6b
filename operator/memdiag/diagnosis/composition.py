"""Composition: which class of memory made the rise, how many tasks came with it, and how much came as huge pages."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from memdiag.model.trace import Sample, unreclaimable_kernel_bytes
from memdiag.model.verdict import Mechanism

HUGE_PAGE = 2**21
"""Bytes of one transparent huge page on x86-64, and on arm64 with base pages of 4 KiB."""

_FEWEST_SAMPLES = 3
_BEFORE, _MIDDLE, _AFTER = (0.1, 0.2), (0.5, 0.6), (0.9, 1.0)
"""Shares of a life of which medians are taken: the start itself is left out, and one odd sample decides nothing."""
_MOST_READ = 64
_MORE_TASKS = 8
_GOES_ON = 0.2
"""Least share of a rise that its second half brings when it is no start."""
_PROCESS_PAGETABLES = 2**14
"""A process has page tables of its own, one page at least on each of four levels and several for its leaves; a thread
adds one leaf page or two for its stack (Documentation/mm/page_tables.rst of the kernel)."""
_PROCESS_BYTES = 2**19
"""Where page tables were not recorded: a process of its own costs more than this, a thread's used stack less."""
_DEAD_STACK = 2**12
"""A live task has a kernel stack of 16 KiB on x86-64 and arm64; a zombie has given it back and is still counted."""
_LARGEST_TASK = 2**26
"""More bytes for each new task than this: something else grew beside them."""


class Class(StrEnum):
    """A class of memory that the kernel cannot simply drop, as a statement names it."""

    ANON = "anonymous memory"
    SHMEM = "shared memory and tmpfs"
    KERNEL = "kernel memory"
    SOCK = "socket buffers"
    SWAP = "swap"


_READ: dict[Class, Callable[[Sample], int | None]] = {
    Class.ANON: lambda sample: sample.level.stat.get("anon"),
    Class.SHMEM: lambda sample: sample.level.stat.get("shmem"),
    Class.KERNEL: lambda sample: unreclaimable_kernel_bytes(sample.level.stat),
    Class.SOCK: lambda sample: sample.level.stat.get("sock"),
    Class.SWAP: lambda sample: sample.level.swap_current,
}
_LEAKS = {
    Class.ANON: Mechanism.HEAP_LEAK,
    Class.SWAP: Mechanism.HEAP_LEAK,
    Class.SHMEM: Mechanism.TMPFS_FILL,
    Class.KERNEL: Mechanism.KERNEL_OBJECT_LEAK,
    Class.SOCK: Mechanism.KERNEL_OBJECT_LEAK,
}


def _stat(key: str) -> Callable[[Sample], int | None]:
    return lambda sample: sample.level.stat.get(key)


_BESIDE: dict[str, Callable[[Sample], int | None]] = {
    "demand": lambda sample: sample.demand,
    "tasks": lambda sample: sample.level.pids,
    "kernel_stack": _stat("kernel_stack"),
    "pagetables": _stat("pagetables"),
    "slab": _stat("slab_unreclaimable"),
    "anon_thp": _stat("anon_thp"),
    "thp_collapse_alloc": _stat("thp_collapse_alloc"),
}


@dataclass(frozen=True, slots=True)
class Tasks:
    """How the count of threads and processes (zombies included) went with the rise."""

    before: int
    after: int
    leak: Mechanism | None
    """What leaks when tasks made the rise: ThreadLeak or ProcessLeak, None when they did not make it."""
    unreaped: bool = False
    """The new tasks have no kernel stack: they are dead children that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The class that grew most, its share of all growth, and what grew beside it (medians over runs)."""

    name: Class
    share: float
    grown: int
    """Bytes that all growing classes together grew by."""
    growth: Mapping[Class, int]
    """Bytes by which each class that is known grew; below 0 it shrank."""
    level: int
    """Anonymous memory and swap near the end, bytes."""
    tasks: Tasks | None = None
    sockets: bool = False
    """Of the kernel's memory it is sockets and their buffers that grew most."""
    huge_share: float | None = None
    """Transparent huge pages as a share of anonymous memory near the end, None where not recorded."""
    collapsed_share: float | None = None
    """Share of the growth of anonymous memory that khugepaged brought by merging small pages into huge ones."""

    @property
    def leak(self) -> Mechanism:
        """Return the kind of leak that grows this class, as far as the kernel's counters can tell it."""
        if self.tasks is not None and self.tasks.leak is not None:
            return self.tasks.leak
        return _LEAKS[self.name]


def _windows(samples: Sequence[Sample]) -> tuple[Sequence[Sample], ...]:
    """Return samples of the three parts of a life, at least one and at most _MOST_READ of each."""
    first, life = samples[0].t, samples[-1].t - samples[0].t
    windows: list[Sequence[Sample]] = []
    for low, high in (_BEFORE, _MIDDLE, _AFTER):
        begin = min(bisect_left(samples, first + low * life, key=lambda sample: sample.t), len(samples) - 1)
        end = max(bisect_right(samples, first + high * life, key=lambda sample: sample.t), begin + 1)
        windows.append(samples[begin : end : (end - begin) // _MOST_READ + 1])
    return tuple(windows)


def _moves(
    windows: Sequence[Sequence[Sample]], read: Callable[[Sample], int | None]
) -> tuple[float, float, float] | None:
    """Return the level before, in the middle and after, None when one is not known."""
    values = [[value for sample in window if (value := read(sample)) is not None] for window in windows]
    if not all(values):
        return None
    before, middle, after = (median(part) for part in values)
    return before, middle, after


def _typical(all_moves: Iterable[tuple[float, float, float] | None]) -> tuple[float, float, float] | None:
    known = [moves for moves in all_moves if moves is not None]
    if not known:
        return None
    before, middle, after = (median(moves[place] for moves in known) for place in range(3))
    return before, middle, after


def _grown(moves: tuple[float, float, float] | None) -> float | None:
    return None if moves is None else moves[2] - moves[0]


def _tasks(beside: Mapping[str, tuple[float, float, float] | None]) -> Tasks | None:
    count, demand = beside["tasks"], beside["demand"]
    if count is None:
        return None
    before, middle, after = count
    more = after - before
    counted = (round(before), round(after))
    if demand is None or more < _MORE_TASKS or after < 2 * before:
        return Tasks(*counted, None)
    rise = demand[2] - demand[0]
    ended = after - middle < _GOES_ON * more and demand[2] - demand[1] >= _GOES_ON * rise
    if rise <= 0 or ended or rise / more > _LARGEST_TASK:
        return Tasks(*counted, None)
    stacks, tables = _grown(beside["kernel_stack"]), _grown(beside["pagetables"])
    if stacks is not None and stacks / more < _DEAD_STACK:
        return Tasks(*counted, Mechanism.PROCESS_LEAK, unreaped=True)
    process = rise / more >= _PROCESS_BYTES if tables is None else tables / more >= _PROCESS_PAGETABLES
    return Tasks(*counted, Mechanism.PROCESS_LEAK if process else Mechanism.THREAD_LEAK)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or whole is None or whole <= 0 else max(0.0, min(1.0, part / whole))


def composition_of(runs: Iterable[Sequence[Sample]]) -> Composition | None:
    """Return what grew over these runs, None when the parts of memory are not known or nothing grew.

    Each run counts alike: levels are medians over the runs of the medians of a tenth of each run's life.
    """
    parts = ([sample for sample in samples if "anon" in sample.level.stat] for samples in runs)
    known = [_windows(samples) for samples in parts if len(samples) >= _FEWEST_SAMPLES]
    moves = {name: _typical(_moves(windows, read) for windows in known) for name, read in _READ.items()}
    growth = {name: round(more) for name, move in moves.items() if (more := _grown(move)) is not None}
    total = sum(more for more in growth.values() if more > 0)
    if total <= 0:
        return None
    name = max(growth, key=lambda key: growth[key])
    beside = {key: _typical(_moves(windows, read) for windows in known) for key, read in _BESIDE.items()}
    anon, swap, huge = moves[Class.ANON], moves[Class.SWAP], beside["anon_thp"]
    collapsed = _grown(beside["thp_collapse_alloc"])
    held = 0.0 if anon is None else anon[2]
    return Composition(
        name=name,
        share=growth[name] / total,
        grown=total,
        growth=growth,
        level=round(held + (0.0 if swap is None else swap[2])),
        tasks=_tasks(beside),
        sockets=name is Class.SOCK,
        huge_share=None if huge is None else _ratio(huge[2], held),
        collapsed_share=_ratio(None if collapsed is None else collapsed * HUGE_PAGE, _grown(anon)),
    )
