"""Keeps a generated page as its source says: written, or only checked for drift."""

from __future__ import annotations

import sys
from pathlib import Path


def keep(page: Path, wanted: str, *, check: bool, command: str) -> int:
    """Write the page unless it is as wanted; with `check` write nothing, name the `command` that does, and return 1."""
    if page.is_file() and page.read_text(encoding="utf-8") == wanted:
        return 0
    if check:
        print(f"{page}: not what it is generated from; run: {command}", file=sys.stderr)
        return 1
    page.write_text(wanted, encoding="utf-8")
    print(page)
    return 0
