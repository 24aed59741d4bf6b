"""Leaves out of a trace's lines what no verdict is made from, so that hundreds of traces fit into a repository."""

from __future__ import annotations

from typing import Any

STAT = frozenset(
    {
        *("anon", "file", "kernel", "kernel_stack", "pagetables", "percpu", "sock", "vmalloc", "shmem"),
        *("file_mapped", "file_dirty", "file_writeback", "anon_thp", "swapcached"),
        *("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"),
        *("slab_reclaimable", "slab_unreclaimable"),
        *("workingset_refault_anon", "workingset_refault_file", "pgscan", "pgsteal", "pgfault", "pgmajfault"),
    }
)
CPU = frozenset({"usage_usec", "user_usec", "system_usec", "nr_throttled", "throttled_usec"})
NODE = frozenset({"MemTotal", "MemAvailable", "MemFree", "SwapTotal", "SwapFree", "oom_kill"})
NODE_EVERY = 10
"""One sample of so many keeps what was read of the node."""

_LEVELS = {"memory.stat": STAT, "cpu.stat": CPU}


class Thinner:
    """Thins the lines of one run."""

    def __init__(self) -> None:
        self._samples = 0

    def thin(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a line without keys that nobody reads; what it keeps stands as the kernel printed it."""
        thinned = {**line}
        if "t" in line:
            thinned["t"] = round(line["t"], 3)
        for key, wanted in _LEVELS.items():
            if key in line:
                thinned[key] = {name: value for name, value in line[key].items() if name in wanted}
        if line["type"] == "sample":
            if self._samples % NODE_EVERY == 0 and "node" in line:
                thinned["node"] = {name: value for name, value in line["node"].items() if name in NODE}
            else:
                thinned.pop("node", None)
            self._samples += 1
        return thinned
