#!/usr/bin/env python3
"""Copy the generated CRDs into the chart: Helm packages only what lies in the chart's own folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read(folder: Path) -> dict[str, bytes]:
    """Return name and content of every CRD file in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.yaml"))}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift, 2 when there is nothing to copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a copy is not up to date")
    parser.add_argument("--source", type=Path, default=ROOT / "crds", metavar="DIR", help="folder of the CRDs")
    parser.add_argument(
        "--target", type=Path, default=ROOT / "charts/memdiag/files/crds", metavar="DIR", help="folder of the copies"
    )
    arguments = parser.parse_args(argv)
    wanted, present = read(arguments.source), read(arguments.target)
    if not wanted:
        print(f"{arguments.source}: no *.yaml there; run: python -m memdiag.kube.crd --out crds", file=sys.stderr)
        return 2
    stale = [name for name in sorted(wanted.keys() | present.keys()) if wanted.get(name) != present.get(name)]
    for name in stale:
        copy = arguments.target / name
        if arguments.check:
            print(f"{copy}: not the generated CRD; run: python charts/sync.py", file=sys.stderr)
        elif name in wanted:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(wanted[name])
            print(f"{copy}: written")
        else:
            copy.unlink()
            print(f"{copy}: removed")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
