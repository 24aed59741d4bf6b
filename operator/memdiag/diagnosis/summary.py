"""The summary: one sentence, with its numbers, for someone who was just woken up. One for each cause and mechanism."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from memdiag.diagnosis.causes import MECHANISMS
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.sizing import hit_pods_limit, limit_at_kill, limits_in_force
from memdiag.diagnosis.stationary import beside_heap
from memdiag.diagnosis.words import duration, human_bytes, pace
from memdiag.model.kill import LimitHit
from memdiag.model.verdict import Action, Cause, Mechanism, Recommendation, Suspicion


def _limit(found: Features) -> str:
    """Return the limit that was hit: it may have been changed since."""
    if hit_pods_limit(found):
        return "its pod's limit"
    if found.limitless:
        return "the memory that there was"
    limit = limit_at_kill(found)
    return "its limit" if limit is None else f"its limit of {human_bytes(limit)}"


def _life(found: Features) -> float:
    """Return how long a life lasts; of those killed only ones under the limit of the newest kill tell."""
    limits, limit = limits_in_force(found), limit_at_kill(found)
    alike = [shape for shape in found.shapes if not shape.series.killed or limits[shape.series.index] == limit]
    return median(shape.series.life for shape in alike or found.shapes) if found.shapes else 0.0


def _base(found: Features) -> str:
    return human_bytes(median(shape.base for shape in found.shapes)) if found.shapes else "its start"


def _level(found: Features) -> str:
    return human_bytes(median(shape.floor_end for shape in found.shapes)) if found.shapes else "a steady level"


def _raised(found: Features, advice: Recommendation) -> str:
    """Return what to do about the limit, as the end of a sentence."""
    if hit_pods_limit(found):
        return ": raise that one"
    if advice.limit_bytes is None:
        return ""
    size = human_bytes(advice.limit_bytes)
    if advice.action is Action.RAISE_LIMIT:
        return f": raise it to {size}" + (" (all that its bounds allow)" if advice.warnings and advice.clamps else "")
    if advice.action is Action.LOWER_LIMIT:
        return f"; the present limit has held since, and {size} is enough"
    return "; its bounds allow no higher one" if advice.clamps else f"; the present limit of {size} fits"


_LEAKS = {
    Mechanism.OFF_HEAP_LEAK: "Memory outside the runtime's heap leaks",
    Mechanism.THREAD_LEAK: "Threads that never end pile up, and memory leaks",
    Mechanism.PROCESS_LEAK: "Child processes that never end pile up, and memory leaks",
    Mechanism.KERNEL_OBJECT_LEAK: "Kernel objects (sockets, files, mappings) pile up, and memory leaks",
    Mechanism.TMPFS_FILL: "Files in memory (tmpfs, /dev/shm, emptyDir) pile up",
    Mechanism.FRAGMENTATION: "The allocator gives freed memory back ever less, and the process grows",
}


def _leak(found: Features, _: Recommendation) -> str:
    mechanism = MECHANISMS[Cause.LEAK](found)
    what = "Memory leaks" if mechanism is None else _LEAKS.get(mechanism, "Memory leaks")
    slope = median(shape.slope for shape in found.shapes) if found.shapes else 0.0
    fix = "delete them in time" if mechanism is Mechanism.TMPFS_FILL else "fix the leak"
    if mechanism is Mechanism.FRAGMENTATION:
        fix = "try another allocator or fewer arenas"
    return (
        f"{what} at about {pace(slope)}, from {_base(found)} to {_limit(found)} in {duration(_life(found))}: {fix}, "
        "for a higher limit only delays the kill."
    )


def _growth(found: Features, advice: Recommendation) -> str:
    mechanism = MECHANISMS[Cause.GROWTH](found)
    if mechanism is Mechanism.VERSION_REGRESSION:
        return (
            f"The present version needs more memory than the one before and no longer fits into {_limit(found)}: go "
            f"back, or find what it added; if it is meant{_raised(found, advice) or ', give it a limit of its own'}."
        )
    what = {Mechanism.LOAD_GROWTH: "load", Mechanism.DATA_GROWTH: "its data"}
    grown = "what it has to hold" if mechanism is None else what.get(mechanism, "what it has to hold")
    reset = found.restarts.reset if found.restarts is not None else None
    again = "" if reset is None or reset > 0.5 else ", and a restart does not make it smaller"
    return f"Memory grows with {grown} and has outgrown {_limit(found)}{again}{_raised(found, advice)}."


_LOW = {
    Mechanism.STEADY_ABOVE_LIMIT: "It steadily needs more memory than {limit} (level {level})",
    Mechanism.STARTUP_PEAK: "Its start needs more memory than {limit}, which later is enough (level {level})",
    Mechanism.BURST: "A burst on top of its steady {level} did not fit into {limit}",
    Mechanism.CACHE_ABOVE_LIMIT: "What it caches fills up and comes to rest only above {limit}",
    Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT: "Its runtime's heap may grow larger than what {limit} leaves for it",
    Mechanism.HUGE_PAGE_BLOAT: "Huge pages make it larger than what it asked for, and than {limit}",
    Mechanism.NO_HEADROOM: "Its steady {level} leaves too little room below {limit} for ordinary ups and downs",
}


def _heap_advice(found: Features, advice: Recommendation) -> str:
    cap = found.runtime.heap_cap
    if cap is None or found.limit is None or advice.limit_bytes is None:
        return _raised(found, advice)
    if advice.limit_bytes < cap + beside_heap(cap):
        return f": its bounds allow {human_bytes(advice.limit_bytes)}, so lower the heap's cap"
    return f": set the heap's cap and the limit together, {human_bytes(cap)} in {human_bytes(advice.limit_bytes)}"


def _low(found: Features, advice: Recommendation) -> str:
    mechanism = MECHANISMS[Cause.UNDERESTIMATED_LIMIT](found)
    if mechanism is None or mechanism not in _LOW:
        what = f"Memory does not grow with age (level {_level(found)}), but its peak does not fit into {_limit(found)}"
    else:
        what = _LOW[mechanism].format(limit=_limit(found), level=_level(found))
    heap = mechanism is Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT
    return f"{what}{_heap_advice(found, advice) if heap else _raised(found, advice)}."


def _node(found: Features, _: Recommendation) -> str:
    mechanism = MECHANISMS[Cause.NODE_PRESSURE](found)
    if mechanism is Mechanism.ANCESTOR_LIMIT:
        return (
            f"A group above the pod ran out of memory, not the container against {_limit(found)}: raise that group's "
            "limit or move pods out of it."
        )
    if mechanism is Mechanism.EVICTION:
        return (
            f"The node ran short and its kubelet evicted the pod, which was not at {_limit(found)}: give the node room."
        )
    return (
        f"The node ran out of memory, not the container against {_limit(found)}: move pods away or add memory, for "
        "another limit does not help."
    )


def _not_kernel(found: Features, _: Recommendation) -> str:
    words = found.kill.words if found.kill is not None else "nothing was seen"
    return (
        f"Something killed the container with SIGKILL, but not the kernel's OOM killer ({words}): look for a probe, a "
        "deadline or a person, not for memory."
    )


def _unclear(found: Features, _: Recommendation) -> str:
    if found.kill is not None and found.kill.kernel is None:
        return "The container was killed with SIGKILL, and nothing shows whether the kernel's OOM killer did it."
    if found.limitless and not hit_pods_limit(found):
        return "The container has no memory limit of its own, and nothing shows whose limit it was killed at."
    if found.limit is not None and hit_pods_limit(found):
        return (
            f"The container was killed at its pod's limit and was far from its own of {human_bytes(found.limit)}: look "
            "at the pod's other containers and its tmpfs."
        )
    where = f"killed at {_limit(found)}"
    if found.kill is not None and found.kill.limit_hit is LimitHit.UNKNOWN:
        where = "OOM-killed" if found.limit is None else f"OOM-killed under a limit of {human_bytes(found.limit)}"
    if not found.shapes:
        return f"The container was {where}, but too few samples were taken to say why."
    return f"The container was {where} after {duration(_life(found))}; the evidence does not single out one cause."


SENTENCES: dict[Cause, Callable[[Features, Recommendation], str]] = {
    Cause.LEAK: _leak,
    Cause.GROWTH: _growth,
    Cause.UNDERESTIMATED_LIMIT: _low,
    Cause.NODE_PRESSURE: _node,
    Cause.NOT_KERNEL_OOM: _not_kernel,
    Cause.INCONCLUSIVE: _unclear,
}


def no_kill(found: Features, suspicion: Suspicion | None, advice: Recommendation | None = None) -> str:
    """Return the sentence for a trace in which nothing was killed."""
    seen = "" if not found.highest else f"; the highest demand was {human_bytes(found.highest)}"
    if suspicion is not None:
        names = {Cause.LEAK: "a leak", Cause.GROWTH: "growth with load or data"}
        what = names.get(suspicion.cause, "a low limit")
        return f"Nothing was killed{seen}, but its shape suggests {what}."
    if advice is not None and advice.action is Action.LOWER_LIMIT and advice.limit_bytes is not None:
        enough = human_bytes(advice.limit_bytes)
        return f"Nothing was killed{seen}, far below {_limit(found)}: {enough} would be enough."
    return f"Nothing was killed{seen}, and its shape gives no reason to worry."
