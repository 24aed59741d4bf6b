"""The kernel log by syslog(2), the one way that needs neither a device nor a privileged container.

The call returns the ring's text without sequence numbers, so a reader remembers the last records that it saw and
takes up again behind them.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_READ_ALL = 3
_SIZE_BUFFER = 10
LARGEST_RING = 4 * 2**20
"""Bytes of the newest records of a larger ring: as text and as records they take several times as much memory."""
_REMEMBERED = 4
_FIRST_USER_PRIORITY = 8
_PREFIX = re.compile(r"<(\d{1,10})>(?:\[ *(\d{1,12}\.\d{6})\](?:\[ *[TC]\d+\])? ?)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

SYSLOG_REFUSED = "kernel log: syslog(2) was refused ({}): the agent needs the SYSLOG capability and uid 0"
KMSG_REFUSED = "kernel log: /dev/kmsg was refused ({}): the agent needs the device, thus a privileged container"

Transport = Callable[[], bytes]
"""Returns the whole ring as READ_ALL prints it; raises OSError when the kernel refuses."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the kernel log: seconds since boot (None where the kernel prints no time) and its text, escaped."""

    time: float | None
    text: str


@dataclass(frozen=True, slots=True)
class LogRead:
    """What one reading gave: the records, or why there are none."""

    records: tuple[Record, ...]
    missing: str | None = None


def escape(text: str) -> str:
    """Return text in which every control character stands as a backslash, an x and its code in hexadecimal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def split_records(data: bytes) -> list[Record]:
    """Split READ_ALL's text into records, without those that user space wrote (facility other than 0)."""
    records: list[Record] = []
    for line in data.decode("utf-8", "backslashreplace").split("\n"):
        match = _PREFIX.match(line)
        if match is None or int(match.group(1)) >= _FIRST_USER_PRIORITY:
            continue
        time = match.group(2)
        records.append(Record(None if time is None else float(time), escape(line[match.end() :])))
    return records


def syslog_transport() -> bytes:
    """Return the kernel's ring through syslog(2). Raises OSError when the call is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = libc.klogctl(_SIZE_BUFFER, None, 0)
    if size < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    buffer = ctypes.create_string_buffer(min(size, LARGEST_RING))
    count = libc.klogctl(_READ_ALL, buffer, len(buffer))
    if count < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.string_at(buffer, count)


def _behind(records: Sequence[Record], tail: Sequence[Record]) -> int:
    """Return the index behind the last place where `tail` stands in `records`; 0 when it is there no more."""
    if not tail:
        return 0
    for end in range(len(records), len(tail) - 1, -1):
        if records[end - 1] == tail[-1] and list(records[end - len(tail) : end]) == list(tail):
            return end
    last = tail[-1].time
    if last is None:
        return 0
    return next(
        (index for index, record in enumerate(records) if record.time is not None and record.time > last), len(records)
    )


class KernelLog:
    """Reads the kernel log: all of it, or what came since a mark."""

    def __init__(self, transport: Transport = syslog_transport, refusal: str = SYSLOG_REFUSED) -> None:
        self._transport = transport
        self._refusal = refusal
        self._first: Record | None = None
        self._count = 0
        self._tail: tuple[Record, ...] = ()

    def read(self) -> LogRead:
        """Return every record that the ring holds now."""
        try:
            data = self._transport()
        except OSError as error:
            return LogRead(
                (),
                self._refusal.format(error.strerror or error),
            )
        return LogRead(tuple(split_records(data)))

    def read_new(self) -> LogRead:
        """Return the records that came since the last call of this kind; the first call returns them all."""
        log = self.read()
        if log.missing is not None:
            return log
        if not log.records:
            return log
        whole = log.records[0] == self._first and len(log.records) >= self._count
        start = self._count if whole else _behind(log.records, self._tail)
        self._first, self._count, self._tail = log.records[0], len(log.records), log.records[-_REMEMBERED:]
        return LogRead(log.records[start:])
