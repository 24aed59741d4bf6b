"""A small inotify: one instance, many watches (a node allows few instances and many watches)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

MODIFY = 0x00000002
CREATE = 0x00000100
DELETE = 0x00000200
DELETE_SELF = 0x00000400
QUEUE_OVERFLOW = 0x00004000
IGNORED = 0x00008000
ONLY_DIRECTORY = 0x01000000
IS_DIRECTORY = 0x40000000

_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the watch that it is for (-1 for a queue overflow), its mask and, in a directory, the entry's name."""

    watch: int
    mask: int
    name: str


def split_events(data: bytes) -> list[Event]:
    """Split what the kernel wrote into events; a cut last one is dropped."""
    events: list[Event] = []
    offset = 0
    while offset + _EVENT.size <= len(data):
        watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        if offset + length > len(data):
            break
        name = data[offset : offset + length].split(b"\0", 1)[0]
        offset += length
        events.append(Event(watch, mask, os.fsdecode(name)))
    return events


class Inotify:
    """One inotify instance; `fileno` is for epoll. Where the kernel gives none, no event ever comes."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.refused = 0
        """Watches that the kernel allowed no more (fs.inotify.max_user_watches): the cgroup is polled only."""
        self._fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.missing = None if self._fd >= 0 else f"inotify_init1: {os.strerror(ctypes.get_errno())}"
        """Why there is none: all programs of a user share fs.inotify.max_user_instances. None where there is one."""

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when events are there, -1 without an instance."""
        return self._fd

    def add(self, path: str, mask: int) -> int | None:
        """Watch a path and return the watch's number, None when it is gone or the kernel allows no more."""
        watch: int = self._libc.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(mask))
        if watch >= 0:
            return watch
        self.refused += self._fd < 0 or ctypes.get_errno() in (errno.ENOSPC, errno.ENOMEM)
        return None

    def remove(self, watch: int) -> None:
        """Drop a watch; one that the kernel has dropped already is no error."""
        self._libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> list[Event]:
        """Return the events that wait, none when there are none."""
        if self._fd < 0:
            return []
        try:
            return split_events(os.read(self._fd, _BUFFER))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Close the instance and all its watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
