"""Which container a process belongs to, from <proc-root>/PID/cgroup, read once per process.

cgroup.procs would not do: for a reader in another pid namespace it shows 0 for every process.
"""

from __future__ import annotations

import os

from memdiag.kernel.files import parse_net_dev
from memdiag.kernel.paths import container_id_of, identify

_LONGEST = 8192
_MORE = 2048
"""A file of many records comes a page at a time: after a piece longer than this there may be another."""


def read_file(path: str, longest: int = _LONGEST) -> bytes:
    """Return a file's first bytes, none when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        piece = data = os.read(descriptor, longest)
        while len(piece) > _MORE and len(data) < longest:
            piece = os.read(descriptor, longest - len(data))
            data += piece
    except OSError:
        return b""
    else:
        return data
    finally:
        os.close(descriptor)


def container_of_cgroup(data: bytes) -> str | None:
    """Return the container that a /proc/PID/cgroup names.

    The path is shown from the reader's cgroup namespace, so only its last parts can be relied on.
    """
    for line in data.decode("utf-8", "replace").split("\n"):
        if line.startswith("0::"):
            path = line[3:]
            identity = identify(path)
            if identity is not None and identity.container_id is not None:
                return identity.container_id
            return next((found for part in path.split("/") if (found := container_id_of(part))), None)
    return None


_LOOKS = 3


class PidMap:
    """Processes of containers: who owns a pid, and one pid for each container."""

    def __init__(self, proc_root: str) -> None:
        self._root = proc_root
        self._owner: dict[int, str | None] = {}
        self._before: dict[int, str | None] = {}
        self._first: dict[str, int] = {}
        self._members: dict[str, list[int]] | None = None
        """Made when somebody asks, until the next refresh."""
        self._young: dict[int, int] = {}
        """Processes of no container, by how often they were looked at: a runtime moves them after it made them."""

    def refresh(self) -> None:
        """Look at the processes that came since the last call; those that are gone are kept for one call more."""
        try:
            living = {int(name) for name in os.listdir(self._root) if name.isdigit()}  # noqa: PTH208 - the fast way
        except OSError:
            return
        self._members = None
        self._before = {pid: owner for pid, owner in self._owner.items() if pid not in living}
        self._owner = {pid: owner for pid, owner in self._owner.items() if pid in living}
        # a runtime's helper may have been the first that was seen; the one that it made is known already
        lost = {owner for owner, pid in self._first.items() if pid not in living}
        self._first = {owner: pid for owner, pid in self._first.items() if pid in living}
        for pid, owner in sorted(self._owner.items()) if lost else ():
            if owner is not None and owner in lost:
                self._first.setdefault(owner, pid)
        self._young = {pid: looks for pid, looks in self._young.items() if pid in living and looks < _LOOKS}
        for pid in sorted((living - self._owner.keys()) | self._young.keys()):
            owner = container_of_cgroup(read_file(f"{self._root}/{pid}/cgroup"))
            self._owner[pid] = owner
            if owner is None:
                self._young[pid] = self._young.get(pid, 0) + 1
            else:
                self._young.pop(pid, None)
                self._first.setdefault(owner, pid)

    def owner(self, pid: int) -> str | None:
        """Return the container ID of a process that was seen, None when it was not or belongs to none."""
        return self._owner.get(pid) or self._before.get(pid)

    def main(self, container_id: str) -> int | None:
        """Return a container's first process, None when none was seen."""
        return self._first.get(container_id)

    def of_container(self, container_id: str) -> list[int]:
        """Return the processes of a container that were seen at the last refresh."""
        if self._members is None:
            self._members = {}
            for pid, owner in self._owner.items():
                if owner is not None:
                    self._members.setdefault(owner, []).append(pid)
        return self._members.get(container_id, [])

    def net(self, container_id: str) -> dict[str, int]:
        """Return the network counters of a container's namespace, empty when no process of it can be read."""
        pid = self._first.get(container_id)
        if pid is None:
            return {}
        return parse_net_dev(read_file(f"{self._root}/{pid}/net/dev"))
