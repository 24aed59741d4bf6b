"""The kernel log by /dev/kmsg: the opt-in way, for a container that may open the device (a privileged one).

Each read gives one record, `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`, with lines of properties behind it
(Documentation/ABI/testing/dev-kmsg). A record that was overwritten before it was read makes a read fail with EPIPE
and moves the reader to the oldest that is left. The device is opened anew each time, so that a reading is the whole
ring, as syslog(2) gives it; control bytes in a record stand escaped already.
"""

from __future__ import annotations

import errno
import os
import re
from collections import deque

from memdiag.kernel.klog import LARGEST_RING, Transport

DEVICE = "/dev/kmsg"
_RECORD = 8192
MOST_RECORDS = 1_000_000
_HEAD = re.compile(rb"(\d{1,10}),\d{1,20},(\d{1,18}),[^;\n]{0,64};([^\n]*)")


def as_line(record: bytes) -> bytes | None:
    """Return one record as syslog(2) prints it, `<PRIORITY>[SECONDS.MICROSECONDS] TEXT`; None for what is none."""
    found = _HEAD.match(record)
    if found is None:
        return None
    micros = int(found.group(2))
    return b"<%d>[%5d.%06d] %s\n" % (int(found.group(1)), micros // 1_000_000, micros % 1_000_000, found.group(3))


def kmsg_transport(device: str = DEVICE) -> Transport:
    """Return a reader of the whole ring. It raises OSError when the device cannot be opened or read."""

    def read() -> bytes:
        lines: deque[bytes] = deque()
        size = 0
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for _ in range(MOST_RECORDS):
                try:
                    record = os.read(descriptor, _RECORD)
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno != errno.EPIPE:
                        raise
                    continue
                if not record:
                    break
                line = as_line(record)
                if line is not None:
                    lines.append(line)
                    size += len(line)
                while size > LARGEST_RING:
                    size -= len(lines.popleft())
        finally:
            os.close(descriptor)
        return b"".join(lines)

    return read
