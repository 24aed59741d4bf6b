"""Parsers for the kernel's small text files: any bytes in, what could be read of them out, never an exception."""

from __future__ import annotations

import re
from collections.abc import Collection
from sys import intern

from memdiag.model.trace import Limit, Pressure

LONGEST_FILE = 64 * 1024
"""Bytes of a file that are looked at; the longest real one (a memory.stat with every key) has under 4 KiB."""

MOST_KEYS = 512
_LONGEST_NUMBER = 20
_LONGEST_KEY = 64
_KEY = re.compile(rb"[A-Za-z0-9_.()\-]{1,64}")
_PLAIN = re.compile(rb"(?:[A-Za-z0-9_.()\-]{1,64} \d{1,20}\n)*")
_AVG10 = re.compile(rb"\bavg10=(\d{1,3}(?:\.\d{1,6})?)(?:\s|$)")
_INTERFACE = re.compile(
    rb"^[ \t]*[^\s:][^\n]{0,63}?:[ \t]*(\d{1,20})[ \t]+(\d{1,20})(?:[ \t]+\d{1,20}){6}[ \t]+(\d{1,20})[ \t]+(\d{1,20})"
    rb"(?:[ \t]+\d{1,20}){6}",
    re.MULTILINE,
)
_TOTAL = re.compile(rb"\btotal=(\d{1,20})(?:\s|$)")


def _number(word: bytes) -> int | None:
    return int(word) if word.isdigit() and len(word) <= _LONGEST_NUMBER else None


def parse_number(data: bytes) -> int | None:
    """Return the one whole number of a file such as memory.current, None when it holds none."""
    return _number(data[: _LONGEST_NUMBER + 2].strip())


def parse_limit(data: bytes) -> Limit:
    """Return a limit file's value: bytes, "max", or None when it is neither."""
    word = data[: _LONGEST_NUMBER + 2].strip()
    return "max" if word == b"max" else _number(word)


def parse_flat(data: bytes, keys: Collection[str] | None = None) -> dict[str, int]:
    """Return a flat keyed file (memory.events, memory.stat, cpu.stat, vmstat): one `key number` a line.

    With `keys` only those are kept. Lines that are something else are skipped.
    """
    if keys is None and len(data) < 8192 and _PLAIN.fullmatch(data):
        words = data.decode("ascii").split()
        return dict(zip(map(intern, words[: 2 * MOST_KEYS : 2]), map(int, words[1 : 2 * MOST_KEYS : 2]), strict=True))
    found: dict[str, int] = {}
    for line in data[:LONGEST_FILE].split(b"\n"):
        key, _, rest = line.partition(b" ")
        value = _number(rest.strip())
        if value is None or not _KEY.fullmatch(key):
            continue
        name = intern(key.decode("ascii"))
        if keys is None or name in keys:
            found[name] = value
            if len(found) >= MOST_KEYS:
                break
    return found


def parse_pressure(data: bytes) -> tuple[Pressure | None, Pressure | None]:
    """Return the `some` and `full` lines of a PSI file, None for a line that is not there."""
    lines: dict[bytes, Pressure] = {}
    for line in data[:LONGEST_FILE].split(b"\n"):
        kind = line.partition(b" ")[0]
        average, total = _AVG10.search(line), _TOTAL.search(line)
        if kind in (b"some", b"full") and (average or total):
            lines[kind] = Pressure(
                avg10=float(average.group(1)) if average else None, total=int(total.group(1)) if total else None
            )
    return lines.get(b"some"), lines.get(b"full")


def parse_meminfo(data: bytes, keys: Collection[str] | None = None) -> dict[str, int]:
    """Return /proc/meminfo in bytes (the kernel prints kB of 1024 bytes); values without a unit stay as they are."""
    found: dict[str, int] = {}
    for line in data[:LONGEST_FILE].split(b"\n"):
        key, colon, rest = line.partition(b":")
        words = rest.split()
        value = _number(words[0]) if colon and words else None
        if value is None or not _KEY.fullmatch(key):
            continue
        name = key.decode("ascii")
        if keys is None or name in keys:
            found[name] = value * 1024 if words[1:] == [b"kB"] else value
            if len(found) >= MOST_KEYS:
                break
    return found


def parse_net_dev(data: bytes) -> dict[str, int]:
    """Return packets and bytes over all interfaces of a /proc/PID/net/dev; empty when there are none.

    Loopback counts: in a pod it carries what a side-car (a mesh's proxy, a queue) hands to the program.
    """
    found = _INTERFACE.findall(data[:LONGEST_FILE])
    if not found:
        return {}
    rx_bytes, rx_packets, tx_bytes, tx_packets = (sum(map(int, column)) for column in zip(*found, strict=True))
    return {"rx_packets": rx_packets, "tx_packets": tx_packets, "rx_bytes": rx_bytes, "tx_bytes": tx_bytes}
