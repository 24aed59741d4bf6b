"""Write the custom resource definitions from the models, or check that the committed ones still follow from them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from memdiag.kube.kinds import KINDS, definition
from memdiag.model.report import GROUP

_HEADER = "# Generated from operator/memdiag/kube by: python -m memdiag.kube.crd --out crds\n"


class _Plain(yaml.SafeDumper):
    """A dumper without anchors: the same text for equal input, whatever is shared in memory."""

    def ignore_aliases(self, data: object) -> bool:
        """Say that nothing is written as an alias."""
        return data is not None or True


def render() -> dict[str, str]:
    """Return file name and YAML text of every definition."""
    return {
        f"{GROUP}_{kind.plural}.yaml": _HEADER
        + yaml.dump(definition(kind), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
        for kind in KINDS
    }


def drifted(folder: Path) -> list[Path]:
    """Return the files of a folder that are not what the models say, absent and left-over ones too."""
    wanted = render()
    wrong = [
        folder / name
        for name, text in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    return wrong + [path for path in sorted(folder.glob("*.yaml")) if path.name not in wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift."""
    parser = argparse.ArgumentParser(prog="python -m memdiag.kube.crd", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("crds"), metavar="DIR", help="folder of the definitions")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.out
    if arguments.check:
        wrong = drifted(folder)
        for path in wrong:
            print(f"{path}: not what the models say; run: python -m memdiag.kube.crd --out {folder}", file=sys.stderr)
        return 1 if wrong else 0
    folder.mkdir(parents=True, exist_ok=True)
    wanted = render()
    for path in drifted(folder):
        if path.name in wanted:
            path.write_text(wanted[path.name], encoding="utf-8")
        else:
            path.unlink()
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
