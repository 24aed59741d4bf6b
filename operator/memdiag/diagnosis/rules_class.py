"""Rules about the class of memory that rose: piled-up tasks and kernel objects seldom are what a program needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memdiag.diagnosis.composition import Class
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.observation import Observation, ramp
from memdiag.diagnosis.words import percent


def tasks(found: Features) -> Iterator[Observation]:
    """Threads or processes pile up with the rise and go on to the end."""
    composition = found.composition
    if composition is None or composition.tasks is None or composition.tasks.leak is None or not found.rising:
        return
    count = composition.tasks
    text = f"Threads and processes piled up with the rise, from {count.before} to {count.after}, and none went away."
    yield Observation("tasks_pile_up", ramp(count.after / max(count.before, 1), 2.0, 6.0), count.after, None, text)


def kernel_objects(found: Features) -> Iterator[Observation]:
    """Most of the rise is memory that the kernel holds for the program: sockets, pipes, files, tables."""
    composition = found.composition
    if composition is None or composition.name not in (Class.KERNEL, Class.SOCK) or not found.rising:
        return
    text = f"{percent(composition.share)} of the rise is memory that the kernel holds for it, no data of its own."
    yield Observation("kernel_objects", ramp(composition.share, 0.4, 0.8), composition.share, 0.4, text)


RULES: tuple[Callable[[Features], Iterator[Observation]], ...] = (tasks, kernel_objects)
