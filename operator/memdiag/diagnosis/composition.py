"""Composition: which class of memory made the rise, and what kind of leak that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memdiag.model.trace import Sample, unreclaimable_kernel_bytes
from memdiag.model.verdict import Mechanism

_CLASSES: dict[str, Callable[[Sample], int | None]] = {
    "anonymous memory": lambda sample: sample.level.stat.get("anon"),
    "shared memory and tmpfs": lambda sample: sample.level.stat.get("shmem"),
    "kernel memory": lambda sample: unreclaimable_kernel_bytes(sample.level.stat),
    "socket buffers": lambda sample: sample.level.stat.get("sock"),
    "swap": lambda sample: sample.level.swap_current,
}
_LEAKS = {
    "anonymous memory": Mechanism.HEAP_LEAK,
    "swap": Mechanism.HEAP_LEAK,
    "shared memory and tmpfs": Mechanism.TMPFS_FILL,
    "kernel memory": Mechanism.KERNEL_OBJECT_LEAK,
    "socket buffers": Mechanism.KERNEL_OBJECT_LEAK,
}
_MORE_TASKS = 10
_PROCESS_BYTES = 2**19
"""A process of its own costs more than this; a thread's stacks cost less."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The class that grew most, its share of all growth, and how the count of tasks went."""

    name: str
    share: float
    grown: int
    """Bytes that all classes together grew by."""
    tasks_from: int | None
    tasks_to: int | None

    @property
    def leak(self) -> Mechanism:
        """Return the kind of leak that grows this class."""
        if self.tasks_from is not None and self.tasks_to is not None:
            more = self.tasks_to - self.tasks_from
            if more >= _MORE_TASKS and self.tasks_to >= 2 * self.tasks_from:
                return Mechanism.THREAD_LEAK if self.grown / more < _PROCESS_BYTES else Mechanism.PROCESS_LEAK
        return _LEAKS[self.name]


def composition_of(samples: Sequence[Sample]) -> Composition | None:
    """Return what grew from the run's first tenth to its end, None when the parts are not known or nothing grew."""
    known = [sample for sample in samples if "anon" in sample.level.stat]
    if len(known) < 3:
        return None
    first, last = known[len(known) // 10], known[-1]
    growth: dict[str, int] = {}
    for name, read in _CLASSES.items():
        before, after = read(first), read(last)
        if before is not None and after is not None and after > before:
            growth[name] = after - before
    total = sum(growth.values())
    if not total:
        return None
    name = max(growth, key=lambda key: growth[key])
    return Composition(name, growth[name] / total, total, first.level.pids, last.level.pids)
