"""PostgreSQL as a workload: its cluster on a disk of its own, its command, and what its client says."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from testbed.shell import TestbedError, capture

_INSTALLED = Path("/usr/lib/postgresql")
_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
_DISK = "postgres.img"
_DISK_SIZE = "160M"
_SETTINGS = (
    *("listen_addresses=127.0.0.1", "unix_socket_directories=", "port=7000", "max_connections=6"),
    *("shared_buffers=4MB", "dynamic_shared_memory_type=sysv", "max_parallel_workers_per_gather=0", "jit=off"),
    *("fsync=off", "autovacuum=off", "max_wal_senders=0", "wal_level=minimal", "logging_collector=off"),
)
_SORT = "SELECT md5(g::text) m FROM (SELECT generate_series(1, {rows}) g) n ORDER BY m OFFSET {rows}"
_ROW = 125
"""Bytes of memory that a sort needs for each of its rows."""
_COPIES = 3
"""Times that a prepared statement's text is kept: as it is, parsed, and planned."""


def _program(name: str) -> Path:
    found = sorted(_INSTALLED.glob(f"*/bin/{name}"))
    if not found:
        raise TestbedError(f"no {name} below {_INSTALLED}: apt-get install postgresql")
    return found[-1]


def make_disk(work: Path) -> None:
    """Make a disk with a new cluster of databases, which each workload gets a copy of. Raises TestbedError."""
    # PostgreSQL refuses to be root, and its folder must lie where its user can go
    folder = Path(capture(["mktemp", "--directory", "--tmpdir", "memdiag-postgres-XXXXXX"]).strip())
    try:
        shutil.chown(folder, "postgres", "postgres")
        options = ["--auth=trust", "--username=postgres", "--no-sync", "--locale=C", "--encoding=UTF8"]
        capture([*_AS_POSTGRES, _program("initdb"), *options, "--pgdata", folder])
        capture(["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", folder, work / _DISK, _DISK_SIZE])
    finally:
        shutil.rmtree(folder)


def mount(work: Path, data: Path) -> Path:
    """Mount a copy of the disk in the guest, outside of the container's cgroup; return the cluster's folder."""
    disk, folder = data / _DISK, Path("/run") / data.name
    shutil.copyfile(work / _DISK, disk)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop,noatime", disk, folder], check=True)
    # mke2fs copies the owner of everything but of the top
    shutil.chown(folder, "postgres", "postgres")
    folder.chmod(0o700)
    return folder


def unmount(folder: Path) -> None:
    """Unmount a cluster's folder."""
    subprocess.run(["umount", "--lazy", folder], check=True)


def command(folder: Path, settings: Sequence[str]) -> list[str]:
    """Return the postmaster's command."""
    pairs = [word for setting in (*_SETTINGS, *settings) for word in ("-c", setting)]
    return [*_AS_POSTGRES, str(_program("postgres")), "-D", str(folder), *pairs]


def greeting() -> bytes:
    """Return the message that begins a session (protocol 3.0)."""
    words = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
    return (len(words) + 4).to_bytes(4, "big") + words


def _query(text: str) -> bytes:
    words = text.encode() + b"\x00"
    return b"Q" + (len(words) + 4).to_bytes(4, "big") + words


def requests(mode: str, parameters: Mapping[str, float], rng: random.Random) -> Iterator[bytes]:
    """Yield one request after the other: statements to prepare, or small queries with a rare large sort."""
    number = 0
    while True:
        number += 1
        if mode == "prepare":
            text = "x" * int(parameters["each"] * rng.uniform(0.5, 1.5) / _COPIES)
            yield _query(f"PREPARE s{number} AS SELECT '{text}' || $1::text")
        elif rng.random() < parameters["chance"]:
            rows = int(parameters["large"] * rng.uniform(0.5, 1.5) / _ROW)
            yield _query(_SORT.format(rows=rows))
        else:
            yield _query("SELECT sum(g) FROM generate_series(1, 100) g")
