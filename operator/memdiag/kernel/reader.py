"""Reads the memory files of one cgroup as a `Level`, by a directory that stays open: its identity is not its path."""

from __future__ import annotations

import errno
import os

from memdiag.kernel.files import parse_flat, parse_limit, parse_number, parse_pressure
from memdiag.model.trace import Level

_CHUNK = 16 * 1024
_FULL = (
    "memory.stat",
    "memory.peak",
    "memory.max",
    "memory.swap.current",
    "pids.current",
    "memory.pressure",
    "cpu.stat",
)
_GONE = {errno.ENODEV, errno.ENOENT, errno.ESTALE}


class CgroupGoneError(Exception):
    """The cgroup was removed."""


class CgroupReader:
    """An open cgroup directory with memory.current and memory.events kept open.

    Reading raises CgroupGoneError once the cgroup was removed; a file that this kernel or cgroup lacks reads as None.
    With `keep` the files of a full reading stay open as well: one system call for each then, instead of three.
    """

    def __init__(self, path: str, *, keep: bool = False) -> None:
        """Open a cgroup directory. Raises CgroupGoneError when there is none."""
        self.path = path
        self._current = self._events = -1
        self._kept: dict[str, int] | None = {} if keep else None
        try:
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CgroupGoneError(path) from error
        status = os.fstat(self._directory)
        self.identity = (status.st_dev, status.st_ino)
        self._current = self._open("memory.current")
        self._events = self._open("memory.events")

    def close(self) -> None:
        """Close every file."""
        for descriptor in (self._kept or {}).values():
            if descriptor >= 0:
                os.close(descriptor)
        self._kept = None if self._kept is None else {}
        for name in ("_current", "_events", "_directory"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def _open(self, name: str) -> int:
        try:
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return -1

    def _held(self, descriptor: int) -> bytes | None:
        if descriptor < 0:
            return None
        try:
            return os.pread(descriptor, _CHUNK, 0)
        except OSError as error:
            if error.errno in _GONE:
                raise CgroupGoneError(self.path) from error
            return None

    def file(self, name: str) -> bytes | None:
        """Return a file's bytes, None when this cgroup has no such file. Raises CgroupGoneError."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError as error:
            if error.errno in _GONE and self.gone():
                raise CgroupGoneError(self.path) from error
            return None
        try:
            return os.read(descriptor, _CHUNK)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise CgroupGoneError(self.path) from error
            return None
        finally:
            os.close(descriptor)

    def _often(self, name: str) -> bytes | None:
        """Return a file of every full reading. Raises CgroupGoneError."""
        if self._kept is None:
            return self.file(name)
        descriptor = self._kept.get(name)
        if descriptor is None:
            descriptor = self._kept[name] = self._open(name)
        return self._held(descriptor)

    def gone(self) -> bool:
        """Return whether the cgroup was removed."""
        try:
            os.close(os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory))
        except OSError:
            return True
        return False

    def populated(self) -> bool | None:
        """Return whether any process lives in the cgroup or below, None when not known. Raises CgroupGoneError."""
        data = self.file("cgroup.events")
        value = None if data is None else parse_flat(data).get("populated")
        return None if value is None else value > 0

    def flat(self, name: str) -> dict[str, int]:
        """Return a flat keyed file, empty when there is none. Raises CgroupGoneError."""
        data = self.file(name)
        return {} if data is None else parse_flat(data)

    def current(self) -> int | None:
        """Return memory.current, bytes. Raises CgroupGoneError."""
        data = self._held(self._current)
        return None if data is None else parse_number(data)

    def raw_events(self) -> bytes:
        """Return memory.events as it stands, to be parsed only when it changed. Raises CgroupGoneError."""
        return self._held(self._events) or b""

    def light(self) -> Level:
        """Read memory.current and the events. Raises CgroupGoneError."""
        return Level(
            current=self.current(),
            events=parse_flat(self.raw_events()),
            events_local=self.flat("memory.events.local"),
        )

    def full(self, *, events: bool = True) -> Level:
        """Read all that a `Level` holds, the events (unless they are not wanted) last. Raises CgroupGoneError."""
        current = self.current()
        stat, peak, limit, swap, pids, pressure, cpu = map(self._often, _FULL)
        some, full = parse_pressure(pressure or b"")
        return Level(
            current=current,
            peak=None if peak is None else parse_number(peak),
            max=None if limit is None else parse_limit(limit),
            swap_current=None if swap is None else parse_number(swap),
            stat=parse_flat(stat or b""),
            pressure_some=some,
            pressure_full=full,
            cpu=parse_flat(cpu or b""),
            pids=None if pids is None else parse_number(pids),
            events_local=self.flat("memory.events.local") if events else {},
            events=parse_flat(self.raw_events()) if events else {},
        )
