"""Arenas: whether a rise looks like memory that malloc holds back, as far as counters of a cgroup can hint at it."""

from __future__ import annotations

from memdiag.diagnosis.composition import Class
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.runtime import Runtime

_ARENA_TASKS = 8
"""glibc gives threads arenas of their own, up to 8 a core on 64 bits (mallopt(3)); few threads waste little."""
_OWN_COLLECTORS = frozenset({Runtime.GO, Runtime.ERLANG})
"""Runtimes whose memory is not malloc's, so that its arenas cannot hold it back."""
_ALLOCATOR_SET = ("jemalloc", "tcmalloc", "mimalloc", "MALLOC_ARENA_MAX")


def retained_in_arenas(found: Features) -> bool:
    """Say whether a rise looks like memory that malloc's arenas hold back: a guess from counters, never a proof.

    The arenas' worst case is the peak of each, so such a rise slows down under a load that does not, in a program with
    many threads whose number stays; cgroup files cannot tell free memory inside a heap from used memory.
    """
    parts = found.composition
    if parts is None or parts.name is not Class.ANON or parts.tasks is None:
        return False
    if found.runtime.runtime in _OWN_COLLECTORS or any(name in found.runtime.settings for name in _ALLOCATOR_SET):
        return False
    slows = found.slackening or found.perhaps_slackening
    return slows and parts.tasks.before >= _ARENA_TASKS and parts.tasks.after < 2 * parts.tasks.before
