"""The Debian packages of a file system: what dpkg's own list says, with the licences of their copyright files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

_STATUS = Path("var/lib/dpkg/status")
_COPYRIGHT = Path("usr/share/doc")
_SHORT_NAME = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
_MACHINE_READABLE = re.compile(r"^Format(-Specification)?:", re.MULTILINE | re.IGNORECASE)
_BY_HAND = ((re.compile(r"libxcrypt$"), "LGPL-2.1+"), (re.compile(r"python3(-defaults|\.\d+)$"), "PSF-2.0"))
"""Source packages whose copyright file tells its licences in prose only, as a person reads it."""
_DEEPEST_LINK = 8


@dataclass(frozen=True)
class DebianPackage:
    """One installed package; `licences` are the names that its copyright file uses, in alphabetical order."""

    name: str
    version: str
    architecture: str
    licences: tuple[str, ...]
    needs: frozenset[str]
    """Names of the packages that it depends on, whichever of them is installed."""


def suite(root: Path) -> str:
    """Return the distribution and its release as a package URL names them, such as debian-13."""
    lines = (root / "etc/os-release").read_text().splitlines()
    said = dict(line.partition("=")[::2] for line in lines if "=" in line)
    return "-".join(said[key].strip('"') for key in ("ID", "VERSION_ID") if key in said)


def packages(root: Path) -> Iterator[DebianPackage]:
    """Yield what is installed. Raises FileNotFoundError where the file system has no list of dpkg's."""
    parser = HeaderParser()
    for stanza in (root / _STATUS).read_text().strip().split("\n\n"):
        fields = parser.parsestr(stanza)
        if fields["Status"] and fields["Status"].split()[-1] == "installed":
            depends = f"{fields['Pre-Depends'] or ''},{fields['Depends'] or ''}"
            name = fields["Package"]
            source = (fields["Source"] or name).split()[0]
            told = {said for pattern, said in _BY_HAND if pattern.match(source)}
            yield DebianPackage(
                name=name,
                version=fields["Version"],
                architecture=fields["Architecture"],
                licences=tuple(sorted(told or _licences(_file(root, _COPYRIGHT / name / "copyright")))),
                needs=frozenset(re.findall(r"[a-z0-9][a-z0-9+.-]+(?=\s*[(:,|]|\s*$)", depends)),
            )


def _file(root: Path, path: Path) -> str:
    """Return the text of a file, its links followed inside the file system; empty where there is none."""
    for _ in range(_DEEPEST_LINK):
        place = root
        for number, part in enumerate(path.parts):
            place /= part
            if place.is_symlink():
                target = place.readlink()
                above = Path(*path.parts[:number])
                path = Path(*_normal((above / target).parts), *path.parts[number + 1 :])
                break
        else:
            return place.read_text(errors="replace") if place.is_file() else ""
    return ""


def _normal(parts: tuple[str, ...]) -> list[str]:
    """Return a path's parts below the root without `/`, `.` and `..`."""
    found: list[str] = []
    for part in parts:
        if part == "..":
            found = found[:-1]
        elif part.startswith("/"):
            found = []
        elif part != ".":
            found.append(part)
    return found


def _licences(text: str) -> set[str]:
    """Return the short names of a machine-readable copyright file, else the common licences that any other names."""
    if _MACHINE_READABLE.search(text):
        return {name.strip() for name in _SHORT_NAME.findall(text)}
    return {name.removesuffix(".") for name in _COMMON.findall(text)}
