"""The last check that no kill was missed: what the kernel counts beside what was told. Pure, it reads nothing.

The kernel counts each killed process in /proc/vmstat's `oom_kill` and, at the same place in mm/oom_kill.c, in the
victim's cgroup and every one above it. Kills in pods are what the topmost cgroups above pods count; what vmstat has
beyond that died outside of pods. A difference that is still there at the next look, ten seconds later, is a miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_TOP = "kubepods"


def topmost(paths: Iterable[str]) -> list[str]:
    """Return of the cgroups above pods the topmost that hold pods only; without one of that name, the topmost."""
    below_root = [path for path in paths if path.strip("/")]
    named = [path for path in below_root if _TOP in path.rpartition("/")[2]] or below_root
    return [path for path in named if not any(other != path and path.startswith(other + "/") for other in named)]


@dataclass(slots=True)
class CrossCheck:
    """Processes killed since `begin`, by three counts. All are numbers of `oom_kill` steps."""

    missed: int = 0
    """Killed in pods, and never told."""
    outside: int | None = None
    """Killed outside of pods, None where the kernel's vmstat does not say."""
    _node: int | None = None
    _above: dict[str, int] | None = None
    _told: int = 0
    _doubt: int = 0

    def begin(self, node: int | None, above: Mapping[str, int], told: int) -> None:
        """Take the counts as they stand once what was found at the start has been told."""
        self._node, self._above, self._told, self._doubt = node, dict(above), told, 0
        self.outside = None if node is None else 0

    def look(self, node: int | None, above: Mapping[str, int], told: int) -> int:
        """Take the counts of now; returns how many kills turned out to be missed since the last look.

        `node` is vmstat's count, `above` those of the topmost cgroups by path, `told` the steps that reports account
        for. A cgroup that was made anew counts from 0.
        """
        if self._above is None:
            self.begin(node, above, told)
            return 0
        in_pods = 0
        for path, count in above.items():
            before = self._above.get(path, 0)
            in_pods += count - before if count >= before else count
        if not above and node is not None and self._node is not None:
            in_pods = node - self._node
        if node is not None and self._node is not None:
            self.outside = max(node - self._node - in_pods, 0)
        open_now = max(in_pods - (told - self._told) - self.missed, 0)
        found = min(open_now, self._doubt)
        self.missed += found
        self._doubt = open_now - found
        return found
