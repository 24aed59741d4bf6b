"""A cgroup of one's own for one command: where it may be made, with what rights, and what to do where it may not."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_WANTED = ("memory", "pids", "cpu")
_NEEDED = "memory"
_SUPERVISOR = "memdiag-supervisor"
_PATIENCE = 50
_PAUSE = 0.1


class ScopeError(Exception):
    """A cgroup cannot be had here. The message names the reason and the remedy."""


def own_cgroup(mount: Path, proc_self: Path) -> Path:
    """Return the folder of the cgroup that this process is in. Raises ScopeError where there is no cgroup v2."""
    if not (mount / "cgroup.controllers").exists():
        raise ScopeError(
            f"no cgroup v2 at {mount}: this machine has cgroup v1 or none. Boot with "
            "systemd.unified_cgroup_hierarchy=1, or name another mount point with --mount"
        )
    lines = (proc_self / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    found = mount / path.lstrip("/")
    # behind a cgroup namespace that is not the mount's own the path leads out of it
    return found if ".." not in Path(path).parts and found.is_dir() else mount


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").split()


def _switch_on(parent: Path) -> None:
    """Let the children of a cgroup have the controllers. Raises ScopeError and OSError."""
    there = _words(parent / "cgroup.controllers")
    if _NEEDED not in there:
        raise ScopeError(
            f"{parent} has no memory controller (it has: {' '.join(there) or 'none'}): the kernel may need "
            "cgroup_enable=memory on its command line, or whoever manages the cgroup must delegate memory"
        )
    missing = [name for name in _WANTED if name in there and name not in _words(parent / "cgroup.subtree_control")]
    for name in missing:
        try:
            (parent / "cgroup.subtree_control").write_text(f"+{name}", encoding="ascii")
        except OSError:
            if name == _NEEDED:
                raise


def _step_aside(parent: Path) -> None:
    """Move this process into a child of its own cgroup: one with processes of its own can limit no children."""
    others = [pid for pid in _words(parent / "cgroup.procs") if pid != str(os.getpid())]
    if others:
        raise ScopeError(
            f"{parent} has {len(others)} other processes in it and cannot have limited children: run memdiag in a "
            "cgroup of its own, as root or with: systemd-run --user --scope -p Delegate=yes memdiag run ..."
        )
    aside = parent / _SUPERVISOR
    aside.mkdir(exist_ok=True)
    (aside / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


@dataclass(slots=True)
class Scope:
    """One cgroup that was made for one run of a command."""

    path: Path

    def end(self) -> None:
        """Kill what is left in it and remove it."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1", encoding="ascii")
        for _ in range(_PATIENCE):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(_PAUSE)
            else:
                return


@dataclass(slots=True)
class Parent:
    """Where scopes are made."""

    path: Path
    stepped_aside: bool = False

    def scope(self, name: str, memory: int, swap: int) -> Scope:
        """Make a cgroup with these limits in bytes, of which one kill ends all. Raises ScopeError."""
        path = self.path / name
        try:
            path.mkdir()
            (path / "memory.max").write_text(str(memory), encoding="ascii")
            (path / "memory.oom.group").write_text("1", encoding="ascii")
            if (path / "memory.swap.max").exists():  # absent where the kernel has no swap
                (path / "memory.swap.max").write_text(str(swap), encoding="ascii")
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()
            raise ScopeError(_reason(path, error)) from None
        return Scope(path)

    def leave(self) -> None:
        """Undo what was done to be allowed to make scopes."""
        if self.stepped_aside:
            with contextlib.suppress(OSError):
                for name in _words(self.path / "cgroup.subtree_control"):
                    (self.path / "cgroup.subtree_control").write_text(f"-{name}", encoding="ascii")
                (self.path / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
                (self.path / _SUPERVISOR).rmdir()


def _reason(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path} cannot be made or written ({error.strerror}): run as root, or have a cgroup delegated: "
            "systemd-run --user --scope -p Delegate=yes memdiag run ..."
        )
    if error.errno == errno.EBUSY:
        return (
            f"{path}: its processes stand in the way of limited children ({error.strerror}): name another parent with "
            "--parent, or run: systemd-run --user --scope -p Delegate=yes memdiag run ..."
        )
    return f"{path}: {error.strerror or error}"


def parent(chosen: Path | None, mount: Path, proc_self: Path = Path("/proc/self")) -> Parent:
    """Return where cgroups can be made: `chosen`, else the root for whom may write there, else one's own cgroup.

    Raises ScopeError.
    """
    own = own_cgroup(mount, proc_self)
    path = chosen if chosen is not None else mount if os.access(mount / "cgroup.subtree_control", os.W_OK) else own
    if not (path / "cgroup.subtree_control").exists():
        raise ScopeError(f"--parent {path}: no cgroup v2 there")
    if not path.is_relative_to(mount):
        raise ScopeError(f"--parent {path} is not below {mount}: name with --mount where its cgroup v2 is mounted")
    stepped = False
    try:
        try:
            _switch_on(path)
        except OSError as error:
            if error.errno != errno.EBUSY or path != own:
                raise
            _step_aside(path)
            stepped = True
            _switch_on(path)
    except OSError as error:
        raise ScopeError(_reason(path, error)) from None
    return Parent(path, stepped)
