"""Saved kernel logs of any kind: lines of text in, the kernel's own records out, each with its date and time.

Read are /dev/kmsg records, dmesg in all its time formats (talosctl's too), `journalctl -k` in its text formats, what
syslog daemons write (RFC 3164, RFC 5424, busybox), and bare text; copied lines may be indented. Where a line names its
facility or its program, only the kernel's count: other programs may write what looks like a kill. (Plain dmesg names
neither; dmesg -k prints the kernel's alone.)

No time is guessed. `journalctl -o short` has no year and no zone, `dmesg -T` no zone and a clock that suspends shift:
what they say is kept as written. `-o short-iso`, `-o short-unix`, `-o short-full` in UTC, syslog daemons' RFC 3339 and
`dmesg --time-format iso` give a time; /dev/kmsg, dmesg and `-o short-monotonic` give seconds since boot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memdiag.kernel.klog import Record, escape, split_records
from memdiag.model.kill import Stamp

LONGEST_LINE = 16384
"""Bytes of a line that are read: a kernel's record is at most 1 KiB, four times that where each byte is escaped."""

_DAY = r"[^\W\d]{2,9}\.?"
_CLOCK = r"(\d\d):(\d\d):(\d\d(?:\.\d{1,6})?)"
_DELTA = r"(?: *< *\d{1,12}\.\d{1,9}>)?"
_KMSG = re.compile(r"(\d{1,10}),\d{1,20},(\d{1,18}),[^;]{0,256};", re.ASCII)
_KMSG_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,32}m")
_LEVEL = re.compile(rb"[ \t]*(?=<\d{1,10}>)")
_FACILITIES = "kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]"
_DECODED = re.compile(rf"(?:\S{{1,255}}: +)?({_FACILITIES}) *: *[a-z]{{3,7}} *: ")
_UPTIME = re.compile(rf"\[ *(\d{{1,12}}\.\d{{1,9}}){_DELTA}\](?: ?\[ *[TC]\d{{1,10}}\])? ?", re.ASCII)
_CTIME = re.compile(rf"\[({_DAY} {_DAY} +(\d{{1,2}}) {_CLOCK} \d{{4}}){_DELTA}\] ?")
_RELATIVE = re.compile(r"\[(?: *\+\d{1,12}\.\d{1,9}| *<[ +]*\d{1,12}\.\d{1,9}>|([A-Z][a-z]{2} *\d{1,2} \d\d:\d\d))\] ?")
_RFC3339 = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))"
_ISO = re.compile(rf"{_RFC3339} ", re.ASCII)
_TALOS = re.compile(rf"\[{_RFC3339}\]: ", re.ASCII)
_RFC5424 = re.compile(rf"1 {_RFC3339} ", re.ASCII)
_SHORT = re.compile(rf"({_DAY} +(\d{{1,2}}) {_CLOCK}) ")
_FULL = re.compile(rf"({_DAY} (\d{{4}}-\d\d-(\d\d)) {_CLOCK} ([A-Za-z0-9+-]{{1,10}})) ")
_UNIX = re.compile(r"(\d{9,11}\.\d{1,9}) ", re.ASCII)
_KERNEL = re.compile(r"\S{1,255} (?:kern\.[a-z]{3,7} )?kernel(?:: ?| - - - +)")
_PROGRAM = re.compile(r"\S{1,255} [^\s:\[]{1,128}\[\d{1,10}\]: ")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_NAMES = ("UTC", "GMT")


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before a line's text: where it ends, its time, and whether a sender has to follow."""

    end: int
    stamp: Stamp
    uptime: float | None = None
    sender: bool = False


def _rfc3339(moment: datetime) -> str | None:
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


def _seconds(day: str, hours: str, minutes: str, seconds: str) -> float:
    return int(day) * 86400.0 + int(hours) * 3600.0 + int(minutes) * 60.0 + float(seconds)


def _iso(written: str) -> Stamp:
    try:
        moment = datetime.fromisoformat(written)
        return Stamp(_rfc3339(moment), written, (moment - _EPOCH).total_seconds())
    except (ValueError, OverflowError):
        return Stamp(None, written)


def _uptime(match: re.Match[str]) -> _Head:
    return _Head(match.end(), Stamp(), float(match.group(1)))


def _with_zone(match: re.Match[str]) -> _Head:
    return _Head(match.end(), _iso(match.group(1)))


def _with_zone_and_sender(match: re.Match[str]) -> _Head:
    return _Head(match.end(), _iso(match.group(1)), sender=True)


def _ctime(match: re.Match[str]) -> _Head:
    return _Head(match.end(), Stamp(None, match.group(1), _seconds(*match.group(2, 3, 4, 5))))


def _short(match: re.Match[str]) -> _Head:
    return _Head(match.end(), Stamp(None, match.group(1), _seconds(*match.group(2, 3, 4, 5))), sender=True)


def _full(match: re.Match[str]) -> _Head:
    written, date, day, hours, minutes, seconds, zone = match.groups()
    wall = _iso(f"{date}T{hours}:{minutes}:{seconds}+00:00").wall if zone in _UTC_NAMES else None
    return _Head(match.end(), Stamp(wall, written, _seconds(day, hours, minutes, seconds)), sender=True)


def _unix(match: re.Match[str]) -> _Head:
    seconds = float(match.group(1))
    return _Head(
        match.end(), Stamp(_rfc3339(_EPOCH + timedelta(seconds=seconds)), match.group(1), seconds), sender=True
    )


def _relative(match: re.Match[str]) -> _Head:
    return _Head(match.end(), Stamp(None, match.group(1)))


_HEADS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], _Head]], ...] = (
    (_UPTIME, _uptime),
    (_ISO, _with_zone),
    (_TALOS, _with_zone),
    (_RFC5424, _with_zone_and_sender),
    (_CTIME, _ctime),
    (_SHORT, _short),
    (_FULL, _full),
    (_UNIX, _unix),
    (_RELATIVE, _relative),
)


def _head(text: str) -> _Head | None:
    """Return what stands before the text of a line, None where nothing does."""
    return next((read(found) for pattern, read in _HEADS if (found := pattern.match(text))), None)


def _unindented(text: str) -> str:
    """Return a line without the blanks that somebody's copy of a log has before the head; others may be a name's."""
    copied = text.lstrip(" \t")
    return copied if copied != text and (_DECODED.match(copied) or _head(copied)) else text


class LogText:
    """Splits a log's lines into the kernel's records, and counts what it saw."""

    def __init__(self) -> None:
        self.lines = 0
        """Lines that were not empty."""
        self.recognised = 0
        """Lines that began as a kernel log's do, other programs' among them."""
        self.kernel = 0
        """Lines that may be the kernel's: all but those that name somebody else."""
        self.binary = 0
        """Lines that no text has: with a NUL or bytes that are not UTF-8."""

    def split(self, line: bytes) -> Iterator[tuple[Record, Stamp]]:
        """Yield the records of one line: none for another program's, several for one with line feeds in a name."""
        # A crash of the node leaves blocks of NULs in files that a syslog daemon was writing.
        line = line[:LONGEST_LINE].rstrip(b"\r\n\0").lstrip(b"\0").removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"\x1b["):  # dmesg --color=always; a kernel's own line has its time before any such byte
            line = _COLOUR.sub(b"", line)
        if not line:
            return
        self.lines += 1
        try:
            text = line.decode()
            self.binary += "\0" in text
        except UnicodeDecodeError:
            text = line.decode("utf-8", "backslashreplace")
            self.binary += 1
        if kmsg := _KMSG.match(text):
            self.recognised += 1
            if int(kmsg.group(1)) < 8:  # facility 0, the kernel's
                self.kernel += 1
                yield from self._kmsg(line[len(kmsg.group().encode()) :], int(kmsg.group(2)) / 1e6)
            return
        if level := _LEVEL.match(line):
            self.recognised += 1
            for record in split_records(line[level.end() :]):
                yield from self._stamped(record) if record.time is None else self._own(record, Stamp())
            return
        text = _unindented(text)
        if decoded := _DECODED.match(text):
            self.recognised += 1
            if decoded.group(1) != "kern":
                return
            text = text[decoded.end() :]
        yield from self._stamped(Record(None, escape(text)), known=decoded is not None)

    def _own(self, record: Record, stamp: Stamp) -> Iterator[tuple[Record, Stamp]]:
        self.kernel += 1
        yield record, stamp

    @staticmethod
    def _kmsg(text: bytes, uptime: float) -> Iterator[tuple[Record, Stamp]]:
        r"""Undo /dev/kmsg's \xNN, so that a record reads as syslog(2) gives it: a line feed begins a record."""
        plain = _KMSG_ESCAPE.sub(lambda match: bytes.fromhex(match.group(1).decode()), text)
        for part in plain.decode("utf-8", "backslashreplace").split("\n"):
            yield Record(uptime, escape(part)), Stamp()

    def _stamped(self, record: Record, *, known: bool = True) -> Iterator[tuple[Record, Stamp]]:
        """Cut off date, time, host and program; `known` says that the line was already recognised by its beginning."""
        text = record.text
        head = _head(text)
        if head is None:
            yield from self._own(record, Stamp())
            return
        self.recognised += not known
        text, uptime = text[head.end :], head.uptime
        if kernel := _KERNEL.match(text):
            text = text[kernel.end() :]
        elif head.sender or _PROGRAM.match(text):
            return
        if uptime is None and (inner := _UPTIME.match(text)):
            uptime, text = float(inner.group(1)), text[inner.end() :]
        yield from self._own(Record(uptime, text), head.stamp)
