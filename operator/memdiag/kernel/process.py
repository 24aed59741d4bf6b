"""Parsers for what /proc shows of one process: any bytes in, what could be read of them out, never an exception.

Kernel: fs/proc/array.c (status, stat), fs/proc/task_mmu.c (smaps_rollup). The name in `stat` may hold spaces and
parentheses, so numbers are counted from the last closing one.
"""

from __future__ import annotations

import re

from memdiag.kernel.files import LONGEST_FILE, parse_number
from memdiag.kernel.klog import escape

LONGEST_COMM = 64
_STATUS = re.compile(rb"^(VmRSS|RssAnon|RssShmem|VmSwap|Threads):[ \t]+(\d{1,19})(?: kB)?$", re.MULTILINE)
_NAME = re.compile(rb"\AName:\t([^\n]{0,256})$", re.MULTILINE)
_PSS = re.compile(rb"^Pss: +(\d{1,19}) kB$", re.MULTILINE)
_KIB = 1024
_MINOR, _MAJOR, _START = 7, 9, 19
"""Fields behind the name, from 0: minflt, majflt and starttime are the 10th, 12th and 22nd of proc(5)."""


def parse_status(data: bytes) -> tuple[str, dict[str, int]]:
    """Return a process's name and, in bytes, its VmRSS, RssAnon, RssShmem and VmSwap; `Threads` is a plain count.

    A kernel thread has none of the sizes. The kernel itself writes a line feed in a name as a backslash and an n.
    """
    head = data[:LONGEST_FILE]
    name = _NAME.search(head)
    comm = "" if name is None else escape(name.group(1).decode("utf-8", "backslashreplace"))[:LONGEST_COMM]
    found: dict[str, int] = {}
    for key, number in _STATUS.findall(head):
        found.setdefault(key.decode("ascii"), int(number) * (1 if key == b"Threads" else _KIB))
    return comm, found


def parse_stat(data: bytes) -> tuple[int | None, int | None, int | None]:
    """Return minor faults, major faults and the start time (clock ticks since boot) of a process."""
    words = data[:LONGEST_FILE].rpartition(b")")[2].split()
    minor, major, start = (
        parse_number(words[place]) if place < len(words) else None for place in (_MINOR, _MAJOR, _START)
    )
    return minor, major, start


def parse_signed(data: bytes) -> int | None:
    """Return the one whole number of a file such as oom_score_adj, which may be negative."""
    word = data[:16].strip()
    return -value if word[:1] == b"-" and (value := parse_number(word[1:])) is not None else parse_number(word)


def parse_rollup(data: bytes) -> int | None:
    """Return the Pss of smaps_rollup in bytes, None when it is not there."""
    found = _PSS.search(data[:LONGEST_FILE])
    return None if found is None else int(found.group(1)) * _KIB
