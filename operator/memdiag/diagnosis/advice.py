"""Advice: what to do next for a cause, its mechanism and the runtime, in a few steps; sizes follow from the limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from memdiag.diagnosis.arenas import retained_in_arenas
from memdiag.diagnosis.features import Features
from memdiag.diagnosis.profilers import HEAP, OUTSIDE, TASKS
from memdiag.diagnosis.runtime import HEAP_SHARES, HOTSPOT_LEAST, SETTING_OF_CAP, Runtime
from memdiag.diagnosis.words import human_bytes, percent
from memdiag.model.verdict import Cause, Mechanism

MOST_STEPS = 4

_MIB = 2**20
_GO_SHARE = 0.9
"""What the Go documentation's guide to the collector leaves free: 5 to 10 %."""
_ARENAS = (
    "A guess from the shape: freed memory may be held back in malloc's arenas, which cgroup files cannot show. Set "
    "MALLOC_ARENA_MAX=2 and compare the next run."
)
_JEMALLOC = (
    "Or load jemalloc (LD_PRELOAD=libjemalloc.so.2 with MALLOC_CONF=background_thread:true), which gives freed pages "
    "back; a leak that stays the same under it is a true one."
)

_Steps = Callable[[Features], tuple[str, ...]]


def _mebibytes(found: Features, share: float) -> int | None:
    return None if found.limit is None else max(1, int(found.limit * share) // _MIB)


def _heap_setting(found: Features) -> str:
    """Return the setting that keeps this runtime's heap within the limit."""
    runtime, limit = found.runtime.runtime, "the limit" if found.limit is None else human_bytes(found.limit)
    if runtime is Runtime.JVM:
        small = found.limit is not None and found.limit / 2 < HOTSPOT_LEAST
        flag, share = "-XX:MaxRAMPercentage", HEAP_SHARES[runtime]
        if small:
            flag += " and -XX:MinRAMPercentage (in so small a container the JVM reads the second one)"
        return (
            f"Drop -Xmx and set {flag} to {100 * share:.0f}: the heap then follows the limit of "
            f"{limit}{_exact(found, '-Xmx{}m', share)}."
        )
    if runtime is Runtime.NODE:
        size = _mebibytes(found, HEAP_SHARES[runtime])
        wanted = "three quarters of the limit in MiB" if size is None else str(size)
        return (
            f"Set NODE_OPTIONS=--max-old-space-size={wanted}: by default V8 takes at least 256 MiB, whatever the limit."
        )
    if runtime is Runtime.DOTNET:
        share = HEAP_SHARES[runtime]
        return f"Set DOTNET_GCHeapHardLimitPercent=0x{int(100 * share):X} ({percent(share)}; hexadecimal)."
    return _go_limit(found)


def _exact(found: Features, form: str, share: float) -> str:
    size = _mebibytes(found, share)
    return "" if size is None else f" (now {form.format(size)})"


def _go_limit(found: Features) -> str:
    size = _mebibytes(found, _GO_SHARE)
    wanted = "90 % of the limit" if size is None else f"{size}MiB"
    return f"Set GOMEMLIMIT={wanted}: the collector then works harder near the limit; memory in use it cannot free."


def _heap(found: Features) -> tuple[str, ...]:
    steps = HEAP.get(found.runtime.runtime, HEAP[None])
    return (*steps, _ARENAS) if retained_in_arenas(found) else steps


def _outside(found: Features) -> tuple[str, ...]:
    return OUTSIDE.get(found.runtime.runtime, OUTSIDE[None])


def _either(found: Features) -> tuple[str, ...]:
    """Return the steps for a leak of anonymous memory that may be inside the heap or outside of it."""
    setting = SETTING_OF_CAP.get(found.runtime.runtime) if found.runtime.runtime is not None else None
    if setting is None:
        return _heap(found)
    first = f"Find out whether the heap or memory outside it grows: the heap never passes its cap ({setting})."
    return (first, *_outside(found)[:1], *_heap(found)[:2])


def _processes(found: Features) -> tuple[str, ...]:
    tasks = found.composition.tasks if found.composition is not None else None
    if tasks is not None and tasks.unreaped:
        return (
            (
                f"The number of tasks rose from {tasks.before} to {tasks.after} and they hold no stacks: dead children "
                "that nobody waits for. See them with `ps -eo pid,ppid,stat,comm` (state Z)."
            ),
            (
                "Run an init as process 1 that reaps them (tini or dumb-init, or shareProcessNamespace: true), or wait "
                "for each child in the program."
            ),
        )
    count = "" if tasks is None else f" (tasks: {tasks.before} to {tasks.after})"
    return (
        f"See which processes pile up{count}: `ps -eo pid,ppid,etimes,rss,stat,comm --sort=etimes`.",
        "Give each child a time limit, end the pool's idle workers, and wait for children that ended.",
    )


def _threads(found: Features) -> tuple[str, ...]:
    tasks = found.composition.tasks if found.composition is not None else None
    count = "" if tasks is None else f" The number of tasks rose from {tasks.before} to {tasks.after}."
    return (
        TASKS.get(found.runtime.runtime, TASKS[None]) + count,
        (
            "Use a pool of bounded size and stop threads whose work is done; until then pids.max or a smaller stack "
            "(ulimit -s, -Xss) only moves the end."
        ),
    )


def _kernel_objects(found: Features) -> tuple[str, ...]:
    if found.composition is not None and found.composition.sockets:
        return (
            "See which sockets hold bytes: `ss -tmnp` in the pod (skmem: r is unread, t is unsent).",
            "Read or close them: a peer that does not read, or a reader that stopped, keeps its buffers full.",
        )
    return (
        "Count open files and pipes: `ls /proc/1/fd | wc -l` and `ls -l /proc/1/fd`, twice, some minutes apart.",
        "On the node, see which kernel objects grow: `slabtop -o -s c` (reads /proc/slabinfo, needs root).",
        "Close what is opened (files, pipes, sockets, epoll, inotify, timers), also on the way of an error.",
    )


def _tmpfs(found: Features) -> tuple[str, ...]:
    size = _mebibytes(found, 0.25)
    wanted = "a size of its own" if size is None else f"for example {size}Mi"
    return (
        "Files in memory grow: `df -h -t tmpfs`, `du -xh /dev/shm /tmp` in the container; `ipcs -m` for shared memory.",
        f"Delete them when done, and set sizeLimit on the emptyDir with medium: Memory ({wanted}).",
        "Or put them on disk: an emptyDir without medium: Memory does not count as memory.",
    )


def _fragmentation(_: Features) -> tuple[str, ...]:
    return _ARENAS, _JEMALLOC, "Or call malloc_trim(0) after each large batch of work (glibc)."


def _load(found: Features) -> tuple[str, ...]:
    steps: tuple[str, ...] = ("Add replicas, or bound what one replica takes on (connections, workers, queue length).",)
    if found.runtime.runtime is Runtime.POSTGRES:
        steps += (
            "Each connection may use work_mem several times over: lower max_connections or work_mem, or use a pooler.",
        )
    if found.runtime.runtime is Runtime.GO:
        steps += (_go_limit(found),)
    return (*steps, "Measure memory per request or session, and set the limit for the load that one replica may get.")


def _data(found: Features) -> tuple[str, ...]:
    redis = (
        "Set maxmemory with a policy such as allkeys-lru, or expire keys (`redis-cli --memkeys` shows the largest).",
    )
    return (
        *(redis if found.runtime.runtime is Runtime.REDIS else ()),
        "Decide how much data one instance may hold: shard it, expire it, or keep it on disk.",
        "Plan the next raise by the date in the forecast, not by the next kill.",
    )


def _version(_: Features) -> tuple[str, ...]:
    return (
        "Roll back, or compare heap profiles of both revisions under the same load.",
        "Look at what changed with it: dependencies, base image, worker count, cache sizes, runtime version.",
    )


def _steady(_: Features) -> tuple[str, ...]:
    return (
        "Raise the limit as recommended, and watch the level for a day of usual load.",
        "Or make the level smaller: fewer workers, smaller pools and caches.",
    )


def _startup(_: Features) -> tuple[str, ...]:
    return (
        "Raise the limit so that the start fits, then look whether the level afterwards allows a lower one.",
        "Or make the start smaller: load in parts, stream instead of reading whole files, start fewer workers at once.",
    )


def _burst(found: Features) -> tuple[str, ...]:
    redis = (
        (
            "A fork for a snapshot or a rewrite copies what is written meanwhile: plan up to twice the data set, or "
            "write snapshots on a replica."
        ),
    )
    return (
        *(redis if found.runtime.runtime is Runtime.REDIS else ()),
        "Find the request or job at the time of the kill (access log, cron, consumer), and bound its size or number.",
        "Give the limit room for the peak and keep the request at the usual level.",
    )


def _cache(_: Features) -> tuple[str, ...]:
    return (
        "Bound the cache in bytes, not in entries, well below the limit.",
        "Or raise the limit to where the filling comes to rest; hit rates tell whether that is worth it.",
    )


def _runtime_heap(found: Features) -> tuple[str, ...]:
    cap = found.runtime.heap_cap
    told = "" if cap is None else f" It may grow to {human_bytes(cap)} now."
    return (
        _heap_setting(found) + told,
        "Then watch the collector: if it works all the time, the live data needs a higher limit.",
    )


def _huge_pages(_: Features) -> tuple[str, ...]:
    return (
        (
            "Compare with transparent huge pages off for this program: prctl(PR_SET_THP_DISABLE), or on a test node "
            "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`."
        ),
        (
            "Keep khugepaged from filling holes: lower /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none on "
            "the node."
        ),
    )


def _overcommit(_: Features) -> tuple[str, ...]:
    return (
        "Set memory requests near what pods use, so that the scheduler does not put more on a node than fits.",
        (
            "Find the pods above their request: `kubectl top pod -A --sort-by=memory`; give the node's services room "
            "(kube-reserved, system-reserved)."
        ),
    )


def _ancestor(_: Features) -> tuple[str, ...]:
    return (
        "See which group's limit it is: memory.max and memory.events of each directory above the pod's cgroup.",
        "Raise that limit (kubepods, a QoS slice or a nested one), or move some of its pods away.",
    )


def _eviction(_: Features) -> tuple[str, ...]:
    return (
        "The kubelet evicted the pod: set its memory request near what it uses, so that others are evicted first.",
        "Look at the node: `kubectl describe node` shows MemoryPressure and what is allocated.",
    )


def _external(_: Features) -> tuple[str, ...]:
    return (
        "See who ended it: `kubectl describe pod` (failed liveness probe, preemption, eviction) and the pod's events.",
        "An exit with 137 at a roll-out is a program that ignores SIGTERM until its grace period is over.",
    )


STEPS: Mapping[Mechanism, _Steps] = {
    Mechanism.HEAP_LEAK: _heap,
    Mechanism.OFF_HEAP_LEAK: _outside,
    Mechanism.THREAD_LEAK: _threads,
    Mechanism.PROCESS_LEAK: _processes,
    Mechanism.KERNEL_OBJECT_LEAK: _kernel_objects,
    Mechanism.TMPFS_FILL: _tmpfs,
    Mechanism.FRAGMENTATION: _fragmentation,
    Mechanism.LOAD_GROWTH: _load,
    Mechanism.DATA_GROWTH: _data,
    Mechanism.VERSION_REGRESSION: _version,
    Mechanism.STEADY_ABOVE_LIMIT: _steady,
    Mechanism.STARTUP_PEAK: _startup,
    Mechanism.BURST: _burst,
    Mechanism.CACHE_ABOVE_LIMIT: _cache,
    Mechanism.RUNTIME_HEAP_EXCEEDS_LIMIT: _runtime_heap,
    Mechanism.HUGE_PAGE_BLOAT: _huge_pages,
    Mechanism.NO_HEADROOM: _steady,
    Mechanism.NODE_OVERCOMMIT: _overcommit,
    Mechanism.ANCESTOR_LIMIT: _ancestor,
    Mechanism.EVICTION: _eviction,
    Mechanism.EXTERNAL_SIGKILL: _external,
}
"""The steps of each mechanism."""

_WITHOUT: Mapping[Cause, _Steps] = {
    Cause.LEAK: _either,
    Cause.GROWTH: _load,
    Cause.UNDERESTIMATED_LIMIT: _steady,
    Cause.NODE_PRESSURE: _overcommit,
    Cause.NOT_KERNEL_OOM: _external,
    Cause.INCONCLUSIVE: lambda _: (),
}
"""The steps of a cause whose mechanism is not known."""


def _beside(found: Features, cause: Cause) -> tuple[str, ...]:
    """Return what pressure adds, where it bears on the limit."""
    pressure = found.pressure
    if pressure is None or cause not in (Cause.UNDERESTIMATED_LIMIT, Cause.GROWTH):
        return ()
    if pressure.thrash and pressure.cache_needed:
        return (
            (
                f"Leave room for {human_bytes(pressure.cache_needed)} of file pages too: before the kill they were "
                "dropped and read again."
            ),
        )
    if pressure.swapped:
        return (f"{human_bytes(pressure.swapped)} were swapped out and count as demand: without swap it ends sooner.",)
    return ()


def next_steps(found: Features, cause: Cause, mechanism: Mechanism | None) -> tuple[str, ...]:
    """Return at most MOST_STEPS things to do next, the most telling first; none where the cause is not known."""
    steps = STEPS[mechanism](found) if mechanism is not None else _WITHOUT[cause](found)
    beside = _beside(found, cause)
    return (*steps[: MOST_STEPS - len(beside)], *beside)
