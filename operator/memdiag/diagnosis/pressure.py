"""Pressure: whether page cache was squeezed out and read again before the end, how long tasks stalled, and for what.

Kernel facts (Documentation/admin-guide/cgroup-v2.rst, accounting/psi.rst; mm/workingset.c): `workingset_refault_file`
counts pages read again that had been dropped not long before, so a rise is cache that was needed and did not fit;
`max` in memory.events counts how often the cgroup was about to go over its limit; the totals of PSI are microseconds in
which some, or all, tasks stood still for want of memory; `pgmajfault` counts faults that had to wait for a disk, among
them those on the program's own code once that was dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memdiag.model.trace import Run, Sample

PAGE = 4096
"""Bytes of one base page on x86-64; workingset counters count these."""

_LAST = 0.2
"""Share of a life that is its end."""
_START = 0.1
_MOST_STEPS = 200
_MOST_READ = 2000
_HEAVY = 0.05
"""Refaults of more than this share of the cache in one step: what was dropped was needed."""
_QUIET = 0.005
_STALLED = 0.1
"""Share of the time: PSI of a tenth is where people begin to feel it."""
_TURNED_OVER = 0.5
"""Share of the cache that is read again within the end when it is being squeezed."""


@dataclass(frozen=True, slots=True)
class MemoryPressure:
    """The last part of a life against the part before; None is "not recorded". Sizes are bytes, shares 0 to 1."""

    stalled: float | None
    """Share of the last part in which some task waited for memory."""
    stalled_before: float | None
    stalled_fully: float | None
    """The same for all tasks at once."""
    limit_hits: int | None
    """Times that the limit was hit in the last part."""
    refaulted: int | None
    """File pages read again in the last part, bytes."""
    refaulted_before: int | None
    """The same in the part before, scaled to the length of the last one."""
    major_faults: int | None
    swapped: int | None
    """Swapped-out memory at the end."""
    swap_refaulted: int | None
    """Memory brought back from swap in the last part, bytes."""
    cache: int | None
    """Page cache (without shared memory) at the end."""
    cache_before: int | None
    """The highest page cache before the last part."""
    cache_needed: int | None
    """Page cache that refaults show to be needed: 0 when hardly any page had to be read again."""

    @property
    def thrash(self) -> bool:
        """Return whether needed page cache was dropped and read again: the limit was too small for cache and demand."""
        if self.refaulted is None or self.cache_before is None or self.cache is None:
            return False
        again = self.refaulted >= max(_TURNED_OVER * self.cache_before, 256 * PAGE)
        more = self.refaulted_before is None or self.refaulted > 2 * self.refaulted_before
        squeezed = self.cache < self.cache_before / 2
        waited = self.stalled is None or self.stalled >= _STALLED
        return again and (waited or squeezed) and (more or squeezed)


def _cache(sample: Sample) -> int | None:
    file = sample.level.stat.get("file")
    return None if file is None else max(file - sample.level.stat.get("shmem", 0), 0)


def _stat(key: str) -> Callable[[Sample], int | None]:
    return lambda sample: sample.level.stat.get(key)


_refaults = _stat("workingset_refault_file")


def _some(sample: Sample) -> int | None:
    return None if sample.level.pressure_some is None else sample.level.pressure_some.total


def _full(sample: Sample) -> int | None:
    return None if sample.level.pressure_full is None else sample.level.pressure_full.total


def _counted(samples: Sequence[Sample], read: Callable[[Sample], int | None]) -> int | None:
    """Return by how much a counter rose, None when it was not recorded twice or went back."""
    first = next((value for sample in samples if (value := read(sample)) is not None), None)
    last = next((value for sample in reversed(samples) if (value := read(sample)) is not None), None)
    return None if first is None or last is None or last < first else last - first


def _share(samples: Sequence[Sample], read: Callable[[Sample], int | None]) -> float | None:
    stalled = _counted(samples, read)
    life = samples[-1].t - samples[0].t
    return None if stalled is None or life <= 0 else min(1.0, stalled / 1e6 / life)


def _needed(samples: Sequence[Sample]) -> int | None:
    """Return the least cache that was enough, of those larger than any that was not; 0 when nothing was read again."""
    chosen = samples[:: len(samples) // _MOST_STEPS + 1]
    quiet: list[int] = []
    heavy: list[int] = []
    seen = False
    for before, after in pairwise(chosen):
        first, last, cache = _refaults(before), _refaults(after), _cache(before)
        if first is None or last is None or cache is None or last < first:
            continue
        seen = True
        again = (last - first) * PAGE
        if again > max(_HEAVY * cache, 64 * PAGE):
            heavy.append(cache)
        elif again <= _QUIET * cache:
            quiet.append(cache)
    if not seen:
        return None
    if not heavy:
        return 0
    enough = [cache for cache in quiet if cache > max(heavy)]
    return min(enough) if enough else max(heavy)


def pressure_of(run: Run) -> MemoryPressure | None:
    """Return how a run's end differs from the time before it, None when too few samples were taken."""
    samples = run.samples
    if len(samples) < 4:
        return None
    first, life = samples[0].t, samples[-1].t - samples[0].t
    if life <= 0:
        return None
    begin, turn = (
        bisect_left(samples, first + share * life, key=lambda sample: sample.t) for share in (_START, 1 - _LAST)
    )
    turn = min(max(turn, begin + 1), len(samples) - 2)
    before, end = samples[begin : turn + 1], samples[turn:]
    if len(before) < 2:
        return None
    earlier = _counted(before, _refaults)
    span, last = before[-1].t - before[0].t, end[-1].t - end[0].t
    again, swapped_in = _counted(end, _refaults), _counted(end, _stat("workingset_refault_anon"))
    read = before[:: len(before) // _MOST_READ + 1]
    caches = [value for sample in read if (value := _cache(sample)) is not None]
    return MemoryPressure(
        stalled=_share(end, _some),
        stalled_before=_share(before, _some),
        stalled_fully=_share(end, _full),
        limit_hits=_counted(end, lambda sample: sample.level.events.get("max")),
        refaulted=None if again is None else again * PAGE,
        refaulted_before=None if earlier is None or span <= 0 else round(earlier * PAGE * last / span),
        major_faults=_counted(end, _stat("pgmajfault")),
        swapped=samples[-1].level.swap_current,
        swap_refaulted=None if swapped_in is None else swapped_in * PAGE,
        cache=_cache(samples[-1]),
        cache_before=max(caches, default=None),
        cache_needed=_needed(samples[begin:]),
    )
