"""What a command reads: a file, a pipe or the standard input, opened once and unpacked where it is packed with gzip."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def opened(name: str) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """Give the bytes of a file, of the standard input for `-`. Raises OSError; reading raises what gzip does."""
    with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) if name == "-" else Path(name).open("rb") as file:
        # a pipe gives each byte once, so its beginning is looked at and left where it is
        if file.peek(len(_GZIP))[: len(_GZIP)] != _GZIP:
            yield file
            return
        with gzip.open(file) as unpacked:
            yield unpacked
